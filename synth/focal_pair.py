"""What one pair of pictures says about the focal length, and how sure some pairs are together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from synth.focal_fit import FREEDOM, Guesses, Model, Seen, charged, costs, explained, fitted
from synth.focal_starts import motions, turns
from synth.two_view import MIN_INLIERS, MIN_SHARE
from synth.two_view_fit import WIDTH, Array, blocks_of, noise_of

INFLATION = 1.6
"""Of each standard deviation, as in `synth.two_view`."""

SOFT = 1.5
"""Residuals beyond this many times the noise weigh less than by their square."""

_OFF_PX: dict[Model, float] = {"turn": 0.1, "motion": 0.5}
"""By how much the matches of a part of a picture may all be off. A motion bends to what is off with its direction, and
is trusted less: so much was needed in simulated rooms for its errors to be as large as their standard deviation."""
_BLIND_PX = 0.3
"""Parallax that is no larger than this is none: followed points drift by as much along an edge."""
_MOST_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Told:
    """One pair's best."""

    model: Model
    seen: Seen
    """What its own best guess explains."""
    noise: float
    """Pixels."""
    own: Guesses
    """The best of all: one guess."""
    best: Guesses
    """The best of each focal length."""
    excess: float = 1.0
    """By how much the variance of log f exceeds that of independent noise."""

    def costs(self, guesses: Guesses, px: float) -> Float[NDArray, " g"]:
        """Roughly in squares of a standard deviation of log f, from some level on."""
        return costs(self.seen.left(self.model, guesses), px) / (self.noise**2 * self.excess)

    def whitened(self, guess: Guesses) -> Float[NDArray, " m"]:
        """Residuals of one guess in standard deviations of the noise."""
        return self.seen.left(self.model, guess).ravel() / self.noise

    @property
    def block(self) -> NDArray[np.int64]:
        """The part of the picture that each of the `whitened` residuals belongs to."""
        return np.repeat(blocks_of(self.seen.a), 2 if self.model == "turn" else 1)


def told(seen: Seen, f: Float[NDArray, " g"], px: float) -> Told | None:
    """What a pair says, with the best motion for each of these rising focal lengths; None if nothing fits enough."""
    turned = turns(seen, f, px)
    ways: list[tuple[Model, Guesses | None]] = [("turn", turned), ("motion", motions(seen, f, turned, px))]
    found = [one for model, best in ways if best is not None and (one := _settled(seen, model, best, px))]
    if not found:
        return None
    best = found[0] if len(found) == 1 or _prefers_turn(seen, *found) else found[1]
    if len(best.seen) < max(MIN_INLIERS, MIN_SHARE * len(seen)):
        return None
    return replace(best, excess=variance([best], [best.own])[1])


def _settled(seen: Seen, model: Model, best: Guesses, px: float) -> Told | None:
    """From the best of the focal lengths on, until noise and inliers have settled; None if they become too few."""
    guess, limit, noise = best[[int(charged(seen, model, best, px).argmin())]], px, px
    for _ in range(_MOST_ROUNDS):
        guess = fitted(seen, model, guess, limit, free=True)
        inliers = explained(seen, model, guess, limit)[0]
        if inliers.sum() < MIN_INLIERS:
            return None
        noise = noise_of(seen[inliers].left(model, guess)[0], FREEDOM[model] + 1)
        limit = min(px, WIDTH * noise)
    some = seen[explained(seen, model, guess, limit)[0]]
    if len(some) < MIN_INLIERS:
        return None
    return Told(model, some, noise, guess, fitted(some, model, best, px, free=False))


def _prefers_turn(seen: Seen, turn: Told, motion: Told) -> bool:
    """Whether a turn alone fits as many matches, or else has the lower GRIC (Torr, 1998) on those of the motion.

    As in `synth.two_view`, with the focal length free in both, and parallax below _BLIND_PX not looked at.
    """
    n = len(motion.seen)
    noise = max(motion.noise * (1 + 1.7 / math.sqrt(n)), _BLIND_PX)
    turn_fits, motion_fits = (explained(seen, one.model, one.own, WIDTH * noise).sum() for one in (turn, motion))
    if turn_fits >= motion_fits:
        return True
    scores = []
    for one, dimension in ((turn, 2), (motion, 3)):
        squared = (motion.seen.left(one.model, one.own)[0] ** 2).sum(1) / noise**2
        least = np.minimum(squared, 2 * (4 - dimension)).sum()
        scores.append(least + math.log(4) * dimension * n + math.log(4 * n) * (FREEDOM[one.model] + 1))
    return bool(scores[0] <= scores[1])


# --- how sure


def slopes_of(pairs: Sequence[Told], guesses: Sequence[Guesses]) -> Float[NDArray, "m d"]:
    """Of all `whitened` residuals, by log f first and then by each pair's own motion."""
    blocks = []
    for one, guess in zip(pairs, guesses, strict=True):
        slopes = one.seen.slopes(one.model, guess, free=True) / one.noise
        blocks.append(slopes.reshape(-1, slopes.shape[-1]))
    widths = [block.shape[1] - 1 for block in blocks]
    found = np.zeros((sum(map(len, blocks)), 1 + sum(widths)))
    row, column = 0, 1
    for block, width in zip(blocks, widths, strict=True):
        rows = slice(row, row + len(block))
        found[rows, 0], found[rows, column : column + width] = block[:, -1], block[:, :-1]
        row, column = row + len(block), column + width
    return found


def variance(pairs: Sequence[Told], guesses: Sequence[Guesses]) -> tuple[float, float]:
    """Variance of log f, and by how much it exceeds that of independent noise of the size that was found.

    The largest of three: of independent errors; of errors that go together within blocks of a picture, as
    `synth.two_view_fit.settle` has it; and of blocks that are each off by _OFF_PX. What the pictures leave open has a
    variance of 1, which a prior of that size gives to each number.
    """
    left = np.concatenate([one.whitened(guess) for one, guess in zip(pairs, guesses, strict=True)])
    off = np.concatenate([np.full(len(one.block), _OFF_PX[one.model] / one.noise) for one in pairs])
    label = np.concatenate([one.block + 1000 * i for i, one in enumerate(pairs)])
    slopes, weight = slopes_of(pairs, guesses), 1 / np.sqrt(1 + (left / SOFT) ** 2)
    prior = np.eye(slopes.shape[1])
    known = (slopes * weight[:, None]).T @ slopes
    spread = np.linalg.inv(known + prior)
    alone = known * float((weight * left**2).sum()) / max(left.size - len(prior), 1)
    together = _summed(slopes, weight * left, label)
    together *= (num := len(np.unique(label))) / max(num - len(prior), 1)
    shifted = _summed(slopes, weight * off, label)
    largest = max(float((spread @ (pull + prior) @ spread)[0, 0]) for pull in (alone, together, shifted))
    return INFLATION**2 * largest, INFLATION**2 * largest / float(spread[0, 0])


def _summed(slopes: Array, by: Array, label: NDArray[np.int64]) -> Float[NDArray, "d d"]:
    """Products of the sums that pull within each block."""
    pulls = slopes * by[:, None]
    sums = np.stack([pulls[label == one].sum(0) for one in np.unique(label)])
    return sums.T @ sums
