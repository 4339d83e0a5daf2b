"""The form of a question and its proof as far as the page reads them; whether they are true is for `verify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from synth.safe_read import mapping, matrix, number, sequence

_TASK = ("id", "task_type", "messages", "images")
_TRANSITION = ("scene_id", "traj_id", "frames", "image_size", "K", "T_world_cam", "actions")
_SHARES = ("visible", "hidden", "outside", "behind")
_LEAST_DETERMINANT = 1e-9


def check_task(task: Mapping[str, Any]) -> None:
    """Refuse a question that cannot be shown.

    Raises:
        ValueError: if a field is missing or of another form; the text names it.
    """
    mapping(task, "a question", *_TASK)
    for name in ("id", "task_type"):
        _text(task[name], name)
    messages = sequence(task["messages"], "messages")
    if len(messages) < 2:
        raise ValueError(f"messages must be a question and its answer, got {len(messages)}")
    for n, message in enumerate(messages[:2]):
        _text(mapping(message, f"messages[{n}]", "content")["content"], f"messages[{n}].content")
    for n, name in enumerate(sequence(task["images"], "images")):
        _text(name, f"images[{n}]")


def check_proof(proof: Mapping[str, Any]) -> None:
    """Refuse a proof that cannot be drawn. Items, boxes, margins and scale may be missing, for not every task has them.

    Raises:
        ValueError: if a field is missing or of another form; the text names it.
    """
    _check_transition(mapping(proof, "a proof", "transition")["transition"])
    for n, item in enumerate(sequence(proof.get("items", []), "items")):
        _check_item(item, f"items[{n}]")
    for n, box in enumerate(sequence(proof.get("boxes", []), "boxes")):
        _check_box(box, f"boxes[{n}]")
    for name in ("margins", "scale"):
        mapping(proof.get(name, {}), name)


def _check_transition(value: Any) -> None:
    where = mapping(value, "transition", *_TRANSITION)
    for name in ("scene_id", "traj_id", "actions"):
        _text(where[name], f"transition.{name}")
    _two_whole(where["frames"], "transition.frames", 0, "2 whole numbers, 0 or more")
    _two_whole(where["image_size"], "transition.image_size", 1, "2 whole numbers above 0")
    K = matrix(where["K"], "transition.K", (3, 3))
    if K[0, 0] <= 0:
        raise ValueError(f"transition.K must have a focal length above 0, got {K[0, 0]:g}")
    poses = sequence(where["T_world_cam"], "transition.T_world_cam")
    if len(poses) != 2:
        raise ValueError(f"transition.T_world_cam must be 2 poses, got {len(poses)}")
    for n, pose in enumerate(poses):
        name = f"transition.T_world_cam[{n}]"
        if torch.linalg.det(matrix(pose, name, (4, 4))).abs() < _LEAST_DETERMINANT:
            raise ValueError(f"{name} must be a pose, and has no inverse")


def _check_item(value: Any, name: str) -> None:
    item = mapping(value, name, "item_id", "role", "before", "after")
    _text(item["item_id"], f"{name}.item_id")
    for view in ("before", "after"):
        sight, where = mapping(item[view], f"{name}.{view}"), f"{name}.{view}"
        for share in _SHARES:
            if sight.get(share) is not None:
                number(sight[share], f"{where}.{share}")
        for who, share in mapping(sight.get("hidden_by") or {}, f"{where}.hidden_by").items():
            number(share, f"{where}.hidden_by.{who}")
        for box in ("amodal_box", "visible_box"):
            if sight.get(box) is not None:
                _four_numbers(sight[box], f"{where}.{box}")


def _check_box(value: Any, name: str) -> None:
    box = mapping(value, name, "image", "role", "box_px")
    if box["image"] not in (0, 1):
        raise ValueError(f"{name}.image must be 0 or 1, got {box['image']!r}")
    _text(box["role"], f"{name}.role")
    _four_numbers(box["box_px"], f"{name}.box_px")


def _text(value: Any, name: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r}")


def _two_whole(value: Any, name: str, least: int, wanted: str) -> None:
    if not isinstance(value, list) or [type(part) for part in value] != [int, int] or min(value) < least:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


def _four_numbers(value: Any, name: str) -> None:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"{name} must be 4 numbers, got {value!r}")
    for part in value:
        number(part, name)
