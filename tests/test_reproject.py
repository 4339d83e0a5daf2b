"""A view moved into another: what is explained, what may be hidden, and how exact the rest is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from geom import SE3, PinholeCamera
from synth.reproject import Shot, _lattice, compare, stacked

EXACT: Any = {"dtype": torch.float64}
CAMERA = PinholeCamera(torch.tensor([[60, 0, 40], [0, 60, 30], [0, 0, 1]], **EXACT), 80, 60)


def wall(z: float | int, x: float | int = 0) -> Shot:
    """A camera at (x, 0, 0) that looks straight at a wall z metres off."""
    return Shot(CAMERA, SE3.from_translation(torch.tensor([x, 0, 0], **EXACT)), torch.full((60, 80), z, **EXACT))


def test_a_view_explains_itself_wholly() -> None:
    found = compare(wall(2), wall(2))
    assert float(found.explained) == pytest.approx(1)
    assert float(found.residual) == pytest.approx(0, abs=1e-12)


def test_behind_a_surface_says_nothing_of_exactness_and_in_front_of_it_is_a_residual() -> None:
    behind, before = compare(wall(2), wall(1)), compare(wall(2), wall(4))
    assert behind.explained < 1e-6 and before.explained < 1e-6
    assert behind.residual.isnan() and float(before.residual) == pytest.approx(0.5)


def test_the_residual_is_relative_to_what_was_measured() -> None:
    found = compare(wall(2.04), wall(2))
    assert float(found.residual) == pytest.approx(0.02)
    assert float(found.explained) == pytest.approx(math.exp(-0.02 / 0.03))


def test_what_the_motion_leaves_in_the_picture_is_explained() -> None:
    assert float(compare(wall(2), wall(2, x=2 * 40 / 60)).explained) == pytest.approx(0.5, abs=0.03)
    assert compare(wall(2), wall(2, x=50)).explained == 0


def test_behind_the_camera_and_without_depth_nothing_is_compared() -> None:
    turned = replace(wall(2), T_world_cam=SE3.yaw_right(math.pi))
    unknown = replace(wall(2), z_depth=torch.full((60, 80), math.nan, **EXACT))
    for a, b in [(wall(2), turned), (unknown, wall(2)), (wall(2), unknown)]:
        found = compare(a, b)
        assert float(found.explained) == 0 and found.residual.isnan()


def test_readings_at_once_are_readings_one_by_one_and_without_a_pose_nothing_is_said() -> None:
    zoomed = replace(CAMERA, K=CAMERA.K * torch.tensor([[1.5], [1.5], [1]], **EXACT))
    nowhere = SE3(torch.full((3, 3), math.nan, **EXACT), torch.full((3,), math.nan, **EXACT))
    a = [wall(2), replace(wall(2), camera=zoomed), wall(2, 0.1), wall(2)]
    b = [wall(2, 0.3), replace(wall(2, 0.3), camera=zoomed), wall(2), replace(wall(2), T_world_cam=nowhere)]
    whole = compare(stacked(a), stacked(b))
    single = [compare(x, y) for x, y in zip(a, b, strict=True)]
    assert whole.explained.tolist()[:3] == pytest.approx([float(c.explained) for c in single[:3]], abs=1e-12)
    assert whole.residual.tolist()[:3] == pytest.approx([float(c.residual) for c in single[:3]], abs=1e-12)
    assert whole.explained[3].isnan() and single[3].explained.isnan() and whole.residual[3].isnan()


@pytest.mark.parametrize("size", [(10, 10), (60, 80), (120, 160), (173, 299), (480, 640)])
def test_the_lattice_is_a_coarser_camera_whose_pixels_are_pixels(size: tuple[int, int]) -> None:
    camera = PinholeCamera.from_hfov(1.0, size[1], size[0]).crop(3, -2, size[1], size[0])
    u, v = camera.pixel_centers().unbind(-1)
    coarse, col = _lattice(Shot(camera, SE3.identity(), u))
    row = _lattice(Shot(camera, SE3.identity(), v))[1]
    assert col.shape == (coarse.height, coarse.width) and col.numel() <= 5000
    want = camera.rays(torch.stack([col, row], -1))
    assert torch.allclose(coarse.rays(coarse.pixel_centers()), want, atol=1e-12)
