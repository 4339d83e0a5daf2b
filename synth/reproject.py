"""Depth of one view, moved into another by the poses, against the depth measured there: arrays in, numbers out.

A pixel that lands clearly behind the measured surface may be hidden by it, and says nothing of how exact either is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FALL_OFF = 0.03
"""Relative difference of z-depth at which a pixel's explanation has fallen to 1 / e."""
_CLEARLY = 0.1
"""Relative difference beyond which a pixel is behind a surface: noise and drift stay below."""
_PIXELS = 2500


@dataclass(frozen=True)
class Shot:
    """What one frame says: intrinsics (3 x 3), camera to world (4 x 4), z-depth (h, w) with NaN where unknown."""

    K: Array
    T_world_cam: Array
    z_depth: Array


@dataclass(frozen=True)
class Comparison:
    """How the pixels of one view fare in another."""

    explained: float
    """Mean over pixels with depth: 1 where both depths are equal, falling off with their relative difference; 0..1."""
    residual: float
    """Median relative difference of z-depth, without pixels that may be hidden; NaN where nothing can be compared."""


def compare(a: Shot, b: Shot) -> Comparison:
    """Move a lattice of some thousand pixels of `a` into `b`, and compare z-depths."""
    z, pixels = _lattice(a)
    if not len(z):
        return Comparison(0.0, float("nan"))
    T_b_a = np.linalg.inv(b.T_world_cam) @ a.T_world_cam
    p_b = T_b_a[:3, :3] @ (np.linalg.inv(a.K) @ pixels * z) + T_b_a[:3, 3:]
    off = p_b[2] / _measured(p_b, b) - 1
    off = off[np.isfinite(off)]
    unhidden = np.abs(off[off < _CLEARLY])
    return Comparison(
        explained=float(np.exp(-np.abs(off) / _FALL_OFF).sum() / len(z)),
        residual=float(np.median(unhidden)) if len(unhidden) else float("nan"),
    )


def _lattice(shot: Shot) -> tuple[Array, Array]:
    """z-depth (n) and homogeneous pixels (3, n) of pixels with depth, evenly spread."""
    height, width = shot.z_depth.shape
    step = max(1, int(np.sqrt(height * width / _PIXELS)))
    v, u = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    z = shot.z_depth[v, u].ravel()
    known = np.isfinite(z)
    return z[known], np.stack([u.ravel() + 0.5, v.ravel() + 0.5, np.ones(u.size)])[:, known]


def _measured(p_cam: Array, shot: Shot) -> Array:
    """z-depth that a view has where points (3, n) in its camera's frame land; NaN behind it, outside or unknown."""
    front = p_cam[2] > 1e-6
    uvw = shot.K @ np.where(front, p_cam, [[0], [0], [1]])
    at = np.floor(uvw[:2] / uvw[2])
    height, width = shot.z_depth.shape
    inside = front & (at >= 0).all(0) & (at[0] < width) & (at[1] < height)
    col, row = np.where(inside, at, 0).astype(int)
    return np.where(inside, shot.z_depth[row, col], np.nan)
