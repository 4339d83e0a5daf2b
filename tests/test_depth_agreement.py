"""Depth-warp consistency: nothing is left of the right motion, and more of any other."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.depth_agreement import DepthAgreement, depth_agreement, depth_agreements
from synth.film import Film
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.tracks import grey_of

MOVE = "move forward 0.4 meters; turn right 8 degrees"


@cache
def world() -> RoomWorld:
    return RoomWorld(GenerateConfig(num_scenes=1, seed=3, image_size=(320, 240)), 0, Stages())


@cache
def views() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Picture and z-depth before and after the move."""
    found = [world().view(world().T_world_anchor @ T) for T in (SE3.identity(), parse_actions(MOVE).pose())]
    return tuple((np.asarray(view.image), np.asarray(view.z_depth, np.float64)) for view in found)


def compared(told: str, *, both_depths: bool = True) -> DepthAgreement:
    (a, z_a), (b, z_b) = views()
    T_b_a, camera = parse_actions(told).pose().inverse(), world().camera
    return depth_agreement(grey_of(a), z_a, grey_of(b), camera, T_b_a, camera, z_b if both_depths else None)


def test_the_right_motion_leaves_nothing_but_the_sampling() -> None:
    found = compared(MOVE)
    assert found.photometric < 2.0 and found.z_residual < 0.003 and 0.5 < found.overlap < 1


@pytest.mark.parametrize(
    "wrong",
    [
        MOVE.replace("0.4", "0.5"),
        MOVE.replace("0.4", "0.2"),
        MOVE.replace("right", "left"),
        MOVE.replace("8 degrees", "10 degrees"),
        MOVE.replace("forward", "backward"),
    ],
)
def test_any_other_motion_leaves_more(wrong: str) -> None:
    right, found = compared(MOVE), compared(wrong)
    assert found.photometric > 1.5 * right.photometric and found.z_residual > 3 * right.z_residual


def test_without_the_second_depth_nothing_is_hidden_and_no_depth_compared() -> None:
    found = compared(MOVE, both_depths=False)
    assert math.isnan(found.z_residual) and found.overlap > compared(MOVE).overlap and found.photometric < 3.0


def test_unknown_depth_says_nothing() -> None:
    (a, z_a), (b, z_b) = views()
    camera, T_b_a = world().camera, parse_actions(MOVE).pose().inverse()
    for unknown in (np.full_like(z_a, np.nan), np.zeros_like(z_a)):
        found = depth_agreement(grey_of(a), unknown, grey_of(b), camera, T_b_a, camera, z_b)
        assert found.overlap == 0 and math.isnan(found.photometric) and math.isnan(found.z_residual)
    half = z_a.copy()
    half[:, :160] = 0
    assert depth_agreement(grey_of(a), half, grey_of(b), camera, T_b_a, camera, z_b).z_residual < 0.003


def test_a_film_is_compared_where_it_has_depth() -> None:
    (a, z_a), (b, z_b) = views()
    film = Film("a film", (320, 240), lambda: iter([a, b, b]), 3)
    depths = {0: z_a, 1: z_b, 2: None}
    T_b_a = parse_actions(MOVE).pose().inverse()
    motions = {(0, 1): [T_b_a], (1, 2): [SE3.identity(), T_b_a], (2, 2): [SE3.identity()]}
    found = dict(depth_agreements(film, world().camera, depths.__getitem__, motions))
    assert set(found) == {(0, 1), (1, 2)} and found[0, 1] == [compared(MOVE)]
    assert math.isnan(found[1, 2][0].z_residual)
    assert found[1, 2][0].photometric == 0 and found[1, 2][1].photometric > 0


def test_a_picture_of_another_size_is_refused() -> None:
    (a, z_a), (b, z_b) = views()
    small = PinholeCamera.from_hfov(1.0, 160, 120)
    with pytest.raises(ValueError, match="camera"):
        depth_agreement(grey_of(a), z_a, grey_of(b), small, SE3.identity(), world().camera, z_b)
