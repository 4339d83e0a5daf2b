"""A question with its proof, as the two lines that a dataset keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from synth import prompts
from synth.answers import answer_to_json
from synth.case import Case, Question
from synth.evidence import Sight

TASK_VERSION = 1
"""Raised whenever what a task asks, or the margin it keeps, changes."""


@dataclass(frozen=True)
class Record:
    """One line of tasks.jsonl and one of proofs.jsonl; both carry the same id."""

    task: dict[str, Any]
    proof: dict[str, Any]


def make_record(case: Case, question: Question, about: dict[str, Any]) -> Record:
    """Put a question into words, and all that decides its answer beside it.

    Args:
        about: what traj.json says of the trajectory: its teacher, and how its motion is known.
    """
    transition = case.transition
    record_id = f"{transition.scene_id}-{transition.traj.traj_id}-{question.task_type}-{question.variant}"
    phrasing = prompts.PHRASINGS[question.task_type, question.variant]
    task = {
        "id": record_id,
        "task_type": question.task_type,
        "messages": messages(question.task_type, question.variant, question.asked, question.answer),
        "images": image_paths(transition.scene_id, transition.traj.traj_id)[: phrasing.num_images],
    }
    proof = {
        "id": record_id,
        "task_type": question.task_type,
        "variant": question.variant,
        "asked": question.asked,
        "answer": answer_to_json(question.answer),
        "transition": transition_json(case, about["teacher"]),
        "items": [item_json(case, t.item_idx, t.role) for t in question.targets],
        "boxes": [{"image": i, "role": role, "box_px": list(box)} for i, role, box in question.boxes_px],
        "margins": question.margins,
        "scale": transition.traj.scale.to_dict(),
        "motion": about["motion"],
        "versions": _versions(),
    }
    return Record(task, proof)


@cache
def _versions() -> dict[str, Any]:
    return {"theodolite": version("theodolite"), "tasks": TASK_VERSION, "prompts": prompts.VERSION}


def messages(task_type: str, variant: str, asked: dict[str, Any], answer: Any) -> list[dict[str, str]]:
    """The exchange that a model trains on."""
    return [
        {"role": "user", "content": prompts.question_text(task_type, variant, asked)},
        {"role": "assistant", "content": prompts.answer_text(task_type, variant, answer, asked)},
    ]


def image_paths(scene_id: str, traj_id: str) -> list[str]:
    """Where the two views of a trajectory lie, relative to the subset's folder."""
    return [f"scenes/{scene_id}/traj_{traj_id}/samples-rgb/{i:03d}.png" for i in (0, 1)]


def transition_json(case: Case, teacher: str) -> dict[str, Any]:
    """Intrinsics, poses and actions of a case."""
    traj = case.transition.traj
    return {
        "scene_id": case.transition.scene_id,
        "traj_id": traj.traj_id,
        "teacher": teacher,
        "frames": [0, 1],
        "image_size": [traj.camera.width, traj.camera.height],
        "K": traj.camera.K.tolist(),
        "T_world_cam": traj.T_world_cam.matrix().tolist(),
        "actions": case.actions.text(),
    }


def item_json(case: Case, item_idx: int, role: str) -> dict[str, Any]:
    """What the two cameras make of one item."""
    evidence = case.before.evidence
    item = {
        "item_id": evidence.item_ids[item_idx],
        "kind": evidence.kinds[item_idx],
        "role": role,
        "before": sight_json(case.before, item_idx),
        "after": sight_json(case.after, item_idx),
    }
    return item | {"witness": case.witness[item_idx]} if item_idx in case.witness else item


def sight_json(sight: Sight, item_idx: int) -> dict[str, Any]:
    """Boxes (pixels, null where there is none) and shares of one item in one view."""
    row = {"amodal_box": box_json(sight.amodal[item_idx]), "visible_box": box_json(sight.visible[item_idx])}
    shares = sight.partition(item_idx)
    if shares is None:
        return row | {"visible": None}
    ids = (*sight.evidence.item_ids, "room")  # item_idx -1 is the room
    hidden_by = {ids[i]: share for i, share in shares.hidden_by}
    return row | {
        "visible": shares.visible,
        "hidden": shares.hidden,
        "hidden_by": hidden_by,
        "outside": shares.outside,
        "behind": shares.behind,
    }


def box_json(box: Any) -> list[float] | None:
    """A box as a list, null where it is NaN."""
    return None if box[0] != box[0] else [float(v) for v in box]
