"""A question or proof of another form than the page reads is one line that names file, line and field."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from synth.sample_form import check_proof, check_task
from theodolite.cli import main

EYE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
HIDDEN = {"visible": 0.5, "hidden": 0.5, "hidden_by": {"room": 0.5}, "outside": 0.0, "behind": 0.0}
BOXES = {"amodal_box": [1, 2, 30.5, 40], "visible_box": None}


def make_task() -> dict[str, Any]:
    messages = [{"role": "user", "content": "<image>\nGone?"}, {"role": "assistant", "content": "no"}]
    return {"id": "q", "task_type": "D2", "messages": messages, "images": ["scenes/a/traj_b/samples-rgb/000.png"]}


def make_proof() -> dict[str, Any]:
    where = {"scene_id": "a", "traj_id": "b", "frames": [0, 1], "image_size": [64, 48], "actions": "FWD_1"}
    where |= {"K": [[50, 0, 32], [0, 50, 24], [0, 0, 1]], "T_world_cam": [deepcopy(EYE), deepcopy(EYE)]}
    item = {"item_id": "chair_1", "role": "target", "before": {"visible": None}, "after": HIDDEN | BOXES}
    box = {"image": 0, "role": "question", "box_px": [1, 2, 30.5, 40]}
    rest = {"margins": {"gone_at_most": 0.02}, "scale": {"status": "metric", "source": "a room"}}
    return {"id": "q", "task_type": "D2", "transition": where, "items": [item], "boxes": [box], **rest}


def changed(row: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """The row with another value at `a.0.b`; a value of `...` takes the field away."""
    *path, last = [int(part) if part.isdigit() else part for part in where.split(".")]
    place: Any = row
    for part in path:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return row


def write_rows(root: Path, tasks: list[dict[str, Any]], proofs: list[dict[str, Any]]) -> None:
    for name, rows in (("tasks.jsonl", tasks), ("proofs.jsonl", proofs)):
        (root / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_what_is_not_read_may_be_missing(tmp_path: Path) -> None:
    # A question of motion has no items, boxes and margins, and another's proofs may have them nowhere.
    bare = {"id": "q", "transition": make_proof()["transition"]}
    write_rows(tmp_path, [make_task(), make_task()], [make_proof(), bare])
    assert main(["view", str(tmp_path)]) == 0


TASK_DAMAGE = [
    ("task_type", ["D2"], "task_type must be text, got ['D2']"),
    ("messages", ..., "a question must have id, task_type, messages, images; messages missing"),
    ("messages", None, "messages must be a list, got NoneType"),
    ("messages", [], "messages must be a question and its answer, got 0"),
    ("messages.1", {}, "messages[1] must have content"),
    ("messages.0.content", 3, "messages[0].content must be text, got 3"),
    ("images", None, "images must be a list, got NoneType"),
    ("images", [5], "images[0] must be text, got 5"),
]

PROOF_DAMAGE = [
    ("transition", ..., "a proof must have transition"),
    ("transition", [], "transition must be an object, got list"),
    ("transition.image_size", ..., "image_size missing"),
    ("transition.K", ..., "K missing"),
    ("transition.image_size", [64], "transition.image_size must be 2 whole numbers above 0, got [64]"),
    ("transition.image_size", 64, "transition.image_size must be 2 whole numbers above 0, got 64"),
    ("transition.image_size", [64, 0], "transition.image_size must be 2 whole numbers above 0"),
    ("transition.image_size", [64, True], "transition.image_size must be 2 whole numbers above 0"),
    ("transition.frames", [0], "transition.frames must be 2 whole numbers, 0 or more, got [0]"),
    ("transition.frames", ["a", "b"], "transition.frames must be 2 whole numbers"),
    ("transition.scene_id", [1], "transition.scene_id must be text, got [1]"),
    ("transition.traj_id", None, "transition.traj_id must be text"),
    ("transition.actions", None, "transition.actions must be text, got None"),
    ("transition.T_world_cam", [EYE], "transition.T_world_cam must be 2 poses, got 1"),
    ("transition.T_world_cam", [1, 2], "transition.T_world_cam[0] must be a list"),
    ("transition.T_world_cam.1.0", [1, 0, 0], "transition.T_world_cam[1] must be 4 x 4"),
    ("transition.T_world_cam.0.0", [0, 0, 0, 0], "transition.T_world_cam[0] must be a pose, and has no inverse"),
    ("transition.T_world_cam.0.0.3", float("nan"), "transition.T_world_cam[0] must be a finite number, got nan"),
    ("transition.K", 3, "transition.K must be a list, got int"),
    ("transition.K.0.0", 0, "transition.K must have a focal length above 0, got 0"),
    ("items", 5, "items must be a list, got int"),
    ("items", [5], "items[0] must be an object, got int"),
    ("items.0.item_id", ..., "items[0] must have item_id, role, before, after; item_id missing"),
    ("items.0.item_id", [3], "items[0].item_id must be text, got [3]"),
    ("items.0.after", None, "items[0].after must be an object, got NoneType"),
    ("items.0.after.visible", "x", "items[0].after.visible must be a finite number, got 'x'"),
    ("items.0.after.hidden_by", [1], "items[0].after.hidden_by must be an object, got list"),
    ("items.0.after.hidden_by", {"room": "b"}, "items[0].after.hidden_by.room must be a finite number, got 'b'"),
    ("items.0.after.amodal_box", [1], "items[0].after.amodal_box must be 4 numbers, got [1]"),
    ("items.0.after.amodal_box", ["a"] * 4, "items[0].after.amodal_box must be a finite number, got 'a'"),
    ("boxes", None, "boxes must be a list, got NoneType"),
    ("boxes", [{}], "boxes[0] must have image, role, box_px"),
    ("boxes.0.box_px", None, "boxes[0].box_px must be 4 numbers, got None"),
    ("boxes.0.role", 3, "boxes[0].role must be text, got 3"),
    ("boxes.0.image", 7, "boxes[0].image must be 0 or 1, got 7"),
    ("margins", [1], "margins must be an object, got list"),
    ("scale", None, "scale must be an object, got NoneType"),
]


@pytest.mark.parametrize(("where", "value", "message"), TASK_DAMAGE)
def test_a_damaged_question_is_named_by_its_field(where: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_task(changed(make_task(), where, value))
    assert message in str(refused.value)


@pytest.mark.parametrize(("where", "value", "message"), PROOF_DAMAGE)
def test_a_damaged_proof_is_named_by_its_field(where: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_proof(changed(make_proof(), where, value))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tasks.jsonl", ("messages.0.content", 3)),
        ("tasks.jsonl", ("task_type", ["D2"])),
        ("proofs.jsonl", ("transition.image_size", ...)),
        ("proofs.jsonl", ("items.0.after", None)),
    ],
)
def test_view_names_file_line_and_field_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, damage: tuple[str, Any]
) -> None:
    rows = {"tasks.jsonl": [make_task(), make_task()], "proofs.jsonl": [make_proof(), make_proof()]}
    changed(rows[name][1], *damage)
    write_rows(tmp_path, *rows.values())
    assert main(["view", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"theodolite: error: {tmp_path / name} line 2: ") and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["proofs.jsonl", "tasks.jsonl"]
