"""Single fields of a question and its proof, and one change made to fit in every file: each is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synth.answers import MotionAnswer
from synth.dataset import Row, find_subsets, read_rows
from synth.files import json_bytes, sha256
from synth.record import messages
from synth.verify import check_rows, check_scene
from synth.verify_form import change_of
from synth.verify_scene import SceneFiles


@pytest.fixture(scope="module")
def subset(small_dataset: Path) -> Path:
    return find_subsets(small_dataset)[0]


@pytest.fixture(scope="module")
def rows(subset: Path) -> list[Row]:
    return list(read_rows(subset))


@pytest.fixture(scope="module")
def scenes(subset: Path) -> dict[str, SceneFiles]:
    return {folder.name: SceneFiles.read(folder) for folder in sorted((subset / "scenes").iterdir())}


def fields_found(scenes: dict[str, SceneFiles], row: Row) -> set[str]:
    return {m.field for m in check_rows(scenes[row[1]["transition"]["scene_id"]], [row])}


def first_of(rows: list[Row], kind: str, is_it: Callable[[Any], bool] = lambda proof: True) -> Row:
    return copy.deepcopy(next(row for row in rows if row[1]["task_type"] == kind and is_it(row[1])))


def is_false(proof: Any) -> bool:
    return not (proof["answer"].get("is_true") or proof["answer"].get("is_same"))


def has_double(proof: Any) -> bool:
    return is_false(proof) and len(proof["items"]) == 2


def put(*path: Any, value: Any) -> Callable[[Any, Any], None]:
    """Set a field of the proof."""

    def change(task: Any, proof: Any) -> None:
        place = proof
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def double_item(task: Any, proof: Any) -> None:
    proof["items"].append(copy.deepcopy(proof["items"][0]))


FIELDS = [
    ("A4", is_false, put("margins", "reason", value="whim"), "margins.reason"),
    ("A4", lambda p: p["margins"]["reason"] == "size", put("margins", "reason", value="order"), "margins.reason"),
    ("A4", None, put("margins", "note", value=1), "keys of margins"),
    ("A1", None, put("margins", "note", value=1), "keys of margins"),
    ("D4", is_false, put("margins", "reason", value="whim"), "margins.reason"),
    ("D4", has_double, put("margins", "reason", value="where the mirrored motion would put it"), "margins.reason"),
    ("D1", None, put("items", 0, "role", value="other"), "roles of items"),
    ("D4", has_double, put("items", 1, "role", value="target"), "roles of items"),
    ("D1", None, double_item, "roles of items"),
    ("D4", has_double, lambda task, proof: proof["items"].reverse(), "roles of items"),
    ("D2", None, put("items", 0, "before", "area", value=1), "keys of items[0].before"),
    ("D2", None, put("items", 0, "colour", value="red"), "keys of items[0]"),
    ("D1", None, put("boxes", 0, "note", value=1), "keys of boxes[0]"),
    ("D1", None, put("boxes", 0, "role", value="answer"), "boxes"),
    ("A2", None, put("asked", "hint", value="left"), "keys of asked"),
    ("A2", None, put("transition", "note", value=1), "keys of transition"),
    ("A2", None, put("note", value=1), "keys of proof"),
    ("A2", None, lambda task, proof: task.update(note=1), "keys of task"),
    ("A3", None, put("versions", "theodolite", value="9.9"), "versions"),
    ("A3", None, put("versions", "tasks", value=2), "versions"),
    ("A3", None, put("versions", "prompts", value=2), "versions"),
    ("A3", None, lambda task, proof: proof["versions"].pop("prompts"), "versions"),
]


def test_the_rows_are_right_before_they_are_damaged(rows: list[Row], scenes: dict[str, SceneFiles]) -> None:
    assert [fields_found(scenes, row) for row in rows if fields_found(scenes, row)] == []


@pytest.mark.parametrize("kind, which, change, field", FIELDS)
def test_an_edited_field_is_found_by_name(
    rows: list[Row], scenes: dict[str, SceneFiles], kind: str, which: Any, change: Any, field: str
) -> None:
    task, proof = first_of(rows, kind, which or (lambda proof: True))
    change(task, proof)
    assert field in fields_found(scenes, (task, proof))


def renamed(row: Row, kind: str, variant: str) -> Row:
    """The question of another task about the same motion, all else made to fit."""
    task, proof = row
    name = proof["id"].replace(f"-{proof['task_type']}-{proof['variant']}", f"-{kind}-{variant}")
    answer = MotionAnswer(proof["answer"]["actions"], tuple(proof["answer"]["equivalents"]))
    task |= {"id": name, "task_type": kind, "messages": messages(kind, variant, proof["asked"], answer)}
    return task, proof | {"id": name, "task_type": kind, "variant": variant}


@pytest.mark.parametrize("kind, other", [("A2", "A1"), ("A1", "A2"), ("A1", "A3"), ("A3", "A1"), ("A3", "A2")])
def test_a_task_must_suit_the_motion(rows: list[Row], scenes: dict[str, SceneFiles], kind: str, other: str) -> None:
    assert fields_found(scenes, renamed(first_of(rows, kind), other, "open")) == {"task_type"}


def test_what_changes_a_motion_into_a_claim_is_named_by_one_word() -> None:
    steps = (("forward", 1.0), ("turn_left", 30.0))
    assert change_of(steps, (("backward", 1.0), steps[1])) == "direction"
    assert change_of(steps, (("right", 1.0), steps[1])) == "axis"
    assert change_of(steps, (steps[0], ("turn_left", 40.0))) == "size"
    assert change_of(steps, steps[::-1]) == "order"
    for other in (steps, steps[:1], (steps[0], ("forward", 30.0)), (("right", 2.0), steps[1])):
        assert change_of(steps, other) is None


def everywhere(files: SceneFiles, rows: list[Row], key: str, value: Any) -> tuple[SceneFiles, list[Row]]:
    """One field of all trajectories and proofs of a scene."""
    trajectories = {name: traj | {key: value} for name, traj in files.trajectories.items()}
    own = copy.deepcopy([row for row in rows if row[1]["transition"]["scene_id"] == files.scene["scene_id"]])
    for _, proof in own:
        (proof if key in proof else proof["transition"])[key] = value
    return replace(files, trajectories=trajectories), own


def test_metres_without_a_metric_scale_are_found_in_words_and_scene(
    rows: list[Row], scenes: dict[str, SceneFiles]
) -> None:
    files = next(iter(scenes.values()))
    files, own = everywhere(files, rows, "scale", {"status": "unknown", "source": "nobody"})
    found = check_scene(files, own)
    assert {m.field for m in found} == {"scale", "scale.status"}
    told = {proof["id"] for task, proof in own if " meters" in task["messages"][1]["content"]}
    assert told and told <= {m.where for m in found if m.field == "scale.status"}


def test_a_teacher_that_shows_no_rooms_is_found(rows: list[Row], scenes: dict[str, SceneFiles]) -> None:
    files, own = everywhere(next(iter(scenes.values())), rows, "teacher", "svc")
    settings = files.settings | {"config": files.settings["config"] | {"teacher": "svc"}}
    assert {m.field for m in check_scene(replace(files, settings=settings), own)} >= {"teacher"}


def with_items(files: SceneFiles, items: list[Any]) -> SceneFiles:
    """Other items in scene.json, with all fingerprints made to fit."""
    scene = files.scene | {"items": items}
    digest = sha256(json_bytes(scene))
    trajectories = {name: traj | {"scene_sha256": digest} for name, traj in files.trajectories.items()}
    return replace(files, scene=scene, scene_sha256=digest, trajectories=trajectories)


def seen_items(files: SceneFiles) -> list[int]:
    """Items that own a fair number of pixels in some view."""
    twin, found = files.twin, set()
    for traj_id in files.trajectories:
        cam = files.camera(traj_id, 1)
        boxes = [twin.visible_box(i, cam, twin.amodal_box(i, cam)) for i in range(len(twin.item_ids))]
        found |= {i for i, box in enumerate(boxes) if min(box[2] - box[0], box[3] - box[1]) >= 6}
    return sorted(found)


def test_an_object_that_nobody_asks_about_is_found_moved_or_missing(scenes: dict[str, SceneFiles]) -> None:
    files = next(iter(scenes.values()))
    missed = []
    for i in seen_items(files):
        items = copy.deepcopy(files.scene["items"])
        items[i]["position"][i % 2] += 0.3
        rest = [item for n, item in enumerate(files.scene["items"]) if n != i]
        missed += [(i, len(some)) for some in (items, rest) if not check_scene(with_items(files, some), [])]
    assert len(seen_items(files)) > 5 and missed == []
