"""What a camera was told: from poses, action strings, keys and clips; and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.actions import ActionKind, ActionSequence, parse_actions
from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from synth.commanded import (
    SPAN_FRAMES,
    Commanded,
    commanded_of_actions,
    commanded_of_clip,
    commanded_of_file,
    commanded_of_poses,
)
from synth.source import Clip, Frame

METRIC = Scale("metric", "a test")
ARC = SE3.from_translation(torch.tensor([0.0, 0.0, 0.05]).double()) @ SE3.yaw_right(math.radians(2.0))


def ways(commanded: Commanded) -> list[str]:
    return [str(step.way) for step in commanded.steps]


def path(num: int, step: SE3 = ARC) -> SE3:
    poses = [SE3.yaw_right(0.7)]
    for _ in range(num - 1):
        poses.append(poses[-1] @ step)
    return SE3.stack(poses)


@given(
    st.lists(st.sampled_from(["FWD_0.5", "LEFT_0.2", "TR_30", "TL_10", "move backward 0.3 m"]), min_size=1, max_size=4)
)
def test_an_action_string_takes_equal_shares_and_leads_where_it_says(words: list[str]) -> None:
    actions = parse_actions("; ".join(words))
    commanded = commanded_of_actions(actions, 41, METRIC)
    assert len(commanded.steps) == len(actions) and commanded.key_frames[-1] == 40
    lengths = {step.last - step.first for step in commanded.steps}
    assert max(lengths) - min(lengths) <= 1
    for step, action in zip(commanded.steps, actions, strict=True):
        assert step.T_before_after is not None and step.way.kinds == {action.kind}
        assert torch.allclose(step.T_before_after.matrix(), action.pose().matrix(), atol=1e-9)
    total = commanded.between(0, 40)
    assert total is not None and torch.allclose(total.matrix(), actions.pose().matrix(), atol=1e-9)


def test_frames_within_an_action_move_evenly() -> None:
    commanded = commanded_of_actions(parse_actions("FWD_1; TR_40"), 21, METRIC)
    for first, last, metres, degrees in ((0, 5, 0.5, 0.0), (10, 15, 0.0, 20.0)):
        part = commanded.between(first, last)
        assert part is not None
        assert float(part.t.norm()) == pytest.approx(metres, abs=1e-9)
        assert math.degrees(float(SE3.identity().distance(part)[0])) == pytest.approx(degrees, abs=1e-6)


def test_key_frames_may_be_given() -> None:
    commanded = commanded_of_actions(parse_actions("FWD_1; TR_40"), 30, METRIC, [4, 10, 29])
    assert commanded.key_frames == [4, 10, 29] and not commanded.notes
    still = commanded.between(0, 4)
    assert still is not None and float(still.t.norm()) == 0


def test_poses_without_key_frames_are_cut_into_spans_and_that_is_said() -> None:
    commanded = commanded_of_poses(path(50), METRIC)
    assert commanded.key_frames == [0, 16, 32, 49] and "nobody says" in commanded.notes[0]
    assert ways(commanded) == ["forward+turn right"] * 3
    assert commanded_of_poses(path(SPAN_FRAMES + 3), METRIC).key_frames == [0, SPAN_FRAMES + 2]


def test_what_rounding_leaves_of_no_move_is_a_turn_in_place() -> None:
    turn = path(9, SE3.yaw_right(0.05))
    noisy = SE3(turn.R, turn.t + 1e-17)
    assert commanded_of_poses(noisy, METRIC, [0, 8]).steps[0].T_before_after.t.abs().max() == 0  # type: ignore[union-attr]
    forward = SE3.from_translation(torch.tensor([0.0, 0.0, 1.0]).double())
    mixed = SE3.stack([SE3.identity(), forward, forward @ SE3.from_translation(torch.tensor([3e-7, 0, 0]).double())])
    commanded = commanded_of_poses(mixed, METRIC, [0, 1, 2])
    assert [step.moves for step in commanded.steps] == [True, False]


def test_a_path_returns_only_if_it_was_away() -> None:
    there_and_back = commanded_of_actions(parse_actions("FWD_0.5; BACK_0.5"), 20, METRIC)
    turned_back = commanded_of_actions(parse_actions("TL_30; TR_30"), 20, METRIC)
    away = commanded_of_actions(parse_actions("FWD_0.5; BACK_0.4"), 20, METRIC)
    still = commanded_of_poses(SE3.stack([SE3.identity()] * 5), METRIC, [0, 4])
    assert [c.returns for c in (there_and_back, turned_back, away, still)] == [True, True, False, False]


def clip(told: str, num: int, key_frames: tuple[int, ...]) -> Clip:
    camera = PinholeCamera.from_hfov(1.0, 8, 8)
    poses = commanded_of_actions(parse_actions(told), num, METRIC).T_world_cam
    assert poses is not None
    frames = tuple(Frame(Path(f"{n}.png"), camera, poses[n]) for n in range(num))
    return Clip("clip", frames, METRIC, told, key_frames)


def test_a_clip_that_does_not_say_where_its_actions_end_shows_it_by_its_poses() -> None:
    told = "move forward 0.5 meters; turn left 30 degrees; move right 0.4 meters"
    commanded = commanded_of_clip(clip(told, 31, (0, 30)))
    assert commanded.key_frames == [0, 10, 20, 30] and ways(commanded) == ["forward", "turn left", "right"]
    assert commanded_of_clip(clip(told, 31, (0, 10, 20, 30))).key_frames == [0, 10, 20, 30]
    assert commanded_of_clip(clip("move forward 0.5 meters", 31, (0, 30))).key_frames == [0, 30]


def written(folder: Path, value: Any) -> Path:
    (folder / "told.json").write_text(json.dumps(value))
    return folder / "told.json"


def test_keys_say_directions_alone_and_are_looked_at_in_parts(tmp_path: Path) -> None:
    actions = [{"frames": [0, 31], "keys": ["W", "D"]}, {"frames": [32, 63], "keys": ["left"]}]
    commanded = commanded_of_file(written(tmp_path, {"actions": actions}), 64)
    assert ways(commanded) == ["forward+right", "turn left"]
    assert commanded.key_frames == [0, 16, 32, 48, 63] and commanded.between(0, 16) is None
    assert commanded.steps[1].way.kinds == {ActionKind.TURN_LEFT} and not commanded.returns


def test_a_file_of_poses_is_read_as_plan_writes_it(tmp_path: Path) -> None:
    poses = path(6).matrix().tolist()
    for name in ("T_world_cam", "T_cam0_cam"):
        commanded = commanded_of_file(written(tmp_path, {name: poses, "key_frame_indices": [0, 3, 5]}), 6)
        assert commanded.key_frames == [0, 3, 5] and commanded.scale.status == "unknown"
    assert commanded_of_file(written(tmp_path, {"T_world_cam": poses, "scale": "metric"}), 6).scale.is_metric


@pytest.mark.parametrize(
    ("value", "num", "says"),
    [
        ({"T_world_cam": path(6).matrix().tolist()}, 7, "as many as frames, got 6 in .* and 7 frames"),
        ({"poses": []}, 7, "must hold T_world_cam"),
        ({"actions": []}, 7, "at least one action"),
        ({"actions": [{"frames": [0, 5], "keys": ["Q"]}]}, 7, "keys must be among W.*got 'Q'"),
        ({"actions": [{"frames": [0.5, 5], "keys": ["W"]}]}, 7, "whole numbers"),
        ({"actions": [{"frames": [5, 6], "keys": ["W"]}, {"frames": [0, 4], "keys": ["A"]}]}, 7, "rising frames"),
        ({"T_world_cam": path(6).matrix().tolist(), "key_frames": [0, 9]}, 6, "rising frames from 0 to 5"),
        (
            {"T_world_cam": [[[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]] * 2},
            2,
            "reflect|determinant|det",
        ),
    ],
)
def test_files_that_do_not_match_the_film_are_refused(tmp_path: Path, value: Any, num: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        commanded_of_file(written(tmp_path, value), num)


def test_action_strings_that_do_not_match_the_film_are_refused() -> None:
    actions = parse_actions("FWD_1; TR_40")
    for num, keys, says in ((2, None, "more frames than there are actions"), (9, [0, 8], "one more than actions")):
        with pytest.raises(ValueError, match=says):
            commanded_of_actions(actions, num, METRIC, keys)
    with pytest.raises(ValueError, match="at least one"):
        commanded_of_actions(ActionSequence(), 9, METRIC)
    with pytest.raises(ValueError, match="at least 2"):
        commanded_of_poses(path(1), METRIC)
