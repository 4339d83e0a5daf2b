"""Forward warp: what a second camera sees of an image whose z_depth is known; holes where it knows nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Integer, Shaped
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.transfer import check_fits, check_z_depth

MAX_RELATIVE_STEP = 0.02
"""Neighbouring pixels whose z_depth differs by less than this share of it lie on one surface."""
_REACH = 1
_ROUNDING_PX = 1e-3


class Warped(NamedTuple):
    """What the second camera sees. Its image is 0 in a hole, z_depth NaN, extra and source_idx -1."""

    image: Shaped[Tensor, "*b c h w"]
    z_depth: Float[Tensor, "*b h w"]
    is_hole: Bool[Tensor, "*b h w"]
    extra: Integer[Tensor, "*b h w"] | None
    source_idx: Int64[Tensor, "*b h w"]
    """Source pixel, row * width + col, that each pixel shows."""


def forward_warp(
    image: Shaped[Tensor, ...],
    z_depth: Float[Tensor, "*b h w"],
    camera_src: PinholeCamera,
    T_dst_src: SE3,
    camera_dst: PinholeCamera,
    *,
    extra: Integer[Tensor, ...] | None = None,
) -> Warped:
    """Splat an image with depth into a second camera; the nearest surface wins, and colours are copied, not mixed.

    A source pixel covers the box that reaches halfway to its neighbours on the same surface (MAX_RELATIVE_STEP), so
    a surface that comes closer stays closed, and what is behind does not show through, up to a magnification of
    2 * _REACH + 1 = 3; where it has no such neighbour it covers the square of its own size, seen face-on. Boxes do
    not span a depth edge, so what is uncovered there is a hole. Unknown depth (NaN) and points at or behind the
    second camera are left out. Of several pixels at the same z the first in row-major order wins, so the result does
    not depend on the order of execution. The z of a pixel is that of the source pixel's centre: on a slanted surface
    it is off by up to half a source pixel's step in depth. No gradients.

    Args:
        image: (*b, c, h, w), any type but unsigned whole numbers above 8 bits, which torch cannot fill.
        z_depth: metres in the source camera; NaN or infinite = unknown.
        camera_src, camera_dst: batch shape broadcastable to *b; the sizes may differ.
        T_dst_src: takes source-camera to destination-camera coordinates, metres; broadcastable to *b.
        extra: (*b, h, w), a layer of signed whole numbers carried along, as item ids; -1 in a hole.

    Raises:
        ValueError: if image, z_depth, extra and camera_src differ in size, there are more poses or cameras than
            depth maps, a known depth is not positive, or a layer has a type that cannot hold what is asked.

    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    >>> z_depth = torch.full((2, 4), 2.0, dtype=torch.float64)
    >>> image = torch.arange(8, dtype=torch.uint8).reshape(1, 2, 4)
    >>> T_dst_src = SE3.from_translation(torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64))
    >>> forward_warp(image, z_depth, camera, T_dst_src, camera).image[0].tolist()
    [[1, 2, 3, 0], [5, 6, 7, 0]]
    """
    _check(image, z_depth, camera_src, extra)
    _check_batch(z_depth, camera_src, T_dst_src, camera_dst)
    batch, num_src = z_depth.shape[:-2], z_depth.shape[-2:].numel()
    size = (camera_dst.height, camera_dst.width)
    uv, z_dst, half = (
        x.reshape(-1, *x.shape[len(batch) :]) for x in _project(z_depth, camera_src, T_dst_src, camera_dst)
    )
    target, source = _footprints(uv, half, size)
    source_idx = _nearest(target, source, z_dst.reshape(-1), len(uv) * size[0] * size[1])
    is_hole = source_idx < 0
    pick = source_idx.clamp_min(0)
    frame = (*batch, *size)
    per_frame = (source_idx % num_src).where(~is_hole, -1)
    colour = image.movedim(-3, -1).reshape(-1, image.shape[-3])[pick].masked_fill(is_hole[:, None], 0)
    return Warped(
        image=colour.reshape(*frame, image.shape[-3]).movedim(-1, -3),
        z_depth=z_dst.reshape(-1)[pick].to(z_depth.dtype).masked_fill(is_hole, math.nan).reshape(frame),
        is_hole=is_hole.reshape(frame),
        extra=None if extra is None else extra.reshape(-1)[pick].masked_fill(is_hole, -1).reshape(frame),
        source_idx=per_frame.reshape(frame),
    )


_NO_FILL = (torch.uint16, torch.uint32, torch.uint64)
_NO_MINUS_ONE = (torch.uint8, *_NO_FILL)


def _check_batch(z_depth: Tensor, camera_src: PinholeCamera, T_dst_src: SE3, camera_dst: PinholeCamera) -> None:
    batch = tuple(z_depth.shape[:-2])
    check_fits(camera_src.K.shape[:-2], batch, "camera_src")
    check_fits(T_dst_src.shape, batch, "T_dst_src")
    check_fits(camera_dst.K.shape[:-2], batch, "camera_dst")


def _check(image: Tensor, z_depth: Tensor, camera_src: PinholeCamera, extra: Tensor | None) -> None:
    check_z_depth(z_depth, camera_src, "camera_src")
    shape = tuple(z_depth.shape)
    for name, got in (
        ("image", image.shape[:-3] + image.shape[-2:]),
        ("extra", shape if extra is None else extra.shape),
    ):
        if tuple(got) != shape:
            raise ValueError(f"{name} must match z_depth {shape} but for its channels, got {tuple(got)}")
    for name, layer in (("image", image), ("extra", extra)):
        kinds = _NO_MINUS_ONE if name == "extra" else _NO_FILL
        if layer is not None and layer.dtype in kinds:
            raise ValueError(f"{name} of type {layer.dtype} cannot mark a hole; convert it, to int32 for example")


def _project(
    z_depth: Tensor, camera_src: PinholeCamera, T_dst_src: SE3, camera_dst: PinholeCamera
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixel position, the z_depth and the half size of the footprint of every source pixel."""
    known = z_depth.isfinite()
    centers = camera_src.pixel_centers()
    p_src = camera_src[..., None, None].unproject(centers, z_depth.where(known, 1).to(centers.dtype))
    p_dst = T_dst_src[..., None, None].act(p_src)
    uv, _ = camera_dst[..., None, None].project(p_dst)
    uv = uv.where(known[..., None], math.nan)
    zoom = camera_dst.focal / camera_src.focal
    face_on = zoom[..., None, None, :] * (z_depth / p_dst[..., 2])[..., None] / 2
    return uv, p_dst[..., 2], _half_extent(uv, z_depth, face_on)


def _half_extent(uv: Tensor, z_depth: Tensor, face_on: Tensor) -> Tensor:
    """Return half the bounding box of each pixel's footprint, from its steps to neighbours on the same surface."""
    along_row, along_col = (_step(uv, z_depth, axis) for axis in (-1, -2))
    is_open = along_row.isnan() | along_col.isnan()
    return torch.where(is_open, face_on, (along_row + along_col) / 2)


def _step(uv: Tensor, z_depth: Tensor, axis: int) -> Tensor:
    """Return the larger move (|du|, |dv|) to the two neighbours along an axis; NaN where neither is on the surface."""
    step = uv.diff(dim=axis - 1).abs()
    low, high = z_depth.narrow(axis, 0, z_depth.shape[axis] - 1), z_depth.narrow(axis, 1, z_depth.shape[axis] - 1)
    same = (high - low).abs() < MAX_RELATIVE_STEP * torch.minimum(low, high)
    step = step.where(same[..., None], math.nan)
    edge = torch.full_like(uv.narrow(axis - 1, 0, 1), math.nan)
    before, after = torch.cat([edge, step], axis - 1), torch.cat([step, edge], axis - 1)
    return torch.fmax(before, after)


def _footprints(uv: Tensor, half: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return all pairs (pixel of the second image, source pixel) where the footprint covers the pixel's centre."""
    frame = torch.arange(len(uv), device=uv.device)[:, None, None].expand(uv.shape[:-1])
    nearest = uv.nan_to_num(-9.0).clamp(-9, max(size) + 9).floor()
    targets, sources = [], []
    offsets = range(-_REACH, _REACH + 1)
    for step in (uv.new_tensor([du, dv]) for dv in offsets for du in offsets):
        pixel = nearest + step
        covers = ((pixel + 0.5 - uv).abs() <= half + _ROUNDING_PX).all(-1) | ((step == 0).all() & uv.isfinite().all(-1))
        inside = ((pixel >= 0) & (pixel < uv.new_tensor([size[1], size[0]]))).all(-1)
        source = (covers & inside).flatten().nonzero()[:, 0]
        col, row = pixel.reshape(-1, 2)[source].long().unbind(-1)
        targets.append((frame.reshape(-1)[source] * size[0] + row) * size[1] + col)
        sources.append(source)
    return torch.cat(targets), torch.cat(sources)


def _nearest(target: Tensor, source: Tensor, z: Tensor, num_targets: int) -> Tensor:
    """Return for each target its source of least z, ties to the least source; -1 where there is none."""
    z_front = z.new_full((num_targets,), math.inf).scatter_reduce_(0, target, z[source], "amin")
    wins = z[source] == z_front[target]
    none = torch.full((num_targets,), torch.iinfo(torch.int64).max, device=z.device)
    first = none.scatter_reduce(0, target[wins], source[wins], "amin")
    return first.where(z_front.isfinite(), -1)
