"""A file of anybody's answers against the truth: read, joined with a dataset, scored by one of two metrics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth import exact, reward_world2vlm
from synth.box_units import THOUSANDTHS, BoxUnit
from synth.dataset import find_subsets, read_lines, read_rows, tasks_file
from synth.samples import Said
from synth.scoring import Graded, count_reasons, difficulty, summarise
from synth.workers import run_jobs

METRICS = ("exact", "world2vlm")


@dataclass(frozen=True)
class Asked:
    """What a prediction answers: its ground truth, the scene it depends on, and how hard it is."""

    ground_truth: Any
    task_type: str
    group: str
    difficulty: dict[str, str]


def score_file(
    path: Path,
    data: Path | None,
    metric: str,
    *,
    unit: BoxUnit = THOUSANDTHS,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score a file of predictions.

    Args:
        path: JSON lines, each with `response` and either `id` (of a question in `data`) or `ground_truth` (JSON text
            of task_type and answer, or the answer alone beside `task_type`).
        data: folder of the dataset that the ids are from; None where every line carries its ground truth.
        metric: `exact` or `world2vlm`.
        unit: of the boxes in the responses to a dataset's questions.
        seed: of what is dealt and resampled.
        workers: processes for a long file; the scores do not depend on them.
        progress: called with (answers scored, answers in all).

    Returns:
        `scores` in the order of the lines, the summary of `synth.scoring.summarise`, `unread` by reason, `shortened`
        (answers longer than what is read), and with `data` for each task how many questions have no answer.

    Raises:
        ValueError: if a line is no prediction, an id is unknown or occurs twice, or a ground truth cannot be read.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    if metric == "world2vlm" and unit.resize is not None:
        raise ValueError("the published reward reads boxes in thousandths alone; score pixel boxes by --metric exact")
    if data is None and unit.resize is not None:
        raise ValueError("boxes in pixels of the resized picture need --data, which knows the pictures' sizes")
    predictions = _read_predictions(path, data)
    asked, unanswered = _questions(path, predictions, data, metric, unit)
    pairs = [(what.ground_truth, row.get("response")) for row, what in zip(predictions, asked, strict=True)]
    try:
        scores = _scores(pairs, metric, workers, progress)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    graded = [_graded(what, found, metric) for what, found in zip(asked, scores, strict=True)]
    return {
        "metric": metric,
        "metric_version": exact.VERSION if metric == "exact" else "World2VLM 64febe1",
        "n": len(scores),
        "scores": scores,
        **summarise(graded, seed),
        "unread": count_reasons(scores),
        "shortened": sum("note" in row for row in scores),
        "unanswered": dict(unanswered),
    }


def read_said(path: Path, data: Path, unit: BoxUnit = THOUSANDTHS) -> dict[str, Said]:
    """What a file of predictions says to the questions of a dataset, by their ids, with exact scores, to be shown.

    Raises:
        ValueError: as `score_file`.
    """
    scores = score_file(path, data, "exact", unit=unit)["scores"]
    said = {
        row["id"]: (row.get("response"), found)
        for row, found in zip(_read_predictions(path, data), scores, strict=True)
    }
    return {
        task["id"]: _said(task, proof, *said[task["id"]], unit)
        for subset in find_subsets(data)
        for task, proof in read_rows(subset)
        if task["id"] in said
    }


def _said(task: dict[str, Any], proof: dict[str, Any], response: Any, found: dict[str, Any], unit: BoxUnit) -> Said:
    box = exact.read("D1", proof["variant"], response) if task["task_type"] == "D1" and "reason" not in found else None
    size = proof["transition"]["image_size"]
    box_px = unit.pixels(box, *size) if isinstance(box, tuple) else None
    return Said("" if response is None else str(response), found["overall"], found.get("reason", ""), box_px)


_CHUNK = 10_000
_WORTH_WORKERS = 5
"""Chunks from which on more processes save more than they take to start."""

Pair = tuple[Any, Any]
"""Ground truth and response."""


def _scores(
    pairs: list[Pair], metric: str, workers: int, progress: Callable[[int, int], None] | None
) -> list[dict[str, Any]]:
    """Scores in order, by one process or several."""
    jobs = [(start, pairs[start : start + _CHUNK], metric) for start in range(0, len(pairs), _CHUNK)]
    found: dict[int, list[dict[str, Any]]] = {}
    for start, rows in run_jobs(_score_chunk, jobs, workers if len(jobs) >= _WORTH_WORKERS else 1):
        found[start] = rows
        if progress:
            progress(sum(map(len, found.values())), len(pairs))
    return [row for start in sorted(found) for row in found[start]]


def _score_chunk(job: tuple[int, list[Pair], str]) -> tuple[int, list[dict[str, Any]]]:
    start, pairs, metric = job
    rows = []
    for number, (ground_truth, response) in enumerate(pairs, start=start + 1):
        if metric == "world2vlm":
            rows.append(reward_world2vlm.score(response, ground_truth))
            continue
        try:
            rows.append(exact.score(exact.read_truth(ground_truth), response))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return start, rows


def _graded(asked: Asked, found: dict[str, Any], metric: str) -> Graded:
    truth = exact.read_truth(asked.ground_truth) if metric == "exact" else None
    return Graded(asked.task_type, found["overall"], asked.group, truth, asked.difficulty)


def _read_predictions(path: Path, data: Path | None) -> list[dict[str, Any]]:
    if not path.is_file():
        raise ValueError(f"no predictions at {path}: it is {'a folder' if path.is_dir() else 'not there'}")
    rows = []
    for number, row in read_lines(path, is_ours=False):
        if data is None and "ground_truth" not in row:
            hint = "it has an id: name the dataset with --data" if "id" in row else "it has no id either"
            raise ValueError(f"{path} line {number} must have a ground_truth where no dataset is named; {hint}")
        if data is not None and "id" not in row:
            raise ValueError(f"{path} line {number} must have the id of a question of {data}")
        if "response" not in row and not {"answer", "prediction", "output"}.isdisjoint(row):
            raise ValueError(f"{path} line {number} must have its answer under 'response', got {sorted(row)}")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path} is empty: there is nothing to score")
    return rows


def _questions(
    path: Path, rows: list[dict[str, Any]], data: Path | None, metric: str, unit: BoxUnit
) -> tuple[list[Asked], Counter[str]]:
    if data is None:
        return [_asked_in_line(number, row, metric) for number, row in enumerate(rows, start=1)], Counter()
    lines: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if lines.setdefault(str(row["id"]), number) != number:
            first = lines[str(row["id"])]
            raise ValueError(f"{path} answers {row['id']} twice, in lines {first} and {number}; only one answer counts")
    found, unanswered = _from_data(data, lines, metric, unit)
    if unknown := [name for name in lines if name not in found]:
        raise ValueError(
            f"{len(unknown)} of {len(lines)} ids of {path} are in no question of {data}, the first {unknown[0]!r}"
            f" in line {lines[unknown[0]]}; is it another dataset?"
        )
    return [found[name] for name in lines], unanswered


def _asked_in_line(number: int, row: dict[str, Any], metric: str) -> Asked:
    ground_truth = _packed(row)
    if metric == "exact" and not isinstance(ground_truth, str):
        ground_truth = json.dumps(ground_truth)
    return Asked(ground_truth, _task_type(row, ground_truth), str(row.get("id", number)), {})


def _packed(row: dict[str, Any]) -> Any:
    """The ground truth as the reward reads it: as it stands if it is JSON, else the bare answer with its task."""
    task_type, answer = row.get("task_type"), row["ground_truth"]
    if not (isinstance(task_type, str) and task_type in exact.TASK_TYPES and isinstance(answer, str)):
        return answer
    if answer.lstrip().startswith("{"):
        return answer
    packed = reward_world2vlm.pack(task_type, answer)
    try:
        exact.read_truth(packed)
    except ValueError:
        return answer
    return packed


def _task_type(row: dict[str, Any], ground_truth: Any) -> str:
    told = reward_world2vlm.unpack(ground_truth)[0] if isinstance(ground_truth, str) else ""
    return str(row.get("task_type") or told) or "other"


def _from_data(data: Path, wanted: dict[str, int], metric: str, unit: BoxUnit) -> tuple[dict[str, Asked], Counter[str]]:
    """What the wanted ids ask, and how many questions of each task that is answered at all have no answer."""
    found: dict[str, Asked] = {}
    asked: Counter[str] = Counter()
    for subset in find_subsets(data):
        for task, what in _rows(subset, wanted, metric, unit):
            asked[task["task_type"]] += 1
            if what is not None:
                found[task["id"]] = what
    answered = Counter(what.task_type for what in found.values())
    return found, Counter({task: asked[task] - count for task, count in answered.items() if asked[task] > count})


def _rows(
    subset: Path, wanted: dict[str, int], metric: str, unit: BoxUnit
) -> Iterator[tuple[dict[str, Any], Asked | None]]:
    if metric == "world2vlm":  # needs no proofs, and published data has none
        for number, task in read_lines(tasks_file(subset)):
            name = task.get("id", f"{subset.name}:{number}")
            packed = reward_world2vlm.pack(task["task_type"], task["messages"][1]["content"])
            yield task | {"id": name}, Asked(packed, task["task_type"], name, {}) if name in wanted else None
        return
    for task, proof in read_rows(subset):
        if task["id"] not in wanted:
            yield task, None
        else:
            group = f"{subset.name}/{proof['transition']['scene_id']}"
            yield task, Asked(exact.ground_truth(task, proof, unit), task["task_type"], group, difficulty(proof))
