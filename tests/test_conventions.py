from __future__ import annotations

import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from geom import SE3, PinholeCamera, conventions

PI = math.pi
EXAMPLE = Path(__file__).resolve().parents[2] / "shared" / "golden" / "transforms_gl_example"


def random_transforms(*batch: int, seed: int = 0) -> SE3:
    generator = torch.Generator().manual_seed(seed)
    return SE3.exp(torch.randn(*batch, 6, dtype=torch.float64, generator=generator))


def assert_same(T: SE3, expected: SE3, atol: float = 1e-12) -> None:
    torch.testing.assert_close(T.matrix(), expected.matrix(), rtol=0, atol=atol)


# A camera at (5, 6, 7) of a z-up world that looks along world +y: its right is +x, its down is -z.
LOOKING_NORTH = SE3(
    torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64),
    torch.tensor([5.0, 6, 7], dtype=torch.float64),
)
NORTH_C2W = [[1, 0, 0, 5], [0, 0, 1, 6], [0, -1, 0, 7], [0, 0, 0, 1]]
# OpenGL's up is world +z, its backward is -y: columns two and three change sign.
NORTH_C2W_OPENGL = [[1, 0, 0, 5], [0, 0, -1, 6], [0, 1, 0, 7], [0, 0, 0, 1]]
# t = -R^T (5, 6, 7): x = -5, y (down) = +7, z (forward) = -6.
NORTH_W2C = [[1, 0, 0, -5], [0, 0, -1, 7], [0, 1, 0, -6], [0, 0, 0, 1]]
# In OpenGL axes the view matrix changes the sign of its rows two and three.
NORTH_W2C_OPENGL = [[1, 0, 0, -5], [0, 0, 1, -7], [0, -1, 0, 6], [0, 0, 0, 1]]
# World to camera is the turn by +90 degrees about x (y to z): w = x = sqrt(1/2).
ROOT_HALF = 0.5**0.5


def matrix(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("rows", [4, 3])
@pytest.mark.parametrize(
    ("read", "axes", "foreign"),
    [
        (conventions.from_c2w, "opencv", NORTH_C2W),
        (conventions.from_c2w, "opengl", NORTH_C2W_OPENGL),
        (conventions.from_w2c, "opencv", NORTH_W2C),
        (conventions.from_w2c, "opengl", NORTH_W2C_OPENGL),
    ],
)
def test_matrices_come_in_by_hand_worked_values(read, axes, foreign, rows):
    assert_same(read(matrix(foreign)[:rows], axes=axes), LOOKING_NORTH, 1e-15)


def test_matrices_go_out_by_hand_worked_values():
    assert conventions.to_c2w(LOOKING_NORTH).tolist() == NORTH_C2W
    assert conventions.to_c2w(LOOKING_NORTH, axes="opengl").tolist() == NORTH_C2W_OPENGL
    assert conventions.to_w2c(LOOKING_NORTH).tolist() == NORTH_W2C
    assert conventions.to_w2c(LOOKING_NORTH, axes="opengl").tolist() == NORTH_W2C_OPENGL
    assert conventions.to_nerfstudio(LOOKING_NORTH).tolist() == NORTH_C2W_OPENGL


def test_colmap_and_tum_by_hand_worked_values():
    qvec = torch.tensor([ROOT_HALF, ROOT_HALF, 0, 0], dtype=torch.float64)
    tvec = torch.tensor([-5.0, 7, -6], dtype=torch.float64)
    assert_same(conventions.from_colmap(qvec, tvec), LOOKING_NORTH)
    for got, expected in zip(conventions.to_colmap(LOOKING_NORTH), (qvec, tvec), strict=True):
        torch.testing.assert_close(got, expected)
    # Camera to world turns back, by -90 degrees about x.
    tum = torch.tensor([5, 6, 7, -ROOT_HALF, 0, 0, ROOT_HALF], dtype=torch.float64)
    assert_same(conventions.from_tum(tum), LOOKING_NORTH)
    torch.testing.assert_close(conventions.to_tum(LOOKING_NORTH), tum)


def test_nerfstudio_is_opengl_camera_to_world():
    assert_same(conventions.from_nerfstudio(matrix(NORTH_C2W_OPENGL)), LOOKING_NORTH, 1e-15)


@pytest.mark.parametrize("axes", ["opencv", "opengl"])
def test_every_format_round_trips_in_batches(axes, dtype, device, tolerance):
    T_world_cam = random_transforms(3, 4).to(device, dtype)
    for again in (
        conventions.from_c2w(conventions.to_c2w(T_world_cam, axes=axes), axes=axes),
        conventions.from_w2c(conventions.to_w2c(T_world_cam, axes=axes)[..., :3, :], axes=axes),
        conventions.from_nerfstudio(conventions.to_nerfstudio(T_world_cam)),
        conventions.from_colmap(*conventions.to_colmap(T_world_cam)),
        conventions.from_tum(conventions.to_tum(T_world_cam)),
    ):
        assert again.dtype == dtype and again.shape == (3, 4)
        assert_same(again, T_world_cam, 10 * tolerance)  # two inversions of translations of some metres


def test_the_two_directions_are_inverse_matrices():
    T_world_cam = random_transforms(5)
    product = conventions.to_c2w(T_world_cam) @ conventions.to_w2c(T_world_cam)
    torch.testing.assert_close(product, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), rtol=0, atol=1e-14)


def test_quaternions_agree_with_scipy():
    peer = Rotation.random(50, rng=0)
    R = torch.as_tensor(peer.as_matrix())
    wxyz, xyzw = torch.as_tensor(peer.as_quat(scalar_first=True)), torch.as_tensor(peer.as_quat())
    torch.testing.assert_close(conventions.rotation_from_quaternion_wxyz(wxyz), R, rtol=0, atol=1e-14)
    torch.testing.assert_close(conventions.rotation_from_quaternion_xyzw(xyzw), R, rtol=0, atol=1e-14)
    canonical = peer.as_quat(canonical=True)
    np.testing.assert_allclose(conventions.rotation_to_quaternion_xyzw(R).numpy(), canonical, rtol=0, atol=1e-14)
    wxyz_canonical = peer.as_quat(canonical=True, scalar_first=True)
    np.testing.assert_allclose(conventions.rotation_to_quaternion_wxyz(R).numpy(), wxyz_canonical, rtol=0, atol=1e-14)


def test_nearly_unit_quaternions_are_normalised():
    q_wxyz = torch.tensor([[0.6, 0, 0.8, 0], [1, 0, 0, 0]], dtype=torch.float64)
    exact = conventions.rotation_from_quaternion_wxyz(q_wxyz)
    for factor in (1 - 9e-4, 1 + 9e-4, -1):
        near = conventions.rotation_from_quaternion_wxyz(factor * q_wxyz)
        torch.testing.assert_close(near, exact, rtol=0, atol=1e-15)


def test_whole_pixel_centres_differ_by_half_a_pixel():
    opencv_K = torch.tensor([[100.0, 0, 31.5], [0, 100, 23.5], [0, 0, 1]], dtype=torch.float64)
    ours = conventions.intrinsics_from_whole_pixel_centers(opencv_K)
    # The middle of a 64 x 48 image: 31.5 where the first centre is 0, 32 where it is 0.5.
    assert ours.tolist() == [[100, 0, 32], [0, 100, 24], [0, 0, 1]]
    assert PinholeCamera(ours, 64, 48).principal_point.tolist() == [32, 24]
    assert torch.equal(conventions.intrinsics_to_whole_pixel_centers(ours), opencv_K)
    assert conventions.intrinsics_from_whole_pixel_centers(opencv_K.expand(2, 5, 3, 3)).shape == (2, 5, 3, 3)


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the reference's example files are not beside this checkout")
def test_the_reference_pipelines_opengl_file_is_the_opencv_poses_it_came_from():
    frames = json.loads((EXAMPLE / "transforms.json").read_text())["frames"]
    source = json.loads((EXAMPLE / "source.json").read_text())
    foreign = torch.tensor([frame["transform_matrix"] for frame in frames], dtype=torch.float64)
    expected = torch.tensor(source["c2ws_opencv"], dtype=torch.float64)
    T_world_cam = conventions.from_nerfstudio(foreign)
    assert_same(T_world_cam, conventions.from_c2w(expected), 0)
    assert_same(SE3.from_matrix(conventions.to_nerfstudio(T_world_cam)), SE3.from_matrix(foreign), 0)
    # Commanded there: forward 1 m, then turn left by 40 degrees.
    forward = torch.tensor([0, 0, 1.0], dtype=torch.float64)
    assert_same(T_world_cam[-1], SE3.from_translation(forward) @ SE3.yaw_right(math.radians(-40)), 1e-6)


def quaternion(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# The shape hook of the test run answers first unless it is taken off: this is what users see.
from_wxyz = inspect.unwrap(conventions.rotation_from_quaternion_wxyz)


@pytest.mark.parametrize(
    ("q_wxyz", "message"),
    [
        (torch.zeros(3), r"quaternion must have shape \(..., 4\), got \(3,\)"),
        (quaternion(1, 0, math.nan, 0), "quaternion must be finite"),
        (quaternion(0, 0, 0, 0), "must not be zero"),
        (quaternion(1.0011, 0, 0, 0), "norm 1 within 1e-3, got 1.0011"),
        (quaternion(0, 0.9989, 0, 0), "norm 1 within 1e-3, got 0.9989"),
        (torch.stack([quaternion(1, 0, 0, 0), quaternion(0, 0, 3, 4)]), "norm 1 within 1e-3, got 5;"),
    ],
)
def test_broken_quaternions_are_refused(q_wxyz, message):
    with pytest.raises(ValueError, match=message):
        from_wxyz(q_wxyz)


@pytest.mark.parametrize("read", [conventions.from_c2w, conventions.from_w2c])
def test_broken_matrices_are_refused(read):
    with pytest.raises(ValueError, match=r"shape \(..., 4, 4\) or \(..., 3, 4\), got \(2, 4\)"):
        read(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="transposed"):
        read(matrix(NORTH_C2W).T)
    with pytest.raises(ValueError, match="orthonormal"):
        read(2 * matrix(NORTH_C2W)[:3])
    with pytest.raises(ValueError, match="reflected"):
        read(matrix(NORTH_C2W)[:3] * torch.tensor([1, 1, -1, 1]))
    assert read(1.001 * matrix(NORTH_C2W)[:3], tolerance=0.01).shape == ()


@pytest.mark.parametrize("read", [conventions.from_c2w, conventions.from_w2c])
def test_unknown_axes_are_refused_when_reading(read):
    with pytest.raises(ValueError, match="camera axes must be opencv or opengl, got 'blender'"):
        inspect.unwrap(read)(torch.eye(4), axes="blender")


@pytest.mark.parametrize("write", [conventions.to_c2w, conventions.to_w2c])
def test_unknown_axes_are_refused_when_writing(write):
    with pytest.raises(ValueError, match="camera axes must be opencv or opengl, got 'blender'"):
        inspect.unwrap(write)(SE3.identity(), axes="blender")


def test_broken_translations_and_tum_lines_are_refused():
    unit = torch.tensor([1.0, 0, 0, 0])
    with pytest.raises(ValueError, match="translation must be finite"):
        conventions.from_colmap(unit, torch.tensor([0, math.nan, 0]))
    with pytest.raises(ValueError, match=r"translation must have shape \(..., 3\), got \(4,\)"):
        inspect.unwrap(conventions.from_colmap)(unit, torch.zeros(4))
    with pytest.raises(ValueError, match="translation must be finite"):
        conventions.from_tum(torch.tensor([0, 0, math.inf, 0, 0, 0, 1]))
    with pytest.raises(ValueError, match=r"shape \(..., 7\), got \(8,\); drop the time stamp"):
        inspect.unwrap(conventions.from_tum)(torch.zeros(8))
    with pytest.raises(ValueError, match="norm 1"):
        conventions.from_tum(torch.tensor([0, 0, 0, 0, 0, 0.5, 1]))
