"""The `exact` metric: one answer, compared with what geometry says, on a scale where chance can be taken off.

Motion (A1, A2, A3, D3): by the pose that the actions reach, however they are spelled; the score falls from 1 to 0 as
the end point misses by a fifth of the metres moved, and the heading (modulo 360) by a fifth of the degrees turned.
Box (D1): by IoU, with the box of the question as zero. Yes-no (A4, D2, D4): right or wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from geom.actions import ActionSequence, PlanarPose, parse_actions
from synth.box_units import THOUSANDTHS, BoxUnit, box_text
from synth.responses import MAX_READ, Box, Unread, final_answer, read_actions, read_box, read_yes_no

VERSION = 1
"""Raised whenever a score changes, so that scores of different definitions are never compared."""

MOTION_TASKS = ("A1", "A2", "A3", "D3")
YES_NO_TASKS = ("A4", "D2", "D4")
TASK_TYPES = (*MOTION_TASKS, *YES_NO_TASKS, "D1")

FREE_FALL = 0.2
"""A miss by this share of the size asked scores 0."""
NOTHING = 1e-6
"""A miss below this, metres or degrees, is rounding."""


@dataclass(frozen=True)
class Truth:
    """What the right answer to a question is, and what its words were."""

    task_type: str
    variant: str
    value: ActionSequence | Box | bool
    question_box: Box | None = None
    """Where D1 says the object is before the motion; copying it scores 0."""

    @property
    def is_yes_no(self) -> bool:
        """Whether there are two possible answers."""
        return isinstance(self.value, bool)


@lru_cache(maxsize=65536)
def read_truth(ground_truth: str) -> Truth:
    """The truth in a ground truth as datasets carry it.

    Args:
        ground_truth: JSON text with `task_type` and `answer`; `variant` (the phrasing) is told from the answer where
            absent, and without `question_box` a box is scored by plain IoU.

    Raises:
        ValueError: if a field is missing, the task is unknown, or the answer cannot be read as one of that task.

    >>> read_truth('{"task_type": "A1", "answer": "move left 0.5 meters"}').value.text()
    'move left 0.5 meters'
    """
    try:
        fields = json.loads(ground_truth)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("answer"), str):
        raise ValueError(f"a ground truth must be JSON with task_type and answer, got {ground_truth[:80]!r}")
    task_type, answer = str(fields.get("task_type")), fields["answer"].strip()
    variant = fields.get("variant") or _variant(answer)
    if task_type in MOTION_TASKS:
        return Truth(task_type, variant, parse_actions(answer))
    if task_type == "D1":
        question = fields.get("question_box")
        return Truth(task_type, variant, _true_box(answer), None if question is None else _true_box(str(question)))
    if task_type in YES_NO_TASKS:
        value = read_yes_no(answer, task_type, variant)
        if isinstance(value, Unread):
            raise ValueError(f"the answer of {task_type} must say yes or no in one way, got {answer!r}: {value.reason}")
        return Truth(task_type, variant, value)
    raise ValueError(f"task_type must be one of {', '.join(sorted(TASK_TYPES))}, got {task_type!r}")


def _true_box(text: str) -> Box:
    box = read_box(text)
    if isinstance(box, Unread):
        raise ValueError(f"a true box must read [x1, y1, x2, y2], got {text!r}: {box.reason}")
    return box


def _variant(answer: str) -> str:
    """The phrasing that an answer in the published words belongs to."""
    if answer in ("A", "B"):
        return "choice"
    return "sentence" if " " in answer and not answer[0].isdigit() and answer[0] != "[" else "open"


def score(truth: Truth, response: Any) -> dict[str, Any]:
    """Score one response from 0 to 1.

    Returns:
        `overall`; `reason` where nothing could be read, and `note` where only a part was.

    >>> truth = read_truth('{"task_type": "A3", "answer": "move left 1 meters; move forward 2 meters"}')
    >>> score(truth, "move forward 2 m, then move left 1 m")
    {'overall': 1.0}
    """
    if not isinstance(response, str):
        return {"overall": 0.0, "reason": f"the response must be text, got {type(response).__name__}"}
    said = read(truth.task_type, truth.variant, response)
    row: dict[str, Any] = {"overall": 0.0 if isinstance(said, Unread) else grade(truth, said)}
    if isinstance(said, Unread):
        row["reason"] = said.reason
    if len(response) > MAX_READ:
        row["note"] = f"{len(response)} characters, of which the first {MAX_READ} were read"
    return row


@lru_cache(maxsize=65536)
def read(task_type: str, variant: str, response: str) -> ActionSequence | Box | bool | Unread:
    """What a response says, as an answer of this task."""
    text = final_answer(response)
    if task_type == "D1":
        return read_box(text)
    if task_type in YES_NO_TASKS:
        return read_yes_no(text, task_type, variant)
    said = read_actions(text)
    if isinstance(said, ActionSequence) and task_type in ("A1", "A2"):
        return ActionSequence((said[0],)) if len(set(said)) == 1 else Unread("several answers")
    return said


def grade(truth: Truth, said: ActionSequence | Box | bool) -> float:
    """How good an answer is that was read, from 0 to 1."""
    if isinstance(truth.value, ActionSequence):
        return motion_score(truth.value, said) if isinstance(said, ActionSequence) else 0.0
    if isinstance(truth.value, bool):
        return float(said is truth.value)
    return box_score(truth.value, said, truth.question_box) if isinstance(said, tuple) else 0.0


def motion_score(true: ActionSequence, said: ActionSequence) -> float:
    """How near two sequences end: 1 - miss / (a fifth of the size), for metres times the same for degrees.

    The size is the path's: all metres moved, all degrees turned. Where the true motion has none of one kind, neither
    may the answer.
    """
    pose, moved, turned = _path(true)
    end = said.planar()
    miss_m = math.hypot(end.z - pose.z, end.x - pose.x)
    miss_deg = abs(math.remainder(end.turn_deg - pose.turn_deg, 360.0))
    return _falling(miss_m, moved) * _falling(miss_deg, turned)


@lru_cache(maxsize=65536)
def _path(actions: ActionSequence) -> tuple[PlanarPose, float, float]:
    turned = sum(action.amount for action in actions if action.kind.is_turn)
    return actions.planar(), sum(action.amount for action in actions) - turned, turned


def _falling(miss: float, size: float) -> float:
    if miss <= NOTHING:
        return 1.0
    return max(0.0, 1.0 - miss / (FREE_FALL * size)) if size else 0.0


def box_score(true: Box, said: Box, question: Box | None) -> float:
    """IoU with the true box, where the question's own box scores 0 and the true one 1."""
    base = box_iou(true, question) if question else 0.0
    return max(0.0, (box_iou(true, said) - base) / (1.0 - base)) if base < 1.0 else 0.0


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes with area, in plain numbers."""
    common = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def ground_truth(task: Mapping[str, Any], proof: Mapping[str, Any], unit: BoxUnit = THOUSANDTHS) -> str:
    """The ground truth of a question of a dataset, as `read_truth` and the published reward read it.

    Args:
        task: its line of tasks.jsonl.
        proof: its line of proofs.jsonl.
        unit: in which the answer to it will write boxes.
    """
    answer, more = task["messages"][1]["content"], {}
    if task["task_type"] == "D1":
        question, true = (unit.write(box["box_px"], *proof["transition"]["image_size"]) for box in proof["boxes"])
        answer, more = box_text(true), {"question_box": question}
    return json.dumps({"task_type": task["task_type"], "answer": answer, "variant": proof["variant"]} | more)
