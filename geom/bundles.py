"""Ray casting for bundles: rays of one origin that keep together, for which most shapes are out of the question.

A pyramid around a bundle is held against each shape's oriented box; what lies outside one of its sides is not tried
(view frustum culling: Assarsson and Moller 2000). What is left is met by the formulas of `geom.raycast`: on CUDA in
float32 by two kernels, where Triton is there to compile them, and else by torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from geom.primitives import PLANE, Primitives
from geom.raycast import Hit, ShapeGroup, axes_of, checked_rays, pairs_at_once, shape_groups

_SLACK = 1e-4
"""Tangent by which a pyramid is wider than its bundle: more than float32 rounds, less than a pixel."""
_WIDEST = 10.0
"""Tangent beyond which a bundle has no pyramid."""


@torch.no_grad()
def cast_bundles(
    primitives: Primitives,
    origin: Float[Tensor, "bundles 3"],
    direction: Float[Tensor, "bundles rays 3"],
    *,
    t_max: float = torch.inf,
    among: Bool[Tensor, "bundles n"] | None = None,
) -> Hit:
    """Find the first surface that each ray meets, as `cast` does, several times faster for narrow bundles.

    Wide bundles only cost time. No gradients.

    Args:
        origin: where the rays of each bundle start, world, metres.
        direction: world, any length > 0.
        t_max: surfaces beyond it are not met.
        among: the shapes that there are for each bundle; all where None.

    Returns:
        t and prim_idx, each (bundles, rays).

    Raises:
        ValueError: as `cast`.

    >>> from geom.primitives import ELLIPSOID
    >>> from geom.se3 import SE3
    >>> ball = Primitives.build([ELLIPSOID], SE3.identity(1), torch.ones(1, 3))
    >>> ahead = torch.tensor([[[0.0, 0.0, 2.0], [0.0, 9.0, 2.0]]], dtype=torch.float64)
    >>> cast_bundles(ball, torch.tensor([[0.0, 0.0, -3.0]], dtype=torch.float64), ahead).t.tolist()
    [[1.0, inf]]
    """
    checked_rays(primitives, origin[:, None], direction)
    if direction.numel() == 0 or len(primitives) == 0:
        t = direction.new_full(direction.shape[:2], torch.inf)
        return Hit(t, torch.full(t.shape, -1, dtype=torch.int64, device=t.device))
    is_fused = direction.is_cuda and direction.dtype == torch.float32 and _kernels() is not None
    t, prim_idx = (_by_kernels if is_fused else _by_torch)(primitives, origin, direction, among)
    beyond = t > t_max
    return Hit(t.masked_fill(beyond, torch.inf), prim_idx.masked_fill(beyond, -1))


@cache
def _kernels() -> ModuleType | None:
    """What Triton compiles for NVIDIA's devices; None where it is not there."""
    if torch.version.cuda is None:
        return None
    try:
        from geom import bundle_kernels
    except ImportError:
        return None
    return bundle_kernels


def _by_kernels(
    primitives: Primitives, origin: Tensor, direction: Tensor, among: Tensor | None
) -> tuple[Tensor, Tensor]:
    from geom import bundle_kernels

    (bundles, rays), n = direction.shape[:2], len(primitives)
    A = (primitives.T_world_prim.R / primitives.half_size[:, None]).mT
    affine = torch.cat([A, -A @ primitives.T_world_prim.t[..., None]], -1).contiguous()
    center, axes = primitives.T_world_prim.t.mT.contiguous(), primitives.axes().permute(1, 2, 0).contiguous()
    code, origin, direction = primitives.shape_code.int(), origin.contiguous(), direction.contiguous()
    kept, count = code.new_empty((bundles, n)), code.new_empty(bundles)
    t, prim_idx = direction.new_empty((bundles, rays)), code.new_empty((bundles, rays), dtype=torch.int64)
    allowed = code if among is None else among.contiguous().view(torch.uint8)
    boxes, sides = (center, axes, code), _sides(direction).contiguous()
    with torch.cuda.device_of(direction):
        _launch(bundle_kernels.cull, bundles, origin, sides, *boxes, allowed, kept, count, n, among is not None)
        met, power = (kept, count, t, prim_idx, n, rays), 1 << (rays - 1).bit_length()
        _launch(bundle_kernels.meet, bundles, origin, direction, affine, code, *met, power)
    return t, prim_idx


def _launch(kernel: Any, bundles: int, *arguments: Any) -> None:
    kernel[(bundles,)](*arguments, num_warps=2)


def _by_torch(primitives: Primitives, origin: Tensor, direction: Tensor, among: Tensor | None) -> tuple[Tensor, Tensor]:
    t = direction.new_full(direction.shape[:2], torch.inf)
    prim_idx = torch.full(t.shape, -1, dtype=torch.int64, device=t.device)
    groups, may_meet = shape_groups(primitives), _may_meet(primitives, origin, direction)
    if among is not None:
        may_meet &= among
    for block in _blocks(may_meet.sum(1), pairs_at_once(t.device) // t.shape[1]):
        t[block], prim_idx[block] = _nearest(groups, may_meet[block], origin[block], direction[block])
    return t, prim_idx


def _may_meet(primitives: Primitives, origin: Tensor, direction: Tensor) -> Bool[Tensor, "bundles n"]:
    """Which shapes' oriented boxes reach into all four sides of each bundle's pyramid."""
    sides = _sides(direction)
    inside = sides @ primitives.T_world_prim.t.T - sides @ origin[..., None]
    for axis in primitives.axes().permute(2, 1, 0):
        inside += (sides @ axis).abs_()
    return (inside >= 0).all(1) | (primitives.shape_code == PLANE)


def _blocks(num: Tensor, pairs: int) -> Iterator[Tensor]:
    """Bundles that are worked on at once, those with many shapes first: each tries as many as the busiest beside it."""
    num, order = num.sort(descending=True, stable=True)
    counts, start = num.clamp_min(1).tolist(), 0
    while start < len(counts):
        end = start + max(pairs // counts[start], 1)
        yield order[start:end]
        start = end


def _sides(direction: Tensor) -> Float[Tensor, "bundles 4 3"]:
    """Inward normals of a pyramid around each bundle, zero for one that is too wide to have any."""
    middle = normalize(direction.sum(1), dim=-1)
    least = one_hot(middle.abs().argmin(-1), 3).to(middle)
    right = normalize(torch.linalg.cross(middle, least), dim=-1)
    down = torch.linalg.cross(middle, right)
    x, y, z = (torch.stack([right, down, middle], 1) @ direction.mT).unbind(1)
    is_narrow, sides = (z > 0).all(-1, keepdim=True), []
    for slope, across in ((x / z, right), (y / z, down)):
        low, high = slope.amin(-1, keepdim=True) - _SLACK, slope.amax(-1, keepdim=True) + _SLACK
        is_narrow &= (low > -_WIDEST) & (high < _WIDEST)
        sides += [across - low * middle, high * middle - across]
    return torch.stack(sides, 1).where(is_narrow[..., None], middle.new_zeros(()))


def _nearest(groups: list[ShapeGroup], may_meet: Tensor, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """First hit of each ray among the shapes that its bundle may meet."""
    best = direction.new_full(direction.shape[:2], torch.inf)
    best_idx = torch.full(best.shape, -1, dtype=torch.int64, device=best.device)
    for group in groups:
        candidate = may_meet[:, group.members]
        num = int(candidate.sum(1).max())
        if num == 0:
            continue
        # A bundle with fewer candidates tries others too.
        is_candidate, tried = candidate.byte().sort(dim=1, descending=True, stable=True)
        is_candidate, tried = is_candidate[:, :num] > 0, tried[:, :num]
        A, b = group.A.view(3, -1, 3)[:, tried], group.b[:, tried]
        o_unit, d_unit = A @ origin[:, :, None] - b, A @ direction.mT
        t = group.first_hit(axes_of(o_unit), axes_of(d_unit), 0.0)
        t, winner = t.masked_fill(~is_candidate[..., None], torch.inf).min(dim=1)
        closer = t < best
        best = torch.where(closer, t, best)
        best_idx = torch.where(closer, group.members[tried.gather(1, winner)], best_idx)
    return best, best_idx
