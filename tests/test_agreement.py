"""Pictures against commanded motions: rooms that obey, motions that were not, turns, and too little to tell."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from films import noisy

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.agreement import Agreement, agreement, tsed
from synth.matches import Matches, matches
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.tracks import grey_of

ROOM = RoomWorld(GenerateConfig(num_scenes=1, seed=0, image_size=(480, 360)), 0, Stages())
COMMANDS = {
    "forward": "move forward 0.4 meters",
    "left": "move left 0.3 meters",
    "turn": "turn left 12 degrees",
    "arc": "move forward 0.3 meters; turn right 10 degrees",
}


@pytest.fixture(scope="module")
def seen() -> dict[str, Matches]:
    """Matches of a room before and after each command."""
    found = {}
    for name, words in COMMANDS.items():
        poses = ROOM.T_world_anchor, ROOM.T_world_anchor @ parse_actions(words).pose()
        images = [view.image for view in map(ROOM.view, poses)]
        greys = [grey_of(picture) for picture in noisy([image for image in images if image is not None], 2.0)]
        found[name] = matches(*greys)
    return found


def commanded(words: str) -> SE3:
    """T_after_before."""
    return parse_actions(words).pose().inverse()


@pytest.mark.parametrize("name", COMMANDS)
def test_pictures_agree_with_what_was_done(name: str, seen: dict[str, Matches]) -> None:
    found = agreement(seen[name], ROOM.camera, commanded(COMMANDS[name]), ROOM.camera)
    assert found.is_consistent and found.median_px < 0.5 and found.num_matches == len(seen[name]) > 50


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("forward", "move left 0.4 meters"),
        ("left", "move forward 0.4 meters"),
        ("turn", "turn right 12 degrees"),
        ("turn", "turn left 6 degrees"),
        ("arc", "move forward 0.3 meters; turn left 10 degrees"),
        ("arc", "move forward 0.3 meters"),
        ("forward", "turn left 10 degrees"),
    ],
)
def test_pictures_disagree_with_what_was_not(name: str, told: str, seen: dict[str, Matches]) -> None:
    found = agreement(seen[name], ROOM.camera, commanded(told), ROOM.camera)
    assert not found.is_consistent and found.median_px > 4


def test_the_reverse_has_the_same_lines_and_length_does_not_matter(seen: dict[str, Matches]) -> None:
    motions = (commanded(f"move {way} 7 meters") for way in ("left", "right"))
    there, back = (agreement(seen["left"], ROOM.camera, motion, ROOM.camera) for motion in motions)
    assert there.is_consistent and there.median_px == pytest.approx(back.median_px, rel=1e-9)


def test_the_median_is_that_of_opencvs_lines(seen: dict[str, Matches]) -> None:
    T_b_a, pair = commanded(COMMANDS["arc"]), seen["arc"]
    K = ROOM.camera.K.numpy() - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # OpenCV counts the first centre as 0
    t = T_b_a.t.numpy()
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    F = np.linalg.inv(K).T @ cross @ T_b_a.R.numpy() @ np.linalg.inv(K)
    a, b = (np.asarray(uv - 0.5, np.float64)[:, None] for uv in (pair.uv_a, pair.uv_b))
    halves = []
    for points, others, which in ((a, b, 1), (b, a, 2)):
        lines = cv2.computeCorrespondEpilines(points, which, F)[:, 0]
        halves.append(np.abs((lines[:, :2] * others[:, 0]).sum(1) + lines[:, 2]))
    want = float(np.sort((halves[0] + halves[1]) / 2)[len(pair) // 2])
    assert agreement(pair, ROOM.camera, T_b_a, ROOM.camera).median_px == pytest.approx(want, rel=1e-3)


def test_too_few_matches_are_no_agreement_and_count_as_none(seen: dict[str, Matches]) -> None:
    few = Matches(seen["left"].uv_a[:9], seen["left"].uv_b[:9])
    nothing = Matches(np.zeros((0, 2)), np.zeros((0, 2)))
    T_b_a = commanded(COMMANDS["left"])
    nine, none = (agreement(pair, ROOM.camera, T_b_a, ROOM.camera) for pair in (few, nothing))
    assert (nine.num_matches, nine.is_consistent) == (9, False) and nine.median_px < 2
    assert agreement(few, ROOM.camera, T_b_a, ROOM.camera, min_matches=9).is_consistent
    assert math.isnan(none.median_px) and not none.is_consistent
    assert tsed([nine, none, Agreement(0.1, 40, True)]) == 1 / 3 and math.isnan(tsed([]))


def test_what_a_turn_takes_behind_the_camera_is_as_far_off_as_can_be(seen: dict[str, Matches]) -> None:
    found = agreement(seen["turn"], ROOM.camera, commanded("turn left 170 degrees"), ROOM.camera)
    assert found.median_px == math.inf and not found.is_consistent


def test_bad_input_is_refused_with_the_reason(seen: dict[str, Matches]) -> None:
    with pytest.raises(ValueError, match="one each"):
        agreement(seen["left"], ROOM.camera, SE3.identity(2), ROOM.camera)
    with pytest.raises(ValueError, match="one each"):
        agreement(seen["left"], PinholeCamera(torch.stack([ROOM.camera.K] * 2), 480, 360), SE3.identity(), ROOM.camera)
    with pytest.raises(ValueError, match="min_matches must be >= 1"):
        agreement(seen["left"], ROOM.camera, SE3.identity(), ROOM.camera, min_matches=0)
