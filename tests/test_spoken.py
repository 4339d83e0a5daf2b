"""Motions said from poses: what is left unsaid, what is refused, and which pairs and frames are chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.scale import Scale, ScaleStatus
from geom.se3 import SE3
from synth.source import Clip, Frame
from synth.spoken import Limits, Spoken, Unspoken, chosen_frames, frame_pairs, speak

CAMERA = PinholeCamera.from_hfov(1.0, 40, 30)


def clip(*poses: SE3, told: str = "", keys: tuple[int, ...] = (), status: ScaleStatus = "metric") -> Clip:
    frames = tuple(Frame(Path(f"{n}.png"), CAMERA, T) for n, T in enumerate(poses))
    return Clip("c", frames, Scale(status, "made up"), told, keys)


def after(text: str) -> SE3:
    return parse_actions(text).pose()


def twist(*values: float) -> SE3:
    return SE3.exp(torch.tensor(values).double())


def spoken(T: SE3, **options) -> str:
    return speak(clip(SE3.identity(), T, **options), 0, 1).actions.text()


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("FWD_0.5; RIGHT_0.02", "move forward 0.5 meters"),
        ("FWD_0.5; RIGHT_0.03", "move forward 0.5 meters; move right 0.03 meters"),
        ("FWD_0.1; RIGHT_0.02", "move forward 0.1 meters"),
        ("FWD_0.08; RIGHT_0.02", "move forward 0.08 meters; move right 0.02 meters"),
        ("TL_20; FWD_0.02", "turn left 20 degrees"),
        ("TL_8; LEFT_0.02", "move left 0.02 meters; turn left 8 degrees"),
        ("FWD_0.4; TR_1", "move forward 0.4 meters"),
        ("FWD_0.1; TR_1", "move forward 0.1 meters; turn right 1 degrees"),
        ("FWD_0.4; TR_2", "move forward 0.4 meters; turn right 2 degrees"),
    ],
)
def test_what_hands_add_to_one_axis_goes_unsaid_up_to_a_limit(shown: str, said: str) -> None:
    assert spoken(after(shown)) == said


def test_what_goes_unsaid_is_in_the_residual() -> None:
    T = after("FWD_0.5; RIGHT_0.02") @ twist(0, -0.01, 0, 0.01, 0, 0)
    said = speak(clip(SE3.identity(), T), 0, 1)
    rest = SE3.from_matrix(torch.tensor(said.residual["T_planar_after"]).double())
    assert max(map(float, (said.actions.pose() @ rest).distance(T))) < 1e-9
    assert said.residual["pitch_deg"] == pytest.approx(np.rad2deg(0.01), abs=1e-6)
    assert said.residual["lift"] == pytest.approx(0.01, abs=1e-4)


@given(start=st.tuples(*[st.floats(-1, 1)] * 6), z=st.floats(-2, 2), x=st.floats(-2, 2), deg=st.floats(-170, 170))
def test_where_the_world_lies_changes_no_word(start: tuple[float, ...], z: float, x: float, deg: float) -> None:
    motion = SE3.from_translation(torch.tensor([x, 0.0, z]).double()) @ twist(0, 0, 0, 0, np.deg2rad(deg), 0)
    T_world_cam = twist(*start)
    try:
        here = speak(clip(SE3.identity(), motion), 0, 1)
    except Unspoken:
        return
    there = speak(clip(T_world_cam, T_world_cam @ motion), 0, 1)
    assert max(map(float, here.actions.pose().distance(there.actions.pose()))) <= 0.02, "but for rounding"


@pytest.mark.parametrize(
    ("pose", "cause"),
    [
        (twist(0, 0, 0.5, 0.05, 0, 0), "not_planar: too much pitch"),
        (twist(0, 0, 0.5, 0, 0, 0.05), "not_planar: too much roll"),
        (twist(0, 0.05, 0.5, 0, 0, 0), "not_planar: too much lift"),
        (twist(0, 0.05, 0.5, 0.05, 0, 0.05), "not_planar: too much pitch and roll and lift"),
        (SE3.identity(), "stands still"),
        (twist(0.004, 0, 0.004, 0, 0.001, 0), "stands still"),
    ],
)
def test_what_is_no_motion_of_the_grammar_is_refused_with_its_cause(pose: SE3, cause: str) -> None:
    with pytest.raises(Unspoken, match=cause):
        spoken(pose)


def test_limits_are_what_the_user_says() -> None:
    tilted = clip(SE3.identity(), twist(0, 0.05, 0.5, 0.05, 0, 0))
    assert speak(tilted, 0, 1, Limits(4.0, 0.1)).actions.text() == "move forward 0.5 meters"


def test_steps_are_said_one_by_one_in_the_order_of_key_frames() -> None:
    """Left then ahead, and ahead then left, end at one pose: only the frames between tell them apart."""
    ends = [after("LEFT_0.3"), after("LEFT_0.3; FWD_0.5")]
    told = "move left 0.3 meters; move forward 0.5 meters"
    stepped = clip(SE3.identity(), *ends, told=told, keys=(0, 1, 2))
    assert speak(stepped, 0, 2).actions.text() == told
    assert speak(stepped, 0, 1).actions.text() == "move left 0.3 meters"
    assert speak(stepped, 1, 2).actions.text() == "move forward 0.5 meters"


@pytest.mark.parametrize("status", ["up_to_scale", "unknown"])
def test_without_a_scale_small_is_small_beside_the_path(status: ScaleStatus) -> None:
    """A thousandth of a unit is a move where the path is a hundredth long, and none where it is a hundred long."""
    turn, drift = after("TL_30"), SE3.from_translation(torch.tensor([0.0, 0.0, 1e-3]).double())
    long = clip(SE3.identity(), drift @ turn, after("FWD_100"), status=status)
    assert speak(long, 0, 1).actions.text() == "turn left 30 degrees"
    raised = SE3.from_translation(torch.tensor([0.0, -1e-3, 0.0]).double())
    with pytest.raises(Unspoken, match="lift"):
        speak(clip(SE3.identity(), raised @ turn, after("FWD_0.01"), status=status), 0, 1)


@pytest.mark.parametrize("unit", [1.0, 0.1, 0.01, 0.001])
def test_the_unit_of_a_path_without_scale_hides_no_move(unit: float) -> None:
    """A reconstruction may call the whole room a hundredth: what moved is still said to move."""
    poses = [after(text) for text in ("TR_20; FWD_0.3", "LEFT_1", "TL_15; FWD_0.02")]
    there = [SE3.identity(), *(SE3(T.R, T.t * unit) for T in poses)]
    said = [speak(clip(*there, status="up_to_scale"), 0, n).actions for n in (1, 2, 3)]
    kinds = [[action.kind.value for action in actions] for actions in said]
    assert kinds == [["forward", "shift_right", "turn_right"], ["shift_left"], ["turn_left"]]
    assert said[1][0].amount == pytest.approx(unit)


def test_a_path_too_short_for_words_is_refused() -> None:
    with pytest.raises(Unspoken, match="too short in the unit of its poses"):
        speak(clip(SE3.identity(), SE3(after("TR_20").R, after("FWD_0.0001").t), status="unknown"), 0, 1)


@given(count=st.integers(2, 60), most=st.integers(2, 30), keys=st.lists(st.integers(0, 59), max_size=5))
def test_chosen_frames_are_few_in_order_and_hold_both_ends(count: int, most: int, keys: list[int]) -> None:
    key_frames = tuple(sorted({k for k in keys if k < count}))
    chosen = chosen_frames(clip(*[SE3.identity()] * count, keys=key_frames), most)
    assert chosen == sorted(set(chosen)) and len(chosen) <= most
    assert chosen[0] == 0 and chosen[-1] == count - 1
    if count <= most:
        assert chosen == list(range(count))


def test_a_told_clip_goes_from_its_first_frame_and_a_recorded_one_from_all() -> None:
    poses = [SE3.identity()] * 5
    told = clip(*poses, told="turn left 30 degrees")
    assert list(frame_pairs(told, [0, 1, 2, 3, 4], 1)) == [(0, 4)]
    assert list(frame_pairs(told, [0, 1, 2, 3, 4], 9)) == [(0, 4), (0, 3), (0, 2), (0, 1)]
    assert len(list(frame_pairs(clip(*poses), [0, 2, 4], 1))) == 6


@pytest.mark.parametrize("limits", [(-1.0, 0.03), (45.0, 0.03), (2.0, -0.1), (2.0, float("inf")), (float("nan"), 0.1)])
def test_limits_that_cannot_be_meant_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="max_"):
        Limits(*limits)


def test_spoken_keeps_actions_and_residual() -> None:
    said = speak(clip(SE3.identity(), after("FWD_1")), 0, 1)
    assert isinstance(said, Spoken) and set(said.residual) == {"pitch_deg", "roll_deg", "lift", "T_planar_after"}
