"""Samples of a dataset on disk: found, picked evenly over the tasks, and read with their pictures."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from synth.dataset import PROOFS_FILE, find_subsets, read_lines, read_rows, tasks_file
from synth.sample_form import check_proof, check_task

_QUALITY = 72


@dataclass(frozen=True)
class Said:
    """What a model said to a question.

    Args:
        score: by the exact metric, 0 to 1.
        unread: why nothing could be read, if so.
        box_px: of an answer that is a box, pixels of the second view.
    """

    response: str
    score: float
    unread: str = ""
    box_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Sample:
    """A question with its proof, and the subset's folder that both lie in; and what a model said, where it is known."""

    subset: Path
    task: dict[str, Any]
    proof: dict[str, Any]
    said: Said | None = None

    @property
    def frames(self) -> tuple[str, str]:
        """Paths of the two views, relative to the subset's folder; they exist where pictures were written."""
        where = self.proof["transition"]
        folder = f"scenes/{where['scene_id']}/traj_{where['traj_id']}/samples-rgb"
        before, after = (f"{folder}/{frame:03d}.png" for frame in where["frames"])
        return before, after


def pick_samples(root: Path, limit: int, among: Container[str] | None = None) -> tuple[list[Sample], int]:
    """At most `limit` samples, evenly over tasks, then subsets, then lines; and how many there are in all.

    Args:
        among: ids of questions that there are to pick from; None for all.

    Raises:
        ValueError: if there is no dataset, a line is not of the form that the page reads, or tasks and proofs do not
            match.
    """
    groups: dict[tuple[str, Path], list[int]] = defaultdict(list)
    for subset in find_subsets(root):
        for number, row in read_lines(tasks_file(subset)):
            task = _task_type(subset, number, row)
            if among is None or row["id"] in among:
                groups[task, subset].append(number)
    wanted = _wanted_lines({key: groups[key] for key in sorted(groups)}, limit)
    samples = [sample for subset in sorted(wanted) for sample in _samples(subset, wanted[subset])]
    return sorted(samples, key=lambda s: s.task["task_type"]), sum(map(len, groups.values()))


def _task_type(subset: Path, number: int, row: dict[str, Any]) -> str:
    with _named(tasks_file(subset), number):
        check_task(row)
    return row["task_type"]


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


def _samples(subset: Path, numbers: set[int]) -> Iterator[Sample]:
    for number, (task, proof) in zip(sorted(numbers), read_rows(subset, numbers), strict=True):
        with _named(subset / PROOFS_FILE, number):
            if task["id"] != proof.get("id"):
                raise ValueError(f"the proof is of {proof.get('id')}, not of {task['id']}")
            check_proof(proof)
        yield Sample(subset, task, proof)


@contextmanager
def _named(path: Path, number: int) -> Iterator[None]:
    """Puts file and line before what is wrong there."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path} line {number}: {error}") from None


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
