"""The form of a question and its proof: the fields that its task writes and no more, and what they may say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from synth import prompts
from synth.record import TASK_VERSION
from synth.twin_motion import Steps, read_steps
from synth.verify_scene import SceneFiles, actions_of
from synth.worlds import ANOTHER_MOTION

Fault = tuple[str, Any, Any]

_KEYS = {"id", "task_type"}
_TASK_KEYS = _KEYS | {"messages", "images"}
_PROOF_KEYS = _KEYS | {"variant", "asked", "answer", "items", "boxes", "margins"}
_PROOF_KEYS |= {"transition", "scale", "motion", "versions"}
_TRANSITION_KEYS = {"scene_id", "traj_id", "teacher", "frames", "image_size", "K", "T_world_cam", "actions"}
_ITEM_KEYS = {"item_id", "kind", "role", "before", "after"}
_BOX_KEYS = {"image", "role", "box_px"}
_SIGHT_KEYS = {"amodal_box", "visible_box", "visible"}
_SHARE_KEYS = {"hidden", "hidden_by", "outside", "behind"}

_STEPS, _OBJECT, _AFTER = {"num_actions"}, {"label", "box"}, {"box_after"}
_ASKED_KEYS = {
    "A1": _STEPS,
    "A2": _STEPS,
    "A3": _STEPS,
    "A4": {"claim"},
    "D1": _OBJECT | {"actions"},
    "D2": _OBJECT | {"actions"},
    "D3": _OBJECT | _AFTER | _STEPS,
    "D4": _OBJECT | _AFTER | {"actions"},
}
_MARGIN_KEYS = {
    "A4": {"reason", "displacement", "claim"},
    "D2": {"gone_at_most", "still_there_at_least"},
    "D4": {"reason"},
}
_BEFORE, _SECOND = (0, "question"), (1, "question")
_BOXES = {"D1": [_BEFORE, (1, "answer")], "D2": [_BEFORE], "D3": [_BEFORE, _SECOND], "D4": [_BEFORE, _SECOND]}

MIRRORED = "where the mirrored motion would put it"
_OTHER = "another of its kind"


def form_faults(files: SceneFiles, traj: Any, task: Any, proof: Any) -> Iterator[Fault]:
    """What is too much, too little or of the wrong name in a question and its proof."""
    yield from _key_faults(task, proof)
    yield from _object_faults(proof)
    versions = files.settings["versions"] | {"tasks": TASK_VERSION, "prompts": prompts.VERSION}
    if proof["versions"] != versions:
        yield "versions", proof["versions"], versions
    steps = read_steps(actions_of(traj))
    if not _suits(proof["task_type"], steps):
        yield "task_type", proof["task_type"], f"a task that asks about {len(steps)} actions such as {steps[0][0]}"
    yield from _reason_faults(files, proof, steps)
    yield from _scale_faults(task, proof)


def _key_faults(task: Any, proof: Any) -> Iterator[Fault]:
    kind = proof["task_type"]
    expected = [
        ("task", task, _TASK_KEYS),
        ("proof", proof, _PROOF_KEYS),
        ("transition", proof["transition"], _TRANSITION_KEYS),
        ("asked", proof["asked"], _ASKED_KEYS[kind]),
        ("margins", proof["margins"], _MARGIN_KEYS.get(kind, set())),
    ]
    for n, item in enumerate(proof["items"]):
        expected.append((f"items[{n}]", item, _ITEM_KEYS | ({"witness"} & item.keys())))
        for when in ("before", "after"):
            shares = set() if item[when]["visible"] is None else _SHARE_KEYS
            expected.append((f"items[{n}].{when}", item[when], _SIGHT_KEYS | shares))
    expected += [(f"boxes[{n}]", box, _BOX_KEYS) for n, box in enumerate(proof["boxes"])]
    for name, found, keys in expected:
        if found.keys() != keys:
            yield f"keys of {name}", sorted(found), sorted(keys)


def _object_faults(proof: Any) -> Iterator[Fault]:
    """Which items a proof has, in which part, and which boxes."""
    kind = proof["task_type"]
    roles = ["target"] if kind in _BOXES else []
    if kind == "D4" and proof["margins"]["reason"] == _OTHER:
        roles.append("other")
    if (found := [item["role"] for item in proof["items"]]) != roles:
        yield "roles of items", found, roles
    if len({item["item_id"] for item in proof["items"]}) != len(proof["items"]):
        yield "items", [item["item_id"] for item in proof["items"]], "each item once"
    boxes = [(box["image"], box["role"]) for box in proof["boxes"]]
    if boxes != _BOXES.get(kind, []):
        yield "boxes", boxes, _BOXES.get(kind, [])


def _suits(task_type: str, steps: Steps) -> bool:
    """Whether a task asks about motions of this kind."""
    turns = [word.startswith("turn") for word, _ in steps]
    match task_type:
        case "A1":
            return turns == [False]
        case "A2":
            return turns == [True]
        case "A3":
            return len(steps) in (2, 3)
        case "D3":
            return len(steps) <= 2
    return True


def _reason_faults(files: SceneFiles, proof: Any, steps: Steps) -> Iterator[Fault]:
    """The reason of an answer is the one that claim or boxes show."""
    if proof["task_type"] not in ("A4", "D4"):
        return
    is_claim, said = proof["task_type"] == "A4", proof["margins"]["reason"]
    reason = _claim_reason(proof, steps, files.is_recorded) if is_claim else _identity_reason(proof, steps)
    if said != reason:
        yield "margins.reason", said, reason


def _claim_reason(proof: Any, steps: Steps, is_recorded: bool) -> str | None:
    claim = read_steps(proof["margins"]["claim"])
    if claim == steps:
        return "true"
    return ANOTHER_MOTION if is_recorded else change_of(steps, claim)


_OPPOSITE = {"forward": "backward", "left": "right", "turn_left": "turn_right"}
_OPPOSITE |= {back: there for there, back in _OPPOSITE.items()}


def change_of(steps: Steps, claim: Steps) -> str | None:
    """The one change that makes a claim of a motion: its order, or one size, direction or axis; None if it is none.

    >>> change_of((("forward", 1.0), ("turn_left", 30.0)), (("forward", 1.0), ("turn_right", 30.0)))
    'direction'
    """
    if claim == steps[::-1]:
        return "order"
    changes = [(a, b) for a, b in zip(steps, claim, strict=False) if a != b]
    if len(claim) != len(steps) or len(changes) != 1:
        return None
    (word, amount), (other_word, other_amount) = changes[0]
    if word == other_word:
        return "size"
    if amount != other_amount:
        return None
    if other_word == _OPPOSITE[word]:
        return "direction"
    return None if "turn" in word + other_word else "axis"


def _identity_reason(proof: Any, steps: Steps) -> str:
    if proof["answer"]["is_same"]:
        return "same object"
    return _OTHER if len(proof["items"]) == 2 else MIRRORED


def _scale_faults(task: Any, proof: Any) -> Iterator[Fault]:
    """Where metres are told or asked, they must be metres."""
    words = " ".join(message["content"] for message in task["messages"])
    if re.search(r"\d meters", words) and proof["scale"]["status"] != "metric":
        yield "scale.status", proof["scale"]["status"], "metric, for the words hold metres"
