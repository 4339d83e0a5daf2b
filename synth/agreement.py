"""Whether two pictures agree with the motion that was commanded between them, without estimating any."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.matches import Matches

MIN_MATCHES = 10
MAX_PX = 2.0
"""TSED's thresholds: Yu et al., ICCV 2023, as in the code of YorkUCVIL/Photoconsistent-NVS."""


@dataclass(frozen=True)
class Agreement:
    """How far matched pixels are from where a motion allows them to be."""

    median_px: float
    """Symmetric distance, pixels: from the epipolar line, or from its place where the motion is a turn alone. Of two in
    the middle the larger; NaN without matches, infinite where most of them can have no place at all."""
    num_matches: int
    is_consistent: bool
    """At least MIN_MATCHES, and the median below MAX_PX; too few matches are no agreement, as TSED counts them."""


def agreement(
    matches: Matches,
    camera_a: PinholeCamera,
    T_b_a: SE3,
    camera_b: PinholeCamera,
    *,
    min_matches: int = MIN_MATCHES,
    max_px: float | int = MAX_PX,
) -> Agreement:
    """Hold matched pixels against a motion: the thresholded symmetric epipolar distance (TSED) of one pair.

    Epipolar lines do not tell a motion from its reverse, nor how long it was: `synth.two_view.relative_motion` and
    depth do. A turn alone has no epipolar lines; there each pixel has one place.

    Args:
        T_b_a: the commanded motion, takes a-coordinates to b-coordinates. A translation of exactly 0 is a turn alone;
            any other one is taken for a move, however short against the depth of the scene.

    Raises:
        ValueError: if the motion or a camera is a batch, or a threshold is not positive.
    """
    if T_b_a.shape or camera_a.K.ndim > 2 or camera_b.K.ndim > 2:
        raise ValueError(f"motion and cameras must be one each, got motions of batch {tuple(T_b_a.shape)}")
    if min_matches < 1 or not max_px > 0:
        raise ValueError(f"min_matches must be >= 1 and max_px > 0, got {min_matches} and {max_px}")
    if not len(matches):
        return Agreement(math.nan, 0, False)
    off = matches.missed_by(camera_a, T_b_a, camera_b)
    # Without a place in the other picture a match is as far off as can be.
    median = float(np.sort(off)[len(off) // 2])
    return Agreement(median, len(matches), len(matches) >= min_matches and median < max_px)


def tsed(found: Iterable[Agreement]) -> float:
    """Return the share of pairs that are consistent, those without enough matches among the others; NaN without pairs.

    >>> tsed([Agreement(0.4, 30, True), Agreement(0.4, 3, False)])
    0.5
    """
    consistent = [pair.is_consistent for pair in found]
    return sum(consistent) / len(consistent) if consistent else math.nan
