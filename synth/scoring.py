"""From scored answers to means that mean something: chance taken off, whole scenes resampled, hard cases apart."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.exact import Truth, grade

NUM_RESAMPLES = 1000
_MOST_GROUPS = 2000
"""Scenes beyond so many are resampled in fixed bundles, which costs an interval nothing and bounds the memory."""
_DEALT = 20_000
"""Pairs of question and dealt answer that chance is averaged over: all, or so many, an error near 0.002."""

_MOVED = ((0.0, "no move"), (0.5, "up to 0.5 m"), (1.5, "0.5 to 1.5 m"), (np.inf, "over 1.5 m"))
_TURNED = ((0.0, "no turn"), (30.0, "up to 30 deg"), (60.0, "30 to 60 deg"), (np.inf, "over 60 deg"))
_VISIBLE = ((0.02, "gone"), (0.5, "a quarter to half"), (0.9, "half to 0.9"), (np.inf, "over 0.9"))
_SHIFT = ((0.05, "up to 0.05 of the width"), (0.15, "0.05 to 0.15 of the width"), (np.inf, "over 0.15 of the width"))


@dataclass(frozen=True)
class Graded:
    """One scored answer: what was asked, the score, and which scene (group) it depends on."""

    task_type: str
    score: float
    group: str
    truth: Truth | None = None
    """None where the metric has no typed truth: chance is then not taken off."""
    difficulty: Mapping[str, str] = field(default_factory=dict)


def difficulty(proof: Mapping[str, Any]) -> dict[str, str]:
    """Which drawers a question lies in: motion size, visible share after the motion, margin of a false claim."""
    amounts = [part.split() for part in proof["transition"]["actions"].split("; ")]
    moved = sum(float(words[2]) for words in amounts if words[0] == "move")
    turned = sum(float(words[2]) for words in amounts if words[0] == "turn")
    drawers = {"moved": _drawer(moved, _MOVED), "turned": _drawer(turned, _TURNED)}
    if proof["items"] and (visible := proof["items"][0]["after"]["visible"]) is not None:
        drawers["visible after"] = _drawer(visible, _VISIBLE)
    if proof["task_type"] == "A4" and not proof["answer"]["is_true"]:
        drawers["false claim shifts the picture by"] = _drawer(proof["margins"]["displacement"], _SHIFT)
    return drawers


def _drawer(value: float, edges: Sequence[tuple[float, str]]) -> str:
    return next(name for edge, name in edges if value <= edge)


def summarise(rows: Sequence[Graded], seed: int = 0) -> dict[str, Any]:
    """Means per task and per difficulty, with 95 % intervals.

    Yes-no tasks are averaged over the two true answers, each weighing the same, so that always saying one of them
    scores one half. `chance` is that half; for other tasks it is what the true answers score when they are dealt out
    among the questions of the task. `corrected` is (mean - chance) / (1 - chance): 0 for guessing, 1 for the truth.
    Intervals resample whole scenes (Poisson bootstrap), since the questions about one scene stand or fall together.

    Returns:
        `tasks`: per task n, mean, interval and, where truths are typed, chance, corrected, corrected_interval;
        `all`: the mean over tasks of the same; `difficulty`: per task, drawer by drawer.
    """
    sampler = _Resampler([row.group for row in rows], seed)
    by_task: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_task[row.task_type].append(i)
    tasks, samples = {}, {}
    for task in sorted(by_task):
        chance = chance_of([rows[i] for i in by_task[task]], seed)
        tasks[task], samples[task] = sampler.estimate(rows, by_task[task], chance)
    drawers = {task: _by_difficulty(sampler, rows, by_task[task], tasks[task].get("chance")) for task in tasks}
    return {"tasks": tasks, "all": _overall(tasks, samples), "difficulty": {k: v for k, v in drawers.items() if v}}


def chance_of(rows: Sequence[Graded], seed: int = 0) -> float | None:
    """What guessing scores in one task; None where the metric has no typed truth.

    Raises:
        ValueError: if only some of the rows have a typed truth.
    """
    truths = [row.truth for row in rows if row.truth is not None]
    if len(truths) != len(rows):
        if truths:
            raise ValueError(f"of {len(rows)} rows of a task {len(truths)} have a typed truth; it must be all or none")
        return None
    if truths[0].is_yes_no:
        return 1.0 / len({truth.value for truth in truths})
    n = len(truths)
    all_pairs = list(product(range(n), repeat=2)) if n * n <= _DEALT else None
    pairs = all_pairs or np.random.default_rng([seed, n]).integers(n, size=(_DEALT, 2)).tolist()
    return float(np.mean([grade(truths[i], truths[j].value) for i, j in pairs]))


class _Resampler:
    """Weights of groups of rows in every resample, drawn once, so that tasks are resampled together."""

    def __init__(self, groups: Sequence[str], seed: int) -> None:
        names = sorted(set(groups))
        if len(names) <= _MOST_GROUPS:
            index = {name: i for i, name in enumerate(names)}
        else:
            index = {name: zlib.crc32(name.encode()) % _MOST_GROUPS for name in names}
        self.group = np.array([index[name] for name in groups], np.intp)
        self.num_groups = max(index.values(), default=-1) + 1
        rng = np.random.default_rng(seed)
        self.weight = rng.poisson(1.0, (NUM_RESAMPLES, self.num_groups)).astype(np.float64)

    def estimate(
        self, rows: Sequence[Graded], indices: Sequence[int], chance: float | None
    ) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Mean with its interval and what is left of it without chance; and the (corrected) mean of each resample."""
        scores = np.array([rows[i].score for i in indices])
        labels = [_class_of(rows[i]) for i in indices]
        kinds = sorted(set(labels))
        kind = np.array([kinds.index(label) for label in labels])
        mean = float(np.mean([scores[kind == k].mean() for k in range(len(kinds))]))
        resampled = self._means(scores, kind, len(kinds), self.group[list(indices)])
        found: dict[str, Any] = {"n": len(indices), "mean": mean, "interval": _interval(resampled)}
        if chance is None:
            return found, resampled
        found["chance"] = chance
        if chance >= 1.0:
            return found | {"corrected": None, "corrected_interval": None}, np.full(NUM_RESAMPLES, np.nan)
        corrected = (resampled - chance) / (1.0 - chance)
        found |= {"corrected": (mean - chance) / (1.0 - chance), "corrected_interval": _interval(corrected)}
        return found, corrected

    def _means(self, scores: NDArray[np.float64], kind: Any, num_kinds: int, group: Any) -> NDArray[np.float64]:
        sums = np.zeros((self.num_groups, num_kinds))
        counts = np.zeros((self.num_groups, num_kinds))
        np.add.at(sums, (group, kind), scores)
        np.add.at(counts, (group, kind), 1.0)
        drawn = self.weight @ counts
        with np.errstate(invalid="ignore"):
            per_kind = (self.weight @ sums) / drawn
        # A resample that drew none of one true answer says nothing about the mean over both.
        return per_kind.mean(1)


def _class_of(row: Graded) -> str:
    """Yes-no answers are averaged by true answer."""
    return str(row.truth.value) if row.truth is not None and row.truth.is_yes_no else ""


def _interval(values: NDArray[np.float64]) -> list[float] | None:
    known = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(known, (2.5, 97.5))] if len(known) else None


def _overall(tasks: Mapping[str, dict[str, Any]], samples: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    found: dict[str, Any] = {"n": sum(t["n"] for t in tasks.values())}
    if not tasks:
        return found
    found["mean"] = float(np.mean([t["mean"] for t in tasks.values()]))
    used = [task for task, t in tasks.items() if t.get("corrected") is not None]
    if used:
        found["corrected"] = float(np.mean([tasks[task]["corrected"] for task in used]))
        found["corrected_interval"] = _interval(np.mean([samples[task] for task in used], axis=0))
    return found


def _by_difficulty(sampler: _Resampler, rows: Sequence[Graded], indices: list[int], chance: float | None) -> Any:
    drawers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i in indices:
        for variable, drawer in rows[i].difficulty.items():
            drawers[variable, drawer].append(i)
    order = {name: k for edges in (_MOVED, _TURNED, _VISIBLE, _SHIFT) for k, (_, name) in enumerate(edges)}
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for variable, drawer in sorted(drawers, key=lambda key: (key[0], order[key[1]])):
        inside = drawers[variable, drawer]
        # One true answer alone cannot be told from always saying it: then the task's own chance would flatter.
        here = chance_of([rows[i] for i in inside]) if chance is not None and _class_of(rows[inside[0]]) else chance
        found[variable][drawer] = sampler.estimate(rows, inside, here)[0]
    return dict(found)


def count_reasons(scores: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How often an answer could not be read, by reason, most frequent first."""
    return dict(Counter(row["reason"] for row in scores if "reason" in row).most_common())
