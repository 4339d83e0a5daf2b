"""A dataset on disk: which folders of it hold questions, and their lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TASK_FILES = ("tasks.jsonl", "tasks_demo.jsonl")
"""Names that the file of questions may have."""

Row = tuple[dict[str, Any], dict[str, Any]]
"""A question and its proof."""


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


def read_rows(subset: Path) -> Iterator[Row]:
    """(question, proof) pairs of a subset, as they stand.

    Raises:
        ValueError: if a line is no JSON object, or one file is longer than the other.
    """
    with tasks_file(subset).open(encoding="utf-8") as a, (subset / "proofs.jsonl").open(encoding="utf-8") as b:
        for number, (task, proof) in enumerate(zip(a, b, strict=True), start=1):
            try:
                yield json.loads(task), json.loads(proof)
            except json.JSONDecodeError as error:
                raise ValueError(f"{subset.name}: line {number} is no JSON: {error}") from error


def tasks_file(subset: Path) -> Path:
    """The file of questions of a subset."""
    return next(subset / name for name in TASK_FILES if (subset / name).is_file())
