"""Which way a motion goes, in the words of commands, and whether what was executed goes where it was told to.

World models are steered by keys that move and turn at once (W+right). Such a step is an arc: halfway through it the
camera has turned by half, and the chord from start to end points where the keys point in the axes it has then.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from geom import so3
from geom.actions import ActionKind
from geom.se3 import SE3

STILL = "still"
UNKNOWN = "unknown"

MIN_TURN_DEG = 1.0
"""A turn of less counts as none: the public pipeline of World2VLM drops such actions too."""

MIN_SHARE = math.tan(math.pi / 8)
"""Of the larger of a move's two components that the smaller must have to be named too: eight sectors of a compass."""


@dataclass(frozen=True)
class Way:
    """Directions of a motion: at most one of each pair of opposites; none of them is standing still."""

    kinds: frozenset[ActionKind]

    def __str__(self) -> str:
        in_order = sorted(self.kinds, key=lambda kind: (kind.is_turn, kind.axis != "z"))
        return "+".join(kind.value.removeprefix("shift_").replace("_", " ") for kind in in_order) or STILL


def way_of(T_before_after: SE3, *, min_turn_deg: float | int = MIN_TURN_DEG, min_m: float | int = 0.0) -> Way:
    """Return which way a motion goes; a lift, a pitch and a roll have no word.

    Args:
        T_before_after: one motion, which takes coordinates after it to those before; of its translation the length
            matters only against min_m.
        min_turn_deg, min_m: what counts as no turn and no move.

    Raises:
        ValueError: if the motion is a batch, or not finite.

    >>> from geom.actions import parse_actions
    >>> str(way_of(parse_actions("move forward 0.5 meters; turn left 30 degrees").pose()))
    'forward+turn left'
    """
    if T_before_after.shape:
        raise ValueError(f"T_before_after must be one motion, got a batch of {tuple(T_before_after.shape)}")
    R, (x, _, z) = T_before_after.R, T_before_after.t.tolist()
    if not (bool(R.isfinite().all()) and math.isfinite(x + z)):
        raise ValueError("T_before_after must be finite; a motion that is not known goes no way")
    heading = so3.heading(R)
    kinds = {ActionKind.of("turn", heading)} if abs(math.degrees(heading)) >= min_turn_deg else set()
    if math.hypot(x, z) > min_m:
        right, ahead = right_and_ahead(T_before_after)
        larger = max(abs(right), abs(ahead))
        parts = (("x", right), ("z", ahead))
        kinds |= {ActionKind.of(axis, part) for axis, part in parts if abs(part) >= MIN_SHARE * larger > 0}
    return Way(frozenset(kinds))


def right_and_ahead(T_before_after: SE3) -> tuple[float, float]:
    """Return the parts of a move in the axes of halfway through its turn about the camera's y axis, in its unit."""
    (x, _, z), half = T_before_after.t.tolist(), so3.heading(T_before_after.R) / 2
    return x * math.cos(half) - z * math.sin(half), x * math.sin(half) + z * math.cos(half)


def chord(T_before_after: SE3) -> Float[Tensor, " 3"]:
    """Return the translation in the axes that the camera has halfway through its turn.

    There it points where the camera was told to go, whether it also turned rightly or not.
    """
    return so3.exp(so3.log(T_before_after.R) / 2).mT @ T_before_after.t


def in_words(T_before_after: SE3, unit: str | None = None) -> str:
    """Say a motion with its amounts: `forward 0.52 m + turn left 12.1 deg`.

    Args:
        unit: of lengths; None where they are not known, and only the way of a move is said.

    >>> in_words(SE3.yaw_right(math.radians(-12.13)))
    'turn left 12.1 deg'
    """
    way, length = way_of(T_before_after, min_turn_deg=0.05), float(T_before_after.t.norm())
    moves = str(Way(frozenset(kind for kind in way.kinds if not kind.is_turn)))
    turns = str(Way(frozenset(kind for kind in way.kinds if kind.is_turn)))
    size = f"{moves} {length:.3g} {unit}" if unit else moves
    turned = f"{turns} {abs(math.degrees(so3.heading(T_before_after.R))):.1f} deg"
    return " + ".join(text for word, text in ((moves, size), (turns, turned)) if word != STILL) or STILL


@dataclass(frozen=True)
class Compliance:
    """How often steps went the way that was commanded; a step whose way is unknown counts as told, never as right."""

    confusion: Counter[tuple[str, str]]
    """(commanded, executed) in words, `still` and `unknown` included, to the number of steps."""
    told: Counter[ActionKind]
    """Steps that each direction was part of the command of."""
    obeyed: Counter[ActionKind]
    """Of these, those that went that way, whatever else they did."""
    added: Counter[ActionKind]
    """Steps that went a way that nobody commanded."""

    @property
    def exact(self) -> float:
        """Share of steps that went all the ways that were commanded and no other; NaN without steps."""
        right = sum(count for (told, done), count in self.confusion.items() if told == done)
        return right / total if (total := self.confusion.total()) else math.nan


def compliance(commanded: Sequence[Way], executed: Iterable[Way | None]) -> Compliance:
    """Hold executed steps against commanded ones, one by one; None is a step of which nobody knows where it went.

    Raises:
        ValueError: if they are not equally many.
    """
    done_ways = list(executed)
    if len(commanded) != len(done_ways):
        raise ValueError(f"steps must be equally many, got {len(commanded)} commanded and {len(done_ways)} executed")
    found = Compliance(Counter(), Counter(), Counter(), Counter())
    for told, done in zip(commanded, done_ways, strict=True):
        found.confusion[str(told), UNKNOWN if done is None else str(done)] += 1
        found.told.update(told.kinds)
        if done is not None:
            found.obeyed.update(told.kinds & done.kinds)
            found.added.update(done.kinds - told.kinds)
    return found
