from __future__ import annotations

import math

import pytest
import torch

from geom import SE3, Sighting, bearing, distance, elevation, sight, sight_before_and_after

PI = math.pi


def point(x: float, y: float, z: float) -> torch.Tensor:
    return torch.tensor([x, y, z], dtype=torch.float64)


def random_points(*batch: int) -> torch.Tensor:
    return torch.randn(*batch, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("p_cam", "degrees"),
    [
        (point(0, 0, 2), 0),
        (point(1, 5, 1), 45),
        (point(3, -1, 0), 90),
        (point(-2, 0, 0), -90),
        (point(-1, 0, 1), -45),
        (point(1, 0, -1), 135),
        (point(0, 1, -1), 180),
        (point(-1, 0, -(3**0.5)), -150),
    ],
)
def test_bearing_counts_from_ahead_to_the_right(p_cam, degrees):
    assert math.degrees(bearing(p_cam).item()) == pytest.approx(degrees, abs=1e-13)


@pytest.mark.parametrize(
    ("p_cam", "degrees"),
    [
        (point(0, 0, 2), 0),
        (point(0, -1, 1), 45),
        (point(3, 5, -4), -45),
        (point(0, -2, 0), 90),
        (point(0, 3, 0), -90),
        (point(0, -1, -(3**0.5)), 30),
    ],
)
def test_elevation_counts_upwards_from_the_level_plane(p_cam, degrees):
    assert math.degrees(elevation(p_cam).item()) == pytest.approx(degrees, abs=1e-13)


def test_bearing_elevation_and_distance_rebuild_the_point():
    p_cam = random_points(4, 25)
    seen = sight(p_cam)
    level = seen.distance * seen.elevation.cos()
    rebuilt = torch.stack(
        [level * seen.bearing.sin(), -seen.distance * seen.elevation.sin(), level * seen.bearing.cos()], -1
    )
    torch.testing.assert_close(rebuilt, p_cam, rtol=0, atol=1e-14)
    sine = -p_cam[..., 1] / p_cam.norm(dim=-1)
    torch.testing.assert_close(elevation(p_cam), sine.asin(), rtol=0, atol=1e-12)


def test_distance_of_hand_worked_points():
    # (4, 5, 6) - (1, 1, 6) = (3, 4, 0): 5 metres. Points broadcast.
    q_a = torch.stack([point(1, 1, 6), point(4, 5, 6)])
    assert distance(point(4, 5, 6), q_a).tolist() == [5, 0]


def test_a_turn_to_the_right_moves_everything_to_the_left():
    before, after = sight_before_and_after(point(1, -1, 1), SE3.yaw_right(math.radians(30)))
    assert math.degrees(before.bearing.item()) == pytest.approx(45)
    assert math.degrees(after.bearing.item()) == pytest.approx(15)
    assert after.elevation.item() == pytest.approx(before.elevation.item())
    assert after.distance.item() == pytest.approx(3**0.5) and before.distance.item() == pytest.approx(3**0.5)


def test_a_step_forward_brings_things_nearer_and_to_the_side():
    # (1, 0, 2) seen after one metre forward is (1, 0, 1): 45 degrees right, sqrt 2 away, sqrt 5 before.
    before, after = sight_before_and_after(point(1, 0, 2), SE3.from_translation(point(0, 0, 1)))
    assert math.degrees(after.bearing.item()) == pytest.approx(45)
    assert (before.distance.item(), after.distance.item()) == pytest.approx((5**0.5, 2**0.5))


def test_the_mirror_image_of_a_point_has_the_opposite_bearing_and_all_else_equal():
    p_cam = random_points(50)
    seen, mirrored = sight(p_cam), sight(p_cam * point(-1, 1, 1))
    torch.testing.assert_close(mirrored.bearing, -seen.bearing)
    torch.testing.assert_close(mirrored.elevation, seen.elevation)
    torch.testing.assert_close(mirrored.distance, seen.distance)


def test_scaling_the_world_changes_distances_only():
    p_cam = random_points(50)
    torch.testing.assert_close(sight(3 * p_cam), Sighting(bearing(p_cam), elevation(p_cam), 3 * p_cam.norm(dim=-1)))


def test_what_has_no_direction_is_nan():
    assert bearing(torch.stack([point(0, 1, 0), point(0, 0, 0)])).isnan().all()
    assert elevation(point(0, 0, 0)).isnan()
    assert sight(point(0, 0, 0)).distance.item() == 0


@pytest.mark.parametrize("p_cam", [point(1, 2, 3), point(-1, 0.5, -2), point(1, 0, 0), point(0, 0, 1e-3)])
def test_gradients(p_cam):
    for function in (bearing, elevation, lambda p: distance(p, point(9, 9, 9))):
        assert torch.autograd.gradcheck(function, p_cam.clone().requires_grad_())


@pytest.mark.parametrize("p_cam", [point(0, 0, 0), point(0, 1, 0), point(0, -2, 0)])
def test_gradients_stay_finite_where_there_is_no_direction(p_cam):
    for function in (bearing, elevation, lambda p: distance(p, p_cam), lambda p: sight(p).distance):
        points = torch.stack([p_cam, point(1, 2, 3)]).requires_grad_()
        (gradient,) = torch.autograd.grad(function(points).sum(), points)
        assert gradient.isfinite().all() and gradient[1].abs().sum() > 0


def test_batches_agree_with_a_loop(dtype, device, tolerance):
    p_cam = random_points(6).to(device, dtype)
    motions = SE3.exp(torch.cat([random_points(4), random_points(4)], -1)).to(device, dtype)
    _, after = sight_before_and_after(p_cam, motions[:, None])
    assert after.bearing.shape == (4, 6) and after.bearing.dtype == dtype
    for i in range(4):
        for j in range(6):
            one = sight_before_and_after(p_cam[j], motions[i])[1]
            for got, expected in zip(after, one, strict=True):
                torch.testing.assert_close(got[i, j], expected, rtol=0, atol=tolerance)
