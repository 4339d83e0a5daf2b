"""Somebody else's program as one process: a time limit, everything it said in one file, and nothing left running."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_LAST_BYTES = 8192
_LONGEST_LINE = 300
_GRACE_S = 5.0
"""How long a program that is told to end may take to put its things away."""


class TimeLimitError(ValueError):
    """The program was stopped."""


def run_external(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path, time_limit_s: float
) -> int:
    """Run a program without a shell and return its exit status; whatever it started ends with it.

    The program leads a process group of its own. At the time limit, and when we are interrupted, the whole group is
    told to end, and killed after 5 seconds. What left the group by `setsid` (as torchrun's workers do) is known by a
    variable that it inherited, and ends too, where the system shows it (Linux).

    Args:
        command: program and arguments.
        folder: its working folder.
        environment: variables besides ours.
        log: file for its stdout and stderr.
        time_limit_s: seconds that it may take.

    Raises:
        TimeLimitError: (a ValueError) if it took longer.
        OSError: if it cannot be started.
    """
    mark = f"THEODOLITE_PROCESS={secrets.token_hex(16)}"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment | dict([mark.split("=")]),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return process.wait(time_limit_s)
    except subprocess.TimeoutExpired:
        raise TimeLimitError(f"took longer than the time limit of {time_limit_s:g} s") from None
    finally:
        _end_group(process)
        _end_marked(mark.encode())


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """The leader may have ended and left others behind, so the group is killed in any case."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _end_marked(mark: bytes) -> None:
    """Kill what carries a mark in its environment; processes of others cannot be read, or have none."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes():
                os.kill(int(environment.parent.name), signal.SIGKILL)


def last_line(log: Path) -> str:
    """The last line in a log that says anything; empty where there is none. Progress bars overwrite theirs."""
    if not log.is_file():
        return ""
    with log.open("rb") as said:
        said.seek(max(0, log.stat().st_size - _LAST_BYTES))
        text = said.read().decode(errors="replace")
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
    return next((line[:_LONGEST_LINE] for line in reversed(lines) if line), "")
