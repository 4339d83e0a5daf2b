"""A real photograph with true metric depth and outlined objects: Middlebury 2014 'Motorcycle', from scikit-image.

Its world frame is the photo camera's own: x right, y down, z forward, metres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from geom.scale import Scale
from synth.transition import ROOM, UNKNOWN

CITATION = (
    "Motorcycle, Middlebury stereo data 2014, by N. Nesic, P. Westling, X. Wang, Y. Kitajima, G. Krathwohl and "
    "D. Scharstein at Middlebury College, down-sampled by four as scikit-image carries it. Cite: D. Scharstein, "
    "H. Hirschmueller, Y. Kitajima, G. Krathwohl, N. Nesic, X. Wang, P. Westling: High-resolution stereo datasets "
    "with subpixel-accurate ground truth. GCPR 2014."
)
"""Whose picture it is, for the card of every dataset made from it."""

FOCAL_PX = 994.978
BASELINE_M = 0.193001
DOFFS_PX = 31.086
"""How much further right the right camera's principal point lies than the left's."""
LEFT_CENTER_PX = (311.193, 254.877)
"""As published, in pixel centres counted as whole numbers; our cameras add 0.5."""

MAX_HIDDEN_EDGE, HIDES_BESIDE = 0.1, 0.03

MIN_PIXELS = 100
"""An outlined object with fewer pixels of its own is refused."""


@dataclass(frozen=True)
class PhotoObject:
    """An object as it was outlined by hand in a photograph.

    Raises:
        ValueError: if the outline has fewer than 3 corners, or z_range is not 0 < near < far.
    """

    item_id: str
    kind: str
    complete: bool
    """The whole object's extent is seen: inside the picture, its outermost points hidden by nothing."""
    z_range: tuple[float, float]
    """Metres; a pixel in the outline is the object's only if its z_depth lies between."""
    polygon: tuple[tuple[float, float], ...]
    """Corners in pixels, in order, not closed."""

    def __post_init__(self) -> None:
        if len(self.polygon) < 3:
            raise ValueError(f"an outline needs at least 3 corners, got {len(self.polygon)} for {self.item_id}")
        if not 0 < self.z_range[0] < self.z_range[1]:
            raise ValueError(f"z_range must be 0 < near < far in metres, got {self.z_range} for {self.item_id}")

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the pixels whose centres lie inside the outline."""
        from skimage.draw import polygon2mask

        # polygon2mask counts pixel centres as whole numbers, in (row, col).
        return polygon2mask((height, width), np.array(self.polygon)[:, ::-1] - 0.5)


@dataclass(frozen=True)
class MaskedObject:
    """An object whose pixels a mask tells."""

    item_id: str
    kind: str
    complete: bool
    """The whole object's extent is seen, as far as mask and depth tell (`is_whole`)."""


@dataclass(frozen=True)
class Photo:
    """A photograph with metric depth, camera and objects; `item_idx` indexes `objects`."""

    photo_id: str
    image: NDArray[np.uint8]
    z_depth: NDArray[np.float32]
    """Metres, NaN where unknown."""
    item_idx: NDArray[np.int16]
    """ROOM where the depth is known but no object's, UNKNOWN where it is not."""
    camera: PinholeCamera
    objects: tuple[PhotoObject, ...] | tuple[MaskedObject, ...]
    scale: Scale


@cache
def motorcycle() -> Photo:
    """Return the left photograph of the Motorcycle pair, with z_depth = f b / (disparity + doffs).

    The published calibration counts pixel centres as whole numbers (so half a pixel is added here; had its authors
    meant otherwise, every ray would turn by 0.03 degrees, and no depth would change). Needs no download.
    """
    from skimage.data import stereo_motorcycle

    left, _, disparity = stereo_motorcycle()
    z_depth = z_from_disparity(disparity)
    objects = load_objects()
    camera = _camera(0.0, left.shape[:2])
    scale = Scale("metric", "stereo calibration and structured light (Middlebury 2014)")
    return Photo("motorcycle", left, z_depth, label_pixels(z_depth, objects), camera, objects, scale)


@cache
def motorcycle_right() -> tuple[NDArray[np.uint8], PinholeCamera]:
    """Return the right photograph of the pair and its camera, BASELINE_M to the right of the left one."""
    from skimage.data import stereo_motorcycle

    _, right, _ = stereo_motorcycle()
    return right, _camera(DOFFS_PX, right.shape[:2])


def z_from_disparity(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return z_depth, metres, of a disparity in pixels; NaN where it is NaN, infinite or not above 0.

    >>> z_depth = z_from_disparity(np.array([30.0, np.inf, 0.0], np.float32))  # 192.0317 / 61.086
    >>> [round(float(z), 4) for z in z_depth]
    [3.1436, nan, nan]
    """
    known = np.isfinite(disparity) & (disparity > 0)
    z_depth = FOCAL_PX * BASELINE_M / (np.where(known, disparity, 1).astype(np.float64) + DOFFS_PX)
    return np.where(known, z_depth, np.nan).astype(np.float32)


def load_objects(text: str | None = None) -> tuple[PhotoObject, ...]:
    """Read outlined objects from the text of a JSON file; from the project's own unless given.

    Raises:
        ValueError: if two objects share an item_id, or one is refused by PhotoObject.
    """
    if text is None:
        text = files("synth").joinpath("photo_objects.json").read_text(encoding="utf-8")
    objects = tuple(_object(fields) for fields in json.loads(text)["objects"])
    ids = [o.item_id for o in objects]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ValueError(f"item_id must be unique in a photograph, got twice: {', '.join(twice)}")
    return objects


def label_pixels(z_depth: NDArray[np.float32], objects: tuple[PhotoObject, ...]) -> NDArray[np.int16]:
    """Return which object owns each pixel: the first whose outline holds it and whose z_range holds its depth.

    So what is seen through a wheel or between slats is not the object's, and neither are the pixels along an
    outline whose depth is the background's.

    Raises:
        ValueError: if an object is left with fewer than MIN_PIXELS.
    """
    owner = np.where(np.isfinite(z_depth), ROOM, UNKNOWN).astype(np.int16)
    for i, item in enumerate(objects):
        near, far = item.z_range
        own = (owner == ROOM) & item.mask(*z_depth.shape) & (z_depth >= near) & (z_depth <= far)
        if own.sum() < MIN_PIXELS:
            raise ValueError(
                f"{item.item_id} must own {MIN_PIXELS} pixels, got {own.sum()}; is z_range {near}-{far} m right?"
            )
        owner[own] = i
    return owner


def is_whole(own: NDArray[np.bool_], z_depth: NDArray[np.float32]) -> bool:
    """Whether the whole extent of a masked object is seen: away from the border, and hardly anything nearer beside it.

    At most MAX_HIDDEN_EDGE of the pixels beside it may be nearer by more than HIDES_BESIDE.
    """
    if own[[0, -1]].any() or own[:, [0, -1]].any():
        return False
    nearer = beside = 0
    for axis, step in product((0, 1), (1, -1)):
        z_beside = np.roll(z_depth, -step, axis)
        edge = own & ~np.roll(own, -step, axis) & np.isfinite(z_depth) & np.isfinite(z_beside)
        beside += int(edge.sum())
        nearer += int((z_beside[edge] < z_depth[edge] * (1 - HIDES_BESIDE)).sum())
    return nearer <= MAX_HIDDEN_EDGE * beside


def _object(fields: dict[str, Any]) -> PhotoObject:
    polygon = tuple((float(u), float(v)) for u, v in fields["polygon"])
    near, far = fields["z_range"]
    return PhotoObject(fields["item_id"], fields["kind"], fields["complete"], (near, far), polygon)


def _camera(shift_px: float, size: tuple[int, int]) -> PinholeCamera:
    cx, cy = LEFT_CENTER_PX[0] + shift_px + 0.5, LEFT_CENTER_PX[1] + 0.5
    K = torch.tensor([[FOCAL_PX, 0, cx], [0, FOCAL_PX, cy], [0, 0, 1]], dtype=torch.float64)
    return PinholeCamera(K, width=size[1], height=size[0])
