"""Pinhole camera: x right, y down, z forward; first pixel centre (0.5, 0.5), image [0, W] x [0, H]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PinholeCamera:
    """Intrinsics without distortion or skew, for one image size.

    The batch shape of K broadcasts against that of points and pixels.

    Raises:
        ValueError: if K is not (..., 3, 3), not finite, its last row is not (0, 0, 1), a focal length is not
            positive, the skew is not 0, or the image is empty.

    >>> camera = PinholeCamera.from_hfov(math.pi / 2, 640, 480)
    >>> uv, in_front = camera.project(torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64))
    >>> uv.round(decimals=6).tolist(), bool(in_front)
    ([480.0, 240.0], True)
    """

    K: Float[Tensor, "*batch 3 3"]
    """Intrinsics, pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."""
    width: int
    """Image width, pixels."""
    height: int
    """Image height, pixels."""

    def __post_init__(self) -> None:
        _check_intrinsics(self.K)
        _check_size(self.width, self.height)

    @staticmethod
    def from_hfov(
        hfov: float | int | Float[Tensor, "*batch"],
        width: int,
        height: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: Any = None,
    ) -> PinholeCamera:
        """Return a camera with square pixels and centred principal point.

        Args:
            hfov: horizontal field of view, radians.
            width, height: image size, pixels.

        Raises:
            ValueError: if hfov is not between 0 and pi.
        """
        hfov = torch.as_tensor(hfov, dtype=dtype, device=device)
        if not bool(((hfov > 0) & (hfov < math.pi)).all()):
            raise ValueError(f"hfov must be between 0 and pi radians, got {hfov.tolist()}; was it in degrees?")
        focal = (width / 2 / (hfov / 2).tan())[..., None].expand(*hfov.shape, 2)
        return PinholeCamera(_matrix(focal, focal.new_tensor([width / 2, height / 2])), width, height)

    def project(
        self, p_cam: Float[Tensor, "*points 3"], *, z_near: float | int = 1e-3
    ) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
        """Project camera-frame points to pixels, and say which results mean anything.

        A point at or behind the near plane has no image. Its pixel is NaN, never clamped, so that a forgotten
        mask fails loudly; its gradient is 0.

        Args:
            p_cam: points, metres.
            z_near: smallest z-depth that counts as in front (exclusive), metres.

        Returns:
            uv: pixels; NaN where `in_front` is False.
            in_front: True where z > z_near and the point is finite. Says nothing about the image bounds.

        Raises:
            ValueError: if z_near is not positive or the points do not have 3 coordinates.
        """
        if not z_near > 0:
            raise ValueError(f"z_near must be > 0 m, got {z_near}; use a small positive value such as 1e-3")
        _require_last(p_cam, "p_cam", 3)
        in_front = (p_cam[..., 2] > z_near) & p_cam.isfinite().all(-1)
        # Masked before dividing: a NaN or inf inside `where` would still reach the gradients, also K's.
        p_safe = p_cam.where(in_front[..., None], p_cam.new_tensor([0, 0, 1]))
        uv = p_safe[..., :2] / p_safe[..., 2:] * self.focal + self.principal_point
        return uv.where(in_front[..., None], uv.new_full((), math.nan)), in_front.expand(uv.shape[:-1])

    def rays(self, uv: Float[Tensor, "*pixels 2"]) -> Float[Tensor, "*out 3"]:
        """Return camera-frame directions through pixels, with z = 1: the length along them is z-depth.

        Raises:
            ValueError: if the pixels do not have 2 coordinates.
        """
        _require_last(uv, "uv", 2)
        xy = (uv - self.principal_point) / self.focal
        return torch.cat([xy, torch.ones_like(xy[..., :1])], -1)

    def unproject(self, uv: Float[Tensor, "*pixels 2"], z_depth: Float[Tensor, "*depths"]) -> Float[Tensor, "*out 3"]:
        """Return the camera-frame points, metres, seen at pixels with a given z-depth (not ray distance).

        Raises:
            ValueError: if the pixels do not have 2 coordinates.
        """
        return self.rays(uv) * z_depth[..., None]

    def pixel_centers(self) -> Float[Tensor, "h w 2"]:
        """Return the centre of every pixel; [row, col] holds (col + 0.5, row + 0.5)."""
        kind: dict[str, Any] = {"dtype": self.K.dtype, "device": self.K.device}
        v, u = torch.meshgrid(
            torch.arange(self.height, **kind) + 0.5, torch.arange(self.width, **kind) + 0.5, indexing="ij"
        )
        return torch.stack([u, v], -1)

    def contains(self, uv: Float[Tensor, "*pixels 2"]) -> Bool[Tensor, "*pixels"]:
        """Return where a pixel position lies in the image or on its border; NaN does not."""
        size = uv.new_tensor([self.width, self.height])
        return ((uv >= 0) & (uv <= size)).all(-1)

    def crop(self, left: float | int, top: float | int, width: int, height: int) -> PinholeCamera:
        """Return the camera of the cut-out whose corner (0, 0) lies at pixel position (left, top).

        A cut-out that reaches beyond the image is a padded image.
        """
        moved = self.principal_point - self.principal_point.new_tensor([left, top])
        return PinholeCamera(_matrix(self.focal, moved), width, height)

    def resize(self, width: int, height: int) -> PinholeCamera:
        """Return the camera of the image stretched to a new size, also unevenly; exact at pixel centres."""
        factor = self.focal.new_tensor([width / self.width, height / self.height])
        return _derived(_matrix(self.focal * factor, self.principal_point * factor), width, height)

    def to(self, *args: Any, **kwargs: Any) -> PinholeCamera:
        """Return the camera on another device or in another dtype, as `Tensor.to`."""
        return _derived(self.K.to(*args, **kwargs), self.width, self.height)

    def __getitem__(self, index: Any) -> PinholeCamera:
        """Index the batch dimensions as a tensor's: `camera[0]`, `camera[..., None]`."""
        index = index if isinstance(index, tuple) else (index,)
        return _derived(self.K[(*index, slice(None), slice(None))], self.width, self.height)

    @property
    def focal(self) -> Float[Tensor, "*batch 2"]:
        """(fx, fy), pixels."""
        return self.K[..., :2, :2].diagonal(dim1=-2, dim2=-1)

    @property
    def principal_point(self) -> Float[Tensor, "*batch 2"]:
        """(cx, cy), pixels."""
        return self.K[..., :2, 2]

    @property
    def hfov(self) -> Float[Tensor, "*batch"]:
        """Horizontal field of view, radians: the angle between the left and right border, for any cx."""
        return _field_of_view(self.focal[..., 0], self.principal_point[..., 0], self.width)

    @property
    def vfov(self) -> Float[Tensor, "*batch"]:
        """Vertical field of view, radians: the angle between the top and bottom border, for any cy."""
        return _field_of_view(self.focal[..., 1], self.principal_point[..., 1], self.height)


def _derived(K: Tensor, width: Any, height: Any) -> PinholeCamera:
    """A camera made of a good one, whose numbers are good too: to look at them again would make a GPU wait."""
    _check_dtype(K)
    _check_size(width, height)
    camera = object.__new__(PinholeCamera)
    for name, value in (("K", K), ("width", width), ("height", height)):
        object.__setattr__(camera, name, value)
    return camera


def _check_dtype(K: Tensor) -> None:
    if not K.is_floating_point():
        raise ValueError(f"K must be floating point, got {K.dtype}; whole numbers would cut off what resizing gives")


def _check_size(width: object, height: object) -> None:
    for name, size in (("width", width), ("height", height)):
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            raise ValueError(f"{name} must be a positive whole number of pixels, got {size!r}")


def _field_of_view(focal: Tensor, center: Tensor, size: int) -> Tensor:
    return (center / focal).atan() + ((size - center) / focal).atan()


def _matrix(focal: Tensor, principal_point: Tensor) -> Tensor:
    upper = torch.cat([torch.diag_embed(focal), principal_point.expand_as(focal)[..., None]], -1)
    last_row = focal.new_tensor([0, 0, 1]).expand(*focal.shape[:-1], 1, 3)
    return torch.cat([upper, last_row], -2)


def _require_last(value: Tensor, name: str, size: int) -> None:
    if value.shape[-1:] != (size,):
        raise ValueError(f"{name} must have shape (..., {size}), got {tuple(value.shape)}; is it homogeneous?")


def _check_intrinsics(K: Tensor) -> None:
    if K.shape[-2:] != (3, 3):
        raise ValueError(f"K must have shape (..., 3, 3), got {tuple(K.shape)}")
    _check_dtype(K)
    if not bool(K.isfinite().all()):
        raise ValueError("K must be finite, got NaN or inf")
    if not bool((K[..., 2, :] == K.new_tensor([0, 0, 1])).all()):
        raise ValueError(f"last row of K must be (0, 0, 1), got {K[..., 2, :].tolist()}; was K passed transposed?")
    focal = K[..., :2, :2].diagonal(dim1=-2, dim2=-1)
    if not bool((focal > 0).all()):
        raise ValueError(f"focal lengths must be > 0 pixels, got {focal.tolist()}; is the camera mirrored?")
    skew = torch.stack([K[..., 0, 1], K[..., 1, 0]], -1)
    if bool((skew != 0).any()):
        raise ValueError(f"K must have zero skew, got {skew.tolist()}; undistort or rectify the image first")
