"""A dataset on disk: which folders of it hold questions, and their lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

TASK_FILES = ("tasks.jsonl", "tasks_demo.jsonl")
"""Names that the file of questions may have."""

PROOFS_FILE = "proofs.jsonl"
LEFT_OUT_FILE = "left_out.json"
SETTINGS_FILE = "generation.json"

Row = tuple[dict[str, Any], dict[str, Any]]
"""A question and its proof."""


@dataclass(frozen=True)
class Mismatch:
    """One thing that does not hold: where, which field, what stands there, what it should be."""

    where: str
    field: str
    found: Any
    expected: Any

    def __str__(self) -> str:
        return f"{self.where}: {self.field} is {self.found}, expected {self.expected}"


def find_subsets(root: Path) -> list[Path]:
    """Folders that hold questions: `root` itself or folders in it.

    Raises:
        ValueError: if there is none.
    """
    if not root.is_dir():
        raise ValueError(f"a dataset is a folder, but {root} is {'a file' if root.exists() else 'not there'}")
    places = [root, *sorted(p for p in root.iterdir() if p.is_dir())]
    subsets = [place for place in places if any((place / name).is_file() for name in TASK_FILES)]
    if not subsets:
        raise ValueError(f"{root} holds no dataset: neither it nor a folder in it has {' or '.join(TASK_FILES)}")
    return subsets


def tasks_file(subset: Path) -> Path:
    """The file of questions of a subset."""
    return next(subset / name for name in TASK_FILES if (subset / name).is_file())


def read_rows(subset: Path, numbers: Container[int] | None = None) -> Iterator[Row]:
    """(question, proof) pairs of a subset, as they stand; only those of the lines asked for, counted from 1.

    Raises:
        ValueError: if a line is no JSON object, the proofs are missing, or one file has fewer of the lines.
    """
    tasks, proofs = tasks_file(subset), subset / PROOFS_FILE
    for task, proof in zip_longest(read_lines(tasks, numbers), read_lines(proofs, numbers)):
        if task is None or proof is None:
            raise ValueError(
                f"{tasks} has {count_lines(tasks)} lines and {proofs} has {count_lines(proofs)}: "
                "every question needs its proof on the same line"
            )
        yield task[1], proof[1]


def count_lines(path: Path) -> int:
    """How many lines a file has, the last one with or without its line break."""
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def read_lines(
    path: Path, numbers: Container[int] | None = None, *, is_ours: bool = True
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered rows of a file of questions or proofs; only those asked for are parsed.

    A file that is not ours may have blank lines, and a mark of byte order at its beginning.

    Raises:
        ValueError: if the file is missing, or a line is no JSON object in UTF-8.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing: every question needs its proof")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not is_ours:
                line = line.removeprefix(codecs.BOM_UTF8).strip()
            if (line or is_ours) and (numbers is None or number in numbers):
                yield number, _row(path, number, line)


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8")
        row = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} line {number} is no UTF-8: byte {error.start + 1} is 0x{line[error.start]:02x}"
        ) from None
    except RecursionError:
        raise ValueError(f"{path} line {number} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} line {number} is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"{path} line {number} must be a JSON object, got {text[:40].strip()!r}")
    return row
