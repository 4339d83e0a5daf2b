"""Where points of one key frame are seen in the next: followed through every frame between, streaming over a film.

Corners (Shi and Tomasi, "Good features to track", CVPR 1994) are followed by pyramidal Lucas-Kanade (Bouguet, 2000) and
kept while following them back leads to where they came from (Kalal, Mikolajczyk and Matas, "Forward-backward error",
ICPR 2010). At the end points are placed by how they looked in the first frame, which undoes what drifted on the way.
Only the first frame and two others are held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from scipy.ndimage import map_coordinates

from synth.film import Film, Picture
from synth.matches import Matches

MIN_SURVIVED = 0.6
"""Where key frames are chosen, a new one is set as soon as fewer of the corners can still be followed."""

MAX_MOVE = 0.1
"""The same once their median move exceeds this share of the width: parallax is plain by then, drift still small."""

MAX_THERE_AND_BACK = 0.5
"""Pixels between where a point was and where following it there and back leads."""

MOST_POINTS = 400

MIN_SPAN = 4
"""Frames at least to a key frame that is set because tracks were lost."""

_WINDOW, _NARROW = (15, 15), (9, 9)
"""Pixels: wide ones hold points over a film whose details change, but what is beside a thing drags its corners along;
narrow ones do not."""
_LEVELS = 3
MAX_SLIP = 2.0
"""Pixels by which a point that was followed from frame to frame may be off where it is found straight from the first
frame in the last; what slipped off its corner is off by more."""
MIN_CONFIRMED, MANY_CONFIRMED = 2 / 3, 100
"""Share of the points, or number of them, that must still look as they did for the others to have slipped; where there
are fewer, the film itself has changed, as generated films do."""
_QUALITY = 0.002
_APART = 1 / 80
"""Least distance of two corners, as a share of the picture's width: they shall cover it, not crowd one object."""

Grey = UInt8[np.ndarray, "h w"]
XY = Float32[np.ndarray, "n 2"]
"""OpenCV's points: the centre of the first pixel is (0, 0)."""
UV = Float[np.ndarray, "n 2"]
"""Pixels (u, v): the centre of the first pixel is (0.5, 0.5)."""


@dataclass(frozen=True)
class Tracks:
    """Points seen in two key frames.

    Args:
        first, last: numbers of both frames in the film.
        uv_first, uv_last: where each point is seen in them.
        survived: share of the corners found in the first that are still followed in the last; 0 if none was found.
    """

    first: int
    last: int
    uv_first: UV
    uv_last: UV
    survived: float
    grey_first: Grey
    grey_last: Grey
    """Both pictures, for those who want to look closer before they are gone."""

    @property
    def matches(self) -> Matches:
        """The points as matches of both frames."""
        return Matches(self.uv_first, self.uv_last)

    @property
    def median_move(self) -> float:
        """Median distance between both places, in pixels; 0 where nothing is followed."""
        moves = np.linalg.norm(self.uv_last - self.uv_first, axis=1)
        return float(np.median(moves)) if len(moves) else 0.0


def tracks(
    film: Film, key_frames: Sequence[int] | None = None, most_points: int = MOST_POINTS, *, min_left: float = 0.0
) -> Iterator[Tracks]:
    """Tracks from each key frame to the next one.

    Args:
        key_frames: numbers of frames, rising; chosen by MIN_SURVIVED and MAX_MOVE if None, from the first to the last.
        most_points: corners sought in each key frame.
        min_left: set another key frame between given ones where a smaller share of the corners is left.

    Raises:
        ValueError: if these are no rising numbers of frames of the film, or as `Film.frames`.
    """
    if key_frames is not None:
        _refuse_keys(key_frames, film)
    following: _Following | None = None
    n = 0
    for n, picture in enumerate(film.frames()):
        grey = grey_of(picture)
        if following is not None:
            following.step(grey)
            if (n in key_frames or following.is_lost(n, min_left)) if key_frames else following.is_worn(n):
                yield following.confirmed(n)
                following = None
        if following is None and (key_frames is None or key_frames[0] <= n):
            following = _Following(n, grey, most_points)
        if key_frames and n == key_frames[-1]:
            return
    if key_frames:
        raise ValueError(f"key frame {key_frames[-1]} must be in {film.name}, but its last frame is {n}")
    if following is not None and following.first < n:
        yield following.confirmed(n)


def _refuse_keys(key_frames: Sequence[int], film: Film) -> None:
    if len(key_frames) < 2 or key_frames[0] < 0 or any(a >= b for a, b in pairwise(key_frames)):
        raise ValueError(f"key frames must be at least 2 rising numbers from 0 on, got {list(key_frames)}")
    if film.num_frames is not None and key_frames[-1] >= film.num_frames:
        raise ValueError(f"key frames must be below {film.num_frames}, as many as {film.name} has: {key_frames[-1]}")


class _Following:
    """Corners of one key frame, and where they are by now."""

    def __init__(self, first: int, grey: Grey, most_points: int) -> None:
        self.first = first
        self.start = self.now = corners(grey, most_points)
        self.found = len(self.start)
        self.grey_first = self.grey = grey

    @property
    def left(self) -> float:
        """Share of the corners that are still followed; 0 if none was found."""
        return len(self.now) / max(self.found, 1)

    def step(self, grey: Grey) -> None:
        """Go on to the next frame."""
        there, kept = _follow(self.grey, grey, self.now)
        self.start, self.now, self.grey = self.start[kept], there[kept], grey

    def tracks(self, last: int) -> Tracks:
        """What is followed up to this frame."""
        uv = _uv(self.start), _uv(self.now)
        return Tracks(self.first, last, *uv, self.left, self.grey_first, self.grey)

    def confirmed(self, last: int) -> Tracks:
        """What is followed up to this frame; if most of it still looks as it did at first, that part, placed by it."""
        there, kept = _follow(self.grey_first, self.grey, self.start, self.now)
        kept &= np.linalg.norm(there - self.now, axis=1) <= MAX_SLIP
        if kept.sum() >= min(MIN_CONFIRMED * len(kept), MANY_CONFIRMED):
            self.start, self.now = self.start[kept], there[kept]
        return self.tracks(last)

    def is_lost(self, last: int, min_left: float) -> bool:
        """Whether too few are left of the corners that there were, after a while: each key frame has its cost."""
        return self.found > 0 and last - self.first >= MIN_SPAN and self.left < min_left

    def is_worn(self, last: int) -> bool:
        """Whether a chosen key frame is due."""
        so_far = self.tracks(last)
        return so_far.survived < MIN_SURVIVED or so_far.median_move > MAX_MOVE * self.grey.shape[1]


def grey_of(picture: Picture) -> Grey:
    """A picture's luma, uint8."""
    import cv2

    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def corners(grey: Grey, most_points: int) -> XY:
    """Corners of a picture, spread over it; none where it shows nothing to follow."""
    import cv2

    found = cv2.goodFeaturesToTrack(grey, most_points, _QUALITY, max(grey.shape[1] * _APART, 3.0))
    return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)


def tracks_between(before: Grey, after: Grey, most_points: int = MOST_POINTS) -> Tracks:
    """Tracks from one picture's luma straight to another's, called frames 0 and 1."""
    following = _Following(0, before, most_points)
    following.step(after)
    return following.tracks(1)


def _follow(before: Grey, after: Grey, points: XY, about: XY | None = None) -> tuple[XY, Bool[np.ndarray, " n"]]:
    """Where points are in another frame, and which of them can be trusted: inside it, and the same there and back.

    Args:
        about: where they are but for a few pixels, to place them exactly; sought from where they were if None.
    """
    import cv2

    if not len(points):
        return points, np.zeros(0, bool)
    how: dict[str, Any] = {"winSize": _WINDOW, "maxLevel": _LEVELS}
    if about is not None:
        how = {"winSize": _NARROW, "maxLevel": 0, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    to = points if about is None else about
    there, went, _ = cv2.calcOpticalFlowPyrLK(before, after, points, to.copy(), **how)
    back, came, _ = cv2.calcOpticalFlowPyrLK(after, before, there, points.copy(), **how)
    is_closed = np.linalg.norm(back - points, axis=1) <= MAX_THERE_AND_BACK
    uv = _uv(there)
    is_inside = ((uv >= 0) & (uv <= after.shape[::-1])).all(axis=1)
    return there, is_closed & is_inside & went.ravel().astype(bool) & came.ravel().astype(bool)


def _uv(points: XY) -> UV:
    """OpenCV's points as pixels of this project: its first centre is (0, 0), ours (0.5, 0.5)."""
    return points.astype(np.float64) + 0.5


def shown_at(raster: Float32[np.ndarray, "h w"], uv: UV) -> Float32[np.ndarray, " n"]:
    """What a raster shows at these pixels, between the centres of its cells; an index counts the first centre as 0."""
    return map_coordinates(raster, (uv - 0.5).T[::-1], order=1, mode="nearest")
