"""The motion of a link that its own two views leave open, from points that an earlier link has placed.

A plane allows two motions, and two views of it alone cannot tell which it was. Where the plane lies can, and an earlier
link has seen that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synth.executed_path_scale import MAX_MISS, MAX_RATIO_SD, Leg, fitting, miss, ratio, tie
from synth.two_view import MAX_DIRECTION_SD_DEG, MAX_ERROR_PX, MAX_TURN_SD_DEG, MIN_INLIERS, MIN_SHARE
from synth.two_view_fit import WIDTH, Motion, Pair, angle, inside, settle
from synth.two_view_starts import placed_by

_SURE = 3.0
"""Standard deviations of a point's nearness within which it must not be infinitely far."""


def resected(legs: Sequence[Leg], pair: Pair) -> Leg | None:
    """Return the motion of the link after these that places the earlier points where its matches are, or None.

    Args:
        legs: up to this link, of which the last that moved is asked.
        pair: all matches of the link.
    """
    before = next((k for k in reversed(range(len(legs))) if legs[k].tells_distance), None)
    start = None if before is None else _placed(legs, before, pair)
    if before is None or start is None:
        return None
    fit = settle(pair, Pair.epipolar, start, MAX_ERROR_PX, MIN_INLIERS)
    if fit is None:
        return None
    some, noise = fitting(pair, *fit.motion, MAX_ERROR_PX)
    # Where both ways to find the motion differ, it is no surer than that.
    turn_sd = math.hypot(math.radians(fit.turn_sd_deg), angle(np.trace(start[0].T @ fit.R) / 2 - 0.5))
    way_sd = math.hypot(math.radians(fit.direction_sd_deg), angle(start[1] @ fit.c))
    leg = Leg(some, fit.R, fit.c, noise, turn_sd, way_sd, math.nan)
    is_sure = math.degrees(turn_sd) <= MAX_TURN_SD_DEG and math.degrees(way_sd) <= MAX_DIRECTION_SD_DEG
    fits = len(some) >= max(MIN_INLIERS, MIN_SHARE * len(pair)) and is_sure
    return leg if fits and _agrees([*legs, leg], before) else None


def _placed(legs: Sequence[Leg], before: int, pair: Pair) -> Motion | None:
    """The motion, of length 1, that most of the earlier points agree on (PnP)."""
    unknown = Leg(pair, np.eye(3), np.zeros(3), 1.0, 0.0, math.nan, math.nan)
    found = tie([*legs, unknown], before, len(legs))
    near = legs[before].nearness_last().of(found.rows_before, found.scale)
    known = near.value > _SURE * legs[before].noise * np.hypot(
        *(np.linalg.norm(s, axis=1) for s in (near.by_a, near.by_b))
    )
    if known.sum() < MIN_INLIERS:
        return None
    rows = found.rows_after[known]
    some = Pair(pair.Ka, pair.Kb, pair.uv_a[rows], pair.uv_b[rows])
    some = replace(some, points_a=some.rays_a / near.value[known, None])
    motion = placed_by(some, MAX_ERROR_PX)
    if motion is None or inside(some, Pair.placed, motion, WIDTH).mean() < 0.5 or not motion[1].any():
        return None
    R, c = motion
    return R, c / np.linalg.norm(c)


def _agrees(legs: Sequence[Leg], before: int) -> bool:
    """Whether the last leg puts shared points where the earlier one has them."""
    found = tie(legs, before, len(legs) - 1)
    times, sd = ratio(legs, found) if len(found.scale) else (math.nan, math.nan)
    if not sd < MAX_RATIO_SD:
        return False
    return miss([*legs[:-1], replace(legs[-1], c=legs[-1].c * times)], found) <= MAX_MISS
