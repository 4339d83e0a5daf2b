"""Analytic ray casting against the definition of a first hit, by sampling; gradients, precision and refusals."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, PLANE, Primitives
from geom.raycast import Hit, cast, normals, unit_coords
from geom.se3 import SE3

ALL = [BOX, CYLINDER, ELLIPSOID, DISC, PLANE]
SEEDS = st.integers(0, 2**31 - 1)


def vec(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random_shapes(seed: int, codes: list[int]) -> Primitives:
    g, n = torch.Generator().manual_seed(seed), len(codes)
    pose = SE3.exp(torch.randn(n, 6, generator=g).double())
    return Primitives.build(codes, pose, torch.rand(n, 3, generator=g) * 0.6 + 0.1, list(range(n)))


def random_rays(seed: int, n: int, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    """Rays from around the shapes, aimed near them."""
    g = torch.Generator().manual_seed(seed + 1)
    origin = torch.randn(n, 3, generator=g).double() * spread
    return origin, torch.randn(n, 3, generator=g).double() - origin


def level(code: int, s: Tensor) -> Tensor:
    """Function of unit coordinates that is 1 on a solid's surface and less within; 0 on a flat shape's plane."""
    radial = s[..., :2].norm(dim=-1)
    solid = {
        BOX: s.abs().amax(-1),
        CYLINDER: torch.maximum(radial, s[..., 2].abs()),
        ELLIPSOID: s.norm(dim=-1),
    }
    return solid[code] if code in solid else s[..., 2]


def one(code: int, half_size: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Primitives:
    return Primitives.build([code], SE3.identity(1), [list(half_size)])


@pytest.mark.parametrize(
    ("code", "origin", "direction", "t"),
    [
        # half sizes (2, 1, 0.5) throughout
        (BOX, vec(-5, 0.9, 0), vec(2, 0, 0), 1.5),  # face x = -2 is 3 away, at speed 2
        (BOX, vec(-5, 1.1, 0), vec(2, 0, 0), torch.inf),
        (BOX, vec(0, 0, 0), vec(0, 0, -1), 0.5),  # from inside: the face where it leaves
        (CYLINDER, vec(0, -5, 0.4), vec(0, 1, 0), 4.0),  # flank y = -1
        (CYLINDER, vec(1.9, 0, 5), vec(0, 0, -1), 4.5),  # cap z = 0.5, along the axis
        (CYLINDER, vec(0, 1.01, 5), vec(0, 0, -1), torch.inf),  # beside the cap, along the axis
        (CYLINDER, vec(0, 0, 0), vec(1, 0, 0), 2.0),
        (ELLIPSOID, vec(0, 0, -3), vec(0, 0, 1), 2.5),
        (ELLIPSOID, vec(1.2, -4, 0), vec(0, 1, 0), 3.2),  # y = -sqrt(1 - 0.36) = -0.8
        (ELLIPSOID, vec(1.2, 0, 0), vec(0, 1, 0), 0.8),
        (DISC, vec(1.2, 0.79, 2), vec(0, 0, -0.5), 4.0),  # 0.36 + 0.6241 < 1
        (DISC, vec(1.2, 0.81, 2), vec(0, 0, -0.5), torch.inf),
        (DISC, vec(1.2, 0.0, -2), vec(0, 0, 1), 2.0),  # from below too
        (DISC, vec(-5, 0, 0), vec(1, 0, 0), torch.inf),  # edge-on
        (PLANE, vec(50, 70, 3), vec(0, 1, -1), 3.0),
        (PLANE, vec(0, 0, 3), vec(0, 1, 1), torch.inf),  # behind the ray
        (PLANE, vec(0, 0, 3), vec(0, 1, 0), torch.inf),  # parallel
    ],
)
def test_hand_worked_hits(code: int, origin: Tensor, direction: Tensor, t: float) -> None:
    hit = cast(one(code, (2.0, 1.0, 0.5)), origin, direction)
    assert float(hit.t) == pytest.approx(t, abs=1e-12)
    assert int(hit.prim_idx) == (-1 if t == torch.inf else 0)


@given(SEEDS)
def test_a_hit_lies_on_its_surface_and_nothing_lies_before_it(seed: int) -> None:
    shapes = random_shapes(seed, ALL)
    origin, direction = random_rays(seed, 40)
    hit = cast(shapes, origin, direction)
    share = torch.linspace(0, 1, 400, dtype=torch.float64)[1:-1]
    reach = hit.t.where(hit.t < torch.inf, 20.0)
    along = origin[:, None] + (reach[:, None] * share)[..., None] * direction[:, None]
    for k, code in enumerate(ALL):
        met = hit.prim_idx == k
        s = unit_coords(shapes, torch.tensor(k).expand(40), origin + reach[:, None] * direction)
        target = 1.0 if code in (BOX, CYLINDER, ELLIPSOID) else 0.0
        assert torch.allclose(level(code, s[met]), torch.tensor(target).double(), atol=1e-9)
        before = unit_coords(shapes, torch.tensor(k).expand(along.shape[:2]), along)
        value = level(code, before)
        if target == 1.0:
            inside = value < 1 - 1e-9
            assert bool((inside.all(1) | ~inside.any(1)).all())
        else:
            flips = (value[:, 1:] * value[:, :-1] < 0) & (before[:, 1:, :2].norm(dim=-1) < 0.9)
            assert not bool(flips.any()) if code == DISC else not bool((value[:, 0] * value[:, -1] < 0).any())


def test_many_rays_hit_each_shape() -> None:
    shapes = random_shapes(3, ALL)
    counts = torch.bincount(cast(shapes, *random_rays(3, 2000)).prim_idx + 1, minlength=6)
    assert bool((counts > 20).all())


def test_the_nearest_of_several_shapes_wins() -> None:
    at = SE3.from_translation(torch.tensor([[0.0, 0, 9], [0, 0, 5], [0, 0, 7]]).double())
    shapes = Primitives.build([BOX, ELLIPSOID, BOX], at, torch.ones(3, 3))
    hit = cast(shapes, vec(0, 0, 0), vec(0, 0, 1))
    assert (float(hit.t), int(hit.prim_idx)) == (4.0, 1)
    behind = cast(shapes.select(torch.tensor([0, 2])), vec(0, 0, 0), vec(0, 0, 1))
    assert (float(behind.t), int(behind.prim_idx)) == (6.0, 1)


def test_t_min_excludes_and_t_max_includes_its_own_value() -> None:
    box, origin, ahead = one(BOX), vec(0, 0, -3), vec(0, 0, 1)
    assert float(cast(box, origin, ahead, t_min=1.999).t) == 2.0
    assert float(cast(box, origin, ahead, t_min=2.0).t) == 4.0
    assert float(cast(box, origin, ahead, t_min=4.0).t) == torch.inf
    assert float(cast(box, origin, ahead, t_max=2.0).t) == 2.0
    assert int(cast(box, origin, ahead, t_max=1.999).prim_idx) == -1
    per_ray = cast(box, origin, ahead.expand(2, 3), t_max=vec(1.5, 2.5))
    assert per_ray.t.tolist() == [torch.inf, 2.0] and per_ray.prim_idx.tolist() == [-1, 0]


@pytest.mark.parametrize("code", [BOX, CYLINDER])
def test_a_ray_in_the_plane_between_two_stacked_shapes_meets_one_of_them(code: int) -> None:
    at = SE3.from_translation(torch.tensor([[0.0, 0, 1], [0, 0, -1]]).double())
    stack = Primitives.build([code, code], at, torch.ones(2, 3))
    assert float(cast(stack, vec(-4, 0.5, 0), vec(1, 0, 0)).t) < 4


def test_a_tangent_ray_meets_nothing() -> None:
    for code in (ELLIPSOID, CYLINDER):
        assert float(cast(one(code), vec(-4, 1, 0), vec(1, 0, 0)).t) == torch.inf
        assert float(cast(one(code), vec(-4, 1 - 1e-9, 0), vec(1, 0, 0)).t) < 4


def test_leading_dims_broadcast_and_chunks_change_nothing() -> None:
    shapes = random_shapes(2, ALL * 3)
    origin, direction = random_rays(2, 24)
    whole = cast(shapes, origin[:4, None], direction[:6])
    assert whole.t.shape == (4, 6)
    for i in range(4):
        for j in range(6):
            hit = cast(shapes, origin[i], direction[j])
            assert int(hit.prim_idx) == int(whole.prim_idx[i, j])
            assert torch.allclose(hit.t, whole.t[i, j], rtol=1e-12)
    for chunk in (1, 5, 24):
        small = cast(shapes, origin, direction, chunk=chunk)
        assert torch.equal(small.prim_idx, cast(shapes, origin, direction).prim_idx)
        assert torch.allclose(small.t, cast(shapes, origin, direction).t, rtol=1e-12)
    one_origin = cast(shapes, origin[:1], direction)
    assert torch.allclose(one_origin.t, cast(shapes, origin[0].expand(24, 3).clone(), direction).t, rtol=1e-12)


def test_no_shapes_and_no_rays_give_empty_answers() -> None:
    none = random_shapes(1, ALL).select(torch.zeros(5, dtype=torch.bool))
    hit = cast(none, vec(0, 0, 0), vec(0, 0, 1).expand(2, 3))
    assert hit.t.tolist() == [torch.inf] * 2 and hit.prim_idx.tolist() == [-1, -1]
    empty = cast(one(BOX), vec(0, 0, 0), torch.zeros(0, 3).double())
    assert isinstance(empty, Hit) and empty.t.shape == (0,) and empty.prim_idx.dtype == torch.int64


@given(SEEDS)
def test_moving_the_whole_world_changes_no_hit(seed: int) -> None:
    shapes = random_shapes(seed, ALL)
    origin, direction = random_rays(seed, 50)
    T_moved_world = SE3.exp(torch.randn(6, generator=torch.Generator().manual_seed(seed)).double())
    before = cast(shapes, origin, direction)
    after = cast(shapes.moved(T_moved_world), T_moved_world.act(origin), T_moved_world.rotate(direction))
    assert torch.equal(before.prim_idx, after.prim_idx)
    assert torch.allclose(before.t, after.t, rtol=1e-6)


def test_float32_agrees_with_float64_away_from_silhouettes() -> None:
    shapes = random_shapes(4, ALL * 4)
    origin, direction = random_rays(4, 3000)
    exact = cast(shapes, origin, direction)
    single = cast(shapes.to(dtype=torch.float32), origin.float(), direction.float())
    same = single.prim_idx == exact.prim_idx
    assert single.t.dtype == torch.float32 and float(same.double().mean()) > 0.999
    met = same & (exact.prim_idx >= 0)
    n = normals(shapes, exact.prim_idx, origin + exact.t[:, None] * direction)
    facing = (n * direction).sum(-1).abs() / direction.norm(dim=-1)
    steep = met & (facing > 0.05)
    assert torch.allclose(single.t[steep].double(), exact.t[steep], rtol=1e-5, atol=1e-6)


def test_small_far_shapes_keep_their_silhouette_in_float32() -> None:
    # A ball of 5 mm at 10 m: b^2 - a c in float32 would blur its outline by more than its radius.
    ball = Primitives.build([ELLIPSOID], SE3.from_translation(torch.tensor([[0.0, 0, 10]])), [[0.005] * 3])
    across = torch.linspace(-0.01, 0.01, 401)
    direction = torch.stack([across, torch.zeros(401), torch.full((401,), 10.0)], -1)
    met = cast(ball, torch.zeros(3), direction).prim_idx == 0
    assert torch.equal(met, across.abs() < 0.005) or int((met != (across.abs() < 0.005)).sum()) <= 2


def gradient_holds(shapes: Primitives, origin: Tensor, direction: Tensor) -> bool:
    def t_of(o: Tensor, d: Tensor, xi: Tensor, size: Tensor) -> Tensor:
        pose = shapes.T_world_prim @ SE3.exp(xi)
        return cast(Primitives(shapes.shape_code, pose, size, shapes.item_idx), o, d).t

    inputs = (origin, direction, torch.zeros(len(shapes), 6).double(), shapes.half_size)
    return torch.autograd.gradcheck(t_of, [x.clone().requires_grad_() for x in inputs])


@pytest.mark.parametrize("code", ALL)
def test_t_passes_gradcheck_at_generic_rays_from_outside_and_inside(code: int) -> None:
    shapes = random_shapes(6, [code])
    origin, direction = random_rays(6, 1000)
    met = cast(shapes, origin, direction).prim_idx >= 0
    assert int(met.sum()) >= 3
    assert gradient_holds(shapes, origin[met][:3], direction[met][:3])
    if code in (BOX, CYLINDER, ELLIPSOID):
        assert gradient_holds(shapes, shapes.T_world_prim.t[0] + 0.01, direction[met][:2])


@pytest.mark.parametrize(
    ("code", "origin", "direction"),
    [
        (BOX, vec(-3, 0.2, 0.1), vec(1, 0, 0)),  # along an axis: two components are exactly 0
        (BOX, vec(0, 0, 0), vec(0, 1, 0)),
        (CYLINDER, vec(0.2, 0.1, 4), vec(0, 0, -1)),  # along the axis: no flank is ever met
        (CYLINDER, vec(0, 0, 4), vec(0, 0, -1)),  # on the axis
        (CYLINDER, vec(-3, 0.5, 0), vec(1, 0, 0)),  # across it, one radial component 0
        (ELLIPSOID, vec(-3, 0, 0), vec(1, 0, 0)),  # through the centre
        (ELLIPSOID, vec(0, 0, 0), vec(0, 0, 1)),  # from the centre
        (DISC, vec(0, 0, 3), vec(0, 0, -1)),
        (PLANE, vec(0, 0, 3), vec(0, 0, -1)),
    ],
)
def test_t_passes_gradcheck_at_singular_rays(code: int, origin: Tensor, direction: Tensor) -> None:
    assert gradient_holds(one(code, (1.1, 0.9, 0.8)), origin, direction)


def test_rays_that_miss_or_touch_do_not_poison_the_gradients_of_others() -> None:
    origin = vec(-4, 1, 0).requires_grad_()
    direction = torch.stack([vec(1, 0, 0), vec(-1, 0, 0), vec(4, -1, 0)]).requires_grad_()
    hit = cast(one(ELLIPSOID), origin, direction)
    assert hit.prim_idx.tolist() == [-1, -1, 0]
    hit.t[hit.prim_idx >= 0].sum().backward()
    for x in (origin, direction):
        assert x.grad is not None and bool(x.grad.isfinite().all()) and float(x.grad.abs().max()) > 0


def test_normals_are_the_gradients_of_the_distance_that_a_ray_travels() -> None:
    # Moving the origin by e changes t by -(n . e) / (n . d): so n is parallel to dt/do.
    shapes = random_shapes(8, ALL * 2)
    origin, direction = random_rays(8, 300)
    o = origin.clone().requires_grad_()
    hit = cast(shapes, o, direction)
    met = hit.prim_idx >= 0
    hit.t[met].sum().backward()
    n = normals(shapes, hit.prim_idx, (origin + hit.t.detach()[:, None] * direction))
    assert o.grad is not None
    parallel = o.grad[met] / o.grad[met].norm(dim=-1, keepdim=True)
    assert torch.allclose((parallel * n[met]).sum(-1).abs(), torch.ones(1).double(), atol=1e-9)
    assert bool(n[~met].isnan().all())


def test_normals_of_solids_point_outward() -> None:
    shapes = random_shapes(9, [BOX, CYLINDER, ELLIPSOID] * 2)
    inner = shapes.T_world_prim.t[:, None].expand(6, 50, 3)
    outward = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double().expand(6, 50, 3)
    for k in range(6):
        alone = shapes.select(torch.tensor([k]))
        hit = cast(alone, inner[k], outward[k])
        n = normals(alone, hit.prim_idx, inner[k] + hit.t[:, None] * outward[k])
        assert torch.allclose(n.norm(dim=-1), torch.ones(1).double())
        assert bool(((n * outward[k]).sum(-1) > 0).all())


def test_hand_worked_normals() -> None:
    index = torch.tensor(0)
    box, drum = one(BOX, (2.0, 1.0, 0.5)), one(CYLINDER, (1.0, 1.0, 0.5))
    assert normals(box, index, vec(-2, 0.3, 0.1)).tolist() == [-1, 0, 0]
    assert normals(drum, index, vec(0.2, 0.1, -0.5)).tolist() == [0, 0, -1]
    assert normals(drum, index, vec(0.6, 0.8, 0.4)).tolist() == pytest.approx([0.6, 0.8, 0])
    # Ellipsoid x^2 / 4 + y^2 = 1 at (2 cos, sin) of 45 deg: normal parallel to (cos / 2, sin).
    q = math.sqrt(0.5)
    n = normals(one(ELLIPSOID, (2.0, 1.0, 1.0)), index, vec(2 * q, q, 0))
    assert n.tolist() == pytest.approx([1 / math.sqrt(5), 2 / math.sqrt(5), 0])
    for flat in (DISC, PLANE):
        assert normals(one(flat), index, vec(0.1, 0.2, 0)).tolist() == [0, 0, 1]


def test_unit_coordinates_undo_pose_and_size() -> None:
    shapes = random_shapes(5, ALL)
    s = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)).double()
    p_world = shapes.T_world_prim.act(s * shapes.half_size)
    assert torch.allclose(unit_coords(shapes, torch.arange(5), p_world), s)
    assert bool(unit_coords(shapes, torch.tensor(-1), p_world[0]).isnan().all())


def test_each_device_gives_the_same_hits(device: torch.device) -> None:
    shapes = random_shapes(4, ALL * 4)
    origin, direction = random_rays(4, 500)
    here, there = (
        cast(shapes, origin, direction),
        cast(shapes.to(device=device), origin.to(device), direction.to(device)),
    )
    assert there.t.device.type == device.type
    assert torch.equal(here.prim_idx, there.prim_idx.cpu()) and torch.allclose(here.t, there.t.cpu(), rtol=1e-9)


def test_bad_rays_are_refused() -> None:
    box, origin, ahead = one(BOX), vec(0, 0, -3), vec(0, 0, 1)
    with pytest.raises(ValueError, match="origin must be .* torch.float64 on cpu like the primitives"):
        cast(box, origin.float(), ahead)
    with pytest.raises(ValueError, match="direction must be .* convert with Primitives.to"):
        cast(box, origin, ahead.float())
    for wrong in (vec(0, 0, 0), vec(0, math.nan, 1), vec(0, 0, math.inf)):
        with pytest.raises(ValueError, match="directions must be finite and not zero"):
            cast(box, origin, torch.stack([ahead, wrong]))
    with pytest.raises(ValueError, match="origins must be finite"):
        cast(box, vec(0, 0, math.nan), ahead)
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        cast(box, origin, ahead, chunk=0)


@pytest.mark.parametrize("dx", [0.0, 1e-15, 1e-9])
def test_a_ray_along_a_cylinders_axis_has_finite_gradients(dx: float, dtype: torch.dtype) -> None:
    cylinder = Primitives.build([CYLINDER], SE3.identity(1, dtype=dtype), [[1.0, 1, 1]])
    direction = torch.tensor([dx, 0, 1], dtype=dtype, requires_grad=True)
    hit = cast(cylinder, torch.tensor([0.5, 0.2, -3.0], dtype=dtype), direction)
    hit.t.backward()
    assert float(hit.t.detach()) == pytest.approx(2.0) and direction.grad is not None
    # t dz = 2, so dt/ddz = -2; nothing else moves the cap.
    assert direction.grad.tolist() == pytest.approx([0, 0, -2])
    beside = cast(cylinder, torch.tensor([1.5, 0, -3.0], dtype=dtype), direction)
    assert bool(torch.isinf(beside.t))


def test_one_origin_may_have_leading_dimensions() -> None:
    ball = Primitives.build([ELLIPSOID], SE3.identity(1), [[1.0, 1, 1]])
    direction = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    hit = cast(ball, torch.zeros(1, 1, 3).double(), direction)
    torch.testing.assert_close(hit.t, 1 / direction.norm(dim=-1))
