"""The depth picture of a frame, as a dataset keeps depth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.safe_read import picture_size
from synth.source import Frame

_MAX_MM = 65535
_NO_VALUE = 65535
"""The largest 16-bit number is no length: 7-Scenes and others write it where nothing was measured."""


def raw_z_depth(frame: Frame) -> NDArray[np.float64]:
    """z-depth of a frame in the unit of its poses, as the file has it, (h, w).

    NaN where the file has 0 or 65535, and where there is no file.

    Raises:
        ValueError: if the file is no whole 16-bit picture of the size of the frame's.
    """
    size = frame.camera.height, frame.camera.width
    if frame.z_depth is None:
        return np.full(size, np.nan)
    picture_size(frame.z_depth)
    raster = cv2.imdecode(np.frombuffer(frame.z_depth.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if raster is None or raster.dtype != np.uint16 or raster.shape != size:
        wanted = f"{size[1]} x {size[0]} pixels in one channel"
        raise ValueError(f"{frame.z_depth} must be a whole 16-bit picture of {wanted}")
    is_known = (raster > 0) & (raster < _NO_VALUE)
    return np.where(is_known, raster.astype(np.float64) / frame.units_per_m, np.nan)


def read_z_depth(frame: Frame) -> NDArray[np.float32]:
    """z-depth of a frame as a dataset keeps it. (h, w)

    Raises:
        ValueError: as `raw_z_depth`, or if all of what is known is too small or too large to be kept.
    """
    raw = raw_z_depth(frame)
    kept = as_kept(raw)
    if np.isfinite(raw).any() and not np.isfinite(kept).any():
        raise ValueError(
            f"{frame.z_depth} must have z-depths of 0.001 to 65.535 in the unit of the poses, got {np.nanmin(raw):.3g}"
            f" to {np.nanmax(raw):.3g}; bring poses and depth to a unit nearer to metres"
        )
    return kept


def as_kept(z_depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """z-depth to a thousandth, 0.001 to 65.535, NaN beyond or where unknown: what a 16-bit raster gives back."""
    mm = np.rint(z_depth * z_depth.dtype.type(1000))
    return np.where((mm >= 1) & (mm <= _MAX_MM), mm.astype(np.float32) / np.float32(1000), np.float32(np.nan))
