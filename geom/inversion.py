"""From a relative pose back to actions: the planar part of a pose, and every short sequence that reaches it.

A level pose is the complex number w = z + i x (ahead, right) and a heading. After a heading t a move ahead
adds e^(it), a move to the right i e^(it); so a sequence of at most three actions is solved in closed form.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from geom import so3
from geom.actions import Action, ActionSequence, PlanarPose
from geom.se3 import SE3

AXES = ("z", "x", "turn")
_MOST_ACTIONS = 3
_DEFAULT_MAX_M = 6.0


class NotPlanarError(ValueError):
    """The pose pitches, rolls or lifts too much to be spoken as actions."""


@dataclass(frozen=True)
class PlanarMotion:
    """A pose as move, move, turn on a grid, and what that leaves unsaid."""

    actions: ActionSequence
    """At most three: z move, x move, turn; what rounds to zero is left out."""
    pitch_deg: float
    """Positive up."""
    roll_deg: float
    """Positive to the right (clockwise)."""
    lift_m: float
    """Positive up."""
    T_planar_after: SE3
    """The residual: T_before_after = actions.pose() @ T_planar_after."""


@dataclass(frozen=True)
class _Grid:
    """Which sizes an action may have: whole multiples of a step up to a largest, in signed steps."""

    m: float
    deg: float
    max_m: float
    max_deg: float
    tol_m: float
    tol_deg: float

    def moves(self, value: complex | float) -> Iterator[int]:
        """Yield the grid size nearest to a signed distance, if it is one."""
        steps = round(complex(value).real / self.m)
        if 0 < abs(steps) <= self._most_moves:
            yield steps

    def all_moves(self) -> Iterator[int]:
        """Yield every size a move may have."""
        return (s for s in range(-self._most_moves, self._most_moves + 1) if s)

    def turns(self, angle_deg: float) -> Iterator[int]:
        """Yield the grid sizes, modulo 360, of a turn: 170 is also -190 where so large a turn is allowed."""
        whole = round(360 / self.deg)
        first = round(angle_deg / self.deg) % whole
        laps = math.floor(self.max_deg / 360) + 2
        for steps in (first + whole * lap for lap in range(-laps, laps)):
            if 0 < abs(steps) * self.deg <= self.max_deg + 1e-9:
                yield steps

    def action(self, axis: str, steps: int) -> Action:
        """Return an action of so many signed steps, rounded so that 3 steps of 0.1 m are 0.3 m."""
        return Action.of(axis, round(steps * (self.deg if axis == "turn" else self.m), 9))

    @property
    def _most_moves(self) -> int:
        return math.floor(self.max_m / self.m + 1e-9)


def tilt_and_lift(T_before_after: SE3) -> tuple[float, float, float]:
    """Return (pitch degrees up, roll degrees to the right, lift metres up) of an unbatched relative pose.

    From R = Ry(turn) Rx(pitch) Rz(roll) in camera axes.
    """
    R, t = T_before_after.R.double(), T_before_after.t.double()
    pitch = math.asin(max(-1.0, min(1.0, -float(R[1, 2]))))
    roll = math.atan2(float(R[1, 0]), float(R[1, 1]))
    return math.degrees(pitch), math.degrees(roll), -float(t[1])


def planar_decomposition(
    T_before_after: SE3,
    *,
    step_m: float = 0.01,
    step_deg: float = 1.0,
    max_tilt_deg: float = 2.0,
    max_lift_m: float = 0.03,
) -> PlanarMotion:
    """Write a nearly level pose as a z move, an x move and a turn, rounded, and keep the residual.

    The moves are along the axes of the first camera; the heading is that of the optical axis seen from above.

    Args:
        T_before_after: unbatched relative pose, metres.
        step_m: distances are rounded to multiples of this, metres.
        step_deg: the turn is rounded to multiples of this, degrees.
        max_tilt_deg: largest |pitch| and |roll|, degrees.
        max_lift_m: largest |lift|, metres.

    Raises:
        NotPlanarError: (a ValueError) if pitch, roll or lift is larger; its text names each.
        ValueError: if a step is not > 0.

    >>> from geom.actions import parse_actions
    >>> planar_decomposition(parse_actions("TL_30; FWD_1").pose()).actions.text()
    'move forward 0.87 meters; move left 0.5 meters; turn left 30 degrees'
    """
    if not (step_m > 0 and step_deg > 0):
        raise ValueError(f"steps must be > 0, got {step_m} m and {step_deg} deg; use for example 0.01 and 1")
    pitch_deg, roll_deg, lift_m = _check_planar(T_before_after, max_tilt_deg, max_lift_m)
    pose = level_pose(T_before_after)
    sizes = (("z", pose.z, step_m), ("x", pose.x, step_m), ("turn", pose.turn_deg, step_deg))
    rounded = [(axis, round(round(value / step) * step, 9)) for axis, value, step in sizes]
    actions = ActionSequence(tuple(Action.of(axis, value) for axis, value in rounded if value))
    T_planar_after = actions.pose().to(T_before_after.R).inverse() @ T_before_after
    return PlanarMotion(actions, pitch_deg, roll_deg, lift_m, T_planar_after)


def shortest_sequences(
    T_before_after: SE3,
    *,
    grid_m: float = 0.1,
    grid_deg: float = 5.0,
    max_actions: int = 3,
    num_actions: int | None = None,
    max_m: float | None = None,
    max_deg: float = 180.0,
    tol_m: float = 1e-5,
    tol_deg: float = 1e-3,
    max_tilt_deg: float = 2.0,
    max_lift_m: float = 0.03,
) -> tuple[ActionSequence, ...]:
    """Return every action sequence of one length on a grid that reaches a pose: all of it, and nothing else.

    Neighbouring actions have different axes (z, x, turn), sizes are whole multiples of the grid, above zero,
    and at most max_m or max_deg. Angles count modulo 360, so a half turn has two spellings. Only the bound
    keeps families with a free split (forward a, left b, forward c - a) finite; no shortest sequence has one.

    Args:
        T_before_after: unbatched relative pose, metres.
        grid_m: moves are multiples of this, metres.
        grid_deg: turns are multiples of this, degrees; must divide 360.
        max_actions: longest sequence tried, 0 to 3.
        num_actions: exactly this many actions instead of the fewest possible, 0 to 3.
        max_m: largest move; 6 m, or the pose's |z| + |x| + grid_m where that is more, unless given.
        max_deg: largest turn, degrees.
        tol_m: how near a sequence must come, metres.
        tol_deg: the same for the heading, degrees.
        max_tilt_deg: largest |pitch| and |roll| of a pose that counts as level, degrees.
        max_lift_m: largest |lift|, metres.

    Returns:
        The sequences, in a fixed order; one empty sequence for the identity; none if off the grid.

    Raises:
        NotPlanarError: (a ValueError) if the pose is not level.
        ValueError: if a count is not 0 to 3, grid_deg does not divide 360, or a tolerance is so wide that two
            grid sizes could both pass.

    >>> from geom.actions import parse_actions
    >>> [s.text() for s in shortest_sequences(parse_actions("LEFT_0.3; FWD_0.5").pose())]
    ['move forward 0.5 meters; move left 0.3 meters', 'move left 0.3 meters; move forward 0.5 meters']
    """
    _check_search(grid_m, grid_deg, tol_m, tol_deg, max_actions if num_actions is None else num_actions)
    _check_planar(T_before_after, max_tilt_deg, max_lift_m)
    pose = level_pose(T_before_after)
    largest = max(_DEFAULT_MAX_M, abs(pose.z) + abs(pose.x) + grid_m) if max_m is None else max_m
    grid = _Grid(grid_m, grid_deg, largest, max_deg, tol_m, tol_deg)
    for n in range(max_actions + 1) if num_actions is None else (num_actions,):
        if found := _sequences(pose, n, grid):
            return found
    return ()


def _check_search(grid_m: float, grid_deg: float, tol_m: float, tol_deg: float, count: int) -> None:
    if not 0 <= count <= _MOST_ACTIONS:
        raise ValueError(f"the number of actions must be 0 to 3, got {count}; longer ones have no closed form here")
    if not (grid_m > 0 and grid_deg > 0):
        raise ValueError(f"the grid must be > 0, got {grid_m} m and {grid_deg} deg; use for example 0.1 and 5")
    if abs(math.remainder(360.0, grid_deg)) > 1e-9:
        raise ValueError(f"grid_deg must divide 360, got {grid_deg}; headings modulo 360 would leave the grid")
    # Distances follow from the pose divided by a heading's sine or cosine; the smallest of these counts.
    nearest_deg = min(grid_deg, 90.0) if abs(math.remainder(90.0, grid_deg)) < 1e-9 else grid_deg / 4
    widest_m = 0.25 * grid_m * math.sin(math.radians(nearest_deg))
    if not (0 < tol_m <= widest_m and 0 < tol_deg <= 0.25 * grid_deg):
        limits = f"{widest_m:.3g} m and {0.25 * grid_deg:.3g} deg"
        raise ValueError(
            f"tolerances must be > 0 and at most {limits} on this grid, got {tol_m} m and {tol_deg} deg;"
            " round a measured pose with planar_decomposition first"
        )


def _check_planar(T_before_after: SE3, max_tilt_deg: float, max_lift_m: float) -> tuple[float, float, float]:
    _check_pose(T_before_after)
    pitch_deg, roll_deg, lift_m = tilt_and_lift(T_before_after)
    if max(abs(pitch_deg), abs(roll_deg)) > max_tilt_deg or abs(lift_m) > max_lift_m:
        raise NotPlanarError(
            f"the motion must be level within {max_tilt_deg} deg and {max_lift_m} m, got pitch"
            f" {pitch_deg:.2f} deg, roll {roll_deg:.2f} deg, lift {lift_m:.3f} m;"
            " is it hand-held, or are the axes not x right, y down?"
        )
    return pitch_deg, roll_deg, lift_m


def _check_pose(T_before_after: SE3) -> None:
    if T_before_after.shape:
        raise ValueError(f"one unbatched pose is needed, got batch {tuple(T_before_after.shape)}; index it first")
    if not bool(T_before_after.R.isfinite().all() and T_before_after.t.isfinite().all()):
        raise ValueError("the pose must be finite, got NaN or inf; was a pose that failed left in?")


def level_pose(T_before_after: SE3) -> PlanarPose:
    """The level part of a pose: its pitch, roll and lift are left out.

    Args:
        T_before_after: unbatched pose of the second camera in the first, metres.

    Raises:
        ValueError: if it is a batch, or not finite.
    """
    _check_pose(T_before_after)
    R, t = T_before_after.R.double(), T_before_after.t.double()
    turn_deg = math.degrees(so3.heading(R))
    return PlanarPose(float(t[2]), float(t[0]), turn_deg)


def _sequences(pose: PlanarPose, n: int, grid: _Grid) -> tuple[ActionSequence, ...]:
    """Return the sequences of exactly n actions, each checked by where it leads."""
    words = [w for w in product(AXES, repeat=n) if all(a != b for a, b in zip(w, w[1:], strict=False))]
    found = []
    for word in words:
        for sizes in sorted(set(_candidates(word, pose, grid))):
            actions = ActionSequence(tuple(grid.action(axis, s) for axis, s in zip(word, sizes, strict=True)))
            if _reaches(actions, pose, grid):
                found.append(actions)
    return tuple(found)


def _reaches(actions: ActionSequence, pose: PlanarPose, grid: _Grid) -> bool:
    end = actions.planar()
    is_near = math.hypot(end.z - pose.z, end.x - pose.x) <= grid.tol_m
    return is_near and abs(math.remainder(end.turn_deg - pose.turn_deg, 360.0)) <= grid.tol_deg


def _candidates(word: tuple[str, ...], pose: PlanarPose, grid: _Grid) -> Iterator[tuple[int, ...]]:
    """Yield signed grid steps, one per action, among them every solution; the caller checks each."""
    w = complex(pose.z, pose.x)
    turns = [i for i, axis in enumerate(word) if axis == "turn"]
    if len(turns) == 2:
        yield from _turn_move_turn(word[1], w, pose.turn_deg, grid)
        return
    heading = math.radians(round(pose.turn_deg / grid.deg) * grid.deg) if turns else 0.0
    directions = [
        _direction(axis) * (cmath.rect(1, heading) if turns and i > turns[0] else 1)
        for i, axis in enumerate(word)
        if axis != "turn"
    ]
    for moves in _moves(directions, w, grid):
        if not turns:
            yield moves
        for steps in grid.turns(pose.turn_deg) if turns else ():
            yield (*moves[: turns[0]], steps, *moves[turns[0] :])


def _direction(axis: str) -> complex:
    return 1 + 0j if axis == "z" else 1j


def _turn_move_turn(axis: str, w: complex, turn_deg: float, grid: _Grid) -> Iterator[tuple[int, ...]]:
    """Solve e^(ia) * move = w, for a move of either sign; the second turn makes up the heading."""
    for sign in (1, -1):
        first_deg = math.degrees(cmath.phase(w / (sign * _direction(axis)))) if w else 0.0
        first_deg = round(first_deg / grid.deg) * grid.deg
        second_deg = turn_deg - first_deg
        yield from product(grid.turns(first_deg), grid.moves(sign * abs(w)), grid.turns(second_deg))


def _moves(directions: list[complex], w: complex, grid: _Grid) -> Iterator[tuple[int, ...]]:
    """Yield the moves along given directions, at most three, that add up to w."""
    if len(directions) == 0:
        yield ()
    elif len(directions) == 1:
        yield from ((s,) for s in grid.moves(w / directions[0]))
    elif len(directions) == 2:
        yield from _two_moves(directions[0], directions[1], w, grid)
    else:
        # Without a turn the third direction is the first again: a free split.
        for first in grid.all_moves():
            rest = w - first * grid.m * directions[0]
            yield from ((first, *tail) for tail in _two_moves(directions[1], directions[2], rest, grid))


def _two_moves(d0: complex, d1: complex, w: complex, grid: _Grid) -> Iterator[tuple[int, int]]:
    """Solve a d0 + b d1 = w by Cramer's rule; parallel directions leave a free split."""
    cross = (d0.conjugate() * d1).imag
    if abs(cross) > 1e-9:
        a, b = (w.conjugate() * d1).imag / cross, (d0.conjugate() * w).imag / cross
        yield from product(grid.moves(a), grid.moves(b))
        return
    for first in grid.all_moves():
        yield from ((first, b) for b in grid.moves((w - first * grid.m * d0) / d1))
