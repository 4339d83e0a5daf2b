"""What motion two pictures show: a turn, a direction, or metres; or that they do not say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from geom.pose_error import direction_error, rotation_error
from geom.se3 import SE3
from synth.matches import Matches
from synth.two_view_fit import WIDTH, Array, Fit, Motion, Pair, inside, settle, trusted
from synth.two_view_starts import inverse_depths, placed_by, starts_of

MAX_ERROR_PX = 2.0
"""A match that misses a motion by more is an outlier of it."""
MIN_INLIERS = 20
MIN_SHARE = 0.25
"""Of the matches that must fit; unrelated pictures reach less by chance."""
MAX_DIRECTION_SD_DEG = 20.0
"""A direction less sure than this is none."""
INFLATION = 1.6
"""Of each standard deviation, so that about 68 % of errors lie within it in simulated rooms; pure noise needs less."""

MAX_TURN_SD_DEG = 2.0
"""A motion whose turn is less sure is none: the pictures leave it open."""

_REFINED = 4
_TWIN_SD = 3.0
"""Of two motions neither is preferred where the difference of their costs is within as many standard deviations."""

Kind = Literal["rotation", "direction", "metric", "none"]


@dataclass(frozen=True, eq=False)
class TwoView:
    """A motion as two pictures show it. What does not exist is NaN.

    Standard deviations are roots of mean squares, and about 68 % of errors lie within one of them. They hold for noise
    in the matches, also where it goes together in parts of a picture; not for wrong intrinsics or a wrong scale of
    depths.
    """

    T_b_a: SE3
    """From a's camera to b's. The translation is 0 for `rotation`, of length 1 for `direction`, metres for `metric`;
    the identity for `none`."""
    kind: Kind
    reason: str
    """Why this kind, in plain words."""
    inliers: int
    num_matches: int
    rotation_sd_deg: float
    direction_sd_deg: float
    """Of the direction from a's centre to b's, in a's coordinates."""
    parallax_deg: float
    """Median angle between the two rays of an inlier after undoing the turn; for `rotation` no more than this can have
    been overlooked."""
    length_sd_m: float
    candidates: tuple[TwoView, ...] = ()
    """Where the matches leave open which of several motions it was: each of them, the best first. One who knows which
    motion to expect may look whether it is among them."""


def relative_motion(
    matches: Matches,
    camera_a: PinholeCamera,
    camera_b: PinholeCamera,
    *,
    z_depth_a: Float[NDArray, "h w"] | None = None,
    max_error_px: float = MAX_ERROR_PX,
    max_turn_sd_deg: float = MAX_TURN_SD_DEG,
) -> TwoView:
    """Say which motion of a camera in a scene at rest the matches show.

    Candidates come from an essential matrix and a homography (both MAGSAC, Barath et al., 2020), so that planes are no
    special case, and from a turn alone. Each is refined, and the one that more matches fit better, with points in front
    of both cameras, is kept. It is called a turn where Torr's GRIC (1998) finds that a turn alone explains the same
    matches, and no motion at all where another explains them equally well. With depths, points of a are placed in b
    (PnP), which gives metres. Same input, same output; poor matches give `none`, never an error.

    Args:
        matches: pixels of both pictures.
        camera_a, camera_b: without batch; they may differ.
        z_depth_a: metres along the axis for each pixel of a, NaN or 0 where unknown.
        max_error_px: see MAX_ERROR_PX; more for pictures that wobble.
        max_turn_sd_deg: see MAX_TURN_SD_DEG; more for those who weigh what they get by its standard deviation.

    Raises:
        ValueError: if a camera is a batch, z_depth_a is not of picture a's size, or max_error_px is not positive.
    """
    _check(camera_a, camera_b, z_depth_a, max_error_px)
    pair = Pair.of(matches, camera_a, camera_b)
    if len(matches) < MIN_INLIERS:
        return _none(
            f"{len(matches)} matches, and {MIN_INLIERS} are needed: too little texture or too little in common",
            len(matches),
        )
    if (np.abs(matches.uv_a - matches.uv_b) == 0).all():
        return _none("every match stays where it is to the last digit: the same picture twice", len(matches))
    if z_depth_a is not None:
        inverse = inverse_depths(z_depth_a, matches.uv_a)
        if (inverse > 0).sum() >= MIN_INLIERS:
            return _metric(pair, inverse, max_error_px)
    return _unscaled(pair, max_error_px, max_turn_sd_deg)


def _check(camera_a: PinholeCamera, camera_b: PinholeCamera, z_depth_a: NDArray | None, max_error_px: float) -> None:
    shapes = [tuple(camera.K.shape) for camera in (camera_a, camera_b)]
    if shapes != [(3, 3), (3, 3)]:
        raise ValueError(f"each camera must be one, with K of shape (3, 3), got {shapes[0]} and {shapes[1]}")
    size = (camera_a.height, camera_a.width)
    if z_depth_a is not None and z_depth_a.shape != size:
        raise ValueError(f"z_depth_a must have the size of picture a, {size}, got {z_depth_a.shape}")
    if not max_error_px > 0:
        raise ValueError(f"max_error_px must be > 0, got {max_error_px}")


def _none(reason: str, num_matches: int, inliers: int = 0) -> TwoView:
    nan = float("nan")
    return TwoView(SE3.identity(), "none", reason, inliers, num_matches, nan, nan, nan, nan)


def _found(kind: Kind, reason: str, best: Fit, counts: tuple[int, int], parallax_deg: float) -> TwoView:
    R, c = torch.from_numpy(best.R), torch.from_numpy(best.c)
    T_b_a = SE3(R, -(R @ c) if kind != "rotation" else torch.zeros(3, dtype=R.dtype))
    has_way, nan = kind != "rotation", float("nan")
    direction_sd = min(180.0, INFLATION * best.direction_sd_deg) if has_way else nan
    length_sd = INFLATION * best.length_sd if kind == "metric" else nan
    return TwoView(T_b_a, kind, reason, *counts, INFLATION * best.turn_sd_deg, direction_sd, parallax_deg, length_sd)


# --- without depths


@dataclass(frozen=True, eq=False)
class _Scored:
    """A settled motion, what fits it, and its cost: squared pixels, for each match no more than for an outlier."""

    fit: Fit
    inliers: Bool[NDArray, " n"]
    cost: float


def _unscaled(pair: Pair, px: float, max_turn_sd_deg: float) -> TwoView:
    turn, starts = starts_of(pair, px)
    starts.sort(key=lambda motion: _costs(pair, motion, px).sum())
    scored = [s for motion in _distinct(starts)[:_REFINED] if (s := _scored(pair, motion, px))]
    n = len(pair)
    if not scored:
        return _none("no motion fits enough of the matches: the pictures may show different things", n)
    scored.sort(key=lambda motion: motion.cost)
    best = scored[0]
    count, some = int(best.inliers.sum()), pair[best.inliers]
    only_turn = _turn_of(pair, [turn, best.fit.R], px)
    if only_turn is not None and _prefers_turn(pair, only_turn, best, px):
        return _turn(pair, only_turn, best, px)
    if count < _least(n):
        return _too_few("motion", count, n)
    return _moving(
        some, best.fit, [other.fit for other in scored if _is_twin(pair, best, other, px)], n, max_turn_sd_deg
    )


def _moving(inliers: Pair, best: Fit, twins: list[Fit], n: int, max_turn_sd_deg: float) -> TwoView:
    """A motion with a translation; how far its twins are from it adds to its uncertainty."""
    counts, parallax = (len(inliers), n), _median_parallax(inliers, best.R)
    apart = np.array([_apart(best.motion, twin.motion) for twin in twins]).max(0)
    reason = f"{counts[0]} of {n} matches fit one direction"
    found = _found("direction", reason, best, counts, parallax)
    turn_sd, way_sd = np.hypot([found.rotation_sd_deg, found.direction_sd_deg], apart).tolist()
    if turn_sd <= max_turn_sd_deg and way_sd <= MAX_DIRECTION_SD_DEG:
        return replace(found, rotation_sd_deg=turn_sd, direction_sd_deg=way_sd)
    one_of = f"one of {len(twins)} motions that fit equally well"
    each = (_found("direction", one_of, twin, counts, _median_parallax(inliers, twin.R)) for twin in twins)
    candidates = tuple(twin for twin in each if twin.direction_sd_deg <= MAX_DIRECTION_SD_DEG and len(twins) > 1)
    if turn_sd > max_turn_sd_deg:
        reason = f"motions {turn_sd:.1f} degrees apart fit equally well, as on a single plane"
        return replace(_none(reason, n, counts[0]), candidates=candidates)
    reason = f"the direction is unsure by {way_sd:.0f} degrees: too little parallax, or matches too few or too close"
    turned = _found("rotation", reason, best, counts, parallax)
    return replace(turned, rotation_sd_deg=turn_sd, candidates=candidates)


def _least(num_matches: int) -> int:
    return max(MIN_INLIERS, int(MIN_SHARE * num_matches))


def _too_few(what: str, count: int, n: int) -> TwoView:
    return _none(f"the best {what} fits only {count} of {n} matches: the pictures may show different things", n, count)


def _median_parallax(pair: Pair, R: Array) -> float:
    return float(np.median(pair.angles_deg(R)))


def _costs(pair: Pair, motion: Motion, px: float) -> Float[NDArray, " n"]:
    squared = pair.epipolar(*motion)[:, 0] ** 2
    return np.where(inside(pair, Pair.epipolar, motion, px), squared, px**2)


def _scored(pair: Pair, motion: Motion, px: float) -> _Scored | None:
    best = settle(pair, Pair.epipolar, motion, px, MIN_INLIERS)
    if best is None:
        return None
    limit = min(px, WIDTH * best.noise)
    return _Scored(best, trusted(pair, Pair.epipolar, best.motion, limit), float(_costs(pair, best.motion, px).sum()))


def _distinct(motions: list[Motion]) -> list[Motion]:
    kept: list[Motion] = []
    for motion in motions:
        if all(turn > 0.1 or way > 3.0 for turn, way in (_apart(motion, other) for other in kept)):
            kept.append(motion)
    return kept


def _apart(one: Motion, other: Motion) -> tuple[float, float]:
    """Degrees between the turns and between the directions of two motions."""
    a, b = (SE3(torch.from_numpy(R), torch.from_numpy(c)) for R, c in (one, other))
    return math.degrees(rotation_error(a, b)), math.degrees(direction_error(a.t, b.t))


def _is_twin(pair: Pair, best: _Scored, other: _Scored, px: float) -> bool:
    """Whether the matches leave open which of two motions it was (Vuong's test, Econometrica 57, 1989).

    On a plane two different motions leave equal residuals but for the noise, of which each sees another component.
    """
    gain = (_costs(pair, other.fit.motion, px) - _costs(pair, best.fit.motion, px)) / best.fit.noise**2
    return float(gain.sum()) <= _TWIN_SD * max(_TWIN_SD, float(np.linalg.norm(gain)))


# --- turns


def _turn_of(pair: Pair, starts: list[Array], px: float) -> Fit | None:
    """The turn alone that explains the matches best."""
    fits = [f for R in starts if (f := settle(pair, Pair.turned, (R, np.zeros(3)), px, MIN_INLIERS))]
    return min(fits, key=lambda f: np.minimum((pair.turned(f.R) ** 2).sum(1), px**2).sum(), default=None)


def _prefers_turn(pair: Pair, turn: Fit, general: _Scored, px: float) -> bool:
    """Whether a turn alone fits as many matches as closely, or else has the lower GRIC on those of the general motion.

    Where the general motion is one of many that fit, the side of the epipole that it sees matches on is chance.
    """
    limit, count = min(px, WIDTH * general.fit.noise), int(general.inliers.sum())
    fits_as_many = int(inside(pair, Pair.turned, turn.motion, limit).sum()) >= count
    return fits_as_many or _lower_gric(pair[general.inliers], turn.R, general.fit)


def _lower_gric(pair: Pair, turn: Array, general: Fit) -> bool:
    """Whether GRIC (Torr, Phil. Trans. R. Soc. A 356, 1998) is lower for a turn than for a turn and a direction.

    The noise is taken at the upper end of what so few matches can tell of it, lest chance be seen as parallax.
    """
    n = len(pair)
    noise = general.noise * (1 + 1.7 / np.sqrt(n))
    scores = []
    for left, dimension, freedom in ((pair.turned(turn), 2, 3), (pair.epipolar(general.R, general.c), 3, 5)):
        squared = np.minimum((left**2).sum(1) / noise**2, 2 * (4 - dimension))
        scores.append(squared.sum() + np.log(4) * dimension * n + np.log(4 * n) * freedom)
    return bool(scores[0] <= scores[1])


def _turn(pair: Pair, turn: Fit, general: _Scored, px: float) -> TwoView:
    n = len(pair)
    inliers = inside(pair, Pair.turned, turn.motion, min(px, WIDTH * turn.noise))
    count = int(inliers.sum())
    if count < _least(n):
        return _too_few("turn", count, n)
    overlooked = max(_median_parallax(pair[inliers], R) for R in (turn.R, general.fit.R))
    reason = f"a turn alone fits {count} of {n} matches: no parallax above the noise of {turn.noise:.2f} pixels"
    return _found("rotation", reason, turn, (count, n), overlooked)


# --- with depths


def _metric(pair: Pair, inverse: Array, px: float) -> TwoView:
    n, known = len(pair), inverse > 0
    with np.errstate(invalid="ignore"):
        placed = replace(pair, points_a=pair.rays_a / inverse[:, None])[known]
    start = placed_by(placed, px)
    best = settle(placed, Pair.placed, start, px, MIN_INLIERS) if start else None
    if best is None:
        return _none("no motion fits enough of the matches with depth", n)
    inliers = inside(placed, Pair.placed, best.motion, min(px, WIDTH * best.noise))
    count, num_placed = int(inliers.sum()), len(inliers)
    if count < _least(num_placed):
        return _too_few("motion in metres", count, num_placed)
    reason = f"{count} of {num_placed} matches with depth fit one motion"
    return _found("metric", reason, best, (count, n), _median_parallax(placed[inliers], best.R))
