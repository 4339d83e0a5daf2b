"""The motions between key frames, brought to one scale and refined together.

A leg is the motion between two neighbouring key frames, with the matches that fit it. Points seen in two legs tie their
lengths: both must put them equally far away from the key frame that they share, or from the one before and the one
after the camera only turned. Points are not solved for: each match counts by how far it misses its epipolar line, and
each point that ties two legs by how far its two places along these lines miss each other, both in pixels to first
order. That is bundle adjustment with the points eliminated (Indelman et al., "Incremental light bundle adjustment",
BMVC 2012), over a few dozen numbers instead of thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from synth.executed_path_scale import MAX_MISS, Leg, Tie, miss, missed
from synth.two_view_fit import SOFT, Array, angle, blocks_of, covariance

MAX_MOVED_SD = 8.0
"""Standard deviations by which a refined leg may leave its own motion without further reason."""
_STEP = 1e-6
_ANY_LENGTH = 10.0
"""Standard deviation of a length that nothing is known of, as a share of it: it fixes the unit where no leg has metres,
and weighs nothing beside ties."""


@dataclass(frozen=True, eq=False)
class Term:
    """Residuals in units of the noise."""

    legs: tuple[int, ...]
    """On which they depend."""
    left: Callable[[Sequence[Leg], Sequence[Array]], Array]
    """Of all legs, changed, and their changes."""
    block: Int[NDArray, " n"]
    """Those of one number may go together."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Legs in one unit, what ties them, and what is to become small."""

    legs: tuple[Leg, ...]
    ties: tuple[Tie, ...]

    @property
    def freedom(self) -> int:
        """Numbers by which the whole path can change."""
        return self._ends[-1]

    @property
    def _ends(self) -> list[int]:
        return list(accumulate((leg.freedom for leg in self.legs), initial=0))

    def is_free(self, k: int) -> bool:
        """Whether its matches say how a leg moves; the others keep to their own motion as far as they are sure of it.

        Depths were seen for those in metres, and say more than the matches; nothing is to be gained for turns, and for
        what has no neighbour to go with.
        """
        return not self.legs[k].is_metric and any(k in (found.before, found.after) for found in self.ties)

    def changed(self, x: Array) -> Problem:
        """All legs with motions nearby."""
        legs = tuple(leg.changed(part) for leg, part in zip(self.legs, self._parts(x), strict=True))
        return replace(self, legs=legs)

    def believes(self, refined: Problem) -> bool:
        """Whether refined motions are plausible: near these ones, or far from them with good reason.

        Two motions explain a plane equally well, and the wrong one of them is sure of itself: it does not agree with
        its neighbours about how far points are. A refinement may go far if they agree where it ends.
        """
        if any(two.c @ one.c < 0 for one, two in zip(self.legs, refined.legs, strict=True) if one.tells_distance):
            return False
        near = all(_in_sd(*both) <= MAX_MOVED_SD for both in zip(self.legs, refined.legs, strict=True))
        return near or all(miss(refined.legs, found) <= MAX_MISS for found in self.ties)

    def _parts(self, x: Array) -> list[Array]:
        return [x[start:stop] for start, stop in pairwise(self._ends)]

    def solved(self) -> tuple[Problem, Array]:
        """Return the legs that fit best by robust least squares, and the covariance of their changes."""
        from scipy.optimize import least_squares

        terms = [*(self._own(k) for k in range(len(self.legs))), *map(self._shared, self.ties)]
        slopes: Any = lambda x: self._slopes(terms, x)  # noqa: E731 (scipy's stubs know jac as a name alone)
        x = least_squares(
            lambda x: self._left(terms, x), np.zeros(self.freedom), slopes, loss="soft_l1", f_scale=SOFT, x_scale="jac",
            ftol=1e-6, xtol=1e-10, max_nfev=30,
        ).x  # fmt: skip
        left = self._left(terms, x)
        block = np.concatenate([term.block + number * 1000 for number, term in enumerate(terms)])
        return self.changed(x), covariance(left[:, None], slopes(x)[:, None], 1.0, block)

    def _own(self, k: int) -> Term:
        """What a leg's own matches say of it, or what its two views said."""
        leg = self.legs[k]
        if not self.is_free(k):
            inverse = np.linalg.inv(leg.spread(along=leg.length))
            return Term((k,), lambda legs, parts: inverse @ parts[k], np.arange(len(inverse)))
        weak = np.r_[np.zeros(3), leg.c] / leg.length**2 / _ANY_LENGTH

        def left(legs: Sequence[Leg], parts: Sequence[Array]) -> Array:
            return np.r_[legs[k].pair.epipolar(legs[k].R, legs[k].c)[:, 0] / leg.noise, weak @ parts[k]]

        return Term((k,), left, np.r_[blocks_of(leg.pair.uv_a), 999])

    def _shared(self, found: Tie) -> Term:
        """What the points of a tie say."""
        places = self.legs[found.after].pair.uv_a[found.rows_after]
        return Term((found.before, found.after), lambda legs, _: missed(legs, found), blocks_of(places))

    def _left(self, terms: Sequence[Term], x: Array) -> Array:
        legs, parts = self.changed(x).legs, self._parts(x)
        return np.concatenate([np.zeros(0), *(term.left(legs, parts) for term in terms)])

    def _slopes(self, terms: Sequence[Term], x: Array) -> Array:
        """Slopes of what is left, from differences; each term depends on few legs."""
        legs, parts, ends = list(self.changed(x).legs), self._parts(x), self._ends
        rows = [np.zeros((0, self.freedom))]
        for term in terms:
            before = term.left(legs, parts)
            rows.append(np.zeros((len(before), self.freedom)))
            for k in term.legs:
                for i, step in enumerate(np.eye(len(parts[k])) * _STEP):
                    part = parts[k] + step
                    there = [*legs[:k], self.legs[k].changed(part), *legs[k + 1 :]]
                    after = term.left(there, [*parts[:k], part, *parts[k + 1 :]])
                    rows[-1][:, ends[k] + i] = (after - before) / _STEP
        return np.concatenate(rows)

    def own_covariance(self) -> Array:
        """Return that of changes where turns and directions are the two views' own, and lengths follow from ties."""
        slopes = self._slopes([self._shared(found) for found in self.ties], np.zeros(self.freedom))
        lengths = np.zeros((self.freedom, len(self.legs)))
        spread = np.zeros((self.freedom, self.freedom))
        for k, (start, stop) in enumerate(pairwise(self._ends)):
            leg = self.legs[k]
            if self.is_free(k):
                lengths[start + 3 : stop, k] = leg.c
            spread[start:stop, start:stop] = leg.spread(along=0.0 if self.is_free(k) else leg.length)
        # Lengths make up for what turns and directions do to the ties, and for their noise.
        answer = lengths @ np.linalg.pinv(slopes @ lengths, rcond=1e-8)
        spread = spread - answer @ slopes @ spread
        return spread @ spread.T + answer @ answer.T


def _in_sd(own: Leg, refined: Leg) -> float:
    """By how many of its own standard deviations a leg has moved: the turn or the direction."""
    turn = angle(np.trace(own.R.T @ refined.R) / 2 - 0.5) / own.turn_sd
    if not own.tells_distance:
        return turn
    return max(turn, angle(own.c @ refined.c / (own.length * refined.length)) / own.direction_sd)


def slopes_of(function: Callable[[Array], Array], freedom: int) -> Array:
    """Differences of a function around 0, (values, freedom)."""
    before = function(np.zeros(freedom))
    columns = [(function(_STEP * e) - before) / _STEP for e in np.eye(freedom)]
    return np.reshape(columns, (freedom, len(before))).T
