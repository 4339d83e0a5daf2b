"""The camera path of a whole clip from what its neighbouring key frames show, with one scale and refined as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth import two_view
from synth.executed import STILL_PX
from synth.executed_path_fit import Problem, slopes_of
from synth.executed_path_resect import resected
from synth.executed_path_scale import METRES, Leg, fitting, scaled
from synth.matches import Matches
from synth.two_view import MAX_ERROR_PX, MIN_INLIERS, TwoView
from synth.two_view_fit import Array, Pair

INFLATION = 2.0
"""Of each standard deviation, so that about 68 % of errors lie within it in simulated rooms; pure noise needs less."""

PathScale = Literal["metric", "up_to_scale", "none"]


@dataclass(frozen=True, eq=False)
class Link:
    """What two key frames show."""

    first: int
    last: int
    """Numbers of the frames; each link begins where the one before ends."""
    view: TwoView
    """T_b_a takes coordinates of the first frame's camera to the last's."""
    matches: Matches
    """Of the pictures first and last."""

    @property
    def is_still(self) -> bool:
        """Whether the points stay where they are."""
        moves = np.linalg.norm(self.matches.uv_b - self.matches.uv_a, axis=1)
        return len(moves) > 0 and float(np.median(moves)) < STILL_PX

    @property
    def has_motion(self) -> bool:
        """Whether its two pictures say by themselves how the camera moved."""
        return self.view.kind != "none" or self.is_still

    def __str__(self) -> str:
        return f"frames {self.first} to {self.last}"


@dataclass(frozen=True, eq=False)
class ExecutedPath:
    """Where the camera was at n key frames, as far as the pictures say.

    Standard deviations are roots of mean squares, and about 68 % of errors lie within one of them.
    """

    frames: tuple[int, ...]
    """Numbers of the key frames."""
    T_first_cam: SE3
    """(n): pose of each key frame in the first one; NaN where not known, of which the turn may be known alone."""
    scale: PathScale
    """`metric`: metres. `up_to_scale`: the length of the known path is 1. `none`: nothing is known to have moved, and
    what has no length is 0."""
    rotation_sd_deg: Float[NDArray, " n"]
    """Since the first; NaN where not known, as all others."""
    position_sd: Float[NDArray, " n"]
    """In the unit of the path; NaN also where there is no unit."""
    is_refined: bool
    """Whether the motions are those that fit all links at once, or the links' own."""
    reasons: tuple[str, ...]
    """Where and why links could not be chained or refined, or only by points of others, in plain words."""


def executed_path(links: Sequence[Link], camera: PinholeCamera, *, refine: bool = True) -> ExecutedPath:
    """Chain the motions between key frames to one path, and refine all of them at once.

    Turns chain by themselves. Lengths of neighbouring links are compared at points that both show, found where they lie
    closest in the key frame that both share; between two links may be turns, which have no length. A link whose
    pictures leave the motion open, as on a plane, takes the one that places the points of earlier links. Where there is
    none, it ends the path; one whose length cannot be compared ends what is known of positions; what came before stays.

    The refinement moves all links that are tied to a neighbour so that matches and shared points fit best (robust least
    squares); links in metres and turns keep to their own motion within its uncertainty, since depths were seen there
    that matches do not show. It also finds back from the wrong one of the two motions that a plane allows. It is
    dropped, with a reason, where it moves a link far from its own motion and neighbours still disagree.

    Args:
        links: of neighbouring key frames, in order.
        camera: of all pictures, without batch.
        refine: whether to refine.

    Raises:
        ValueError: if there is no link, one does not begin where the one before ends, or the camera is a batch.
    """
    _check(links, camera)
    legs, reasons = _legs(links, camera)
    known = links[: len(legs)]
    found = scaled(legs)
    reasons += [f"{links[q]}: length not comparable with {links[p]} ({why})" for p, q, why in found.reasons]
    problem, is_refined = Problem(found.legs, found.ties), False
    variance = problem.own_covariance()
    if refine and found.ties:
        refined, refined_variance = problem.solved()
        is_refined = problem.believes(refined)
        reasons += [] if is_refined else [_REFUSED]
        if is_refined:
            problem, variance = refined, refined_variance
    track = _Track(problem, found.num_placed, found.unit)
    turn_sd, place_sd = track.deviations(variance, [_parallax(link, camera) for link in known])
    count = len(links) + 1
    return ExecutedPath(
        (links[0].first, *(link.last for link in links)),
        SE3(torch.from_numpy(_padded(track.R, count)), torch.from_numpy(_padded(track.places, count))),
        track.scale,
        np.degrees(_padded(turn_sd, count)),
        _padded(place_sd, count),
        is_refined,
        tuple(reasons),
    )


_REFUSED = (
    "not refined: it would move a link far from its own motion, and neighbours still would not agree about how far"
    " points are; one of them is wrong"
)


def _check(links: Sequence[Link], camera: PinholeCamera) -> None:
    if not links:
        raise ValueError("a path must have at least one link, got none; does the film have two key frames?")
    if tuple(camera.K.shape) != (3, 3):
        raise ValueError(f"camera must be one, with K of shape (3, 3), got {tuple(camera.K.shape)}")
    for link in links:
        if link.first >= link.last:
            raise ValueError(f"a link must lead to a later frame, got {link}; were the pictures swapped?")
    for before, after in pairwise(links):
        if before.last != after.first:
            raise ValueError(
                f"each link must begin where the one before ends, got {before}, then {after}; was a link left out"
                " where no motion was found?"
            )


def _legs(links: Sequence[Link], camera: PinholeCamera) -> tuple[list[Leg], list[str]]:
    """The legs before the first link without a motion, and what is said of that one and those after it."""
    legs: list[Leg] = []
    reasons = []
    for k, link in enumerate(links):
        is_open = _is_open(link, camera)
        if link.has_motion and not is_open:
            legs.append(_leg(link, camera))
            continue
        leg = resected(legs, Pair.of(link.matches, camera, camera)) if is_open else None
        if leg is None:
            broken = [link, *(each for each in links[k + 1 :] if not each.has_motion)]
            later = [f"{each}: no motion ({each.view.reason})" for each in broken]
            return legs, [*reasons, f"{later[0]}; no pose is known from frame {link.last} on", *later[1:]]
        reasons.append(f"{link}: motion found by points of earlier links ({link.view.reason})")
        legs.append(leg)
    return legs, reasons


def _is_open(link: Link, camera: PinholeCamera) -> bool:
    """Whether more than one motion fits two pictures of one thing, or one with more parallax than a turn overlooks."""
    if link.is_still:
        return False
    has_way = link.view.kind in ("direction", "metric")
    has_parallax = _parallax(link, camera) * float(camera.focal.min()) > MAX_ERROR_PX
    return not has_way and (has_parallax if link.view.kind == "rotation" else link.view.inliers >= MIN_INLIERS)


def _leg(link: Link, camera: PinholeCamera) -> Leg:
    view = link.view
    R = np.eye(3) if view.kind == "none" else view.T_b_a.R.cpu().double().numpy()
    c = np.zeros(3) if link.is_still else -(R.T @ view.T_b_a.t.cpu().double().numpy())
    pair, noise = fitting(Pair.of(link.matches, camera, camera), R, c, MAX_ERROR_PX)
    turn_sd = _parallax(link, camera) if view.kind == "none" else math.radians(view.rotation_sd_deg)
    sds = np.array([turn_sd, math.radians(view.direction_sd_deg), view.length_sd_m]) / two_view.INFLATION
    return Leg(pair, R, c, noise, *sds.tolist())


def _parallax(link: Link, camera: PinholeCamera) -> float:
    """Of a link, radians; what a still one may hide where its view says nothing."""
    return STILL_PX / float(camera.focal.min()) if link.view.kind == "none" else math.radians(link.view.parallax_deg)


def _padded(values: Array, count: int) -> Array:
    """As many as there are key frames, NaN where there is none."""
    return np.concatenate([values, np.full((count - len(values), *values.shape[1:]), np.nan)])


@dataclass(frozen=True, eq=False)
class _Track:
    """Legs laid end to end."""

    problem: Problem
    num_placed: int
    unit: int | None

    @property
    def scale(self) -> PathScale:
        """What one unit of length is."""
        return "none" if self.unit is None else "metric" if self.unit == METRES else "up_to_scale"

    @property
    def total(self) -> float:
        """What lengths are divided by."""
        lengths = sum(leg.length for leg in self.problem.legs[: self.num_placed])
        return lengths if self.scale == "up_to_scale" else 1.0

    @property
    def R(self) -> Float[NDArray, "m 3 3"]:
        """Turns of all frames, R_first_cam."""
        return np.stack(list(accumulate((leg.R.T for leg in self.problem.legs), np.matmul, initial=np.eye(3))))

    @property
    def places(self) -> Float[NDArray, "p 3"]:
        """Of the frames that have one, in the first."""
        steps = [R @ leg.c for R, leg in zip(self.R, self.problem.legs[: self.num_placed], strict=False)]
        return np.cumsum([np.zeros(3), *steps], axis=0) / self.total

    def deviations(self, variance: Array, parallax: list[float]) -> tuple[Array, Array]:
        """Standard deviations of turns, radians, and of places.

        Args:
            variance: of changes of the legs.
            parallax: of each leg, radians; where it is a turn, a length that makes so much may have been overlooked.
        """
        R = self.R

        def changes(x: Array) -> Array:
            other = replace(self, problem=self.problem.changed(x))
            turns = Rotation.from_matrix(R.mT @ other.R).as_rotvec()
            return np.concatenate([turns.ravel(), other.places.ravel()])

        slopes = slopes_of(changes, self.problem.freedom)
        squares = INFLATION**2 * np.einsum("ki,ij,kj->k", slopes, variance, slopes).reshape(-1, 3).sum(1)
        turns, places = np.split(squares, [len(R)])
        overlooked = np.cumsum([0.0, *(self._overlooked(k, parallax[k]) ** 2 for k in range(self.num_placed))])
        return np.sqrt(np.maximum(turns, 0)), np.sqrt(np.maximum(places, 0) + overlooked)

    def _overlooked(self, k: int, parallax: float) -> float:
        """How far the camera may have moved in what looks like a turn: points are as far as in the nearest leg."""
        legs = self.problem.legs[: self.num_placed]
        if legs[k].c.any():
            return 0.0
        telling = [j for j, leg in enumerate(legs) if leg.tells_distance]
        if not telling:
            return math.nan
        nearest = legs[min(telling, key=lambda j: abs(j - k))]
        return math.tan(parallax) / abs(float(np.median(nearest.nearness_first().value))) / self.total
