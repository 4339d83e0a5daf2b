"""What the README shows is true: its code runs, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from theodolite.cli import COMMANDS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_code_runs_as_pasted_and_its_own_assertion_is_reached() -> None:
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(code, "README.md", "exec"), names)
        assert "assert" in code
    assert "in_front" in names and "warped" in names


def test_commands_in_the_table_are_the_commands_there_are() -> None:
    assert sorted(re.findall(r"^\| `theodolite ((?:train )?\w+)", README, re.M)) == sorted(COMMANDS)


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
