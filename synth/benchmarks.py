"""Published benchmarks in their own local formats, scored by their own definitions: SAT, VSI-Bench, MindCube."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth import bench_mindcube, bench_sat, bench_vsi
from synth.bench_question import BenchQuestion
from synth.dataset import read_lines


@dataclass(frozen=True)
class Benchmark:
    """How one benchmark is read, how an answer is scored, and how scores become one figure."""

    read: Callable[[Path], Iterator[BenchQuestion]]
    """Questions in the benchmark's order, from the place where it was unpacked."""
    score: Callable[[BenchQuestion, str], float]
    """Score of a response, 0 to 1."""
    overall: Callable[[Mapping[str, list[float]]], tuple[dict[str, float], float]]
    """From scores by category to the figures by category and the one that is published."""


BENCHMARKS = {
    "sat": Benchmark(bench_sat.read, bench_sat.score, bench_sat.overall),
    "vsi-bench": Benchmark(bench_vsi.read, bench_vsi.score, bench_vsi.overall),
    "mindcube": Benchmark(bench_mindcube.read, bench_mindcube.score, bench_mindcube.overall),
}


def score_benchmark(name: str, path: Path, predictions: Path) -> dict[str, Any]:
    """Score a file of predictions by a benchmark's own definition.

    Args:
        name: of `BENCHMARKS`.
        path: where the benchmark was unpacked; see the reader of each.
        predictions: JSON lines with `id` (as the reader gives it) and `response`.

    Returns:
        `scores` by id, `categories` and `overall` as published; a question without an answer counts as wrong, and
        `unanswered` says how many there are.

    Raises:
        ValueError: if the benchmark is not there or not in its format, a line is no prediction, or an id is unknown
            or occurs twice.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"benchmark must be one of {', '.join(BENCHMARKS)}, got {name!r}")
    benchmark, responses = BENCHMARKS[name], read_responses(predictions)
    by_category: dict[str, list[float]] = defaultdict(list)
    scores, unanswered = {}, 0
    for question in benchmark.read(path):
        response = responses.pop(question.question_id, None)
        unanswered += response is None
        scores[question.question_id] = benchmark.score(question, response or "")
        by_category[question.category].append(scores[question.question_id])
    if responses:
        raise ValueError(
            f"{len(responses)} ids of {predictions} are not in {name}, the first {next(iter(responses))!r}"
        )
    if not scores:
        raise ValueError(f"{path} holds no question of {name}")
    categories, overall = benchmark.overall(by_category)
    counts = {category: len(values) for category, values in by_category.items()}
    return {
        "benchmark": name,
        "n": len(scores),
        "counts": counts,
        "categories": categories,
        "overall": overall,
        "unanswered": unanswered,
        "scores": scores,
    }


def read_responses(path: Path) -> dict[str, str]:
    """Id to response of a file of predictions.

    Raises:
        ValueError: if the file is not there, or a line lacks id or response, repeats an id, or is no text.
    """
    if not path.is_file():
        raise ValueError(f"no predictions at {path}: it is {'a folder' if path.is_dir() else 'not there'}")
    responses: dict[str, str] = {}
    for number, row in read_lines(path, is_ours=False):
        name, response = str(row.get("id", "")), row.get("response")
        if not name or not isinstance(response, str):
            raise ValueError(f"{path} line {number} must have an id and a response that is text, got {sorted(row)}")
        if name in responses:
            raise ValueError(f"{path} line {number} answers {name} again; only one answer counts")
        responses[name] = response
    return responses
