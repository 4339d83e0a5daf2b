"""Which way a motion goes: arcs of held keys, the laws of mirror and reversal, and counting what was obeyed."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.actions import ActionKind, parse_actions
from geom.se3 import SE3
from synth.compliance import STILL, UNKNOWN, Way, compliance, way_of

HELD = list(product((0, 1, -1), repeat=3))
"""Ahead, right, and turning right, each held, not held, or its opposite held."""


def arc(ahead: float, right: float, turn: float, degrees: float) -> SE3:
    """The camera's pose after keys were held so long that it turned by these degrees, at one metre for each radian."""
    angle = math.radians(degrees)
    v = torch.tensor([right, 0.0, ahead], dtype=torch.float64) * angle
    return SE3.exp(torch.cat([v, torch.tensor([0.0, turn * angle, 0.0], dtype=torch.float64)]))


def keys_of(ahead: int, right: int, turn: int) -> frozenset[ActionKind]:
    return frozenset(ActionKind.of(axis, n) for axis, n in (("z", ahead), ("x", right), ("turn", turn)) if n)


@pytest.mark.parametrize("keys", HELD)
@pytest.mark.parametrize("degrees", [2.0, 30.0, 90.0, 160.0])
def test_held_keys_go_where_they_point(keys: tuple[int, int, int], degrees: float) -> None:
    """Also after a turn so far that the camera ends up to the side of where it looked."""
    assert way_of(arc(*keys, degrees)).kinds == keys_of(*keys)


@given(st.floats(-math.pi, math.pi), st.floats(-170, 170), st.floats(0.01, 100))
def test_only_directions_count_and_a_mirror_swaps_left_and_right(heading: float, turn: float, length: float) -> None:
    angle = math.radians(turn)
    v = torch.tensor([math.sin(heading), 0.0, math.cos(heading)], dtype=torch.float64)
    T = SE3.exp(torch.cat([v, torch.tensor([0.0, angle, 0.0], dtype=torch.float64)]))
    way = way_of(T)
    assert way_of(SE3(T.R, T.t * length)) == way
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    mirrored = way_of(SE3(mirror[:, None] * T.R * mirror, mirror * T.t))
    assert mirrored.kinds == {kind if kind.axis == "z" else kind.opposite for kind in way.kinds}
    assert way_of(T.inverse()).kinds == {kind.opposite for kind in way.kinds}
    assert all(kind.opposite not in way.kinds for kind in way.kinds) and len(way.kinds) >= 1


def test_the_compass_has_eight_sectors() -> None:
    """Sectors reach 22.5 degrees to each side of what they are called."""
    found = [str(way_of(arc_of_heading(degrees))) for degrees in (0, 22.4, 22.6, 67.4, 67.6, 90, 135, 180, 270)]
    both = "forward+right"
    assert found == ["forward", "forward", both, both, "right", "right", "backward+right", "backward", "left"]


def arc_of_heading(degrees: float) -> SE3:
    angle = math.radians(degrees)
    return SE3.from_translation(torch.tensor([math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64))


def test_small_motions_are_none() -> None:
    step = parse_actions("move left 0.05 meters; turn right 0.9 degrees").pose()
    assert str(way_of(step)) == "left" and str(way_of(step, min_m=0.1)) == STILL
    assert str(way_of(step, min_turn_deg=0.5)) == "left+turn right"
    assert way_of(SE3.identity()) == Way(frozenset())


def test_counts_tell_what_was_obeyed_what_was_not_and_what_was_added() -> None:
    told = [
        Way(keys_of(1, 1, 0)),
        Way(keys_of(1, -1, 0)),
        Way(keys_of(1, 0, 1)),
        Way(keys_of(1, 0, 1)),
        Way(frozenset()),
    ]
    done = [Way(keys_of(1, 1, 0)), Way(keys_of(1, 0, 0)), None, Way(keys_of(0, 0, -1)), Way(frozenset())]
    found = compliance(told, done)
    assert found.exact == 2 / 5
    assert found.confusion == {
        ("forward+right", "forward+right"): 1,
        ("forward+left", "forward"): 1,
        ("forward+turn right", UNKNOWN): 1,
        ("forward+turn right", "turn left"): 1,
        (STILL, STILL): 1,
    }
    assert found.told[ActionKind.FORWARD] == 4 and found.obeyed[ActionKind.FORWARD] == 2
    assert found.told[ActionKind.LEFT] == 1 and found.obeyed[ActionKind.LEFT] == 0
    assert found.added == {ActionKind.TURN_LEFT: 1}
    assert math.isnan(compliance([], []).exact)


def test_bad_input_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="must be one motion"):
        way_of(SE3.identity(2))
    with pytest.raises(ValueError, match="must be finite"):
        way_of(SE3(torch.eye(3), torch.tensor([math.nan, 0.0, 0.0])))
    with pytest.raises(ValueError, match="equally many, got 1 commanded and 0 executed"):
        compliance([Way(frozenset())], [])
