"""How sure a model is: chances that come true, and what is undecided for want of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from head_cases import TINY, room
from hypothesis import given
from hypothesis import strategies as st

from geom.actions import parse_actions
from geom.se3 import SE3
from models.confidence import (
    CALIBRATION,
    Calibration,
    _factor,
    _temperature,
    calibrated,
    decision_chance,
    motion_chance,
)
from models.model import Guess
from synth.exact import motion_score


def guess(T: SE3, rotation: float, direction: float, log_length: float) -> Guess:
    sds = (torch.tensor([value], dtype=torch.float64) for value in (rotation, direction, log_length))
    return Guess(SE3(T.R[None], T.t[None]), *sds)


@pytest.mark.parametrize("text", ["turn left 40 degrees", "move forward 1 meters; turn right 30 degrees"])
def test_the_chance_is_how_often_a_motion_scores(text: str) -> None:
    """Truths drawn about a guess by Laplace's law, as far off as it is said to be."""
    said, rng = parse_actions(text), torch.Generator().manual_seed(0)
    pose = said.planar()
    scored, n, sd_turn, sd_aside, sd_along = 0, 4000, 0.08, 0.1, 0.12
    draws = torch.rand(n, 4, generator=rng, dtype=torch.float64)
    for turn, far, way, sign in draws.tolist():
        off_deg = math.degrees(-sd_turn * math.log(1 - turn)) * (1 if sign < 0.5 else -1)
        length = math.hypot(pose.z, pose.x)
        off_m = -length * math.hypot(sd_aside, sd_along) * math.log(1 - far)
        x, z = off_m * math.cos(2 * math.pi * way), off_m * math.sin(2 * math.pi * way)
        # The score of an answer is the same with answer and truth so far from each other.
        moved, turned = (sum(a.amount for a in said if a.kind.is_turn is is_turn) for is_turn in (False, True))
        scored += (not moved or math.hypot(x, z) < 0.2 * moved) and abs(off_deg) < 0.2 * turned
    chance = motion_chance(said, guess(said.pose(), sd_turn, sd_aside, sd_along), 0, Calibration())
    assert chance == pytest.approx(scored / n, abs=0.03) and motion_score(said, said) == 1
    twice = motion_chance(said, guess(said.pose(), sd_turn / 2, sd_aside / 2, sd_along / 2), 0, Calibration(2, 2, 2))
    assert twice == pytest.approx(chance, abs=1e-9)


@given(st.floats(0.3, 4))
def test_a_logit_that_is_too_large_is_found_to_be(factor: float) -> None:
    logit = torch.linspace(-4, 4, 4001, dtype=torch.float64)
    chance = torch.sigmoid(logit)
    rng = torch.Generator().manual_seed(0)
    is_true = (torch.rand(len(chance), generator=rng, dtype=torch.float64) < chance).double()
    assert _temperature(logit * factor, is_true) == pytest.approx(factor, rel=0.15)
    assert decision_chance(3.0 * factor, factor) == pytest.approx(1 / (1 + math.exp(-3)))


def test_errors_that_are_larger_than_said_are_found_to_be() -> None:
    error = -torch.log(1 - torch.rand(4000, generator=torch.Generator().manual_seed(0))) * 2.5
    error[:40] = torch.nan
    assert _factor(error) == pytest.approx(2.5, rel=0.1)
    assert _factor(error[:40]) == 1


def test_any_model_can_be_calibrated() -> None:
    torch.manual_seed(0)
    found = calibrated(TINY.build(), [room(0), room(1)])
    assert found != Calibration() and calibrated(TINY.build(), []) == Calibration()


def test_it_is_read_back_and_what_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing: without it"):
        Calibration.load(tmp_path)
    Calibration(rotation=2.0, same=0.5).save(tmp_path)
    assert Calibration.load(tmp_path) == Calibration(rotation=2.0, same=0.5)
    text = (tmp_path / CALIBRATION).read_text()
    for old, new in (("2.0", "-2.0"), ("2.0", '"two"'), ('"same"', '"sane"')):
        (tmp_path / CALIBRATION).write_text(text.replace(old, new))
        with pytest.raises(ValueError, match="above 0|finite number"):
            Calibration.load(tmp_path)
