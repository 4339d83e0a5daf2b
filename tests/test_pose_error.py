"""Errors between camera paths: hand-worked, against SciPy and plain loops, and by the laws they must keep."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation

from geom import SE3, so3
from geom.pose_error import (
    accumulated,
    camera_ctrl,
    direction_error,
    motion_error,
    path_scale,
    pose_auc,
    rotation_error,
    world_score,
    worldplay,
)

PI = math.pi
ANGLES = [0.0, 1e-12, 1e-7, 1e-3, 0.3, 1.5, 3.0, PI - 1e-3, PI - 1e-7, PI]
SEEDS = st.integers(0, 50)
METRICS = {"camera_ctrl": camera_ctrl, "worldplay": worldplay, "world_score": world_score}


def tensor(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def random_path(*shape: int, seed: int = 0, spread: float = 0.3) -> SE3:
    """Frames that drift apart, each a small motion after the one before."""
    xi = torch.randn(*shape, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread
    return SE3(so3.exp(xi[..., 3:].cumsum(-2)), xi[..., :3].cumsum(-2))


def scaled(path: SE3, factor: float) -> SE3:
    return SE3(path.R, path.t * factor)


def flat(errors: tuple) -> list[torch.Tensor]:
    return [x for error in errors for x in (flat(error) if isinstance(error, tuple) else [error])]


def everything(executed: SE3, commanded: SE3) -> list[torch.Tensor]:
    found = [accumulated(executed, commanded), *(metric(executed, commanded) for metric in METRICS.values())]
    return [path_scale(executed, commanded), *flat(tuple(found))]


def assert_alike(found: list[torch.Tensor], want: list[torch.Tensor], atol: float = 1e-9) -> None:
    for a, b in zip(found, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=atol, equal_nan=True)


@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_error_is_scipys_magnitude(angle: float) -> None:
    for seed in range(8):
        axis = torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        T_x = SE3(random_path(2, seed=seed).R[1], axis)
        T_y = SE3(T_x.R @ so3.exp(axis / axis.norm() * angle), -axis)
        got = rotation_error(T_x, T_y).item()
        assert got == pytest.approx(angle, abs=2e-15 if angle < 1e-6 else 1e-14)
        peer = Rotation.from_matrix(T_x.R.numpy()).inv() * Rotation.from_matrix(T_y.R.numpy())
        assert got == pytest.approx(peer.magnitude(), abs=1e-14)
        assert rotation_error(T_y, T_x).item() == pytest.approx(got, abs=1e-15)


@pytest.mark.parametrize("angle", ANGLES)
def test_direction_error_is_the_angle_whatever_the_lengths(angle: float) -> None:
    for seed, (short, long) in enumerate([(1.0, 1.0), (1e-9, 1e6), (3.0, 1e-30)]):
        T = random_path(2, seed=seed)[1]
        t_x = T.R[:, 0] * short
        t_y = (T.R[:, 0] * math.cos(angle) + T.R[:, 1] * math.sin(angle)) * long
        assert direction_error(t_x, t_y).item() == pytest.approx(angle, abs=1e-15)
        assert direction_error(t_y, t_x).item() == direction_error(t_x, t_y).item()


def test_what_does_not_move_has_no_direction() -> None:
    still, ahead = torch.zeros(3, dtype=torch.float64), tensor((0, 0, 1))[0]
    for t_x, t_y in ((still, ahead), (ahead, still), (still, still)):
        assert math.isnan(direction_error(t_x, t_y).item())
    t = still.clone().requires_grad_()
    both = torch.stack([t, ahead + t])
    (gradient,) = torch.autograd.grad(direction_error(both, tensor((1, 0, 0))).nansum(), t)
    torch.testing.assert_close(gradient, tensor((-1, 0, 0))[0])


def test_motion_error_of_a_hand_worked_pair() -> None:
    right = SE3.from_translation(tensor((3, 0, 0))[0]) @ SE3.yaw_right(PI / 2)
    ahead = SE3.from_translation(tensor((0, 0, 4))[0])
    rotation, direction, translation = motion_error(right, ahead)
    assert [rotation.item(), direction.item(), translation.item()] == pytest.approx([PI / 2, PI / 2, 5], abs=1e-15)


def test_a_drift_per_step_adds_up_since_the_first_frame() -> None:
    step = SE3.from_translation(tensor((0, 0, 1))[0]) @ SE3.yaw_right(0.1)
    drifting = SE3.from_translation(tensor((0, 0, 1))[0]) @ SE3.yaw_right(0.13)
    paths = []
    for motion in (drifting, step):
        poses = [SE3.identity()]
        for _ in range(5):
            poses.append(poses[-1] @ motion)
        paths.append(SE3.stack(poses))
    by_step, since = accumulated(*paths)
    torch.testing.assert_close(by_step.rotation, torch.full((5,), 0.03, dtype=torch.float64), rtol=0, atol=1e-14)
    assert by_step.direction.abs().max() < 1e-14 and by_step.translation.abs().max() < 1e-14
    torch.testing.assert_close(since.rotation, 0.03 * torch.arange(6, dtype=torch.float64), rtol=0, atol=1e-14)
    assert since.translation[0] == 0 and math.isnan(since.direction[0].item())
    assert (since.translation[1:].diff() > 0).all() and (since.direction[1:].diff() > 0).all()
    # Two steps: turned by 0.13 or 0.1 between them, so 1 m each at these headings.
    apart = tensor((math.sin(0.13) - math.sin(0.1), 0, math.cos(0.13) - math.cos(0.1))).norm().item()
    assert since.translation[2].item() == pytest.approx(apart, abs=1e-14)


@given(SEEDS, SEEDS)
def test_the_world_does_not_matter_nor_which_one_each_path_has(seed: int, other: int) -> None:
    executed, commanded = random_path(7, seed=seed), random_path(7, seed=seed + 100)
    T_x, T_y = (random_path(2, seed=other + k, spread=2.0)[1] for k in (0, 1))
    want = everything(executed, commanded)
    assert_alike(everything(T_x @ executed, T_x @ commanded), want)
    assert_alike(everything(T_x @ executed, T_y @ commanded), want)


@given(SEEDS)
def test_a_path_has_no_error_against_itself(seed: int) -> None:
    path = random_path(7, seed=seed)
    scale, *errors = everything(path, path)
    *errors, score = errors
    assert scale.item() == pytest.approx(1, abs=1e-12) and score.item() == pytest.approx(1, abs=1e-12)
    assert all(float(error.nan_to_num().abs().max()) < 1e-12 for error in errors)


@given(SEEDS, st.sampled_from([0.01, 0.5, 3.0]))
def test_scale_laws(seed: int, factor: float) -> None:
    executed, commanded = random_path(7, seed=seed), random_path(7, seed=seed + 100)
    s = path_scale(executed, commanded).item()
    assert path_scale(scaled(executed, factor), commanded).item() == pytest.approx(s * factor)
    assert path_scale(executed, scaled(commanded, factor)).item() == pytest.approx(s / factor)
    turned = SE3(executed.R @ so3.exp(tensor((0.1, 2, -0.4))[0]), executed.t)
    assert path_scale(turned, commanded).item() == pytest.approx(s)
    for metric in METRICS.values():
        assert_alike(flat(metric(scaled(executed, factor), commanded)), flat(metric(executed, commanded)))
    for metric in (camera_ctrl, worldplay):
        assert_alike(flat(metric(executed, scaled(commanded, factor))), flat(metric(executed, commanded)))
    longer = world_score(executed, scaled(commanded, factor))
    assert longer.translation.item() == pytest.approx(world_score(executed, commanded).translation.item() * factor)
    assert_alike(
        flat(world_score(executed, scaled(commanded, factor), unit_m=factor)),
        flat(METRICS["world_score"](executed, commanded)),
    )
    total = accumulated(scaled(executed, factor), scaled(commanded, factor)).total
    torch.testing.assert_close(total.translation, accumulated(executed, commanded).total.translation * factor)


def test_path_scale_is_the_least_squares_slope() -> None:
    executed, commanded = random_path(9, seed=1), random_path(9, seed=2)
    e, c = (np.linalg.norm(np.diff(path.t.numpy(), axis=0), axis=1) for path in (executed, commanded))
    assert path_scale(executed, commanded).item() == pytest.approx(np.linalg.lstsq(c[:, None], e, rcond=None)[0][0])
    still = SE3.identity(9)
    assert path_scale(still, commanded).item() == 0 and math.isnan(path_scale(executed, still).item())


def from_first(path: SE3) -> tuple[np.ndarray, np.ndarray]:
    poses = path.matrix().numpy()
    poses = np.stack([np.linalg.inv(poses[0]) @ pose for pose in poses])
    return poses[:, :3, :3], poses[:, :3, 3]


def by_loop(executed: SE3, commanded: SE3) -> tuple[list[float], list[float]]:
    """What CameraCtrl and WorldPlay write down: trace and arccos, and translations over the furthest."""
    (R_gen, t_gen), (R_gt, t_gt) = from_first(executed), from_first(commanded)
    t_gen, t_gt = (t / max(np.linalg.norm(row) for row in t) for t in (t_gen, t_gt))
    angles = [math.acos(min(1.0, (np.trace(a @ b.T) - 1) / 2)) for a, b in zip(R_gen, R_gt, strict=True)]
    return angles, [float(np.linalg.norm(a - b)) for a, b in zip(t_gen, t_gt, strict=True)]


@given(SEEDS)
def test_the_published_formulas_one_frame_at_a_time(seed: int) -> None:
    executed, commanded = random_path(6, seed=seed), random_path(6, seed=seed + 100)
    angles, distances = by_loop(executed, commanded)
    squares = [d * d for d in distances]
    assert flat(camera_ctrl(executed, commanded)) == pytest.approx([sum(angles), sum(squares)], abs=1e-7)
    assert flat(camera_ctrl(executed, commanded, squared=False)) == pytest.approx(
        [sum(angles), sum(distances)], abs=1e-7
    )
    assert flat(worldplay(executed, commanded)) == pytest.approx([sum(angles) / 6, sum(squares) / 6], abs=1e-7)


@given(SEEDS)
def test_world_score_one_frame_at_a_time(seed: int) -> None:
    executed, commanded = random_path(6, seed=seed, spread=0.1), random_path(6, seed=seed + 100, spread=0.1)
    angles, _ = by_loop(executed, commanded)
    (_, t_gen), (_, t_gt) = from_first(executed), from_first(commanded)
    best = minimize_scalar(lambda s: np.linalg.norm(s * t_gen - t_gt, axis=1).mean(), tol=1e-12)
    rotation_deg, translation, score = world_score(executed, commanded)
    assert rotation_deg.item() == pytest.approx(math.degrees(sum(angles) / 6), abs=1e-5)
    assert translation.item() == pytest.approx(best.fun, abs=1e-9) and translation.item() <= best.fun + 1e-12
    parts = [1 - min(rotation_deg.item() / 15, 1), 1 - min(translation.item() / 0.5, 1)]
    assert score.item() == pytest.approx(math.sqrt(parts[0] * parts[1]), abs=1e-12)


def test_world_score_by_hand() -> None:
    ahead = tensor((0, 0, 0), (0, 0, 1))
    commanded = SE3.from_translation(ahead)
    for turn_deg, want in ((0.0, 1.0), (15.0, math.sqrt(0.5)), (31.0, 0.0), (90.0, 0.0)):
        executed = SE3(so3.yaw_right(tensor((0, math.radians(turn_deg)))[0]), ahead * 7)
        assert world_score(executed, commanded).score.item() == pytest.approx(want, abs=1e-12)
    # Back instead of forward is a scale of -1 to it; sideways no scale mends: 1 unit at the second of two frames.
    assert world_score(SE3.from_translation(-ahead), commanded).score.item() == pytest.approx(1)
    aside = world_score(SE3.from_translation(ahead.roll(1, -1)), commanded)
    assert aside.translation.item() == pytest.approx(0.5, abs=1e-12) and aside.score.item() == pytest.approx(
        0, abs=1e-6
    )
    assert world_score(SE3.identity(2), commanded, unit_m=2).translation.item() == pytest.approx(0.25)


def test_the_others_see_a_camera_that_goes_back() -> None:
    ahead = SE3.from_translation(tensor((0, 0, 0), (0, 0, 1), (0, 0, 2)))
    back = scaled(ahead, -0.5)
    assert camera_ctrl(back, ahead).trans_err.item() == pytest.approx(1 + 4)
    assert camera_ctrl(back, ahead, squared=False).trans_err.item() == pytest.approx(1 + 2)
    assert worldplay(back, ahead).t_dist.item() == pytest.approx(5 / 3)
    assert path_scale(back, ahead).item() == pytest.approx(0.5)
    torch.testing.assert_close(accumulated(back, ahead).step.direction, torch.full((2,), PI, dtype=torch.float64))


def test_a_path_that_only_turns_has_finite_errors() -> None:
    turning = SE3(so3.yaw_right(torch.linspace(0, 1, 5, dtype=torch.float64)), torch.zeros(5, 3, dtype=torch.float64))
    for metric in METRICS.values():
        assert all(x.isfinite().all() for x in flat(metric(turning, turning)))
    assert worldplay(turning, turning).t_dist.item() == 0 and world_score(turning, turning).score.item() == 1
    assert camera_ctrl(random_path(5), turning).trans_err.item() > 1


def test_an_unknown_pose_makes_what_depends_on_it_unknown() -> None:
    executed, commanded = random_path(5, seed=1), random_path(5, seed=2)
    executed.t[2], executed.R[2] = math.nan, math.nan
    step, total = accumulated(executed, commanded)
    assert step.rotation.isnan().tolist() == step.translation.isnan().tolist() == [False, True, True, False]
    assert total.rotation.isnan().tolist() == total.translation.isnan().tolist() == [False, False, True, False, False]
    for metric in METRICS.values():
        assert all(x.isnan().all() for x in flat(metric(executed, commanded)))
    assert path_scale(executed, commanded).isnan()


GRADIENTS: dict[str, Callable[[SE3, SE3], torch.Tensor]] = {
    "camera_ctrl": lambda e, c: torch.stack(camera_ctrl(e, c)),
    "worldplay": lambda e, c: torch.stack(worldplay(e, c)),
    "world_score": lambda e, c: torch.stack(world_score(e, c)),
    "path_scale": path_scale,
    "accumulated": lambda e, c: torch.cat([x[1:] for x in flat(accumulated(e, c))]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_right_and_finite_where_nothing_differs(name: str) -> None:
    def error(xi: torch.Tensor, xi_c: torch.Tensor) -> torch.Tensor:
        return GRADIENTS[name](SE3.exp(xi), SE3.exp(xi_c))

    paths = [random_path(4, seed=seed, spread=0.1).log().requires_grad_() for seed in (1, 2)]
    assert torch.autograd.gradcheck(error, paths, atol=1e-5)
    still = torch.zeros(4, 6, dtype=torch.float64)
    for start in (paths[0].detach(), still):
        xi, xi_c = (start.clone().requires_grad_() for _ in range(2))
        total = error(xi, xi_c)
        gradients = torch.autograd.grad(total[~total.isnan()].sum(), [xi, xi_c], allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in gradients)


def test_batches_are_their_paths_one_by_one(dtype: torch.dtype) -> None:
    executed, commanded = random_path(2, 3, 5, seed=1).to(dtype), random_path(3, 5, seed=2).to(dtype)
    both = everything(executed, commanded)
    assert both[0].dtype == dtype and both[0].shape == (2, 3)
    for i in range(2):
        for j in range(3):
            one = everything(executed[i, j], commanded[j])
            for whole, part in zip(both, one, strict=True):
                torch.testing.assert_close(whole[i, j], part, equal_nan=True)


def test_paths_that_cannot_be_compared_are_refused() -> None:
    path = random_path(5)
    for compare in (accumulated, path_scale, camera_ctrl, worldplay, world_score):
        with pytest.raises(
            ValueError, match=r"^paths must have equally many frames, got 4 executed and 5 commanded; was"
        ):
            compare(path[:4], path)
        with pytest.raises(
            ValueError, match=r"^a path must have at least 2 frames in its last dimension, got shape \(1,\)"
        ):
            compare(path[:1], path[:1])
        with pytest.raises(
            ValueError, match=r"^a path must have at least 2 frames in its last dimension, got shape \(\)"
        ):
            compare(path[0], path[0])
        with pytest.raises(ValueError, match=r"^paths must share a dtype, got torch.float32 and torch.float64; use"):
            compare(path.to(torch.float32), path)
    for unit in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"^unit_m must be > 0 m, got .*; it is the length of one unit"):
            world_score(path, path, unit_m=unit)


def test_the_area_is_that_under_the_recall_curve() -> None:
    """Against the trapezoid rule on a fine curve."""
    error = torch.rand(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 30
    error[:5] = torch.nan
    for limit in (5.0, 10.0, 20.0):
        at = np.linspace(0, limit, 20001)
        recall = (error.nan_to_num(torch.inf).numpy()[:, None] <= at).mean(0)
        assert pose_auc(error, limit) == pytest.approx(np.trapezoid(recall, at) / limit, abs=1e-4)
    with pytest.raises(ValueError, match="needs errors"):
        pose_auc(error[:0], 5)
