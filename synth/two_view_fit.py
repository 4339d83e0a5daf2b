"""Residuals of a motion between two pictures, and the motion that makes them small, with its uncertainty.

A motion is R, which takes directions from a to b, and c, where camera b stands in a: p_b = R (p_a - c).
All residuals are in pixels, and scaled so that noise of one pixel in either coordinate of either picture makes their
standard deviation one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from synth.matches import Matches

MIN_NOISE_PX = 0.05
"""No match is trusted to be better than this, however well all of them agree."""

SOFT = 1.5
"""Residuals beyond this many times the noise weigh less than by their square."""
WIDTH = 3.5
"""Times the noise: what misses by more is no inlier of a settled motion."""
_NEARER = 3.0
"""Times the parallax that 90 % of the inliers stay below: a match with more is none."""
_GRID = 6
"""Blocks per side of picture a in which errors may go together."""
_MAX_ROUNDS = 6
_SETTLED = 0.03
"""Relative change of the noise."""

Array = NDArray[np.float64]
Motion = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Pair:
    """Matches with what the cameras make of them."""

    Ka: Float[NDArray, "3 3"]
    Kb: Float[NDArray, "3 3"]
    uv_a: Float[NDArray, "n 2"]
    uv_b: Float[NDArray, "n 2"]
    points_a: Float[NDArray, "n 3"] | None = None
    """In a, metres, where depths are known."""

    @staticmethod
    def of(matches: Matches, camera_a: PinholeCamera, camera_b: PinholeCamera) -> Pair:
        """Take the numbers of both cameras."""
        Ka, Kb = (camera.K.detach().cpu().double().numpy() for camera in (camera_a, camera_b))
        return Pair(Ka, Kb, matches.uv_a.astype(float), matches.uv_b.astype(float))

    @property
    def rays_a(self) -> Float[NDArray, "n 3"]:
        """Ahead by 1 along the axis."""
        return rays(self.Ka, self.uv_a)

    @property
    def rays_b(self) -> Float[NDArray, "n 3"]:
        """Ahead by 1 along the axis."""
        return rays(self.Kb, self.uv_b)

    @property
    def pixel(self) -> float:
        """A pixel's share of the focal length, both cameras' mean."""
        return float(np.mean([1 / K[i, i] for K in (self.Ka, self.Kb) for i in (0, 1)]))

    def __len__(self) -> int:
        return len(self.uv_a)

    def __getitem__(self, keep: Bool[NDArray, " n"]) -> Pair:
        points = None if self.points_a is None else self.points_a[keep]
        return Pair(self.Ka, self.Kb, self.uv_a[keep], self.uv_b[keep], points)

    def epipolar(self, R: Array, c: Array) -> Float[NDArray, "n 1"]:
        """Sampson distances (Hartley and Zisserman, Multiple View Geometry, 2004, eq. 11.9), with sign."""
        F = np.linalg.inv(self.Kb).T @ R @ cross_matrix(-c) @ np.linalg.inv(self.Ka)
        lines_b, lines_a = homogeneous(self.uv_a) @ F.T, homogeneous(self.uv_b) @ F
        slope = np.sqrt((lines_b[:, :2] ** 2).sum(1) + (lines_a[:, :2] ** 2).sum(1))
        return ((homogeneous(self.uv_b) * lines_b).sum(1) / np.maximum(slope, 1e-12))[:, None]

    def turned(self, R: Array, c: Array | None = None) -> Float[NDArray, "n 2"]:
        """What is left when a is only turned into b, where c is not looked at."""
        H = self.Kb @ R @ np.linalg.inv(self.Ka)
        image, w = _divide(homogeneous(self.uv_a) @ H.T)
        # A homography enlarges areas by det H / w^3.
        return (self.uv_b - image) / np.sqrt(1 + abs(np.linalg.det(H)) / np.abs(w) ** 3)[:, None]

    def parallax(self, R: Array, c: Array) -> Float[NDArray, " n"]:
        """Pixels along the way from infinity to the epipole, which is where points nearer than infinity lie.

        Negative is before infinity, or beyond the epipole: behind one of the cameras.
        """
        far = self.rays_a @ R.T
        image, w = _divide(far @ self.Kb.T)
        pull = -(R @ c) @ self.Kb.T
        toward = pull[:2] - image * pull[2]
        length = np.linalg.norm(toward, axis=1)
        along = ((self.uv_b - image) * toward).sum(1) / np.maximum(length, 1e-12)
        room = length / pull[2] - along if pull[2] > 0 else np.full_like(along, np.inf)
        return np.where(w > 0, np.minimum(along, room), -np.inf)

    def angles_deg(self, R: Array) -> Float[NDArray, " n"]:
        """Degrees between the two rays of each match when a is turned into b."""
        a, b = self.rays_a @ R.T, self.rays_b
        sine = np.linalg.norm(np.cross(a, b), axis=1)
        return np.degrees(np.arctan2(sine, (a * b).sum(1)))

    def placed(self, R: Array, c: Array) -> Float[NDArray, "n 2"]:
        """What is left in picture b when the points are moved; noise of the depths comes on top."""
        assert self.points_a is not None
        image, w = _divide((self.points_a - c) @ R.T @ self.Kb.T)
        return np.where(w[:, None] > 0, self.uv_b - image, 1e6) / np.sqrt(2)


Residual = Callable[[Pair, Array, Array], Array]
"""A method of Pair: (n, k) of a motion."""
FREEDOM: dict[Residual, int] = {Pair.turned: 3, Pair.epipolar: 5, Pair.placed: 6}
"""A turn; with a direction; with its length."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A motion at its best, and the covariance of (turn in a's frame: radians; place or direction)."""

    R: Float[NDArray, "3 3"]
    c: Float[NDArray, " 3"]
    noise: float
    """Pixels; of the matches before this fit."""
    covariance: Float[NDArray, "d d"]

    @property
    def motion(self) -> Motion:
        """R and c."""
        return self.R, self.c

    @property
    def turn_sd_deg(self) -> float:
        """Root of the mean square of the angle that R is off by."""
        return float(np.degrees(np.sqrt(self.covariance[:3, :3].trace())))

    @property
    def direction_sd_deg(self) -> float:
        """Root of the mean square of the angle that c is off by, 180 at most."""
        return min(180.0, float(np.degrees(self._across / max(float(np.linalg.norm(self.c)), 1e-12))))

    @property
    def length_sd(self) -> float:
        """Standard deviation of the length of c, and what errors across c add to it where c is short."""
        length = max(float(np.linalg.norm(self.c)), 1e-12)
        along = self.c @ self.covariance[3:, 3:] @ self.c / length**2
        return float(np.hypot(np.sqrt(along), min(self._across**2 / (2 * length), self._across)))

    @property
    def _across(self) -> float:
        across, side = self.covariance[3:, 3:], basis(self.c)
        return float(np.sqrt(np.trace(side.T @ across @ side if len(across) == 3 else across)))


def inside(pair: Pair, residual: Residual, motion: Motion, limit_px: float) -> Bool[NDArray, " n"]:
    """Which matches a motion explains, with points in front of both cameras."""
    is_near = np.linalg.norm(residual(pair, *motion), axis=1) < limit_px
    return is_near & (pair.parallax(*motion) > -limit_px) if residual is Pair.epipolar else is_near


def trusted(pair: Pair, residual: Residual, motion: Motion, limit_px: float) -> Bool[NDArray, " n"]:
    """Which of those `inside` show no point far nearer than the others.

    A wrong match that happens to lie on its epipolar line shows a point at some arbitrary nearness, and pulls at the
    direction the more, the nearer it is.
    """
    good = inside(pair, residual, motion, limit_px)
    if residual is not Pair.epipolar or not good.any():
        return good
    parallax = pair.parallax(*motion)
    return good & (parallax < _NEARER * max(float(np.quantile(parallax[good], 0.9)), limit_px))


def settle(pair: Pair, residual: Residual, motion: Motion, limit_px: float, least: int) -> Fit | None:
    """Fit to what a motion explains, and again, until noise and inliers have settled; None if they become too few.

    The covariance is that of errors that go together within blocks of the picture and are independent between them
    (the cluster-robust sandwich, Liang and Zeger, 1986): matches that lie close by share their errors, and a picture
    that bends is no sum of independent noise. It is never below that of independent errors.

    Args:
        pair: all matches.
        residual: what is to become small.
        motion: to begin with.
        limit_px: what misses by more is an outlier in any case.
        least: number of inliers.
    """
    limit, before, freedom = limit_px, np.inf, FREEDOM[residual]
    for _ in range(_MAX_ROUNDS):
        some = pair[trusted(pair, residual, motion, limit)]
        if len(some) < least:
            return None
        noise = noise_of(residual(some, *motion), freedom)
        if abs(noise - before) < _SETTLED * noise:
            break
        motion, _ = _solved(some, residual, motion, noise)
        before, limit = noise, min(limit_px, WIDTH * noise)
    left = residual(some, *motion)
    _, slopes = _solved(some, residual, motion, noise, rounds=1)
    return Fit(*motion, noise, covariance(left, slopes.reshape(*left.shape, freedom), noise, blocks_of(some.uv_a)))


def _solved(pair: Pair, residual: Residual, start: Motion, noise: float, rounds: int = 20) -> tuple[Motion, Array]:
    """The motion after so many rounds of robust least squares, and the slopes of the residuals where it began."""
    from scipy.optimize import least_squares

    def around(x: Array) -> Array:
        return residual(pair, *moved(start, x)).ravel()

    loss = "soft_l1" if rounds > 1 else "linear"
    x = np.zeros(FREEDOM[residual])
    found = least_squares(around, x, loss=loss, f_scale=SOFT * noise, x_scale="jac", ftol=1e-6, max_nfev=rounds)
    return moved(start, found.x), found.jac


def moved(start: Motion, x: Array) -> Motion:
    """A motion nearby: R turned by x[:3] in a's frame, c turned by x[3:5] across it or shifted by x[3:6]."""
    from scipy.spatial.transform import Rotation

    R, c = start
    R = R @ Rotation.from_rotvec(x[:3]).as_matrix()
    if len(x) == 5:
        c = c + basis(c) @ x[3:]
        c = c / np.linalg.norm(c)
    elif len(x) == 6:
        c = c + x[3:]
    return R, c


def covariance(left: Array, slopes: Array, noise: float, block: NDArray[np.int64]) -> Array:
    """Larger of the two covariances, by the trace of each, of residuals (n, k) and slopes (n, k, d)."""
    weight = 1 / np.sqrt(1 + (left / (SOFT * noise)) ** 2)
    spread = np.linalg.pinv(np.einsum("nki,nk,nkj->ij", slopes, weight, slopes))
    pulls = np.einsum("nki,nk->ni", slopes, weight * left)
    sums = np.stack([pulls[block == b].sum(0) for b in np.unique(block)])
    spare = max(len(sums) - slopes.shape[2], 1)
    together = spread @ (sums.T @ sums) @ spread * len(sums) / spare
    alone = spread * float((weight * left**2).sum()) / max(left.size - slopes.shape[2], 1)
    return _larger(together, alone)


def _larger(one: Array, other: Array) -> Array:
    """A covariance no smaller than either in any direction where they differ: the eigenvalues that are larger."""
    values, vectors = np.linalg.eigh(one - other)
    return other + (vectors * np.maximum(values, 0)) @ vectors.T


def blocks_of(places: Array) -> NDArray[np.int64]:
    """Return which part of a picture each place lies in, of a grid over all of them."""
    low, high = places.min(0), places.max(0)
    cell = np.minimum((places - low) / np.maximum(high - low, 1e-9) * _GRID, _GRID - 1).astype(np.int64)
    return cell[:, 0] * _GRID + cell[:, 1]


def noise_of(left: Array, freedom: int) -> float:
    """Standard deviation of residuals after a fit, as their median tells it, pixels."""
    spare = max(left.size - freedom, 1)
    return max(MIN_NOISE_PX, 1.4826 * float(np.median(np.abs(left))) * np.sqrt(left.size / spare))


def rays(K: Array, uv: Array) -> Array:
    """Directions (n, 3) of pixels, 1 along the axis."""
    return homogeneous(uv) @ np.linalg.inv(K).T


def homogeneous(uv: Array) -> Array:
    """Pixels with a third coordinate of 1."""
    return np.hstack([uv, np.ones((len(uv), 1))])


def cross_matrix(v: Array) -> Array:
    """cross_matrix(v) @ p is the cross product of v and p."""
    x, y, z = v
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def basis(v: Array) -> Float[NDArray, "3 2"]:
    """Two unit vectors across v."""
    return np.linalg.svd(v[None])[2][1:].T


def _divide(p: Array) -> tuple[Array, Array]:
    w = np.where(np.abs(p[:, 2]) < 1e-9, 1e-9, p[:, 2])
    return p[:, :2] / w[:, None], w


def angle(cosine: NDArray | np.floating) -> float:
    """Radians."""
    return float(np.arccos(np.clip(cosine, -1, 1)))
