"""Tasks about the camera's own motion: A1 distance, A2 orientation, A3 several steps, A4 is a claim true."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from geom.actions import ActionSequence, same_motion
from geom.inversion import shortest_sequences
from synth.answers import ClaimAnswer, MotionAnswer
from synth.case import FINE_GRID_DEG, FINE_GRID_M, GRID_DEG, GRID_M, Case, DoesNotApply, LeftOut, Question, balanced

MIN_DISPLACEMENT = 0.025
"""A false claim displaces the picture against the true motion by at least this share of its width."""

MAX_EQUIVALENTS = 12
"""With more sequences than this that end at one pose, asking for the sequence says too little."""

_GRID_TOLERANCE = 1e-6


def ask_distance(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """A1: which way, and how far, along one line."""
    return _single(case, "A1", variant, turn=False)


def ask_orientation(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """A2: which way, and by what angle, on the spot."""
    return _single(case, "A2", variant, turn=True)


def _single(case: Case, task_type: str, variant: str, *, turn: bool) -> Question:
    if len(case.actions) != 1 or case.actions[0].kind.is_turn != turn:
        raise DoesNotApply(f"asks about one {'turn' if turn else 'move'}")
    return Question(task_type, variant, {"num_actions": 1}, motion_answer(case.actions))


def ask_sequence(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """A3: the ordered actions, where there are two or three."""
    if len(case.actions) not in (2, 3):
        raise DoesNotApply("asks about two or three actions")
    return Question("A3", variant, {"num_actions": len(case.actions)}, motion_answer(case.actions))


@lru_cache(maxsize=256)
def motion_answer(actions: ActionSequence) -> MotionAnswer:
    """The answer that names these actions, with all others of the same number that end at the same pose.

    Raises:
        LeftOut: if too many do, or the motion is off the grid of the question.
    """
    grid_m, grid_deg = grid_of(actions)
    found = shortest_sequences(actions.pose(), grid_m=grid_m, grid_deg=grid_deg, num_actions=len(actions))
    texts = tuple(sorted(sequence.text() for sequence in found))
    if actions.text() not in texts:
        raise LeftOut("off the grid of sizes")
    if len(texts) > MAX_EQUIVALENTS:
        raise LeftOut("too many sequences end at this pose")
    return MotionAnswer(actions.text(), texts)


def grid_of(actions: ActionSequence) -> tuple[float, float]:
    """The grid that a motion's sizes lie on, metres and degrees: the coarse one, or else the fine one for all."""
    units = (GRID_DEG if action.kind.is_turn else GRID_M for action in actions)
    is_coarse = all(_is_whole(action.amount / unit) for action, unit in zip(actions, units, strict=True))
    return (GRID_M, GRID_DEG) if is_coarse else (FINE_GRID_M, FINE_GRID_DEG)


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) <= _GRID_TOLERANCE


def ask_claim(case: Case, rng: np.random.Generator, variant: str, nth: int = 0) -> Question:
    """A4: is a quoted motion the true one? False claims look different, and come from where true ones come from.

    One false claim is proposed; if it cannot be used, the true one is not asked either. Proposing again until one
    fits would make some claims likelier false than true, and their text would tell (`synth.presets.Preset`).
    """
    true = ("true", case.actions, 0.0)
    is_true, chosen = balanced(
        rng, true, _false_claim(case, rng), "the false claim drawn is not possible or looks too alike"
    )
    reason, claim, displacement = chosen
    margins = {"reason": reason, "displacement": displacement, "claim": claim.text()}
    return Question("A4", variant, {"claim": claim.claim()}, ClaimAnswer(is_true), margins=margins)


def _false_claim(case: Case, rng: np.random.Generator) -> tuple[str, ActionSequence, float] | None:
    proposal = case.claims(rng)
    if proposal is None or same_motion(proposal[1], case.actions):
        return None
    displacement = case.displacement(proposal[1].pose())
    return (*proposal, displacement) if displacement >= MIN_DISPLACEMENT else None
