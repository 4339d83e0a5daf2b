"""A wrong value is one line that names its option, in every command, whether it was typed or stands in a file."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from synth.pipeline import GenerateConfig
from theodolite.cli import COMMANDS, main, module_of
from theodolite.options import CommonOptions

TYPED = {
    "answer": ["head", "--images", "a.png", "--question", "q", "--hfov-deg", "70"],
    "check": ["source"],
    "convert": ["dir", "--to", "sharegpt", "--out", "o"],
    "demo": ["--out", "o"],
    "eval": ["head", "--data", "dir", "--out", "o.jsonl"],
    "generate": ["--out", "o", "--num-scenes", "1"],
    "imagine": ["photo.png", "--teacher", "svc", "--out", "o", "--actions", "TL_5"],
    "label": ["source", "--out", "o"],
    "plan": ["--actions", "FWD_1"],
    "score": ["answers.jsonl"],
    "train head": ["--out", "o"],
    "train vlm": ["--stage", "sft", "--base", "b", "--data", "d", "--out", "o"],
    "verify": ["dir"],
    "view": ["dir"],
}
"""What each command needs; everything else comes from the file."""


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a refused command line ends with."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err.removeprefix("theodolite: error: ").rstrip("\n")


def optional_fields() -> list[tuple[str, str, Any]]:
    """(command, field, type) of every option that may be left out."""
    found = []
    for command in COMMANDS:
        options: type[CommonOptions] = module_of(command).Options
        types = get_type_hints(options)
        typed = " ".join(TYPED[command])
        found += [
            (command, f.name, types[f.name])
            for f in fields(options)
            if f"--{f.name}".replace("_", "-") not in typed and not f.metadata.get("positional")
        ]
    return found


@pytest.fixture
def refused_config(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The refusal of a command with one value in its file, after which nothing else is on the disk."""

    def call(command: str, name: str, value: Any) -> str:
        monkeypatch.chdir(tmp_path)
        Path("c.yaml").write_text(json.dumps({name: value}))
        line = refusal(capsys, *command.split(), *TYPED[command], "--config", "c.yaml")
        assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]
        return line

    return call


@pytest.mark.parametrize(
    ("command", "name"), [(c, name) for c, name, kind in optional_fields() if type(None) not in get_args(kind)]
)
def test_null_is_no_value_in_any_command(refused_config, command: str, name: str) -> None:
    assert refused_config(command, name, None) == f"--{name.replace('_', '-')} must have a value, got null"


@pytest.mark.parametrize(("command", "name", "kind"), optional_fields())
def test_a_value_of_another_type_is_named_in_any_command(refused_config, command: str, name: str, kind: Any) -> None:
    line = refused_config(command, name, {"a": 1})
    assert line.startswith(f"--{name.replace('_', '-')}") and line.endswith(("got {'a': 1}", "got '{'a': 1}'"))
    assert ("expected " in line or " must be " in line) and "class" not in line and "Union" not in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("plan", "--actions", "FWD_1", "--hfov-deg", "wide"), "--hfov-deg: expected float, got 'wide'"),
        (("score", "a.jsonl", "--max-pixels", "1.5"), "--max-pixels: expected int, got '1.5'"),
        (
            ("score", "a.jsonl", "--benchmark", "vsi"),
            "--benchmark: expected one of 'sat', 'vsi-bench', 'mindcube', got 'vsi'",
        ),
    ],
)
def test_a_wrong_value_of_an_option_that_may_be_absent_is_named(capsys, words: tuple[str, ...], line: str) -> None:
    assert refusal(capsys, *words) == line


def test_help_shows_the_choices_of_an_option_that_may_be_absent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--help"]) == 0
    assert "--benchmark {sat,vsi-bench,mindcube}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "name", "missing"),
    [("score", "PREDICTIONS", "PREDICTIONS"), ("convert", "DIR", "DIR, --to, --out")],
)
def test_what_has_no_dashes_is_named_as_the_help_names_it(capsys, command: str, name: str, missing: str) -> None:
    assert refusal(capsys, command) == f"missing: {missing}"
    assert main([command, "--help"]) == 0
    assert f"\n  {name} " in capsys.readouterr().out


def test_keys_of_a_file_are_the_options_of_the_command(refused_config) -> None:
    known = "actions, convention, per_frame, image_size, hfov_deg, out, seed, json"
    assert refused_config("plan", "zzz", 1) == f"--config c.yaml has an unknown key 'zzz'; known: {known}"


def test_help_of_generate_tells_the_sizes_that_the_generator_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--help"]) == 0
    told = re.search(r"--image-size W H .*?(\d+) to (\d+) each way", " ".join(capsys.readouterr().out.split()))
    assert told is not None
    least, most = map(int, told.groups())
    assert GenerateConfig(num_scenes=1, image_size=(least, most)).image_size == (least, most)
    for wrong in ((least - 1, most), (least, most + 1)):
        with pytest.raises(ValueError, match=f"image_size must be {least}..{most}"):
            GenerateConfig(num_scenes=1, image_size=wrong)
