"""Analytic ray casting: a ray is taken into each shape's unit frame, where t along it keeps its meaning.

Only arithmetic on tensors: float32 or float64, CPU or CUDA, independent of the triangles of geom.embree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, PLANE, Primitives

# Ray-shape pairs worked on at once: small blocks stay in a core's cache, a GPU wants large ones.
_PAIRS_CPU = 131_072
_PAIRS_CUDA = 8_388_608
# Added to components that are divided by: 1 / 1e-18 is far beyond any scene, its square fits float32
# and no component that matters notices. A ray in the plane between two stacked boxes meets one, not neither.
TINY = 1e-18
ALONG = 1e-18
"""Square of the slope, against a cylinder's axis, below which a ray counts as parallel to it."""

_Axes = tuple[Tensor, Tensor, Tensor]


class Hit(NamedTuple):
    """First surface met by each ray.

    Args:
        t: multiple of the ray's direction at which it is met; +inf where nothing is met. With directions of
            z = 1 in the camera frame this is the z-depth, with unit directions the ray distance.
        prim_idx: which primitive is met; -1 where nothing is met.
    """

    t: Float[Tensor, "*batch"]
    prim_idx: Int[Tensor, "*batch"]


def cast(
    primitives: Primitives,
    origin: Float[Tensor, "*#batch 3"],
    direction: Float[Tensor, "*#batch 3"],
    *,
    t_min: float = 0.0,
    t_max: float | Float[Tensor, "*#batch"] = torch.inf,
    chunk: int | None = None,
) -> Hit:
    """Find the first surface that each ray meets, exactly.

    A ray that starts inside a solid meets the face where it leaves; a tangent ray meets nothing. Between
    coincident surfaces the choice is arbitrary but repeatable. Gradients of t reach origin, direction and the
    primitives' poses and sizes; which primitive is met is piecewise constant.

    Args:
        origin: where rays start, world, metres; leading dims broadcast against those of direction.
        direction: world, any length > 0.
        t_min: surfaces at or before it are not met.
        t_max: surfaces beyond it are not met; a number or one per ray.
        chunk: rays worked on at once, to bound memory; chosen by the number of primitives when None.

    Raises:
        ValueError: if dtypes or devices differ, a ray is not finite, a direction is zero, or chunk < 1.

    >>> from geom.se3 import SE3
    >>> ball = Primitives.build([ELLIPSOID], SE3.identity(1), torch.ones(1, 3))
    >>> origin = torch.tensor([0.0, 0.0, -3.0], dtype=torch.float64)
    >>> cast(ball, origin, torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)).t.item()
    1.0
    """
    origin, direction = checked_rays(primitives, origin, direction)
    batch = torch.broadcast_shapes(origin.shape[:-1], direction.shape[:-1])
    o = origin.reshape(1, 3) if origin.numel() == 3 else origin.expand(*batch, 3)
    o, d = o.reshape(-1, 3), direction.expand(*batch, 3).reshape(-1, 3)
    rows = _chunk_rows(primitives, chunk)
    with torch.no_grad():
        groups = shape_groups(primitives)
        parts = [
            _nearest(groups, o if len(o) == 1 else o[i : i + rows], d[i : i + rows], t_min)
            for i in range(0, len(d), rows)
        ]
    t = torch.cat([part[0] for part in parts]) if parts else d.new_empty(0)
    prim_idx = torch.cat([part[1] for part in parts]) if parts else torch.empty(0, dtype=torch.int64, device=d.device)
    if torch.is_grad_enabled() and _wants_grad(primitives, o, d):
        t = _differentiable(primitives, o, d, t_min, t, prim_idx)
    return _within(Hit(t.reshape(batch), prim_idx.reshape(batch)), t_max)


def unit_coords(
    primitives: Primitives, prim_idx: Int[Tensor, "*batch"], p_world: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Take world points into the unit frame of their primitive; NaN where prim_idx is -1.

    >>> from geom.se3 import SE3
    >>> box = Primitives.build([BOX], SE3.identity(1), [[2.0, 1.0, 1.0]])
    >>> unit_coords(box, torch.tensor(0), torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)).tolist()
    [0.5, 1.0, 0.0]
    """
    index = prim_idx.clamp_min(0)
    offset = p_world - primitives.T_world_prim.t[index]
    unit = (offset[..., None, :] @ primitives.T_world_prim.R[index])[..., 0, :] / primitives.half_size[index]
    return unit.masked_fill((prim_idx < 0)[..., None], torch.nan)


def normals(
    primitives: Primitives, prim_idx: Int[Tensor, "*batch"], p_world: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Outward unit normals (world) at points on the surface of their primitive; NaN where prim_idx is -1.

    A point beside the surface gets the normal of the scaled copy of the shape through it. A DISC or PLANE has
    its own +z for outward, from either side.
    """
    index = prim_idx.clamp_min(0)
    unit = unit_coords(primitives, prim_idx, p_world)
    by_shape = torch.stack([_box_normal(unit), _cylinder_normal(unit), unit, _up(unit), _up(unit)])
    code = primitives.shape_code[index].expand(unit.shape[:-1])
    n_unit = by_shape.gather(0, code[None, ..., None].expand(1, *unit.shape))[0]
    n_world = (primitives.T_world_prim.R[index] @ (n_unit / primitives.half_size[index])[..., None])[..., 0]
    n_world = n_world / n_world.norm(dim=-1, keepdim=True)
    return n_world.masked_fill((prim_idx < 0)[..., None], torch.nan)


def checked_rays(primitives: Primitives, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return rays that can be cast.

    Raises:
        ValueError: if dtypes or devices differ, a ray is not finite, or a direction is zero.
    """
    for name, rays in (("origin", origin), ("direction", direction)):
        if rays.shape[-1:] != (3,) or rays.dtype != primitives.dtype or rays.device != primitives.device:
            raise ValueError(
                f"{name} must be (..., 3) {primitives.dtype} on {primitives.device} like the primitives, "
                f"got {tuple(rays.shape)} {rays.dtype} on {rays.device}; convert with Primitives.to"
            )
    length2 = direction.detach().square().sum(-1)
    if not bool(((length2 > 0) & (length2 < torch.inf)).all()):
        raise ValueError("directions must be finite and not zero, got NaN, inf or (0, 0, 0); mask invalid pixels first")
    if not bool(torch.isfinite(origin).all()):
        raise ValueError("origins must be finite, got NaN or inf; was a pose or depth invalid?")
    return origin, direction


def _chunk_rows(primitives: Primitives, chunk: int | None) -> int:
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1 ray, got {chunk}")
    return chunk or max(pairs_at_once(primitives.device) // max(len(primitives), 1), 256)


def pairs_at_once(device: torch.device) -> int:
    """How many pairs of ray and shape are worked on at once to bound memory."""
    return _PAIRS_CUDA if device.type == "cuda" else _PAIRS_CPU


def _wants_grad(primitives: Primitives, o: Tensor, d: Tensor) -> bool:
    pose = primitives.T_world_prim
    return any(x.requires_grad for x in (o, d, pose.R, pose.t, primitives.half_size))


def _within(hit: Hit, t_max: float | Tensor) -> Hit:
    if isinstance(t_max, float) and t_max == torch.inf:
        return hit
    beyond = hit.t > t_max
    return Hit(hit.t.masked_fill(beyond, torch.inf), hit.prim_idx.masked_fill(beyond, -1))


class ShapeGroup(NamedTuple):
    """The primitives of one shape, with the affine map p_unit = A @ p_world - b into their unit frames."""

    first_hit: Callable[[_Axes, _Axes, float], Tensor]
    members: Tensor
    A: Tensor
    b: Tensor


def shape_groups(primitives: Primitives) -> list[ShapeGroup]:
    """Sort primitives by shape, each shape that occurs."""
    found = [((primitives.shape_code == code).nonzero()[:, 0], f) for code, f in _FIRST_HIT.items()]
    groups = []
    for members, first_hit in found:
        if len(members) > 0:
            A = _unit_from_world(primitives, members)
            b = A @ primitives.T_world_prim.t[members, :, None]
            # Axis first, so that the x, y and z of all pairs lie in three contiguous blocks.
            groups.append(ShapeGroup(first_hit, members, A.transpose(0, 1).reshape(-1, 3), b.transpose(0, 1)))
    return groups


def _nearest(groups: list[ShapeGroup], o: Tensor, d: Tensor, t_min: float) -> tuple[Tensor, Tensor]:
    """First hit of each ray, one shape at a time so that all pairs of a block share one formula."""
    best = d.new_full((len(d),), torch.inf)
    best_idx = torch.full((len(d),), -1, dtype=torch.int64, device=d.device)
    for group in groups:
        n = len(group.members)
        o_unit = (group.A @ o.mT).view(3, n, -1) - group.b
        d_unit = (group.A @ d.mT).view(3, n, -1)
        t, winner = group.first_hit(axes_of(o_unit), axes_of(d_unit), t_min).min(dim=0)
        closer = t < best
        best = torch.where(closer, t, best)
        best_idx = torch.where(closer, group.members[winner], best_idx)
    return best, best_idx


def _unit_from_world(primitives: Primitives, members: Tensor) -> Tensor:
    return primitives.T_world_prim.R[members].mT / primitives.half_size[members, :, None]


def axes_of(rays: Tensor) -> _Axes:
    """Return x, y and z, which lie along the first dimension."""
    return rays[0], rays[1], rays[2]


def _differentiable(primitives: Primitives, o: Tensor, d: Tensor, t_min: float, t: Tensor, prim_idx: Tensor) -> Tensor:
    """Solve again, with gradients, for the winners alone: memory and graph stay linear in the rays."""
    o = o.expand(d.shape)
    code = primitives.shape_code[prim_idx.clamp_min(0)].masked_fill(prim_idx < 0, -1)
    for shape, first_hit in _FIRST_HIT.items():
        rays = (code == shape).nonzero()[:, 0]
        if len(rays) == 0:
            continue
        members = prim_idx[rays]
        A = _unit_from_world(primitives, members)
        o_unit = (A @ (o[rays] - primitives.T_world_prim.t[members])[..., None])[..., 0]
        d_unit = (A @ d[rays][..., None])[..., 0]
        again = first_hit(axes_of(o_unit.mT), axes_of(d_unit.mT), t_min)
        # Rounding may turn a tangent hit into a miss here: such a ray keeps its t and has no gradient.
        t = t.index_put((rays,), torch.where(again < torch.inf, again, t[rays]))
    return t


def _first_after(t_in: Tensor, t_out: Tensor, t_min: float) -> Tensor:
    t = torch.where(t_in > t_min, t_in, t_out)
    return torch.where((t_in <= t_out) & (t > t_min), t, torch.inf)


def _slab(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (d + TINY).reciprocal()
    middle, half = o * inverse, inverse.abs()
    return -middle - half, half - middle


def _box(o: _Axes, d: _Axes, t_min: float) -> Tensor:
    (x_in, x_out), (y_in, y_out), (z_in, z_out) = (_slab(*axis) for axis in zip(o, d, strict=True))
    t_in = torch.maximum(torch.maximum(x_in, y_in), z_in)
    t_out = torch.minimum(torch.minimum(x_out, y_out), z_out)
    return _first_after(t_in, t_out, t_min)


def _cylinder(o: _Axes, d: _Axes, t_min: float) -> Tensor:
    (ox, oy, oz), (dx, dy, dz) = o, d
    length2 = dx * dx + dy * dy
    # A ray along the axis stays inside or outside for ever. Its length across is replaced before it divides: what
    # nearly nothing divides overflows in the gradient.
    along = length2 <= ALONG * dz * dz
    length2 = length2.where(~along, length2.new_ones(()))
    # By the point nearest to the axis: far rays keep the digits that b^2 - a c would lose.
    t_near = (-(ox * dx + oy * dy) / length2).where(~along, length2.new_zeros(()))
    qx, qy = ox + t_near * dx, oy + t_near * dy
    room = 1 - qx * qx - qy * qy
    half = _half_chord(room, length2)
    half = half.where(~along | (room <= 0), half.new_full((), torch.inf))
    z_in, z_out = _slab(oz, dz)
    return _first_after(torch.maximum(t_near - half, z_in), torch.minimum(t_near + half, z_out), t_min)


def _ellipsoid(o: _Axes, d: _Axes, t_min: float) -> Tensor:
    (ox, oy, oz), (dx, dy, dz) = o, d
    length2 = dx * dx + dy * dy + dz * dz
    t_near = -(ox * dx + oy * dy + oz * dz) / length2
    qx, qy, qz = ox + t_near * dx, oy + t_near * dy, oz + t_near * dz
    half = _half_chord(1 - qx * qx - qy * qy - qz * qz, length2)
    return _first_after(t_near - half, t_near + half, t_min)


def _half_chord(room: Tensor, length2: Tensor) -> Tensor:
    # NaN where the ray passes by: every later comparison is then false, which means a miss. Filling before
    # the root also stops the root's infinite derivative.
    return (room / length2).masked_fill(room <= 0, torch.nan).sqrt()


def _plane(o: _Axes, d: _Axes, t_min: float) -> Tensor:
    t = -o[2] / (d[2] + TINY)
    return torch.where((t > t_min) & (d[2] != 0), t, torch.inf)


def _disc(o: _Axes, d: _Axes, t_min: float) -> Tensor:
    t = _plane(o, d, t_min)
    t_met = t.where(t < torch.inf, t.new_zeros(()))
    x, y = o[0] + t_met * d[0], o[1] + t_met * d[1]
    return torch.where(x * x + y * y <= 1, t, torch.inf)


_FIRST_HIT: dict[int, Callable[[_Axes, _Axes, float], Tensor]] = {
    BOX: _box,
    CYLINDER: _cylinder,
    ELLIPSOID: _ellipsoid,
    DISC: _disc,
    PLANE: _plane,
}


def _up(unit: Tensor) -> Tensor:
    return torch.tensor([0.0, 0.0, 1.0], dtype=unit.dtype, device=unit.device).expand(unit.shape)


def _box_normal(unit: Tensor) -> Tensor:
    face = unit.abs().argmax(-1, keepdim=True)
    return torch.zeros_like(unit).scatter(-1, face, unit.gather(-1, face).sign())


def _cylinder_normal(unit: Tensor) -> Tensor:
    on_cap = unit[..., 2:].abs() > unit[..., :2].norm(dim=-1, keepdim=True)
    cap = _up(unit) * unit[..., 2:].sign()
    side = torch.cat([unit[..., :2], torch.zeros_like(unit[..., 2:])], dim=-1)
    return torch.where(on_cap, cap, side)
