"""Depth of one view, moved into another by the poses, against the depth measured there.

A pixel that lands clearly behind the measured surface may be hidden by it, and says nothing of how exact either is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.warp import z_residual

_FALL_OFF = 0.03
"""Relative difference of z-depth at which a pixel's explanation has fallen to 1 / e."""
_CLEARLY = 0.1
"""Relative difference beyond which a pixel is behind a surface: noise and drift stay below."""
_PIXELS = 2500
_Z_NEAR = 1e-6
"""In front, in whatever unit: what is looked at may be kilometres that were taken for metres."""


@dataclass(frozen=True, eq=False)
class Shot:
    """What one frame says, or is taken to say: camera and pose may hold several readings of it."""

    camera: PinholeCamera
    T_world_cam: SE3
    """NaN where a reading has no pose for this frame."""
    z_depth: Float[Tensor, "h w"]
    """In the unit of the poses, NaN where unknown."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """How the pixels of one view fare in another, in each reading."""

    explained: Float[Tensor, "*readings"]
    """Mean over pixels with depth: 1 where both depths are equal, falling off with their relative difference; 0..1.
    NaN where a reading has no pose."""
    off: Float[Tensor, "*readings n m"]
    """Relative difference of z-depth of each pixel; NaN where it cannot be compared."""

    @property
    def residual(self) -> Float[Tensor, "*readings"]:
        """Median relative difference, without pixels that may be hidden; NaN where nothing can be compared."""
        unhidden = self.off.abs().where(self.off < _CLEARLY, math.nan)
        return unhidden.flatten(-2).nanquantile(0.5, -1)


def compare(a: Shot, b: Shot) -> Comparison:
    """Move a lattice of some thousand pixels of `a` into `b`, and compare z-depths."""
    camera, z = _lattice(a)
    T_b_a = b.T_world_cam.inverse() @ a.T_world_cam
    off = z_residual(z.expand(*T_b_a.shape, *z.shape), camera, T_b_a, b.z_depth, b.camera, z_near=_Z_NEAR)
    explained = (off.abs() / -_FALL_OFF).exp().nansum((-2, -1)) / z.isfinite().sum().clamp_min(1)
    return Comparison(explained.where(T_b_a.t.isfinite().all(-1), math.nan), off)


def stacked(readings: Sequence[Shot]) -> Shot:
    """Several readings of one frame, which share its depth, as one."""
    first = readings[0]
    K = torch.stack([shot.camera.K for shot in readings])
    camera = PinholeCamera(K, first.camera.width, first.camera.height)
    return Shot(camera, SE3.stack([shot.T_world_cam for shot in readings]), first.z_depth)


def _lattice(shot: Shot) -> tuple[PinholeCamera, Float[Tensor, "n m"]]:
    """The depth of evenly spread pixels, and the camera whose pixels' centres are theirs."""
    height, width = shot.z_depth.shape
    step = max(1, int(math.sqrt(height * width / _PIXELS)))
    first = step // 2
    z = shot.z_depth[first::step, first::step]
    n, m = z.shape
    corner = first + 0.5 - step / 2
    return shot.camera.crop(corner, corner, m * step, n * step).resize(m, n), z
