"""The focal length that matches show: points with noise, films of simulated rooms, and what does not tell it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from films import film_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from synth.focal import MAX_SD_SHARE, Focal, focal_length
from synth.focal_fit import Guesses, Seen
from synth.matches import Matches
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.tracks import tracks
from synth.two_view import relative_motion
from synth.two_view_fit import Pair

SIZE = (640, 480)
TRUE_PX = 450.0
STILL = (0.0, 0.0, 0.0)
ORBIT = (3 * math.sin(math.radians(15)), 0.0, 3 - 3 * math.cos(math.radians(15)))
"""Around a point 3 m ahead, with a turn to the left by 15 degrees."""


def seen(
    rotvec_deg: tuple[float, float, float], place: tuple[float, float, float], seed: int = 0, *, count: int = 250,
    noise_px: float = 0.3, focal_px: float = TRUE_PX, plane: bool = False,
) -> Matches:  # fmt: skip
    """Matches of points 1.5 to 6 m away, or of a slanted wall."""
    rng = np.random.default_rng(seed)
    K = np.array([[focal_px, 0, SIZE[0] / 2], [0, focal_px, SIZE[1] / 2], [0, 0, 1]])
    uv = rng.uniform([0, 0], SIZE, (8 * count, 2))
    rays = np.hstack([uv, np.ones((len(uv), 1))]) @ np.linalg.inv(K).T
    z = 3 / (1 + rays @ [0.3, 0.2, 0]) if plane else rng.uniform(1.5, 6, len(uv))
    moved = (rays * z[:, None] - place) @ Rotation.from_rotvec(np.radians(rotvec_deg)).as_matrix() @ K.T
    uv_b = moved[:, :2] / moved[:, 2:]
    ok = (moved[:, 2] > 0.1) & ((uv_b > 0) & (uv_b < SIZE)).all(1)
    noise = rng.normal(0, noise_px, (2, count, 2))
    return Matches(*(np.clip(some[ok][:count] + more, 0, SIZE) for some, more in zip((uv, uv_b), noise, strict=True)))


def off(found: Focal, focal_px: float = TRUE_PX) -> float:
    return abs(math.log(found.focal_px / focal_px))


@pytest.mark.parametrize(("focal_px", "turn_deg"), [(250.0, 5.0), (450.0, -15.0), (900.0, 5.0)])
def test_a_turn_tells_it(focal_px: float, turn_deg: float) -> None:
    found = focal_length([seen((0, turn_deg, 0), STILL, focal_px=focal_px)], SIZE)
    assert off(found, focal_px) < 0.02 and found.sd_share < 0.05, found
    assert "1 pairs that turn only" in found.reason


def test_moves_with_turns_about_more_than_one_axis_tell_it() -> None:
    pairs = [seen((8, 20, 0), (0.4, 0.1, -0.1), 1), seen((-12, 10, 15), (-0.3, 0.2, 0.3), 2)]
    found = focal_length(pairs, SIZE)
    assert off(found) < 0.03 and "2 that move and turn" in found.reason, found


def test_standard_deviations_are_no_smaller_than_errors() -> None:
    ways = [((0, 4, 0), STILL), ((0, 25, 5), (0.1, 0.0, 0.5)), ((6, -15, 0), (0.3, 0.2, 0.1))]
    found = [focal_length([seen(*way, seed, count=150)], SIZE) for way in ways for seed in range(3)]
    told = [one for one in found if math.isfinite(one.focal_px)]
    assert len(told) >= 5
    assert np.mean([off(one) < one.sd_share for one in told]) > 0.6
    assert all(off(one) < 3 * one.sd_share for one in told)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (seen(STILL, (0.0, 0.0, 0.4)), ""),
        (seen(STILL, (0.4, 0.0, 0.0)), ""),
        (seen(STILL, (0.4, 0.0, 0.0), noise_px=0), ""),
        (seen(STILL, STILL), ""),
        (seen(STILL, STILL, noise_px=0), ""),
        (seen((0, 0.1, 0), STILL), ""),
        (seen((0, -15, 0), ORBIT), ""),
        (seen((0, 10, 0), (0.4, 0.0, 0.0), plane=True), ""),
        (seen((0, 10, 0), STILL, count=15), "15"),
        (Matches(*np.random.default_rng(0).uniform(0, 480, (2, 200, 2))), "fits"),
    ],
    ids=["forward", "shift", "clean_shift", "still", "same", "tiny", "orbit", "plane", "few", "unrelated"],
)
def test_what_does_not_tell_it_is_not_told(pair: Matches, said: str) -> None:
    found = focal_length([pair], SIZE)
    assert math.isnan(found.focal_px) and found.sd_share == math.inf, found
    assert said in found.reason and len(found.reason) > 20


def test_wrong_matches_and_what_moves_by_itself_weigh_nothing() -> None:
    for rotvec, place in (((0, 12, 0), STILL), ((8, 20, 0), (0.4, 0.1, -0.1))):
        rest, object_, rng = seen(rotvec, place), seen((0, 9, 0), (0.5, 0.3, 0.0), 5), np.random.default_rng(1)
        near = (np.abs(object_.uv_a - 240) < 140).all(1)
        a, b = (np.vstack([getattr(rest, name), getattr(object_, name)[near][:60]]) for name in ("uv_a", "uv_b"))
        b[:60] = rng.uniform(0, SIZE, (60, 2))
        found = focal_length([Matches(a, b)], SIZE)
        assert off(found) < max(0.01, 2 * found.sd_share), found


def test_one_pair_of_another_lens_is_outvoted() -> None:
    pairs = [seen((0, turn, 0), STILL, int(turn)) for turn in (8, 10, 12)]
    other = seen((0, 15, 0), STILL, focal_px=1.3 * TRUE_PX)
    found = focal_length([*pairs, other], SIZE)
    assert off(found) < 0.01 and "another focal length in 1 of 4" in found.reason, found
    undecided = focal_length([pairs[0], other], SIZE)
    assert math.isnan(undecided.focal_px), undecided


def test_one_turn_among_moves_is_not_believed() -> None:
    """The arc that this stands for looked like a turn through a lens that was 30 % shorter."""
    turn, moves = (
        seen((0, 12, 0), STILL),
        [seen((8, 20, 0), (0.4, 0.1, -0.1), 1), seen((-12, 10, 15), (-0.3, 0.2, 0.3), 2)],
    )
    assert off(focal_length([turn, moves[0]], SIZE)) < 0.02
    found = focal_length([turn, *moves], SIZE)
    assert math.isnan(found.focal_px) and found.reason.startswith("1 of 3 pairs turn only"), found


def test_a_stated_focal_length_that_is_wrong_is_found_out() -> None:
    found = focal_length([seen((0, 6, 0), STILL, 1), seen((0, 6, 0), (0.3, 0, 0), 2)], SIZE)
    for factor in (0.8, 1.25):
        assert abs(math.log(factor * TRUE_PX / found.focal_px)) > 3 * found.sd_share
    assert off(found) < 3 * found.sd_share


def test_more_pairs_make_it_surer_and_cost_no_more_than_a_few() -> None:
    pairs = [seen((0, 3 + turn, 0), STILL, turn, count=60) for turn in range(7)]
    one, all_ = focal_length(pairs[:1], SIZE), focal_length(pairs, SIZE)
    assert all_.sd_share < one.sd_share and "from 6 pairs that turn" in all_.reason
    assert off(all_) < 0.01


def test_a_long_lens_is_found_where_one_is_told_to_look() -> None:
    pair = seen((0, 4, 0), STILL, focal_px=2500.0, noise_px=0.1)
    assert math.isnan(focal_length([pair], SIZE).focal_px)
    assert off(focal_length([pair], SIZE, around_px=2000.0), 2500.0) < 0.05


ways = st.tuples(st.floats(4, 20), st.floats(-6, 6), st.sampled_from([0.0, 0.3]), st.integers(0, 99))


@settings(max_examples=2, deadline=None, derandomize=True)
@given(ways, st.floats(0.5, 3))
def test_a_mirror_leaves_it_and_scaling_scales_it(way: tuple[float, float, float, int], scale: float) -> None:
    turn, pitch, shift, seed = way
    pair = seen((pitch, turn, 0), (shift, 0.1 * shift, 0), seed, count=120)
    found = focal_length([pair], SIZE)
    mirrored = Matches(*(np.array([SIZE[0], 0]) + uv * [-1, 1] for uv in (pair.uv_a, pair.uv_b)))
    size = (round(SIZE[0] * scale), round(SIZE[1] * scale))
    factor = np.array(size) / SIZE
    scaled = Matches(pair.uv_a * factor, pair.uv_b * factor)
    other = focal_length([mirrored], SIZE)
    larger = focal_length([scaled], size, max_error_px=2 * scale)
    if math.isfinite(found.focal_px) and found.sd_share < MAX_SD_SHARE / 2:
        assert off(found, other.focal_px) < 0.3 * found.sd_share + 1e-3
        assert off(found, larger.focal_px / scale) < 0.3 * found.sd_share + 3e-3


MIXED = [seen((0, 2 * turn, 0), (0.0, 0.0, 0.05 * (turn - 1)), turn, count=60) for turn in (1, 2, 3)]


@settings(max_examples=2, deadline=None, derandomize=True)
@given(st.permutations(MIXED))
def test_the_order_of_the_pairs_is_irrelevant(pairs: list[Matches]) -> None:
    assert focal_length(pairs, SIZE) == focal_length(MIXED[::-1], SIZE)


def test_residuals_are_those_of_a_pair() -> None:
    pair, middle = seen((3, 10, -2), (0.2, 0.1, 0.3)), np.array(SIZE) / 2
    R, c = Rotation.from_rotvec([0.1, 0.2, 0.0]).as_matrix(), np.array([0.6, 0.0, 0.8])
    camera = PinholeCamera.from_hfov(1.2, *SIZE)
    peer, f = Pair.of(pair, camera, camera), float(camera.focal[0])
    guesses = Guesses(np.array([f, 2 * f]), np.stack([R, R]), np.stack([c, c]))
    ours = Seen(pair.uv_a - middle, pair.uv_b - middle)
    np.testing.assert_allclose(ours.left("motion", guesses)[0], peer.epipolar(R, c), atol=1e-8)
    np.testing.assert_allclose(ours.left("turn", guesses)[0], peer.turned(R), atol=1e-8)


@pytest.mark.parametrize(
    ("pairs", "size", "more", "said"),
    [
        ([], SIZE, {}, "more than one key frame"),
        ([seen((0, 9, 0), STILL)], (320, 240), {}, "resized"),
        ([Matches(np.full((30, 2), -50.0), np.full((30, 2), 9.0))], SIZE, {}, "resized"),
        ([seen((0, 9, 0), STILL)], (0, 480), {}, "size"),
        ([seen((0, 9, 0), STILL)], SIZE, {"around_px": math.nan}, "around_px"),
        ([seen((0, 9, 0), STILL)], SIZE, {"max_error_px": 0}, "max_error_px"),
    ],
    ids=["none", "resized", "outside", "no_size", "nan", "no_error"],
)
def test_bad_input_is_refused(pairs: list[Matches], size: tuple[int, int], more: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        focal_length(pairs, size, **more)


def test_the_camera_has_its_principal_point_in_the_middle() -> None:
    camera = Focal(TRUE_PX, 0.01, "").camera(*SIZE)
    assert torch.allclose(camera.K, torch.tensor([[450.0, 0, 320], [0, 450, 240], [0, 0, 1]]).double())
    with pytest.raises(ValueError, match="state one"):
        Focal(math.nan, math.inf, "nothing turns").camera(*SIZE)


def test_films_of_turns_tell_it_and_films_of_moves_do_not() -> None:
    for seed in (100,):
        world = RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=(480, 360)), 0, Stages())
        for step, is_told in (("turn left 2 degrees", True), ("move forward 0.06 meters", False)):
            steps = [parse_actions("; ".join([step] * n)).pose() for n in range(1, 7)]
            film = film_of([np.asarray(world.view(world.T_world_anchor @ T).image) for T in steps])
            found = focal_length([Matches(t.uv_first, t.uv_last) for t in tracks(film)], film.size)
            assert math.isfinite(found.focal_px) == is_told, (seed, step, found)
            assert not is_told or off(found, float(world.camera.focal[0])) < max(0.02, 3 * found.sd_share), found


def test_a_search_that_fails_is_one_that_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's raises on some poor matches."""
    import cv2

    def fails(*_: object, **__: object) -> None:
        raise cv2.error("model.empty()")

    for name in ("findFundamentalMat", "findHomography", "findEssentialMat"):
        monkeypatch.setattr(cv2, name, fails)
    rng = np.random.default_rng(0)
    found = Matches(rng.uniform(0, 480, (60, 2)), rng.uniform(0, 480, (60, 2)))
    assert not np.isfinite(focal_length([found], (640, 480)).focal_px)
    camera = PinholeCamera.from_hfov(1.2, 640, 480)
    assert relative_motion(found, camera, camera).kind == "none"
