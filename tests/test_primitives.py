"""Primitives: what is checked, and that selecting, moving and bounding keep the shapes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, PLANE, SHAPE_NAMES, Primitives
from geom.raycast import cast
from geom.se3 import SE3

ALL = [BOX, CYLINDER, ELLIPSOID, DISC, PLANE]


def shapes_at(n: int, seed: int = 0) -> SE3:
    xi = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)).double()
    return SE3.exp(xi)


def unit_points(code: int, g: torch.Generator) -> torch.Tensor:
    """Random points of the unit shape, many of them on its outermost parts."""
    p = torch.rand(500, 3, generator=g).double() * 2 - 1
    p = torch.cat([p, p.sign()])
    if code in (CYLINDER, DISC):
        p[:, :2] = p[:, :2] / p[:, :2].norm(dim=-1, keepdim=True)
    return p / p.norm(dim=-1, keepdim=True) if code == ELLIPSOID else p * (p.new_tensor([1, 1, code != DISC]))


def test_the_names_follow_the_codes() -> None:
    assert [SHAPE_NAMES[code] for code in ALL] == ["box", "cylinder", "ellipsoid", "disc", "plane"]


def test_build_takes_lists_follows_the_pose_and_makes_flat_shapes_one_thick() -> None:
    shapes = Primitives.build(ALL, shapes_at(5).to(torch.float32), [[2.0, 3.0, 0.5]] * 3 + [[2.0, 3.0, 0.0]] * 2)
    assert shapes.dtype == torch.float32 and shapes.half_size[:, 2].tolist() == [0.5, 0.5, 0.5, 1.0, 1.0]
    assert shapes.item_idx.tolist() == [0] * 5 and len(shapes) == 5 and shapes.device.type == "cpu"
    assert shapes.to(dtype=torch.float64).T_world_prim.t.dtype == torch.float64


def test_selection_by_mask_and_by_position_keeps_rows_together() -> None:
    shapes = Primitives.build(ALL, shapes_at(5), torch.rand(5, 3) + 0.1, [0, 1, 1, 2, -1])
    by_mask = shapes.select(shapes.item_idx == 1)
    by_position = shapes.select(torch.tensor([2, 1]))
    assert by_mask.shape_code.tolist() == [CYLINDER, ELLIPSOID]
    for name in ("shape_code", "half_size", "item_idx"):
        assert torch.equal(getattr(by_position, name), getattr(by_mask, name).flip(0))
    assert torch.equal(by_position.T_world_prim.t, shapes.T_world_prim.t[[2, 1]])
    assert torch.equal(by_position.T_world_prim.R, shapes.T_world_prim.R[[2, 1]])


def test_moving_the_world_moves_every_point_of_every_shape() -> None:
    shapes = Primitives.build(ALL, shapes_at(5), torch.rand(5, 3) + 0.1)
    T_moved_world = shapes_at(1, seed=9)[0]
    s = torch.tensor([0.3, -0.7, 1.0]).double()
    p_world = shapes.T_world_prim.t + (shapes.axes() @ s)
    moved = shapes.moved(T_moved_world)
    assert torch.allclose(moved.T_world_prim.t + moved.axes() @ s, T_moved_world.act(p_world))


@given(st.integers(0, 2**31 - 1), st.sampled_from([BOX, CYLINDER, ELLIPSOID, DISC]))
def test_the_bounding_sphere_holds_the_shape_and_touches_it_where_it_can(seed: int, code: int) -> None:
    g = torch.Generator().manual_seed(seed)
    shape = Primitives.build([code], shapes_at(1, seed), torch.rand(1, 3, generator=g) + 0.1)
    center, radius = shape.bounding_spheres()
    points = shape.T_world_prim.act(unit_points(code, g) * shape.half_size)
    reach = float((points - center).norm(dim=-1).max() / radius)
    assert 0.99 < reach < 1 + 1e-12 if code != CYLINDER else 0.9 < reach < 1 + 1e-12


def test_a_plane_has_no_finite_bounding_sphere() -> None:
    shape = Primitives.build([PLANE], SE3.identity(1), [[1.0, 1.0, 1.0]])
    assert shape.bounding_spheres()[1].tolist() == [torch.inf]


def test_bad_shapes_are_refused() -> None:
    pose, size = SE3.identity(2), [[1.0, 1.0, 1.0]] * 2
    with pytest.raises(ValueError, match="n shapes need"):
        Primitives.build([BOX], pose, size)
    with pytest.raises(ValueError, match="n shapes need"):
        Primitives.build([BOX, BOX], pose, size, [0])
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="shape_code must be 0..4"):
            Primitives.build([BOX, wrong], pose, size)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="half_size must be finite and > 0 m.*for shape 1"):
            Primitives.build([BOX, BOX], pose, [[1.0, 1.0, 1.0], [1.0, 1.0, wrong]])
    with pytest.raises(ValueError, match="item_idx must be -1"):
        Primitives.build([BOX, BOX], pose, size, [0, -2])


def test_poses_that_are_not_rigid_are_refused() -> None:
    eye = torch.eye(3).double()[None]
    with pytest.raises(ValueError, match="positions must be finite"):
        Primitives.build([BOX], SE3(eye, torch.tensor([[math.nan, 0, 3]]).double()), [[1.0, 1, 1]])
    with pytest.raises(ValueError, match="reflected"):
        mirror = torch.diag(torch.tensor([1.0, 1, -1]).double())[None]
        Primitives.build([BOX], SE3(mirror, torch.zeros(1, 3).double()), [[1.0, 1, 1]])


@given(st.integers(0, 10_000))
def test_a_point_is_inside_where_every_ray_from_it_leaves_through_the_surface(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    xi = torch.randn(3, 6, generator=generator).double()
    size = torch.rand(3, 3, generator=generator).double() + 0.3
    size[1, 1] = size[1, 0]
    solids = Primitives.build([BOX, CYLINDER, ELLIPSOID], SE3.exp(xi), size)
    point = xi[seed % 3, :3] + torch.randn(3, generator=generator).double() * 0.5
    directions = torch.randn(40, 3, generator=generator).double()
    for k, is_inside in enumerate(solids.contains(point).tolist()):
        one = solids.select(torch.tensor([k]))
        assert is_inside == bool((cast(one, point, directions).prim_idx >= 0).all())
