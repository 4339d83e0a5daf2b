"""Camera actions and where they lead: moves along the camera's own axes, turns about its y, right positive.

Amounts are metres for moves and degrees for turns, as written in the text, so that text makes the round trip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from geom.action_text import ActionKind, format_number, join_claim, join_natural, parse_pairs, sentence, token
from geom.se3 import SE3

__all__ = [
    "MOST_STEPS",
    "REFERENCE_MIN_DEG",
    "REFERENCE_MIN_M",
    "Action",
    "ActionKind",
    "ActionSequence",
    "PlanarPose",
    "canonicalise",
    "check_step_count",
    "format_number",
    "micro_steps",
    "parse_actions",
    "same_motion",
]

REFERENCE_MIN_M = 0.02
"""Below this a move is dropped by the public pipeline's canonicalisation, metres."""
REFERENCE_MIN_DEG = 1.0
"""Below this a turn is dropped by the public pipeline's canonicalisation, degrees."""

MOST_STEPS = 100_000
"""More steps than this are no video, and a plan of them would fill the memory."""

_NOTHING = 1e-9
"""Sums closer to zero than this, metres or degrees, are rounding error of an exact cancellation."""


class PlanarPose(NamedTuple):
    """A level pose in the frame of the first camera: the same motion as an SE3, in plain numbers."""

    z: float
    """Metres ahead."""
    x: float
    """Metres to the right."""
    turn_deg: float
    """Degrees to the right, not wrapped."""


@dataclass(frozen=True)
class Action:
    """One camera action.

    Raises:
        ValueError: if the amount is not finite and > 0.
    """

    kind: ActionKind
    amount: float | int
    """Metres for moves, degrees for turns; always > 0, the direction is in the kind."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amount) and self.amount > 0):
            raise ValueError(
                f"an action's size must be finite and > 0, got {self.amount} for {self.kind.value};"
                " the direction is in the kind, and an action that does nothing is left out"
            )

    @staticmethod
    def of(axis: str, signed_amount: float | int) -> Action:
        """Return the action along `z`, `x` or `turn` with a signed amount (positive: ahead, right)."""
        return Action(ActionKind.of(axis, signed_amount), abs(signed_amount))

    @property
    def signed_amount(self) -> float:
        """The amount with the sign of its axis: positive ahead, to the right, and turning right."""
        return self.kind.sign * self.amount

    def pose(self) -> SE3:
        """Return T_before_after of this action, float64."""
        if self.kind.is_turn:
            return SE3.yaw_right(math.radians(self.signed_amount))
        t = [self.signed_amount, 0.0, 0.0] if self.kind.axis == "x" else [0.0, 0.0, self.signed_amount]
        return SE3.from_translation(torch.tensor(t, dtype=torch.float64))

    def mirrored(self) -> Action:
        """Return the action as seen in a mirror: left and right swapped, ahead unchanged."""
        return self if self.kind.axis == "z" else self.undone()

    def undone(self) -> Action:
        """Return the action that undoes this one."""
        return Action(self.kind.opposite, self.amount)

    def text(self, decimals: int = 6) -> str:
        """Write `move left 0.5 meters` or `turn right 30 degrees`."""
        return sentence(self.kind, self.amount, decimals)

    def token(self) -> str:
        """Write `LEFT_0.5` or `TR_30`."""
        return token(self.kind, self.amount)


@dataclass(frozen=True)
class ActionSequence:
    """Actions carried out one after the other, each in the camera's axes at that moment. May be empty.

    >>> actions = parse_actions("move forward 0.5 meters; turn left 30 degrees")
    >>> actions.tokens(), actions.claim()
    (('FWD_0.5', 'TL_30'), 'move forward 0.5 meters and turn left 30 degrees')
    >>> actions.pose().t.tolist()
    [0.0, 0.0, 0.5]
    """

    actions: tuple[Action, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))

    def __iter__(self) -> Iterator[Action]:
        return iter(self.actions)

    def __len__(self) -> int:
        return len(self.actions)

    def __getitem__(self, index: int) -> Action:
        return self.actions[index]

    def __add__(self, other: ActionSequence) -> ActionSequence:
        return ActionSequence(self.actions + other.actions)

    def pose(self) -> SE3:
        """Return T_first_last, float64."""
        T_first_here = SE3.identity()
        for action in self.actions:
            T_first_here = T_first_here @ action.pose()
        return T_first_here

    def poses(self) -> SE3:
        """Return T_first_cam before the first and after each action: batch of len + 1, the first identity."""
        poses = [SE3.identity()]
        for action in self.actions:
            poses.append(poses[-1] @ action.pose())
        return SE3.stack(poses)

    def planar(self) -> PlanarPose:
        """Return the last pose in plain numbers; the turn is the sum of the turns, not wrapped."""
        z, x, turn_deg = 0.0, 0.0, 0.0
        for action in self.actions:
            d, c, s = action.signed_amount, math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
            if action.kind.axis == "z":
                z, x = z + d * c, x + d * s
            elif action.kind.axis == "x":
                z, x = z - d * s, x + d * c
            else:
                turn_deg += d
        return PlanarPose(z, x, turn_deg)

    def mirrored(self) -> ActionSequence:
        """Return the motion as seen in a mirror: left and right swapped."""
        return ActionSequence(tuple(a.mirrored() for a in self.actions))

    def reversed_(self) -> ActionSequence:
        """Return the sequence that undoes this one: opposite actions in opposite order."""
        return ActionSequence(tuple(a.undone() for a in reversed(self.actions)))

    def text(self, decimals: int = 6) -> str:
        """Write as sentences joined by `; `, the answer form of the tasks.

        Args:
            decimals: 6, or 3 as the second public pipeline; what rounds to 0 there cannot be read back.
        """
        return "; ".join(a.text(decimals) for a in self.actions)

    def tokens(self) -> tuple[str, ...]:
        """Write as tokens: `("FWD_0.5", "TL_30")`."""
        return tuple(a.token() for a in self.actions)

    def claim(self, decimals: int = 6) -> str:
        """Write as a spoken claim: `a`, `a and b`, `a, b and c`."""
        return join_claim([a.text(decimals) for a in self.actions])

    def natural(self, decimals: int = 6) -> str:
        """Write as `First a, Then b, Next c, Finally d.`"""
        return join_natural([a.text(decimals) for a in self.actions])


def parse_actions(text: str) -> ActionSequence:
    """Read a sequence of actions, strictly, in any spelling of the public pipelines.

    Accepted are sentences (`move forward 0.5 meters`, `shift left 0.5 meters`, `turn left 30 degrees`),
    tokens (`FWD_0.5`), enum names (`turn_left 30`, `GO_LEFT 0.5`); joined by `;`, `,` or `and`; with First,
    Then, Next, Finally; after `<n> steps |`. Case does not matter. Metres and degrees only; a sentence must
    name its unit.

    Raises:
        ValueError: if an action is unknown, its size is missing, zero, negative or not finite, its unit is
            missing or wrong, or the step count is not the number of actions.

    >>> parse_actions("2 steps | TL_30; shift left 1 meter").text()
    'turn left 30 degrees; move left 1 meters'
    """
    return ActionSequence(tuple(Action(kind, amount) for kind, amount in parse_pairs(text)))


def canonicalise(actions: Iterable[Action], *, min_m: float = 0.0, min_deg: float = 0.0) -> ActionSequence:
    """Merge neighbours of one axis by signed sum, left to right; what sums to nothing disappears.

    With thresholds, an action below is dropped *before* merging, as in the public pipeline
    (REFERENCE_MIN_M, REFERENCE_MIN_DEG). That is lossy: run on per-frame steps it deletes whole motions,
    since 0.1 m in seven steps of 0.014 m each vanishes. It serves to reproduce their labels, and is off by
    default. Angles are not wrapped.

    Args:
        actions: an ActionSequence or single actions.
        min_m: moves shorter than this are dropped, metres.
        min_deg: turns smaller than this are dropped, degrees.

    >>> steps = parse_actions("; ".join(["FWD_0.0142857"] * 7))
    >>> canonicalise(steps).text(3), len(canonicalise(steps, min_m=REFERENCE_MIN_M))
    ('move forward 0.1 meters', 0)
    """
    least = {"z": max(min_m, _NOTHING), "x": max(min_m, _NOTHING), "turn": max(min_deg, _NOTHING)}
    stack: list[Action] = []
    for action in actions:
        axis = action.kind.axis
        if action.amount < least[axis]:
            continue
        is_merge = bool(stack) and stack[-1].kind.axis == axis
        # Rounded so that 0.1 + 0.2 is 0.3 and not the next float.
        total = round(action.signed_amount + (stack.pop().signed_amount if is_merge else 0.0), 9)
        if abs(total) >= least[axis]:
            stack.append(Action.of(axis, total))
    return ActionSequence(tuple(stack))


def same_motion(a: ActionSequence, b: ActionSequence, *, tol_m: float = 1e-6, tol_deg: float = 1e-6) -> bool:
    """Return whether two sequences end at the same pose, angles modulo 360.

    >>> same_motion(parse_actions("LEFT_1; FWD_2"), parse_actions("FWD_2; LEFT_1"))
    True
    """
    p, q = a.planar(), b.planar()
    is_near = math.hypot(p.z - q.z, p.x - q.x) <= tol_m
    return is_near and abs(math.remainder(p.turn_deg - q.turn_deg, 360.0)) <= tol_deg


def micro_steps(
    actions: ActionSequence, *, max_step_m: float = 0.2, max_step_deg: float = 5.0, min_num_frames: int = 2
) -> tuple[ActionSequence, ...]:
    """Split each action into the equal steps that a video shows, one group per action.

    An action of size m takes max(1, ceil(m / max_step)) steps, but at least min_num_frames - 1 (each action
    counts its first frame, which it shares with the action before). With defaults this is the SVC rule.

    Args:
        actions: any sequence.
        max_step_m: longest move per frame, metres.
        max_step_deg: largest turn per frame, degrees.
        min_num_frames: least frames per action, the shared one included.

    Raises:
        ValueError: if a step is not > 0, min_num_frames < 2, or the actions take more than MOST_STEPS steps.

    >>> [len(group) for group in micro_steps(parse_actions("FWD_0.5; TL_30"))]
    [3, 6]
    """
    if not (max_step_m > 0 and max_step_deg > 0):
        raise ValueError(
            f"steps must be > 0, got {max_step_m} m and {max_step_deg} deg; are they swapped with the action?"
        )
    if min_num_frames < 2:
        raise ValueError(f"min_num_frames must be >= 2, got {min_num_frames}; an action has a first and a last frame")
    largest = [max_step_deg if action.kind.is_turn else max_step_m for action in actions]
    # The small term keeps 0.6 / 0.2 at three steps.
    wanted = [max(a.amount / step - 1e-9, min_num_frames - 1) for a, step in zip(actions, largest, strict=True)]
    check_step_count(wanted)
    steps = zip(actions, map(math.ceil, wanted), strict=True)
    return tuple(ActionSequence((Action(a.kind, a.amount / count),) * count) for a, count in steps)


def check_step_count(wanted: Iterable[float]) -> None:
    """Refuse a motion of more steps than MOST_STEPS before they are built.

    Args:
        wanted: size over step for each action, rounded up here; may be infinite, since an action's size has no bound.

    Raises:
        ValueError: if the actions take more than MOST_STEPS steps in all.
    """
    total = sum(float(math.ceil(count)) if math.isfinite(count) else count for count in wanted)
    if total > MOST_STEPS:
        raise ValueError(f"actions may take at most {MOST_STEPS} steps, got {total:.9g}; is a size in another unit?")
