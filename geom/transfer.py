"""Pixels with depth, carried into another camera: where they land, how they move, and whether that camera sees them.

A pixel (u, v) of camera a with z-depth z lands in camera b at the homogeneous pixel z (H (u, v, 1) + e / z), with
H = K_b R K_a^-1 and e = K_b t for T_b_a = (R, t): Hartley and Zisserman, Multiple View Geometry (2004), eq. 9.7.
H and e are computed in the finest dtype of cameras and pose, all that is done per pixel in that of the depth, float32
at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3

Z_NEAR = 1e-3
"""Smallest z-depth that counts as in front of a camera (exclusive), metres."""

MAX_RELATIVE_STEP = 0.02
"""Neighbouring pixels whose z-depth differs by less than this share of it lie on one surface."""

REACH = 1
"""A footprint covers pixels up to this far from the one that its centre lands in."""

ROUNDING_PX = 1e-3
"""What a footprint may fall short of a pixel's centre and still cover it."""

UNKNOWN_INVERSE = 1e9
"""Inverse depth of what is unknown, 1/metres: so large that it hides everything."""

EMPTY_KEY, KEY_INDEX = 2**63 - 1, 2**32 - 1
"""Of a z-buffer: a key that loses against all others; the bits of a key that hold the source pixel. Those above hold
z-depth as float32, and the bits of positive floating-point numbers are ordered as the numbers are."""

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

_PIXELS_ON_CPU, _PIXELS_ON_GPU = 2**18, 2**24


class Landing(NamedTuple):
    """Where the pixels of a camera a land in the picture of a camera b."""

    u: Float[Tensor, "n h w"]
    """Pixels of b; meaningless where the point is not in front."""
    v: Float[Tensor, "n h w"]
    z: Float[Tensor, "n h w"]
    """z-depth in b, metres; meaningless where that in a is unknown."""
    is_front: Bool[Tensor, "n h w"]
    """The depth is known (finite), and the point in front of b."""

    def is_inside(self, width: int, height: int) -> Bool[Tensor, "n h w"]:
        """Return what is in front and between the borders of a picture."""
        return self.is_front & (self.u >= 0) & (self.u <= width) & (self.v >= 0) & (self.v <= height)


@dataclass(frozen=True, eq=False)
class Transfer:
    """How pixels of a camera a move to a camera b, for a batch of n frames."""

    coefficients: Float[Tensor, "n 14"]
    """H by rows, e and zoom side by side, so that they go to a device in one piece."""

    @staticmethod
    def between(
        camera_a: PinholeCamera,
        T_b_a: SE3,
        camera_b: PinholeCamera,
        z_depth_a: Float[Tensor, "*b h w"],
        names: tuple[str, str, str] = ("camera_a", "T_b_a", "camera_b"),
    ) -> Transfer:
        """Return what carries pixels with these depths, on the device of the depth.

        Args:
            names: of the first three, for messages.

        Raises:
            ValueError: if cameras or poses do not fit the batch of the depth.
        """
        batch, kind = z_depth_a.shape[:-2], torch.promote_types(z_depth_a.dtype, torch.float32)
        for name, found in zip(names, (camera_a.K, T_b_a.R, camera_b.K), strict=True):
            check_fits(found.shape[:-2], batch, name)
        # In the finest dtype of the three, so that nobody has to convert poses for cameras or cameras for poses.
        finest = torch.promote_types(torch.promote_types(camera_a.K.dtype, camera_b.K.dtype), T_b_a.t.dtype)
        focal, center, K_b = (x.to(finest) for x in (camera_a.focal, camera_a.principal_point, camera_b.K))
        turned, e = K_b @ T_b_a.R.to(finest), K_b @ T_b_a.t.to(finest)[..., None]
        # Times K_a^-1, written out: a matrix inverse would round where nothing moves.
        sides = turned[..., :2] / focal[..., None, :]
        H = torch.cat([sides, turned[..., 2:] - sides @ center[..., None]], -1)
        layers = (H.flatten(-2), e[..., 0], camera_b.focal.to(finest) / focal)
        side_by_side = torch.cat([x.expand(*batch, x.shape[-1]) for x in layers], -1)
        # Poses and cameras may be left on the CPU, where small matrices are worked out quickest.
        return Transfer(side_by_side.reshape(-1, 14).to(kind).to(z_depth_a.device, non_blocking=True))

    @property
    def H(self) -> Float[Tensor, "n 3 3"]:
        """Exactly the identity where neither the camera nor its direction changes."""
        return self.coefficients[:, :9].unflatten(1, (3, 3))

    @property
    def e(self) -> Float[Tensor, "n 3"]:
        """Pixels times metres; the last in metres."""
        return self.coefficients[:, 9:12]

    @property
    def zoom(self) -> Float[Tensor, "n 2"]:
        """Focal lengths of b over those of a."""
        return self.coefficients[:, 12:]

    @property
    def dtype(self) -> torch.dtype:
        """That of the geometry, float32 or float64."""
        return self.coefficients.dtype

    def part(self, frames: slice) -> Transfer:
        """Return that of some frames."""
        return Transfer(self.coefficients[frames])

    def land(self, z_a: Float[Tensor, "n h w"], z_near: float = Z_NEAR) -> Landing:
        """Carry all pixels over. Gradients flow to depth, pose and intrinsics, and are 0 where nothing is in front."""
        known = z_a.isfinite() & (z_a > 0)
        # Masked before dividing: what is unknown or behind would reach the gradients of poses and pictures as NaN.
        z_known = z_a.where(known, 1)
        per_z = z_known.reciprocal()
        x, y, w = (self._per_metre(axis, per_z) for axis in range(3))
        z = z_known * w
        is_front = known & (z > z_near)
        w = w.where(is_front, 1)
        return Landing(x / w, y / w, z, is_front)

    def _per_metre(self, axis: int, per_z: Tensor) -> Tensor:
        """Return (H (u, v, 1) + e / z)[axis] at all pixel centres."""
        across, down, last = self.H[:, axis, :, None, None].unbind(1)
        v, u = (torch.arange(size, dtype=per_z.dtype, device=per_z.device) + 0.5 for size in per_z.shape[1:])
        return across * u + (down * v[:, None] + last) + self.e[:, axis, None, None] * per_z


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
        ValueError: if z_depth is not of the size of camera_a, not floating point, or somewhere not positive (on a CPU;
            elsewhere it counts as unknown), or the batch shapes do not fit.

    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    >>> T_b_a = SE3.from_translation(torch.tensor([-0.5, 0.0, 0.0], dtype=torch.float64))
    >>> flow(torch.full((2, 4), 2.0, dtype=torch.float64), camera, T_b_a, camera)[0, 0].round(decimals=9).tolist()
    [-0.5, 0.0]
    """
    check_z_depth(z_depth, camera_a, "camera_a")
    require_positive(all_positive(z_depth))
    transfer = Transfer.between(camera_a, T_b_a, camera_b, z_depth)
    there = transfer.land(z_depth.reshape(-1, *z_depth.shape[-2:]).to(transfer.dtype))
    moved = torch.stack([there.u, there.v], -1) - camera_a.pixel_centers().to(there.u)
    return moved.where(there.is_front[..., None], math.nan).reshape(*z_depth.shape, 2)


def z_residual(
    z_depth_a: Float[Tensor, "*b h w"],
    camera_a: PinholeCamera,
    T_b_a: SE3,
    z_depth_b: Float[Tensor, "*c hb wb"],
    camera_b: PinholeCamera,
    *,
    z_near: float = Z_NEAR,
) -> Float[Tensor, "*b h w"]:
    """Return, for each pixel of camera a, its z-depth in b over what b measured there, minus 1.

    0 where both depths agree, positive behind the surface that b measured, negative before it. What b measured is that
    of the pixel landed on, so on a slanted surface it is off by up to half a pixel's step. A ratio: the unit of length
    does not matter to it. NaN where either depth is unknown (NaN or infinite), or the point is not in front of b or
    not in its picture, of which the border is part. Gradients flow to both depths, to the pose and to camera_a.

    Args:
        z_depth_a: metres in camera a; its batch must cover those of the pose, the cameras and z_depth_b.
        T_b_a: takes a-coordinates to b-coordinates, metres.
        z_depth_b: metres in camera b.
        z_near: smallest z-depth in b that counts as in front (exclusive), metres.

    Raises:
        ValueError: if a depth is not of the size of its camera, not floating point, or not positive where it is looked
            at (on a CPU; elsewhere it counts as unknown); z_near is not positive; or the batch shapes do not fit.

    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 4, 2)
    >>> T_b_a = SE3.from_translation(torch.tensor([0.0, 0.0, -0.75], dtype=torch.float64))
    >>> z_a, z_b = (torch.full((2, 4), z, dtype=torch.float64) for z in (2.0, 1.0))
    >>> z_residual(z_a, camera, T_b_a, z_b, camera)[0].round(decimals=9).tolist()
    [nan, 0.25, 0.25, nan]
    """
    check_z_depth(z_depth_a, camera_a, "camera_a")
    check_z_depth(z_depth_b, camera_b, "camera_b")
    if not z_near > 0:
        raise ValueError(f"z_near must be > 0 m, got {z_near}; use a small positive value such as 1e-3")
    transfer = Transfer.between(camera_a, T_b_a, camera_b, z_depth_a)
    measured = flat_batch(z_depth_b, z_depth_a.shape[:-2], 2, "z_depth_b")
    there = transfer.land(z_depth_a.reshape(-1, *z_depth_a.shape[-2:]).to(transfer.dtype), z_near)
    is_inside = there.is_inside(camera_b.width, camera_b.height)
    ends = (there.u, camera_b.width - 1), (there.v, camera_b.height - 1)
    col, row = (x.where(is_inside, 0).long().clamp_max(last) for x, last in ends)
    frame = torch.arange(len(measured), device=measured.device)[:, None, None]
    z_b = measured[frame, row, col].to(there.z)
    require_positive(all_positive(z_depth_a) and all_positive(z_b.where(is_inside, 1)))
    is_known = is_inside & z_b.isfinite() & (z_b > 0)
    # Masked before dividing too, for the gradients.
    off = there.z / z_b.where(is_known, 1) - 1
    return off.where(is_known, math.nan).reshape(z_depth_a.shape)


def parts(z: Float[Tensor, "n h w"]) -> Iterator[slice]:
    """Cut a batch into groups of frames, so that what is worked out on the way stays small."""
    pixels = _PIXELS_ON_GPU if z.is_cuda else _PIXELS_ON_CPU
    frames = max(1, pixels // max(1, z.shape[1] * z.shape[2]))
    return (slice(first, min(first + frames, len(z))) for first in range(0, max(1, len(z)), frames))


def as_bits(value: Tensor) -> Tensor:
    """Return a view as whole numbers of the same size, to be copied whatever they mean."""
    return value.view(_BITS[value.element_size()])


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
    """Refuse depth of another size than the camera's, or in whole numbers.

    Raises:
        ValueError: then.
    """
    want, got = (camera.height, camera.width), tuple(z_depth.shape[-2:])
    if got != want:
        raise ValueError(f"z_depth must be {want}, the size of {name}, got {got}; was it resized?")
    if not z_depth.is_floating_point():
        raise ValueError(f"z_depth must be floating point metres, got {z_depth.dtype}; is it in millimetres?")


def all_positive(z_depth: Tensor) -> bool:
    """Whether no known depth is <= 0; always so off the CPU, where asking would make the caller wait for the device."""
    return z_depth.device.type != "cpu" or not bool((z_depth <= 0).any())


def require_positive(is_positive: bool) -> None:
    """Refuse depth that a warp came upon and that is not positive.

    Raises:
        ValueError: then.
    """
    if not is_positive:
        raise ValueError("z_depth must be > 0 m or NaN, got zero or less; is 0 used for unknown?")
