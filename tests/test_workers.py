"""Jobs over processes: every result once, and no worker outlives the run that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synth.files import only_run
from synth.workers import run_jobs

_SLEEPERS = """
import os, sys, time
from pathlib import Path
from synth.workers import run_jobs

def sleep(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    list(run_jobs(sleep, [sys.argv[1]] * 4, 2))
"""


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_gives_its_result_once(workers: int) -> None:
    assert sorted(run_jobs(square, range(5), workers)) == [0, 1, 4, 9, 16]


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(holds, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc, which is not here")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script, pids = tmp_path / "run.py", tmp_path / "pids"
    script.write_text(_SLEEPERS)
    pids.mkdir()
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    parent = subprocess.Popen([sys.executable, str(script), str(pids)], env=os.environ | {"PYTHONPATH": path})
    try:
        assert wait_until(lambda: len(list(pids.iterdir())) == 2)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    workers = [int(file.name) for file in pids.iterdir()]
    assert wait_until(lambda: not any(map(is_running, workers)))


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.touch()
    with only_run(file), pytest.raises(ValueError, match="another run is writing"), only_run(file):
        pass
    with only_run(file):  # and is free again afterwards
        pass
