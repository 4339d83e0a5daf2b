"""How much of an object a camera sees: a partition of its silhouette by solid angle.

Around the camera centre the object covers a patch of the sphere of directions. Each direction of that patch is
exactly one of: *visible* (in the image, and the object is the first thing met), *hidden* by another object or the
room, *outside* the image though in front, or *behind* the camera (z <= 0). The four shares sum to 1. Shares of
solid angle, unlike shares of pixels, are defined beside and behind the camera too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geom.camera import PinholeCamera

# Beyond this angle from its axis a flat grid is stretched too thin (1 / cos^3); the whole sphere is used instead.
_MAX_TANGENT_ANGLE = math.radians(70)
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Partition:
    """Shares of an object's silhouette, by solid angle; they sum to 1.

    `hidden_by` lists (item_idx of the occluder, share), largest first; item_idx -1 is the room itself.
    """

    visible: float
    outside: float
    behind: float
    hidden_by: tuple[tuple[int, float], ...] = ()

    @property
    def hidden(self) -> float:
        """Share that lies in the image but behind another object or the room."""
        return math.fsum(share for _, share in self.hidden_by)


def silhouette_grid(
    hull: Float[Tensor, "*batch n 3"], origin: Float[Tensor, "*batch 3"], *, num_rays: int
) -> tuple[Float[Tensor, "*batch m 3"], Float[Tensor, "*batch m"]]:
    """Spread rays evenly over all directions in which a convex hull, or each of several, may be met from its `origin`.

    The rays go through a golden-ratio lattice (with which no straight edge can line up) on a plane that faces the
    hull, cut to the hull's extent there; a hull that surrounds the origin too widely for that gets an equal-area
    spiral over the whole sphere. The rays turn with the world, not with a camera, so turning a camera in place moves
    none of them.

    Args:
        hull: points (world, metres) whose convex hull holds the object; some may be there twice.
        origin: camera centre (world, metres).
        num_rays: how many rays.

    Returns:
        direction: world, not normalised.
        solid_angle: steradians that each ray stands for.

    Raises:
        ValueError: if num_rays < 1, or a hull point lies at the origin.
    """
    if num_rays < 1:
        raise ValueError(f"num_rays must be at least 1, got {num_rays}")
    offset = hull - origin[..., None, :]
    dist = offset.norm(dim=-1, keepdim=True)
    if not bool((dist > 0).all()):
        raise ValueError("the camera centre lies on a point of the object's hull: its silhouette is undefined there")
    unit = offset / dist
    axis = unit.amin(-2) + unit.amax(-2)
    axis = axis / axis.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    direction, solid_angle = _tangent_grid(unit, axis, num_rays)
    is_wide = (unit @ axis[..., None]).amin((-2, -1)) < math.cos(_MAX_TANGENT_ANGLE)
    if bool(is_wide.any()):
        around, share = _sphere_spiral(num_rays, hull)
        direction = around.where(is_wide[..., None, None], direction)
        solid_angle = share.where(is_wide[..., None], solid_angle)
    return direction, solid_angle


def _tangent_grid(unit: Tensor, axis: Tensor, num_rays: int) -> tuple[Tensor, Tensor]:
    z, x = axis.new_tensor([0.0, 0.0, 1.0]), axis.new_tensor([1.0, 0.0, 0.0])
    right = torch.linalg.cross(axis, z.where(axis[..., 2:].abs() < 0.9, x))
    right = right / right.norm(dim=-1, keepdim=True)
    up = torch.linalg.cross(right, axis)
    plane = unit @ torch.stack([right, up], -1) / (unit @ axis[..., None])
    low, high = plane.amin(-2, keepdim=True), plane.amax(-2, keepdim=True)
    extent = (high - low).clamp_min(1e-9)
    i = torch.arange(num_rays, dtype=axis.dtype, device=axis.device)
    lattice = torch.stack([(i + 0.5) / num_rays, (i * _GOLDEN) % 1], -1)
    a, b = (low + extent * lattice).split(1, dim=-1)
    # A cell of a plane at distance 1 seen at angle th covers cell * cos^3(th) steradians.
    cell = extent.prod(-1, keepdim=True) / num_rays
    direction = axis[..., None, :] + a * right[..., None, :] + b * up[..., None, :]
    return direction, (cell * (1 + a * a + b * b) ** -1.5)[..., 0]


def _sphere_spiral(num_rays: int, like: Tensor) -> tuple[Tensor, Tensor]:
    i = torch.arange(num_rays, dtype=like.dtype, device=like.device) + 0.5
    z = 1 - 2 * i / num_rays
    angle = i * (math.pi * (3 - math.sqrt(5)))
    ring = (1 - z * z).sqrt()
    direction = torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1)
    return direction, like.new_full((num_rays,), 4 * math.pi / num_rays)


def partition(
    d_cam: Float[Tensor, "n 3"],
    solid_angle: Float[Tensor, " n"],
    first_item: Int[Tensor, " n"],
    item_idx: int,
    camera: PinholeCamera,
) -> Partition:
    """Sum up what becomes of the directions of one object's silhouette.

    Args:
        d_cam: directions that meet the object, camera frame, any length.
        solid_angle: steradians per direction.
        first_item: item_idx of the first thing met in each direction (-1 the room).
        item_idx: the object itself.

    Raises:
        ValueError: if no direction meets the object. From inside it every one does, and shares mean nothing there:
            ask `Primitives.contains` first.
    """
    total = float(solid_angle.sum())
    if not total > 0:
        raise ValueError("no direction meets the object: has it no extent?")
    in_front, inside = in_view(d_cam, camera)
    share = lambda mask: float(solid_angle[mask].sum()) / total  # noqa: E731
    hidden = inside & (first_item != item_idx)
    by = [(int(i), share(hidden & (first_item == i))) for i in first_item[hidden].unique()]
    return Partition(
        visible=share(inside & ~hidden),
        outside=share(in_front & ~inside),
        behind=share(~in_front),
        hidden_by=tuple(sorted(by, key=lambda pair: (-pair[1], pair[0]))),
    )


def in_view(
    d_cam: Float[Tensor, "*batch 3"], camera: PinholeCamera
) -> tuple[Bool[Tensor, "*batch"], Bool[Tensor, "*batch"]]:
    """Say for each direction whether it points in front of the camera (z > 0), and into the image."""
    uv, in_front = camera.project(d_cam, z_near=torch.finfo(d_cam.dtype).tiny)
    return in_front, in_front & camera.contains(uv)
