"""Soft forward warp: source pixels share themselves among the pixels they fall between; gradients flow through all."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.splat import check_layers
from geom.transfer import Landing, Transfer, all_positive, flat_batch, parts, require_positive


class SoftSplatted(NamedTuple):
    """What the second camera sees, mixed. Its image is 0 in a hole and z_depth NaN, both with gradient 0."""

    image: Float[Tensor, "*b c h w"]
    is_hole: Bool[Tensor, "*b h w"]
    """Where no share of any source pixel fell."""
    z_depth: Float[Tensor, "*b h w"]
    """Metres in the second camera, mixed with the same weights."""


def soft_splat(
    image: Float[Tensor, ...],
    z_depth: Float[Tensor, "*b h w"],
    camera_src: PinholeCamera,
    T_dst_src: SE3,
    camera_dst: PinholeCamera,
    *,
    sharpness: float = 50.0,
) -> SoftSplatted:
    """Splat an image with depth into a second camera, differentiably: a weighted mean of what falls on each pixel.

    Each source pixel shares itself bilinearly among the four pixel centres around where it lands. A share weighs
    z^-sharpness, z being its depth in the second camera: softmax splatting (Niklaus and Liu, CVPR 2020, arXiv
    2003.05534) over the metric -sharpness * log z, which no unit of length changes. At 50 a surface 2 % behind
    another weighs 0.37 of it and one 10 % behind 0.0085; at 0 all weigh the same (their average splatting).

    Gradients flow to image, z_depth, T_dst_src and both cameras; they jump where a pixel lands on a row or column of
    centres. Unknown depth and what is behind the second camera or outside of its picture are left out and get
    gradient 0. A colour that is NaN or infinite spoils the pixels that it has a share in, and no gradient.

    Unlike `forward_warp`, a surface that comes closer tears open where it is magnified more than twice, and one in
    front grows by up to a pixel. On CUDA sums are taken in any order, so the last bits may differ from run to run.

    Args:
        image: (*b, c, h, w), floating point; mixed in the finer dtype of its own and the depth's, float32 at least.
        z_depth: metres in the source camera; NaN or infinite = unknown.
        camera_src, camera_dst: batch shape broadcastable to *b; the sizes may differ. Like T_dst_src they may lie on
            the CPU while image and depth lie elsewhere.
        T_dst_src: takes source-camera to destination-camera coordinates, metres; broadcastable to *b.
        sharpness: how much nearer surfaces count for more, >= 0.

    Raises:
        ValueError: if image, z_depth and camera_src differ in size, there are more poses or cameras than depth maps,
            the image is not floating point, sharpness is negative or not finite, or, on a CPU, a known depth is not
            positive (elsewhere it counts as unknown, because asking would make the caller wait for the device).

    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    >>> z_depth = torch.full((2, 4), 2.0, dtype=torch.float64)
    >>> image = torch.arange(8, dtype=torch.float64).reshape(1, 2, 4)
    >>> T_dst_src = SE3.from_translation(torch.tensor([-0.5, 0.0, 0.0], dtype=torch.float64))
    >>> soft_splat(image, z_depth, camera, T_dst_src, camera).image[0].round(decimals=6).tolist()
    [[0.5, 1.5, 2.5, 3.0], [4.5, 5.5, 6.5, 7.0]]
    """
    if not image.is_floating_point():
        raise ValueError(f"image must be floating point to be mixed, got {image.dtype}; divide it by 255")
    if not 0 <= sharpness < math.inf:
        raise ValueError(f"sharpness must be >= 0 and finite, got {sharpness}; forward_warp shows the nearest alone")
    check_layers(image, z_depth, camera_src)
    transfer = Transfer.between(camera_src, T_dst_src, camera_dst, z_depth, ("camera_src", "T_dst_src", "camera_dst"))
    batch, size = z_depth.shape[:-2], (camera_dst.height, camera_dst.width)
    source, z_src = flat_batch(image, batch, 3, "image"), flat_batch(z_depth, batch, 2, "z_depth")
    found = [_splat(source[part], z_src[part], transfer.part(part), size, sharpness) for part in parts(z_src)]
    colour, is_hole, z_dst = (torch.cat(x) for x in zip(*found, strict=True))
    return SoftSplatted(*(x.reshape(*batch, *x.shape[1:]) for x in (colour, is_hole, z_dst)))


def _splat(
    image: Float[Tensor, "n c h w"],
    z_src: Float[Tensor, "n h w"],
    transfer: Transfer,
    size: tuple[int, int],
    sharpness: float,
) -> tuple[Float[Tensor, "n c hd wd"], Bool[Tensor, "n hd wd"], Float[Tensor, "n hd wd"]]:
    require_positive(all_positive(z_src))
    landing = _land(z_src.to(transfer.dtype), transfer, size)
    shares, z = _shares(landing, size[1] + 2), landing.z.flatten(1)
    nearest = z.new_full((len(z), (size[0] + 2) * (size[1] + 2)), math.inf)
    with torch.no_grad():
        for target, share in shares:
            nearest.scatter_reduce_(1, target, z.where(share > 0, math.inf), "amin")
    values = torch.cat([torch.ones_like(z)[:, None], z[:, None], image.flatten(2)], 1)
    sums = _sums(values, z, nearest, shares, sharpness)
    sums, nearest = (x.unflatten(-1, (size[0] + 2, size[1] + 2))[..., 1:-1, 1:-1] for x in (sums, nearest))
    is_hole = nearest == math.inf
    mean = _mean(sums[:, 1:], sums[:, :1], is_hole[:, None])
    return mean[:, 1:].to(image.dtype), is_hole, mean[:, 0].masked_fill(is_hole, math.nan).to(z_src.dtype)


def _land(z_src: Float[Tensor, "n h w"], transfer: Transfer, size: tuple[int, int]) -> Landing:
    """Carry over the pixels that share in the second picture; the rest is placed beside its corner, at 1 m.

    They are found first, and the rest then counts as unknown: it must not reach the gradients even times 0.
    """
    height, width = size
    with torch.no_grad():
        u, v, z, is_front = transfer.land(z_src)
        reaches = is_front & (z < math.inf) & (u > -0.5) & (u < width + 0.5) & (v > -0.5) & (v < height + 0.5)
    u, v, z, _ = transfer.land(z_src.where(reaches, math.nan))
    return Landing(u.where(reaches, -0.5), v.where(reaches, -0.5), z.where(reaches, 1), reaches)


def _shares(landing: Landing, stride: int) -> list[tuple[Int64[Tensor, "n hw"], Float[Tensor, "n hw"]]]:
    """Return the bilinear shares of the four pixels around, and their places: row * stride + column of the picture
    with one more pixel on each side."""
    x, y = landing.u.flatten(1) - 0.5, landing.v.flatten(1) - 0.5
    col, row = x.detach().floor(), y.detach().floor()
    right, below = x - col, y - row
    corner = (row.long() + 1) * stride + col.long() + 1
    return [
        (corner, (1 - right) * (1 - below)),
        (corner + 1, right * (1 - below)),
        (corner + stride, (1 - right) * below),
        (corner + stride + 1, right * below),
    ]


def _sums(
    values: Float[Tensor, "n k hw"],
    z: Float[Tensor, "n hw"],
    nearest: Float[Tensor, "n places"],
    shares: list[tuple[Int64[Tensor, "n hw"], Float[Tensor, "n hw"]]],
    sharpness: float,
) -> Float[Tensor, "n k places"]:
    """Return the sums of values, each times its share and (nearest / z)^sharpness, in each place.

    Relative to the nearest of the place no weight overflows, and not all underflow; the mean does not change by it.
    """
    is_odd = ~values.isfinite()
    regular = values.masked_fill(is_odd, 0)
    sums = values.new_zeros((*values.shape[:2], nearest.shape[1]))
    for target, share in shares:
        # What has no share may be nearer than the nearest that has; its gradient is that of one as near.
        weight = share * (nearest.gather(1, target).minimum(z.detach()) / z).pow(sharpness)
        shown = torch.where(is_odd & (share > 0)[:, None], values.detach(), regular * weight[:, None])
        sums.scatter_add_(2, target[:, None].expand(values.shape), shown)
    return sums


def _mean(sums: Tensor, total: Tensor, is_hole: Tensor) -> Tensor:
    """Divide sums, (n, k, h, w), by their weights; without gradient where they are spoilt, and in holes, where 0."""
    is_regular = sums.isfinite() & ~is_hole
    # Not divided: in the gradient of a quotient great depths overflow.
    mean = sums.where(is_regular, 0) * total.masked_fill(is_hole, 1).reciprocal()
    return mean.where(is_regular, sums.detach())
