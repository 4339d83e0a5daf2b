"""Backward warp against ray casting, OpenCV and kornia; what is seen, hidden and unknown; gradients."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from kornia.geometry.depth import warp_frame_depth
from recordings import simulated_room
from warp import MOTIONS, one_view

from geom import SE3, PinholeCamera, backward_warp, flow, forward_warp, homography, overlap
from geom.actions import parse_actions
from geom.transfer import check_z_depth
from synth.room_world import RoomWorld

CAMERA = PinholeCamera.from_hfov(math.radians(70), 48, 36)
MOTION = SE3.exp(torch.tensor([0.1, -0.05, 0.08, 0.02, -0.04, 0.03], dtype=torch.float64))


def rough(camera: PinholeCamera, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Smooth depth between 2 and 3 m."""
    gen = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 5, 6, generator=gen, dtype=torch.float64)
    size = (camera.height, camera.width)
    return 2 + torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")[0, 0].clamp(0, 1).to(dtype)


def picture(camera: PinholeCamera, seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    return torch.rand(3, camera.height, camera.width, generator=gen, dtype=torch.float64).to(dtype)


def plane_depth(camera: PinholeCamera, normal: torch.Tensor, distance: float) -> torch.Tensor:
    """z-depth of the plane normal . p = distance; NaN where a pixel's ray does not meet it in front."""
    along = camera.rays(camera.pixel_centers()) @ normal
    z = distance / along
    return z.where(z > 0, math.nan)


@pytest.fixture(scope="module")
def room() -> RoomWorld:
    return simulated_room()


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_second_view_of_a_room_is_what_rays_see(motion: str, room: RoomWorld) -> None:
    hidden, truly_hidden, can_tell, off = one_view(room, motion)
    assert (truly_hidden & can_tell).sum() > 200
    assert float((hidden & truly_hidden & can_tell).sum() / ((hidden | truly_hidden) & can_tell).sum()) >= 0.98
    assert float(off.median()) < 1 / 255


def test_a_steep_floor_does_not_hide_itself() -> None:
    """Neighbouring pixels of it differ by more than the tolerance, down to some pixels below the horizon."""
    camera = PinholeCamera.from_hfov(math.radians(70), 320, 240)
    z = plane_depth(camera, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), 1.5)
    z = z.where(z < 60, math.nan)
    motion = parse_actions("move forward 0.37 meters; turn left 7 degrees").pose()
    nearer = plane_depth(camera, motion.R.mT @ torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), 1.5)
    found = backward_warp(picture(camera), camera, motion, nearer.where(nearer < 55, math.nan), camera, z_depth_src=z)
    rows_apart = (z[1:] / z[:-1] - 1).abs()
    assert float(rows_apart[rows_apart.isfinite()].max()) > 0.1
    known_there = found.is_inside[140:]
    assert known_there.any() and bool(found.is_seen[140:][known_there].float().mean() > 0.995)


def test_a_near_board_hides_what_is_behind_it_and_only_that() -> None:
    z_src = torch.full((36, 48), 4.0, dtype=torch.float64)
    z_src[10:20, 15:25] = 2.0
    z_dst = torch.full((36, 48), 4.0, dtype=torch.float64)
    found = backward_warp(picture(CAMERA), CAMERA, SE3.identity(), z_dst, CAMERA, z_depth_src=z_src)
    assert found.is_inside.all()
    assert torch.equal(~found.is_seen, z_src == 2.0)
    assert not found.image[:, ~found.is_seen].any()


@pytest.mark.parametrize("share", [0.005, 0.015])
def test_the_tolerance_is_a_share_of_the_depth(share: float) -> None:
    z = rough(CAMERA)
    found = backward_warp(picture(CAMERA), CAMERA, SE3.identity(), z, CAMERA, z_depth_src=z * (1 - share))
    assert bool(found.is_seen.all()) == (share < 0.01) and bool(found.is_seen.any()) == (share < 0.01)


def test_standing_still_gives_the_picture_to_the_bit(dtype: torch.dtype) -> None:
    image, z = picture(CAMERA, dtype=dtype), rough(CAMERA, dtype=dtype)
    found = backward_warp(image, CAMERA, SE3.identity(), z, CAMERA, z_depth_src=z)
    assert found.is_seen.all() and found.image.dtype == dtype and torch.equal(found.image, image)


def test_the_last_column_shows_nothing_of_the_next_row(dtype: torch.dtype) -> None:
    image, z = picture(CAMERA, dtype=dtype), rough(CAMERA, dtype=dtype)
    image[:, :, 0] = math.inf
    found = backward_warp(image, CAMERA, SE3.identity(), z, CAMERA)
    assert torch.equal(found.image[:, :, -1], image[:, :, -1])


def test_with_gradients_it_gives_the_picture_but_for_the_rounding_of_grid_sample(
    dtype: torch.dtype, tolerance: float
) -> None:
    image, z = picture(CAMERA, dtype=dtype).requires_grad_(), rough(CAMERA, dtype=dtype)
    found = backward_warp(image, CAMERA, SE3.identity(), z, CAMERA, z_depth_src=z)
    assert found.is_seen.all() and float((found.image - image).detach().abs().max()) < 5 * tolerance


def test_opencv_samples_the_same(dtype: torch.dtype) -> None:
    image, z = picture(CAMERA, dtype=dtype), rough(CAMERA, dtype=dtype)
    uv = CAMERA.pixel_centers() + flow(z.double(), CAMERA, MOTION, CAMERA)
    # OpenCV counts the first centre as (0, 0).
    at = (uv - 0.5).float().numpy()
    peer = cv2.remap(image.movedim(0, -1).float().numpy(), at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    found = backward_warp(image, CAMERA, MOTION, z, CAMERA)
    whole = found.is_seen & torch.from_numpy(((at >= 0) & (at <= [47, 35])).all(-1))
    assert whole.float().mean() > 0.7
    assert np.abs(found.image.movedim(0, -1)[whole].float().numpy() - peer[whole.numpy()]).max() < 1e-4


def test_kornia_samples_the_same_with_its_pixel_centres() -> None:
    image, z = picture(CAMERA)[None], rough(CAMERA)[None]
    K = CAMERA.K - torch.tensor([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], dtype=torch.float64)
    peer = warp_frame_depth(image, z[None], MOTION.matrix()[None], K[None])[0]
    found = backward_warp(image, CAMERA, MOTION, z, CAMERA)
    inner = (found.image[0] != 0).all(0) & (peer != 0).all(0)
    inner[[0, -1]] = inner[:, [0, -1]] = False
    uv = CAMERA.pixel_centers() + flow(z[0], CAMERA, MOTION, CAMERA)
    inner &= ((uv > 1) & (uv < torch.tensor([47, 35]))).all(-1)
    assert inner.float().mean() > 0.6
    assert float((found.image[0] - peer).abs().amax(0)[inner].max()) < 1e-6


def test_what_is_behind_outside_or_unknown_is_not_seen() -> None:
    image, z = picture(CAMERA), rough(CAMERA)
    turned = parse_actions("turn left 180 degrees").pose()
    assert not backward_warp(image, CAMERA, turned, z, CAMERA).is_inside.any()
    aside = SE3.from_translation(torch.tensor([100.0, 0, 0], dtype=torch.float64))
    assert not backward_warp(image, CAMERA, aside, z, CAMERA).is_inside.any()
    for unknown in (math.nan, math.inf):
        z_dst = z.clone()
        z_dst[3, 4] = unknown
        found = backward_warp(image, CAMERA, MOTION, z_dst, CAMERA)
        assert not found.is_inside[3, 4] and not found.image[:, 3, 4].any()
        assert torch.equal(
            found.is_inside, backward_warp(image, CAMERA, MOTION, z, CAMERA).is_inside & z_dst.isfinite()
        )


def test_where_the_source_knows_no_depth_nothing_is_seen_and_what_is_infinite_hides_nothing() -> None:
    image, z = picture(CAMERA), rough(CAMERA)
    z_src = z.clone()
    z_src[5, 6], z_src[7, 8] = math.nan, math.inf
    found = backward_warp(image, CAMERA, SE3.identity(), z, CAMERA, z_depth_src=z_src)
    unseen = torch.zeros_like(found.is_seen)
    unseen[5, 6] = True
    assert torch.equal(~found.is_seen, unseen) and found.is_inside.all()


def test_forward_and_back_again_gives_the_picture_where_both_see_it() -> None:
    image, z = picture(CAMERA), rough(CAMERA)
    T_dst_src = SE3.from_translation(torch.tensor([0.0, 0.0, -0.2], dtype=torch.float64))
    smooth = torch.nn.functional.avg_pool2d(image[None], 7, 1, 3)[0]
    there = forward_warp(smooth, z, CAMERA, T_dst_src, CAMERA)
    back = backward_warp(there.image, CAMERA, T_dst_src, z, CAMERA, z_depth_src=there.z_depth, tolerance=0.05)
    inner = back.is_seen.clone()
    inner[:4] = inner[-4:] = inner[:, :4] = inner[:, -4:] = False
    assert inner.float().mean() > 0.5
    assert float((back.image - smooth).abs().amax(0)[inner].median()) < 0.03


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, SE3, PinholeCamera]


def batch(num: int, dtype: torch.dtype = torch.float32) -> Batch:
    """Different pictures, depths, poses and intrinsics."""
    images = torch.stack([picture(CAMERA, n, dtype) for n in range(num)])
    depths = torch.stack([rough(CAMERA, n, dtype) for n in range(num)])
    poses = SE3.exp(torch.linspace(-0.1, 0.1, 6 * num, dtype=torch.float64).reshape(num, 6))
    focal = torch.linspace(30, 40, num, dtype=torch.float64)
    K = CAMERA.K.repeat(num, 1, 1)
    K[:, 0, 0] = K[:, 1, 1] = focal
    return images, depths, depths.flip(0), poses, PinholeCamera(K, 48, 36)


def test_a_batch_is_its_frames_one_by_one() -> None:
    images, z_dst, z_src, poses, cameras = batch(7)
    whole = backward_warp(images, cameras, poses, z_dst, CAMERA, z_depth_src=z_src)
    for n in range(7):
        camera = PinholeCamera(cameras.K[n], 48, 36)
        one = backward_warp(images[n], camera, poses[n], z_dst[n], CAMERA, z_depth_src=z_src[n])
        for a, b in zip(whole, one, strict=True):
            assert torch.equal(a[n], b)


def test_one_picture_serves_thousands_of_poses() -> None:
    num = 4096
    small = PinholeCamera.from_hfov(math.radians(70), 24, 16)
    image, z = picture(small, dtype=torch.float32), rough(small, dtype=torch.float32)
    poses = SE3.exp(torch.linspace(-0.1, 0.1, 6 * num, dtype=torch.float64).reshape(num, 6))
    found = backward_warp(image, small, poses, z.expand(num, -1, -1), small, z_depth_src=z)
    assert found.image.shape == (num, 3, 16, 24)
    for n in (0, 1234, 4095):
        one = backward_warp(image, small, poses[n], z, small, z_depth_src=z)
        assert torch.equal(found.image[n], one.image) and torch.equal(found.is_seen[n], one.is_seen)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_pictures_of_half_precision_are_warped_by_float32_geometry(kind: torch.dtype) -> None:
    image, z = picture(CAMERA).to(kind), rough(CAMERA, dtype=torch.float32)
    half = backward_warp(image, CAMERA, MOTION, z, CAMERA, z_depth_src=z)
    full = backward_warp(image.float(), CAMERA, MOTION, z, CAMERA, z_depth_src=z)
    assert half.image.dtype == kind
    assert torch.equal(half.is_seen, full.is_seen) and torch.equal(half.image, full.image.to(kind))


def test_gradients_are_those_of_finite_differences() -> None:
    camera = PinholeCamera.from_hfov(math.radians(70), 6, 5)
    image, z = picture(camera), rough(camera)

    def warp(image: torch.Tensor, z: torch.Tensor, xi: torch.Tensor, lens: torch.Tensor) -> torch.Tensor:
        cam = with_lens(lens, camera)
        return backward_warp(image, cam, MOTION @ SE3.exp(xi), z, cam, z_depth_src=z.detach() * 1.02).image

    free = (image, z, torch.zeros(6, dtype=torch.float64), lens_of(camera))
    assert torch.autograd.gradcheck(warp, tuple(x.clone().requires_grad_() for x in free), atol=1e-6)


def lens_of(camera: PinholeCamera) -> torch.Tensor:
    """fx, fy, cx, cy."""
    return torch.cat([camera.focal, camera.principal_point])


def with_lens(lens: torch.Tensor, camera: PinholeCamera) -> PinholeCamera:
    fx, fy, cx, cy = lens
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    K = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one]).reshape(3, 3)
    return PinholeCamera(K, camera.width, camera.height)


def test_flow_and_homography_have_the_gradients_of_finite_differences() -> None:
    camera = PinholeCamera.from_hfov(math.radians(70), 6, 5)

    def move(z: torch.Tensor, xi: torch.Tensor, lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cam, motion = with_lens(lens, camera), MOTION @ SE3.exp(xi)
        return flow(z, cam, motion, cam), homography(cam, motion, cam, z[0, :3] / 10)

    free = (rough(camera), torch.zeros(6, dtype=torch.float64), lens_of(camera))
    assert torch.autograd.gradcheck(move, tuple(x.clone().requires_grad_() for x in free), atol=1e-6)


def test_unknown_depth_and_points_behind_give_no_gradient_and_no_nan() -> None:
    z = rough(CAMERA)
    z[0, 0], z[1, 1] = math.nan, math.inf
    z.requires_grad_()
    image, xi = picture(CAMERA).requires_grad_(), torch.zeros(6, dtype=torch.float64, requires_grad=True)
    pose = parse_actions("turn left 80 degrees; move forward 1 meters").pose() @ SE3.exp(xi)
    backward_warp(image, CAMERA, pose, z, CAMERA, z_depth_src=rough(CAMERA, 4)).image.sum().backward()
    for x in (z, image, xi):
        assert x.grad is not None and x.grad.isfinite().all()
    assert z.grad is not None and not z.grad[0, 0] and not z.grad[1, 1]


def test_with_gradients_the_same_is_seen_as_without() -> None:
    images, z_dst, z_src, poses, cameras = batch(3, torch.float64)
    z_dst[0, 0, :5], z_src[1, 3] = math.nan, math.nan
    plain = backward_warp(images, cameras, poses, z_dst, CAMERA, z_depth_src=z_src)
    graded = backward_warp(images.clone().requires_grad_(), cameras, poses, z_dst, CAMERA, z_depth_src=z_src)
    assert torch.equal(plain.is_seen, graded.is_seen) and torch.equal(plain.is_inside, graded.is_inside)
    assert torch.allclose(plain.image, graded.image.detach(), atol=1e-12)


def test_overlap_is_what_the_other_camera_sees() -> None:
    images, z_a, z_b, poses, cameras = batch(4)
    seen = overlap(z_a, CAMERA, poses, z_b, cameras)
    assert torch.equal(seen, backward_warp(images, cameras, poses, z_a, CAMERA, z_depth_src=z_b).is_seen)
    assert 0.2 < float(seen.float().mean()) < 1


def test_flow_is_the_projection_of_what_each_pixel_shows(dtype: torch.dtype, tolerance: float) -> None:
    z = rough(CAMERA, dtype=dtype)
    z[2, 3] = math.nan
    uv, _ = CAMERA.project(MOTION.act(CAMERA.unproject(CAMERA.pixel_centers(), z.double())))
    want = uv - CAMERA.pixel_centers()
    got = flow(z, CAMERA, MOTION, CAMERA)
    assert got.dtype == dtype and got[2, 3].isnan().all()
    assert torch.allclose(got.double(), want, atol=100 * tolerance, equal_nan=True)
    behind = flow(z, CAMERA, parse_actions("turn left 180 degrees").pose(), CAMERA)
    assert behind.isnan().all()


def test_devices_agree(device: torch.device) -> None:
    images, z_dst, z_src, poses, cameras = batch(3)
    here = backward_warp(images, cameras, poses, z_dst, CAMERA, z_depth_src=z_src)
    moved = [x.to(device) for x in (images, z_dst, z_src)]
    cams = [PinholeCamera(c.K.to(device), 48, 36) for c in (cameras, CAMERA)]
    T = SE3(poses.R.to(device), poses.t.to(device))
    there = backward_warp(moved[0], cams[0], T, moved[1], cams[1], z_depth_src=moved[2])
    assert float((here.is_seen != there.is_seen.cpu()).float().mean()) < 1e-3
    both = here.is_seen & there.is_seen.cpu()
    assert float((here.image - there.image.cpu()).abs().amax(1)[both].max()) < 1e-4


def test_bad_input_is_refused_with_the_reason() -> None:
    image, z = picture(CAMERA), rough(CAMERA)
    poses = SE3.identity(3)
    bad = [
        ((image[:, :-1], CAMERA, MOTION, z, CAMERA), {}, "image must be"),
        (((image * 255).byte(), CAMERA, MOTION, z, CAMERA), {}, "floating point"),
        ((image, CAMERA, MOTION, z[:, :-1], CAMERA), {}, "size of camera_dst"),
        ((image, CAMERA, MOTION, z * 0, CAMERA), {}, "is 0 used for unknown"),
        ((image, CAMERA, MOTION, z, CAMERA), {"z_depth_src": z[:-1]}, "size of camera_src"),
        ((image, CAMERA, MOTION, z, CAMERA), {"tolerance": 1.0}, "tolerance"),
        ((image, CAMERA, poses, z, CAMERA), {}, "expand the depth"),
    ]
    for args, more, reason in bad:
        with pytest.raises(ValueError, match=reason):
            backward_warp(*args, **more)


def test_a_point_in_the_plane_of_the_other_camera_gives_no_nan() -> None:
    """Its z-depth there is 0 exactly."""
    z = torch.full((36, 48), 2.0, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.0, 0.0, -2.0], dtype=torch.float64, requires_grad=True)
    image = picture(CAMERA).requires_grad_()
    found = backward_warp(image, CAMERA, SE3(torch.eye(3, dtype=torch.float64), t), z, CAMERA)
    assert not found.is_inside.any()
    found.image.sum().backward()
    for x in (z, t, image):
        assert x.grad is not None and not x.grad.any()


def test_depth_in_whole_numbers_is_taken_for_millimetres() -> None:
    with pytest.raises(ValueError, match="in millimetres"):
        check_z_depth(torch.full((36, 48), 2000), CAMERA, "camera_dst")


def test_poses_and_cameras_may_differ_in_dtype() -> None:
    image, z = picture(CAMERA, dtype=torch.float32), rough(CAMERA, dtype=torch.float32)
    mixed = backward_warp(image, CAMERA, SE3(MOTION.R.float(), MOTION.t.float()), z, CAMERA).image
    assert float((mixed - backward_warp(image, CAMERA, MOTION, z, CAMERA).image).abs().max()) < 1e-4


def test_a_batch_of_none_gives_none() -> None:
    images, z_dst, z_src, poses, _ = batch(2)
    none = backward_warp(images[:0], CAMERA, poses[:0], z_dst[:0], CAMERA, z_depth_src=z_src[:0])
    assert none.image.shape == (0, 3, 36, 48) and none.is_seen.shape == (0, 36, 48)
