"""Points that two pictures share, found by their look alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from geom.epipolar import motion_distance
from geom.se3 import SE3

MAX_FEATURES = 2000
MAX_RATIO = 0.8
"""A match counts where its descriptors are nearer by this factor than the second nearest (Lowe, 2004, section 7.1)."""

_MIN_CONTRAST = 0.02
"""Half of OpenCV's own, which leaves plain walls and generated pictures with too few features."""
_MIN_SIDE = 8
"""Pixels; a smaller picture holds no feature."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Pixels of the same point in two pictures, row by row; the first pixel's centre is (0.5, 0.5).

    Raises:
        ValueError: if the two are not (n, 2) with the same n, or not finite.
    """

    uv_a: Float[NDArray, "n 2"]
    uv_b: Float[NDArray, "m 2"]
    """As many as in a."""

    def __post_init__(self) -> None:
        shapes = (self.uv_a.shape, self.uv_b.shape)
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != 2:
            raise ValueError(f"uv_a and uv_b must both have shape (n, 2), got {shapes[0]} and {shapes[1]}")
        if not (np.isfinite(self.uv_a).all() and np.isfinite(self.uv_b).all()):
            raise ValueError("uv_a and uv_b must be finite, got NaN or inf; was a point that left the picture left in?")

    def __len__(self) -> int:
        return len(self.uv_a)

    def missed_by(self, camera_a: PinholeCamera, T_b_a: SE3, camera_b: PinholeCamera) -> Float[NDArray, " n"]:
        """How far each match is from where a motion allows it to be, pixels, as `geom.epipolar.motion_distance`."""
        uv_a, uv_b = torch.from_numpy(self.uv_a), torch.from_numpy(self.uv_b)
        return motion_distance(uv_a, uv_b, camera_a, T_b_a, camera_b).numpy()


def matches(
    gray_a: UInt8[NDArray, "ha wa"],
    gray_b: UInt8[NDArray, "hb wb"],
    *,
    max_features: int = MAX_FEATURES,
    max_ratio: float = MAX_RATIO,
) -> Matches:
    """Match SIFT features that are each other's nearest and clearly nearer than the second nearest.

    The same pictures give the same matches, in the order of their places. Pictures without texture give none.

    Args:
        gray_a, gray_b: brightness, 8 bits, of any two sizes.
        max_features: of each picture, the strongest.
        max_ratio: of the nearest distance to the second nearest, 0 to 1, asked for in both directions.

    Raises:
        ValueError: if a picture is not (h, w) of 8 bits.
    """
    (uv_a, look_a), (uv_b, look_b) = (_features(gray, max_features) for gray in (gray_a, gray_b))
    if min(len(uv_a), len(uv_b)) < 2:
        return Matches(np.zeros((0, 2)), np.zeros((0, 2)))
    rows, cols = _mutual(look_a, look_b, max_ratio)
    # A corner with two orientations is matched twice, and would count as two witnesses.
    pairs = np.unique(np.hstack([uv_a[rows], uv_b[cols]]), axis=0)
    return Matches(pairs[:, :2], pairs[:, 2:])


def _features(gray: NDArray[np.uint8], count: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Places (n, 2) and descriptors (n, 128)."""
    import cv2

    if gray.ndim != 2 or gray.dtype != np.uint8:
        raise ValueError(f"a picture must be (h, w) of 8 bits, got {gray.shape} {gray.dtype}; is it in colour?")
    if min(gray.shape) < _MIN_SIDE:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    # Without the precise upscale, places are off by a quarter of a pixel.
    finder = cv2.SIFT.create(nfeatures=count, contrastThreshold=_MIN_CONTRAST, enable_precise_upscale=True)
    keypoints, looks = finder.detectAndCompute(np.ascontiguousarray(gray), None)
    if looks is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    # OpenCV counts the first pixel's centre as (0, 0).
    return np.array([keypoint.pt for keypoint in keypoints], np.float64) + 0.5, np.asarray(looks, np.float32)


def _mutual(a: NDArray[np.float32], b: NDArray[np.float32], max_ratio: float) -> tuple[NDArray, NDArray]:
    """Rows of a and of b that are each other's nearest and pass the ratio test both ways."""
    # Whole numbers up to 255 in 128 places: their products are exact in float32, whatever order they are summed in.
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * (a @ b.T)
    nearest = squared.argmin(1)
    rows = np.arange(len(a))
    is_mutual = squared.argmin(0)[nearest] == rows
    clear = _is_clear(squared, max_ratio) & _is_clear(squared.T, max_ratio)[nearest]
    return rows[is_mutual & clear], nearest[is_mutual & clear]


def _is_clear(squared: NDArray[np.float32], max_ratio: float) -> NDArray[np.bool_]:
    best = np.partition(squared, 1, axis=1)[:, :2]
    return best[:, 0] < max_ratio**2 * best[:, 1]
