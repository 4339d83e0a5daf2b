"""Extremes of a convex shape's image, cut at the near plane: exact, from finitely many points in closed form.

They lie at corners, where a plane through the camera centre touches a round surface, or at extremes of the cut.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from geom.camera import PinholeCamera
from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, Primitives
from geom.se3 import SE3

_SIGNS = [[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
_EDGES = [(i, i + step) for step in (1, 2, 4) for i in range(8) if not i & step]

# Points (..., k, 3) and which of them count (..., k).
_Candidates = tuple[Tensor, Tensor]


def image_extents(
    primitives: Primitives, T_cam_world: SE3, camera: PinholeCamera, z_near: float
) -> tuple[Float[Tensor, "*batch n 2"], Float[Tensor, "*batch n 2"]]:
    """Return the least and the greatest (u, v), pixels, of the part of each shape with z >= z_near.

    +inf and -inf where there is no such part. The batches of pose and camera broadcast. No shape may be a PLANE.
    """
    T_cam_prim = T_cam_world[..., None] @ primitives.T_world_prim
    K = camera.K[..., None, :, :]
    # K is linear: in coordinates (u z, v z, z) every shape is still an affine image of its unit shape.
    axes = K @ (T_cam_prim.R * primitives.half_size[:, None, :])
    center = (K @ T_cam_prim.t[..., None])[..., 0]
    order, lows, highs = [], [center.new_empty(*center.shape[:-2], 0, 2)], [center[..., :0, :2]]
    for code, candidates in _CANDIDATES.items():
        members = (primitives.shape_code == code).nonzero()[:, 0]
        low, high = _span(*candidates(center[..., members, :], axes[..., members, :, :], z_near))
        order.append(members)
        lows.append(low)
        highs.append(high)
    back = torch.cat(order).argsort()
    return torch.cat(lows, dim=-2)[..., back, :], torch.cat(highs, dim=-2)[..., back, :]


def _span(points: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    counts = counts[..., None]
    # Divide by 1 where masked: a NaN or inf inside `where` would still reach the gradient.
    uv = points[..., :2] / points[..., 2:].where(counts, points.new_ones(()))
    return uv.where(counts, torch.inf).amin(-2), uv.where(counts, -torch.inf).amax(-2)


def _box_candidates(center: Tensor, axes: Tensor, z_near: float) -> _Candidates:
    corner = center[..., None, :] + axes.new_tensor(_SIGNS) @ axes.mT
    first, second = torch.tensor(_EDGES, device=axes.device).unbind(-1)
    p, q = corner[..., first, :], corner[..., second, :]
    above_p, above_q = p[..., 2] - z_near, q[..., 2] - z_near
    crosses = above_p * above_q < 0
    share = above_p / (above_p - above_q).where(crosses, above_p.new_ones(()))
    cut = _at_depth(p + share[..., None] * (q - p), z_near)
    return _joined([(corner, corner[..., 2] >= z_near), (cut, crosses)])


def _disc_candidates(center: Tensor, axes: Tensor, z_near: float) -> _Candidates:
    return _rim_candidates(center, axes[..., 0], axes[..., 1], z_near)


def _cylinder_candidates(center: Tensor, axes: Tensor, z_near: float) -> _Candidates:
    a, b, h = axes.unbind(-1)
    rims = [_rim_candidates(center + sign * h, a, b, z_near) for sign in (-1, 1)]
    # Extremes, between the caps, of the ellipse in which the plane z = z_near cuts the infinite cylinder.
    hz = h[..., 2:]
    x, y = a[..., :2] * hz - h[..., :2] * a[..., 2:], b[..., :2] * hz - h[..., :2] * b[..., 2:]
    size = _root(x * x + y * y)
    size = size.where(size > 0, size.new_ones(()))
    cos, sin = torch.cat([x, -x], -1) / torch.cat([size] * 2, -1), torch.cat([y, -y], -1) / torch.cat([size] * 2, -1)
    point = center[..., None, :] + cos[..., None] * a[..., None, :] + sin[..., None] * b[..., None, :]
    along = (z_near - point[..., 2]) / hz.where(hz != 0, hz.new_ones(()))
    between = (along.abs() <= 1) & (hz != 0)
    arc = _at_depth(point + along[..., None] * h[..., None, :], z_near)
    return _joined([*rims, (arc, between)])


def _rim_candidates(center: Tensor, a: Tensor, b: Tensor, z_near: float) -> _Candidates:
    """Points of the ellipse center + a cos + b sin where u or v is stationary, or which lie at z_near."""
    xy, z = slice(None, 2), slice(2, None)
    cos_factor = torch.cat([b[..., xy] * center[..., z] - center[..., xy] * b[..., z], a[..., z]], -1)
    sin_factor = torch.cat([center[..., xy] * a[..., z] - a[..., xy] * center[..., z], b[..., z]], -1)
    constant = torch.cat([b[..., xy] * a[..., z] - a[..., xy] * b[..., z], center[..., z] - z_near], -1)
    cos, sin, real = _solve_angle(cos_factor, sin_factor, constant)
    point = center[..., None, :] + cos[..., None] * a[..., None, :] + sin[..., None] * b[..., None, :]
    touching, cut = point[..., [0, 1, 3, 4], :], _at_depth(point[..., [2, 5], :], z_near)
    in_front = real[..., [0, 1, 3, 4]] & (touching[..., 2] >= z_near)
    return _joined([(touching, in_front), (cut, real[..., [2, 5]])])


def _solve_angle(p: Tensor, q: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Solve p cos + q sin + r = 0: both solutions, one after the other, and where they are real."""
    length2 = p * p + q * q
    gap = length2 - r * r
    root = _root(gap)
    safe = length2.where(length2 > 0, length2.new_ones(()))
    cos = torch.cat([(-p * r - q * root) / safe, (-p * r + q * root) / safe], -1)
    sin = torch.cat([(-q * r + p * root) / safe, (-q * r - p * root) / safe], -1)
    return cos, sin, torch.cat([gap >= 0, gap >= 0], -1)


def _ellipsoid_candidates(center: Tensor, axes: Tensor, z_near: float) -> _Candidates:
    return _joined([_touching(center, axes, z_near), _slice_extremes(center, axes, z_near)])


def _touching(center: Tensor, axes: Tensor, z_near: float) -> _Candidates:
    """Where planes m z = u z through the camera centre touch the ellipsoid: a quadratic in m."""
    c_k, c_z = center[..., :2], center[..., 2:]
    q_k, q_z = axes[..., :2, :], axes[..., 2:, :]
    A = c_z * c_z - (q_z * q_z).sum(-1)
    B = c_k * c_z - (q_k * q_z).sum(-1)
    C = c_k * c_k - (q_k * q_k).sum(-1)
    # Equal to B^2 - A C, without its cancellation for small and far shapes.
    turned = c_k[..., None] * q_z - c_z[..., None] * q_k
    cross = torch.linalg.cross(q_k, q_z.expand(q_k.shape))
    gap = (turned * turned).sum(-1) - (cross * cross).sum(-1)
    q = B + torch.where(B >= 0, 1.0, -1.0) * _root(gap)
    # Roots q / A and C / q as plane normals (n_k, n_z), so that neither is divided by.
    n_k, n_z = torch.cat([A.expand(q.shape), q], -1), -torch.cat([q, C], -1)
    pull = n_k[..., None] * torch.cat([q_k, q_k], -2) + n_z[..., None] * q_z
    pull2 = (pull * pull).sum(-1)
    offset = n_k * torch.cat([c_k, c_k], -1) + n_z * c_z
    unit = -(offset / pull2.where(pull2 > 0, pull2.new_ones(())))[..., None] * pull
    point = center[..., None, :] + unit @ axes.mT
    real = torch.cat([gap >= 0, gap >= 0], -1) & (pull2 > 0)
    return point, real & (point[..., 2] >= z_near)


def _slice_extremes(center: Tensor, axes: Tensor, z_near: float) -> _Candidates:
    """Extremes of the ellipse in which the plane z = z_near cuts the ellipsoid."""
    q_k, q_z = axes[..., :2, :], axes[..., 2:, :]
    length = q_z.norm(dim=-1, keepdim=True)
    toward = q_z / length
    share = (z_near - center[..., 2, None, None]) / length
    across = q_k - (q_k * toward).sum(-1, keepdim=True) * toward
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-30) * _root(1 - share * share)
    unit = share * toward + torch.cat([across, -across], -2)
    point = _at_depth(center[..., None, :] + unit @ axes.mT, z_near)
    return point, (share[..., 0].abs() < 1).expand(point.shape[:-1])


def _root(x: Tensor) -> Tensor:
    return x.where(x > 0, x.new_ones(())).sqrt().where(x > 0, x.new_zeros(()))


def _at_depth(points: Tensor, z: float) -> Tensor:
    return torch.cat([points[..., :2], torch.full_like(points[..., 2:], z)], -1)


def _joined(parts: list[_Candidates]) -> _Candidates:
    return torch.cat([points for points, _ in parts], -2), torch.cat([counts for _, counts in parts], -1)


_CANDIDATES: dict[int, Callable[[Tensor, Tensor, float], _Candidates]] = {
    BOX: _box_candidates,
    CYLINDER: _cylinder_candidates,
    ELLIPSOID: _ellipsoid_candidates,
    DISC: _disc_candidates,
}
