"""Independent jobs over processes: a scene each, one thread each, so that the result does not depend on how many."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(function: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """Yield the results of a module-level function, in order with one worker, as they come with more."""
    todo = list(jobs)
    if workers == 1 or len(todo) < 2:
        one_thread()
        yield from map(function, todo)
        return
    with _one_thread_each():
        yield from _run_in_pool(function, todo, workers)


def _run_in_pool(function: Callable[[Job], Result], todo: list[Job], workers: int) -> Iterator[Result]:
    # Spawned, not forked: threads of torch and Embree do not survive a fork.
    pool = ProcessPoolExecutor(min(workers, len(todo)), mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        for done in as_completed([pool.submit(function, job) for job in todo]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start meanwhile give BLAS and OpenMP one thread: they read this when they are loaded."""
    kept = {name: os.environ.get(name) for name in _THREAD_COUNTS}
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    # Ctrl-C reaches the whole group; only the parent answers it, and lets what is being written end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever, and write into the way of the next run."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def one_thread() -> None:
    """Keep this process to one thread: jobs are the unit of parallel work."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
