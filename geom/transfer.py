"""Pixels with depth, carried into another camera: where they land, how they move, and whether that camera sees them.

A pixel (u, v) of camera a with z-depth z lands in camera b at the homogeneous pixel z H (u, v, 1) + e, with
H = K_b R K_a^-1 and e = K_b t for T_b_a = (R, t): Hartley and Zisserman, Multiple View Geometry (2004), eq. 9.7.
H and e are computed in the finest dtype of cameras and pose, all that is done per pixel in that of the depth, float32
at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3

Z_NEAR = 1e-3
"""Smallest z-depth that counts as in front of a camera (exclusive), metres."""

OCCLUSION_TOLERANCE = 0.01
"""Relative: a surface hides a point if its inverse z-depth is larger than the point's by more than this share."""

_UNKNOWN = 1e9
_PIXELS_ON_CPU = 2**17
_PIXELS_ON_GPU = 2**26


class Landing(NamedTuple):
    """Where the pixels of a camera a land in the picture of a camera b."""

    grid: Float[Tensor, "n h w 2"]
    """-1 to 1 from border to border of b's picture, as `grid_sample(align_corners=False)` reads it."""
    z: Float[Tensor, "n h w"]
    """z-depth in b, metres; NaN where that in a is unknown."""
    is_inside: Float[Tensor, "n h w"]
    """1 where the point is in front of b and inside of its picture, else 0."""


class Buffers:
    """Memory for the steps between input and output, used again for each part of a batch.

    A fresh block of some megabytes costs more in page faults than the arithmetic on it. Autograd keeps what passes
    through it, so with gradients every request is answered by None, which as `out=` means fresh memory.
    """

    def __init__(self, *, reuse: bool) -> None:
        self.reuse = reuse
        self._held: dict[str, Tensor] = {}

    def get(self, name: str, like: Tensor, shape: Sequence[int] | None = None) -> Tensor | None:
        """Return the memory of that name, (re)made to fit; its content is whatever was left there."""
        if not self.reuse:
            return None
        held, want = self._held.get(name), torch.Size(like.shape if shape is None else shape)
        if held is None or held.shape != want:
            held = self._held[name] = like.new_empty(want)
        return held


def flow(
    z_depth: Float[Tensor, "*b h w"], camera_a: PinholeCamera, T_b_a: SE3, camera_b: PinholeCamera
) -> Float[Tensor, "*b h w 2"]:
    """Return how far each pixel of camera a moves in the picture when camera b takes it, (du, dv), pixels.

    NaN where the depth is unknown (NaN or infinite) or the point is not in front of b. A flow may lead out of the
    picture. Differentiable in depth, pose and intrinsics.

    Args:
        z_depth: metres in camera a; its batch must cover those of pose and cameras.
        T_b_a: takes a-coordinates to b-coordinates, metres.

    Raises:
        ValueError: if z_depth is not of the size of camera_a, not floating point, or somewhere not positive, or the
            batch shapes do not fit.

    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    >>> T_b_a = SE3.from_translation(torch.tensor([-0.5, 0.0, 0.0], dtype=torch.float64))
    >>> flow(torch.full((2, 4), 2.0, dtype=torch.float64), camera, T_b_a, camera)[0, 0].round(decimals=9).tolist()
    [-0.5, 0.0]
    """
    check_z_depth(z_depth, camera_a, "camera_a")
    batch = z_depth.shape[:-2]
    H, e = transfer_matrices(camera_a, T_b_a, camera_b, at_least_float32(z_depth), batch)
    z = z_depth.reshape(-1, *z_depth.shape[-2:]).to(H.dtype)
    known = z.isfinite()
    xyw = homogeneous(z.where(known, 1), H, e, Buffers(reuse=False))
    front = known & (xyw[:, 2] > Z_NEAR)
    uv = xyw[:, :2] / xyw[:, 2:].where(front[:, None], 1)
    moved = uv.movedim(1, -1) - camera_a.pixel_centers().to(uv.dtype)
    return moved.where(front[..., None], math.nan).reshape(*z_depth.shape, 2)


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
    `geom.gather.backward_warp`.
    """
    check_tolerance(tolerance)
    check_z_depth(z_depth_a, camera_a, "camera_a")
    check_z_depth(z_depth_b, camera_b, "camera_b")
    batch = z_depth_a.shape[:-2]
    H, e = transfer_matrices(camera_a, T_b_a, camera_b, at_least_float32(z_depth_a), batch)
    z_a, z_b = flat_batch(z_depth_a, batch, 2, "z_depth_a"), flat_batch(z_depth_b, batch, 2, "z_depth_b")
    buffers, seen = Buffers(reuse=True), torch.empty(z_a.shape, dtype=torch.bool, device=z_a.device)
    with torch.no_grad():
        for part, bands in parts(z_a):
            inverse = inverse_z(z_b[part].to(H.dtype), buffers)
            for rows in bands:
                landing = land(z_a[part, rows].to(H.dtype), H[part], e[part], camera_b, buffers, rows.start)
                seen[part, rows] = is_unhidden(landing, inverse, tolerance).mul_(landing.is_inside)
    return seen.reshape(z_depth_a.shape)


def land(
    z_a: Float[Tensor, "n h w"],
    H: Float[Tensor, "n 3 3"],
    e: Float[Tensor, "n 3"],
    camera_b: PinholeCamera,
    buffers: Buffers,
    first_row: int = 0,
) -> Landing:
    """Carry pixels of a, or a band of its rows, into the picture of b. What lands nowhere has a meaningless grid."""
    to_unit = _to_unit(camera_b).to(H)
    known = None if buffers.reuse else z_a.isfinite()
    z_known = z_a if known is None else z_a.where(known, 1)
    xyw = homogeneous(z_known, to_unit @ H, e @ to_unit.mT, buffers, first_row)
    z = w = xyw[:, 2]
    if known is not None:
        # Masked before dividing: what is unknown or behind would reach the gradients of poses and pictures as NaN.
        z = z.detach().where(known, math.nan)
        w = w.where(z > Z_NEAR, 1)
    x, y = (torch.div(xyw[:, i], w, out=buffers.get(f"axis {i}", w)) for i in range(2))
    # The quickest way on a CPU to lay two planes side by side: eight times as fast as stack.
    grid = torch.view_as_real(torch.complex(x, y))
    # Comparisons that give floating point are many times faster on a CPU than those that give bool.
    with torch.no_grad():
        off = torch.maximum(x.abs(), y.abs(), out=buffers.get("off", w))
        is_front = torch.gt(z, Z_NEAR, out=_fresh(buffers.get("front", w), w))
        is_inside = torch.le(off, 1, out=_fresh(buffers.get("inside", w), w)).mul_(is_front)
    return Landing(grid, z, is_inside)


def _fresh(held: Tensor | None, like: Tensor) -> Tensor:
    return torch.empty_like(like) if held is None else held


def inverse_z(z_depth: Float[Tensor, "n h w"], buffers: Buffers) -> Float[Tensor, "n h w"]:
    """Return 1 / z-depth, and for unknown depth (NaN) a number so large that it hides everything."""
    inverse = torch.reciprocal(z_depth, out=buffers.get("inverse", z_depth))
    return torch.nan_to_num(inverse, nan=_UNKNOWN, out=buffers.get("inverse", z_depth))


def is_unhidden(landing: Landing, inverse_b: Float[Tensor, "n hb wb"], tolerance: float) -> Float[Tensor, "n h w"]:
    """Return 1 where no surface hides a point, else 0.

    A surface hides a point only if two readings of its inverse depth agree that it is nearer: the pixel that the
    point lands on, and what lies between the four around. The second is exact on a plane, however steep (inverse
    depth is linear in the picture), the first at a depth edge.
    """
    nearest, between = (sample(inverse_b[:, None], landing.grid, mode)[:, 0] for mode in ("nearest", "bilinear"))
    ratio = torch.minimum(nearest, between, out=nearest).mul_(landing.z)
    return torch.le(ratio, 1 + tolerance, out=ratio)


def sample(layer: Float[Tensor, "n c hb wb"], grid: Float[Tensor, "n h w 2"], mode: str) -> Float[Tensor, "n c h w"]:
    """Read layers of b where the pixels of a land; the outermost half pixel repeats the outermost centre."""
    return F.grid_sample(layer, grid, mode=mode, padding_mode="border", align_corners=False)


def homogeneous(
    z: Float[Tensor, "n h w"],
    H: Float[Tensor, "n 3 3"],
    e: Float[Tensor, "n 3"],
    buffers: Buffers,
    first_row: int = 0,
) -> Float[Tensor, "n 3 h w"]:
    """Return z H (u, v, 1) + e for the centres of all pixels in a band of rows."""
    height, width = z.shape[-2:]
    u = torch.arange(width, dtype=z.dtype, device=z.device) + 0.5
    v = torch.arange(first_row, first_row + height, dtype=z.dtype, device=z.device) + 0.5
    along_row, along_col = H[:, :, 0, None] * u, H[:, :, 1, None] * v + H[:, :, 2, None]
    shape = (len(z), 3, height, width)
    ray = torch.add(along_col[..., None], along_row[..., None, :], out=buffers.get("xyw", z, shape))
    return ray.mul_(z[:, None]).add_(e[..., None, None])


def transfer_matrices(
    camera_a: PinholeCamera, T_b_a: SE3, camera_b: PinholeCamera, dtype: torch.dtype, batch: torch.Size
) -> tuple[Float[Tensor, "n 3 3"], Float[Tensor, "n 3"]]:
    """Return H and e of this module's head, one for each frame of a batch."""
    # In the finest dtype of the four, so that nobody has to convert poses for cameras or cameras for poses.
    finest = torch.promote_types(torch.promote_types(camera_a.K.dtype, camera_b.K.dtype), T_b_a.t.dtype)
    K_a, K_b, R, t = (x.to(finest) for x in (camera_a.K, camera_b.K, T_b_a.R, T_b_a.t))
    H = K_b @ R @ torch.linalg.inv(K_a)
    e = (K_b @ t[..., None])[..., 0]
    named = (("poses and cameras", H, 2), ("poses and cameras", e, 1))
    return tuple(flat_batch(x.to(dtype), batch, rank, name) for name, x, rank in named)  # type: ignore[return-value]


def _to_unit(camera: PinholeCamera) -> Tensor:
    """Takes homogeneous pixels of a picture to -1 .. 1 from border to border."""
    matrix = [[2 / camera.width, 0, -1], [0, 2 / camera.height, -1], [0, 0, 1]]
    return torch.tensor(matrix, dtype=camera.K.dtype, device=camera.K.device)


def at_least_float32(z_depth: Tensor) -> torch.dtype:
    """Return the dtype that per-pixel geometry is done in."""
    return torch.promote_types(z_depth.dtype, torch.float32)


def parts(z: Float[Tensor, "n h w"]) -> Iterator[tuple[slice, list[slice]]]:
    """Cut a batch into groups of frames, and each into bands of rows.

    On a CPU small enough for the cache of its cores, one frame for each thread, which is how `grid_sample` shares its
    work; on a GPU so that the steps between stay within some GB.
    """
    num, height, width = z.shape
    pixels = _PIXELS_ON_GPU if z.is_cuda else _PIXELS_ON_CPU
    frames = max(1, pixels // (height * width)) if z.is_cuda else max(1, min(num, torch.get_num_threads()))
    rows = max(1, pixels // (frames * width))
    for first in range(0, num, frames):
        yield slice(first, min(first + frames, num)), [slice(r, min(r + rows, height)) for r in range(0, height, rows)]


def flat_batch(value: Tensor, batch: torch.Size, rank: int, name: str) -> Tensor:
    """Return a tensor with the batch shape of the depth, as one dimension; what is broadcast is not copied there.

    Raises:
        ValueError: if its own batch shape does not broadcast to that.
    """
    check_fits(value.shape[: value.ndim - rank], batch, name)
    full = value.expand(*batch, *value.shape[value.ndim - rank :])
    return full.flatten(0, len(batch) - 1) if batch else full[None]


def check_fits(found: Sequence[int], batch: Sequence[int], name: str) -> None:
    """Refuse a batch shape that does not broadcast to that of the depth.

    Raises:
        ValueError: then.
    """
    fits = len(found) <= len(batch) and all(a in (1, b) for a, b in zip(reversed(found), reversed(batch), strict=False))
    if not fits:
        want = tuple(batch)
        raise ValueError(f"{name} of batch {tuple(found)} must fit the depth maps' batch {want}; expand the depth")


def check_z_depth(z_depth: Tensor, camera: PinholeCamera, name: str) -> None:
    """Refuse depth of another size than the camera's, in whole numbers, or not positive.

    Raises:
        ValueError: then.
    """
    want, got = (camera.height, camera.width), tuple(z_depth.shape[-2:])
    if got != want:
        raise ValueError(f"z_depth must be {want}, the size of {name}, got {got}; was it resized?")
    if not z_depth.is_floating_point():
        raise ValueError(f"z_depth must be floating point metres, got {z_depth.dtype}; is it in millimetres?")
    # Not (z_depth <= 0).any(), which takes ten times as long on a CPU.
    if z_depth.numel() and float(z_depth.detach().nan_to_num(nan=1).amin()) <= 0:
        raise ValueError("z_depth must be > 0 m or NaN, got zero or less; is 0 used for unknown?")


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is no share.

    Raises:
        ValueError: then.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be a share of the depth, at least 0 and below 1, got {tolerance}")
