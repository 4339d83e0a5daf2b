"""The words for a measured pose: of all short action sequences on a grid, the one that ends nearest to it."""

from __future__ import annotations

import math
from functools import cache, reduce
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from geom.actions import Action, ActionSequence, PlanarPose
from geom.inversion import AXES, level_pose
from geom.se3 import SE3
from synth.case import GRID_DEG, GRID_M

MOST_ACTIONS = 3
MAX_M = 6.0
"""Largest move, metres: that of the widest preset (`synth.presets`)."""
MAX_DEG = 180.0

_SAME = 1e-6
"""Squared grid steps between misses that count as equal."""
_REACHED = 2 * 0.2**2
"""Squared grid steps: a fifth of a step in place and in heading, on the usual grid 2 cm and 1 degree."""

DIRECTIONS = {"z": 1, "x": 1j}
"""Of a level pose as the complex number z + i x (`geom.inversion`)."""


class _Grid(NamedTuple):
    m: float
    deg: float
    moves: int
    """Steps of the largest move."""
    turns: int

    def most(self, axis: str) -> int:
        return self.turns if axis == "turn" else self.moves

    def amount(self, axis: str, steps: int) -> float:
        """Rounded so that 3 steps of 0.1 m are 0.3 m."""
        return round(steps * (self.deg if axis == "turn" else self.m), 9)


class _Nearest(NamedTuple):
    """A sequence and how far from the pose it ends, squared grid steps."""

    miss: float
    total: int
    """Grid steps made in all."""
    actions: ActionSequence


def nearest_sequence(
    T_before_after: SE3,
    num_actions: int | None = None,
    *,
    grid_m: float = GRID_M,
    grid_deg: float = GRID_DEG,
    max_m: float = MAX_M,
) -> ActionSequence:
    """Return the action sequence on a grid that ends nearest to a pose.

    Neighbouring actions have different axes (z, x, turn), and every size is a whole multiple of the grid above zero.
    Places and headings (modulo 360) are compared in steps of the grid, and the squares of both are added. The search
    is exhaustive: all sizes are tried but the last move and a turn at the end, whose best sizes have a closed form. Of
    sequences that end equally near, the one with fewest steps of the grid in all.

    Args:
        T_before_after: unbatched pose of the second camera in the first, metres; its pitch, roll and lift are ignored.
        num_actions: exactly so many, 1 to 3; None for the fewest that end within a fifth of a grid step in place and
            in heading, or else the number that ends nearest.
        grid_m: moves are multiples of this, metres.
        grid_deg: turns are multiples of this, degrees; must divide 360.
        max_m: largest move, metres; a pose further away is fallen short of.

    Raises:
        ValueError: if the pose is a batch or not finite, the number is not 1 to 3, or the grid is none.

    >>> from geom.actions import parse_actions
    >>> nearest_sequence(parse_actions("FWD_1.02; TL_29").pose(), 2).text()
    'move forward 1 meters; turn left 30 degrees'
    """
    pose = level_pose(T_before_after)
    _check(num_actions, grid_m, grid_deg, max_m)
    grid = _Grid(grid_m, grid_deg, round(max_m / grid_m), math.floor(MAX_DEG / grid_deg))
    if num_actions is not None:
        return _nearest_of(pose, num_actions, grid).actions
    found = [_nearest_of(pose, n, grid) for n in range(1, MOST_ACTIONS + 1)]
    return next((one for one in found if one.miss <= _REACHED), min(found, key=lambda one: one.miss)).actions


def _check(num_actions: int | None, grid_m: float, grid_deg: float, max_m: float) -> None:
    if num_actions is not None and not 1 <= num_actions <= MOST_ACTIONS:
        raise ValueError(f"the number of actions must be 1 to {MOST_ACTIONS}, or None, got {num_actions}")
    if not (0 < grid_m <= max_m and 0 < grid_deg <= MAX_DEG and abs(math.remainder(360.0, grid_deg)) < 1e-9):
        raise ValueError(
            f"grid_m must be > 0 and at most max_m, and grid_deg must divide 360, got {grid_m} m of at most {max_m} m"
            f" and {grid_deg} deg; use for example 0.1 and 5"
        )


def _nearest_of(pose: PlanarPose, num_actions: int, grid: _Grid) -> _Nearest:
    words = (w for w in product(AXES, repeat=num_actions) if all(a != b for a, b in pairwise(w)))
    return reduce(_better, (_nearest_of_word(word, pose, grid) for word in words))


def _better(one: _Nearest, other: _Nearest) -> _Nearest:
    """The nearer one; of equals the one with fewer steps, then the first."""
    if abs(one.miss - other.miss) > _SAME:
        return one if one.miss < other.miss else other
    return other if other.total < one.total else one


def _nearest_of_word(word: tuple[str, ...], pose: PlanarPose, grid: _Grid) -> _Nearest:
    """The best sizes for one order of axes."""
    sizes, miss = _candidates(word, pose, grid)
    total = np.abs(sizes).sum(1)
    near = np.flatnonzero(miss <= miss.min() + _SAME)
    best = near[total[near].argmin()]
    actions = (Action.of(axis, grid.amount(axis, int(s))) for axis, s in zip(word, sizes[best], strict=True))
    return _Nearest(float(miss[best]), int(total[best]), ActionSequence(tuple(actions)))


def _candidates(
    word: tuple[str, ...], pose: PlanarPose, grid: _Grid
) -> tuple[Int[NDArray, "n k"], Float[NDArray, " n"]]:
    """Signed steps of every action, and by how much each row misses the pose, squared steps."""
    solved = {len(word) - 1} if word[-1] == "turn" else set()
    solved |= {max((k for k, axis in enumerate(word) if axis != "turn"), default=0)}
    tried = iter(_all_sizes(tuple(grid.most(axis) for k, axis in enumerate(word) if k not in solved)))
    left: Any = complex(pose.z, pose.x) / grid.m
    heading_deg: Any = 0.0
    sizes = []
    for k, axis in enumerate(word):
        if axis == "turn":
            left_steps = _wrapped(pose.turn_deg - heading_deg) / grid.deg
            sizes.append(_whole(left_steps, grid.turns) if k in solved else next(tried))
            heading_deg = heading_deg + sizes[-1] * grid.deg
        else:
            direction = np.exp(1j * np.radians(heading_deg)) * DIRECTIONS[axis]
            sizes.append(_whole((left * np.conj(direction)).real, grid.moves) if k in solved else next(tried))
            left = left - sizes[-1] * direction
    miss = np.abs(left) ** 2 + (_wrapped(pose.turn_deg - heading_deg) / grid.deg) ** 2
    rows = np.broadcast_arrays(miss, *sizes)
    return np.stack([row.ravel() for row in rows[1:]], 1).astype(np.int64), rows[0].ravel()


@cache
def _all_sizes(most: tuple[int, ...]) -> tuple[NDArray[np.int64], ...]:
    """Every combination of sizes of actions that have at most so many steps: an array for each action."""
    return tuple(np.ix_(*(_without_zero(count) for count in most)))


def _without_zero(most: int) -> Int[NDArray, " n"]:
    return np.array([s for s in range(-most, most + 1) if s])


def _whole(steps: Any, most: int) -> Any:
    """The whole number nearest to each, but not 0, and of no larger size than `most`."""
    nearest = np.clip(np.rint(steps), -most, most)
    return np.where(nearest == 0, np.copysign(1, steps), nearest)


def _wrapped(angle_deg: Any) -> Any:
    """Angles, degrees, modulo 360, -180 to 180."""
    return angle_deg - 360 * np.rint(angle_deg / 360)
