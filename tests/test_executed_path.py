"""The path of a clip from its links: points with exact places, noise, wrong matches, breaks, turns, and metres."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.pose_error import rotation_error
from geom.se3 import SE3
from synth.executed_path import ExecutedPath, Link, executed_path
from synth.executed_path_fit import Problem
from synth.executed_path_scale import Leg, missed, nearness, ratio, scaled, tie
from synth.matches import Matches
from synth.two_view import TwoView, relative_motion
from synth.two_view_fit import Pair

CAMERA = PinholeCamera.from_hfov(np.radians(70.0), 480, 360)
ARC = ("move forward 0.2 meters; turn right 4 degrees",) * 3
ZIGZAG = ("move right 0.2 meters; turn left 3 degrees", "move forward 0.3 meters; turn right 4 degrees") * 2
WITH_TURNS = ("move right 0.2 meters", "turn left 6 degrees", "turn left 5 degrees", "move forward 0.3 meters")
COUNT = 100
NOTHING = TwoView(SE3.identity(), "none", "unlike pictures", 50, 50, *[float("nan")] * 4)


def poses(steps: tuple[str, ...]) -> SE3:
    """T_first_cam of each key frame."""
    path = [SE3.identity(dtype=torch.float64)]
    for words in steps:
        path.append(path[-1] @ parse_actions(words).pose().to(torch.float64))
    return SE3.stack(path)


@cache
def seen(
    steps: tuple[str, ...], seed: int = 0, *, noise_px: float = 0.0, wrong: float = 0.0, metric: bool = False
) -> tuple[Link, ...]:
    """Links of a path through points 1.5 to 6 m away from its first frame, a share of them wrong."""
    links = []
    for k, (pair, z) in enumerate(matched(steps, seed, noise_px=noise_px, wrong=wrong)):
        z_depth_a = z_picture(pair.uv_a, z) if metric else None
        links.append(Link(10 * k, 10 * k + 10, relative_motion(pair, CAMERA, CAMERA, z_depth_a=z_depth_a), pair))
    return tuple(links)


def matched(
    steps: tuple[str, ...], seed: int, *, noise_px: float, wrong: float = 0.0, far: float = 0.0
) -> list[tuple[Matches, np.ndarray]]:
    """Matches of neighbouring frames with z-depths in the former; a share of the points is a hundred times as far."""
    rng = np.random.default_rng(seed)
    uv = torch.tensor(rng.uniform([-200, 0], [680, 360], (3 * COUNT, 2)))
    z = rng.uniform(1.5, 6, 3 * COUNT) * np.where(rng.random(3 * COUNT) < far, 100, 1)
    points = CAMERA.unproject(uv, torch.tensor(z))
    places, z_depths = [], []
    for T_first_cam in poses(steps):
        p = T_first_cam.inverse().act(points)
        uv, ok = CAMERA.project(p)
        noisy = uv.numpy() + noise_px * rng.normal(size=uv.shape)
        places.append(np.where((ok & CAMERA.contains(uv)).numpy()[:, None], noisy, np.nan))
        z_depths.append(p[:, 2].numpy())
    found = []
    for k in range(len(steps)):
        rows = np.flatnonzero(np.isfinite(places[k] + places[k + 1]).all(1))[:COUNT]
        a, b = places[k][rows], places[k + 1][rows].copy()
        is_wrong = rng.random(len(rows)) < wrong
        b[is_wrong] = rng.uniform([0, 0], [480, 360], (is_wrong.sum(), 2))
        found.append((Matches(a, b), z_depths[k][rows]))
    return found


def z_picture(uv: np.ndarray, z: np.ndarray) -> np.ndarray:
    """A raster that has the z-depth of each point at the pixels around it."""
    picture = np.full((360, 480), np.nan)
    for (u, v), value in zip(uv, z, strict=True):
        col, row = int(np.clip(u - 0.5, 0, 478)), int(np.clip(v - 0.5, 0, 358))
        picture[row : row + 2, col : col + 2] = value
    return picture


def off(found: ExecutedPath, true: SE3) -> tuple[float, float]:
    """Largest errors: degrees, and of positions as shares of the path's length, or in metres."""
    unit = 1.0 if found.scale == "metric" else float((true.t[1:] - true.t[:-1]).norm(dim=-1).sum())
    turn = rotation_error(found.T_first_cam, true).rad2deg().max()
    return float(turn), float((found.T_first_cam.t - true.t / unit).norm(dim=-1).max())


@pytest.mark.parametrize("steps", [ARC, ZIGZAG, WITH_TURNS])
def test_exact_places_give_the_exact_path(steps) -> None:
    found, true = executed_path(seen(steps), CAMERA), poses(steps)
    assert found.frames == tuple(range(0, 10 * len(steps) + 1, 10))
    assert found.scale == "up_to_scale" and found.is_refined and not found.reasons
    assert off(found, true)[0] < 1e-5 and off(found, true)[1] < 1e-6


def test_refining_makes_errors_smaller_and_knows_them() -> None:
    own, refined, within = [], [], []
    for seed in range(3):
        links = seen(ZIGZAG, seed, noise_px=0.5)
        found = executed_path(links, CAMERA)
        own.append(off(executed_path(links, CAMERA, refine=False), poses(ZIGZAG)))
        refined.append(off(found, poses(ZIGZAG)))
        within.append([refined[-1][0] / found.rotation_sd_deg.max(), refined[-1][1] / found.position_sd.max()])
    assert (np.mean(refined, 0) < 0.85 * np.mean(own, 0)).all(), (np.mean(own, 0), np.mean(refined, 0))
    assert (np.median(within, 0) > 0.2).all() and (np.max(within, 0) < 3).all(), within


def test_wrong_matches_are_left_alone() -> None:
    found = executed_path(seen(ARC, noise_px=0.3, wrong=0.25), CAMERA)
    assert off(found, poses(ARC))[0] < 0.3 and off(found, poses(ARC))[1] < 0.03


def test_lengths_are_those_of_the_path() -> None:
    steps = ("move right 0.1 meters", "move right 0.4 meters", "move right 0.2 meters")
    for refine in (False, True):
        found = executed_path(seen(steps, noise_px=0.2), CAMERA, refine=refine)
        lengths = (found.T_first_cam.t[1:] - found.T_first_cam.t[:-1]).norm(dim=-1)
        assert lengths.tolist() == pytest.approx([1 / 7, 4 / 7, 2 / 7], abs=0.03)
        assert float(lengths.sum()) == pytest.approx(1)


def test_corners_found_anew_beside_the_old_ones_tie_lengths() -> None:
    """Two sets of points, where one set shows each link: none is seen twice, but neighbours are on one surface."""
    steps = ("move right 0.2 meters", "move right 0.1 meters")
    path, rng = poses(steps), np.random.default_rng(0)
    links = []
    for k in range(2):
        uv_wall = torch.tensor(rng.uniform([-100, 0], [600, 360], (1500, 2)))
        wall = CAMERA.unproject(uv_wall, 3 + uv_wall[:, 0] / 400)
        uvs = [CAMERA.project(path[j].inverse().act(wall))[0] for j in (k, k + 1)]
        ok = CAMERA.contains(uvs[0]) & CAMERA.contains(uvs[1])
        pair = Matches(*(uv[ok].numpy() for uv in uvs))
        T_b_a = path[k + 1].inverse() @ path[k]
        view = TwoView(SE3(T_b_a.R, T_b_a.t / T_b_a.t.norm()), "direction", "", 400, 400, 0.1, 1.0, 2.0, float("nan"))
        links.append(Link(k, k + 1, view, pair))
    found = executed_path(links, CAMERA, refine=False)
    assert found.T_first_cam.t[:, 0].tolist() == pytest.approx([0, 2 / 3, 1], abs=0.01)


def test_what_came_before_a_break_stays() -> None:
    links = list(seen(ZIGZAG))
    whole = executed_path(links[:2], CAMERA)
    links[2] = unlike(links[2])
    found = executed_path(links, CAMERA)
    assert found.frames == (0, 10, 20, 30, 40)
    torch.testing.assert_close(found.T_first_cam.t[:3], whole.T_first_cam.t)
    np.testing.assert_allclose(found.position_sd[:3], whole.position_sd)
    assert found.T_first_cam.R[:3].isfinite().all() and found.T_first_cam.R[3:].isnan().all()
    assert found.T_first_cam.t[3:].isnan().all() and np.isnan(found.rotation_sd_deg[3:]).all()
    assert "frames 20 to 30" in found.reasons[0] and "unlike pictures" in found.reasons[0]


def unlike(each: Link) -> Link:
    """A link between pictures of different things."""
    uv_b = np.random.default_rng(0).permutation(each.matches.uv_b)
    return replace(each, view=NOTHING, matches=Matches(each.matches.uv_a, uv_b))


@pytest.mark.parametrize("steps", [ZIGZAG, WITH_TURNS])
def test_points_of_earlier_links_say_what_two_pictures_leave_open(steps) -> None:
    links = list(seen(steps))
    links[3] = replace(links[3], view=NOTHING)
    found = executed_path(links, CAMERA)
    assert off(found, poses(steps))[0] < 1e-5 and off(found, poses(steps))[1] < 1e-6
    assert found.reasons == ("frames 30 to 40: motion found by points of earlier links (unlike pictures)",)


def test_no_link_is_placed_by_points_that_are_not_known() -> None:
    links = [
        *seen(("turn left 6 degrees",)),
        *(replace(each, view=NOTHING, first=10, last=20) for each in seen(ARC)[:1]),
    ]
    found = executed_path(links, CAMERA)
    assert found.T_first_cam.R[1].isfinite().all() and found.T_first_cam.R[2].isnan().all()


def test_a_break_at_once_leaves_the_first_pose() -> None:
    links = [unlike(each) for each in seen(ARC)]
    found = executed_path(links, CAMERA)
    assert found.scale == "none" and found.T_first_cam.t[0].tolist() == [0, 0, 0]
    assert found.T_first_cam.t[1:].isnan().all() and len(found.reasons) == len(links)


def test_links_without_common_points_have_no_common_length() -> None:
    links = seen(ZIGZAG)
    strangers = seen(ZIGZAG, seed=1)
    # Few points, lest some lie close by chance.
    few = [replace(each, matches=Matches(each.matches.uv_a[:30], each.matches.uv_b[:30])) for each in strangers]
    found = executed_path([*links[:2], few[2], links[3]], CAMERA)
    assert found.T_first_cam.R.isfinite().all() and np.isfinite(found.rotation_sd_deg).all()
    assert found.T_first_cam.t[:3].isfinite().all() and found.T_first_cam.t[3:].isnan().all()
    assert "frames 20 to 30: length not comparable with frames 10 to 20" in found.reasons[0]


def test_turns_alone_have_no_length() -> None:
    steps = ("turn left 5 degrees", "turn right 8 degrees")
    found = executed_path(seen(steps, noise_px=0.2), CAMERA)
    assert found.scale == "none" and not found.T_first_cam.t.any() and off(found, poses(steps))[0] < 0.1
    assert np.isnan(found.position_sd[1:]).all()


def test_a_turn_may_hide_a_length() -> None:
    """What a turn has overlooked adds to the deviation of every place after it."""
    links = seen(WITH_TURNS, noise_px=0.2)
    little, much = (
        executed_path([links[0], replace(links[1], view=replace(links[1].view, parallax_deg=deg)), *links[2:]], CAMERA)
        for deg in (0.01, 0.2)
    )
    # Points 1.5 to 6 m away, of a path of 0.5 m: a fifth of a degree is some 1 cm, a fiftieth of it.
    assert little.position_sd[1] == pytest.approx(much.position_sd[1])
    assert 0.006 < np.sqrt(much.position_sd[2] ** 2 - little.position_sd[2] ** 2) < 0.05


def test_still_pictures_go_nowhere() -> None:
    links = seen(ARC)
    uv = links[0].matches.uv_b
    again = Matches(uv, uv)
    still = Link(10, 20, relative_motion(again, CAMERA, CAMERA), again)
    assert still.view.kind == "none" and still.is_still
    later = [replace(each, first=each.first + 10, last=each.last + 10) for each in links[1:]]
    found, true = executed_path([links[0], still, *later], CAMERA), poses(ARC)
    assert off(found, SE3(true.R[[0, 1, 1, 2, 3]], true.t[[0, 1, 1, 2, 3]]))[1] < 1e-6
    assert found.position_sd[2] > found.position_sd[1]


def test_metres_stay_metres() -> None:
    found = executed_path(seen(ZIGZAG, noise_px=0.3, metric=True), CAMERA)
    assert found.scale == "metric" and off(found, poses(ZIGZAG))[1] < 0.02
    assert (np.diff(found.position_sd) > 0).all() and found.position_sd[-1] < 0.05


@pytest.mark.parametrize("known", [0, 2])
def test_one_link_in_metres_gives_metres_to_all(known) -> None:
    links, true = list(seen(ZIGZAG, noise_px=0.2)), poses(ZIGZAG)
    links[known] = seen(ZIGZAG, noise_px=0.2, metric=True)[known]
    for refine in (False, True):
        found = executed_path(links, CAMERA, refine=refine)
        assert found.scale == "metric" and found.is_refined == refine
        assert off(found, true)[1] < 0.03 and off(found, true)[1] < 4 * found.position_sd.max()


def test_a_link_sure_of_the_wrong_motion_is_set_right_by_its_neighbours() -> None:
    """A plane allows two motions; here the view has one that is off, and says that it is sure."""
    links, true = list(seen(ZIGZAG, noise_px=0.2)), poses(ZIGZAG)
    T_b_a = links[1].view.T_b_a
    wrong = SE3(torch.from_numpy(Rotation.from_rotvec([0, 0.02, 0]).as_matrix()) @ T_b_a.R, T_b_a.t)
    links[1] = replace(links[1], view=replace(links[1].view, T_b_a=wrong, rotation_sd_deg=0.05))
    own, found = (executed_path(links, CAMERA, refine=refine) for refine in (False, True))
    assert off(own, true)[0] > 1 and found.is_refined and off(found, true)[0] < 0.2


def test_a_refinement_that_makes_neighbours_disagree_is_not_believed() -> None:
    """A link that shows another motion altogether: no common path fits, and all keep their own."""
    links = list(seen(ZIGZAG, noise_px=0.2))
    pair = links[1].matches
    stretched = Matches(pair.uv_a, pair.uv_b + 0.08 * (pair.uv_b - [240, 180]) * [1, -1])
    links[1] = replace(links[1], matches=stretched)
    found = executed_path(links, CAMERA)
    own = executed_path(links, CAMERA, refine=False)
    assert not found.is_refined and "not refined" in found.reasons[-1]
    torch.testing.assert_close(found.T_first_cam.R, own.T_first_cam.R)


@settings(max_examples=4, deadline=None)
@given(st.floats(0.01, 100), st.sets(st.integers(0, 3), min_size=1), st.booleans())
def test_a_path_in_another_unit_is_as_much_longer(times, in_metres, refine) -> None:
    shown, metric = seen(ZIGZAG, noise_px=0.2), seen(ZIGZAG, noise_px=0.2, metric=True)
    links = [metric[k] if k in in_metres else shown[k] for k in range(4)]
    one, other = (executed_path([longer(each, s) for each in links], CAMERA, refine=refine) for s in (1.0, times))
    assert one.scale == other.scale == "metric"
    torch.testing.assert_close(times * one.T_first_cam.t, other.T_first_cam.t, atol=1e-4 * times, rtol=0)
    torch.testing.assert_close(one.T_first_cam.R, other.T_first_cam.R, atol=1e-4, rtol=0)
    np.testing.assert_allclose(times * one.position_sd, other.position_sd, rtol=0.02)


def longer(each: Link, times: float) -> Link:
    """A link with its metres in another unit."""
    if each.view.kind != "metric":
        return each
    T = each.view.T_b_a
    return replace(
        each, view=replace(each.view, T_b_a=SE3(T.R, T.t * times), length_sd_m=each.view.length_sd_m * times)
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_nearness_is_that_of_the_points(seed) -> None:
    """And its slopes are those that differences show."""
    rng = np.random.default_rng(seed)
    R, c = Rotation.from_rotvec(rng.normal(0, 0.1, 3)).as_matrix(), rng.normal(0, 0.2, 3)
    points = np.column_stack([rng.uniform(-1, 1, (20, 2)), rng.uniform(2, 5, 20)])
    K = CAMERA.K.double().numpy()
    images = [p @ K.T for p in (points, (points - c) @ R.T)]
    uv_a, uv_b = (p[:, :2] / p[:, 2:] for p in images)
    there = nearness(Pair(K, K, uv_a, uv_b), R, c)
    np.testing.assert_allclose(there.value, 1 / points[:, 2], atol=1e-9)
    step = 1e-5 * rng.normal(size=2)
    for slopes, a, b in ((there.by_a, uv_a + step, uv_b), (there.by_b, uv_a, uv_b + step)):
        change = nearness(Pair(K, K, a, b), R, c).value - there.value
        np.testing.assert_allclose(change, slopes @ step, atol=1e-3 * abs(slopes).max() * 1e-5)


def true_legs(steps: tuple[str, ...], seed: int, noise_px: float, far: float = 0.0) -> list[Leg]:
    """Legs with their true motions, but all of length 1."""
    path, legs = poses(steps), []
    for k, (pair, _) in enumerate(matched(steps, seed, noise_px=noise_px, far=far)):
        R, c = ((path[k].inverse() @ path[k + 1]).R.mT.numpy(), (path[k].inverse() @ path[k + 1]).t.numpy())
        pair = Pair.of(pair, CAMERA, CAMERA)
        legs.append(Leg(pair, R, c / np.linalg.norm(c), noise_px, 0.0, 0.0, float("nan")))
    return legs


@pytest.mark.parametrize("steps", [("move right 0.2 meters",) * 2, ("move right 0.2 meters", "move left 0.2 meters")])
def test_misses_are_as_large_as_the_noise(steps) -> None:
    """Also where noise of the shared picture adds to itself, on the way on, or cancels, on the way back."""
    every = [true_legs(steps, seed, 0.3) for seed in range(8)]
    assert np.std(np.concatenate([missed(legs, tie(legs, 0, 1)) for legs in every])) == pytest.approx(1, abs=0.08)


def test_points_too_far_to_say_anything_do_not_change_the_ratio() -> None:
    for seed in range(4):
        legs = true_legs(("move right 0.2 meters", "move right 0.3 meters"), seed, 0.5, far=0.7)
        times, sd = ratio(legs, tie(legs, 0, 1))
        assert times == pytest.approx(1.5, abs=0.06) and abs(np.log(times / 1.5)) < 4 * sd < 0.12


def test_lengths_are_as_unsure_as_turns_make_them() -> None:
    """Against what ratios come of turns that are off by chance."""
    found = scaled([replace(leg, turn_sd=0.003) for leg in true_legs(("move right 0.2 meters",) * 2, 0, 0.05)])
    problem, rng = Problem(found.legs, found.ties), np.random.default_rng(0)
    before, after = (np.r_[np.zeros(3), leg.c] / leg.length**2 for leg in found.legs)
    by_lengths = np.r_[-before, after]
    logs = []
    for _ in range(200):
        x = rng.normal(0, 0.003 / np.sqrt(3), (2, 6)) * [1, 1, 1, 0, 0, 0]
        logs.append(np.log(ratio(problem.changed(x.ravel()).legs, found.ties[0])[0]))
    assert np.std(logs) == pytest.approx(np.sqrt(by_lengths @ problem.own_covariance() @ by_lengths), rel=0.2)


def test_same_links_same_path() -> None:
    links = seen(ARC, noise_px=0.5, wrong=0.1)
    one, other = executed_path(links, CAMERA), executed_path(links, CAMERA)
    assert torch.equal(one.T_first_cam.t, other.T_first_cam.t) and np.array_equal(one.position_sd, other.position_sd)


def test_links_that_do_not_follow_each_other_are_refused() -> None:
    links = seen(ARC)
    with pytest.raises(ValueError, match=r"begin where the one before ends, got frames 0 to 10, then frames 20 to 30"):
        executed_path([links[0], links[2]], CAMERA)
    with pytest.raises(ValueError, match=r"later frame, got frames 10 to 10"):
        executed_path([replace(links[0], first=10)], CAMERA)
    with pytest.raises(ValueError, match=r"at least one link"):
        executed_path([], CAMERA)
    with pytest.raises(ValueError, match=r"K of shape \(3, 3\), got \(2, 3, 3\)"):
        executed_path(links, PinholeCamera(CAMERA.K.expand(2, 3, 3), 480, 360))
