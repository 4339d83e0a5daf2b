from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import pairwise, product

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from geom.actions import Action, ActionSequence, PlanarPose, parse_actions, same_motion
from geom.inversion import AXES, shortest_sequences
from geom.se3 import SE3
from models.nearest_actions import MAX_M, nearest_sequence


def words(n: int) -> list[tuple[str, ...]]:
    return [w for w in product(AXES, repeat=n) if all(a != b for a, b in pairwise(w))]


@st.composite
def steps(
    draw: st.DrawFn, lengths: tuple[int, ...] = (1, 2, 3), least_m: float = 0.1, least_deg: float = 5.0
) -> list[tuple[str, float]]:
    """Axes and signed sizes on the usual grid: tenths of a metre to 6 m, 5 to 180 degrees."""
    word = draw(st.sampled_from([w for n in lengths for w in words(n)]))
    moves, turns = st.integers(round(least_m * 10), 60), st.integers(round(least_deg / 5), 36)
    sizes = [5.0 * draw(turns) if axis == "turn" else draw(moves) / 10 for axis in word]
    signs = [draw(st.sampled_from((1, -1))) for _ in word]
    return [(axis, sign * size) for axis, sign, size in zip(word, signs, sizes, strict=True)]


def sequence(steps: Iterable[tuple[str, float]]) -> ActionSequence:
    return ActionSequence(tuple(Action.of(*step) for step in steps))


def pose_of(z: float, x: float, turn_deg: float) -> SE3:
    return SE3(SE3.yaw_right(math.radians(turn_deg)).R, torch.tensor([x, 0.0, z], dtype=torch.float64))


def miss(end: PlanarPose, pose: PlanarPose, grid_m: float = 0.1, grid_deg: float = 5.0) -> float:
    """Squared grid steps between two level poses."""
    heading = math.remainder(end.turn_deg - pose.turn_deg, 360.0) / grid_deg
    return (math.hypot(end.z - pose.z, end.x - pose.x) / grid_m) ** 2 + heading**2


poses = st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-180, 180)).map(lambda p: PlanarPose(*p))


@given(made=steps())
def test_the_nearest_sequence_to_where_a_sequence_ends_ends_there(made: list) -> None:
    actions = sequence(made)
    found = nearest_sequence(actions.pose(), len(actions))
    assert len(found) == len(actions) and same_motion(found, actions)
    assert all(a.kind.axis != b.kind.axis for a, b in pairwise(found))


@given(made=steps((1, 2), least_m=0.4, least_deg=10.0), way=st.floats(-math.pi, math.pi), off=st.floats(-1, 1))
def test_two_centimetres_and_a_degree_off_the_same_pose_is_found(made: list, way: float, off: float) -> None:
    actions = sequence(made)
    p = actions.planar()
    measured = pose_of(p.z + 0.02 * math.cos(way), p.x + 0.02 * math.sin(way), p.turn_deg + off)
    assert same_motion(nearest_sequence(measured, len(actions)), actions)


@given(made=steps(), way=st.floats(-math.pi, math.pi), off=st.floats(-1, 1))
def test_what_is_found_ends_no_further_away_than_the_truth(made: list, way: float, off: float) -> None:
    actions = sequence(made)
    p = actions.planar()
    measured = PlanarPose(p.z + 0.02 * math.cos(way), p.x + 0.02 * math.sin(way), p.turn_deg + off)
    found = nearest_sequence(pose_of(*measured), len(actions))
    assert miss(found.planar(), measured) <= miss(p, measured) + 1e-5


def all_sequences(n: int, grid_m: float, most_moves: int, grid_deg: float) -> list[ActionSequence]:
    """Every sequence on a coarse grid, made without the search."""
    moves = [s * grid_m for s in range(-most_moves, most_moves + 1) if s]
    turns = [s * grid_deg for s in range(-round(180 / grid_deg), round(180 / grid_deg) + 1) if s]
    return [
        sequence(zip(word, sizes, strict=True))
        for word in words(n)
        for sizes in product(*(turns if axis == "turn" else moves for axis in word))
    ]


COARSE = {n: all_sequences(n, 0.5, 2, 60.0) for n in (1, 2, 3)}


@given(pose=poses, n=st.integers(1, 3))
def test_none_of_all_sequences_ends_nearer(pose: PlanarPose, n: int) -> None:
    found = nearest_sequence(pose_of(*pose), n, grid_m=0.5, grid_deg=60.0, max_m=1.0)
    least = min(miss(actions.planar(), pose, 0.5, 60.0) for actions in COARSE[n])
    assert miss(found.planar(), pose, 0.5, 60.0) == pytest.approx(least, abs=2e-6)


@given(made=steps())
def test_without_a_number_no_more_actions_than_needed(made: list) -> None:
    actions = sequence(made)
    assume(actions.planar() != (0, 0, 0))
    found = nearest_sequence(actions.pose())
    end, there = found.planar(), actions.planar()
    assert len(found) <= len(actions)
    assert math.hypot(end.z - there.z, end.x - there.x) <= 0.03 and miss(end, there) <= 0.08 + 1e-9
    assert all(miss(nearest_sequence(actions.pose(), n).planar(), there) > 0.08 for n in range(1, len(found)))


@given(made=steps())
def test_agrees_with_the_search_for_exact_sequences(made: list) -> None:
    actions = sequence(made)
    found = nearest_sequence(actions.pose(), len(actions))
    exact = shortest_sequences(actions.pose(), num_actions=len(actions), max_m=MAX_M)
    assert found.text() in {one.text() for one in exact}


def test_of_equally_near_ones_the_least_is_taken() -> None:
    # Forward a, left 0.3, forward 1 - a ends at one place for every a.
    found = nearest_sequence(parse_actions("FWD_0.4; LEFT_0.3; FWD_0.6").pose(), 3)
    assert sum(action.amount for action in found) == pytest.approx(1.3)


def test_a_half_turn_may_be_said_either_way() -> None:
    assert nearest_sequence(pose_of(0.0, 0.0, 179.0), 1)[0].amount == 180


def test_what_is_nothing_gets_the_least_action() -> None:
    assert nearest_sequence(SE3.identity(), 1)[0].amount in (0.1, 5.0)
    assert nearest_sequence(pose_of(-0.04, 0.0, 0.0), 1).text() == "move backward 0.1 meters"


def test_pitch_roll_and_lift_do_not_matter() -> None:
    tilt = SE3.exp(torch.tensor([0.0, 0.3, 0.0, 0.1, 0.0, 0.05], dtype=torch.float64))
    actions = parse_actions("FWD_1; TR_30")
    lifted = SE3(actions.pose().R @ tilt.R, actions.pose().t + torch.tensor([0.0, -0.4, 0.0]))
    assert nearest_sequence(lifted, 2).text() == actions.text()


def test_float32_is_enough() -> None:
    actions = parse_actions("TL_35; FWD_1.7; TR_10")
    assert same_motion(nearest_sequence(actions.pose().to(torch.float32), 3), actions)


def test_a_pose_out_of_reach_is_fallen_short_of() -> None:
    assert nearest_sequence(pose_of(9.0, 0.0, 0.0), 1).text() == "move forward 6 meters"
    assert nearest_sequence(pose_of(9.0, 0.0, 0.0), 1, max_m=10.0).text() == "move forward 9 meters"


def test_it_is_fast() -> None:
    pose, seconds = pose_of(1.234, -0.567, 41.3), []
    for _ in range(5):
        start = time.perf_counter()
        nearest_sequence(pose, 3)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02


@pytest.mark.parametrize(
    ("pose", "options", "says"),
    [
        (SE3.identity(2), {}, "one unbatched pose"),
        (SE3(torch.eye(3), torch.tensor([0.0, math.nan, 0.0])), {}, "finite"),
        (SE3.identity(), {"num_actions": 4}, "1 to 3, or None, got 4"),
        (SE3.identity(), {"num_actions": 0}, "1 to 3, or None, got 0"),
        (SE3.identity(), {"grid_deg": 7.0}, "divide 360"),
        (SE3.identity(), {"grid_m": 0.0}, "grid_m must be > 0"),
    ],
)
def test_bad_input_is_refused(pose: SE3, options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        nearest_sequence(pose, **options)
