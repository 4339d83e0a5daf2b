"""The peers of the geometry head: what they answer, what they leave undecided, and what they are given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classical_peer import agrees, classical, motion
from head_peers import answer_all, constant_peer, mean_score, measure
from numpy.typing import NDArray

from geom import SE3, PinholeCamera
from geom.actions import parse_actions
from geom.boxes import normalise_box
from models.questions import Asked, Public, read_questions, true_answer
from synth.answers import BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.two_view import TwoView

SIZE = (200, 100)
CAMERA = PinholeCamera.from_hfov(math.radians(90), *SIZE)  # focal length 100
BLACK = np.zeros((100, 200, 3), np.uint8)
BOX = (80.0, 40.0, 120.0, 60.0)


def asked(task_type: str, *, variant: str = "open", pictures: Any = (BLACK, BLACK), **words: Any) -> Public:
    boxes = {name: normalise_box(words.pop(name), *SIZE) for name in ("box", "box_after") if name in words}
    return Public(task_type, variant, words | boxes, tuple(pictures), CAMERA.K.numpy(), SIZE)


def wall(z: float = 2.0) -> NDArray[np.float32]:
    return np.full((100, 200), z, np.float32)


def box_of(answer: Any) -> list[float]:
    assert isinstance(answer, BoxAnswer)
    assert answer.box_1000 == normalise_box(answer.box_px, *SIZE)
    return list(answer.box_px)


def test_a_box_on_a_wall_moves_as_its_depth_says() -> None:
    question = asked("D1", variant="predict", pictures=(BLACK,), box=BOX, actions="move right 0.4 meters")
    # 100 px * 0.4 m / 2 m to the left; pixel centres lie half a pixel inside of the box.
    assert box_of(classical(question, wall())) == pytest.approx([60.5, 40.5, 99.5, 59.5])
    assert classical(question, None) is None


def test_nearer_boxes_grow() -> None:
    box = box_of(classical(asked("D1", box=BOX, actions="move forward 1 meters"), wall()))
    assert box == pytest.approx([61, 31, 139, 69])


def test_what_stands_behind_the_object_does_not_widen_its_box() -> None:
    z_depth = wall(8.0)
    z_depth[40:60, 85:115] = 2.0
    box = box_of(classical(asked("D1", box=BOX, actions="move right 0.4 meters"), z_depth))
    assert box == pytest.approx([65.5, 40.5, 94.5, 59.5])


def test_a_turn_needs_no_depth() -> None:
    question = asked("D1", box=BOX, actions="turn right 20 degrees")
    uv = torch.tensor([[x, y] for x in (80.5, 119.5) for y in (40.5, 59.5)], dtype=torch.float64)
    turned, _ = CAMERA.project(SE3.yaw_right(math.radians(20)).inverse().act(CAMERA.rays(uv)))
    box = box_of(classical(question, None))
    assert box == pytest.approx([*turned.amin(0).tolist(), *turned.amax(0).tolist()])
    assert box == pytest.approx(box_of(classical(question, wall())))


def test_a_box_that_leaves_the_picture_is_undecided() -> None:
    assert classical(asked("D1", box=BOX, actions="turn right 90 degrees"), None) is None


@pytest.mark.parametrize(
    ("actions", "is_gone"),
    [("turn right 70 degrees", True), ("turn right 20 degrees", False), ("turn left 180 degrees", True)],
)
def test_out_of_view_is_gone(actions: str, is_gone: bool) -> None:
    assert classical(asked("D2", box=BOX, actions=actions), None) == VisibilityAnswer(is_gone)


def test_hidden_is_gone_as_far_as_the_first_view_knows() -> None:
    question = asked("D2", box=BOX, actions="move right 1 meters")
    z_depth = wall(4.0)
    assert classical(question, z_depth) == VisibilityAnswer(False)
    z_depth[:, 125:] = 0.5  # goes 200 px to the left and so out of view, and the object 25
    assert classical(question, z_depth) == VisibilityAnswer(False)
    z_depth[:, 125:] = 1.0  # goes 100 px to the left and stands before the object
    assert classical(question, z_depth) == VisibilityAnswer(True)
    assert classical(question, None) is None


def test_two_boxes_are_one_object_where_the_motion_takes_one_to_the_other() -> None:
    there, elsewhere = (60.0, 40.0, 100.0, 60.0), (140.0, 40.0, 180.0, 60.0)
    for box_after, is_same in ((there, True), (elsewhere, False)):
        question = asked("D4", box=BOX, box_after=box_after, actions="move right 0.4 meters")
        assert classical(question, wall()) == IdentityAnswer(is_same)
        assert classical(question, None) is None


def two_view(kind: str, actions: str) -> TwoView:
    T_b_a = parse_actions(actions).pose().inverse()
    if kind == "direction":
        T_b_a = SE3(T_b_a.R, T_b_a.t / T_b_a.t.norm())
    return TwoView(T_b_a, kind, "", 100, 100, 0.1, 1.0, 1.0, 0.01)  # pyright: ignore


@pytest.mark.parametrize(
    ("kind", "seen", "claim", "holds"),
    [
        ("none", "turn left 10 degrees", "turn left 10 degrees", None),
        ("rotation", "turn left 10 degrees", "turn left 10 degrees", True),
        ("rotation", "turn left 10 degrees", "turn right 10 degrees", False),
        ("rotation", "turn left 10 degrees", "turn left 10 degrees and move left 1 meters", False),
        ("direction", "move left 1 meters", "move left 0.3 meters", True),
        ("direction", "move left 1 meters", "move right 1 meters", False),
        ("direction", "turn left 10 degrees; move left 1 meters", "turn left 10 degrees", False),
        ("metric", "move left 1 meters", "move left 0.9 meters", False),
        ("metric", "move left 1 meters", "move left 1 meters", True),
        ("metric", "turn left 10 degrees", "turn left 20 degrees", False),
    ],
)
def test_a_claim_is_compared_as_far_as_is_known(kind: str, seen: str, claim: str, holds: bool | None) -> None:
    assert agrees(two_view(kind, seen), parse_actions(claim)) is holds


@pytest.mark.parametrize(
    ("task", "count", "kind", "seen", "says"),
    [
        ("A2", 1, "direction", "turn left 10 degrees; move left 0.5 meters", "turn left 10 degrees"),
        ("A2", 1, "none", "turn left 10 degrees", None),
        ("A1", 1, "direction", "move left 0.5 meters", None),
        ("A1", 1, "metric", "move left 0.52 meters; turn left 1 degrees", "move left 0.5 meters"),
        ("D3", 1, "rotation", "turn left 11 degrees", "turn left 10 degrees"),
        ("D3", 2, "rotation", "turn left 10 degrees", None),
        ("D3", 1, "direction", "move left 0.5 meters", None),
        (
            "A3",
            2,
            "metric",
            "turn left 10 degrees; move left 0.51 meters",
            "turn left 10 degrees; move left 0.5 meters",
        ),
    ],
)
def test_a_motion_is_said_as_far_as_it_is_measured(
    task: str, count: int, kind: str, seen: str, says: str | None
) -> None:
    answer = motion(asked(task, num_actions=count), two_view(kind, seen))
    assert answer == (None if says is None else MotionAnswer(says, (says,)))


@pytest.fixture(scope="module")
def room() -> RoomWorld:
    return RoomWorld(GenerateConfig(num_scenes=1, seed=1001, image_size=(320, 240)), 0, Stages())


@pytest.mark.parametrize(
    ("task", "actions", "alone", "given"),
    [
        ("A2", "turn right 10 degrees", True, True),
        ("A1", "move left 0.3 meters", False, True),
        ("A3", "move right 0.3 meters; turn left 10 degrees", False, True),
        ("D3", "turn left 20 degrees", True, True),
    ],
)
def test_motions_in_a_room(room: RoomWorld, task: str, actions: str, alone: bool, given: bool) -> None:
    """Lengths need the depth that the peer is given; turns do not."""
    sequence = parse_actions(actions)
    views = [room.view(T) for T in (room.T_world_anchor, room.T_world_anchor @ sequence.pose())]
    pictures = tuple(view.image for view in views)
    K, size = room.camera.K.numpy(), (320, 240)
    question = Public(task, "open", {"num_actions": len(sequence)}, pictures, K, size)  # pyright: ignore
    for z_depth, is_told in ((None, alone), (views[0].z_depth, given)):
        answer = classical(question, z_depth)
        assert (answer is not None) == is_told
        if answer is not None:
            assert isinstance(answer, MotionAnswer)
            end, true = parse_actions(answer.actions).planar(), sequence.planar()
            assert end == pytest.approx(true, abs=1e-6)
    claim = Public("A4", "open", {"claim": actions}, pictures, K, size)  # pyright: ignore
    assert classical(claim, views[0].z_depth) == ClaimAnswer(True)
    mirrored = Public("A4", "open", {"claim": sequence.mirrored().claim()}, pictures, K, size)  # pyright: ignore
    assert classical(mirrored, views[0].z_depth) == ClaimAnswer(False)


def test_pictures_without_texture_leave_motions_open() -> None:
    assert classical(asked("A2"), None) is None
    assert classical(asked("A4", claim="turn left 10 degrees"), wall()) is None


@pytest.fixture(scope="module")
def questions(small_dataset: Path) -> list[Asked]:
    return read_questions(small_dataset)


def test_no_single_answer_scores_more_than_the_constant(questions: list[Asked]) -> None:
    peer = constant_peer(questions)
    for task in ("A1", "A2", "D2"):
        same = [one for one in questions if one.task_type == task and one.variant == "open"]
        best = mean_score(same, lambda one: peer(one.public(), None))  # pyright: ignore
        assert best == pytest.approx(max(mean_score(same, lambda one, said=said: true_answer(said)) for said in same))


def test_the_constant_needs_training_questions_of_every_phrasing(questions: list[Asked]) -> None:
    peer = constant_peer([one for one in questions if one.task_type == "A1"])
    with pytest.raises(ValueError, match="must have some of A2 open"):
        answer_all([one for one in questions if one.task_type == "A2"], peer)


def test_measured_by_the_score_of_the_project(questions: list[Asked], small_dataset: Path, tmp_path: Path) -> None:
    some = [one for one in questions if one.scene_id == questions[0].scene_id]
    peers = measure(some, questions, small_dataset, tmp_path)["peers"]
    assert {row["corrected"] for row in peers["truth"]["tasks"].values()} == {1.0}
    assert all(row["undecided"] == 0 for row in peers["constant"]["tasks"].values())
    assert peers["classical"]["tasks"]["A1"]["undecided"] == peers["classical"]["tasks"]["A1"]["n"]
    assert peers["classical"]["tasks"]["D1"]["undecided"] > peers["classical_with_depth"]["tasks"]["D1"]["undecided"]
    assert peers["classical_with_depth"]["tasks"]["D1"]["corrected"] > 0.5
    for name in ("classical", "classical_with_depth"):
        either = peers[f"{name}_or_constant"]["tasks"]
        assert all(row["undecided"] == 0 for row in either.values())
        assert all(row["corrected"] >= peers[name]["tasks"][task]["corrected"] for task, row in either.items())
