"""What a command hands back and how it speaks meanwhile: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

DONE = 0
DOES_NOT_HOLD = 1
BAD_INPUT = 2
INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """End of a command: `text` for people, `payload` for `--json`, and the exit status."""

    text: str
    payload: Mapping[str, Any]
    status: int = DONE


class Progress:
    """Shows on stderr how far work has come: a bar on a terminal, elsewhere a line each `every_s` seconds.

    Call it with the number of steps done and the number in all.
    """

    def __init__(self, what: str, every_s: float = 5.0) -> None:
        self._what = what
        self._every_s = every_s
        self._bar: tqdm | None = None
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` steps are behind us."""
        if sys.stderr.isatty():
            self._bar = self._bar or tqdm(total=total, desc=self._what, file=sys.stderr, leave=False)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._last >= self._every_s:
            self._last = time.monotonic()
            sys.stderr.write(f"{self._what}: {done} of {total}\n")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_out_folder(path: Path) -> None:
    """Refuse an output folder that could not be written, before any work; makes nothing.

    Raises:
        ValueError: if `path` or a folder above it is a file, or the nearest existing folder is not writable.
    """
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists() or p.is_symlink())
    if not existing.is_dir():
        raise ValueError(f"output folder {path} cannot be made: {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"output folder {path} cannot be written: no write permission in {existing}")


def check_out_file(path: Path) -> None:
    """Refuse an output file that could not be written, before any work.

    Raises:
        ValueError: if `path` is a folder, or the folder that it would be in is not there or not writable.
    """
    if path.is_dir():
        raise ValueError(f"--out must be a file, but {path} is a folder")
    if not path.absolute().parent.exists():
        raise ValueError(f"--out {path} cannot be written: the folder {path.parent} is not there")
    check_out_folder(path.parent)


def check_dataset_folder(path: Path) -> None:
    """Refuse a dataset folder that is not there.

    Raises:
        ValueError: if `path` is not a folder.
    """
    if not path.is_dir():
        raise ValueError(f"no dataset at {path}: it is {'a file' if path.exists() else 'not there'}")


def refuse_undecided(undecided_below: float) -> None:
    """Refuse to leave answers of a vision-language model open.

    Raises:
        ValueError: if a chance is asked for.
    """
    if undecided_below:
        raise ValueError("--undecided-below is for heads: a vision-language model does not say how sure it is")


def worker_count(workers: int) -> int:
    """Number of worker processes: as asked, or one for every core this process may use where 0 is asked.

    Raises:
        ValueError: if `workers` is negative.
    """
    if workers < 0:
        raise ValueError(f"--workers must be 0 (one for every core) or more, got {workers}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return workers or cores


def os_error_line(error: OSError) -> str:
    """An operating system's error as one line that says what to do about it, if anything.

    >>> os_error_line(OSError(28, "No space left on device", "a.png"))
    'the disk is full (a.png); nothing half-written was left: free some space and run the same command again'
    """
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "nothing half-written was left: free some space and run the same command again"
        return f"the disk is full{where}; {advice}"
    return f"{error.strerror or error}{where}"
