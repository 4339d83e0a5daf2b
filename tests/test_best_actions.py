"""Words for an uncertain pose: the motion, of those that may be asked about, that scores best on average."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.actions import ActionSequence, parse_actions
from geom.se3 import SE3
from models import best_actions as module
from models.answering import _spread
from models.best_actions import ANY, Measured, Motions, Spread, best_actions, motions, preset_of, said_of
from models.confidence import Calibration
from models.head import LEAST_M
from models.model import Guess
from models.trunk import Known
from synth.exact import motion_score
from synth.presets import PRESETS

NUMBERS = [(preset, n) for preset in PRESETS for n in (1, 2, 3) if motions(preset, n) is not None]


def table(preset: str, num_actions: int) -> Motions:
    found = motions(preset, num_actions)
    assert found is not None
    return found


def told(pose: Measured, among: Motions, known: Known) -> tuple[ActionSequence, float]:
    found = best_actions(pose, among, known)
    assert found is not None
    return found


def measured(text: str, off_m: float = 0.0, off_deg: float = 0.0, sure: float = 1.0) -> Measured:
    end = parse_actions(text).planar()
    place = complex(end.z + off_m, end.x)
    return Measured(place, end.turn_deg + off_deg, aside=0.1 / sure, along=0.15 / sure, turn_deg=3 / sure)


@pytest.mark.parametrize(("preset", "num_actions"), NUMBERS)
def test_motions_end_where_they_say_and_are_those_of_the_preset(preset: str, num_actions: int) -> None:
    found, rng = table(preset, num_actions), np.random.default_rng(0)
    assert math.isclose(np.exp(found.log_chance).sum(), share(preset, num_actions))
    for number in rng.integers(len(found.place), size=60).tolist():
        actions, end = found[number], found[number].planar()
        assert PRESETS[preset].contains(actions) and len(actions) == num_actions
        assert abs(found.place[number] - complex(end.z, end.x)) < 1e-9
        assert abs(math.remainder(found.heading_deg[number] - end.turn_deg, 360)) < 1e-9
    assert len({found[n].text() for n in range(min(len(found.place), 500))}) == min(len(found.place), 500)
    with pytest.raises(IndexError):
        found[len(found.place)]


def share(preset: str, num_actions: int) -> float:
    """Of its kind of question, how many a preset asks with so many actions."""
    chosen = PRESETS[preset]
    families = chosen.single if num_actions == 1 else chosen.multi
    return sum(f.weight for f in families if len(f.kinds) == num_actions) / sum(f.weight for f in families)


@pytest.mark.parametrize("num_actions", [1, 2, 3])
def test_scores_are_those_of_the_metric(num_actions: int) -> None:
    found = table("theodolite", num_actions)
    said, true = np.random.default_rng(num_actions).integers(len(found.place), size=(2, 40))
    # Motions and their neighbours too: far ones all score 0.
    true = np.concatenate([true, said, np.maximum(said - 1, 0)])
    expected = [[motion_score(found[int(t)], found[int(s)]) for t in true] for s in said]
    assert np.allclose(found.score(said, true), expected, atol=1e-9) and 40 < np.count_nonzero(expected) < np.size(
        expected
    )


@given(st.sampled_from([1, 2, 3]), st.data())
def test_a_pose_that_is_known_well_is_told_exactly(num_actions: int, data: st.DataObject) -> None:
    found = table("theodolite", num_actions)
    actions = found[data.draw(st.integers(0, len(found.place) - 1))]
    said, chance = told(measured(actions.text(), sure=100), found, "level")
    assert motion_score(actions, said) == 1 and chance > 0.99


def test_turns_are_told_on_the_grid_of_the_questions() -> None:
    for off in (-4.0, 4.0):
        said, _ = told(measured("turn left 40 degrees", off_deg=off), table("theodolite", 1), "turn")
        assert said.text() == "turn left 40 degrees"


def test_what_the_question_says_of_the_motion_counts() -> None:
    # Nearer to a small turn than to any move, as far as the pose goes.
    pose = measured("turn left 10 degrees")
    said = {known: told(pose, table("theodolite", 1), known)[0] for known in ("level", "turn", "move")}
    assert said["level"] == said["turn"] == parse_actions("turn left 10 degrees")
    assert not said["move"][0].kind.is_turn


def test_a_motion_that_is_not_asked_about_is_left_to_the_nearest() -> None:
    assert best_actions(measured("move forward 6 meters"), table("theodolite", 1), "move") is None
    assert best_actions(measured("move forward 6 meters"), table("svc_teacher", 1), "move") is not None
    said, _ = told(measured("move forward 2.3 meters"), table("theodolite", 1), "move")
    assert 1.8 <= said[0].amount <= 2


def test_no_answer_scores_better_on_average() -> None:
    """Against all others tried one by one, with truths drawn by the chances that the pose gives them."""
    found, pose = table("theodolite", 2), measured("move forward 1 meters; turn right 30 degrees", 0.13, 2.0)
    chance = np.exp(found.log_chance - module._off(pose, found))
    truths = np.random.default_rng(0).choice(len(chance), 4000, p=chance / chance.sum())
    mean = found.score(np.arange(len(chance)), truths).mean(1)
    said, scores_at_all = told(pose, found, "level")
    (place,) = [n for n in range(len(chance)) if found[n] == said]
    assert mean[place] > mean.max() - 0.02 and mean[place] > 1.5 * np.quantile(mean, 0.99)
    scored = found.score(np.array([place]), truths) > 0
    assert scores_at_all == pytest.approx(scored.mean(), abs=0.03) and 0.1 < scored.mean() < 0.95


def test_mirrored_poses_have_mirrored_words() -> None:
    for text in ("move left 1.3 meters; turn right 30 degrees", "turn left 20 degrees; move backward 0.7 meters"):
        pose, found = measured(text, 0.07, 3.0), table("theodolite", 2)
        there = Measured(pose.place.conjugate(), -pose.heading_deg, pose.aside, pose.along, pose.turn_deg)
        (said, chance), (mirrored, same) = told(pose, found, "level"), told(there, found, "level")
        assert said.mirrored() == mirrored and chance == pytest.approx(same)


def test_how_sure_a_model_is_comes_from_what_it_says_and_its_calibration() -> None:
    end = parse_actions("move forward 2 meters; turn right 30 degrees").pose()
    guess = Guess(end[None], *(torch.tensor([value]) for value in (0.02, 0.1, 0.2)))
    spread = _spread(guess, 0, Calibration(rotation=2, direction=3, log_length=4))
    assert spread is not None
    found = Measured.of(end, spread)
    assert found.place == pytest.approx(2) and found.heading_deg == pytest.approx(30)
    assert (found.aside, found.along) == (pytest.approx(0.6), pytest.approx(1.6))
    assert found.turn_deg == pytest.approx(math.degrees(0.04))
    assert _spread(Guess(end[None], *(torch.tensor([math.nan]) for _ in range(3))), 0, Calibration()) is None
    # Up to 5 cm all moves are alike.
    assert Measured.of(SE3.identity(), Spread(log_length=1)).along == pytest.approx(LEAST_M)


def test_what_no_preset_has_ends_nearest() -> None:
    turn = parse_actions("turn left 44 degrees").pose()
    (said, chance), (nearest, no_chance) = (said_of(turn, 1, "turn", preset) for preset in ("theodolite", ANY))
    assert (said.text(), nearest.text()) == ("turn left 40 degrees", "turn left 45 degrees")
    assert chance is not None and no_chance is None
    far = parse_actions("move forward 5 meters").pose()
    assert said_of(far, 1, "move", "theodolite", Spread(log_length=0.02))[0].text() == "move forward 5 meters"
    assert said_of(turn, None, "level", "theodolite")[0].text() == "turn left 45 degrees"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_pose_that_is_none_has_no_words(value: float) -> None:
    R, t = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for T in (SE3(R, t + value), SE3(R * value, t)):
        for preset in ("theodolite", ANY):
            with pytest.raises(ValueError, match="the pose must be finite"):
                said_of(T, 1, "move", preset)
    for spread in ((0.0, 0.1, 0.1), (0.1, value, 0.1)):
        with pytest.raises(ValueError, match="three finite numbers above 0"):
            Spread(*spread)


def test_a_dataset_tells_what_it_asks_about(tmp_path: Path) -> None:
    """A preset where all of it was generated with one, else any motion."""

    def subset(name: str, settings: dict | None) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "tasks.jsonl").touch()
        if settings is not None:
            (tmp_path / name / "generation.json").write_text(json.dumps({"config": settings}))

    subset("a", {"preset": "svc"})
    subset("b", {"preset": "svc"})
    assert preset_of(tmp_path) == "svc" and preset_of(tmp_path / "a") == "svc"
    subset("c", {"preset": "hy"})
    assert preset_of(tmp_path) == ANY
    subset("d", {"source": "recorded"})
    subset("e", None)
    assert preset_of(tmp_path / "d") == preset_of(tmp_path / "e") == ANY
    for wrong in ("[]", '{"config": 3}', "{"):
        (tmp_path / "d" / "generation.json").write_text(wrong)
        with pytest.raises(ValueError, match="d"):
            preset_of(tmp_path / "d")


def test_there_must_be_such_a_preset() -> None:
    with pytest.raises(ValueError, match="preset must be one of svc, svc_teacher, hy, theodolite, got 'own'"):
        motions("own", 1)
    assert motions("theodolite", 4) is None
