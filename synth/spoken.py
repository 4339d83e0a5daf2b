"""Which pairs of frames of a clip become transitions, and what the poses say about the motion between them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from geom.actions import Action, ActionSequence
from geom.inversion import planar_decomposition, tilt_and_lift
from geom.se3 import SE3
from synth.source import Clip

NEGLIGIBLE_M, NEGLIGIBLE_DEG = 0.02, 1.0
"""A measured motion may carry so much beside its main axis and still be said to be along it alone."""

NEGLIGIBLE_SHARE = 0.2
"""So much of the main move, at most, may a second move be to go unsaid."""

_MAIN_M, _MAIN_DEG = 0.2, 10.0
"""Moves and turns of this size or more let a negligible other axis go unsaid."""

MAX_TILT_DEG, MAX_LIFT_M = 2.0, 0.03
"""Pitch and roll, and lift, up to which a motion is still said to be planar, unless others are asked for."""

_STILL = 1e-4
"""Share of the clip's extent below which a camera without a known scale counts as turning in place."""

_FINEST = 1e-5
"""The smallest step that words can tell, in the unit of the poses."""


class Unspoken(Exception):
    """Why a motion cannot be said in actions; the text is the cause that is counted."""


@dataclass(frozen=True)
class Limits:
    """How far a motion may be from planar: degrees of pitch and of roll, metres of lift.

    Raises:
        ValueError: if a limit is below zero, or a tilt is 45 degrees or more; the field is named first.
    """

    max_tilt_deg: float = MAX_TILT_DEG
    max_lift_m: float = MAX_LIFT_M

    def __post_init__(self) -> None:
        if not 0 <= self.max_tilt_deg < 45:
            raise ValueError(f"max_tilt_deg must be 0 to 45 degrees, got {self.max_tilt_deg}")
        if not 0 <= self.max_lift_m < math.inf:
            raise ValueError(f"max_lift_m must be 0 m or more, got {self.max_lift_m}")


@dataclass(frozen=True)
class Spoken:
    """A motion in words, and what the words leave out."""

    actions: ActionSequence
    residual: dict[str, Any]


def frame_pairs(clip: Clip, frames: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Pairs of frames that may become transitions.

    A clip that was commanded goes from its first frame, to its last before all others; a recorded sequence from
    every frame to every other.

    Args:
        frames: those that may be used, in order.
        most: no more are wanted of a clip that was commanded.
    """
    if clip.is_commanded:
        later = frames[:0:-1]
        count = min(most, len(later))
        yield from ((frames[0], later[n * len(later) // count]) for n in range(count))
        return
    yield from ((i, j) for i in frames for j in frames if i != j)


def chosen_frames(clip: Clip, most: int) -> list[int]:
    """At most so many frames of a clip, evenly, with its first and last and, while there is room, its key frames."""
    count = len(clip.frames)
    if count <= most:
        return list(range(count))
    kept = {0, count - 1, *clip.key_frames[: most - 2]}
    rest = [n for n in np.linspace(0, count - 1, most).round().astype(int).tolist() if n not in kept]
    return sorted(kept | set(rest[: most - len(kept)]))


def speak(clip: Clip, before: int, after: int, limits: Limits = Limits()) -> Spoken:
    """Say the motion between two frames: step by step where actions begin and end between them, else as one.

    Raises:
        Unspoken: if it is not planar, or there is none.
    """
    T_before_after = _between(clip, before, after)
    keys = [k for k in clip.key_frames if before < k < after]
    if clip.is_commanded:
        steps = [_planar(clip, _between(clip, i, j), limits) for i, j in pairwise([before, *keys, after])]
        if clip.is_measured:
            steps = [_main_axis(step, small_unit(clip)).actions for step in steps]
        actions = ActionSequence(tuple(action for step in steps for action in step))
    else:
        actions = _main_axis(_planar(clip, T_before_after, limits), small_unit(clip))
    if not actions:
        raise Unspoken("the camera stands still")
    T_planar_after = actions.pose().inverse() @ T_before_after
    pitch_deg, roll_deg, lift_m = tilt_and_lift(T_before_after)
    residual = {"pitch_deg": pitch_deg, "roll_deg": roll_deg, "lift": lift_m}
    return Spoken(actions, residual | {"T_planar_after": T_planar_after.matrix().tolist()})


def _between(clip: Clip, before: int, after: int) -> SE3:
    return clip.frames[before].T_world_cam.inverse() @ clip.frames[after].T_world_cam


def _planar(clip: Clip, T_before_after: SE3, limits: Limits) -> tuple[Action, ...]:
    """The actions of one step; without a scale what is small is small beside the whole path."""
    extent = 1.0 if clip.scale.has_metres else path_extent(clip)
    if not clip.scale.has_metres and float(T_before_after.t.norm()) <= _STILL * extent:
        T_before_after = SE3(T_before_after.R, T_before_after.t * 0)
    pitch_deg, roll_deg, lift = tilt_and_lift(T_before_after)
    most = {"pitch": limits.max_tilt_deg, "roll": limits.max_tilt_deg, "lift": limits.max_lift_m * extent}
    sizes = {"pitch": pitch_deg, "roll": roll_deg, "lift": lift}
    if too_large := [axis for axis, size in sizes.items() if not abs(size) <= most[axis]]:
        # Without the sizes, so that equal causes count together.
        raise Unspoken(f"not_planar: too much {' and '.join(too_large)}")
    step = _step(small_unit(clip))
    if step < _FINEST and float(T_before_after.t.norm()) > 0:
        raise Unspoken("the whole path is too short in the unit of its poses to be said")
    motion = planar_decomposition(
        T_before_after, step_m=step, max_tilt_deg=limits.max_tilt_deg, max_lift_m=most["lift"]
    )
    return motion.actions.actions


def small_unit(clip: Clip) -> float:
    """What a metre is to words: 1, or the whole path where that is shorter and its unit may be any length."""
    return 1.0 if clip.scale.has_metres else min(1.0, path_extent(clip) or 1.0)


def _step(unit: float) -> float:
    """Moves are rounded to a hundredth of a unit, or of the power of ten below it, so that the words are short."""
    return 0.01 * 10.0 ** math.floor(math.log10(unit))


def path_extent(clip: Clip) -> float:
    """Largest distance of a frame of the clip from its first, in the unit of its poses."""
    centers = SE3.stack([frame.T_world_cam for frame in clip.frames]).t
    return float((centers - centers[0]).norm(dim=-1).max())


def _main_axis(actions: tuple[Action, ...], unit: float) -> ActionSequence:
    """Leave out what is negligible beside the rest: no measured motion is along one axis alone."""
    moves = [action.amount for action in actions if not action.kind.is_turn]
    turn = next((action.amount for action in actions if action.kind.is_turn), 0.0)
    move = max(moves, default=0.0)
    return ActionSequence(tuple(action for action in actions if not _is_negligible(action, move, turn, unit)))


def _is_negligible(action: Action, move: float, turn: float, unit: float) -> bool:
    least = NEGLIGIBLE_M * unit
    if action.kind.is_turn:
        return action.amount <= NEGLIGIBLE_DEG and move >= _MAIN_M * unit
    if action.amount > least:
        return False
    return action.amount <= NEGLIGIBLE_SHARE * move or (turn >= _MAIN_DEG and move <= least)
