"""Forward warp: what a second camera sees of an image whose z_depth is known; holes where it knows nothing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Integer, Shaped
from torch import Tensor

from geom.camera import PinholeCamera
from geom.engine import engine_for
from geom.se3 import SE3
from geom.transfer import Transfer, check_z_depth, flat_batch, require_positive


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
    2 * REACH + 1 = 3; where it has no such neighbour it covers the square of its own size, seen face-on. Boxes do
    not span a depth edge, so what is uncovered there is a hole. Unknown depth (NaN) and points at or behind the
    second camera are left out. Of several pixels at the same z, compared in float32, the first in row-major order
    wins, so the result does not depend on the order of execution. The z of a pixel is that of the source pixel's
    centre: on a slanted surface it is off by up to half a source pixel's step in depth. No gradients: `soft_splat`.

    Args:
        image: (*b, c, h, w), any type but unsigned whole numbers above 8 bits, which torch cannot fill.
        z_depth: metres in the source camera; NaN or infinite = unknown.
        camera_src, camera_dst: batch shape broadcastable to *b; the sizes may differ.
        T_dst_src: takes source-camera to destination-camera coordinates, metres; broadcastable to *b.
        extra: (*b, h, w), a layer of signed whole numbers carried along, as item ids; -1 in a hole.

    Raises:
        ValueError: if image, z_depth, extra and camera_src differ in size, there are more poses or cameras than
            depth maps, a layer has a type that cannot hold what is asked, or, on a CPU, a known depth is not positive
            (elsewhere it counts as unknown, because asking would make the caller wait for the device).

    >>> import math
    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    >>> z_depth = torch.full((2, 4), 2.0, dtype=torch.float64)
    >>> image = torch.arange(8, dtype=torch.uint8).reshape(1, 2, 4)
    >>> T_dst_src = SE3.from_translation(torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64))
    >>> forward_warp(image, z_depth, camera, T_dst_src, camera).image[0].tolist()
    [[1, 2, 3, 0], [5, 6, 7, 0]]
    """
    check_layers(image, z_depth, camera_src, extra)
    transfer = Transfer.between(camera_src, T_dst_src, camera_dst, z_depth, ("camera_src", "T_dst_src", "camera_dst"))
    batch, size = z_depth.shape[:-2], (camera_dst.height, camera_dst.width)
    z_src = flat_batch(z_depth, batch, 2, "z_depth")
    layers = [(flat_batch(image, batch, 3, "image"), 0)]
    if extra is not None:
        layers.append((flat_batch(extra, batch, 2, "extra")[:, None], -1))
    with torch.no_grad():
        found = engine_for(transfer.coefficients).splat(layers, z_src, transfer, size)
    carried, z_dst, is_hole, source_idx, is_positive = found
    require_positive(is_positive)
    return Warped(
        image=carried[0].reshape(*batch, image.shape[-3], *size),
        z_depth=z_dst.to(z_depth.dtype).reshape(*batch, *size),
        is_hole=is_hole.reshape(*batch, *size),
        extra=None if extra is None else carried[1].reshape(*batch, *size),
        source_idx=source_idx.reshape(*batch, *size),
    )


_NO_FILL = (torch.uint16, torch.uint32, torch.uint64)
_NO_MINUS_ONE = (torch.uint8, *_NO_FILL)


def check_layers(image: Tensor, z_depth: Tensor, camera_src: PinholeCamera, extra: Tensor | None = None) -> None:
    """Refuse layers of another size than the depth's, and types that cannot mark a hole.

    Raises:
        ValueError: then.
    """
    check_z_depth(z_depth, camera_src, "camera_src")
    if image.ndim < 3:
        raise ValueError(f"image must be (..., channels, height, width), got {tuple(image.shape)}; has it no channels?")
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
