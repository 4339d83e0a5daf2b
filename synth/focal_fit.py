"""Motions between two pictures for many focal lengths at once, as far as these have to be guessed.

All pixels are counted from the principal point. A guess is a focal length f, a turn R, which takes directions from a
to b, and c, where camera b stands in a, of length 1; for a turn alone c is not looked at. Dimension g: the guesses.
Residuals are those of `synth.two_view_fit.Pair`, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from synth.two_view_fit import Pair, homogeneous

Model = Literal["turn", "motion"]
FREEDOM: dict[Model, int] = {"turn": 3, "motion": 5}
"""Beside the focal length."""

_STEP = 1e-6
_MOST_ROUNDS = 12
_SETTLED = 1e-5
"""Relative change of the cost."""


@dataclass(frozen=True, eq=False)
class Guesses:
    """Focal lengths and motions."""

    f: Float[NDArray, " g"]
    R: Float[NDArray, "g 3 3"]
    c: Float[NDArray, "g 3"]

    def __len__(self) -> int:
        return len(self.f)

    def __getitem__(self, index: NDArray | list[int]) -> Guesses:
        return Guesses(self.f[index], self.R[index], self.c[index])

    def moved(self, x: Float[NDArray, "g d"]) -> Guesses:
        """Guesses nearby: R turned by x[:, :3] in a's frame, c by x[:, 3:5] across it, log f larger by the last x.

        For a turn alone, d is 3, and 4 with the focal length; else it is 5, and 6.
        """
        from scipy.spatial.transform import Rotation

        R, c, f = self.R @ Rotation.from_rotvec(x[:, :3]).as_matrix(), self.c, self.f
        if x.shape[1] >= 5:
            c = c + (_bases(c) @ x[:, 3:5, None])[..., 0]
            c = c / np.linalg.norm(c, axis=1, keepdims=True)
        if x.shape[1] in (4, 6):
            f = f * np.exp(x[:, -1])
        return Guesses(f, R, c)

    @staticmethod
    def join(parts: list[Guesses]) -> Guesses:
        """All of them, one after the other."""
        return Guesses(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("f", "R", "c")))


@dataclass(frozen=True, eq=False)
class Seen:
    """Matches of two pictures, pixels from the principal point."""

    a: Float[NDArray, "n 2"]
    b: Float[NDArray, "n 2"]

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, keep: NDArray) -> Seen:
        return Seen(self.a[keep], self.b[keep])

    def left(self, model: Model, guesses: Guesses) -> Float[NDArray, "g n k"]:
        """Residuals of each guess: of a turn k is 2, of a motion 1."""
        return self._turned(guesses) if model == "turn" else self._epipolar(guesses)

    def _turned(self, g: Guesses) -> Float[NDArray, "g n 2"]:
        scale = np.stack([g.f, g.f, np.ones_like(g.f)], -1)
        H = scale[:, :, None] * g.R / scale[:, None, :]
        image = homogeneous(self.a) @ H.swapaxes(1, 2)
        w = np.where(np.abs(image[..., 2:]) < 1e-9, 1e-9, image[..., 2:])
        return (self.b - image[..., :2] / w) / np.sqrt(1 + 1 / np.abs(w) ** 3)

    def _epipolar(self, g: Guesses) -> Float[NDArray, "g n 1"]:
        scale = np.stack([1 / g.f, 1 / g.f, np.ones_like(g.f)], -1)
        F = scale[:, :, None] * (g.R @ _cross_matrices(-g.c)) * scale[:, None, :]
        a, b = homogeneous(self.a), homogeneous(self.b)
        x_b, y_b, w_b = np.moveaxis(a @ F.swapaxes(1, 2), -1, 0)
        x_a, y_a, _ = np.moveaxis(b @ F, -1, 0)
        slope = np.sqrt(x_b**2 + y_b**2 + x_a**2 + y_a**2)
        return ((b[:, 0] * x_b + b[:, 1] * y_b + w_b) / np.maximum(slope, 1e-12))[..., None]

    def ahead(self, guesses: Guesses, limit_px: float) -> Bool[NDArray, "g n"]:
        """Whether points are in front of both cameras, by less than so many pixels of parallax missed."""
        pairs = [Pair(K, K, self.a, self.b) for K in (np.diag([f, f, 1.0]) for f in guesses.f)]
        ways = zip(pairs, guesses.R, guesses.c, strict=True)
        return np.stack([pair.parallax(R, c) > -limit_px for pair, R, c in ways])

    def slopes(self, model: Model, guesses: Guesses, free: bool) -> Float[NDArray, "g n k d"]:
        """Of the residuals, by the steps of `Guesses.moved`; with the focal length last if it is free."""
        here, steps = self.left(model, guesses), np.eye(FREEDOM[model] + free) * _STEP
        moved = [self.left(model, guesses.moved(np.tile(step, (len(guesses), 1)))) for step in steps]
        return (np.stack(moved, -1) - here[..., None]) / _STEP


def costs(left: Float[NDArray, "g n k"], width: float) -> Float[NDArray, " g"]:
    """Squares of residuals, of each match no more than of `width` pixels, which it nears smoothly (Geman-McClure)."""
    squared = (left**2).sum(-1)
    return (squared / (1 + squared / width**2)).sum(-1)


def explained(seen: Seen, model: Model, guesses: Guesses, limit_px: float) -> Bool[NDArray, "g n"]:
    """Which matches each guess explains, with points in front of both cameras."""
    near = np.linalg.norm(seen.left(model, guesses), axis=-1) < limit_px
    return near if model == "turn" else near & seen.ahead(guesses, limit_px)


def charged(seen: Seen, model: Model, guesses: Guesses, width: float) -> Float[NDArray, " g"]:
    """The `costs`, and those of an outlier for a point behind a camera."""
    left = seen.left(model, guesses)
    if model == "motion":
        left = np.where(seen.ahead(guesses, width)[..., None], left, 1e6)
    return costs(left, width)


def fitted(seen: Seen, model: Model, guesses: Guesses, width: float, *, free: bool) -> Guesses:
    """Each guess at the least of its `costs` nearby (Levenberg-Marquardt), the focal length kept unless it is free."""
    left = seen.left(model, guesses)
    cost, damping = costs(left, width), np.full(len(guesses), 1e-3)
    for _ in range(_MOST_ROUNDS):
        weight = (1 + (left**2).sum(-1) / width**2) ** -2.0
        slopes = seen.slopes(model, guesses, free)
        g, n, k, d = slopes.shape
        flat = slopes.reshape(g, n * k, d)
        pulled = flat * np.repeat(weight, k, axis=1)[..., None]
        A, pull = pulled.swapaxes(1, 2) @ flat, (pulled * left.reshape(g, n * k, 1)).sum(1)
        A[:, range(d), range(d)] *= 1 + damping[:, None]
        A[:, range(d), range(d)] += 1e-9
        tried = guesses.moved(np.clip(-np.linalg.solve(A, pull[..., None])[..., 0], -0.5, 0.5))
        left_then = seen.left(model, tried)
        cost_then = costs(left_then, width)
        better = cost_then < cost
        has_settled = (cost - cost_then <= _SETTLED * cost)[better].all() and bool(better.any())
        guesses = _chosen(better, tried, guesses)
        left, cost = np.where(better[:, None, None], left_then, left), np.minimum(cost, cost_then)
        damping = np.where(better, damping / 10, damping * 10)
        if has_settled:
            break
    return guesses


def _chosen(is_first: Bool[NDArray, " g"], first: Guesses, second: Guesses) -> Guesses:
    pick = is_first[:, None]
    return Guesses(
        np.where(is_first, first.f, second.f),
        np.where(pick[..., None], first.R, second.R),
        np.where(pick, first.c, second.c),
    )


def best_of(seen: Seen, model: Model, families: list[Guesses], width: float) -> Guesses:
    """For each focal length, the guess of the family that costs least."""
    cost = np.stack([costs(seen.left(model, family), width) for family in families])
    num = len(families[0])
    return Guesses.join(families)[cost.argmin(0) * num + np.arange(num)]


def _cross_matrices(v: Float[NDArray, "g 3"]) -> Float[NDArray, "g 3 3"]:
    x, y, z = v.T
    o = np.zeros_like(x)
    return np.stack([np.stack([o, -z, y], -1), np.stack([z, o, -x], -1), np.stack([-y, x, o], -1)], 1)


def _bases(v: Float[NDArray, "g 3"]) -> Float[NDArray, "g 3 2"]:
    """Two unit vectors across each v."""
    one = np.cross(v, np.eye(3)[np.abs(v).argmin(1)])
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    return np.stack([one, np.cross(v, one)], -1)
