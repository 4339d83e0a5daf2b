"""Running world models: resumable, one failure stops none of the others, nothing runs on, and refusals are one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from stand_ins import HY_WEIGHTS, install, photograph, teacher

from geom.actions import parse_actions
from synth.external import last_line, run_external
from synth.imagine import Imagined, imagine
from synth.sources import read_source
from synth.teachers import Job, jobs_of
from theodolite.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return jobs_of([photograph(tmp_path / "in" / "a b.png")], [parse_actions("FWD_0.2"), parse_actions("TL_5")])


def run(tmp_path: Path, jobs: list[Job], behaviour: str = "", name: str = "svc", limit: float = 60) -> Imagined:
    return imagine(jobs, teacher(tmp_path / "root", name, behaviour), tmp_path / "out", time_limit_s=limit)


def calls(tmp_path: Path) -> int:
    return len((tmp_path / "root" / "calls").read_text().splitlines())


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_what_is_finished_is_not_made_again_and_what_is_half_is(tmp_path: Path, jobs: list[Job]) -> None:
    assert run(tmp_path, jobs[:1]).made == [jobs[0].name]
    half = tmp_path / "out" / jobs[1].bundle
    (half / "samples-rgb").mkdir(parents=True)
    (half / "samples-rgb" / "000.png").write_bytes(b"half")
    (tmp_path / "out" / ".staging" / "old").mkdir(parents=True)
    before = (tmp_path / "out" / jobs[0].bundle / "traj.json").stat().st_mtime_ns
    result = run(tmp_path, jobs)
    assert (result.made, result.kept) == ([jobs[1].name], [jobs[0].name]) and calls(tmp_path) == 2
    assert (tmp_path / "out" / jobs[0].bundle / "traj.json").stat().st_mtime_ns == before
    assert len(list(read_source(tmp_path / "out").clips())) == 2
    assert not (tmp_path / "out" / ".staging").exists()


@pytest.mark.parametrize(
    ("name", "behaviour", "cause", "detail"),
    [
        ("svc", "crash", "status", "ended with status 3"),
        ("svc", "few", "output", "wrote 1 of 2 frames"),
        ("svc", "truncated", "output", "no whole picture"),
        ("svc", "other poses", "output", "not the pose that svc was given"),
        ("hy_worldplay", "crash", "status", "ended with status 3"),
        ("hy_worldplay", "few", "output", "wrote 12 of 13 frames"),
        ("hy_worldplay", "truncated", "output", "gen.mp4 is no video"),
        ("worldfm", "few", "output", "wrote 1 of 2 frames"),
        ("worldfm", "truncated", "output", "no whole picture"),
    ],
)
def test_failures_are_counted_and_leave_nothing(tmp_path, jobs, name, behaviour, cause, detail) -> None:
    result = run(tmp_path, jobs, behaviour, name)
    assert result.made == [] and result.causes() == {cause: 2}
    assert all(detail in failure.detail for failure in result.failed.values())
    assert all(str(tmp_path) not in failure.detail for failure in result.failed.values())
    left_out = json.loads((tmp_path / "out" / "left_out.json").read_text())
    assert left_out["causes"] == {cause: 2} and set(left_out["trajectories"]) == {job.name for job in jobs}
    if behaviour == "crash":
        assert left_out["trajectories"][jobs[0].name]["last_line"].startswith("CUDA out of memory")
    assert list((tmp_path / "out").glob("scenes/*/traj_*")) == []
    # The same call makes them, once the teacher behaves; nothing is left out then.
    assert len(run(tmp_path, jobs, "", name).made) == 2
    assert json.loads((tmp_path / "out" / "left_out.json").read_text())["trajectories"] == {}


def test_a_damaged_anchor_stops_none_of_the_others(tmp_path: Path) -> None:
    good, bad = photograph(tmp_path / "good.png"), tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:-300])
    made = run(tmp_path, jobs_of([bad, good], [parse_actions("TR_5")]))
    assert len(made.made) == 1 and made.causes() == {"input": 1} and calls(tmp_path) == 1


def test_the_time_limit_ends_the_process_and_all_that_it_started(tmp_path: Path, jobs: list[Job]) -> None:
    result = run(tmp_path, jobs[:1], "hang", limit=2.5)
    (failure,) = result.failed.values()
    assert failure.cause == "time_limit" and failure.last_line == "step 1 of 50"
    assert wait_until_gone(int((tmp_path / "root" / "grandchild").read_text()))


def test_an_interruption_ends_the_process_and_all_that_it_started(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    install(tmp_path / "root", "svc", "hang")
    words = ["imagine", "a.png", "--teacher", "svc", "--out", "out", "--actions", "TL_5", "--teacher-root", "root"]
    command = [sys.executable, "-m", "theodolite", *words, "--teacher-python", sys.executable]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    grandchild = tmp_path / "root" / "grandchild"
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 40
        while not (grandchild.exists() and grandchild.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "the same command goes on from here" in errors
    assert wait_until_gone(int(grandchild.read_text()))
    assert not (tmp_path / "out" / ".staging").exists()


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '300']).pid); sys.exit(4)"
    assert run_external([sys.executable, "-c", code], tmp_path, {}, tmp_path / "log", 30) == 4
    assert wait_until_gone(int((tmp_path / "log").read_text()))


def test_a_program_that_cannot_be_started_is_counted(tmp_path: Path, jobs: list[Job]) -> None:
    who = teacher(tmp_path / "root", "svc")
    (tmp_path / "no program").write_text("neither script nor binary")
    object.__setattr__(who, "python", tmp_path / "no program")
    assert imagine(jobs, who, tmp_path / "out").causes() == {"start": 2}


def test_the_last_line_says_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_bytes(b"one\n 50%|###\r100%|####\x1b[0m\xff\n\n  \n")
    assert last_line(log).startswith("100%|####")
    log.write_bytes(b"x" * 100_000)
    assert len(last_line(log)) == 300


def test_two_anchors_of_one_name_are_two_scenes(tmp_path: Path) -> None:
    anchors = [photograph(tmp_path / folder / "room.png", shade=shade) for folder, shade in (("a", 10), ("b", 200))]
    run(tmp_path, jobs_of(anchors, [parse_actions("TL_5")]))
    source = read_source(tmp_path / "out")
    assert len(source.scenes) == 2
    shades = {Image.open(scene.anchor).getpixel((0, 0))[0] for scene in source.scenes}  # pyright: ignore
    assert shades == {10, 200}


def test_a_folder_made_otherwise_is_refused(tmp_path: Path, jobs: list[Job]) -> None:
    run(tmp_path, jobs[:1])
    with pytest.raises(ValueError, match="made with another hfov"):
        imagine(jobs, teacher(tmp_path / "root", "svc", hfov=1.2), tmp_path / "out")
    with pytest.raises(ValueError, match="made with another teacher"):
        run(tmp_path, jobs, name="worldfm")
    with pytest.raises(ValueError, match="time_limit must be above 0"):
        run(tmp_path, jobs, limit=0)


def error(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line of a refusal."""
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err.removeprefix("theodolite: error: ").rstrip("\n")


def test_command_makes_bundles_that_label_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "photos" / "hall.png")
    photograph(tmp_path / "photos" / "kitchen.JPG", shade=40)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "actions.txt").write_text("TL_10\n\nmove right 0.2 meters; turn right 5 degrees\n")
    install(tmp_path / "root", "svc")
    words = [
        "imagine",
        tmp_path / "photos",
        "--teacher",
        "svc",
        "--teacher-root",
        tmp_path / "root",
        "--teacher-python",
    ]
    words += [sys.executable, "--out", tmp_path / "out", "--actions-file", tmp_path / "actions.txt", "--json"]
    assert main([str(word) for word in words]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert len(payload["made"]) == 4 and payload["failed"] == {}
    # Unchecked: the dots that a stand-in draws are too few for a check.
    label = ["label", str(tmp_path / "out"), "--out", str(tmp_path / "data"), "--tasks", "A2", "--workers", "1"]
    assert main([*label, "--unchecked"]) == 0
    assert "A2 2" in capsys.readouterr().out


def test_command_ends_with_1_if_a_trajectory_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "a.png")
    install(tmp_path / "root", "worldfm", "crash")
    words = ["imagine", tmp_path / "a.png", "--teacher", "worldfm", "--teacher-root", tmp_path / "root", "--out"]
    words += [tmp_path / "out", "--actions", "TL_5 | TR_5", "--teacher-python", sys.executable]
    assert main([str(word) for word in words]) == 1
    said = capsys.readouterr().out
    assert "0 trajectories made, 0 were there, 2 failed" in said and 'last said: "CUDA out of memory' in said


def test_a_dry_run_writes_inputs_and_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "a b.png")
    words = ["imagine", tmp_path / "a b.png", "--teacher", "hy_worldplay", "--out", tmp_path / "out", "--dry-run"]
    assert main([str(word) for word in [*words, "--actions", "TL_30", "--json"]]) == 0
    ((name, row),) = json.loads(capsys.readouterr().out)["commands"].items()
    folder = tmp_path / "out" / "inputs" / "scenes" / name
    assert sorted(path.name for path in folder.iterdir()) == ["anchor.png", "pose.json"]
    assert str(folder / "pose.json") in row["command"] and "45" in row["command"]
    assert not (tmp_path / "out" / "scenes").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("svc", "stable-virtual-camera"),
        ("hy_worldplay", "Tencent-Hunyuan/HY-WorldPlay"),
        ("worldfm", "inspatio/worldfm"),
    ],
)
def test_a_missing_teacher_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], name, said) -> None:
    photograph(tmp_path / "a.png")
    words = ["imagine", tmp_path / "a.png", "--teacher", name, "--out", tmp_path / "out", "--actions", "TL_5"]
    line = error(capsys, *words)
    assert f"{name} is not installed here" in line and said in line and line.endswith("--teacher-root FOLDER")
    (tmp_path / "empty").mkdir()
    assert f"in {tmp_path / 'empty'}" in error(capsys, *words, "--teacher-root", tmp_path / "empty")
    assert not (tmp_path / "out").exists()


def test_bad_options_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "a.png")
    start = ["imagine", tmp_path / "a.png", "--teacher", "svc", "--out", tmp_path / "out"]
    assert error(capsys, *start) == "--actions or --actions-file must be given, one of them"
    assert "trajectory 2: unknown action" in error(capsys, *start, "--actions", "TL_5 | jump 3")
    assert "--time-limit must be above 0" in error(capsys, *start, "--actions", "TL_5", "--time-limit", "0")
    assert "below 180" in error(capsys, *start, "--actions", "TL_5", "--hfov-deg", "200")
    assert "cannot be split" in error(capsys, *start, "--actions", "TL_5", "--teacher-args", "'open")
    (tmp_path / "empty").mkdir()
    start[1] = tmp_path / "empty"
    assert "holds no picture" in error(capsys, *start, "--actions", "TL_5")
    start[1] = tmp_path / "nowhere"
    assert "is not there" in error(capsys, *start, "--actions", "TL_5")


def test_what_a_teacher_cannot_be_told_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "a.png")
    start = ["imagine", tmp_path / "a.png", "--out", tmp_path / "out", "--actions", "TL_5", "--teacher"]
    hy = [*start, "hy_worldplay", "--teacher-root", install(tmp_path / "hy", "hy_worldplay")]
    assert "needs --model_path and --action_ckpt" in error(capsys, *hy)
    assert "one K for every picture" in error(capsys, *hy, "--hfov-deg", "60", "--teacher-args", " ".join(HY_WEIGHTS))
    fm = [*start, "worldfm", "--teacher-root", install(tmp_path / "fm", "worldfm"), "--hfov-deg", "60"]
    assert "80 degrees" in error(capsys, *fm)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up as Linux shows them")
def test_what_left_the_group_ends_with_the_program(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'], start_new_session=True); "
        "open('pid', 'w').write(str(p.pid))"
    )
    assert run_external([sys.executable, "-c", code], tmp_path, {}, tmp_path / "log", 30) == 0
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    for _ in range(50):  # a killed process is gone, or waits to be taken note of
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.1)
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
