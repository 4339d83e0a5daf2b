"""geom.warp against loops, ray-cast planes and its own promises: order, ties, holes, unknown depth, no leaks."""

from __future__ import annotations

import math

import pytest
import torch

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.splat import check_layers, forward_warp

SMALL = PinholeCamera.from_hfov(math.radians(60), 12, 8)
LARGE = PinholeCamera.from_hfov(math.radians(60), 160, 120)


def shift(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> SE3:
    """T_dst_src that moves points, so the camera goes the other way."""
    return SE3.from_translation(torch.tensor([x, y, z], dtype=torch.float64))


def rows_and_cols(camera: PinholeCamera) -> torch.Tensor:
    """An image that tells where each pixel came from."""
    return torch.arange(camera.height * camera.width).reshape(1, camera.height, camera.width)


def flat(camera: PinholeCamera, z: float) -> torch.Tensor:
    return torch.full((camera.height, camera.width), z, dtype=torch.float64)


def cast_plane(camera: PinholeCamera, T_cam_world: SE3, normal: torch.Tensor, offset: float) -> torch.Tensor:
    """z_depth of the plane normal . p_world = offset: the ray o + t d with d_z = 1 in the camera."""
    T_world_cam = T_cam_world.inverse()
    d_world = T_world_cam.rotate(camera.rays(camera.pixel_centers()))
    return (offset - T_world_cam.t @ normal) / (d_world @ normal)


def random_scene(camera: PinholeCamera, seed: int) -> torch.Tensor:
    """Depths so rough that no two neighbours lie on one surface, a tenth of them unknown."""
    rng = torch.Generator().manual_seed(seed)
    z_depth = 1 + 3 * torch.rand(camera.height, camera.width, generator=rng, dtype=torch.float64)
    return z_depth.where(torch.rand(z_depth.shape, generator=rng) > 0.1, math.nan)


def loop_twin(camera: PinholeCamera, T_dst_src: SE3, z_depth: torch.Tensor) -> dict[tuple[int, int], int]:
    """Nearest splat of single pixels: those seen to shrink cover the pixel they fall in, and no other centre."""
    front: dict[tuple[int, int], tuple[float, int]] = {}
    p_all = T_dst_src.act(camera.unproject(camera.pixel_centers(), z_depth)).reshape(-1, 3)
    f, cx, cy = camera.K[0, 0].item(), camera.K[0, 2].item(), camera.K[1, 2].item()
    for i, (x, y, z) in enumerate(p_all.tolist()):
        if z > 1e-3 and 0 <= (u := f * x / z + cx) < camera.width and 0 <= (v := f * y / z + cy) < camera.height:
            pixel = (math.floor(v), math.floor(u))
            front[pixel] = min(front.get(pixel, (math.inf, 0)), (z, i))
    return {pixel: i for pixel, (_, i) in front.items()}


@pytest.mark.parametrize("T_dst_src", [shift(0.3, -0.2, 1.5), shift(z=1) @ SE3.yaw_right(0.3), shift(-2.5, 0, 0.5)])
@pytest.mark.parametrize("seed", range(5))
def test_rough_depth_lands_where_a_plain_loop_puts_it(T_dst_src: SE3, seed: int) -> None:
    """A motion back leaves footprints under a pixel wide, so each source pixel has one candidate, or one more."""
    camera, z_depth = LARGE.resize(24, 18), random_scene(LARGE.resize(24, 18), seed)
    expected = torch.full((18, 24), -1)
    for pixel, source in loop_twin(camera, T_dst_src, z_depth).items():
        expected[pixel] = source
    got = forward_warp(rows_and_cols(camera), z_depth, camera, T_dst_src, camera)
    # A footprint of just under 1 px covers one pixel centre at most, nearly always its own pixel's.
    assert torch.equal(got.source_idx, expected)
    assert torch.equal(got.is_hole, expected < 0)


def test_standing_still_changes_nothing(dtype: torch.dtype) -> None:
    camera = LARGE.to(dtype)
    z_depth = random_scene(LARGE, 3).to(dtype)
    image = rows_and_cols(LARGE).to(torch.uint8).repeat(3, 1, 1)
    got = forward_warp(image, z_depth, camera, SE3.identity(dtype=dtype), camera, extra=rows_and_cols(LARGE)[0])
    known = z_depth.isfinite()
    assert torch.equal(got.is_hole, ~known) and not known.all()
    assert torch.equal(got.z_depth.nan_to_num(-1), z_depth.nan_to_num(-1))
    assert torch.equal(got.image, image.where(known, 0)) and got.image.dtype == torch.uint8
    assert got.extra is not None and torch.equal(got.extra, rows_and_cols(LARGE)[0].where(known, -1))


@pytest.mark.parametrize(
    "T_after_before",
    [shift(z=-1.0), shift(z=0.5), shift(0.4, 0.1, -0.3), shift(x=0.3) @ SE3.yaw_right(0.2), SE3.yaw_right(-0.25)],
)
@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.5, 0.0, 1.0), (0.2, -0.6, 1.0)])
def test_a_plane_lands_where_rays_from_the_second_camera_meet_it(
    T_after_before: SE3, normal: tuple[float, float, float]
) -> None:
    """Depth is right to half a pixel's step, colour (a ramp over the plane) too, and no crack opens inside."""
    n = torch.tensor(normal, dtype=torch.float64)
    z_before = cast_plane(LARGE, SE3.identity(), n, 3.0)
    z_after = cast_plane(LARGE, T_after_before, n, 3.0)
    p_before = LARGE.unproject(LARGE.pixel_centers(), z_before)
    got = forward_warp(p_before.movedim(-1, 0), z_before, LARGE, T_after_before, LARGE)
    p_true = T_after_before.inverse().act(LARGE.unproject(LARGE.pixel_centers(), z_after))
    uv_true, _ = LARGE.project(p_true)
    seen = LARGE.contains(uv_true)
    inside = LARGE.crop(1, 1, 158, 118).contains(uv_true - 1)
    assert not bool(got.is_hole[inside].any()) and inside.double().mean() > 0.5
    assert bool(got.is_hole[~LARGE.crop(-2, -2, 164, 124).contains(uv_true + 2)].all())
    # One source pixel is 3 m / 138.6 px = 22 mm wide face-on; on the steepest plane and at the border 6 times that.
    both = seen & ~got.is_hole
    pitch = (p_before.diff(dim=1).norm(dim=-1).max() + p_before.diff(dim=0).norm(dim=-1).max()).item()
    error = (got.image.movedim(0, -1) - p_true)[both].norm(dim=-1)
    assert error.max() < 0.75 * pitch
    step = got.z_depth.where(both, 0) - z_after.where(both, 0)
    assert step.abs().max() < 0.75 * pitch and step[both].abs().mean() < 0.1 * pitch


@pytest.mark.parametrize("forward", [0.5, 2 / 3, 1.2])
def test_what_is_behind_does_not_show_through_a_surface_that_comes_closer(forward: float) -> None:
    """At 2 m, moving 2/3 m ahead magnifies 1.5 times, 1.2 m ahead 2.5 times."""
    z_depth = flat(LARGE, 8.0)
    z_depth[40:80, 50:110] = 2.0
    label = (z_depth < 3).long()
    got = forward_warp(label[None], z_depth, LARGE, shift(z=-forward), LARGE, extra=label)
    scale = 2 / (2 - forward)
    rows = slice(math.ceil(60 - 20 * scale), math.floor(60 + 20 * scale))
    cols = slice(math.ceil(80 - 30 * scale), math.floor(80 + 30 * scale))
    front = torch.zeros_like(label, dtype=torch.bool)
    front[max(rows.start, 0) : rows.stop, max(cols.start, 0) : cols.stop] = True
    assert got.extra is not None
    assert bool((got.extra[front] == 1).all())
    assert bool((got.extra[~front] != 1).any())


def test_a_pole_of_one_pixel_grows_as_wide_as_it_looks() -> None:
    """At 2 m, column 80 spans u = 80 to 81; from 1 m ahead it spans 80 to 82, twice as wide."""
    z_depth = flat(LARGE, 8.0)
    z_depth[:, 80] = 2.0
    got = forward_warp(rows_and_cols(LARGE), z_depth, LARGE, shift(z=-1.0), LARGE, extra=(z_depth < 3).long())
    assert got.extra is not None
    assert all((row == 1).nonzero()[:, 0].tolist() == [80, 81] for row in got.extra)


def test_what_a_near_surface_uncovers_is_a_hole() -> None:
    """f = 138.6 px: 0.4 m to the right moves 2 m by 27.7 px and 8 m by 6.9 px, which opens 20.8 px on its right."""
    z_depth = flat(LARGE, 8.0)
    z_depth[40:80, 50:110] = 2.0
    got = forward_warp(rows_and_cols(LARGE), z_depth, LARGE, shift(x=-0.4), LARGE)
    width = got.is_hole[60].nonzero()[:, 0]
    # The block's right edge goes from 110 to 82.3, the background's from 110 to 103.1; the frame's from 160 to 153.1.
    assert width.tolist() == [*range(82, 103), *range(153, 160)]
    assert not bool(got.is_hole[20, :153].any())


def test_the_nearest_wins_and_ties_go_to_the_first_pixel() -> None:
    """Seen from ten times as far, many pixels share one; with equal z the least index is kept."""
    z_depth = flat(SMALL, 1.0)
    tied = forward_warp(rows_and_cols(SMALL), z_depth, SMALL, shift(z=9.0), SMALL)
    # From 10 m, 12 x 8 pixels shrink to 1.2 x 0.8 around the centre (6, 4): rows 0-3 in row 3, 4-7 in row 4;
    # columns 1-5 in column 5, 6-10 in column 6, and 0 (at 5.45) and 11 (at 6.55) beside them.
    assert tied.source_idx[3:5, 5:7].tolist() == [[0, 6], [48, 54]]
    assert int((~tied.is_hole).sum()) == 4
    z_depth[2, 3] = 0.9
    assert int(forward_warp(rows_and_cols(SMALL), z_depth, SMALL, shift(z=9.0), SMALL).source_idx[3, 5]) == 27


def test_unknown_depth_is_never_drawn() -> None:
    z_depth = flat(SMALL, 2.0)
    z_depth[2:4, 3:6] = math.nan
    z_depth[5, 5] = math.inf
    got = forward_warp(rows_and_cols(SMALL), z_depth, SMALL, shift(z=-0.01), SMALL)
    assert not set(got.source_idx.unique().tolist()) & {27, 28, 29, 39, 40, 41, 65}
    assert bool(got.z_depth[~got.is_hole].isfinite().all())


def test_points_behind_the_second_camera_and_outside_its_image_are_dropped() -> None:
    z_depth = flat(SMALL, 2.0)
    assert bool(forward_warp(rows_and_cols(SMALL), z_depth, SMALL, shift(z=-3.0), SMALL).is_hole.all())
    assert bool(forward_warp(rows_and_cols(SMALL), z_depth, SMALL, shift(x=50.0), SMALL).is_hole.all())
    half_turn = SE3.yaw_right(math.pi)
    assert bool(forward_warp(rows_and_cols(SMALL), z_depth, SMALL, half_turn, SMALL).is_hole.all())


def test_another_second_camera_may_have_another_size() -> None:
    """A camera that cuts out columns 40-99 and rows 30-69 sees just these, unmoved."""
    cut = LARGE.crop(40, 30, 60, 40)
    got = forward_warp(rows_and_cols(LARGE), flat(LARGE, 2.0), LARGE, SE3.identity(), cut)
    assert torch.equal(got.image, rows_and_cols(LARGE)[:, 30:70, 40:100])


def test_twice_the_resolution_shows_each_pixel_four_times() -> None:
    fine = SMALL.resize(24, 16)
    got = forward_warp(rows_and_cols(SMALL), flat(SMALL, 2.0), SMALL, SE3.identity(), fine)
    want = rows_and_cols(SMALL).repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(got.image, want)


def test_a_pixel_by_itself_is_as_large_as_the_second_camera_sees_it() -> None:
    z_depth = flat(SMALL, math.nan)
    z_depth[3, 5] = 2.0
    got = forward_warp(rows_and_cols(SMALL), z_depth, SMALL, SE3.identity(), SMALL.resize(24, 16))
    assert (~got.is_hole).nonzero().tolist() == [[6, 10], [6, 11], [7, 10], [7, 11]]
    got = forward_warp(rows_and_cols(SMALL), z_depth, SMALL, SE3.identity(), SMALL.resize(24, 8))
    assert (~got.is_hole).nonzero().tolist() == [[3, 10], [3, 11]]


def test_a_batch_is_its_frames_one_by_one() -> None:
    z_depth = torch.stack([random_scene(LARGE, seed) for seed in range(3)])
    T_dst_src = SE3.stack([shift(0.1), shift(z=0.5), SE3.yaw_right(0.1)])
    image = rows_and_cols(LARGE).expand(3, 1, 120, 160)
    got = forward_warp(image, z_depth, LARGE, T_dst_src, LARGE)
    for i in range(3):
        one = forward_warp(image[i], z_depth[i], LARGE, T_dst_src[i], LARGE)
        assert torch.equal(got.source_idx[i], one.source_idx)
        assert torch.equal(got.image[i], one.image)
        assert torch.equal(got.z_depth[i].nan_to_num(-1), one.z_depth.nan_to_num(-1))


def test_one_picture_serves_thousands_of_poses() -> None:
    num, z_depth = 4096, random_scene(SMALL, 0).float()
    T_dst_src = SE3.from_translation(torch.linspace(-0.5, 0.5, num)[:, None] * torch.tensor([1.0, 0.2, 1.0]))
    image = rows_and_cols(SMALL).to(torch.int16)
    many = (image.expand(num, -1, -1, -1), z_depth.expand(num, -1, -1))
    got = forward_warp(*many, SMALL, T_dst_src, SMALL, extra=many[0][:, 0])
    assert got.image.shape == (num, 1, 8, 12) and got.extra is not None
    for i in (0, 1234, 4095):
        one = forward_warp(image, z_depth, SMALL, T_dst_src[i], SMALL)
        assert torch.equal(got.source_idx[i], one.source_idx) and torch.equal(got.image[i], one.image)
        assert torch.equal(got.extra[i], one.image[0].where(~one.is_hole, -1))


def test_devices_and_threads_do_not_change_a_pixel(device: torch.device) -> None:
    z_depth, T_dst_src = random_scene(LARGE, 1), shift(0.2, 0, -0.3)
    want = forward_warp(rows_and_cols(LARGE), z_depth, LARGE, T_dst_src, LARGE)
    here = LARGE.to(device)
    got = forward_warp(rows_and_cols(LARGE).to(device), z_depth.to(device), here, T_dst_src.to(device), here)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = forward_warp(rows_and_cols(LARGE), z_depth, LARGE, T_dst_src, LARGE)
    torch.set_num_threads(threads)
    assert torch.equal(alone.source_idx, want.source_idx)
    # Rounding may differ between devices where a point falls on the border of two pixels.
    assert (got.source_idx.cpu() != want.source_idx).double().mean() < 1e-3


def test_bad_input_is_refused_with_the_reason() -> None:
    image, z_depth, still = rows_and_cols(SMALL), flat(SMALL, 2.0), SE3.identity()
    with pytest.raises(ValueError, match="size of camera_src"):
        forward_warp(image, z_depth, LARGE, still, LARGE)
    with pytest.raises(ValueError, match="> 0 m or NaN"):
        forward_warp(image, z_depth - 2, SMALL, still, SMALL)
    with pytest.raises(ValueError, match="image must match"):
        forward_warp(image[:, :4], z_depth, SMALL, still, SMALL)
    with pytest.raises(ValueError, match=r"\(\.\.\., channels, height, width\), got \(8, 12\)"):
        forward_warp(image[0], z_depth, SMALL, still, SMALL)
    with pytest.raises(ValueError, match="extra must match"):
        forward_warp(image, z_depth, SMALL, still, SMALL, extra=image[0, :4])


def test_more_poses_than_depth_maps_are_refused() -> None:
    camera, image = PinholeCamera.from_hfov(math.pi / 2, 8, 1), torch.arange(8).reshape(1, 1, 8)
    two = SE3.from_translation(torch.tensor([[-1.0, 0, 0], [30, 0, 0]]).double())
    with pytest.raises(ValueError, match=r"T_dst_src of batch \(2,\) must fit the depth maps' batch \(\)"):
        forward_warp(image, torch.full((1, 8), 2.0).double(), camera, two, camera)


def test_types_that_cannot_hold_what_is_asked_are_refused() -> None:
    camera, z_depth = PinholeCamera.from_hfov(math.pi / 2, 8, 1), torch.full((1, 8), 2.0).double()
    image, T = torch.zeros(1, 1, 8), SE3.identity()
    # The hook of the tests refuses it too; users run without the hook.
    with pytest.raises(ValueError, match="z_depth must be floating point"):
        check_layers(image, torch.full((1, 8), 2000), camera)
    with pytest.raises(ValueError, match="extra of type torch.uint8 cannot mark a hole"):
        forward_warp(image, z_depth, camera, T, camera, extra=torch.zeros(1, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="image of type torch.uint16 cannot mark a hole"):
        forward_warp(image.to(torch.uint16), z_depth, camera, T, camera)
