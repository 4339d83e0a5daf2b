"""The warps in torch and kornia: on any device, with gradients through `gather`; the plain twin of the quicker two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from geom.transfer import (
    EMPTY_KEY,
    KEY_INDEX,
    MAX_RELATIVE_STEP,
    REACH,
    ROUNDING_PX,
    UNKNOWN_INVERSE,
    Landing,
    Transfer,
    all_positive,
    parts,
)


def gather(
    image: Float[Tensor, "n c hs ws"],
    z_dst: Float[Tensor, "n h w"],
    z_src: Float[Tensor, "n hs ws"] | None,
    transfer: Transfer,
    tolerance: float,
) -> tuple[Float[Tensor, "n c h w"], Bool[Tensor, "n h w"], Bool[Tensor, "n h w"], bool]:
    """Sample a source where the pixels of a destination lie in it.

    Returns:
        The colours, 0 where nothing is seen; what is seen; what is inside; and whether all depth is positive.
    """
    found = [
        _gather(image[part], z_dst[part], None if z_src is None else z_src[part], transfer.part(part), tolerance)
        for part in parts(z_dst)
    ]
    colour, is_seen, is_inside = (torch.cat(x) for x in zip(*found, strict=True))
    return colour, is_seen, is_inside, all_positive(z_dst) and (z_src is None or all_positive(z_src))


def _gather(
    image: Tensor, z_dst: Tensor, z_src: Tensor | None, transfer: Transfer, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    kind, (height, width) = transfer.dtype, image.shape[-2:]
    landing = transfer.land(z_dst.to(kind))
    is_seen = is_inside = landing.is_inside(width, height)
    # What is not inside is read in the middle: its colour is multiplied by 0, but its gradient must be finite.
    x = (landing.u * (2 / width) - 1).where(is_inside, 0)
    y = (landing.v * (2 / height) - 1).where(is_inside, 0)
    if z_src is not None:
        with torch.no_grad():
            is_seen = is_inside & _is_unhidden(x, y, landing.z, z_src.to(kind), tolerance)
    # In the dtype of the geometry, also half-precision pictures.
    colour = _sample(image.to(kind), x, y, "bilinear").where(is_seen[:, None], 0)
    return colour.to(image.dtype), is_seen, is_inside


def _is_unhidden(x: Tensor, y: Tensor, z: Tensor, z_src: Tensor, tolerance: float) -> Tensor:
    inverse = z_src.reciprocal().nan_to_num(nan=UNKNOWN_INVERSE)[:, None]
    nearest, between = (_sample(inverse, x, y, mode)[:, 0] for mode in ("nearest", "bilinear"))
    return torch.minimum(nearest, between) * z <= 1 + tolerance


def _sample(layer: Tensor, x: Tensor, y: Tensor, mode: str) -> Tensor:
    """Read (n, c, h, w) at -1 to 1 from border to border; the outermost half pixel repeats the outermost centre."""
    # kornia takes half a second to import, and only this engine needs it.
    from kornia.geometry.transform import remap

    return remap(layer, x, y, mode, "border", align_corners=False, normalized_coordinates=True)


def splat(
    layers: Sequence[tuple[Shaped[Tensor, "n _ h w"], float]],
    z_src: Float[Tensor, "n h w"],
    transfer: Transfer,
    size: tuple[int, int],
) -> tuple[list[Tensor], Float[Tensor, "n hd wd"], Bool[Tensor, "n hd wd"], Int64[Tensor, "n hd wd"], bool]:
    """Carry layers into a second picture of a size (height, width).

    Args:
        layers: each with what it holds in a hole.

    Returns:
        The layers; z-depth in the second camera, NaN in a hole; what is a hole; the source pixel that each pixel
        shows, -1 in a hole; and whether all depth is positive.
    """
    found = [_splat([(x[p], fill) for x, fill in layers], z_src[p], transfer.part(p), size) for p in parts(z_src)]
    carried, *maps = zip(*found, strict=True)
    z_dst, is_hole, source_idx = (torch.cat(x) for x in maps)
    return [torch.cat(x) for x in zip(*carried, strict=True)], z_dst, is_hole, source_idx, all_positive(z_src)


def _splat(
    layers: list[tuple[Tensor, float]], z_src: Tensor, transfer: Transfer, size: tuple[int, int]
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    num, num_src, num_dst = len(z_src), z_src.shape[1:].numel(), size[0] * size[1]
    z_src = z_src.to(transfer.dtype)
    landing = transfer.land(z_src)
    front = torch.full((num * num_dst,), EMPTY_KEY, device=z_src.device)
    key = _key(landing.z)
    for frame, row, col, source in _covered(landing, _half_extent(landing, z_src, transfer.zoom), size):
        front.scatter_reduce_(0, (frame * size[0] + row) * size[1] + col, key[frame, source], "amin")
    front = front.view(num, num_dst)
    is_hole = front == EMPTY_KEY
    pick = (front & KEY_INDEX).masked_fill(is_hole, 0)

    def carried(layer: Tensor, fill: float) -> Tensor:
        flat = layer.reshape(num, -1, num_src)
        at = pick[:, None].expand(-1, flat.shape[1], -1)
        return flat.gather(2, at).masked_fill(is_hole[:, None], fill).unflatten(2, size)

    z_dst = carried(landing.z[:, None], math.nan)[:, 0]
    source_idx = pick.masked_fill(is_hole, -1).unflatten(1, size)
    return [carried(*x) for x in layers], z_dst, is_hole.unflatten(1, size), source_idx


def _key(z: Tensor) -> Tensor:
    """Return for each source pixel what the least of at each place wins: the bits of z as float32, then the index."""
    bits = z.float().flatten(1).view(torch.int32).long()
    return (bits << 32) | torch.arange(bits.shape[1], device=z.device)


def _covered(landing: Landing, half: Tensor, size: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield frame, row, column and source pixel wherever a footprint covers a centre, place by place around."""
    u, v = (x.where(landing.is_front, -9.0).clamp(-9, max(size) + 9) for x in (landing.u, landing.v))
    offsets = range(-REACH, REACH + 1)
    for down, right in ((down, right) for down in offsets for right in offsets):
        row, col = v.floor() + down, u.floor() + right
        covers = ((col + 0.5 - u).abs() <= half[0]) & ((row + 0.5 - v).abs() <= half[1])
        if not down and not right:
            covers = torch.ones_like(covers)
        inside = (row >= 0) & (row < size[0]) & (col >= 0) & (col < size[1])
        where = (covers & inside & landing.is_front).flatten(1)
        frame, source = where.nonzero(as_tuple=True)
        row, col = (x.flatten(1)[frame, source].long() for x in (row, col))
        yield frame, row, col, source


def _half_extent(landing: Landing, z_src: Tensor, zoom: Tensor) -> Tensor:
    """Return half the width and height (2, n, h, w) of each pixel's footprint, with a margin for rounding."""
    uv = torch.stack([landing.u, landing.v]).where(landing.is_front, math.nan)
    along_row, along_col = (_step(uv, z_src, axis) for axis in (-1, -2))
    face_on = zoom.T[..., None, None] * (z_src / landing.z)
    return torch.where(along_row.isnan() | along_col.isnan(), face_on, along_row + along_col) / 2 + ROUNDING_PX


def _step(uv: Tensor, z: Tensor, axis: int) -> Tensor:
    """Return the larger move (|du|, |dv|) to the two neighbours along an axis; NaN where neither is on the surface."""
    last = z.shape[axis] - 1
    low, high = z.narrow(axis, 0, last), z.narrow(axis, 1, last)
    same = (high - low).abs() < MAX_RELATIVE_STEP * torch.minimum(low, high)
    step = uv.diff(dim=axis).abs().where(same, math.nan)
    edge = torch.full_like(uv.narrow(axis, 0, 1), math.nan)
    return torch.fmax(torch.cat([edge, step], axis), torch.cat([step, edge], axis))
