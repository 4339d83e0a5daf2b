"""The focal length that pictures show: for films whose camera nobody knows, and to find a stated one that is wrong.

A turn tells it from a few degrees on: the picture's borders move by more than its middle, and the more, the shorter the
focal length. A move with a turn tells it too, though less well (Sturm, "On focal length calibration from two views",
CVPR 2001); not where both axes meet at a point that is equally far from both cameras, as on an orbit or a steady arc.
A move without a turn tells nothing, and no more does a single plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from synth.focal_fit import FREEDOM, Guesses, Seen, best_of, fitted
from synth.focal_pair import SOFT, Told, slopes_of, told, variance
from synth.focal_starts import turn_deg
from synth.matches import Matches
from synth.two_view import MAX_ERROR_PX, MIN_INLIERS
from synth.two_view_fit import Array

HFOV_DEG = (25.0, 120.0)
"""Horizontal fields of view that are looked at, if nobody says around which focal length to look."""
AROUND = 3.0
"""Else from a third of that focal length to three times of it."""
MOST_PAIRS = 6
"""Those that tell most, by how far they turn and how much fits the turn."""
LEAST_SD_SHARE = 0.003
"""No focal length is surer: pixels are not quite square, middles not quite in the middle, followed points drift."""
MAX_SD_SHARE = 0.1
"""A focal length that is less sure is none."""

_NUM = 13
"""Focal lengths looked at."""
_MOST_SD = 4.0
"""A pair that is farther off is no better than one that is so far off."""
_RIVAL_SD = 3.0
"""A focal length whose cost is within as many standard deviations of the least is open still."""


@dataclass(frozen=True)
class Focal:
    """One focal length of square pixels, with the principal point in the middle of the picture."""

    focal_px: float
    """NaN where the pictures do not say."""
    sd_share: float
    """Relative standard deviation of focal_px: 0.02 is 2 %; inf where the pictures do not say."""
    reason: str
    """In plain words: from which motions, or why not."""

    def camera(self, width: int, height: int) -> PinholeCamera:
        """The camera of pictures of this size.

        Raises:
            ValueError: if the focal length is not known, or the size is not positive.
        """
        if not math.isfinite(self.focal_px):
            raise ValueError(f"the focal length must be known to make a camera, but {self.reason}; state one")
        return PinholeCamera.from_hfov(2 * math.atan(width / 2 / self.focal_px), width, height)


def focal_length(
    pairs: Sequence[Matches],
    size: tuple[int, int],
    *,
    around_px: float | None = None,
    max_error_px: float = MAX_ERROR_PX,
) -> Focal:
    """Say which focal length the matches of a film's pictures show, all of one camera.

    For each of many focal lengths, each pair's best motion is sought; where the costs of all pairs together are least,
    focal length and motions are refined together. Whether a pair only turns is decided by Torr's GRIC (1998). What
    moves by itself, and wrong matches, weigh nothing. Same input, same output, whatever the order of the pairs.

    Args:
        pairs: matches of two pictures each; the more they turn, the better.
        size: width and height of all pictures, pixels.
        around_px: look around this focal length (see AROUND) instead of in HFOV_DEG; what is found may differ from it.
        max_error_px: a match that misses a motion by more is an outlier of it.

    Raises:
        ValueError: if there is no pair, matches lie outside of the pictures, or a number is not positive.
    """
    _check(pairs, size, around_px, max_error_px)
    middle = np.array(size) / 2
    seen = [Seen(pair.uv_a - middle, pair.uv_b - middle) for pair in pairs if len(pair) >= MIN_INLIERS]
    if not seen:
        most = max(len(pair) for pair in pairs)
        return _unknown(f"no pair has {MIN_INLIERS} matches, the best has {most}: too little texture or in common")
    grid = _grid(size[0], around_px)
    some = _telling(seen, grid, max_error_px)
    pairs_told = [found for one in some if (found := told(one, grid, max_error_px))]
    if not pairs_told:
        return _unknown("no motion fits enough of any pair's matches: the pictures may show different things")
    return _together(pairs_told, grid, max_error_px)


def _check(pairs: Sequence[Matches], size: tuple[int, int], around_px: float | None, max_error_px: float) -> None:
    if not pairs:
        raise ValueError("there must be a pair of pictures, got none; has the film more than one key frame?")
    if not (len(size) == 2 and min(size) > 0):
        raise ValueError(f"size must be a positive width and height, pixels, got {size}")
    for name, value in (("around_px", around_px), ("max_error_px", max_error_px)):
        if value is not None and not (0 < value < math.inf):
            raise ValueError(f"{name} must be > 0 and finite, got {value}")
    for uv in (uv for pair in pairs for uv in (pair.uv_a, pair.uv_b)):
        if len(uv) and not ((uv >= -1).all() and (uv <= np.array(size) + 1).all()):
            raise ValueError(
                f"matches must lie in pictures of {size[0]} x {size[1]} pixels, got {uv.min(0)} to {uv.max(0)};"
                " was the film resized?"
            )


def _unknown(reason: str) -> Focal:
    return Focal(math.nan, math.inf, reason)


def _grid(width: int, around_px: float | None) -> Float[NDArray, " g"]:
    """Focal lengths, rising, evenly in their logarithm."""
    long, short = (width / 2 / math.tan(math.radians(hfov) / 2) for hfov in HFOV_DEG)
    low, high = (short, long) if around_px is None else (around_px / AROUND, around_px * AROUND)
    return np.geomspace(low, high, _NUM)


def _telling(seen: list[Seen], grid: Array, px: float) -> list[Seen]:
    """The pairs that are likely to tell most, in an order that does not depend on theirs."""
    in_order = sorted(seen, key=lambda one: (len(one), one.a.tobytes(), one.b.tobytes()))
    if len(in_order) <= MOST_PAIRS:
        return in_order
    f = float(grid[_NUM // 2])
    return sorted(in_order, key=lambda one: -turn_deg(one, f, px) * math.sqrt(len(one)))[:MOST_PAIRS]


# --- all pairs


def _together(pairs: list[Told], grid: Array, px: float) -> Focal:
    """The focal length that most pairs agree on: none of them counts for more than _MOST_SD, however sure it is."""
    own = np.concatenate([one.own.f for one in pairs])
    f = np.sort(np.concatenate([grid, own[(own > grid[0]) & (own < grid[-1])]]))
    pairs = [replace(one, best=_at(one, f, grid, px)) for one in pairs]
    behind = np.stack([one.costs(one.best, px) - one.costs(one.own, px) for one in pairs])
    total = np.clip(behind, 0, _MOST_SD**2).sum(0)
    least = int(total.argmin())
    agreeing = [one for one, cost in zip(pairs, behind[:, least], strict=True) if cost < _MOST_SD**2]
    gap = np.sqrt(total - total[least])
    is_open = gap < _RIVAL_SD
    if not agreeing or least in (0, len(f) - 1):
        return _unknown(_open_reason(pairs, f[is_open], math.inf))
    found = _refined(agreeing, [one.best[[least]] for one in agreeing])
    focal_px = float(found[0].f[0])
    away = (np.abs(np.log(f / focal_px)) / np.maximum(gap, 1.0))[is_open]
    sd = max(math.hypot(math.sqrt(variance(agreeing, found)[0]), LEAST_SD_SHARE), float(away.max()))
    if not sd <= MAX_SD_SHARE:
        return _unknown(_open_reason(pairs, f[is_open], sd))
    turns = sum(one.model == "turn" for one in agreeing)
    if 0 < 2 * turns < len(agreeing):
        # Through another lens a move may look like a turn, and the moves beside it then fit that lens too.
        return _unknown(f"{turns} of {len(agreeing)} pairs turn only, too few among moves, which may look like turns")
    return Focal(focal_px, sd, _reason(agreeing, len(pairs)))


def _open_reason(pairs: list[Told], f: Array, sd: float) -> str:
    """Why it is not told, though focal lengths f fit."""
    turns = sum(one.model == "turn" for one in pairs)
    what = (
        f"{turns} of {len(pairs)} pairs turn only" if turns else "a move tells little of it; a turn on the spot would"
    )
    if f[-1] > 1.05 * f[0]:
        return f"focal lengths from {f[0]:.0f} to {f[-1]:.0f} pixels fit about equally well: {what}"
    if math.isinf(sd):
        return f"what fits best is {f[0]:.0f} pixels, at the border of those looked at, or they all fit badly: {what}"
    return f"it is unsure by {min(sd, 1.0):.0%}, and at most {MAX_SD_SHARE:.0%} is told: {what}"


def _reason(agreeing: list[Told], count: int) -> str:
    turns = sum(one.model == "turn" for one in agreeing)
    others = count - len(agreeing)
    reason = f"from {turns} pairs that turn only, and {len(agreeing) - turns} that move and turn"
    return reason + (f"; another focal length in {others} of {count} pairs" if others else "")


def _at(pair: Told, f: Array, grid: Array, px: float) -> Guesses:
    """The best of other focal lengths, from their neighbours on."""
    near = np.abs(np.log(f[:, None] / grid)).argmin(1)
    starts = [replace(pair.best[near], f=f), replace(pair.own[np.zeros(len(f), int)], f=f)]
    return best_of(
        pair.seen, pair.model, [fitted(pair.seen, pair.model, start, px, free=False) for start in starts], px
    )


def _refined(pairs: list[Told], start: list[Guesses]) -> list[Guesses]:
    """Focal length and motions at their best together."""
    from scipy.optimize import least_squares

    ends = list(accumulate(FREEDOM[one.model] for one in pairs))

    def at(x: Array) -> list[Guesses]:
        parts = np.split(x[1:], ends[:-1])
        return [guess.moved(np.append(part, x[0])[None]) for guess, part in zip(start, parts, strict=True)]

    def left(x: Array) -> Array:
        return np.concatenate([one.whitened(guess) for one, guess in zip(pairs, at(x), strict=True)])

    def slopes(x: Array) -> Array:
        # By steps from where x leads, which for steps as small as these are those of x itself.
        return slopes_of(pairs, at(x))

    x = np.zeros(1 + ends[-1])
    jac: Any = slopes
    found = least_squares(left, x, jac, loss="soft_l1", f_scale=SOFT, x_scale="jac", ftol=1e-9, max_nfev=60)
    return at(found.x)
