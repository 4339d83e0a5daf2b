"""Backward warp: what a source camera's picture shows at the points that a destination camera's depth describes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geom import engine_torch
from geom.camera import PinholeCamera
from geom.engine import engine_for
from geom.se3 import SE3
from geom.transfer import Transfer, check_z_depth, flat_batch, require_positive

OCCLUSION_TOLERANCE = 0.01
"""Relative: a surface hides a point if its inverse z-depth is larger than the point's by more than this share."""


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

    Inside means between the borders of the picture: its outermost half pixel repeats the outermost centre.

    With the source's depth a surface hides a point if two readings of its inverse depth agree that it is nearer: the
    pixel that the point lands on, and what lies between the four around. The second is exact on a plane, however
    steep (inverse depth is linear in the picture), the first at a depth edge. Where that depth is unknown nobody can
    say, and the point counts as not seen. Without the source's depth nothing is hidden.

    Gradients flow to image, z_depth_dst, pose and intrinsics; masks have none. Without gradients nothing but the
    result grows with the batch.

    Args:
        image: (*b, c, hs, ws), floating point; broadcast where there are several depth maps for one picture.
        T_src_dst: takes destination-camera to source-camera coordinates, metres; broadcastable to *b.
        z_depth_dst: metres in the destination camera; NaN or infinite = unknown, which is seen nowhere.
        camera_src, camera_dst: batch shape broadcastable to *b; the sizes may differ. Like T_src_dst they may lie on
            the CPU while pictures and depths lie elsewhere, and are quicker there.
        z_depth_src: (*b, hs, ws), metres in the source camera; NaN = unknown, infinite hides nothing.
        tolerance: relative difference of inverse z-depth up to which two surfaces count as one.

    Raises:
        ValueError: if a layer has not the size of its camera, is not floating point, or does not fit the batch of
            z_depth_dst; the tolerance is no share; or, on a CPU, a depth that is looked at is not positive (elsewhere
            it counts as unknown, because asking would make the caller wait for the device).

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
    transfer = Transfer.between(
        camera_dst, T_src_dst, camera_src, z_depth_dst, ("camera_dst", "T_src_dst", "camera_src")
    )
    z_dst = flat_batch(z_depth_dst, batch, 2, "z_depth_dst")
    source = flat_batch(image, batch, 3, "image")
    z_src = None if z_depth_src is None else flat_batch(z_depth_src, batch, 2, "z_depth_src")
    wants_grad = torch.is_grad_enabled() and any(x.requires_grad for x in (source, z_dst, transfer.coefficients))
    engine = engine_torch if wants_grad else engine_for(transfer.coefficients)
    *found, is_positive = engine.gather(source, z_dst, z_src, transfer, tolerance)
    require_positive(is_positive)
    return Gathered(*(x.reshape(*batch, *x.shape[1:]) for x in found))


def overlap(
    z_depth_a: Float[Tensor, "*b h w"],
    camera_a: PinholeCamera,
    T_b_a: SE3,
    z_depth_b: Float[Tensor, "*b hb wb"],
    camera_b: PinholeCamera,
    *,
    tolerance: float = OCCLUSION_TOLERANCE,
) -> Bool[Tensor, "*b h w"]:
    """Return which pixels of camera a are seen by camera b too: in front, inside, and not hidden.

    Where either depth is unknown nobody can say, and the pixel counts as not seen. Arguments and errors as those of
    `backward_warp`.
    """
    nothing = z_depth_b.new_empty((*z_depth_b.shape[:-2], 0, *z_depth_b.shape[-2:]))
    with torch.no_grad():
        found = backward_warp(nothing, camera_b, T_b_a, z_depth_a, camera_a, z_depth_src=z_depth_b, tolerance=tolerance)
    return found.is_seen


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
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be a share of the depth, at least 0 and below 1, got {tolerance}")
    check_z_depth(z_depth_dst, camera_dst, "camera_dst")
    if z_depth_src is not None:
        check_z_depth(z_depth_src, camera_src, "camera_src")
