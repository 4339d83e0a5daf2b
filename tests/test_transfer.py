"""The residual of z-depth between two views: against a plain loop and planes; units, unknowns, batches, gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_backward_warp import CAMERA, MOTION, plane_depth, rough

from geom import SE3, PinholeCamera, z_residual
from geom.actions import parse_actions

OTHER = PinholeCamera.from_hfov(math.radians(55), 40, 44).crop(1.5, -2.0, 40, 44)
NORMAL = torch.tensor([0.2, -0.1, 1.0], dtype=torch.float64)


def one_by_one(z_a: torch.Tensor, camera_a: PinholeCamera, T: SE3, z_b: torch.Tensor, b: PinholeCamera) -> torch.Tensor:
    """Pixel by pixel, in numbers: lift, move, project, look up."""
    R, t, (fx, fy), (cx, cy) = T.R.tolist(), T.t.tolist(), b.focal.tolist(), b.principal_point.tolist()
    out = torch.full_like(z_a, math.nan)
    for row in range(z_a.shape[0]):
        for col in range(z_a.shape[1]):
            z = float(z_a[row, col])
            center = torch.tensor([col + 0.5, row + 0.5], dtype=torch.float64)
            p = camera_a.unproject(center, torch.tensor(z, dtype=torch.float64)).tolist()
            x, y, w = (sum(R[i][k] * p[k] for k in range(3)) + t[i] for i in range(3))
            if not (math.isfinite(z) and w > 1e-3):
                continue
            u, v = math.floor(fx * x / w + cx), math.floor(fy * y / w + cy)
            if 0 <= u < b.width and 0 <= v < b.height and math.isfinite(z_b[v, u]):
                out[row, col] = w / float(z_b[v, u]) - 1
    return out


@given(
    xi=st.lists(st.floats(-0.6, 0.6), min_size=6, max_size=6),
    turn=st.sampled_from([0.0, 90.0, 180.0]),
    seed=st.integers(0, 9),
)
def test_it_is_what_a_plain_loop_finds(xi: list[float], turn: float, seed: int) -> None:
    # A little aside, so that nothing lands on the edge of a pixel, where rounding decides.
    T = SE3.yaw_right(math.radians(turn)) @ SE3.exp(torch.tensor(xi, dtype=torch.float64) + 1e-4)
    small = PinholeCamera.from_hfov(math.radians(80), 12, 9)
    z_a, z_b = rough(small, seed), rough(OTHER, seed + 1)
    z_a[2, 3], z_a[4, 4], z_b[10:14] = math.nan, math.inf, math.nan
    want = one_by_one(z_a, small, T, z_b, OTHER)
    assert torch.allclose(z_residual(z_a, small, T, z_b, OTHER), want, atol=1e-9, equal_nan=True)


def test_on_a_plane_it_is_0_to_half_the_step_of_a_pixel(dtype: torch.dtype) -> None:
    R, t = MOTION.R, MOTION.t
    z_a = plane_depth(CAMERA, NORMAL, 2.5)
    # n . p = d in a is (R n) . p = d + (R n) . t in b.
    z_b = plane_depth(OTHER, R @ NORMAL, 2.5 + float(R @ NORMAL @ t))
    off = z_residual(z_a.to(dtype), CAMERA, MOTION, z_b.to(dtype), OTHER)
    known = off[off.isfinite()]
    step = max(float((z_b.diff(dim=axis).abs() / z_b.narrow(axis, 1, z_b.shape[axis] - 1)).max()) for axis in (0, 1))
    assert off.dtype == dtype and known.numel() > 800
    assert 0 < float(known.abs().max()) < step + 1e-5
    # A frontal wall has no step.
    aside = SE3.from_translation(torch.tensor([0.31, -0.17, 0.4], dtype=torch.float64))
    wall_a, wall_b = torch.full((36, 48), 2.0, dtype=dtype), torch.full((44, 40), 2.4, dtype=dtype)
    off = z_residual(wall_a, CAMERA, aside, wall_b, OTHER)
    assert off.isfinite().any() and float(off[off.isfinite()].abs().max()) < 1e-6


def test_standing_still_it_is_0_exactly(dtype: torch.dtype) -> None:
    z = rough(CAMERA, dtype=dtype)
    z[3, 4] = math.nan
    off = z_residual(z, CAMERA, SE3.identity(), z, CAMERA)
    assert torch.equal(off.isnan(), z.isnan()) and not off[z.isfinite()].any()


def test_behind_what_was_measured_it_is_positive_and_before_it_negative() -> None:
    z = torch.full((36, 48), 2.0, dtype=torch.float64)
    for z_b, want in ((1.0, 1.0), (4.0, -0.5)):
        off = z_residual(z, CAMERA, SE3.identity(), torch.full_like(z, z_b), CAMERA)
        assert off.unique().tolist() == [want]


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_what_either_camera_does_not_know_is_nan_and_only_that(unknown: float) -> None:
    z = rough(CAMERA)
    z_a, z_b = z.clone(), z.clone()
    z_a[1, 2], z_b[5, 6] = unknown, unknown
    off = z_residual(z_a, CAMERA, SE3.identity(), z_b, CAMERA)
    assert off.isnan().nonzero().tolist() == [[1, 2], [5, 6]]


def test_what_is_not_in_front_or_not_in_the_picture_is_nan() -> None:
    z = torch.full((36, 48), 2.0, dtype=torch.float64)
    assert z_residual(z, CAMERA, parse_actions("turn left 180 degrees").pose(), z, CAMERA).isnan().all()
    width_m = float(48 / CAMERA.focal[0] * 2)
    half = SE3.from_translation(torch.tensor([width_m / 2, 0, 0], dtype=torch.float64))
    off = z_residual(z, CAMERA, half, z, CAMERA)
    assert off[:, :24].isfinite().all() and off[:, 24:].isnan().all()
    near = SE3.from_translation(torch.tensor([0, 0, -2 + 5e-4], dtype=torch.float64))
    middle = CAMERA.crop(23.5, 17.5, 1, 1)
    one, wall = z[:1, :1], z
    assert z_residual(one, middle, near, wall, CAMERA).isnan().all()
    assert z_residual(one, middle, near, wall, CAMERA, z_near=1e-4).isfinite().all()


def test_the_border_is_part_of_the_picture() -> None:
    z, one = torch.full((2, 4), 2.0, dtype=torch.float64), torch.full((1, 1), 2.0, dtype=torch.float64)
    camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    for left, top in ((0, 0), (4, 2)):
        at = camera.crop(left - 0.5, top - 0.5, 1, 1)
        assert z_residual(one, at, SE3.identity(), z, camera).tolist() == [[0.0]]


@given(scale=st.floats(0.05, 1000))
def test_the_unit_of_length_does_not_matter(scale: float) -> None:
    z_a, z_b = rough(CAMERA), rough(OTHER, 1)
    here = z_residual(z_a, CAMERA, MOTION, z_b, OTHER)
    there = z_residual(z_a * scale, CAMERA, SE3(MOTION.R, MOTION.t * scale), z_b * scale, OTHER)
    assert here.isfinite().any()
    assert torch.allclose(here, there, atol=1e-9, equal_nan=True)


def test_a_batch_is_its_frames_one_by_one() -> None:
    num = 6
    poses = SE3.exp(torch.linspace(-0.2, 0.2, 6 * num, dtype=torch.float64).reshape(num, 6))
    K = OTHER.K.repeat(num, 1, 1)
    K[:, 0, 0] = torch.linspace(30, 45, num, dtype=torch.float64)
    cameras, z_a = PinholeCamera(K, 40, 44), torch.stack([rough(CAMERA, n) for n in range(num)])
    many = torch.stack([rough(OTHER, n) for n in range(num)])
    for z_b in (many, many[:1], many[0]):
        whole = z_residual(z_a, CAMERA, poses, z_b, cameras)
        for n in range(num):
            own = z_b if z_b.ndim == 2 else z_b[n % len(z_b)]
            assert torch.equal(
                whole[n].nan_to_num(9), z_residual(z_a[n], CAMERA, poses[n], own, cameras[n]).nan_to_num(9)
            )
    square = z_residual(
        z_a.reshape(2, 3, 36, 48), CAMERA, SE3(poses.R.reshape(2, 3, 3, 3), poses.t.reshape(2, 3, 3)), many[0], OTHER
    )
    assert torch.equal(
        square.reshape(num, 36, 48).nan_to_num(9), z_residual(z_a, CAMERA, poses, many[0], OTHER).nan_to_num(9)
    )
    assert z_residual(z_a[:0], CAMERA, MOTION, many[0], OTHER).shape == (0, 36, 48)


def test_gradients_are_those_of_finite_differences_and_0_where_nothing_is_known() -> None:
    small = PinholeCamera.from_hfov(math.radians(60), 6, 5)
    z_a, z_b = rough(small), rough(OTHER)
    z_a[1, 1] = math.nan
    z_b[20:24] = math.nan

    def off(z_a: torch.Tensor, z_b: torch.Tensor, xi: torch.Tensor) -> torch.Tensor:
        return z_residual(z_a, small, MOTION @ SE3.exp(xi), z_b, OTHER).nan_to_num(0)

    free = (z_a.nan_to_num(2), z_b.nan_to_num(2), torch.zeros(6, dtype=torch.float64))
    assert torch.autograd.gradcheck(off, tuple(x.clone().requires_grad_() for x in free), atol=1e-6)
    leaves = tuple(x.clone().requires_grad_() for x in (z_a, z_b, free[2]))
    off(*leaves).sum().backward()
    for x in leaves:
        assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()
    assert leaves[0].grad is not None and not leaves[0].grad[1, 1]


def test_bad_input_is_refused_with_the_reason() -> None:
    z_a, z_b = rough(CAMERA), rough(OTHER)
    good: dict[str, Any] = {"z_depth_a": z_a, "camera_a": CAMERA, "T_b_a": MOTION, "z_depth_b": z_b, "camera_b": OTHER}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"z_depth_a": z_a[:-1]}, "size of camera_a"),
        ({"z_depth_b": z_a}, "size of camera_b"),
        ({"z_depth_a": z_a * 0}, "is 0 used for unknown"),
        ({"z_depth_b": z_b * 0}, "is 0 used for unknown"),
        ({"T_b_a": SE3.identity(3)}, "expand the depth"),
        ({"z_depth_b": z_b.expand(3, -1, -1)}, "z_depth_b of batch .* expand the depth"),
        ({"z_near": 0.0}, "z_near must be > 0"),
    ]
    assert z_residual(**good).isfinite().any()
    for change, reason in bad:
        with pytest.raises(ValueError, match=reason):
            z_residual(**good | change)
