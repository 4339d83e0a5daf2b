"""Motions between key frames in one unit: two are compared at points that both show.

A leg is the motion between two neighbouring key frames, with the matches that fit it. Both legs of a tie must put its
points equally far away from the key frame that they share, or from the one before and the one after turns alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.linalg import block_diag

from synth.two_view_fit import FREEDOM, WIDTH, Array, Pair, basis, homogeneous, moved, noise_of, trusted

NEAR_PX = 1.0
"""Points of two legs that lie so close in the key frame that both share count as one."""
WIDE_PX = 4.0
"""The same where too few lie that close: neighbours are on the same surface most of the time."""
MIN_SHARED = 12
"""Points that must tie two legs."""
MAX_RATIO_SD = 0.3
"""Two legs are not compared where the ratio of their lengths is less sure than this share of it."""
MAX_MISS = 2.0
"""Times the noise by which two legs may miss each other and still be said to agree."""
SURE_LENGTH = 3.0
"""Standard deviations that a length in metres must have to say how far points are."""

METRES = -1
"""The group of legs whose lengths are in metres."""


@dataclass(frozen=True, eq=False)
class Leg:
    """A motion between two key frames, from first to last: p_last = R (p_first - c)."""

    pair: Pair
    """Matches that fit the motion."""
    R: Float[NDArray, "3 3"]
    c: Float[NDArray, " 3"]
    """0 where the camera only turned."""
    noise: float
    """Of the matches, pixels."""
    turn_sd: float
    """Radians, as all of the two views' own; without any factor that makes up for what they do not see."""
    direction_sd: float
    """Radians; NaN for a turn."""
    length_sd: float
    """Metres; NaN where the length is in no metres."""

    @property
    def freedom(self) -> int:
        """Numbers by which it can change: a turn has 3, a motion 6."""
        return 6 if self.c.any() else 3

    @property
    def is_metric(self) -> bool:
        """Whether its length is in metres."""
        return math.isfinite(self.length_sd)

    @property
    def tells_distance(self) -> bool:
        """Whether it is long enough to say how far points are."""
        return self.length > (SURE_LENGTH * self.length_sd if self.is_metric else 0)

    @property
    def length(self) -> float:
        """Of c."""
        return float(np.linalg.norm(self.c))

    def spread(self, along: float) -> Array:
        """Return what makes a change of it, as `moved` takes it, one standard deviation each, by its two views.

        Args:
            along: of its length, where that is in no metres.
        """
        turn = np.eye(3) * self.turn_sd / math.sqrt(3)
        if not self.c.any():
            return turn
        across = self.length * self.direction_sd / math.sqrt(2)
        if self.is_metric:
            along = self.length_sd
            across = across if self.tells_distance else along
        axes = np.column_stack([self.c / self.length, basis(self.c)])
        return np.asarray(block_diag(turn, axes * [along, across, across]))

    def changed(self, x: Array) -> Leg:
        """The leg with a motion nearby."""
        R, c = moved((self.R, self.c), x)
        return replace(self, R=R, c=c)

    def nearness_first(self) -> Nearness:
        """Of its points, seen from the first key frame."""
        return nearness(self.pair, self.R, self.c)

    def nearness_last(self) -> Nearness:
        """Of its points, seen from the last key frame."""
        pair = self.pair
        return nearness(Pair(pair.Kb, pair.Ka, pair.uv_b, pair.uv_a), self.R.T, -self.R @ self.c)


@dataclass(frozen=True, eq=False)
class Nearness:
    """Inverse z-depths of matches in picture a, and what a pixel in either picture changes about them."""

    value: Float[NDArray, " n"]
    by_a: Float[NDArray, "n 2"]
    by_b: Float[NDArray, "n 2"]

    def of(self, rows: Int[NDArray, " m"], scale: Float[NDArray, " m"] | float = 1.0) -> Nearness:
        """Some of them, times something."""
        column = np.reshape(scale, (-1, 1))
        return Nearness(self.value[rows] * scale, self.by_a[rows] * column, self.by_b[rows] * column)


@dataclass(frozen=True, eq=False)
class Tie:
    """Points that two legs share: rows of either, and what the turns between the legs make of the former's nearness."""

    before: int
    after: int
    rows_before: Int[NDArray, " n"]
    rows_after: Int[NDArray, " n"]
    scale: Float[NDArray, " n"]


def fitting(pair: Pair, R: Array, c: Array, limit_px: float) -> tuple[Pair, float]:
    """Return the matches that fit a motion, and their noise in pixels."""
    residual = Pair.epipolar if c.any() else Pair.turned
    limit, some, noise = limit_px, pair, limit_px
    for _ in range(2):
        some = pair[trusted(pair, residual, (R, c), limit)]
        noise = noise_of(residual(some, R, c), FREEDOM[residual]) if len(some) else limit
        limit = min(limit_px, WIDTH * noise)
    return some, noise


def nearness(pair: Pair, R: Array, c: Array) -> Nearness:
    """Where along its epipolar line each match lies, as 1 / z-depth in a; below 0 where noise puts it past infinity."""
    H, pull = pair.Kb @ R @ np.linalg.inv(pair.Ka), -(pair.Kb @ R @ c)
    far, uv = homogeneous(pair.uv_a) @ H.T, pair.uv_b
    # (far + w pull), divided by its third coordinate, is uv: linear in w, and least squares in two coordinates.
    way, miss = uv * pull[2] - pull[:2], far[:, :2] - uv * far[:, 2:]
    way = np.where((abs(way) > 1e-12).any(1, keepdims=True), way, 1e-12)
    squared = (way**2).sum(1, keepdims=True)
    w = (way * miss).sum(1) / squared[:, 0]
    by_a = (way @ H[:2, :2] - (way * uv).sum(1, keepdims=True) * H[2, :2]) / squared
    return Nearness(w, by_a, -(far[:, 2] + w * pull[2])[:, None] * way / squared)


# --- ties


def tie(legs: Sequence[Leg], before: int, after: int) -> Tie:
    """Find the points that two legs share, where the camera only turned between them."""
    R = np.eye(3)
    for leg in legs[before + 1 : after]:
        R = leg.R @ R
    K, uv = legs[before].pair.Kb, legs[before].pair.uv_b
    rays = homogeneous(uv) @ np.linalg.inv(K).T @ R.T
    ahead = np.where(rays[:, 2] > 1e-6, rays[:, 2], np.inf)
    turned = (rays / ahead[:, None]) @ K.T
    rows_before, rows_after = _neighbours(turned[:, :2], legs[after].pair.uv_a)
    return Tie(before, after, rows_before, rows_after, 1 / ahead[rows_before])


def _neighbours(uv: Array, other: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both that are each other's nearest, and as near as it takes for enough of them."""
    from scipy.spatial import KDTree

    if not len(uv) or not len(other):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    apart, nearest = map(np.asarray, KDTree(other).query(uv))
    back = np.asarray(KDTree(uv).query(other)[1])
    is_mutual = back[nearest] == np.arange(len(uv))
    near = is_mutual & (apart <= NEAR_PX)
    rows = np.flatnonzero(near if near.sum() >= MIN_SHARED else is_mutual & (apart <= WIDE_PX))
    return rows, nearest[rows]


def ratio(legs: Sequence[Leg], found: Tie) -> tuple[float, float]:
    """Return how many times longer the later leg is than the former, and the standard deviation of its logarithm.

    The ratio with the least sum of absolute misses, each in units of its noise: a weighted median. Points at which two
    neighbours lie on different surfaces do not pull at it. Exact for exact matches; NaN where no ratio fits.
    """
    a, b = _both_sides(legs, found)
    value, left, pull = 1.0, a.value, a.value
    for _ in range(10):
        spread = _spread_of(a, b, value)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.nan_to_num(b.value / a.value)
        value = _weighted_median(each, abs(a.value) / spread)
        if not value > 0:
            return float("nan"), float("nan")
        left, pull = (a.value * value - b.value) / spread, b.value / spread
    noise = noise_of(left, 1)
    return value, 1.25 * noise / max(float(np.linalg.norm(pull)), 1e-12)


def _both_sides(legs: Sequence[Leg], found: Tie) -> tuple[Nearness, Nearness]:
    """Nearness of shared points in the key frame, as either leg has it."""
    a = legs[found.before].nearness_last().of(found.rows_before, found.scale)
    return a, legs[found.after].nearness_first().of(found.rows_after)


def _spread_of(a: Nearness, b: Nearness, ratio: float) -> Float[NDArray, " n"]:
    """What a pixel of noise in each coordinate of three pictures does to a * ratio - b."""
    parts = np.hstack([a.by_a * ratio - b.by_a, a.by_b * ratio, b.by_b])
    return np.maximum(np.linalg.norm(parts, axis=1), 1e-12)


def missed(legs: Sequence[Leg], found: Tie) -> Float[NDArray, " n"]:
    """By how far two legs miss each other at each point, in units of the noise."""
    before, after = legs[found.before], legs[found.after]
    a, b = _both_sides(legs, found)
    noise = math.hypot(before.noise, after.noise) / math.sqrt(2)
    return (a.value - b.value) / (_spread_of(a, b, 1.0) * noise)


def miss(legs: Sequence[Leg], found: Tie) -> float:
    """Standard deviation of that, as its median tells it: about 1 where both legs are right."""
    return 1.4826 * float(np.median(abs(missed(legs, found))))


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


# --- one unit


@dataclass(frozen=True, eq=False)
class Scaled:
    """Legs in one unit as far as ties go."""

    legs: tuple[Leg, ...]
    ties: tuple[Tie, ...]
    group: tuple[int | None, ...]
    """Of each leg: those of one number are in one unit. METRES is one; None for a turn, which has no length."""
    reasons: tuple[tuple[int, int, str], ...]
    """Pairs of neighbours that could not be compared, and why."""

    @property
    def unit(self) -> int | None:
        """Group of the first leg that moves."""
        return next((group for group in self.group if group is not None), None)

    @property
    def num_placed(self) -> int:
        """Legs from the first on that are in the unit of the path."""
        return next((k for k, group in enumerate(self.group) if group not in (None, self.unit)), len(self.group))


def scaled(legs: Sequence[Leg]) -> Scaled:
    """Bring legs to one unit: from each to the next that moves, and to metres wherever one of them has them."""
    size, ties, reasons = {}, [], []
    groups: list[list[int]] = []
    before = None
    for k in (k for k, leg in enumerate(legs) if leg.tells_distance):
        times, found, why = _compared(legs, before, k) if before is not None else (math.nan, None, "")
        if math.isfinite(times):
            groups[-1].append(k)
        else:
            groups.append([k])
            reasons += [(before, k, why)] if before is not None else []
        size[k] = size[before] * times if math.isfinite(times) else 1.0
        ties += [found] if found else []
        before = k
    done, label = list(legs), [METRES if leg.is_metric and leg.c.any() else None for leg in legs]
    for number, members in enumerate(groups):
        _settle(done, label, members, size, number)
    return Scaled(tuple(done), tuple(ties), tuple(label), tuple(reasons))


def _compared(legs: Sequence[Leg], before: int, after: int) -> tuple[float, Tie | None, str]:
    """How many times longer than its neighbour a leg is, what ties both, or why it cannot be told."""
    if legs[before].is_metric and legs[after].is_metric:
        return 1.0, None, ""
    found = tie(legs, before, after)
    count = len(found.scale)
    if count < MIN_SHARED:
        return math.nan, None, f"{count} points in common, and {MIN_SHARED} are needed"
    times, sd = ratio(legs, found)
    if not sd < MAX_RATIO_SD:
        return math.nan, None, f"{count} points in common, which do not agree on a ratio"
    return times, found, ""


def _settle(legs: list[Leg], label: list[int | None], members: list[int], size: dict[int, float], number: int) -> None:
    """Bring the legs of one group to one unit."""
    known = [k for k in members if legs[k].is_metric]
    weights = [(legs[k].length / legs[k].length_sd) ** 2 for k in known]
    unit = math.exp(-np.average([math.log(size[k]) for k in known], weights=weights)) if known else 1.0
    for k in members:
        label[k] = METRES if known else number
        if not legs[k].is_metric:
            legs[k] = replace(legs[k], c=legs[k].c * size[k] * unit)
