"""The files of a dataset as wholes: none lost, none cut short, and as many as contents, settings and card say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from synth.card import CARD_FILE, card_table
from synth.contents import CONTENTS_FILE, contents
from synth.dataset import (
    LEFT_OUT_FILE,
    PROOFS_FILE,
    SETTINGS_FILE,
    TASK_FILES,
    Mismatch,
    Row,
    find_subsets,
    read_rows,
)

BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError)
"""What reading a damaged file may raise: it is then a mismatch like any other."""

_MARKS = (*TASK_FILES, PROOFS_FILE, SETTINGS_FILE, CONTENTS_FILE, "scenes")


def subset_folders(root: Path) -> list[Path]:
    """Folders that hold a subset, or what is left of one: `root` itself or folders in it.

    Raises:
        ValueError: if there is none.
    """
    places = [root, *sorted(p for p in root.iterdir() if p.is_dir())] if root.is_dir() else []
    found = [place for place in places if any((place / name).exists() for name in _MARKS)]
    return found or find_subsets(root)


def read_subset(subset: Path) -> tuple[list[Row], list[Mismatch]]:
    """Rows up to the first that cannot be read, and what is wrong with that one and with their ids."""
    if not any((subset / name).is_file() for name in TASK_FILES):
        return [], [Mismatch(subset.name, TASK_FILES[0], "no such file", "the questions of this subset")]
    rows: list[Row] = []
    broken = []
    try:
        for row in read_rows(subset):
            rows.append(row)
    except BROKEN as error:
        broken.append(Mismatch(subset.name, "lines", str(error), "a question and its proof on every line"))
    return rows, [*broken, *_id_faults(subset, rows)]


def _id_faults(subset: Path, rows: list[Row]) -> Iterator[Mismatch]:
    seen: set[str] = set()
    for number, (task, proof) in enumerate(rows, start=1):
        where = f"{subset.name}:{number}"
        if task.get("id") != proof.get("id"):
            yield Mismatch(where, "id", task.get("id"), proof.get("id"))
        if str(task.get("id")) in seen:
            yield Mismatch(where, "id", task.get("id"), "an id that occurs once")
        seen.add(str(task.get("id")))


def file_faults(subset: Path) -> Iterator[Mismatch]:
    """Hold a subset's files and folders to contents.json and to the number of scenes in the settings."""
    try:
        said = json.loads((subset / CONTENTS_FILE).read_bytes())
        yield from _content_faults(subset, said)
        num_scenes = json.loads((subset / SETTINGS_FILE).read_bytes())["config"]["num_scenes"]
        if num_scenes != said["scenes"]:
            yield Mismatch(f"{subset.name}/{SETTINGS_FILE}", "num_scenes", num_scenes, said["scenes"])
    except BROKEN as error:
        yield Mismatch(
            subset.name, f"{CONTENTS_FILE} or {SETTINGS_FILE}", f"unreadable: {error!r}", "as it was written"
        )


def _content_faults(subset: Path, said: dict) -> Iterator[Mismatch]:
    found = contents(subset)
    for key in ("scenes", "trajectories"):
        if found[key] != said[key]:
            yield Mismatch(subset.name, f"number of {key}", found[key], said[key])
    there, told = found["files"], said["files"]
    for name in sorted({*there, *told, PROOFS_FILE, LEFT_OUT_FILE, SETTINGS_FILE}):
        if name not in there or name not in told or there[name] != told[name]:
            place = f"{subset.name}/{name}"
            yield Mismatch(place, CONTENTS_FILE, there.get(name, "no such file"), told.get(name, "not listed"))


def card_faults(root: Path, questions: dict[str, Counter[str]]) -> Iterator[Mismatch]:
    """Hold the card's table of counts to the questions that each subset has; its words are anybody's to change."""
    table = card_table(questions)
    try:
        text = (root / CARD_FILE).read_text(encoding="utf-8")
    except BROKEN as error:
        yield Mismatch(root.name, CARD_FILE, f"unreadable: {error!r}", "the card of this dataset")
        return
    if "\n".join([*table, "", ""]) not in text:
        shown = [line for line in text.splitlines() if line.startswith("|")]
        yield Mismatch(root.name, f"table of {CARD_FILE}", shown, table)
