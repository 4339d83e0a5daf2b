"""Inversion: every sequence that reaches a pose, and nothing else, against brute force."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.actions import Action, ActionSequence, parse_actions, same_motion
from geom.inversion import (
    NotPlanarError,
    planar_decomposition,
    shortest_sequences,
    tilt_and_lift,
)
from geom.se3 import SE3

MOVES = [s * k * 0.5 for k in (1, 2, 3) for s in (1, -1)]
TURNS = [s * k * 30.0 for k in range(1, 7) for s in (1, -1)]
SMALL_GRID = {"grid_m": 0.5, "grid_deg": 30.0, "max_m": 1.5}


def all_sequences(num_actions: int) -> list[ActionSequence]:
    words = [w for w in product("fst", repeat=num_actions) if all(a != b for a, b in zip(w, w[1:], strict=False))]
    sizes = {
        "f": [("z", v) for v in MOVES],
        "s": [("x", v) for v in MOVES],
        "t": [("turn", v) for v in TURNS],
    }
    return [
        ActionSequence(tuple(Action.of(*step) for step in steps))
        for word in words
        for steps in product(*(sizes[letter] for letter in word))
    ]


def key(actions: ActionSequence) -> tuple[int, ...]:
    """Where a sequence leads, by a twin of our integration: complex numbers, rounded to 1e-6."""
    w, heading = 0j, 1 + 0j
    for a in actions:
        if a.kind.axis == "turn":
            heading *= complex(math.cos(math.radians(a.amount)), a.kind.sign * math.sin(math.radians(a.amount)))
        else:
            w += a.kind.sign * a.amount * heading * (1 if a.kind.axis == "z" else 1j)
    return tuple(round(v * 1e6) for v in (w.real, w.imag, heading.real, heading.imag))


@pytest.fixture(scope="module")
def by_end() -> dict[int, dict[tuple[int, ...], set[ActionSequence]]]:
    tables: dict[int, dict[tuple[int, ...], set[ActionSequence]]] = {n: {} for n in range(4)}
    for n, table in tables.items():
        for actions in all_sequences(n):
            table.setdefault(key(actions), set()).add(actions)
    return tables


@pytest.mark.parametrize("num_actions", [0, 1, 2, 3])
def test_every_sequence_of_a_length_is_found_and_nothing_else(by_end, num_actions):
    targets = [next(iter(s)) for n in range(4) for s in list(by_end[n].values())[:: 1 if n < 2 else 61]]
    for target in targets:
        found = shortest_sequences(target.pose(), num_actions=num_actions, **SMALL_GRID)
        assert set(found) == by_end[num_actions].get(key(target), set()), target.text()
        assert len(found) == len(set(found))


@pytest.mark.parametrize("word", ["fst", "sft", "ftf", "sts", "fts", "stf", "tft", "tst", "tfs", "tsf", "fsf", "sfs"])
def test_each_three_action_word_is_found_completely(by_end, word):
    axes = {"f": "z", "s": "x", "t": "turn"}
    of_word = [
        s
        for ends in by_end[3].values()
        for s in ends
        if tuple(a.kind.axis for a in s) == tuple(axes[letter] for letter in word)
    ]
    for actions in of_word[:: max(1, len(of_word) // 25)]:
        found = shortest_sequences(actions.pose(), num_actions=3, **SMALL_GRID)
        assert set(found) == by_end[3][key(actions)], actions.text()


def test_the_fewest_actions_are_returned_unless_a_count_is_given(by_end):
    for n in range(4):
        for end, sequences in list(by_end[n].items())[::97]:
            fewest = next(m for m in range(4) if end in by_end[m])
            found = shortest_sequences(next(iter(sequences)).pose(), **SMALL_GRID)
            assert set(found) == by_end[fewest][end]


def test_shift_and_forward_in_either_order_are_one_answer():
    actions = parse_actions("LEFT_0.3; FWD_0.5")
    assert set(shortest_sequences(actions.pose())) == {actions, parse_actions("FWD_0.5; LEFT_0.3")}


def test_a_quarter_turn_makes_a_later_shift_a_forward_move():
    # After turning left 90 the camera's right is the first camera's forward: 1 + 0.5 m ahead.
    found = shortest_sequences(parse_actions("FWD_1; TL_90; RIGHT_0.5").pose())
    assert set(found) == {parse_actions("FWD_1.5; TL_90"), parse_actions("TL_90; RIGHT_1.5")}


def test_a_half_turn_has_two_spellings():
    assert {s.text() for s in shortest_sequences(parse_actions("TL_180").pose())} == {
        "turn left 180 degrees",
        "turn right 180 degrees",
    }


def test_a_turn_beyond_a_half_is_found_only_where_allowed():
    pose = parse_actions("TR_270").pose()
    assert shortest_sequences(pose) == (parse_actions("TL_90"),)
    assert set(shortest_sequences(pose, max_deg=270.0)) == {parse_actions("TL_90"), parse_actions("TR_270")}


def test_a_pose_off_the_grid_has_no_sequence():
    assert shortest_sequences(parse_actions("FWD_0.55; TL_30").pose()) == ()
    assert shortest_sequences(parse_actions("FWD_0.5; TL_32").pose()) == ()


def test_max_actions_ends_the_search():
    pose = parse_actions("TL_30; FWD_0.5; TL_20").pose()
    assert shortest_sequences(pose, max_actions=2) == ()
    assert parse_actions("TL_30; FWD_0.5; TL_20") in shortest_sequences(pose)


def test_a_move_beyond_six_metres_is_found_and_a_bound_is_kept():
    pose = parse_actions("FWD_9.5").pose()
    assert shortest_sequences(pose) == (parse_actions("FWD_9.5"),)
    assert shortest_sequences(pose, max_m=9.4) == ()


def test_a_float32_pose_of_three_actions_is_inverted_on_the_finest_default_grid():
    actions = parse_actions("FWD_3.1; TL_35; RIGHT_1.7")
    assert actions in shortest_sequences(actions.pose().to(torch.float32))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("zx"), st.integers(-60, 60).filter(bool).map(lambda k: round(k * 0.1, 9))),
            st.tuples(st.just("turn"), st.integers(-36, 36).filter(bool).map(lambda k: k * 5.0)),
        ),
        max_size=3,
    )
)
def test_what_was_done_is_always_among_the_answers(steps):
    actions = ActionSequence(tuple(Action.of(*s) for s in steps))
    if any(a.kind.axis == b.kind.axis for a, b in zip(actions, actions.actions[1:], strict=False)):
        return
    assert actions in shortest_sequences(actions.pose(), num_actions=len(actions))
    fewest = shortest_sequences(actions.pose())
    assert fewest and all(same_motion(actions, s, tol_m=1e-5, tol_deg=1e-3) for s in fewest)
    assert all(len(s) <= len(actions) for s in fewest)


def tilted(pitch_deg: float = 0.0, roll_deg: float = 0.0, lift_m: float = 0.0) -> SE3:
    """T_before_after pitched up about +x, rolled right about +z, lifted along -y."""
    pitch = SE3.exp(torch.tensor([0.0, 0, 0, math.radians(pitch_deg), 0, 0], dtype=torch.float64))
    roll = SE3.exp(torch.tensor([0.0, 0, 0, 0, 0, math.radians(roll_deg)], dtype=torch.float64))
    lift = SE3.from_translation(torch.tensor([0.0, -lift_m, 0.0], dtype=torch.float64))
    return parse_actions("FWD_1; TR_40").pose() @ lift @ pitch @ roll


def test_tilt_and_lift_are_read_back_with_their_signs():
    assert tilt_and_lift(tilted(1.5, -0.7, 0.02)) == pytest.approx((1.5, -0.7, 0.02), abs=1e-9)


def test_pitch_is_positive_when_the_optical_axis_rises():
    assert float(tilted(pitch_deg=1.0).R[1, 2]) < 0  # y is down


@pytest.mark.parametrize(
    ("tilt", "named"),
    [
        ({"pitch_deg": 2.1}, "pitch 2.10"),
        ({"roll_deg": -2.1}, "roll -2.10"),
        ({"lift_m": 0.031}, "lift 0.031"),
    ],
)
def test_a_tilted_or_lifted_pose_is_refused_by_name(tilt, named):
    for function in (planar_decomposition, shortest_sequences):
        with pytest.raises(NotPlanarError, match=named):
            function(tilted(**tilt))


@pytest.mark.parametrize("tilt", [{"pitch_deg": 1.9}, {"roll_deg": -1.9}, {"lift_m": 0.029}])
def test_within_tolerance_the_pose_speaks_and_keeps_its_residual(tilt):
    T_before_after = tilted(**tilt)
    motion = planar_decomposition(T_before_after)
    assert motion.actions == parse_actions("FWD_1; TR_40")
    assert (motion.pitch_deg, motion.roll_deg, motion.lift_m) == pytest.approx(tilt_and_lift(T_before_after))
    whole = motion.actions.pose() @ motion.T_planar_after
    assert torch.allclose(whole.matrix(), T_before_after.matrix(), atol=1e-12)
    assert max(map(abs, tilt_and_lift(motion.T_planar_after))) > 0.02


def test_the_planar_part_is_move_move_turn_rounded_to_centimetres_and_degrees():
    # TL 30 then 1 m ahead: z = cos 30 = 0.866, x = -sin 30 = -0.5.
    motion = planar_decomposition(parse_actions("TL_30.4; FWD_1").pose())
    assert motion.actions == parse_actions("FWD_0.86; LEFT_0.51; TL_30")
    angle, length = motion.T_planar_after.distance(SE3.identity())
    assert math.degrees(float(angle)) == pytest.approx(0.4) and 0 < float(length) < 0.0071


def test_a_pose_that_rounds_to_nothing_has_no_actions():
    assert len(planar_decomposition(parse_actions("FWD_0.004; TL_0.4").pose()).actions) == 0


def test_bad_searches_are_refused():
    pose = SE3.identity()
    for count in ({"num_actions": 4}, {"max_actions": -1}):
        with pytest.raises(ValueError, match="0 to 3"):
            shortest_sequences(pose, **count)
    with pytest.raises(ValueError, match="grid must be > 0"):
        shortest_sequences(pose, grid_m=0.0)
    with pytest.raises(ValueError, match="divide 360"):
        shortest_sequences(pose, grid_deg=7.0)
    with pytest.raises(ValueError, match="tolerances must be > 0 and at most 0.00218 m and 1.25 deg"):
        shortest_sequences(pose, tol_m=0.01)
    with pytest.raises(ValueError, match="tolerances"):
        shortest_sequences(pose, tol_deg=2.0)
    with pytest.raises(ValueError, match="unbatched"):
        shortest_sequences(parse_actions("FWD_1").poses())
    with pytest.raises(ValueError, match="finite"):
        shortest_sequences(SE3.from_translation(torch.tensor([math.nan, 0.0, 0.0])))


@pytest.mark.parametrize("steps", [{"step_m": 0.0}, {"step_m": -0.01}, {"step_deg": 0.0}])
def test_steps_that_are_none_are_refused(steps: dict) -> None:
    with pytest.raises(ValueError, match="steps must be > 0"):
        planar_decomposition(SE3.identity(), **steps)
