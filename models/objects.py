"""Where objects are after a motion, and how much of them is seen: computed from what the head tells of one view."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.head import Extent
from models.precision import exact
from models.trunk import Look, sampled

_AROUND = 8
"""Points of each rim of a cylinder."""
_SAMPLES = 5
_STEPS = 12
"""Points each way at which an object is looked for, and places on the way to each where something may be."""
_NEAR_M = 0.1
_THICK_M = 0.8
"""What stands in the way is taken to be so thick behind what is seen of it."""
_SOFT = 0.02
"""Share of the picture's width over which its border is soft, and of distances over which a surface is."""


@exact
def box_after(extent: Extent, box: Float[Tensor, "b n 4"], camera: PinholeCamera, T_a_b: SE3) -> Float[Tensor, "b n 4"]:
    """Where the objects' whole boxes are from b, clipped at the picture; differentiable.

    The cylinders are moved and bounded; what bounding them from a gives more than the boxes is taken off.

    Args:
        box: in a's picture, pixels, x1, y1, x2, y2.
        camera: of both pictures, batch (b,).
        T_a_b: pose of b in a, (b,).
    """
    whole = _whole(box, extent.beyond)
    rims = _rims(extent, camera[..., None].rays(whole.unflatten(-1, (2, 2)).flatten(1, 2)).unflatten(1, (-1, 2)))
    here, there = _bounds(rims, camera), _bounds(T_a_b.inverse()[:, None, None].act(rims), camera)
    zoom = _size(whole) / _size(here).clamp_min(1e-3)
    middle = _middle(there) + (_middle(whole) - _middle(here)) * _size(there) / _size(here).clamp_min(1e-3)
    half = _size(there) * zoom / 2
    moved = torch.cat([middle - half, middle + half], -1)
    limit = moved.new_tensor([camera.width, camera.height]).repeat(2)
    return torch.minimum(moved.clamp_min(0), limit)


@exact
def visible_after(
    extent: Extent, box: Float[Tensor, "b n 4"], look: Look, camera: PinholeCamera, T_a_b: SE3
) -> Float[Tensor, "b n"]:
    """Share of each object that b sees, 0 to 1, as far as view a tells: inside of the picture, and nothing before it.

    The way from b's centre to each point is walked: where it passes just behind what a sees, that stands in the way.
    """
    points = _points(extent, camera, box)
    p_b = T_a_b.inverse()[:, None, None].act(points)
    uv = _projected(p_b, camera)
    soft_px = _SOFT * camera.width
    size = uv.new_tensor([camera.width, camera.height])
    inside = torch.sigmoid(uv / soft_px).prod(-1) * torch.sigmoid((size - uv) / soft_px).prod(-1)
    ahead = torch.sigmoid((p_b[..., 2] - _NEAR_M) / _SOFT)
    return (inside * ahead * (1 - _blocked(points, look, camera, T_a_b))).mean(-1)


def _blocked(points: Float[Tensor, "b n s 3"], look: Look, camera: PinholeCamera, T_a_b: SE3) -> Float[Tensor, "b n s"]:
    """Whether something that a sees stands between b and each point."""
    share = torch.linspace(0.1, 0.85, _STEPS, device=points.device)[:, None]
    center = T_a_b.t[:, None, None, None]
    on_way = center + (points[..., None, :] - center) * share
    z = on_way[..., 2]
    uv = _projected(on_way, camera)
    grid = uv / uv.new_tensor([camera.width, camera.height]) * 2 - 1
    seen = sampled(look.log_z.exp()[:, None], grid.flatten(2, 3))[..., 0].unflatten(-1, z.shape[2:])
    is_in = (grid.abs() <= 1).all(-1) & (z > _NEAR_M)
    behind = (z - seen) / seen
    hit = torch.sigmoid((behind - 2 * _SOFT) / _SOFT) * torch.sigmoid((_THICK_M - (z - seen)) / _SOFT)
    return (hit * is_in).amax(-1)


def _whole(box: Tensor, beyond: Tensor) -> Tensor:
    sides = _size(box).repeat(1, 1, 2) * beyond
    return torch.cat([box[..., :2] - sides[..., :2], box[..., 2:] + sides[..., 2:]], -1)


def _rims(extent: Extent, corner: Float[Tensor, "b n 2 3"]) -> Float[Tensor, "b n p 3"]:
    """Points of the upper and the lower rim of upright cylinders whose axis plane shows between two corners' rays."""
    angle = torch.arange(_AROUND, device=corner.device) * (2 * math.pi / _AROUND)
    z = extent.z[..., None]
    x = corner[..., 0] * z
    middle, half = x.mean(-1, keepdim=True), (x[..., 1:] - x[..., :1]) / 2
    ring_x, ring_z = middle + half * angle.cos(), z + extent.half_depth[..., None] * angle.sin()
    rims = [torch.stack([ring_x, (y * z).expand_as(ring_x), ring_z], -1) for y in corner[..., 1:2].unbind(-2)]
    return torch.cat(rims, -2)


def _bounds(points: Float[Tensor, "b n p 3"], camera: PinholeCamera) -> Float[Tensor, "b n 4"]:
    uv = _projected(points, camera)
    return torch.cat([uv.amin(-2), uv.amax(-2)], -1)


def _points(extent: Extent, camera: PinholeCamera, box: Tensor) -> Float[Tensor, "b n s 3"]:
    """Points on the plane of each cylinder's axis, spread over its box."""
    steps = (torch.arange(_SAMPLES, device=box.device, dtype=box.dtype) + 0.5) / _SAMPLES
    x = torch.lerp(box[..., 0:1], box[..., 2:3], steps)
    y = torch.lerp(box[..., 1:2], box[..., 3:4], steps)
    uv = torch.stack(torch.broadcast_tensors(x[..., None, :], y[..., :, None]), -1).flatten(2, 3)
    return camera[..., None, None].unproject(uv, extent.z[..., None].expand(uv.shape[:-1]))


def _projected(p_cam: Float[Tensor, "b *n 3"], camera: PinholeCamera) -> Float[Tensor, "b *n 2"]:
    """Pixels; what is behind the camera counts as just before it, far outside, so that gradients go on."""
    focal, center = (x.reshape(-1, *(1,) * (p_cam.ndim - 2), 2) for x in (camera.focal, camera.principal_point))
    return p_cam[..., :2] / p_cam[..., 2:].clamp_min(_NEAR_M) * focal + center


def _size(box: Tensor) -> Tensor:
    return box[..., 2:] - box[..., :2]


def _middle(box: Tensor) -> Tensor:
    return (box[..., :2] + box[..., 2:]) / 2
