from __future__ import annotations

import dataclasses
import inspect
import math

import cv2
import numpy as np
import pytest
import torch

from geom import PinholeCamera
from geom.camera import _check_intrinsics

PI = math.pi


def intrinsics(fx: float = 400, fy: float = 410, cx: float = 300, cy: float = 250) -> torch.Tensor:
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def points(*batch: int, seed: int = 0) -> torch.Tensor:
    """Points in front of the camera."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, 3, dtype=torch.float64, generator=generator) + torch.tensor([0, 0, 6])


CAMERA = PinholeCamera(intrinsics(), 640, 480)


def test_projection_agrees_with_opencv_up_to_its_half_pixel():
    p_cam = points(200)
    uv, in_front = CAMERA.project(p_cam)
    whole_pixel_K = intrinsics(cx=299.5, cy=249.5).numpy()  # OpenCV's first pixel centre is (0, 0)
    zero = np.zeros(3)
    expected, _ = cv2.projectPoints(p_cam.numpy(), zero, zero, whole_pixel_K, None)
    assert in_front.all()
    np.testing.assert_allclose(uv.numpy() - 0.5, expected[:, 0], rtol=0, atol=1e-9)


def test_hand_worked_projection():
    # u = 400 * 1 / 2 + 300 = 500, v = 410 * -0.5 / 2 + 250 = 147.5
    uv, in_front = CAMERA.project(torch.tensor([1, -0.5, 2], dtype=torch.float64))
    assert uv.tolist() == [500, 147.5] and in_front.item() is True


def test_right_is_right_and_down_is_down():
    (u, v), _ = CAMERA.project(torch.tensor([0.1, 0.1, 1], dtype=torch.float64))
    assert u > 300 and v > 250


@pytest.mark.parametrize("z", [1e-3, 0.0, -1.0, math.nan, math.inf, -math.inf])
def test_points_at_and_behind_the_near_plane_have_no_pixel(z):
    uv, in_front = CAMERA.project(torch.tensor([[0.1, 0.2, z], [0.1, 0.2, 1.0]], dtype=torch.float64))
    assert uv[0].isnan().all() and uv[1].isfinite().all()
    assert in_front.tolist() == [False, True]


def test_the_near_plane_is_exclusive_and_can_be_moved():
    p_cam = torch.tensor([[0, 0, 2.0], [0, 0, 2.0000001]], dtype=torch.float64)
    assert CAMERA.project(p_cam, z_near=2.0)[1].tolist() == [False, True]
    assert CAMERA.project(p_cam)[1].tolist() == [True, True]


@pytest.mark.parametrize("bad", [(0.0, 0.0, 0.0), (1.0, 1.0, -1.0), (math.inf, 0.0, 1.0), (0.0, math.nan, 0.0)])
def test_a_masked_point_poisons_no_gradient(bad):
    def gradients(p_cam: torch.Tensor) -> tuple[torch.Tensor, ...]:
        K, p_cam = intrinsics().requires_grad_(), p_cam.requires_grad_()
        uv, in_front = PinholeCamera(K, 640, 480).project(p_cam)
        return torch.autograd.grad(uv[in_front].sum(), (p_cam, K))

    good = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    alone, alone_K = gradients(good.clone())
    together, together_K = gradients(torch.cat([good, torch.tensor([bad], dtype=torch.float64)]))
    torch.testing.assert_close(together, torch.cat([alone, torch.zeros_like(alone)]))
    torch.testing.assert_close(together_K, alone_K)


def test_gradients_of_projection_and_back():
    p_cam, K = points(4).requires_grad_(), intrinsics()
    focal_and_center = torch.tensor([400, 410, 300, 250], dtype=torch.float64).requires_grad_()

    def camera(fc: torch.Tensor) -> PinholeCamera:
        scaled = torch.zeros(3, 3, dtype=fc.dtype).index_put(
            (torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 2, 2])), fc
        )
        return PinholeCamera(scaled + torch.diag(fc.new_tensor([0, 0, 1])), 640, 480)

    assert torch.equal(camera(focal_and_center).K, K)
    assert torch.autograd.gradcheck(lambda p, fc: camera(fc).project(p)[0], (p_cam, focal_and_center))
    uv, z_depth = torch.rand(4, 2, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    inputs = (uv.requires_grad_(), z_depth.requires_grad_(), focal_and_center)
    assert torch.autograd.gradcheck(lambda uv, z, fc: camera(fc).unproject(uv, z), inputs)


def test_unproject_undoes_project():
    p_cam = points(100)
    uv, _ = CAMERA.project(p_cam)
    torch.testing.assert_close(CAMERA.unproject(uv, p_cam[:, 2]), p_cam, rtol=0, atol=1e-12)


def test_rays_have_unit_z_and_hit_their_pixel():
    uv = CAMERA.pixel_centers()
    d_cam = CAMERA.rays(uv)
    assert (d_cam[..., 2] == 1).all()
    torch.testing.assert_close(CAMERA.project(7 * d_cam)[0], uv, rtol=0, atol=1e-10)
    # (500 - 300) / 400 = 0.5 and (45 - 250) / 410 = -0.5
    assert CAMERA.rays(torch.tensor([500, 45], dtype=torch.float64)).tolist() == [0.5, -0.5, 1]


def test_pixel_centers_are_indexed_by_row_and_column(dtype, device):
    camera = PinholeCamera(intrinsics().to(device, dtype), 4, 3)
    centers = camera.pixel_centers()
    assert (centers.shape, centers.dtype, centers.device.type) == ((3, 4, 2), dtype, device.type)
    assert centers[0, 0].tolist() == [0.5, 0.5] and centers[2, 3].tolist() == [3.5, 2.5]


def test_what_is_made_of_a_good_camera_is_not_made_bad():
    with pytest.raises(ValueError, match="width must be a positive whole number"):
        CAMERA.resize(0, 10)
    with pytest.raises(ValueError, match="K must be floating point"):
        CAMERA.to(torch.int64)
    assert CAMERA.to(torch.float32)[None].resize(64, 48).K.shape == (1, 3, 3)


def test_a_cropped_camera_sees_the_same_shifted():
    p_cam = points(50)
    uv, _ = CAMERA.project(p_cam)
    crop = CAMERA.crop(10, 20, 300, 200)
    assert (crop.width, crop.height) == (300, 200)
    torch.testing.assert_close(crop.project(p_cam)[0], uv - torch.tensor([10, 20]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(320, 240), (1280, 960), (640, 100), (33, 481)])
def test_a_resized_camera_sees_the_same_stretched(size):
    p_cam = points(50)
    uv, _ = CAMERA.project(p_cam)
    resized = CAMERA.resize(*size)
    assert (resized.width, resized.height) == size
    factor = torch.tensor([size[0] / 640, size[1] / 480], dtype=torch.float64)
    torch.testing.assert_close(resized.project(p_cam)[0], uv * factor, rtol=0, atol=1e-10)
    torch.testing.assert_close(torch.stack([resized.hfov, resized.vfov]), torch.stack([CAMERA.hfov, CAMERA.vfov]))


def test_halving_an_image_averages_the_pixels_that_the_halved_camera_sees():
    # A picture that is its own u coordinate stays so: the mean of 2 x 2 pixel centres is the new pixel's centre.
    centers, half = CAMERA.pixel_centers(), CAMERA.resize(320, 240)
    mean = centers.unflatten(0, (240, 2)).unflatten(2, (320, 2)).mean((1, 3))
    torch.testing.assert_close(half.rays(half.pixel_centers()), CAMERA.rays(mean), rtol=0, atol=1e-14)


def test_from_hfov_has_square_pixels_and_a_centred_principal_point():
    # 90 degrees over 640 pixels: f = 320 / tan 45 = 320. vfov = 2 atan(240 / 320) = 2 atan 0.75.
    camera = PinholeCamera.from_hfov(PI / 2, 640, 480)
    torch.testing.assert_close(camera.K, intrinsics(320, 320, 320, 240), rtol=0, atol=1e-12)
    assert camera.hfov.item() == pytest.approx(PI / 2, abs=1e-15)
    assert camera.vfov.item() == pytest.approx(2 * math.atan(0.75), abs=1e-15)


def test_fields_of_view_count_from_border_to_border_for_any_principal_point():
    # cx = 100 of 400 with f = 100: atan(100 / 100) to the left, atan(300 / 100) to the right; likewise cy.
    camera = PinholeCamera(intrinsics(100, 50, 100, 150), 400, 200)
    assert camera.hfov.item() == pytest.approx(math.atan(1) + math.atan(3), abs=1e-15)
    assert camera.vfov.item() == pytest.approx(math.atan(3) + math.atan(1), abs=1e-15)
    left, right = camera.rays(torch.tensor([[0.0, 0], [400, 0]], dtype=torch.float64))
    between = math.atan2(right[0].item(), 1) - math.atan2(left[0].item(), 1)
    assert camera.hfov.item() == pytest.approx(between, abs=1e-15)


def test_the_image_contains_its_border_and_nothing_beyond():
    inside = [(0, 0), (640, 480), (0, 480), (0.5, 0.5), (320, 240)]
    outside = [(-1e-9, 5), (5, -1e-9), (640.000001, 5), (5, 480.000001), (math.nan, 5), (5, math.nan)]
    uv = torch.tensor(inside + outside, dtype=torch.float64)
    assert CAMERA.contains(uv).tolist() == [True] * len(inside) + [False] * len(outside)


def test_batches_of_cameras_agree_with_a_loop(dtype, device, tolerance):
    hfov = torch.tensor([0.5, 1.0, 1.5], dtype=dtype, device=device)
    cameras = PinholeCamera.from_hfov(hfov, 64, 48, dtype=dtype, device=device)
    p_cam = points(5, 3).to(device, dtype)
    uv, in_front = cameras.project(p_cam)
    assert uv.shape == (5, 3, 2) and in_front.shape == (5, 3)
    for i in range(3):
        one = cameras[i].crop(3, 4, 50, 40).resize(25, 80)
        many = cameras.crop(3, 4, 50, 40).resize(25, 80)
        for got, expected in (
            (uv[:, i], cameras[i].project(p_cam[:, i])[0]),
            (cameras.unproject(uv, p_cam[..., 2])[:, i], p_cam[:, i]),
            (many.K[i], one.K),
            (many.hfov[i], one.hfov),
            (many.vfov[i], one.vfov),
        ):
            torch.testing.assert_close(got, expected, rtol=tolerance, atol=100 * tolerance)  # values of order 100


def test_one_point_in_many_cameras_has_a_mask_per_camera():
    cameras = PinholeCamera.from_hfov(torch.tensor([0.5, 1.0]), 64, 48)
    uv, in_front = cameras.project(torch.tensor([0.0, 0, 1], dtype=torch.float64))
    assert uv.shape == (2, 2) and in_front.tolist() == [True, True]
    assert cameras[:, None].project(points(2, 7))[0].shape == (2, 7, 2)


def test_float32_is_good_to_a_thousandth_of_a_pixel():
    single = CAMERA.to(torch.float32)
    uv, _ = single.project(points(100).float())
    assert uv.dtype == torch.float32
    torch.testing.assert_close(uv.double(), CAMERA.project(points(100))[0], rtol=0, atol=1e-3)


def test_cameras_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CAMERA.width = 3  # pyright: ignore[reportAttributeAccessIssue]


def refused(K: torch.Tensor, width: object = 640, height: object = 480) -> None:
    """Construct without the shape hook of the test run, as users do."""
    inspect.unwrap(PinholeCamera.__init__)(object.__new__(PinholeCamera), K, width, height)


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (torch.eye(4), r"K must have shape \(..., 3, 3\), got \(4, 4\)"),
        (intrinsics(fx=math.nan), "K must be finite"),
        (intrinsics(cy=math.inf), "K must be finite"),
        (intrinsics().T, r"last row of K must be \(0, 0, 1\), got \[300.0, 250.0, 1.0\]; was K passed transposed\?"),
        (intrinsics() * 2, "last row of K"),
        (intrinsics(fx=0), "focal lengths must be > 0"),
        (intrinsics(fy=-5), "focal lengths must be > 0.*mirrored"),
        (torch.stack([intrinsics(), intrinsics(fx=-1)]), "focal lengths must be > 0"),
        (intrinsics() + torch.tensor([[0, 1.0, 0], [0, 0, 0], [0, 0, 0]]), "zero skew.*undistort"),
        (intrinsics() + torch.tensor([[0, 0, 0], [1.0, 0, 0], [0, 0, 0]]), "zero skew"),
    ],
)
def test_impossible_intrinsics_are_refused(K, message):
    with pytest.raises(ValueError, match=message):
        refused(K)


@pytest.mark.parametrize("size", [0, -1, 64.0, True, "64"])
def test_empty_and_broken_images_are_refused(size):
    with pytest.raises(ValueError, match="width must be a positive whole number of pixels, got"):
        refused(intrinsics(), width=size)
    with pytest.raises(ValueError, match="height must be a positive whole number of pixels, got"):
        refused(intrinsics(), height=size)


@pytest.mark.parametrize("hfov", [0.0, -1.0, PI, 90.0, math.nan])
def test_impossible_fields_of_view_are_refused(hfov):
    with pytest.raises(ValueError, match=r"between 0 and pi radians, got .*; was it in degrees\?"):
        PinholeCamera.from_hfov(hfov, 64, 48)


def test_points_and_pixels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"p_cam must have shape \(..., 3\), got \(4,\); is it homogeneous\?"):
        inspect.unwrap(PinholeCamera.project)(CAMERA, torch.ones(4))
    with pytest.raises(ValueError, match=r"uv must have shape \(..., 2\), got \(3,\); is it homogeneous\?"):
        inspect.unwrap(PinholeCamera.rays)(CAMERA, torch.ones(3))


@pytest.mark.parametrize("z_near", [0.0, -1.0, math.nan])
def test_a_near_plane_at_or_behind_the_camera_is_refused(z_near):
    with pytest.raises(ValueError, match="z_near must be > 0"):
        CAMERA.project(points(1), z_near=z_near)


def test_whole_number_intrinsics_are_refused() -> None:
    # The hook of the tests refuses it too; users run without the hook.
    with pytest.raises(ValueError, match="K must be floating point, got torch.int64"):
        _check_intrinsics(torch.tensor([[100, 0, 100], [0, 100, 100], [0, 0, 1]]))
