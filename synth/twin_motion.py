"""The second implementation of camera motion, for `theodolite verify`: words to poses, and every way to say a pose.

Where `geom.inversion` solves for the sizes in closed form, this walks through all of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from synth.twin_shapes import Array

Steps = tuple[tuple[str, float], ...]

_STEP = re.compile(r"(move|turn) (forward|backward|left|right) (\d+(?:\.\d+)?) (meters|degrees)")
_MOVES = {"forward": (0, 0, 1), "backward": (0, 0, -1), "left": (-1, 0, 0), "right": (1, 0, 0)}
_TEXTS = {
    "z": ("move backward {:g} meters", "move forward {:g} meters"),
    "x": ("move left {:g} meters", "move right {:g} meters"),
    "turn": ("turn left {:g} degrees", "turn right {:g} degrees"),
}
_AHEAD = {"z": 1.0, "x": 1.0j}
_MOST_M, _MOST_DEG = 6.0, 180.0
_TOL_M, _TOL_DEG = 1e-5, 1e-3


def read_steps(text: str) -> Steps:
    """Steps of a canonical action text, for `motion_matrix`.

    Raises:
        ValueError: if a step is not in the canonical words.
    """
    steps = []
    for part in text.split("; "):
        match = _STEP.fullmatch(part)
        if match is None or (match[1] == "move") != (match[4] == "meters"):
            raise ValueError(f"an action must read `move|turn <direction> <number> meters|degrees`, got {part!r}")
        steps.append((match[2] if match[1] == "move" else f"turn_{match[2]}", float(match[3])))
    return tuple(steps)


def motion_matrix(steps: Steps) -> Array:
    """Pose after (word, amount) steps, in the first camera's frame; words are forward, left, turn_left and so on."""
    T = np.eye(4)
    for word, amount in steps:
        step = np.eye(4)
        if word in _MOVES:
            step[:3, 3] = np.array(_MOVES[word]) * amount
        else:
            # To the right is the positive sense about y, which points down.
            angle = np.deg2rad(amount) * (1 if word == "turn_right" else -1)
            step[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        T = T @ step
    return T


@lru_cache(maxsize=256)
def equal_motions(steps: Steps, grid_m: float, grid_deg: float) -> tuple[str, ...]:
    """Sorted texts of all sequences on a grid that have as many actions and end at the same pose.

    Neighbours have different axes, moves are at most 6 m or as far as the pose needs, turns at most 180 degrees.
    """
    T = motion_matrix(steps)
    w, heading = complex(T[2, 3], T[0, 3]), float(np.rad2deg(np.arctan2(T[0, 2], T[2, 2])))
    most_m = max(_MOST_M, abs(w.real) + abs(w.imag) + grid_m)
    moves, turns = _signed(grid_m, most_m), _signed(grid_deg, _MOST_DEG)
    sizes = {"z": moves, "x": moves, "turn": turns}
    found = []
    for axes in product(sizes, repeat=len(steps)):
        if all(a != b for a, b in pairwise(axes)):
            found += _sequences(axes, sizes, w, heading)
    return tuple(sorted(found))


def _signed(step: float, most: float) -> Array:
    sizes = step * np.arange(1, int(most / step + 1e-9) + 1)
    return np.concatenate([-sizes, sizes])


def _sequences(axes: tuple[str, ...], sizes: dict[str, Array], w: complex, heading: float) -> list[str]:
    """Texts along given axes that reach (w = ahead + i right, heading): all sizes but the last one's are tried."""
    tried = [grid.ravel() for grid in np.meshgrid(*(sizes[axis] for axis in axes[:-1]), indexing="ij")]
    count = len(tried[0]) if tried else 1
    place, turned = np.zeros(count, complex), np.zeros(count)
    for axis, size in zip(axes[:-1], tried, strict=True):
        if axis == "turn":
            turned = turned + size
        else:
            place = place + _AHEAD[axis] * np.exp(1j * np.deg2rad(turned)) * size
    rest = (w - place) * np.exp(-1j * np.deg2rad(turned))
    left = {"z": rest.real, "x": rest.imag, "turn": heading - turned}
    index, last = _last_sizes(axes[-1], sizes[axes[-1]], left)
    rows = zip(*(size[index].tolist() for size in tried), last.tolist(), strict=True)
    return ["; ".join(_text(axis, size) for axis, size in zip(axes, row, strict=True)) for row in rows]


def _last_sizes(axis: str, sizes: Array, left: dict[str, Array]) -> tuple[NDArray[np.intp], Array]:
    """Which tries one last action along an axis completes, and its size; a half turn may go either way."""
    is_done = [_is_zero(other, value) for other, value in left.items() if other != axis]
    tries = np.flatnonzero(np.logical_and(*is_done))
    row, size = np.nonzero(_is_zero(axis, left[axis][tries, None] - sizes))
    return tries[row], sizes[size]


def _is_zero(axis: str, value: Array) -> NDArray[np.bool_]:
    if axis == "turn":
        return np.abs((value + 180.0) % 360.0 - 180.0) <= _TOL_DEG
    return np.abs(value) <= _TOL_M


def _text(axis: str, size: float) -> str:
    return _TEXTS[axis][size > 0].format(round(abs(size), 9))
