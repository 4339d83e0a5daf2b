"""VSI-Bench (Yang et al. 2024, "Thinking in Space"): questions about videos, in numbers or by letter.

Definitions as in the authors' lmms-eval task (xena1t/thinking-in-space c26ba54, ellisbrown/thinking-in-space a99d5c3).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synth.bench_question import BenchQuestion, check_fields, checked, read_parquet
from synth.dataset import read_lines

DIRECTIONS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))
CHOICE = (*DIRECTIONS, "object_rel_distance", "route_planning", "obj_appearance_order")
NUMBER = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
FIELDS = ("id", "dataset", "scene_name", "question_type", "question", "ground_truth", "options")

_LEAD = "These are frames of a video."
_CHOICE_TAIL = "Answer with the option's letter from the given choices directly."
_NUMBER_TAIL = "Please answer the question using a single word or phrase."
_BOUNDS = (1 - np.linspace(0.5, 0.95, 10)).tolist()
"""Relative errors within which a number counts; in the authors' float64 grid, where 1 - 0.8 is below 0.2."""


def read(path: Path) -> Iterator[BenchQuestion]:
    """Questions from `test.jsonl` or a `test*.parquet` file, or the folder of one; videos are `<dataset>/<scene>.mp4`.

    Raises:
        ValueError: if neither file is there, or a row is not in the benchmark's format.
    """
    file = _file(path)
    rows = read_parquet(file, FIELDS) if file.suffix == ".parquet" else (row for _, row in read_lines(file))
    for number, row in enumerate(rows, start=1):
        check_fields(file, list(row), FIELDS)
        yield checked(file, number, lambda row=row, number=number: _question(file, number, row))


def _file(path: Path) -> Path:
    found = [path] if path.is_file() else [*sorted(path.glob("test.jsonl")), *sorted(path.glob("test*.parquet"))]
    if not found:
        raise ValueError(f"{path} must hold VSI-Bench's test.jsonl or test*.parquet, and holds neither")
    return found[0]


def _question(file: Path, number: int, row: Mapping[str, Any]) -> BenchQuestion:
    kind, gold = row["question_type"], str(row["ground_truth"])
    if kind not in CHOICE + NUMBER:
        raise ValueError(f"{file} row {number} has question_type {kind!r}; known: {', '.join(CHOICE + NUMBER)}")
    options = _options(row["options"])
    if kind in CHOICE and not options:
        raise ValueError(f"{file} row {number}: a {kind} question must have options, got {row['options']!r}")
    if kind in NUMBER and to_float(gold) in (None, 0.0):
        raise ValueError(f"{file} row {number}: the true number of a {kind} question must not be 0, got {gold!r}")
    parts = [_LEAD, row["question"]]
    parts += ["Options:", *options, _CHOICE_TAIL] if kind in CHOICE else [_NUMBER_TAIL]
    video = file.parent / str(row["dataset"]) / f"{row['scene_name']}.mp4"
    return BenchQuestion(str(row["id"]), kind, "\n".join(parts), gold, video=video)


def _options(value: Any) -> list[str]:
    return json.loads(value) if isinstance(value, str) else list(value or [])


def score(question: BenchQuestion, response: str) -> float:
    """Right or wrong by the first word for a choice, mean relative accuracy for a number."""
    said = response.split(" ")[0].rstrip(".").strip()
    if question.category in CHOICE:
        return float(said.lower() == question.gold.lower())
    true, number = to_float(question.gold), to_float(said)
    return 0.0 if number is None or true is None else mean_relative_accuracy(number, true)


def to_float(text: str) -> float | None:
    """The number that a text is, None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def mean_relative_accuracy(said: float, true: float) -> float:
    """MRA: the share of the confidences 0.50, 0.55 ... 0.95 at which the relative error is within 1 - confidence.

    >>> mean_relative_accuracy(3, 4), mean_relative_accuracy(9.5, 10)
    (0.6, 1.0)
    """
    error = abs(said - true) / true
    if not math.isfinite(error):
        return 0.0
    return sum(error <= bound for bound in _BOUNDS) / len(_BOUNDS)


def overall(by_category: Mapping[str, list[float]]) -> tuple[dict[str, float], float]:
    """Mean of each question type, the three levels of direction as one, and the plain mean of those."""
    figures = {kind: sum(scores) / len(scores) for kind, scores in by_category.items()}
    levels = [figures.pop(level) for level in DIRECTIONS if level in figures]
    if levels:
        figures["object_rel_direction"] = sum(levels) / len(levels)
    return figures, sum(figures.values()) / len(figures)
