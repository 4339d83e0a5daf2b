"""Samples of a dataset on disk: found, picked evenly over the tasks, and read with their pictures."""

from __future__ import annotations

import base64
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

TASKS_FILES = ("tasks_demo.jsonl", "tasks.jsonl")
PROOFS_FILE = "proofs.jsonl"
_QUALITY = 72


@dataclass(frozen=True)
class Sample:
    """A question with its proof, and the subset's folder that both lie in."""

    subset: Path
    task: dict[str, Any]
    proof: dict[str, Any]

    @property
    def frames(self) -> tuple[str, str]:
        """Paths of the two views, relative to the subset's folder; they exist where pictures were written."""
        where = self.proof["transition"]
        folder = f"scenes/{where['scene_id']}/traj_{where['traj_id']}/samples-rgb"
        before, after = (f"{folder}/{frame:03d}.png" for frame in where["frames"])
        return before, after


def subset_folders(root: Path) -> list[Path]:
    """Folders that hold questions: `root` itself, or those in it.

    Raises:
        ValueError: if there is none.
    """
    places = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    if found := [path for path in places if _tasks_file(path)]:
        return found
    raise ValueError(f"no dataset in {root}: neither it nor a folder in it holds {' or '.join(TASKS_FILES)}")


def _tasks_file(subset: Path) -> Path | None:
    return next((subset / name for name in TASKS_FILES if (subset / name).is_file()), None)


def pick_samples(root: Path, limit: int) -> tuple[list[Sample], int]:
    """At most `limit` samples, evenly over tasks, then subsets, then lines; and how many there are in all.

    Raises:
        ValueError: if there is no dataset, a line is no JSON object, or tasks and proofs do not match.
    """
    groups: dict[tuple[str, Path], list[int]] = defaultdict(list)
    for subset in subset_folders(root):
        for number, row in _rows(_tasks_file(subset)):
            groups[row["task_type"], subset].append(number)
    wanted = _wanted_lines({key: groups[key] for key in sorted(groups)}, limit)
    samples = [sample for subset in sorted(wanted) for sample in _read_lines(subset, wanted[subset])]
    return sorted(samples, key=lambda s: s.task["task_type"]), sum(map(len, groups.values()))


def _wanted_lines(groups: dict[tuple[str, Path], list[int]], limit: int) -> dict[Path, set[int]]:
    tasks = sorted({task for task, _ in groups})
    quotas = shared_out(limit, [sum(len(n) for (t, _), n in groups.items() if t == task) for task in tasks])
    wanted: dict[Path, set[int]] = defaultdict(set)
    for task, quota in zip(tasks, quotas, strict=True):
        parts = [(subset, numbers) for (t, subset), numbers in groups.items() if t == task]
        shares = shared_out(quota, [len(numbers) for _, numbers in parts])
        for (subset, numbers), share in zip(parts, shares, strict=True):
            wanted[subset].update(evenly(numbers, share))
    return wanted


def shared_out(limit: int, sizes: Sequence[int]) -> list[int]:
    """How many of each group to take so that the groups get as equal a share of `limit` as their sizes allow.

    >>> shared_out(10, [2, 100, 100])
    [2, 4, 4]
    """
    shares, left = [0] * len(sizes), limit
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for place, i in enumerate(order):
        shares[i] = min(sizes[i], left // (len(order) - place))
        left -= shares[i]
    return shares


def evenly(items: Sequence[int], count: int) -> list[int]:
    """`count` of the items at equal distances, the first among them.

    >>> evenly([1, 2, 3, 4, 5, 6], 3)
    [1, 3, 5]
    """
    return [items[i * len(items) // count] for i in range(count)]


def _read_lines(subset: Path, numbers: set[int]) -> Iterator[Sample]:
    path = _tasks_file(subset)
    proofs = _rows(subset / PROOFS_FILE, numbers)
    for (number, task), (_, proof) in zip(_rows(path, numbers), proofs, strict=True):
        if task["id"] != proof["id"]:
            raise ValueError(f"line {number} of {subset.name}: the proof is of {proof['id']}, not of {task['id']}")
        yield Sample(subset, task, proof)


def _rows(path: Path | None, numbers: set[int] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered rows of a JSONL file, from 1; only those asked for are parsed."""
    if path is None or not path.is_file():
        raise ValueError(f"{path} is missing: every question needs its proof")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if numbers is None or number in numbers:
                yield number, _row(path, number, line)


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} line {number} is no JSON: {error}") from None
    if not isinstance(row, dict) or "id" not in row or "task_type" not in row:
        raise ValueError(f"{path} line {number} must be an object with id and task_type")
    return row


def picture_uri(subset: Path, relative: str, max_side: int) -> str | None:
    """A picture as a data URI, WebP with no side above `max_side` pixels; None if there is no file.

    Raises:
        ValueError: if the path leaves the subset's folder, or the file is no whole picture.
    """
    path = (subset / relative).resolve()
    if not path.is_relative_to(subset.resolve()):
        raise ValueError(f"{relative} leads out of the dataset's folder {subset}")
    if not path.is_file():
        return None
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except OSError as error:
        raise ValueError(f"{path} is no whole picture: {error}") from None
    small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
