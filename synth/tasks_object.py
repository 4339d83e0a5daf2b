"""Tasks about one object: D1 its box after the motion, D2 is it gone, D3 what moved it, D4 is it the same one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from geom.boxes import box_iou, normalise_box
from synth.answers import BoxAnswer, IdentityAnswer, VisibilityAnswer
from synth.case import Case, DoesNotApply, LeftOut, Question, Target, balanced
from synth.evidence import MAX_BOX_AREA, MIN_BOX_AREA, Sight
from synth.tasks_motion import motion_answer

GONE = 0.02
STILL_THERE = 0.25
"""Visible share at or below which an object is gone, and at or above which it is still there. Between: not asked."""

MIN_SEEN = 0.5
"""An object is asked about only if at least this share of it is visible before the motion."""

MAX_COPY_IOU = 0.7
"""Box before and after must differ so far, or copying the question's box would do."""

MAX_OTHER_IOU = 0.2
"""A box that is said to show another thing overlaps the object's own box by at most so much."""


def ask_box(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """D1: the box after the motion, from the first image alone ("predict") or from both ("track")."""
    moved = (i for i in _clean_in_both(case) if _iou(_box(case.before, i), _box(case.after, i)) <= MAX_COPY_IOU)
    i = _nth(moved, nth, "no object with a whole box in both views that moved in the picture")
    box = _box(case.after, i)
    asked = _asked(case, i) | {"actions": case.actions.text()}
    answer = BoxAnswer(normalise(case.after, box), box)
    return Question("D1", variant, asked, answer, (Target(i),), (*_given(case, i), (1, "answer", box)))


def ask_visibility(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """D2: is the object gone after the motion, outside the image or hidden?"""
    owns_pixels = np.isfinite(case.after.visible[:, 0])
    # What is hidden though it is in the image comes first: it is the rarer way to be gone, and the harder to tell.
    order = sorted(_clean_before(case), key=lambda i: bool(np.isnan(case.after.amodal[i, 0])))
    gone = next((i for i in order if not owns_pixels[i] and _share(case.after, i, 0.0, GONE)), None)
    stays = next((i for i in order if owns_pixels[i] and _share(case.after, i, STILL_THERE, 1.0)), None)
    is_gone, i = balanced(rng, gone, stays, "not both a gone and a remaining object")
    asked = _asked(case, i) | {"actions": case.actions.text()}
    margins = {"gone_at_most": GONE, "still_there_at_least": STILL_THERE}
    return Question("D2", variant, asked, VisibilityAnswer(is_gone), (Target(i),), _given(case, i), margins)


def ask_cause(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """D3: the one or two actions that took the object's box from here to there."""
    if len(case.actions) > 2:
        raise DoesNotApply("asks about one or two actions")
    i = _nth(_clean_in_both(case), nth, "no object with a whole box in both views")
    box = _box(case.after, i)
    asked = _asked(case, i) | {"box_after": normalise(case.after, box), "num_actions": len(case.actions)}
    boxes = (*_given(case, i), (1, "question", box))
    return Question("D3", variant, asked, motion_answer(case.actions), (Target(i),), boxes)


def ask_identity(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """D4: do two boxes show one object? Hard others: its double, and where the mirrored motion would put it."""
    rivals = ((i, _others(case, i)) for i in _clean_in_both(case))
    i, others = _nth((r for r in rivals if r[1]), nth, "no object in both views with something else to mistake it for")
    same = ("same object", Target(i, "same"), _box(case.after, i))
    is_same, (reason, second, box) = balanced(rng, same, others[rng.integers(len(others))], "")
    asked = _asked(case, i) | {"actions": case.actions.text(), "box_after": normalise(case.after, box)}
    targets = (Target(i), second) if second and second.item_idx != i else (Target(i),)
    boxes = (*_given(case, i), (1, "question", box))
    return Question("D4", variant, asked, IdentityAnswer(is_same), targets, boxes, {"reason": reason})


def _others(case: Case, i: int) -> list[Any]:
    """What box in the second view might be mistaken for the object's: (reason, target or None, box)."""
    return [other for other in (_double(case, i), _mirrored(case, i)) if other]


def _double(case: Case, i: int):
    kinds = case.before.evidence.kinds
    own = _box(case.after, i)
    for j in case.item_order:
        is_double = j != i and kinds[j] == kinds[i] and case.after.is_clean[j]
        if is_double and _iou(own, _box(case.after, j)) <= MAX_OTHER_IOU:
            return "another of its kind", Target(j, "other"), _box(case.after, j)
    return None


def _mirrored(case: Case, i: int):
    T_world_mirrored = case.before.T_world_cam @ case.actions.mirrored().pose()
    row = case.before.evidence.boxes(T_world_mirrored, case.after.camera)[i]
    box = tuple(row.tolist())
    width, height = case.after.camera.width, case.after.camera.height
    share = (row[2] - row[0]) * (row[3] - row[1]) / (width * height)
    if not MIN_BOX_AREA <= share <= MAX_BOX_AREA or _iou(_box(case.after, i), box) > MAX_OTHER_IOU:
        return None
    return "where the mirrored motion would put it", None, box


def _clean_before(case: Case) -> Iterator[int]:
    """Items whose box can be given in the first image."""
    for i in case.item_order:
        if case.before.is_clean[i] and _share(case.before, i, MIN_SEEN, 1.0):
            yield i


def _clean_in_both(case: Case) -> Iterator[int]:
    return (i for i in _clean_before(case) if case.after.is_clean[i] and case.after.partition(i) is not None)


def _nth(found: Iterator[Any], nth: int, cause: str) -> Any:
    """The nth of what was found.

    Raises:
        LeftOut: `cause`, if there are not so many.
    """
    for one in islice(found, nth, None):
        return one
    raise LeftOut(cause)


def _share(sight: Sight, i: int, low: float, high: float) -> bool:
    shares = sight.partition(i)
    return shares is not None and low <= shares.visible <= high


def _box(sight: Sight, i: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = sight.amodal[i].tolist()
    return x1, y1, x2, y2


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return float(box_iou(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)))


def normalise(sight: Sight, box: tuple[float, ...]) -> tuple[int, int, int, int]:
    """A pixel box in thousandths of the image."""
    return normalise_box(box, sight.camera.width, sight.camera.height)


def _asked(case: Case, i: int) -> dict:
    return {"label": case.before.evidence.kinds[i], "box": normalise(case.before, _box(case.before, i))}


def _given(case: Case, i: int) -> tuple[tuple[int, str, tuple[float, ...]], ...]:
    return ((0, "question", _box(case.before, i)),)
