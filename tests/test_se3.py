from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import RigidTransform, Rotation, Slerp

from geom import SE3, so3

PI = math.pi
SINGULAR_ANGLES = [0.0, 1e-7, PI - 1e-7, PI]


def tangent(angle: float, seed: int = 0) -> torch.Tensor:
    xi = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.cat([3 * xi[:3], xi[3:] / xi[3:].norm() * angle])


def random_transforms(*batch: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> SE3:
    generator = torch.Generator().manual_seed(seed)
    return SE3.exp(torch.randn(*batch, 6, dtype=torch.float64, generator=generator)).to(dtype)


def assert_same(T: SE3, expected: SE3, atol: float = 1e-12) -> None:
    torch.testing.assert_close(T.matrix(), expected.matrix(), rtol=0, atol=atol)


@st.composite
def tangents(draw: st.DrawFn) -> torch.Tensor:
    """Uniform, exactly 0, near 0 and near pi."""
    axis = torch.tensor(draw(st.tuples(*[st.floats(-1, 1)] * 3)), dtype=torch.float64)
    axis = axis / axis.norm() if axis.norm() > 1e-3 else torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    near_zero, near_pi = st.floats(1e-8, 1e-6), st.floats(1e-9, 1e-6).map(lambda gap: PI - gap)
    angle = draw(st.one_of(st.just(0.0), near_zero, st.floats(0, 3.1), near_pi))
    length = st.one_of(st.just(0.0), st.floats(-1e-7, 1e-7), st.floats(-10, 10))
    translation = torch.tensor(draw(st.tuples(length, length, length)), dtype=torch.float64)
    return torch.cat([translation, axis * angle])


@given(tangents(), tangents())
def test_closure(xi_a_b, xi_b_c):
    T_a_b, T_b_c = (SE3.exp(xi) for xi in (xi_a_b, xi_b_c))
    so3.check_rotation((T_a_b @ T_b_c).R, tolerance=1e-14)
    assert (T_a_b @ T_b_c).matrix()[3].tolist() == [0, 0, 0, 1]
    product = T_a_b.matrix() @ T_b_c.matrix()
    torch.testing.assert_close((T_a_b @ T_b_c).matrix(), product, rtol=0, atol=1e-12)


@given(tangents())
def test_identity_and_inverse(xi):
    T = SE3.exp(xi)
    assert_same(SE3.identity() @ T, T, 0)
    assert_same(T @ SE3.identity(), T, 0)
    assert_same(T @ T.inverse(), SE3.identity())
    assert_same(T.inverse() @ T, SE3.identity())


@given(tangents(), tangents(), tangents())
def test_associativity(xi_a_b, xi_b_c, xi_c_d):
    T_a_b, T_b_c, T_c_d = (SE3.exp(xi) for xi in (xi_a_b, xi_b_c, xi_c_d))
    assert_same((T_a_b @ T_b_c) @ T_c_d, T_a_b @ (T_b_c @ T_c_d))


@given(tangents())
def test_exp_undoes_log(xi):
    T = SE3.exp(xi)
    assert_same(SE3.exp(T.log()), T)


@given(tangents(), tangents())
def test_acting_twice_is_acting_with_the_product(xi_a_b, xi_b_c):
    T_a_b, T_b_c = (SE3.exp(xi) for xi in (xi_a_b, xi_b_c))
    p_c = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64)
    product = T_a_b @ T_b_c
    torch.testing.assert_close(product.act(p_c), T_a_b.act(T_b_c.act(p_c)), rtol=0, atol=1e-12)
    torch.testing.assert_close(product.rotate(p_c), T_a_b.rotate(T_b_c.rotate(p_c)), rtol=0, atol=1e-12)


@given(tangents(), tangents())
def test_interpolation_ends_at_both_and_runs_backwards_alike(xi_first, xi_second):
    first, second = (SE3.exp(xi) for xi in (xi_first, xi_second))
    assert_same(first.interpolate(second, 0.0), first)
    assert_same(first.interpolate(second, 1.0), second, 1e-11)
    if first.distance(second)[0] < 3.14:
        assert_same(first.interpolate(second, 0.3), second.interpolate(first, 0.7), 1e-9)


@given(tangents(), tangents(), tangents())
def test_distance_is_a_metric(xi_a, xi_b, xi_c):
    a, b, c = (SE3.exp(xi) for xi in (xi_a, xi_b, xi_c))
    ab, ba, bc, ac, aa = (torch.stack(one.distance(other)) for one, other in ((a, b), (b, a), (b, c), (a, c), (a, a)))
    torch.testing.assert_close(ab, ba, rtol=0, atol=1e-13)
    assert (ab >= 0).all() and (aa < 1e-15).all()
    assert (ac <= ab + bc + 1e-13).all()


def test_distance_of_a_hand_worked_pair():
    # A quarter turn, and a 3-4-5 triangle.
    far = SE3.from_translation(torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)) @ SE3.yaw_right(PI / 2)
    angle, length = SE3.identity().distance(far)
    assert angle.item() == pytest.approx(PI / 2, abs=1e-15) and length.item() == pytest.approx(5, abs=1e-15)


def test_transforms_follow_the_hand_worked_turn_and_step():
    # Turn right by 90 degrees, then one step forward: the new forward is the old right, so we stand at x = 1,
    # and what was straight ahead at z = 1 is now to the left (-x) and one metre behind.
    step = SE3.from_translation(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    T_before_after = SE3.yaw_right(PI / 2) @ step
    torch.testing.assert_close(T_before_after.t, torch.tensor([1.0, 0, 0], dtype=torch.float64))
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    expected = torch.tensor([-1.0, 0.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(T_before_after.inverse().act(ahead), expected)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-7, 1e-3, 0.3, 0.5, 1.0, 2.0, 3.0, PI - 1e-3, PI - 1e-7, PI])
def test_exp_agrees_with_the_matrix_exponential_and_scipy(angle):
    for seed in range(5):
        xi = tangent(angle, seed)
        generator = torch.zeros(4, 4, dtype=torch.float64)
        generator[:3, :3], generator[:3, 3] = so3.hat(xi[3:]), xi[:3]
        scale = max(1.0, xi.norm().item())
        np.testing.assert_allclose(SE3.exp(xi).matrix(), expm(generator.numpy()), rtol=0, atol=1e-12 * scale)
        peer = RigidTransform.from_exp_coords(xi.roll(3).numpy())
        np.testing.assert_allclose(SE3.exp(xi).matrix(), peer.as_matrix(), rtol=0, atol=1e-12 * scale)
        again = SE3.exp(SE3.from_matrix(torch.as_tensor(peer.as_matrix())).log()).matrix()
        np.testing.assert_allclose(again, peer.as_matrix(), rtol=0, atol=1e-12 * scale)
        if angle < 3.14:
            np.testing.assert_allclose(SE3.exp(xi).log(), xi, rtol=0, atol=1e-12 * scale)


def test_algebra_agrees_with_scipy():
    first, second = random_transforms(20, seed=1), random_transforms(20, seed=2)
    peers = [RigidTransform.from_matrix(T.matrix().numpy()) for T in (first, second)]
    np.testing.assert_allclose((first @ second).matrix(), (peers[0] * peers[1]).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(first.inverse().matrix(), peers[0].inv().as_matrix(), atol=1e-12)
    np.testing.assert_allclose(first.log(), np.roll(peers[0].as_exp_coords(), 3, -1), atol=1e-12)
    points = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    np.testing.assert_allclose(first.act(points), peers[0].apply(points.numpy()), atol=1e-12)


def test_interpolation_turns_as_slerp_and_moves_as_a_screw():
    first, second = random_transforms(seed=4), random_transforms(seed=5)
    shares = torch.linspace(0, 1, 7, dtype=torch.float64)
    between = first.interpolate(second, shares)
    slerp = Slerp([0, 1], Rotation.from_matrix(torch.stack([first.R, second.R]).numpy()))
    np.testing.assert_allclose(between.R, slerp(shares.numpy()).as_matrix(), atol=1e-12)
    # Constant speed: every step is the same motion.
    steps = between[:-1].inverse() @ between[1:]
    assert_same(steps, steps[:1][torch.zeros(6, dtype=torch.long)])


def test_interpolation_of_a_quarter_turn_follows_the_circle():
    # Facing +z at the origin to facing +x at (1, 0, 1): the screw is the circle of radius 1 about (1, 0, 0).
    end = SE3(so3.yaw_right(PI / 2), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))
    half = SE3.identity().interpolate(end, 0.5)
    expected = SE3(so3.yaw_right(PI / 4), torch.tensor([1 - 0.5**0.5, 0, 0.5**0.5], dtype=torch.float64))
    assert_same(half, expected)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 1.0, 3.0])
def test_gradients_of_exp_log_and_their_product(angle):
    xi = tangent(angle).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: SE3.exp(x).matrix(), xi)
    jacobian = torch.autograd.functional.jacobian(lambda x: SE3.exp(x).log(), xi)
    torch.testing.assert_close(jacobian, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-8)


def test_the_tangent_perturbs_on_the_right():
    # d/d xi of (T exp(xi)).t at 0 is R for the translation part: it moves along the transform's own axes.
    T = random_transforms(seed=6)
    zero = torch.zeros(6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda xi: (T @ SE3.exp(xi)).t, zero)
    torch.testing.assert_close(jacobian, torch.cat([T.R, torch.zeros_like(T.R)], -1))


@pytest.mark.parametrize("angle", SINGULAR_ANGLES)
def test_gradients_stay_finite_at_singular_points(angle):
    xi = tangent(angle).requires_grad_()
    turn, length = SE3.identity().distance(SE3.exp(xi))
    halfway = SE3.identity().interpolate(SE3.exp(xi), 0.5).matrix().sum()
    for value in (SE3.exp(xi).log().sum(), halfway, turn, length):
        assert torch.autograd.grad(value, xi, retain_graph=True)[0].isfinite().all()


def test_distance_to_itself_has_a_finite_gradient():
    xi = tangent(1.0).requires_grad_()
    turn, length = SE3.exp(xi).distance(SE3.exp(xi.detach()))
    assert torch.autograd.grad(turn + length, xi)[0].isfinite().all()


def test_batches_agree_with_a_loop(dtype, device, tolerance):
    first = random_transforms(4, 3, seed=7, dtype=dtype).to(device)
    second = random_transforms(3, seed=8, dtype=dtype).to(device)
    points = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(9)).to(device, dtype)
    for i in range(4):
        for j in range(3):
            one, other = first[i, j], second[j]
            assert_same((first @ second)[i, j], one @ other, tolerance)
            assert_same(first.inverse()[i, j], one.inverse(), tolerance)
            assert_same(first.interpolate(second, 0.4)[i, j], one.interpolate(other, 0.4), 10 * tolerance)
            torch.testing.assert_close(first.act(points)[i, j], one.act(points[i, j]), rtol=0, atol=tolerance)
            torch.testing.assert_close(first.log()[i, j], one.log(), rtol=0, atol=tolerance)
            torch.testing.assert_close(first.distance(second)[0][i, j], one.distance(other)[0], rtol=0, atol=tolerance)


def test_float32_agrees_with_float64():
    T, T_single = random_transforms(50, seed=10), random_transforms(50, seed=10).to(torch.float32)
    single = (T_single @ T_single.inverse() @ SE3.exp(T_single.log())).matrix()
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), T.matrix(), rtol=0, atol=1e-5)


def test_one_transform_acts_on_many_points_and_many_on_their_own():
    T = random_transforms(4, seed=11)
    points = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(12))
    assert T[0].act(points).shape == (4, 5, 3)
    torch.testing.assert_close(T[:, None].act(points)[2, 3], T[2].act(points[2, 3]))


def test_fields_broadcast_and_index_like_a_tensor():
    T = SE3(torch.eye(3).expand(2, 1, 3, 3), torch.arange(12.0).reshape(4, 3))
    assert T.shape == (2, 4) and T.R.shape == (2, 4, 3, 3)
    assert T[1, 2].t.tolist() == [6, 7, 8]
    assert T[:, T.t[0, :, 0] > 3].shape == (2, 2)
    assert T[..., None].shape == (2, 4, 1) and T[-1].shape == (4,)
    with pytest.raises(IndexError):
        T[0, 0, 0]


def test_stack_and_matrix_round_trip():
    parts = [random_transforms(3, seed=seed) for seed in (13, 14)]
    stacked = SE3.stack(parts)
    assert stacked.shape == (2, 3) and SE3.stack(parts, 1).shape == (3, 2)
    assert_same(stacked[1], parts[1], 0)
    assert_same(SE3.stack(parts, 1)[2, 1], parts[1][2], 0)
    assert_same(SE3.from_matrix(stacked.matrix()), stacked, 0)


def test_constructors_take_type_device_and_batch(dtype, device):
    T = SE3.identity(2, 3, dtype=dtype, device=device)
    assert (T.shape, T.dtype, T.device.type) == ((2, 3), dtype, device.type)
    assert_same(T, SE3.exp(torch.zeros(2, 3, 6, dtype=dtype, device=device)), 0)
    assert SE3.yaw_right(torch.zeros(5, dtype=dtype, device=device)).shape == (5,)
    assert SE3.from_translation(torch.ones(4, 3, dtype=dtype, device=device)).dtype == dtype


def test_transforms_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SE3.identity().t = torch.zeros(3)  # pyright: ignore[reportAttributeAccessIssue]


def changed(row: int, column: int, value: float) -> torch.Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[row, column] = value
    return matrix


# The shape hook of the test run answers first unless it is taken off: this is what users see.
from_matrix = inspect.unwrap(SE3.from_matrix)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.eye(3), r"shape \(..., 4, 4\), got \(3, 3\)"),
        (torch.zeros(4), r"shape \(..., 4, 4\), got \(4,\)"),
        (changed(0, 3, math.nan), "must be finite"),
        (changed(1, 1, math.inf), "must be finite"),
        (changed(3, 0, 2.0), r"last row must be \(0, 0, 0, 1\), got \[2.0, 0.0, 0.0, 1.0\]; .*transposed\?"),
        (changed(3, 3, -1.0), "last row"),
        (torch.stack([torch.eye(4), 2 * torch.eye(4)]), "last row"),
        (changed(0, 0, 1.001), "orthonormal"),
        (changed(2, 2, -1.0), "reflected"),
    ],
)
def test_what_is_no_rigid_matrix_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        from_matrix(matrix)


def test_from_matrix_passes_its_tolerance_on():
    assert SE3.from_matrix(changed(0, 0, 1.001), tolerance=1e-2).R[0, 0] == 1.001


@pytest.mark.parametrize(
    ("R", "t", "message"),
    [
        (torch.eye(4), torch.zeros(3), r"R must have shape \(..., 3, 3\), got \(4, 4\)"),
        (torch.eye(3), torch.zeros(4), r"t must have shape \(..., 3\), got \(4,\); is it homogeneous\?"),
        (torch.eye(3), torch.zeros(3, dtype=torch.float64), "share dtype and device"),
        (torch.eye(3), torch.zeros(3, device="meta"), "share dtype and device"),
    ],
)
def test_fields_that_do_not_fit_are_refused(R, t, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(SE3.__init__)(object.__new__(SE3), R, t)


def test_homogeneous_points_are_refused():
    with pytest.raises(ValueError, match=r"shape \(..., 3\), got \(4,\); are they homogeneous\?"):
        inspect.unwrap(SE3.rotate)(SE3.identity(), torch.ones(4, dtype=torch.float64))
