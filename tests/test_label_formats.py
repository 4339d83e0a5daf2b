"""One recording in every format that is read: the same motions and boxes, and metres only where they are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings

from synth.dataset import LEFT_OUT_FILE, read_rows
from synth.label import LabelConfig
from synth.pipeline import generate
from synth.verify import verify

UNIT = 0.05
"""How long a metre is to those who do not know it: short, so that nothing rests on a unit being about a metre."""
FRAMES = 5
TURNS = {(0, 1): "turn left 5 degrees", (0, 2): "turn right 10 degrees"}
POSE_TOLERANCE, BOX_TOLERANCE_PX = 1e-9, 1e-6
"""Poses are written with 12 digits."""


@dataclass(frozen=True)
class Format:
    """How the recording is written, what is declared of it, and the frame of the poses."""

    write: Callable[[Path, Path], Path]
    scale: str = "as_read"
    unit: float = 1.0
    from_first: bool = False
    """The world is the first camera's frame, as in a tree."""


FORMATS = {
    "7-scenes": Format(recordings.as_seven_scenes),
    "tum": Format(recordings.as_tum),
    "numbered": Format(recordings.as_numbered),
    "nerfstudio": Format(recordings.as_nerfstudio, "metric"),
    "svc": Format(recordings.as_svc_opengl, "metric", from_first=True),
    "worldfm": Format(recordings.as_worldfm, "metric", from_first=True),
    "colmap": Format(lambda room, out: recordings.as_colmap(room, out, UNIT), unit=UNIT),
    "re10k": Format(lambda room, out: recordings.as_re10k(room, out, UNIT), unit=UNIT),
    "nerfstudio as read": Format(recordings.as_nerfstudio),
    "svc as read": Format(recordings.as_svc_opengl, from_first=True),
}
METRIC = [name for name, each in FORMATS.items() if name in ("7-scenes", "tum", "numbered") or each.scale == "metric"]


@dataclass(frozen=True)
class Labels:
    """What came of one format: relative poses by places of frames, boxes by places and object, and the rest."""

    rows: list[Any]
    poses: dict[tuple[int, int], np.ndarray]
    boxes: dict[tuple[int, int, str], np.ndarray]
    left_out: dict[str, int]
    mismatches: list[Any]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = recordings.simulated_room()
    at = recordings.poses(world)[:FRAMES]
    return recordings.record_room(tmp_path_factory.mktemp("formats") / "room", world, at)


@pytest.fixture(scope="module")
def labels(room: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Labels]:
    """Labels of a format, made once."""
    made: dict[str, Labels] = {}

    def of(name: str) -> Labels:
        if name not in made:
            made[name] = labelled(FORMATS[name], room, tmp_path_factory.mktemp(name.replace(" ", "_")))
        return made[name]

    return of


def labelled(form: Format, room: Path, folder: Path) -> Labels:
    if form.write.__name__ == "<lambda>":
        pytest.importorskip("pycolmap")
    source = form.write(room, folder / "room")
    (folder / "boxes.json").write_text(json.dumps({"room": true_boxes(form)}))
    asked = {"scale": form.scale, "objects": folder / "boxes.json", "pairs": FRAMES * FRAMES}
    # Unchecked: five far views, jumped between, are no film that a check could follow, and the formats are tested here.
    config = LabelConfig(source, **asked, unchecked=True)
    generate(folder / "data", config)
    subset = folder / "data" / config.subset
    rows, poses, boxes = list(read_rows(subset)), {}, {}
    for path in subset.glob("scenes/*/traj_*/traj.json"):
        traj = json.loads(path.read_bytes())
        T = np.array(traj["T_world_cam"])
        poses[tuple(traj["clip"]["frames"])] = np.linalg.inv(T[0]) @ T[1]
    for _, proof in rows:
        path = next(subset.glob(f"scenes/*/traj_{proof['transition']['traj_id']}/traj.json"))
        places = json.loads(path.read_bytes())["clip"]["frames"]
        for item in proof["items"]:
            both = [item[when]["amodal_box"] or [np.nan] * 4 for when in ("before", "after")]
            boxes[(*places, item["item_id"])] = np.array(both)
    left_out = json.loads((subset / LEFT_OUT_FILE).read_bytes())
    return Labels(rows, poses, boxes, left_out, verify(folder / "data").mismatches)


def true_boxes(form: Format) -> list[dict[str, Any]]:
    """Boxes in the frame and the unit of the format's poses: those of a level first camera stay along its axes."""
    world = recordings.simulated_room()
    boxes = recordings.solid_boxes(world, form.unit)
    if not form.from_first:
        return boxes
    T = world.T_world_anchor.inverse().matrix().numpy()
    for box in boxes:
        corners = np.array(np.meshgrid(*zip(box["min"], box["max"], strict=True))).reshape(3, -1)
        moved = T[:3, :3] @ corners + T[:3, 3:]
        box["min"], box["max"] = moved.min(1).tolist(), moved.max(1).tolist()
    return boxes


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_labelled_and_verified(name: str, labels: Callable[[str], Labels]) -> None:
    assert labels(name).mismatches == []
    assert len(labels(name).rows) >= 2


@pytest.mark.parametrize("name", FORMATS)
def test_motions_are_those_of_the_recording(name: str, room: Path, labels: Callable[[str], Labels]) -> None:
    """By hand from the matrices that were written, and so the same in all formats."""
    shots, _ = recordings.shots_of(room)
    found = labels(name).poses
    assert TURNS.keys() <= found.keys()
    for (i, j), T in found.items():
        true = np.linalg.inv(shots[i][1]) @ shots[j][1]
        true[:3, 3] *= FORMATS[name].unit
        np.testing.assert_allclose(T, true, atol=POSE_TOLERANCE, err_msg=f"{i} to {j}")


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if not form.from_first and name != "7-scenes"])
def test_boxes_are_the_same_in_all_formats(name: str, labels: Callable[[str], Labels]) -> None:
    here, there = labels("7-scenes").boxes, labels(name).boxes
    common = here.keys() & there.keys()
    assert len(common) >= 3
    for key in common:
        np.testing.assert_allclose(there[key], here[key], atol=BOX_TOLERANCE_PX, err_msg=str(key))


def test_boxes_are_the_same_in_both_kinds_of_tree(labels: Callable[[str], Labels]) -> None:
    here, there = labels("svc").boxes, labels("worldfm").boxes
    assert len(here) >= 3 and here.keys() == there.keys()
    for key in here:
        np.testing.assert_allclose(there[key], here[key], atol=BOX_TOLERANCE_PX, err_msg=str(key))


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in METRIC])
def test_without_a_scale_only_turns_are_asked_about(name: str, labels: Callable[[str], Labels]) -> None:
    found = labels(name)
    assert not any("meters" in proof["transition"]["actions"] for _, proof in found.rows)
    assert not any(word in json.dumps(task["messages"][1]) for task, _ in found.rows for word in ("meters", "move"))
    assert sum(count for cause, count in found.left_out.items() if "holds metres, but the scale is" in cause) > 0
    said = {proof["transition"]["actions"] for _, proof in found.rows}
    assert said and said <= {f"turn {side} {deg} degrees" for side in ("left", "right") for deg in (5, 10, 15)}


@pytest.mark.parametrize("name", METRIC)
def test_with_a_scale_the_distance_asked_for_is_that_of_the_recording(
    name: str, room: Path, labels: Callable[[str], Labels]
) -> None:
    answers = {proof["transition"]["actions"] for task, proof in labels(name).rows if task["task_type"] == "A1"}
    assert {"move left 0.2 meters", "move forward 0.3 meters"} <= answers
