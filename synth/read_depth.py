"""The depth picture of a frame, as a dataset keeps depth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.safe_read import picture_size
from synth.source import Frame

_MAX_MM = 65535


def raw_z_depth(frame: Frame) -> NDArray[np.float64]:
    """z-depth of a frame in the unit of its poses, as the file has it; NaN where it is 0 or there is no file. (h, w)

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
    return np.where(raster > 0, raster.astype(np.float64) / frame.units_per_m, np.nan)


def read_z_depth(frame: Frame) -> NDArray[np.float32]:
    """z-depth of a frame as a dataset keeps it; raises as `raw_z_depth`. (h, w)"""
    return as_kept(raw_z_depth(frame))


def as_kept(z_depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """z-depth to a thousandth and up to 65.535, NaN beyond or where unknown: what a 16-bit raster gives back."""
    mm = np.rint(z_depth * z_depth.dtype.type(1000))
    return np.where(mm <= _MAX_MM, mm.astype(np.float32) / np.float32(1000), np.float32(np.nan))
