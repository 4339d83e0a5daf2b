"""What the pictures of a film alone say against it: frozen frames, cuts, flicker, blur, and a return that does not.

`look` reads a film once, in constant memory, and keeps seven numbers a frame; the checks are pure functions of these.
Changes between frames are measured on thumbnails, whose pixels average the noise of a codec or sensor away: they stand
for the DC images that cuts are found on in compressed video (Yeo and Liu, "Rapid scene analysis on compressed video",
IEEE TCSVT 1995).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import median_filter

from synth.film import Picture
from synth.tracks import Grey, grey_of, shown_at, tracks_between

MAX_SHARE_FROZEN = 0.1
"""A frame repeats the one before if it changes by at most this share of what the film's moving frames change by."""

MAX_FROZEN = 0.1
"""Grey levels by which a frame that repeats the one before may differ from it in any film: what a codec leaves."""

LAG = 3
"""Frames over which a slow motion is told from none."""

MAX_GROWTH = 1.3
"""Frames that repeat differ over LAG frames by as much as from one to the next, by noise alone. Motion grows."""

MIN_CUT = 3.0
"""A cut changes this many times as much as the frames around it."""

MAX_CUT_SURVIVED = 0.3
"""At most this share of the corners can be followed across a cut."""

AROUND = 5
"""Frames to either side that a cut is compared with."""

MIN_FLICKER = 2.0
"""Grey levels of a jump in brightness that counts: about 1 % of the range, which is where people begin to see it."""

LONGEST_FLICKER = 3
"""Frames after which a jump that is not undone is a change of light."""

MAX_SHARE_BLURRED = 1 / 3
"""A blurred frame is at most this share as sharp as the film's sharp ones."""

MAX_BLOCKS = 1.5
"""Steps of brightness at the edges of blocks may be so many times those elsewhere."""

UPPER = 0.75
"""The quantile that stands for what a film does where nothing is wrong: above the median, so that a fault from a third
of the film on is told too."""

REACH = 2
"""Pixels to each side within which a return may be off."""

_THUMB_PIXELS = 208 * 120
_COARSE = 4
"""Side, in pixels of a thumbnail, over which differences are averaged: noise cancels out there, and motion does not."""

_BLOCK = 8
_SSIM_WINDOW = 11
_BINS = 32
_POINTS, _FEW_POINTS = 100, 8

Numbers = Float[np.ndarray, " n"]
Thumb = Float32[np.ndarray, "y x"]


@dataclass(frozen=True)
class Look:
    """Seven numbers of each frame; the first four compare it with the one before, and are NaN for the first frame.

    Args:
        change: mean absolute difference of the thumbnails, averaged over 4 x 4 pixels, in grey levels of 0 to 255.
        recoloured: Hellinger distance of their histograms, 0 to 1.
        survived: share of corners that can be followed to this frame; 0 where the one before has none.
        brightened: median difference at these corners, in grey levels, which motion leaves alone; 0 for too few.
        sharpness: variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing", ICPR 2000).
        blocks: steps of brightness at the edges of 8 x 8 blocks, over those elsewhere (after Wang, Sheikh and Bovik,
            "No-reference perceptual quality assessment of JPEG compressed images", ICIP 2002); 1 where none show.
        change_over_lag: as change, from LAG frames before; NaN for the first LAG frames.
    """

    change: Numbers
    recoloured: Numbers
    survived: Numbers
    brightened: Numbers
    sharpness: Numbers
    blocks: Numbers
    change_over_lag: Numbers


@dataclass(frozen=True)
class Finding:
    """A number for each frame, and the frames where it is suspicious."""

    numbers: Numbers
    suspicious: tuple[int, ...]


def look(frames: Iterable[Picture]) -> Look:
    """Measure frames one after another; only LAG thumbnails are held at a time.

    Args:
        frames: sRGB, uint8, (h, w, 3), all of one size.

    Raises:
        ValueError: if there are fewer than 2.
    """
    rows: list[tuple[float, ...]] = []
    before: deque[Thumb] = deque(maxlen=LAG)
    nan = float("nan")
    for frame in frames:
        grey = grey_of(frame)
        thumb = _thumbnail(grey)
        changes = _changes(before[-1], thumb) if before else (nan,) * 4
        over_lag = _change(before[0], thumb) if len(before) == LAG else nan
        rows.append((*changes, _sharpness(grey), _blocks(grey), over_lag))
        before.append(thumb)
    if len(rows) < 2:
        raise ValueError(f"there must be at least 2 frames to compare, got {len(rows)}")
    return Look(*np.array(rows, np.float64).T)


def frozen(seen: Look, max_share: float = MAX_SHARE_FROZEN, max_change: float = MAX_FROZEN) -> Finding:
    """Frames that repeat the one before; `numbers` is the change.

    The yardstick is the film's own: the change of its moving frames, for which its upper quartile stands, so that much
    of it may be frozen.
    A camera that stands still in front of a still scene gives the same picture: whether it should, only its orders say.
    """
    limit = max(max_change, max_share * float(np.nanquantile(seen.change, UPPER)))
    is_small = seen.change <= limit
    return _finding(seen.change, is_small & ~_grows(seen, is_small, max_change))


def _grows(seen: Look, is_small: Bool[np.ndarray, " n"], max_change: float) -> Bool[np.ndarray, " n"]:
    """Frames of small changes that add up, as those of a slow motion do."""
    grows = np.zeros(len(is_small), bool)
    for last in range(LAG, len(is_small)):
        some = slice(last + 1 - LAG, last + 1)
        total = seen.change_over_lag[last]
        grows[some] |= is_small[some].all() and total > max(MAX_GROWTH * seen.change[some].mean(), max_change)
    return grows


def cuts(seen: Look, min_cut: float = MIN_CUT, max_survived: float = MAX_CUT_SURVIVED, around: int = AROUND) -> Finding:
    """Frames that begin another shot; `numbers` is the share of corners that can be followed to each.

    A cut stands out of its neighbours, in what is seen where or in the colours that there are (the two measures that
    Boreczky and Rowe compare, "Comparison of video shot boundary detection techniques", 1996), and nothing can be
    followed across it, which tells it from a fast motion and from flicker. Colours alone also change where something
    near comes in: then half of it must be seen in the other measure.
    """
    recoloured = _stands_out(seen.recoloured, min_cut, around) & _stands_out(seen.change, min_cut / 2, around)
    stands_out = _stands_out(seen.change, min_cut, around) | recoloured
    return _finding(seen.survived, stands_out & (np.nan_to_num(seen.survived) <= max_survived))


def _stands_out(numbers: Numbers, factor: float, around: int) -> Bool[np.ndarray, " n"]:
    """Where a number is that many times the median of its neighbours, itself left out; never in the first frame."""
    padded = np.pad(numbers, around, constant_values=np.nan)
    padded[around] = np.nan
    windows = np.delete(sliding_window_view(padded, 2 * around + 1), around, axis=1)
    has_any = ~np.isnan(windows).all(axis=1)
    typical = np.zeros(len(numbers))
    typical[has_any] = np.nanmedian(windows[has_any], axis=1)
    return has_any & (np.nan_to_num(numbers) > factor * typical)


def flicker(seen: Look, min_jump: float = MIN_FLICKER, longest: int = LONGEST_FLICKER) -> Finding:
    """Frames brighter or darker than those before and after; `numbers` is by how many grey levels.

    A running median keeps steps and slopes, which changes of light are, and drops what is undone within `longest`
    frames (Tukey, "Exploratory data analysis", 1977).
    """
    brightness = np.nancumsum(seen.brightened)
    off = brightness - median_filter(brightness, 2 * longest + 1, mode="nearest")
    return _finding(off, np.abs(off) >= min_jump)


def blur(seen: Look, max_share: float = MAX_SHARE_BLURRED) -> Finding:
    """Frames less sharp than the film is elsewhere; `numbers` is the sharpness as a share of the film's sharp frames.

    A film that is blurred from its first frame to its last cannot be told from one of a smooth scene.
    """
    typical = float(np.quantile(seen.sharpness, UPPER))
    share = seen.sharpness / typical if typical > 0 else np.ones_like(seen.sharpness)
    return _finding(share, share <= max_share)


def compression(seen: Look, most: float = MAX_BLOCKS) -> Finding:
    """Frames that show the blocks of a codec; `numbers` are how much.

    Blocks of other sizes, or of pictures that were resized after they were coded, are not seen.
    """
    return _finding(seen.blocks, seen.blocks > most)


def _finding(numbers: Numbers, is_suspicious: Bool[np.ndarray, " n"]) -> Finding:
    return Finding(numbers, tuple(np.flatnonzero(is_suspicious).tolist()))


CHECKS: dict[str, Callable[[Look], Finding]] = {
    "frozen": frozen,
    "cut": cuts,
    "flicker": flicker,
    "blur": blur,
    "compression": compression,
}
"""What a film is checked for."""


def returns(first: Picture, last: UInt8[np.ndarray, "y x 3"], reach: int = REACH) -> float:
    """How well a picture shows what another shows, 0 to 1: for paths that end where they begin.

    Structural similarity of the luma (Wang et al., "Image quality assessment", IEEE TIP 2004), of the whole shift
    within `reach` pixels that leaves the least difference: a path that returns nearly is not punished for a pixel.

    Raises:
        ValueError: if their sizes differ, or they are too small for its window of 11 pixels.
    """
    from skimage.metrics import structural_similarity

    if first.shape != last.shape or min(first.shape[:2]) < _SSIM_WINDOW + 2 * reach:
        raise ValueError(
            f"pictures must have one size, of at least {_SSIM_WINDOW + 2 * reach} pixels; got {first.shape[:2]} and"
            f" {last.shape[:2]}"
        )
    a, b = grey_of(first), grey_of(last)
    height, width = a.shape
    middle = a[reach : height - reach, reach : width - reach]
    shifted = [b[y : y + middle.shape[0], x : x + middle.shape[1]] for y, x in np.ndindex(*(2 * reach + 1,) * 2)]
    nearest = min(shifted, key=lambda part: _distance(middle, part))
    similarity: Any = structural_similarity(
        middle, nearest, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    return max(float(similarity), 0.0)


def _distance(a: Grey, b: Grey) -> float:
    """Mean absolute difference, in grey levels."""
    import cv2

    return float(np.mean(np.asarray(cv2.absdiff(a, b))))


def _thumbnail(grey: Grey) -> Thumb:
    """A small picture, at most half as wide, whose pixels are means of areas."""
    import cv2

    share = min(0.5, (_THUMB_PIXELS / grey.size) ** 0.5)
    size = max(round(grey.shape[1] * share), 1), max(round(grey.shape[0] * share), 1)
    return np.asarray(cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _changes(before: Thumb, after: Thumb) -> tuple[float, float, float, float]:
    """The numbers of `Look` that compare two frames."""
    coarse_before, coarse_after = _coarse(before), _coarse(after)
    as_bright = (after - after.mean()) * (before.std() / max(after.std(), 1e-6)) + before.mean()
    followed = tracks_between(_whole(before), _whole(as_bright), _POINTS)
    brightened = shown_at(coarse_after, followed.uv_last) - shown_at(coarse_before, followed.uv_first)
    return (
        _change(before, after),
        _hellinger(_histogram(before), _histogram(after)),
        followed.survived,
        float(np.median(brightened)) if len(brightened) >= _FEW_POINTS else 0.0,
    )


def _change(before: Thumb, after: Thumb) -> float:
    return float(np.abs(_coarse(after) - _coarse(before)).mean())


def _coarse(thumb: Thumb) -> Thumb:
    """Each pixel the mean of those around it, so that noise cancels out."""
    import cv2

    return np.asarray(cv2.blur(thumb, (_COARSE, _COARSE)), np.float32)


def _whole(thumb: Thumb) -> UInt8[np.ndarray, "y x"]:
    return np.clip(np.rint(thumb), 0, 255).astype(np.uint8)


def _histogram(thumb: Thumb) -> Numbers:
    return np.histogram(thumb, bins=_BINS, range=(0, 256))[0] / thumb.size


def _hellinger(p: Numbers, q: Numbers) -> float:
    return float(np.sqrt(max(0.0, 1.0 - np.sqrt(p * q).sum())))


def _sharpness(grey: Grey) -> float:
    import cv2

    return float(np.var(np.asarray(cv2.Laplacian(grey, cv2.CV_32F))))


def _blocks(grey: Grey) -> float:
    """Steps at edges of blocks over steps elsewhere, mean of both directions; 1 for pictures too small to have any."""
    ratios = [1.0]
    for rows in (grey, grey.T):
        steps = np.abs(np.diff(rows.astype(np.int16), axis=1)).mean(0)
        is_edge = np.arange(1, len(steps) + 1) % _BLOCK == 0
        if is_edge.any() and steps[~is_edge].mean() > 0:
            ratios.append(float(steps[is_edge].mean() / steps[~is_edge].mean()))
    return float(np.mean(ratios[1:] or ratios))
