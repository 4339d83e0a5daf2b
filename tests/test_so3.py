from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from geom import so3

PI = math.pi
ANGLES = [
    0.0,
    1e-300,
    1e-9,
    1e-7,
    1e-3,
    0.2,
    0.2001,
    0.4999,
    0.5,
    0.5001,
    1.0,
    2.0,
    3.0,
    PI - 1e-3,
    PI - 1e-7,
    PI,
]


def axis_angle(angle: float, seed: int = 0) -> torch.Tensor:
    axis = torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return axis / axis.norm() * angle


@st.composite
def rotvecs(draw: st.DrawFn) -> torch.Tensor:
    """Uniform, exactly 0, near 0 and near pi."""
    axis = torch.tensor(draw(st.tuples(*[st.floats(-1, 1)] * 3)), dtype=torch.float64)
    axis = axis / axis.norm() if axis.norm() > 1e-3 else torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    near_zero, near_pi = st.floats(1e-8, 1e-6), st.floats(1e-9, 1e-6).map(lambda gap: PI - gap)
    return axis * draw(st.one_of(st.just(0.0), near_zero, st.floats(0, 3.1), near_pi))


@given(rotvecs())
def test_exp_is_a_rotation_and_log_undoes_it(rotvec):
    R = so3.exp(rotvec)
    torch.testing.assert_close(R.mT @ R, torch.eye(3, dtype=R.dtype), rtol=0, atol=1e-14)
    assert torch.linalg.det(R).item() == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close(so3.log(R), rotvec, rtol=0, atol=1e-13)


@pytest.mark.parametrize("angle", ANGLES)
def test_exp_and_quaternion_agree_with_scipy(angle):
    for seed in range(8):
        rotvec = axis_angle(angle, seed)
        peer = Rotation.from_rotvec(rotvec.numpy())
        np.testing.assert_allclose(so3.exp(rotvec), peer.as_matrix(), rtol=0, atol=1e-14)
        R = torch.as_tensor(peer.as_matrix())
        q_wxyz = so3.to_quaternion_wxyz(R).numpy()
        np.testing.assert_allclose(Rotation.from_quat(q_wxyz, scalar_first=True).as_matrix(), R, rtol=0, atol=1e-14)
        assert q_wxyz[0] >= 0
        np.testing.assert_allclose(so3.from_quaternion_wxyz(torch.as_tensor(q_wxyz) * 3), R, rtol=0, atol=1e-14)


@pytest.mark.parametrize("angle", ANGLES)
def test_log_agrees_with_scipy_and_is_exact_near_pi(angle):
    for seed in range(8):
        peer = Rotation.from_rotvec(axis_angle(angle, seed).numpy())
        R = torch.as_tensor(peer.as_matrix())
        rotvec = so3.log(R)
        assert rotvec.norm().item() == pytest.approx(angle, abs=1e-14)
        torch.testing.assert_close(so3.exp(rotvec), R, rtol=0, atol=1e-14)
        if angle < PI:
            np.testing.assert_allclose(rotvec, peer.as_rotvec(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, -0.8, 0), (-0.6, 0, 0.8), (0, 0.6, 0.8)])
def test_half_turns_have_the_axis_up_to_sign(axis):
    # R = 2 a a^T - I turns half way about the unit axis a.
    axis = torch.tensor(axis, dtype=torch.float64)
    R = 2 * torch.outer(axis, axis) - torch.eye(3, dtype=torch.float64)
    rotvec = so3.log(R)
    torch.testing.assert_close((rotvec @ axis).abs(), torch.tensor(PI, dtype=torch.float64), rtol=0, atol=1e-14)
    assert so3.angle(R).item() == pytest.approx(PI, abs=1e-14)


def test_hat_is_the_cross_product():
    a, b = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close((so3.hat(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))


def test_left_jacobian_is_the_mean_of_the_rotations_on_the_way():
    # V(w) is the integral of exp(s w) for s from 0 to 1; Gauss-Legendre with 20 nodes is exact to rounding.
    nodes, weights = np.polynomial.legendre.leggauss(20)
    for angle in ANGLES:
        rotvec = axis_angle(angle)
        on_the_way = so3.exp(rotvec * torch.as_tensor((nodes + 1) / 2)[:, None])
        mean = (torch.as_tensor(weights / 2)[:, None, None] * on_the_way).sum(0)
        torch.testing.assert_close(so3.left_jacobian(rotvec), mean, rtol=0, atol=1e-14)


@pytest.mark.parametrize("angle", ANGLES)
def test_left_jacobian_inverse_is_the_inverse(angle):
    V, V_inverse = so3.left_jacobian(axis_angle(angle)), so3.left_jacobian_inverse(axis_angle(angle))
    torch.testing.assert_close(V @ V_inverse, torch.eye(3, dtype=V.dtype), rtol=0, atol=1e-14)


def test_series_and_closed_forms_meet_without_a_step():
    # Both sides of each threshold differ by 1e-9 in angle, so by no more than about 1e-9 in value.
    for threshold in (0.5, 2 * math.asin(0.1)):
        below, above = axis_angle(threshold - 5e-10), axis_angle(threshold + 5e-10)
        for function in (
            so3.exp,
            so3.left_jacobian,
            so3.left_jacobian_inverse,
            lambda w: so3.log(so3.exp(w)),
        ):
            assert (function(below) - function(above)).abs().max() < 1.1e-9


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 1.0, 3.0, PI - 1e-2])
@pytest.mark.parametrize("function", [so3.exp, so3.left_jacobian, so3.left_jacobian_inverse])
def test_gradients_of_exp_and_jacobians(function, angle):
    assert torch.autograd.gradcheck(function, axis_angle(angle).requires_grad_())


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.1, 0.3, 1.0, 3.0, PI - 1e-2])
def test_gradients_of_log(angle):
    R = so3.exp(axis_angle(angle)).requires_grad_()
    assert torch.autograd.gradcheck(so3.log, R)
    assert torch.autograd.gradcheck(so3.to_quaternion_wxyz, R)


@pytest.mark.parametrize("angle", [0.0, 1e-12, PI - 1e-12, PI])
def test_gradients_stay_finite_at_singular_points(angle):
    for function in (so3.log, so3.angle):
        R = so3.exp(axis_angle(angle)).requires_grad_()
        (gradient,) = torch.autograd.grad(function(R).sum(), R)
        assert gradient.isfinite().all()


def test_one_singular_rotation_does_not_poison_the_gradient_of_its_neighbours():
    rotvecs = torch.stack([axis_angle(0.0), axis_angle(1.0)]).requires_grad_()
    (together,) = torch.autograd.grad(so3.exp(rotvecs).sum(), rotvecs)
    alone = axis_angle(1.0).requires_grad_()
    torch.testing.assert_close(together[1], torch.autograd.grad(so3.exp(alone).sum(), alone)[0])


def test_yaw_right_swings_forward_to_the_right(dtype, device):
    # cos 30 = 0.8660254, sin 30 = 0.5: forward (0, 0, 1) gains +x; down (0, 1, 0) stays.
    R = so3.yaw_right(torch.tensor(PI / 6, dtype=dtype, device=device))
    half = torch.tensor([0.5, 0, 0.8660254037844386], dtype=dtype, device=device)
    torch.testing.assert_close(R[:, 2], half)
    torch.testing.assert_close(R[:, 1], half.new_tensor([0, 1, 0]))
    torch.testing.assert_close(R, so3.exp(half.new_tensor([0, PI / 6, 0])))
    assert (R.dtype, R.device.type) == (dtype, device.type)


def test_yaw_right_of_a_number_is_float64_and_of_a_batch_is_a_batch():
    assert so3.yaw_right(0.1).dtype == torch.float64
    assert so3.yaw_right(torch.zeros(2, 4)).shape == (2, 4, 3, 3)


def test_batches_agree_with_a_loop(dtype, device, tolerance):
    rotvecs = torch.stack([axis_angle(a, i) for i, a in enumerate(ANGLES)]).to(device, dtype).unflatten(0, (4, 4))
    for function in (so3.exp, so3.left_jacobian, so3.left_jacobian_inverse, lambda w: so3.angle(so3.exp(w))):
        loop = torch.stack([torch.stack([function(w) for w in row]) for row in rotvecs])
        torch.testing.assert_close(function(rotvecs), loop, rtol=0, atol=tolerance)


def test_float32_keeps_its_digits(tolerance, dtype):
    for angle in ANGLES[:-2]:  # the last two round to pi, where the sign of the axis is free
        rotvec = axis_angle(angle).to(dtype)
        torch.testing.assert_close(so3.log(so3.exp(rotvec)), rotvec, rtol=0, atol=tolerance)


ROTATION = torch.eye(3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("R", "message"),
    [
        (ROTATION * math.nan, "must be finite"),
        (ROTATION * math.inf, "must be finite"),
        (ROTATION * 2, "orthonormal within 1e-06.*scale"),
        (torch.diag(torch.tensor([1.0, 1, -1])), "reflected"),
        (torch.stack([ROTATION, -ROTATION]), "reflected"),
    ],
)
def test_what_is_no_rotation_is_refused(R, message):
    with pytest.raises(ValueError, match=message):
        so3.check_rotation(R)


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_the_tolerance_depends_on_the_type_and_can_be_given(dtype, limit):
    # One column scaled by 1 + e makes R^T R - I = 2 e + e^2 there.
    def scaled(error: float) -> torch.Tensor:
        return torch.diag(torch.tensor([1, 1, math.sqrt(1 + error)], dtype=dtype))

    so3.check_rotation(scaled(0.9 * limit))
    with pytest.raises(ValueError, match="orthonormal"):
        so3.check_rotation(scaled(1.1 * limit))
    so3.check_rotation(scaled(1.1 * limit), tolerance=2 * limit)


def test_an_error_of_just_the_tolerance_is_accepted():
    # (2 I)^T (2 I) - I = 3 I, exactly.
    so3.check_rotation(2 * ROTATION, tolerance=3.0)
    with pytest.raises(ValueError, match="orthonormal"):
        so3.check_rotation(2 * ROTATION, tolerance=2.999)


def test_an_empty_batch_is_no_error():
    so3.check_rotation(torch.zeros(0, 3, 3))
    assert so3.log(torch.zeros(0, 3, 3)).shape == (0, 3)


@given(seed=st.integers(0, 10_000), size=st.floats(0, 0.05))
def test_nearest_is_a_rotation_no_further_than_the_one_that_was_meant(seed: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    R = so3.exp(torch.randn(3, generator=generator, dtype=torch.float64))
    noisy = R + size * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    found = so3.nearest(noisy)
    so3.check_rotation(found)
    assert float((found - noisy).norm()) <= float((R - noisy).norm()) + 1e-12
    assert float((so3.nearest(R) - R).abs().max()) < 1e-14
