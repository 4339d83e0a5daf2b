"""Independent jobs over processes: a scene each, one thread each, so that the result does not depend on how many."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """Yield the results of a module-level function, in order with one worker, as they come with more."""
    todo = list(jobs)
    if workers == 1 or len(todo) < 2:
        one_thread()
        yield from map(function, todo)
        return
    # Spawned, not forked: threads of torch and Embree do not survive a fork.
    pool = ProcessPoolExecutor(min(workers, len(todo)), mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        for done in as_completed([pool.submit(function, job) for job in todo]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches the whole group; only the parent answers it, and lets what is being written end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    one_thread()


def one_thread() -> None:
    """Keep this process to one thread: jobs are the unit of parallel work."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
