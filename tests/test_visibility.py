"""Shares of an object's silhouette: worked values, sums, and independence of how the camera is turned."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.camera import PinholeCamera
from geom.primitives import BOX, DISC, ELLIPSOID, Primitives
from geom.raycast import cast
from geom.se3 import SE3
from geom.visibility import Partition, in_view, partition, silhouette_grid

SQUARE = PinholeCamera.from_hfov(math.radians(90), 200, 200)
CORNERS = torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)]).double()


def hull_of(primitives: Primitives) -> torch.Tensor:
    return primitives.T_world_prim[:, None].act(primitives.half_size[:, None] * CORNERS).reshape(-1, 3)


def shares(
    primitives: Primitives, item_idx: int, camera: PinholeCamera = SQUARE, T_world_cam=None, n=40_000
) -> Partition:
    T_world_cam = T_world_cam or SE3.identity()
    own = primitives.select(primitives.item_idx == item_idx)
    direction, weight = silhouette_grid(hull_of(own), T_world_cam.t, num_rays=n)
    hit = cast(own, T_world_cam.t, direction).prim_idx >= 0
    first = cast(primitives, T_world_cam.t, direction[hit]).prim_idx
    d_cam = T_world_cam.inverse().rotate(direction[hit])
    return partition(d_cam, weight[hit], primitives.item_idx[first], item_idx, camera)


def place(code: list[int], centers, sizes, items) -> Primitives:
    t = torch.tensor(centers, dtype=torch.float64)
    return Primitives.build(code, SE3(torch.eye(3).double().expand(len(code), 3, 3), t), sizes, items)


def test_rays_of_a_small_hull_cover_its_solid_angle():
    # A disc of radius r at distance d, facing the camera, covers 2 pi (1 - d / sqrt(d^2 + r^2)) steradians.
    disc = place([DISC], [[0, 0, 3.0]], [[0.5, 0.5, 1]], [0])
    direction, weight = silhouette_grid(hull_of(disc), torch.zeros(3).double(), num_rays=100_000)
    seen = weight[cast(disc, torch.zeros(3).double(), direction).prim_idx >= 0].sum()
    assert float(seen) == pytest.approx(2 * math.pi * (1 - 3 / math.hypot(3, 0.5)), rel=1e-3)


def test_rays_around_a_hull_that_surrounds_the_camera_cover_the_sphere():
    room = place([BOX], [[0, 0, 0]], [[2, 2, 2]], [0])
    _, weight = silhouette_grid(hull_of(room), torch.zeros(3).double(), num_rays=1000)
    assert float(weight.sum()) == pytest.approx(4 * math.pi)


def test_rays_reach_into_every_corner_of_a_lopsided_hull():
    # Three points of a hull that is no mirror image of itself: rays in its bounds, and near each of its extremes.
    hull = torch.tensor([[1.0, 0.0, 4.0], [3.0, 0.5, 4.0], [1.2, 2.5, 4.0], [1.0, 0.0, 5.0]]).double()
    direction, _ = silhouette_grid(hull, torch.zeros(3).double(), num_rays=4000)
    unit, corners = (d / d.norm(dim=-1, keepdim=True) for d in (direction, hull))
    nearest = (unit @ corners.T).amax(0).clamp(max=1).arccos()
    assert float(nearest.max()) < math.radians(2)
    middle = corners.mean(0) / corners.mean(0).norm()
    assert float((unit @ middle).min()) > math.cos(2 * float((corners @ middle).min().arccos()))


def test_rays_over_the_sphere_go_all_ways_alike():
    room = place([BOX], [[0, 0, 0]], [[2, 2, 2]], [0])
    direction, _ = silhouette_grid(hull_of(room), torch.zeros(3).double(), num_rays=2000)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(2000).double())
    assert float(direction.mean(0).norm()) < 2e-3
    # Uniform over the sphere: the mean of d d' is a third of the identity.
    torch.testing.assert_close(direction.T @ direction / 2000, torch.eye(3).double() / 3, atol=2e-3, rtol=0)


def test_many_silhouettes_at_once_are_those_of_each_alone():
    """Among them one that surrounds its origin, and one whose points are there twice."""
    lopsided = torch.tensor([[1.0, 0.0, 4.0], [3.0, 0.5, 4.0], [1.2, 2.5, 4.0], [1.0, 0.0, 5.0]]).double()
    hulls = torch.stack([CORNERS * 2, CORNERS + 5, torch.cat([lopsided, lopsided])])
    origins = torch.tensor([[0.0, 0, 0], [0, 0.5, -1], [0, 0, 0.3]]).double()
    directions, weights = silhouette_grid(hulls, origins, num_rays=500)
    for i in range(3):
        hull = hulls[i] if i < 2 else lopsided
        direction, weight = silhouette_grid(hull, origins[i], num_rays=500)
        torch.testing.assert_close(directions[i], direction)
        torch.testing.assert_close(weights[i], weight)
    assert float(weights[0].sum()) == pytest.approx(4 * math.pi) and float(weights[1].sum()) < 1


def test_an_object_half_behind_another_is_half_hidden():
    # A wall at z = 2 covers x > 0; behind it a ball on the axis shows its left half.
    scene = place([ELLIPSOID, BOX], [[0, 0, 4.0], [2, 0, 2]], [[0.5, 0.5, 0.5], [2, 2, 0.01]], [0, 1])
    found = shares(scene, 0)
    assert found.visible == pytest.approx(0.5, abs=0.005)
    assert found.hidden_by == ((1, pytest.approx(0.5, abs=0.005)),)
    assert found.outside == found.behind == 0


def test_an_object_on_the_border_is_half_outside():
    # With 90 degrees of view the right border is the plane x = z; a ball centred on it is cut in half.
    ball = place([ELLIPSOID], [[3, 0, 3]], [[0.4, 0.4, 0.4]], [0])
    found = shares(ball, 0)
    assert found.visible == pytest.approx(0.5, abs=0.005)
    assert found.outside == pytest.approx(0.5, abs=0.005)


def test_an_object_beside_the_camera_is_half_behind():
    ball = place([ELLIPSOID], [[2, 0, 0]], [[0.4, 0.4, 0.4]], [0])
    found = shares(ball, 0)
    assert found.behind == pytest.approx(0.5, abs=0.005)
    assert found.outside == pytest.approx(0.5, abs=0.005)
    assert found.visible == 0


def test_two_hiders_are_named_largest_first():
    scene = place(
        [ELLIPSOID, BOX, BOX],
        [[0, 0, 4.0], [2, 0, 2], [-2.15, 0, 2]],
        [[0.5, 0.5, 0.5], [2, 2, 0.01], [2, 2, 0.01]],
        [0, 5, 3],
    )
    found = shares(scene, 0)
    assert [item for item, _ in found.hidden_by] == [5, 3]
    assert found.hidden == pytest.approx(sum(share for _, share in found.hidden_by))


@given(st.integers(0, 10_000))
def test_shares_sum_to_one_and_turning_changes_only_who_is_in_view(seed):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.rand(6, 3, generator=generator, dtype=torch.float64) * 6 - 3
    centers[:, 2] += 1
    sizes = torch.rand(6, 3, generator=generator, dtype=torch.float64) * 0.4 + 0.1
    camera_center = torch.tensor([0.0, 0.0, -1.5]).double()
    keep = ((centers - camera_center).norm(dim=-1) > 1.0).nonzero()[:, 0]
    scene = place([BOX] * len(keep), centers[keep].tolist(), sizes[keep].tolist(), list(range(len(keep))))
    for heading in (0.0, 2.0):
        found = shares(scene, 0, T_world_cam=SE3(SE3.yaw_right(heading).R.double(), camera_center), n=2000)
        assert found.visible + found.hidden + found.outside + found.behind == pytest.approx(1, abs=1e-12)


def test_moving_the_world_changes_no_share():
    scene = place([ELLIPSOID, BOX], [[0.2, 0, 4.0], [2, 0, 2]], [[0.5, 0.3, 0.5], [2, 2, 0.01]], [0, 1])
    motion = SE3.exp(torch.tensor([1.0, -2, 0.5, 0.0, 0.0, 0.8]).double())
    moved = Primitives(scene.shape_code, motion @ scene.T_world_prim, scene.half_size, scene.item_idx)
    here, there = shares(scene, 0), shares(moved, 0, T_world_cam=motion @ SE3.identity())
    assert here.visible == pytest.approx(there.visible, abs=0.01)
    assert here.hidden == pytest.approx(there.hidden, abs=0.01)


def test_directions_are_in_view_only_in_front_and_inside():
    d_cam = torch.tensor([[0, 0, 1.0], [0, 0, -1], [2, 0, 1], [0.5, 0, 1], [1, 0, 0]]).double()
    in_front, inside = in_view(d_cam, SQUARE)
    assert in_front.tolist() == [True, False, True, True, False]
    assert inside.tolist() == [True, False, False, True, False]


def test_refuses_what_has_no_silhouette():
    with pytest.raises(ValueError, match="at least 1"):
        silhouette_grid(CORNERS + 5, torch.zeros(3).double(), num_rays=0)
    with pytest.raises(ValueError, match="lies on a point"):
        silhouette_grid(CORNERS + 5, torch.full((3,), 4.0).double(), num_rays=9)
    empty = torch.zeros(0, 3).double()
    with pytest.raises(ValueError, match="no direction meets the object"):
        partition(empty, torch.zeros(0).double(), torch.zeros(0, dtype=torch.int64), 0, SQUARE)
