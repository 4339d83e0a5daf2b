"""The published World2VLM reward, to the last digit, faults included (`compute_score` of its GRPO stage).

Kept as it is so that figures compare with the paper's: a constant earns up to 0.88 on A1, a list of guesses the full
score, and the right answer nothing in the phrasings that it cannot read. `synth.exact` is the metric that mends this.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Scores = dict[str, Any]
"""`overall`, `format` and the parts of one task; `reason` where the published code raises."""

MAX_CHARS = 200
"""A longer response scores -1, whatever it says."""

_ACTION = re.compile(r"(?:(move) (forward|backward|left|right)|(turn) (left|right)) (-?\d+(?:\.\d+)?) (meter|degree)")
_BOX = re.compile(r"\[\s*(-?\d+(?:\.\d+)?)" + r"\s*,\s*(-?\d+(?:\.\d+)?)" * 3 + r"\s*\]")
_ONLY_BOX = re.compile(rf"(?:bbox\s*)?{_BOX.pattern}", re.IGNORECASE)
_POLARITY = {"yes": True, "true": True, "no": False, "false": False}
_FREE_AND_LOST = {"move": (0.5, 5.0), "turn": (5.0, 90.0)}
"""An error up to the first (m or deg) costs nothing, from the second on it costs all."""
_SEQUENCE_PARTS = ("overall", "format", "action", "order", "numeric")
_BOX_PARTS = ("overall", "format", "validity", "geometry", "iou", "center", "size", "l1")

Action = tuple[str, str, float]
Box = tuple[float, float, float, float]


def compute_score(reward_inputs: Sequence[dict[str, Any]], **_: Any) -> list[Scores]:
    """Score a batch as the published function does.

    Args:
        reward_inputs: rows with `response` and `ground_truth`, the latter JSON text of `task_type` and `answer`.

    Returns:
        a row each, with the published keys. Where the published code raises, on a response or ground truth that is
        no text, `overall` and `format` are 0 and `reason` says why.
    """
    return [score(row.get("response"), row.get("ground_truth")) for row in reward_inputs]


def score(response: Any, ground_truth: Any) -> Scores:
    """Score one response; see `compute_score`.

    >>> score("move forward 1 meters", '{"task_type": "A1", "answer": "move forward 0.5 meters"}')["overall"]
    1.0
    """
    for name, value in (("response", response), ("ground truth", ground_truth)):
        if value and not isinstance(value, str):
            reason = f"the {name} must be text, got {type(value).__name__}; the published code raises here"
            return {"overall": 0.0, "format": 0.0, "reason": reason}
    raw = (response or "").strip()
    if len(raw) > MAX_CHARS:
        return {"overall": -1.0, "format": 0.0}
    task_type, answer = unpack(ground_truth or "")
    if task_type == "D1":
        return _box_score(raw, answer)
    text = _norm(raw)
    if task_type in ("A1", "A2"):
        return _single_score(text, answer)
    if task_type in ("A3", "D3"):
        return _sequence_score(text, answer)
    return _binary_score(text, answer) if task_type in ("A4", "D2", "D4") else _other_score(text, answer)


def pack(task_type: str, answer: str) -> str:
    """A ground truth in the form that the reward reads."""
    return json.dumps({"task_type": task_type, "answer": answer})


@lru_cache(maxsize=65536)
def unpack(ground_truth: str) -> tuple[str, str]:
    """Task and answer in a ground truth; the task is empty where it is no JSON object, and all of it the answer."""
    text = ground_truth.strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "", text
    if not isinstance(value, dict):
        return "", text
    return str(value.get("task_type", "")).strip(), str(value.get("answer", "")).strip()


def _norm(text: str) -> str:
    return " ".join(text.strip().lower().rstrip(' ,.;:!?"').split())


def _actions(text: str) -> list[Action]:
    """(verb, direction, size) of every action found anywhere in normalised text, in order."""
    found = []
    for move, way, turn, turn_way, size, unit in _ACTION.findall(text):
        if (unit == "meter") == bool(move):
            found.append((move or turn, way or turn_way, float(size)))
    return found


@lru_cache(maxsize=65536)
def _true_actions(answer: str) -> tuple[Action, ...]:
    return tuple(_actions(_norm(answer)))


def _numeric(predicted: Action, true: Action) -> float:
    free, lost = _FREE_AND_LOST[true[0]]
    error = abs(predicted[2] - true[2])
    if error <= free:
        return 1.0
    return 0.0 if error >= lost else 1.0 - (error - free) / (lost - free)


def _single_score(text: str, answer: str) -> Scores:
    """A1, A2: the best of all guesses counts."""
    true, predicted = _true_actions(answer), _actions(text)
    if not true or not predicted:
        return {"overall": 0.0, "format": 0.0, "action": 0.0, "numeric": 0.0}
    best = max((_numeric(p, true[0]) for p in predicted if p[:2] == true[0][:2]), default=None)
    action, numeric = (0.0, 0.0) if best is None else (1.0, best)
    overall = 0.10 + 0.35 * action + 0.55 * numeric
    return {"overall": overall, "format": 1.0, "action": action, "numeric": numeric}


def _sequence_score(text: str, answer: str) -> Scores:
    true, predicted = _true_actions(answer), _actions(text)
    if not true or not predicted:
        return dict.fromkeys(_SEQUENCE_PARTS, 0.0)
    common = Counter(p[:2] for p in predicted) & Counter(t[:2] for t in true)
    hits = [(p, t) for p, t in zip(predicted, true, strict=False) if p[:2] == t[:2]]
    action = common.total() / max(len(true), len(predicted))
    order = len(hits) / len(true)
    numeric = sum(_numeric(p, t) for p, t in hits) / len(true)
    extra = 0.03 * max(0, len(predicted) - len(true))
    overall = max(0.0, 0.10 + 0.25 * action + 0.35 * order + 0.30 * numeric - extra)
    return dict(zip(_SEQUENCE_PARTS, (overall, 1.0, action, order, numeric), strict=True))


def _box_score(raw: str, answer: str) -> Scores:
    true, found = _BOX.search(answer), _BOX.search(raw)
    if true is None or found is None:
        return dict.fromkeys(_BOX_PARTS, 0.0)
    form = 1.0 if _ONLY_BOX.fullmatch(raw) else 0.4
    x1, y1, x2, y2 = _numbers(found)
    ordered = _sorted_box((x1, y1, x2, y2))
    overflow = sum(max(0.0, -v, v - 1000.0) for v in ordered) / 4
    validity = 0.7 * (x1 < x2 and y1 < y2) + 0.3 * max(0.0, 1.0 - overflow / 200.0)
    parts = _box_parts(_clipped(ordered), _clipped(_sorted_box(_numbers(true))))
    iou, center, size, l1 = parts
    geometry = (0.45 * iou + 0.20 * center + 0.20 * l1 + 0.15 * size) * (0.3 + 0.7 * validity)
    overall = 0.20 * form + 0.15 * validity + 0.65 * geometry
    return dict(zip(_BOX_PARTS, (overall, form, validity, geometry, *parts), strict=True))


def _box_parts(a: Box, b: Box) -> tuple[float, float, float, float]:
    """IoU, centre, size and mean coordinate agreement of a predicted box with the true one."""
    common = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    apart = math.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2)
    reach = max(80.0, 0.6 * math.hypot(b[2] - b[0], b[3] - b[1]))
    ratios = [math.log(max(a[i + 2] - a[i], 1.0) / max(b[i + 2] - b[i], 1.0)) for i in (0, 1)]
    mean_error = sum(abs(p - q) for p, q in zip(a, b, strict=True)) / 4
    return (
        common / union if union > 0 else 0.0,
        max(0.0, 1.0 - apart / reach),
        max(0.0, 1.0 - sum(map(abs, ratios)) / 1.6),
        max(0.0, 1.0 - mean_error / 180.0),
    )


def _numbers(match: re.Match[str]) -> Box:
    x1, y1, x2, y2 = map(float, match.groups())
    return x1, y1, x2, y2


def _sorted_box(box: Box) -> Box:
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _clipped(box: Box) -> Box:
    x1, y1, x2, y2 = (min(max(v, 0.0), 1000.0) for v in box)
    return x1, y1, x2, y2


def _binary_score(text: str, answer: str) -> Scores:
    said, true = _POLARITY.get(text), _POLARITY.get(_norm(answer))
    if said is None or true is None:
        return {"overall": 0.0, "format": 0.0, "accuracy": 0.0}
    accuracy = float(said == true)
    return {"overall": 0.20 + 0.80 * accuracy, "format": 1.0, "accuracy": accuracy}


def _other_score(text: str, answer: str) -> Scores:
    same = float(bool(_norm(answer)) and text == _norm(answer))
    return {"overall": same, "format": same, "accuracy": same}
