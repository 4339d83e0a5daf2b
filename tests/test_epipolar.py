"""Epipolar lines and distances against projected points, lines drawn through them, OpenCV and kornia; at epipoles."""

from __future__ import annotations

import inspect
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from kornia.geometry import epipolar as kornia_epipolar

from geom import SE3, PinholeCamera, homography, so3
from geom.epipolar import epipolar_distance, epipolar_lines, essential, fundamental, transfer_distance

A = PinholeCamera.from_hfov(math.radians(70), 640, 480)
B = PinholeCamera.from_hfov(math.radians(55), 400, 440).crop(15.5, -20.0, 400, 440)
MOTION = SE3.exp(torch.tensor([0.4, -0.2, 0.3, 0.1, -0.3, 0.05], dtype=torch.float64))
TURN = SE3(MOTION.R, torch.zeros(3, dtype=torch.float64))
FORWARD = SE3.from_translation(torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))
SIDEWAYS = SE3.from_translation(torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64))
HALF = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)


@st.composite
def motions(draw: st.DrawFn) -> torch.Tensor:
    """Short and long ones in any direction, turned by up to a radian about each axis: translation and rotation."""
    direction = torch.tensor(draw(st.tuples(*[st.floats(-1, 1)] * 3)), dtype=torch.float64)
    assume(direction.norm() > 0.1)
    length = draw(st.sampled_from([1e-3, 0.3, 20.0]))
    turn = torch.tensor(draw(st.tuples(*[st.floats(-1, 1)] * 3)), dtype=torch.float64)
    return torch.cat([direction / direction.norm() * length, turn])


def pose(motion: torch.Tensor) -> SE3:
    return SE3(so3.exp(motion[3:]), motion[:3])


def matches(T_b_a: SE3, n: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels, anywhere in the plane, of points in front of both cameras; few where they look apart."""
    generator = torch.Generator().manual_seed(seed)
    p_a = torch.rand(n, 3, generator=generator, dtype=torch.float64) * torch.tensor([8.0, 6, 10]) + torch.tensor(
        [-4.0, -3, 0.5]
    )
    (uv_a, seen_a), (uv_b, seen_b) = A.project(p_a), B.project(T_b_a.act(p_a), z_near=0.1)
    return uv_a[seen_a & seen_b], uv_b[seen_a & seen_b]


def epipole_in_a(T_b_a: SE3) -> torch.Tensor:
    center_b = T_b_a.inverse().t
    return A.project(center_b / center_b.norm())[0]


@given(motions(), st.integers(0, 9))
def test_pixels_of_one_point_meet_the_constraint(motion: torch.Tensor, seed: int) -> None:
    T = pose(motion)
    uv_a, uv_b = matches(T, seed=seed)
    F = fundamental(A, T, B)
    x_a, x_b = (torch.cat([uv, torch.ones_like(uv[:, :1])], -1) for uv in (uv_a, uv_b))
    terms = x_b[:, :, None] * F * x_a[:, None, :]
    assert (terms.sum((1, 2)).abs() <= 1e-12 * terms.abs().sum((1, 2))).all()
    d_a, d_b = A.rays(uv_a), B.rays(uv_b)
    assert (torch.einsum("ni,ij,nj->n", d_b, essential(T), d_a).abs() <= 1e-9 * d_a.norm(dim=1) * d_b.norm(dim=1)).all()


def test_true_matches_are_at_distance_0() -> None:
    for T in (MOTION, SIDEWAYS, FORWARD):
        uv_a, uv_b = matches(T, 400)
        assert len(uv_a) > 100
        assert float(epipolar_distance(uv_a, uv_b, fundamental(A, T, B)).max()) < 1e-9


def test_it_is_the_mean_distance_from_lines_drawn_through_two_points() -> None:
    """The line of a pixel, drawn through what two points on its ray look like from the other camera."""
    uv_a, uv_b = matches(MOTION)
    uv_b = uv_b + torch.tensor([3.0, -2.0])
    halves = []
    for uv, other, here, there, T in ((uv_a, uv_b, A, B, MOTION), (uv_b, uv_a, B, A, MOTION.inverse())):
        near, far = (there.project(T.act(here.rays(uv) * z))[0] for z in (3.0, 9.0))
        along, off = far - near, other - near
        halves.append((along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]).abs() / along.norm(dim=1))
    got = epipolar_distance(uv_a, uv_b, fundamental(A, MOTION, B))
    assert torch.allclose(got, (halves[0] + halves[1]) / 2, atol=1e-9) and float(got.max()) > 1


@given(motions())
def test_swapping_the_roles_transposes(motion: torch.Tensor) -> None:
    T = pose(motion)
    F, swapped = fundamental(A, T, B), fundamental(B, T.inverse(), A)
    torch.testing.assert_close(swapped, F.mT, rtol=0, atol=1e-12 * float(F.abs().max()))
    uv_a, uv_b = matches(T)
    uv_b = uv_b + 4
    assert torch.equal(epipolar_distance(uv_a, uv_b, F), epipolar_distance(uv_b, uv_a, F.mT))


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_a_shift_counts_by_what_it_goes_across_the_line(across: float, along: float) -> None:
    uv_a, uv_b = matches(MOTION)
    line = epipolar_lines(uv_a, fundamental(A, MOTION, B))
    normal = line[:, :2]
    torch.testing.assert_close(normal.norm(dim=1), torch.ones(len(uv_a), dtype=torch.float64))
    shifted = uv_b + across * normal + along * torch.stack([-normal[:, 1], normal[:, 0]], 1)
    signed = (normal * shifted).sum(1) + line[:, 2]
    torch.testing.assert_close(signed, torch.full_like(signed, across), rtol=0, atol=1e-9)
    # Alike cameras side by side see rows on rows, so that both halves are the shift.
    rows = fundamental(A, SIDEWAYS, A)
    moved = uv_a + torch.tensor([along, across], dtype=torch.float64)
    got = epipolar_distance(uv_a, moved, rows)
    torch.testing.assert_close(got, torch.full_like(got, abs(across)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("factor", [1e-6, -3.0, 1e9])
def test_neither_the_scale_of_F_nor_how_far_the_camera_went_matters(factor: float) -> None:
    uv_a, uv_b = matches(MOTION)
    want = epipolar_distance(uv_a, uv_b + 3, fundamental(A, MOTION, B))
    stretched = fundamental(A, SE3(MOTION.R, MOTION.t * factor), B)
    for F in (fundamental(A, MOTION, B) * factor, stretched):
        torch.testing.assert_close(epipolar_distance(uv_a, uv_b + 3, F), want, rtol=1e-9, atol=1e-9)


@given(motions())
def test_at_an_epipole_there_is_no_line_and_nothing_is_contradicted(motion: torch.Tensor) -> None:
    T = pose(motion)
    assume(float(T.inverse().t[2]) > 0.1 * float(T.t.norm()))
    F = fundamental(A, T, B)
    at_epipole = epipole_in_a(T)[None]
    anywhere = torch.tensor([[12.0, 300.0]], dtype=torch.float64)
    assert torch.equal(epipolar_lines(at_epipole, F), torch.zeros(1, 3, dtype=torch.float64))
    assert float(epipolar_distance(at_epipole, anywhere, F)) < 1e-7
    # A pixel beside it has a line again, on which the other epipole lies.
    beside = epipolar_lines(at_epipole + 1e-3, F)
    there = T.t / T.t[2]
    uv_there = there[:2] * B.focal + B.principal_point
    assume(abs(float(T.t[2])) > 0.1 * float(T.t.norm()))
    assert abs(float((beside[0, :2] * uv_there).sum() + beside[0, 2])) < 1e-4
    assert float(beside[0, :2].norm()) == pytest.approx(1)


def test_a_line_at_infinity_is_infinitely_far() -> None:
    # The plane of both centres and this pixel is parallel to picture b.
    T = SE3(so3.yaw_right(math.pi / 2), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    F = fundamental(A, T, B)
    uv = A.principal_point[None]
    assert epipolar_lines(uv, F).tolist() == [[0.0, 0.0, math.inf]]
    assert epipolar_distance(uv, uv, F).tolist() == [math.inf]


def test_a_turn_takes_matches_onto_each_other() -> None:
    uv_a, uv_b = matches(TURN, 400)
    H = homography(A, TURN, B)
    assert len(uv_a) > 100 and float(transfer_distance(uv_a, uv_b, H).max()) < 1e-9
    shift = torch.tensor([3.0, -4.0], dtype=torch.float64)
    same = homography(A, SE3.identity(), A)
    got = transfer_distance(uv_a, uv_a + shift, same)
    torch.testing.assert_close(got, torch.full_like(got, 5.0), rtol=0, atol=1e-9)
    # Both halves, one by one.
    back = homography(B, TURN.inverse(), A)
    halves = []
    for uv, other, matrix in ((uv_a, uv_b + shift, H), (uv_b + shift, uv_a, back)):
        landed = cv2.perspectiveTransform(uv[:, None].numpy(), matrix.numpy())[:, 0]
        halves.append(np.linalg.norm(landed - other.numpy(), axis=1))
    np.testing.assert_allclose(transfer_distance(uv_a, uv_b + shift, H), (halves[0] + halves[1]) / 2, atol=1e-8)
    # Parallax is an error to it.
    assert float(transfer_distance(*matches(MOTION), H).median()) > 5


def test_behind_the_other_camera_there_is_no_image() -> None:
    H = homography(A, SE3.yaw_right(math.radians(130)), A)
    uv = torch.tensor([[600.0, 240.0], [5.0, 240.0]], dtype=torch.float64)
    assert transfer_distance(uv, uv.flip(0), H).isnan().all()
    H = homography(A, SE3.yaw_right(math.radians(-60)), A)
    uv_a = torch.tensor([[639.0, 240.0], [1.0, 240.0]], dtype=torch.float64)
    uv_b = torch.tensor([[100.0, 240.0], [100.0, 240.0]], dtype=torch.float64)
    assert transfer_distance(uv_a, uv_b, H).isnan().tolist() == [False, True]


def test_opencv_draws_the_same_lines_and_counts_pixels_from_0() -> None:
    generator = torch.Generator().manual_seed(0)
    p_a = torch.rand(30, 3, generator=generator, dtype=torch.float64) + torch.tensor([-0.5, -0.5, 2.0])
    K_a, K_b = (torch.linalg.inv(HALF) @ camera.K for camera in (A, B))
    rotvec = so3.log(MOTION.R).numpy()
    uv_a = torch.as_tensor(cv2.projectPoints(p_a.numpy(), np.zeros(3), np.zeros(3), K_a.numpy(), None)[0][:, 0])
    uv_b = torch.as_tensor(cv2.projectPoints(p_a.numpy(), rotvec, MOTION.t.numpy(), K_b.numpy(), None)[0][:, 0])
    F = fundamental(A, MOTION, B)
    assert float(epipolar_distance(uv_a + 0.5, uv_b + 0.5, F).max()) < 1e-9
    assert float(epipolar_distance(uv_a, uv_b, F).max()) > 0.05
    F_from_0 = HALF.mT @ F @ HALF
    theirs = torch.as_tensor(cv2.computeCorrespondEpilines(uv_a[:, None].numpy(), 1, F_from_0.numpy())[:, 0])
    ours = epipolar_lines(uv_a + 0.5, F) @ HALF
    signs = (theirs[:, :2] * ours[:, :2]).sum(1).sign()[:, None]
    torch.testing.assert_close(ours * signs, theirs.double(), rtol=1e-5, atol=1e-5)


def test_opencv_recovers_the_same_essential_matrix() -> None:
    uv_a, uv_b = matches(MOTION, 200)
    rays_a, rays_b = (camera.rays(uv)[:, :2].numpy() for camera, uv in ((A, uv_a), (B, uv_b)))
    found, _ = cv2.findEssentialMat(rays_a, rays_b, np.eye(3), threshold=1e-9)
    ours = essential(MOTION) / essential(MOTION).norm()
    theirs = torch.as_tensor(found[:3]) / np.linalg.norm(found[:3])
    assert min(float((ours - theirs).abs().max()), float((ours + theirs).abs().max())) < 1e-6


def test_kornia_and_the_sampson_distance_agree() -> None:
    uv_a, uv_b = matches(MOTION)
    uv_b = uv_b + torch.tensor([1.0, 2.0])
    F = fundamental(A, MOTION, B)
    in_b = (epipolar_lines(uv_a, F)[:, :2] * uv_b).sum(1) + epipolar_lines(uv_a, F)[:, 2]
    in_a = (epipolar_lines(uv_b, F.mT)[:, :2] * uv_a).sum(1) + epipolar_lines(uv_b, F.mT)[:, 2]
    theirs = kornia_epipolar.symmetrical_epipolar_distance(uv_a[None], uv_b[None], F[None])[0]
    torch.testing.assert_close(in_a**2 + in_b**2, theirs, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(epipolar_distance(uv_a, uv_b, F), (in_a.abs() + in_b.abs()) / 2)
    x_a, x_b = (np.append(uv[0].numpy(), 1.0)[:, None] for uv in (uv_a, uv_b))
    sampson = cv2.sampsonDistance(x_a, x_b, F.numpy())
    assert float(1 / (in_a[0] ** -2 + in_b[0] ** -2)) == pytest.approx(sampson, rel=1e-9)


def test_what_is_unknown_stays_unknown_and_spoils_no_gradient() -> None:
    uv_a, uv_b = matches(MOTION)
    uv_a[1, 0], uv_b[2, 1], uv_a[3, 1] = math.nan, math.nan, math.inf
    t = MOTION.t.clone().requires_grad_()
    rotvec = so3.log(MOTION.R).requires_grad_()
    T = SE3(so3.exp(rotvec), t)
    assert epipolar_lines(uv_a, fundamental(A, T, B)).isnan().any(1).nonzero()[:, 0].tolist() == [1, 3]
    by_line, by_point = fundamental(A, T, B), homography(A, T, B)
    for got in (epipolar_distance(uv_a, uv_b, by_line), transfer_distance(uv_a, uv_b, by_point)):
        assert got.isnan().nonzero()[:, 0].tolist() == [1, 2, 3]
        total = got[~got.isnan()].sum()
        assert torch.autograd.grad(total, rotvec, retain_graph=True)[0].isfinite().all()


def test_gradients_are_right_and_finite_at_epipole_infinity_and_distance_0() -> None:
    uv_a, uv_b = matches(MOTION, 12)

    def by_pose(xi: torch.Tensor, uv_a: torch.Tensor, uv_b: torch.Tensor) -> torch.Tensor:
        return epipolar_distance(uv_a, uv_b, fundamental(A, SE3.exp(xi), B))

    def by_turn(rotvec: torch.Tensor, uv_a: torch.Tensor, uv_b: torch.Tensor) -> torch.Tensor:
        return transfer_distance(uv_a, uv_b, homography(A, SE3(so3.exp(rotvec), rotvec.new_zeros(3)), B))

    xi, uv_a, uv_off = (x.detach().requires_grad_() for x in (MOTION.log(), uv_a, uv_b + 3))
    assert torch.autograd.gradcheck(by_pose, (xi, uv_a, uv_off))
    assert torch.autograd.gradcheck(by_turn, (xi[3:].detach().requires_grad_(), uv_a, uv_off))
    infinite = SE3(so3.yaw_right(math.pi / 2), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    center = A.principal_point[None]
    for T, here, there in ((FORWARD, center, center + 9), (infinite, center, center), (MOTION, uv_a, uv_b)):
        xi, here, there = (x.detach().clone().requires_grad_() for x in (T.log(), here, there))
        lines = epipolar_lines(here, fundamental(A, SE3.exp(xi), B))
        total = by_pose(xi, here, there).nan_to_num(posinf=0).sum() + lines.nan_to_num(posinf=0).sum()
        assert all(g.isfinite().all() for g in torch.autograd.grad(total, [xi, here, there]))


def test_gradients_are_finite_where_the_coefficients_are_0_exactly() -> None:
    at_center = torch.zeros(1, 2, dtype=torch.float64)
    ahead = torch.tensor([[0, -1.0, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.float64)
    infinite = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.float64)
    for matrix, want in ((ahead, [[0.0, 0.0, 0.0]]), (infinite, [[0.0, 0.0, math.inf]])):
        F, uv = (x.clone().requires_grad_() for x in (matrix, at_center))
        lines = epipolar_lines(uv, F)
        assert lines.tolist() == want
        total = epipolar_distance(uv, uv + 1, F).sum() + lines.sum()
        assert all(g.isfinite().all() for g in torch.autograd.grad(total, [F, uv]))


def test_batches_broadcast(dtype: torch.dtype) -> None:
    poses = SE3.exp(torch.linspace(-0.4, 0.5, 12, dtype=torch.float64).reshape(2, 6)).to(dtype)
    uv_a, uv_b = (uv.to(dtype) for uv in matches(MOTION, 7))
    F, H = fundamental(A.to(dtype), poses, B.to(dtype)), homography(A.to(dtype), poses, B.to(dtype))
    both, turned = epipolar_distance(uv_a, uv_b, F), transfer_distance(uv_a, uv_b, H)
    assert both.dtype == turned.dtype == dtype and both.shape == turned.shape == (2, len(uv_a))
    for n in range(2):
        torch.testing.assert_close(both[n], epipolar_distance(uv_a, uv_b, F[n]))
        torch.testing.assert_close(turned[n], transfer_distance(uv_a, uv_b, H[n]))


def test_single_precision_is_a_hundredth_of_a_pixel_and_mixes() -> None:
    uv_a, uv_b = matches(MOTION, 200)
    F = fundamental(A.to(torch.float32), MOTION, B)
    assert F.dtype == torch.float64
    exact = epipolar_distance(uv_a, uv_b + 2, F)
    close = epipolar_distance(uv_a.float(), uv_b.float() + 2, F.float())
    assert close.dtype == torch.float32 and float((close - exact).abs().max()) < 0.01
    assert epipolar_distance(uv_a.float(), uv_b, F).dtype == torch.float64


def test_it_runs_on_each_device(device: torch.device) -> None:
    uv_a, uv_b = matches(MOTION)
    F = fundamental(A.to(device), MOTION.to(device), B.to(device))
    got = epipolar_distance(uv_a.to(device), uv_b.to(device), F)
    assert got.device.type == device.type and float(got.max()) < 1e-9


def test_what_has_no_answer_is_refused() -> None:
    uv = torch.ones(3, 2, dtype=torch.float64)
    still = fundamental(A, TURN, B)
    assert torch.equal(still, torch.zeros(3, 3, dtype=torch.float64))
    one_turns = torch.stack([fundamental(A, MOTION, B), still])
    for F in (still, one_turns):
        with pytest.raises(ValueError, match=r"^F must not be 0, got a pair without translation; .*transfer_distance$"):
            epipolar_distance(uv, uv, F)
    with pytest.raises(ValueError, match=r"^F must be finite, got NaN or inf; was a pose that failed left in\?$"):
        epipolar_lines(uv, still * math.nan)
    with pytest.raises(ValueError, match=r"^H must be finite, got NaN or inf; was a pose that failed left in\?$"):
        transfer_distance(uv, uv, still * math.nan)
    with pytest.raises(ValueError, match=r"^H must have an inverse, got a singular matrix; .*fundamental"):
        transfer_distance(uv, uv, still)
    with pytest.raises(
        ValueError, match=r"^pixels must have shape \(..., n, 2\), got \(3, 3\); are they homogeneous\?"
    ):
        inspect.unwrap(epipolar_lines)(torch.ones(3, 3), one_turns[0])
