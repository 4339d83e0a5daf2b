"""Where a camera can be: paths against brute force, level poses by hand, anchors that see enough."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

from geom.actions import parse_actions
from geom.se3 import SE3
from synth.free_space import (
    CLEARANCE_M,
    FreeSpace,
    distance_to_parts,
    feasible,
    level_pose,
    path_is_free,
    sample_anchor,
)
from synth.rooms import make_room
from synth.scene import Light, ObjectInstance, Part, Scene
from synth.shell import build_shell

NUM_ROOMS = 30


@cache
def space(seed: int) -> FreeSpace:
    return FreeSpace.of(make_room(seed))


@cache
def anchors(seed: int, num: int = 3) -> tuple[SE3, ...]:
    rng = np.random.default_rng(seed)
    return tuple(sample_anchor(space(seed), rng) for _ in range(num))


def bare_room(*items: ObjectInstance) -> Scene:
    shell = build_shell((6.0, 5.0, 2.6), np.random.default_rng(0), False)
    return Scene("bare", 0, (6.0, 5.0, 2.6), items, shell.parts[:6], Light((3.0, 2.5, 2.5)))


def pillar(x: float, y: float) -> ObjectInstance:
    return ObjectInstance("pillar_0", "pillar", (x, y, 0.0), 0.3, (Part("cylinder", (0, 0, 1), (0.2, 0.2, 1)),))


def test_distance_by_hand() -> None:
    scene = bare_room(pillar(3.0, 2.0))
    points = np.array([[3.0, 3.0, 1.0], [3.0, 2.0, 1.0], [0.4, 2.5, 1.3], [3.0, 2.0, 2.3]])
    # 1 m from the axis of a pillar of radius 0.2; inside it; 0.4 m from the wall x = 0; 0.3 m above it and below
    # the ceiling.
    assert np.allclose(distance_to_parts(scene, points), [0.8, 0.0, 0.4, 0.3])


def test_a_path_beside_a_pillar_is_free_exactly_beyond_the_clearance() -> None:
    scene = bare_room(pillar(3.0, 2.0))
    for offset, expected in ((0.449, False), (0.452, True), (-0.449, False), (-0.452, True)):
        for stop in (4.2, 4.7, 5.0, 5.3):  # so that the nearest point is no round share of the way
            path = np.array([[1.0, 2.0 + offset, 1.2], [stop, 2.0 + offset, 1.2]])
            assert path_is_free(scene, path) == expected
    ends_short = np.array([[1.0, 2.0, 1.2], [2.54, 2.0, 1.2]])
    assert path_is_free(scene, ends_short) and not path_is_free(scene, ends_short + (0.02, 0, 0))


def test_every_leg_of_a_path_and_every_single_place_counts() -> None:
    scene = bare_room(pillar(3.0, 2.0))
    round_it = np.array([[1.0, 2.0, 1.2], [3.0, 3.0, 1.2], [5.0, 2.0, 1.2]])
    assert path_is_free(scene, round_it)
    assert not path_is_free(scene, round_it[[0, 2]])
    assert not path_is_free(scene, round_it[[0, 1, 2, 0]])
    assert path_is_free(scene, round_it[:1]) and not path_is_free(scene, np.array([[3.0, 2.0, 1.2]]))


def test_nothing_outside_the_room_is_free() -> None:
    scene = bare_room()
    assert path_is_free(scene, np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0]]))
    for outside in ([-3.0, 1.0, 1.0], [1.0, 9.0, 1.0], [1.0, 1.0, 4.0], [0.2, 1.0, 1.0]):
        assert not path_is_free(scene, np.array([outside, outside]))


def test_paths_agree_with_points_sampled_along_them() -> None:
    rng, agree = np.random.default_rng(0), []
    for seed in range(5):
        size = np.array(space(seed).scene.room_size)
        ends = rng.uniform(0.3, size - 0.3, (40, 2, 3))
        ends[:, 1] = (ends[:, 0] + rng.normal(size=(40, 3)) * (0.8, 0.8, 0.1)).clip(0.3, size - 0.3)
        free = path_is_free(space(seed), ends)
        share = np.linspace(0, 1, 41)[:, None]
        along = ends[:, :1] + share * (ends[:, 1:] - ends[:, :1])
        least = distance_to_parts(space(seed), along).min(1)
        assert not (free & (least < CLEARANCE_M)).any(), "a path that touches something is never free"
        assert not (~free & (least > CLEARANCE_M + 0.05)).any()
        agree.append(free.mean())
    assert 0.15 < np.mean(agree) < 0.85


def test_a_level_pose_looks_where_its_heading_says() -> None:
    for heading, forward, right in ((0.0, (0, 1, 0), (1, 0, 0)), (math.pi / 2, (1, 0, 0), (0, -1, 0))):
        pose = level_pose(1.0, 2.0, 1.5, heading)
        columns = torch.tensor([right, (0, 0, -1), forward], dtype=torch.float64).mT
        assert torch.allclose(pose.R, columns, atol=1e-12)
        assert torch.linalg.det(pose.R).item() == pytest.approx(1.0)
        assert pose.t.tolist() == [1.0, 2.0, 1.5]


def test_turning_right_increases_the_heading() -> None:
    turned = level_pose(1.0, 2.0, 1.5, 0.4) @ parse_actions("turn right 30 degrees").pose()
    assert torch.allclose(turned.matrix(), level_pose(1.0, 2.0, 1.5, 0.4 + math.radians(30)).matrix(), atol=1e-12)


def test_feasible_follows_the_actions() -> None:
    scene, start = bare_room(pillar(3.0, 2.0)), level_pose(1.0, 2.0, 1.2, math.pi / 2)
    assert feasible(scene, start, parse_actions("move forward 1.5 meters"))
    assert not feasible(scene, start, parse_actions("move forward 2 meters"))
    assert not feasible(scene, start, parse_actions("move forward 4 meters")), "through the pillar and out again"
    assert feasible(scene, start, parse_actions("turn left 90 degrees; move forward 2 meters"))
    assert not feasible(scene, start, parse_actions("turn right 90 degrees; move forward 2 meters"))
    assert not feasible(scene, start, parse_actions("move backward 1 meter"))


def test_anchors_are_level_and_keep_their_distance() -> None:
    for seed in range(NUM_ROOMS):
        for pose in anchors(seed):
            assert pose.R[2].tolist() == [0.0, -1.0, 0.0]
            assert 1.0 <= pose.t[2] <= 1.7
            assert distance_to_parts(space(seed), pose.t.numpy()) >= CLEARANCE_M


def _num_in_view(seed: int, T_world_cam: SE3) -> int:
    """Items whose middle is in a square picture of 60 degrees, and large enough to be seen."""
    count = 0
    for item in space(seed).scene.items:
        low, high = item.bounds
        middle = item.rotation() @ ((low + high) / 2) + item.position
        x, y, z = T_world_cam.inverse().act(torch.from_numpy(middle)).tolist()
        in_picture = z > 0.2 and max(abs(x), abs(y)) < z * math.tan(math.radians(30))
        count += in_picture and np.linalg.norm(high - low) / z > 0.08
    return count


def test_anchors_see_at_least_four_objects() -> None:
    seen = [_num_in_view(seed, pose) for seed in range(NUM_ROOMS) for pose in anchors(seed)]
    assert min(seen) >= 4 and np.mean(seen) > 6


def test_anchors_look_into_the_room() -> None:
    inward = []
    for seed in range(NUM_ROOMS):
        middle = torch.tensor(space(seed).scene.room_size, dtype=torch.float64) / 2
        inward += [pose.inverse().act(middle)[2].item() for pose in anchors(seed)]
    assert np.mean(np.array(inward) > 0) > 0.85 and np.mean(inward) > 0.8


def test_anchors_can_move() -> None:
    steps = [parse_actions(f"move {way} 1 meter") for way in ("forward", "backward", "left", "right")]
    for seed in range(NUM_ROOMS):
        for pose in anchors(seed):
            assert sum(feasible(space(seed), pose, step) for step in steps) >= 2


def test_some_anchor_of_nearly_every_room_allows_two_metres() -> None:
    ways = [parse_actions(f"turn right {angle} degrees; move forward 2 meters") for angle in range(30, 390, 30)]
    able = [any(feasible(space(s), a, way) for a in anchors(s) for way in ways) for s in range(NUM_ROOMS)]
    assert np.mean(able) >= 0.95


def test_left_and_right_are_alike() -> None:
    """The mean sideways offset of objects seen from the anchors is 0 within three standard errors."""
    offsets = []
    for seed in range(NUM_ROOMS):
        p_world = torch.tensor([item.position for item in space(seed).scene.items], dtype=torch.float64)
        sideways = torch.stack([pose.inverse().act(p_world)[:, 0] for pose in anchors(seed)])
        offsets.append(sideways.mean().item())
    error = np.std(offsets) / math.sqrt(len(offsets))
    assert abs(np.mean(offsets)) < 3 * error
    assert error < 0.25, "or the test would miss a camera that always looks past its objects"


def test_the_same_generator_gives_the_same_anchor() -> None:
    one, two = (sample_anchor(space(0), np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(one.matrix(), two.matrix())
    assert not torch.equal(one.matrix(), sample_anchor(space(0), np.random.default_rng(6)).matrix())


def test_a_room_with_nothing_to_see_has_no_anchor() -> None:
    with pytest.raises(ValueError, match="needs a free place that sees"):
        sample_anchor(bare_room(pillar(3.0, 2.0)), np.random.default_rng(0))


def test_bad_places_are_refused() -> None:
    scene = bare_room()
    with pytest.raises(ValueError, match=r"points must have shape"):
        distance_to_parts(scene, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="must be finite"):
        distance_to_parts(scene, np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="n >= 1"):
        path_is_free(scene, np.zeros(3))
    with pytest.raises(ValueError, match="clearance must be >= 0"):
        path_is_free(scene, np.ones((2, 3)), -0.1)
