"""Backward warp: what a source camera's picture shows at the points that a destination camera's depth describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.transfer import (
    OCCLUSION_TOLERANCE,
    Buffers,
    at_least_float32,
    check_tolerance,
    check_z_depth,
    flat_batch,
    inverse_z,
    is_unhidden,
    land,
    parts,
    sample,
    transfer_matrices,
)


class Gathered(NamedTuple):
    """What the source shows at each pixel of the destination. The image is 0 where nothing is seen."""

    image: Float[Tensor, "*b c h w"]
    is_seen: Bool[Tensor, "*b h w"]
    """The point is in front of the source, inside of its picture, and nothing that the source measured hides it."""
    is_inside: Bool[Tensor, "*b h w"]
    """In front and inside, seen or not: what the source's depth hides, or leaves unknown, is inside and not seen."""


def backward_warp(
    image: Float[Tensor, ...],
    camera_src: PinholeCamera,
    T_src_dst: SE3,
    z_depth_dst: Float[Tensor, "*b h w"],
    camera_dst: PinholeCamera,
    *,
    z_depth_src: Float[Tensor, ...] | None = None,
    tolerance: float = OCCLUSION_TOLERANCE,
) -> Gathered:
    """Sample a source picture, bilinearly, where the pixels of a destination camera lie in it.

    Inside means between the borders of the picture: its outermost half pixel repeats the outermost centre. With the
    source's depth a point is seen only if nothing that was measured there is nearer, as `geom.transfer.is_unhidden`
    tells; where that depth is unknown nobody can say, and the point counts as not seen. Without it nothing is hidden.

    Gradients flow to image, z_depth_dst, pose and intrinsics; masks have none. Without gradients a batch of any size
    is worked through in parts, and nothing but the result grows with it.

    Args:
        image: (*b, c, hs, ws), floating point; broadcast where there are several depth maps for one picture.
        T_src_dst: takes destination-camera to source-camera coordinates, metres; broadcastable to *b.
        z_depth_dst: metres in the destination camera; NaN or infinite = unknown, which is seen nowhere.
        camera_src, camera_dst: batch shape broadcastable to *b; the sizes may differ.
        z_depth_src: (*b, hs, ws), metres in the source camera; NaN = unknown, infinite hides nothing.
        tolerance: relative difference of inverse z-depth up to which two surfaces count as one.

    Raises:
        ValueError: if a layer has not the size of its camera, is not floating point, or does not fit the batch of
            z_depth_dst; a known depth is not positive; or the tolerance is no share.

    >>> import math
    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    >>> z_depth = torch.full((2, 4), 2.0, dtype=torch.float64)
    >>> image = torch.arange(8, dtype=torch.float64).reshape(1, 2, 4)
    >>> T_src_dst = SE3.from_translation(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    >>> backward_warp(image, camera, T_src_dst, z_depth, camera).image[0].round(decimals=9).tolist()
    [[1.0, 2.0, 3.0, 0.0], [5.0, 6.0, 7.0, 0.0]]
    """
    _check(image, camera_src, z_depth_dst, camera_dst, z_depth_src, tolerance)
    batch = z_depth_dst.shape[:-2]
    z_dst = flat_batch(z_depth_dst, batch, 2, "z_depth_dst")
    source = flat_batch(image, batch, 3, "image")
    z_src = None if z_depth_src is None else flat_batch(z_depth_src, batch, 2, "z_depth_src")
    H, e = transfer_matrices(camera_dst, T_src_dst, camera_src, at_least_float32(z_dst), batch)
    gather = _Gather(source, z_dst, z_src, H, e, camera_src, tolerance)
    found = gather.whole() if gather.wants_grad else gather.in_parts()
    return Gathered(*(x.reshape(*batch, *x.shape[1:]) for x in found))


def _check(
    image: Tensor,
    camera_src: PinholeCamera,
    z_depth_dst: Tensor,
    camera_dst: PinholeCamera,
    z_depth_src: Tensor | None,
    tolerance: float,
) -> None:
    want = (camera_src.height, camera_src.width)
    if image.ndim < 3 or tuple(image.shape[-2:]) != want:
        raise ValueError(
            f"image must be (..., channels, {want[0]}, {want[1]}), as camera_src, got {tuple(image.shape)}"
        )
    if not image.is_floating_point():
        raise ValueError(f"image must be floating point to be sampled between pixels, got {image.dtype}; use .float()")
    check_tolerance(tolerance)
    check_z_depth(z_depth_dst, camera_dst, "camera_dst")
    if z_depth_src is not None:
        check_z_depth(z_depth_src, camera_src, "camera_src")


@dataclass(frozen=True)
class _Gather:
    """One warp, its batch a single dimension."""

    source: Tensor
    z_dst: Tensor
    z_src: Tensor | None
    H: Tensor
    e: Tensor
    camera_src: PinholeCamera
    tolerance: float

    @property
    def wants_grad(self) -> bool:
        return torch.is_grad_enabled() and any(x.requires_grad for x in (self.source, self.z_dst, self.H, self.e))

    def whole(self) -> Gathered:
        """All at once, for autograd, which keeps every step anyway."""
        buffers, every = Buffers(reuse=False), slice(None)
        sampled, is_seen, is_inside = self._band(every, slice(0, None), self._inverse(every, buffers), buffers)
        image = sampled * is_seen[:, None]
        return Gathered(image.to(self.source.dtype), is_seen.bool(), is_inside.bool())

    def in_parts(self) -> Gathered:
        """Part by part into the result."""
        num, size = len(self.z_dst), self.z_dst.shape[-2:]
        image = self.source.new_empty(num, self.source.shape[1], *size)
        seen, inside = (torch.empty(num, *size, dtype=torch.bool, device=image.device) for _ in range(2))
        buffers = Buffers(reuse=True)
        for part, bands in parts(self.z_dst):
            inverse = self._inverse(part, buffers)
            for rows in bands:
                sampled, is_seen, is_inside = self._band(part, rows, inverse, buffers)
                image[part, :, rows] = sampled.mul_(is_seen[:, None])
                seen[part, rows], inside[part, rows] = is_seen, is_inside
        return Gathered(image, seen, inside)

    def _inverse(self, part: slice, buffers: Buffers) -> Tensor | None:
        if self.z_src is None:
            return None
        with torch.no_grad():
            return inverse_z(self.z_src[part].to(self.H.dtype), buffers)

    def _band(
        self, part: slice, rows: slice, inverse: Tensor | None, buffers: Buffers
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a band of rows shows, seen or not, and as 1 or 0 whether it is seen, and whether inside."""
        z = self.z_dst[part, rows].to(self.H.dtype)
        landing = land(z, self.H[part], self.e[part], self.camera_src, buffers, rows.start)
        sampled = sample(self.source[part].to(self.H.dtype), landing.grid, "bilinear")
        if inverse is None:
            return sampled, landing.is_inside, landing.is_inside
        with torch.no_grad():
            is_seen = is_unhidden(landing, inverse, self.tolerance).mul_(landing.is_inside)
        return sampled, is_seen, landing.is_inside
