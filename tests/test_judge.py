"""The verdict, by harm: a film that shows what was told passes, and each fault fires its own reason."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geom.actions import parse_actions, same_motion
from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from synth.check_rows import executed_actions
from synth.commanded import Commanded, CommandedStep, commanded_of_actions
from synth.compliance import Way
from synth.executed import ExecutedStep, _way
from synth.film_evidence import FilmEvidence, Span
from synth.focal import Focal
from synth.judge import Judgement, judge
from synth.matches import Matches
from synth.still_checks import Look
from synth.two_view import relative_motion
from synth.verdict import REASONS, Finding, Limits, verdict_of

METRIC = Scale("metric", "a test")
CAMERA = PinholeCamera.from_hfov(math.radians(70), 640, 480)
FRAMES = 10
TOLD = "move forward 0.5 meters; turn left 20 degrees; move right 0.4 meters; turn right 15 degrees"
NO_FOCAL = Focal(math.nan, math.inf, "a test")


@cache
def scene() -> torch.Tensor:
    """Points all around, 2 to 6 m away."""
    rng = np.random.default_rng(0)
    rays = rng.normal(size=(6000, 3)) * [1, 0.5, 1]
    return torch.from_numpy(rays / np.linalg.norm(rays, axis=1)[:, None] * rng.uniform(2, 6, (6000, 1)))


def seen(T_world_a: SE3, T_world_b: SE3, seed: int, noise: float = 0.2) -> tuple[Matches, np.ndarray]:
    """Pixels of points in two pictures, and z-depths in the first, without picture of its own (h, w)."""
    (uv_a, in_a), (uv_b, in_b) = (CAMERA.project(T.inverse().act(scene())) for T in (T_world_a, T_world_b))
    both = in_a & in_b & CAMERA.contains(uv_a) & CAMERA.contains(uv_b)
    rng = np.random.default_rng(seed)
    a, b = (uv[both].numpy() + rng.normal(0, noise, (int(both.sum()), 2)) for uv in (uv_a, uv_b))
    z_depth = np.full((CAMERA.height, CAMERA.width), np.nan)
    for (u, v), p in zip(a[:160], T_world_a.inverse().act(scene()[both]), strict=False):
        u0, v0 = (int(np.clip(x - 0.5, 0, size - 2)) for x, size in ((u, CAMERA.width), (v, CAMERA.height)))
        z_depth[v0 : v0 + 2, u0 : u0 + 2] = float(p[2])
    return Matches(a[:160], b[:160]), z_depth


@cache
def shown(actions: str, *, with_depth: bool = False) -> FilmEvidence:
    """What a film of these actions shows, FRAMES each; nothing of a real picture is needed for it."""
    T_world_cam, spans = SE3.identity(), []
    for n, action in enumerate(actions.split("; ")):
        after = T_world_cam @ parse_actions(action).pose() if action != "still" else T_world_cam
        found, z_depth = seen(T_world_cam, after, n)
        view = relative_motion(found, CAMERA, CAMERA, z_depth_a=z_depth if with_depth else None)
        is_still = action == "still"
        way = Way(frozenset()) if is_still else _way(view)
        step = ExecutedStep(n * FRAMES, (n + 1) * FRAMES, view, way, found, found, is_still)
        spans.append(Span(step, 0.0))
        T_world_cam = after
    return FilmEvidence(CAMERA, calm(len(spans) * FRAMES + 1), tuple(spans), NO_FOCAL, 0.0, 1.0)


def calm(num: int) -> Look:
    """Frames of which nothing is suspicious."""
    ones = np.ones(num)
    return Look(5 * ones, 0.1 * ones, ones, 0 * ones, 100 * ones, ones, math.nan * ones)


def told(actions: str, scale: Scale = METRIC) -> Commanded:
    sequence = parse_actions(actions)
    return commanded_of_actions(sequence, len(sequence) * FRAMES + 1, scale)


def fails(judgement: Judgement) -> set[str]:
    return {finding.reason for finding in judgement.verdict.findings if finding.effect == "fails"}


def opens(judgement: Judgement) -> set[str]:
    return {finding.reason for finding in judgement.verdict.findings if finding.effect == "leaves open"}


@pytest.mark.parametrize("with_depth", [False, True])
def test_what_shows_its_command_passes(with_depth: bool) -> None:
    found = judge(shown(TOLD, with_depth=with_depth), told(TOLD))
    assert found.verdict.outcome == "pass" and not fails(found) and not opens(found) and found.verdict.score < 0.5
    unseen = [finding.reason for finding in found.verdict.findings]
    assert unseen == ([] if with_depth else ["lengths unseen"])
    assert all(pair is not None and pair.is_consistent for pair in found.agreements)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (TOLD.replace("turn left 20", "turn right 20"), "mirrored turn"),
        (TOLD.replace("move right", "move left"), "mirrored shift"),
        (TOLD.replace("turn left 20", "turn left 30"), "turn"),
        (TOLD.replace("move right", "move forward"), "direction"),
        (TOLD.replace("move forward", "move backward"), "direction"),
        ("turn left 20 degrees; move forward 0.5 meters; move right 0.4 meters; turn right 15 degrees", "order"),
    ],
)
@pytest.mark.parametrize("with_depth", [False, True])
def test_another_command_fires_its_own_reason_alone(command: str, reason: str, with_depth: bool) -> None:
    found = judge(shown(TOLD, with_depth=with_depth), told(command))
    assert found.verdict.outcome == "fail" and fails(found) == {reason} and found.verdict.score > 1
    assert all(text for text in found.verdict.reasons)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_lengths_are_judged_where_depth_tells_them_and_else_said_to_be_unseen(factor: float) -> None:
    command = f"move forward {0.5 * factor} meters; turn left 20 degrees; move right {0.4 * factor} meters"
    film = TOLD.removesuffix("; turn right 15 degrees")
    assert fails(judge(shown(film, with_depth=True), told(command))) == {"scale"}
    blind = judge(shown(film), told(command))
    assert blind.verdict.outcome == "pass" and blind.verdict.findings[0].reason == "lengths unseen"
    foreign = judge(shown(film, with_depth=True), told(command, Scale("up_to_scale", "a world model")))
    assert foreign.verdict.outcome == "pass"


def test_one_step_of_another_length_is_its_own_reason() -> None:
    film = "move forward 0.5 meters; move right 0.4 meters; move backward 0.5 meters; move left 0.25 meters"
    command = film.replace("0.25", "0.35")
    assert fails(judge(shown(film, with_depth=True), told(command))) == {"length"}


@pytest.mark.parametrize("with_depth", [False, True])
@pytest.mark.parametrize("missing", [0, 1])
def test_a_step_that_is_not_carried_out_is_missing(missing: int, with_depth: bool) -> None:
    steps = TOLD.split("; ")
    film = "; ".join("still" if n == missing else step for n, step in enumerate(steps))
    assert fails(judge(shown(film, with_depth=with_depth), told(TOLD))) == {"missing"}


def test_a_move_in_a_step_that_turns_in_place_is_stray() -> None:
    film, command = "move forward 0.5 meters; move right 0.4 meters", "move forward 0.5 meters; turn left 1 degrees"
    assert "stray" in fails(judge(shown(film), told(command)))


def test_an_even_drift_is_told_as_such() -> None:
    film = "turn left 3 degrees; turn right 17 degrees; turn left 13 degrees; turn right 7 degrees"
    command = "turn right 1 degrees; turn right 21 degrees; turn left 9 degrees; turn right 11 degrees"
    found = judge(shown(film), told(command))
    assert fails(found) == {"drift"}
    (drift,) = (f for f in found.verdict.findings if f.reason == "drift")
    assert drift.numbers["deg_a_frame"] == pytest.approx(-0.4, abs=0.02) and "to the left" in drift.text


def test_turns_that_are_all_too_short_are_no_drift() -> None:
    film, command = "turn left 10 degrees; turn left 8 degrees", "turn left 20 degrees; turn left 16 degrees"
    assert fails(judge(shown(film), told(command))) == {"turn"}


@given(seed=st.integers(0, 9))
@settings(max_examples=5, deadline=None)
def test_the_mirrored_film_under_the_mirrored_command_is_judged_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = rng.choice(["move left 0.4 meters", "turn right 12 degrees", "move forward 0.5 meters"], 3).tolist()
    film, command = "; ".join(words), "; ".join(reversed(words))
    mirrored = [parse_actions(text).mirrored().text() for text in (film, command)]
    one, other = judge(shown(film), told(command)), judge(shown(mirrored[0]), told(mirrored[1]))
    assert one.verdict.outcome == other.verdict.outcome and fails(one) == fails(other)


def test_executed_motion_is_said_in_the_words_of_commands_where_its_lengths_are_known() -> None:
    done = executed_actions(judge(shown(TOLD, with_depth=True), told(TOLD)).steps)
    assert done is not None and same_motion(done, parse_actions(TOLD), tol_m=0.05, tol_deg=1.0)
    assert executed_actions(judge(shown(TOLD), told(TOLD)).steps) is None
    turns = "turn left 20 degrees; turn right 15 degrees"
    assert executed_actions(judge(shown(turns), told(turns)).steps) == parse_actions(turns)


# --- what the film itself shows


def with_look(**changes: tuple[int, int, float]) -> FilmEvidence:
    evidence = shown(TOLD)
    numbers = {name: getattr(evidence.look, name).copy() for name in vars(evidence.look)}
    for name, (first, end, value) in changes.items():
        numbers[name][first:end] = value
    return replace(evidence, look=Look(**numbers))


@pytest.mark.parametrize(
    ("changes", "reason", "outcome"),
    [
        ({"change": (12, 18, 0.0)}, "frozen", "fail"),
        ({"change": (15, 16, 60.0), "survived": (15, 16, 0.0)}, "cut", "fail"),
        ({"brightened": (15, 16, 9.0)}, "flicker", "pass"),
        ({"sharpness": (20, 25, 10.0)}, "blur", "pass"),
        ({"blocks": (0, 41, 3.0)}, "compression", "pass"),
    ],
)
def test_faults_of_the_pictures_fire_their_own_reason(
    changes: dict[str, tuple[int, int, float]], reason: str, outcome: str
) -> None:
    evidence = with_look(**changes)
    if reason == "flicker":
        evidence.look.brightened[16] = -9.0
    found = judge(evidence, told(TOLD))
    assert found.verdict.outcome == outcome
    assert {f.reason for f in found.verdict.findings} - {"lengths unseen"} == {reason}


def test_one_repeated_frame_is_no_frozen_film() -> None:
    assert judge(with_look(change=(12, 13, 0.0)), told(TOLD)).verdict.outcome == "pass"


def test_what_moves_by_itself_and_a_return_that_is_none_fail() -> None:
    evidence = shown(TOLD)
    moving = replace(evidence, spans=(replace(evidence.spans[0], others=0.4), *evidence.spans[1:]))
    assert fails(judge(moving, told(TOLD))) == {"others move"}
    spans = tuple(replace(span, others=0.15) for span in evidence.spans[:2])
    assert fails(judge(replace(evidence, spans=(*spans, *evidence.spans[2:])), told(TOLD))) == {"others move"}
    assert not fails(judge(replace(evidence, spans=(spans[0], *evidence.spans[1:])), told(TOLD)))
    there_and_back = "move forward 0.5 meters; move backward 0.5 meters"
    back = shown(there_and_back)
    assert not fails(judge(back, told(there_and_back)))
    assert fails(judge(replace(back, similarity=0.1), told(there_and_back))) == {"no return"}
    assert not fails(judge(replace(evidence, similarity=0.1), told(TOLD)))


def test_a_wrong_lens_is_told_where_it_explains_what_is_wrong_and_an_estimated_one_makes_turns_less_sure() -> None:
    evidence, f = shown(TOLD), float(CAMERA.K[0, 0])
    command = told(TOLD.replace("turn left 20", "turn left 26"))
    assert fails(judge(evidence, command)) == {"turn"}
    assert fails(judge(replace(evidence, focal=Focal(f / 1.25, 0.01, "a test")), command)) == {"focal length"}
    assert fails(judge(replace(evidence, focal=Focal(f / 1.25, 0.1, "a test")), command)) == {"turn"}
    assert fails(judge(replace(evidence, focal=Focal(f / 1.02, 0.01, "a test")), command)) == {"turn"}
    assert not fails(judge(replace(evidence, focal=Focal(f / 1.25, 0.01, "a test")), told(TOLD)))
    unsure = judge(replace(evidence, lens_sd=0.1), command)
    assert not fails(unsure) and opens(unsure) == {"unsure"}
    guessed = judge(replace(evidence, lens_sd=math.inf), told(TOLD))
    assert guessed.verdict.outcome == "undecided" and "lens unknown" in opens(guessed)


def unlike(num: int) -> ExecutedStep:
    """Pictures that share nothing: matches at random."""
    rng = np.random.default_rng(1)
    found = Matches(rng.uniform(0, 480, (num, 2)), rng.uniform(0, 480, (num, 2)))
    view = relative_motion(found, CAMERA, CAMERA)
    return ExecutedStep(0, FRAMES, view, None, found, found, False)


def test_without_a_motion_it_is_undecided_or_not_rigid() -> None:
    evidence = shown(TOLD)
    for num, reason in ((8, "unseen"), (200, "not rigid")):
        broken = replace(evidence, spans=(Span(unlike(num), math.nan), *evidence.spans[1:]))
        found = judge(broken, told(TOLD))
        assert found.verdict.outcome == ("undecided" if reason == "unseen" else "fail")
        assert reason in fails(found) | opens(found)


# --- keys


def keys(*kinds: str) -> Commanded:
    names = {"W": "forward", "A": "left", "D": "right", "L": "turn left"}
    steps = []
    for n, each in enumerate(kinds):
        texts = {"forward": "FWD_1", "left": "LEFT_1", "right": "RIGHT_1", "turn left": "TL_1"}
        ways = frozenset(parse_actions(texts[names[key]])[0].kind for key in each)
        steps.append(CommandedStep(n * FRAMES, (n + 1) * FRAMES, Way(ways), None))
    return Commanded(tuple(steps), None, Scale("unknown", "keys"))


def test_keys_are_judged_by_direction_alone() -> None:
    film = shown("move forward 0.5 meters; turn left 20 degrees")
    right = judge(film, keys("W", "L"))
    assert right.verdict.outcome == "pass" and right.agreements == (None, None)
    assert fails(judge(film, keys("A", "L"))) == {"missing"}
    left = shown("move left 0.4 meters; turn left 20 degrees")
    assert fails(judge(left, keys("D", "L"))) == {"mirrored shift"}
    assert fails(judge(shown("move left 0.4 meters; turn right 20 degrees"), keys("A", "L"))) == {"mirrored turn"}
    assert fails(judge(shown("still; turn left 20 degrees"), keys("W", "L"))) == {"missing"}


# --- the parts


def test_limits_and_reasons_are_what_they_say() -> None:
    for name in vars(Limits()):
        with pytest.raises(ValueError, match=f"^{name} must be > 0"):
            Limits(**{name: 0})
    with pytest.raises(ValueError, match="reason must be one of"):
        Finding("bad luck", "fails", "a test")
    order = verdict_of([Finding("blur", "note", "c"), Finding("unseen", "leaves open", "b")], {})
    assert order.outcome == "undecided" and order.reasons == ["b"]
    assert order.score == 1 and verdict_of([], {"cuts": 0.1}).score == 0.2
    both = verdict_of([Finding("unseen", "leaves open", "b"), Finding("cut", "fails", "a")], {"cuts": 1.0})
    assert both.outcome == "fail" and both.reasons == ["a"] and both.score == 2 and len(REASONS) > 20
    assert verdict_of([], {}).outcome == "pass"
