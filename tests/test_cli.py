"""What every command promises: one line for bad input, exit status, one JSON object, and options from one place."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from theodolite import __version__, cli, console
from theodolite.cli import COMMANDS, main
from theodolite.console import Progress
from theodolite.generate import parse_tasks
from theodolite.options import CommonOptions, nearest, read_options

MOTION = "move forward 0.5 meters; turn left 30 degrees"


@dataclass
class Run:
    """What one command line printed, and its status."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a refusal is."""
        assert (self.status, self.out) == (2, "")
        assert self.err.startswith("theodolite: error: ") and self.err.count("\n") == 1
        return self.err.removeprefix("theodolite: error: ").rstrip("\n")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*argv: object) -> Run:
        status = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return Run(status, captured.out, captured.err)

    return call


@dataclass
class FakePipeline:
    """Stands in for the generator, to see what a command hands to it and how it takes its failures."""

    failure: BaseException | None = None
    calls: list[SimpleNamespace] = field(default_factory=list)

    def generate(self, out: Path, config: Any, *, workers: int, progress: Any) -> SimpleNamespace:
        self.calls.append(SimpleNamespace(out=out, workers=workers, **vars(config)))
        sys.stdout.write("a library speaks on stdout\n")
        progress(1, 2)
        if self.failure:
            raise self.failure
        counts = {"questions": Counter(D1=2, A1=3), "left_out": Counter({"too small": 4})}
        counts |= {"stages": SimpleNamespace(seconds=Counter(cast=0.5))}
        return SimpleNamespace(scenes=1, transitions=2, **counts)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    fake, module = FakePipeline(), ModuleType("synth.pipeline")
    module.generate = fake.generate  # type: ignore[attr-defined]
    module.GenerateConfig = lambda **options: SimpleNamespace(subset="Render", **options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "synth.pipeline", module)
    return fake


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Mismatches that the stand-in for the verifier reports."""

    @dataclass
    class Mismatch:
        where: str
        field: str

    found: list[Any] = []
    module = ModuleType("synth.verify")
    module.verify = lambda root, **_: SimpleNamespace(labels=7, scenes=1, mismatches=found)  # type: ignore[attr-defined]
    module.Mismatch = Mismatch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "synth.verify", module)
    return found


def test_help_lists_every_command(run) -> None:
    result = run("--help")
    assert result.status == 0
    assert all(f"  {name} " in result.out for name in COMMANDS)


def test_no_command_shows_the_usage_and_is_bad_usage(run) -> None:
    result = run()
    assert result.status == 2 and result.out.startswith("usage: theodolite COMMAND")


def test_version_is_told(run) -> None:
    assert run("--version").out == f"theodolite {__version__}\n"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_every_command_has_an_example_and_the_common_options(run, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.status == 0
    assert f"example: theodolite {command} " in " ".join(result.out.split())
    for option in ("--config", "--seed", "--json"):
        assert option in result.out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_says_what_it_is_for(command: str) -> None:
    from theodolite.options import _helps

    options = cli.module_of(command).Options
    helps = _helps(options)
    assert [name for name in options.__dataclass_fields__ if not helps.get(name)] == []


def test_unknown_command_is_named_with_the_nearest(run) -> None:
    assert run("generat").error == "unknown command 'generat'; did you mean generate?"


def test_a_command_of_two_words_is_told_by_its_first(run) -> None:
    told = "train needs to be told what: theodolite train head or theodolite train vlm"
    assert run("train").error == run("train", "--help").error == told
    assert run("train", "hed", "--out", "o").error == told


def test_unknown_option_is_named_with_the_nearest(run) -> None:
    assert run("plan", "--action", MOTION).error == "unknown option --action; did you mean --actions?"


def test_missing_option_is_named(run) -> None:
    assert run("plan").error == "missing: --actions"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "--actions", "fly up 3 meters"), "unknown action 'fly up'"),
        (("plan", "--actions", "move forward -1 meters"), "got -1"),
        (("plan", "--actions", MOTION, "--image-size", 0, 0), "at least 1 x 1 pixel, got 0 x 0"),
        (("plan", "--actions", MOTION, "--image-size", -4, 3), "at least 1 x 1 pixel, got -4 x 3"),
        (("plan", "--actions", MOTION, "--image-size", 4), "expected 2 arguments"),
        (("plan", "--actions", MOTION, "--hfov-deg", 180), "--hfov-deg must be above 0 and below 180"),
        (("plan", "--actions", MOTION, "--hfov-deg", 0), "--hfov-deg must be above 0 and below 180"),
        (("plan", "--actions", MOTION, "--convention", "sv"), "expected one of 'theodolite', 'svc'"),
        (("plan", "--actions", MOTION, "--seed", -1), "--seed must be 0 or more, got -1"),
        (("plan", "--actions", MOTION, "--seed", "x"), "--seed: expected int, got 'x'"),
        (("plan", "--actions", MOTION, "--config", "/nowhere/c.yaml"), "--config /nowhere/c.yaml cannot be read"),
        (("plan", "--actions", MOTION, "--config"), "expected one argument"),
        (("generate", "--out", "x", "--num-scenes", 0), "--num-scenes must be 1 or more, got 0"),
        (("generate", "--out", "x", "--num-scenes", 1, "--image-size", 0, 8), "--image-size must be 32..8192"),
        (("generate", "--out", "x", "--num-scenes", 1, "--image-size", 64, 8193), "--image-size must be 32..8192"),
        (("generate", "--out", "x", "--num-scenes", 1, "--tasks", "A1,B1"), "unknown task 'B1'; known: A1"),
        (("generate", "--out", "x", "--num-scenes", 1, "--tasks", ","), "--tasks must name at least one"),
        (("generate", "--out", "x", "--num-scenes", 1, "--workers", -1), "--workers must be 0"),
        (("generate", "--out", "x", "--num-scenes", 1, "--tasks", "a1"), "did you mean A1?"),
        (("generate",), "missing: --out, --num-scenes"),
        (("generate", "--bogus"), "unknown option --bogus; known: --config"),
        (("plan", "--actions", "jump 3 meters"), "known: move forward, move backward"),
        (("plan", "--actions", "move forward 99999999999 meters", "--per-frame"), "at most 100000 steps"),
        (("plan", "--actions", "turn left 1e9 degrees", "--convention", "hy_worldplay"), "at most 100000 steps"),
        (("verify", "/nowhere"), "no dataset at /nowhere: it is not there"),
        (("verify", __file__), "it is a file"),
        (("view", "/nowhere"), "no dataset at /nowhere"),
        (("view", "/", "--limit", 0), "--limit must be 1 or more, got 0"),
        (("demo", "--out", f"{__file__}/x"), f"{__file__} is a file"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run, words: tuple, message: str) -> None:
    assert message in run(*words).error


def test_folder_without_permission_is_refused(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser may write anywhere, so the system's own answer cannot be had in a container.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert f"no write permission in {tmp_path}" in run("demo", "--out", tmp_path / "a" / "b").error
    assert list(tmp_path.iterdir()) == []


def test_config_gives_options_and_the_command_line_wins(run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"actions": "TL_10", "image_size": [64, 48], "per_frame": True, "json": True}))
    plan = json.loads(run("plan", "--config", config).out)
    assert plan["image_size"] == [64, 48] and len(plan["T_cam0_cam"]) == 3
    for words in (("--actions", "TL_20", "--config", config), (f"--config={config}", "--actions", "TL_20")):
        assert json.loads(run("plan", *words).out)["actions"] == "turn left 20 degrees"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("imagesize: [3, 4]\n", "has an unknown key 'imagesize'; did you mean image_size?"),
        ("- 3\n", "must hold 'field: value' lines, got list"),
        ("", "must hold 'field: value' lines, got NoneType"),
        ("a: [\n", "cannot be read"),
        ("image_size: [0, 4]\n", "at least 1 x 1 pixel"),
        ("image_size: wide\n", "--image-size"),
        ("image_size: 64\n", "--image-size must be a list of 2 values, got 64"),
        ("image_size: [64]\n", "--image-size must be 2 whole numbers, got [64]"),
        ("image_size: [1, 2, 3]\n", "--image-size must be 2 whole numbers"),
        ("seed: null\n", "--seed must have a value, got null"),
        ('per_frame: "no"\n', "--per-frame must be true or false, got 'no'"),
        ('json: "yes"\n', "--json must be true or false"),
    ],
)
def test_bad_config_is_named(run, tmp_path: Path, content: str, message: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(content)
    assert message in run("plan", "--actions", MOTION, "--config", config).error


def test_null_in_a_config_is_fine_where_an_option_may_be_absent(run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("image_size: null\nhfov_deg: null\n")
    assert run("plan", "--actions", MOTION, "--config", tmp_path / "c.yaml").status == 0


def test_a_plan_for_svc_shows_its_camera_scale(run) -> None:
    # A straight metre: the first camera is half a metre from the mean one.
    assert "scale: camera_scale 0.5 (SVC" in run("plan", "--actions", "FWD_1", "--convention", "svc").out


def test_plan_prints_one_json_object_of_poses_in_the_first_cameras_frame(run) -> None:
    plan = json.loads(run("plan", "--actions", MOTION, "--json", "--image-size", 640, 480, "--hfov-deg", 90).out)
    start, moved, turned = plan["T_cam0_cam"]
    assert start == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert [row[3] for row in moved] == [0, 0, 0.5, 1]
    # The optical axis after a turn to the left points to -x: sin(-30 deg).
    assert [row[2] for row in turned] == pytest.approx([-0.5, 0, 3**0.5 / 2, 0])
    # f = (640 / 2) / tan(90 deg / 2)
    assert plan["K"] == pytest.approx([pytest.approx(row) for row in ([320, 0, 320], [0, 320, 240], [0, 0, 1])])
    assert (plan["scale"], plan["convention"]) == ("metric", "theodolite")


def test_plan_table_tells_right_forward_and_heading(run) -> None:
    lines = run(
        "plan", "--actions", "move right 2 meters; turn right 30 degrees; move forward 1 meters"
    ).out.splitlines()
    rows = [line.split(maxsplit=4) for line in lines[1:5]]
    assert rows[2] == ["2", "2.000", "0.000", "30.0", "turn right 30 degrees"]
    # 2 + sin(30 deg), cos(30 deg)
    assert rows[3][:4] == ["3", "2.500", "0.866", "30.0"]


def test_plan_file_is_what_json_prints_and_for_hy_its_pose_json(run, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    printed = run("plan", "--actions", MOTION, "--json", "--out", out).out
    assert json.loads(out.read_text()) == json.loads(printed)
    run("plan", "--actions", MOTION, "--convention", "hy_worldplay", "--out", out)
    assert set(json.loads(out.read_text())["0"]) == {"K", "extrinsic"}


@pytest.mark.parametrize(("out", "message"), [("", "is a folder"), ("no/p.json", "is not there")])
def test_plan_file_that_cannot_be_written_is_refused(run, tmp_path: Path, out: str, message: str) -> None:
    assert message in run("plan", "--actions", MOTION, "--out", tmp_path / out).error


def test_generate_hands_over_every_option(run, pipeline: FakePipeline, tmp_path: Path) -> None:
    counts = "--num-scenes 3 --image-size 64 48 --workers 2 --seed 9"
    kinds = "--tasks D1,A1 --preset svc --phrasing open --labels-only"
    kinds += " --without-kinds stool,fan"
    assert run("generate", "--out", tmp_path, *counts.split(), *kinds.split()).status == 0
    assert vars(pipeline.calls[0]) == {
        "out": tmp_path,
        "workers": 2,
        "subset": "Render",
        "num_scenes": 3,
        "seed": 9,
        "image_size": (64, 48),
        "tasks": ("A1", "D1"),
        "teacher": "render",
        "preset": "svc",
        "phrasing": "open",
        "labels_only": True,
        "without_kinds": ("stool", "fan"),
    }


def test_json_is_alone_on_stdout_whatever_a_library_prints(run, pipeline: FakePipeline, tmp_path: Path) -> None:
    result = run("generate", "--out", tmp_path, "--num-scenes", 1, "--json")
    payload = json.loads(result.out)
    assert payload["questions"] == {"A1": 3, "D1": 2} and payload["left_out"] == {"too small": 4}
    assert "a library speaks on stdout" in result.err


def test_generate_tells_people_the_counts(run, pipeline: FakePipeline, tmp_path: Path) -> None:
    text = run("generate", "--out", tmp_path, "--num-scenes", 1).out
    assert "1 scenes, 2 transitions, 5 questions (A1 3, D1 2)" in text and "4  too small" in text


def test_full_disk_is_one_line_and_says_how_to_go_on(run, pipeline: FakePipeline, tmp_path: Path) -> None:
    pipeline.failure = OSError(errno.ENOSPC, "No space left on device", "a.png")
    result = run("generate", "--out", tmp_path, "--num-scenes", 1)
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith("theodolite: error: the disk is full (a.png)")


def test_interruption_says_that_the_same_command_goes_on(run, pipeline: FakePipeline, tmp_path: Path) -> None:
    pipeline.failure = KeyboardInterrupt()
    result = run("generate", "--out", tmp_path, "--num-scenes", 1)
    assert result.status == 130 and "the same command goes on from here" in result.err


def test_a_bug_of_ours_is_not_dressed_up_as_bad_input(run, pipeline: FakePipeline, tmp_path: Path) -> None:
    pipeline.failure = TypeError("ours")
    with pytest.raises(TypeError, match="ours"):
        run("generate", "--out", tmp_path, "--num-scenes", 1)


def test_verify_ends_with_1_if_a_label_differs(run, verifier: list[Any], tmp_path: Path) -> None:
    assert run("verify", tmp_path).status == 0
    verifier += [sys.modules["synth.verify"].Mismatch(f"row {i}", "answer") for i in range(25)]
    result = run("verify", tmp_path)
    assert result.status == 1
    assert "25 mismatches" in result.out and "row 19" in result.out and "5 more" in result.out
    payload = json.loads(run("verify", tmp_path, "--json").out)
    assert payload["labels"] == 7 and payload["mismatches"][24] == {"where": "row 24", "field": "answer"}


def test_demo_makes_both_subsets_verifies_and_shows(
    run, pipeline: FakePipeline, verifier: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import synth.view

    monkeypatch.setattr(synth.view, "write_view", lambda root, out: (4, 5))
    payload = json.loads(run("demo", "--out", tmp_path, "--seed", 3, "--json").out)
    assert [(call.teacher, call.is_demo, call.seed) for call in pipeline.calls] == [
        ("render", True, 3),
        ("depthwarp", True, 3),
    ]
    assert payload["page"] == {"path": str(tmp_path / "view.html"), "shown": 4, "samples": 5}
    verifier.append(sys.modules["synth.verify"].Mismatch("row", "answer"))
    assert run("demo", "--out", tmp_path).status == 1


def test_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "theodolite", "plan", "--actions", ";".join(["FWD_1; TL_10"] * 250), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.read(10)
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, b"")


def test_progress_is_plain_lines_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("scenes", every_s=0) as progress:
        progress(1, 4)
        progress(4, 4)
    assert capsys.readouterr().err == "scenes: 1 of 4\nscenes: 4 of 4\n"


def test_progress_lines_keep_their_distance_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("scenes", every_s=60) as progress:
        progress(1, 4)
    assert capsys.readouterr().err == ""


def test_progress_is_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("scenes") as progress:
        progress(1, 4)
    assert "\rscenes:" in capsys.readouterr().err


def test_workers_are_as_asked_or_one_for_every_core() -> None:
    assert console.worker_count(3) == 3
    assert console.worker_count(0) >= 1


def test_tasks_come_in_the_fixed_order_once() -> None:
    assert parse_tasks("D2, A1,D2") == ("A1", "D2")


def test_options_of_a_class_are_read_with_their_types() -> None:
    options = read_options(CommonOptions, ["--seed", "5"], prog="p", description="d", example="e")
    assert options == CommonOptions(seed=5, json=False)


def test_nearest_falls_back_to_all() -> None:
    assert nearest("zzz", ["abc", "def"]) == "known: abc, def"


def test_commands_are_those_of_the_contract_that_exist() -> None:
    assert sorted(COMMANDS) == [
        "answer",
        "check",
        "convert",
        "demo",
        "eval",
        "generate",
        "imagine",
        "label",
        "plan",
        "score",
        "train head",
        "train vlm",
        "verify",
        "view",
    ]
    assert all(hasattr(cli.module_of(name), "run") for name in COMMANDS)
