"""The eight tasks under one roof: which are asked about a case, in which words, and what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np

from synth.case import Case, DoesNotApply, LeftOut, Question
from synth.prompts import variants
from synth.tasks_motion import ask_claim, ask_distance, ask_orientation, ask_sequence
from synth.tasks_object import ask_box, ask_cause, ask_identity, ask_visibility

TASKS: dict[str, Callable[[Case, np.random.Generator, str, int], Question]] = {
    "A1": ask_distance,
    "A2": ask_orientation,
    "A3": ask_sequence,
    "A4": ask_claim,
    "D1": ask_box,
    "D2": ask_visibility,
    "D3": ask_cause,
    "D4": ask_identity,
}

MAX_QUESTIONS = 6
"""At most so many questions are asked about one transition."""

_SPARES = (("D1", 0), ("D3", 1), ("D4", 1))
"""Asked too while there is room, in another phrasing: the same object's box, then what else another object tells."""


def ask(
    case: Case,
    task_types: Iterable[str],
    seed: tuple[int, ...],
    *,
    only_open: bool = False,
    counts_unsuited: bool = False,
) -> tuple[list[Question], Counter[str]]:
    """Ask each task once about a case, then object tasks a second time, up to MAX_QUESTIONS.

    Each task draws from a stream of its own, so leaving one out changes what the others ask by no more than the room
    it leaves for second questions.

    Args:
        seed: names the case; the same seed asks the same questions.
        only_open: keep to phrasings that the published reward can score.
        counts_unsuited: count also the tasks that ask nothing about motions of this kind.

    Returns:
        questions, and how often each task was left out for which cause ("D2: ...").
    """
    questions: list[Question] = []
    left_out: Counter[str] = Counter()
    wanted = [task for task in TASKS if task in task_types]
    for task in wanted:
        try:
            questions.append(_ask_one(case, task, seed, only_open, turn=0, nth=0))
        except DoesNotApply as what:
            if counts_unsuited:
                left_out[f"{task}: {what}"] += 1
        except LeftOut as cause:
            left_out[f"{task}: {cause}"] += 1
    for task, nth in _SPARES:
        if task in wanted and len(questions) < MAX_QUESTIONS:
            with suppress(DoesNotApply, LeftOut):
                questions.append(_ask_one(case, task, seed, only_open, turn=1, nth=nth))
    return questions, left_out


def _ask_one(case: Case, task: str, seed: tuple[int, ...], only_open: bool, *, turn: int, nth: int) -> Question:
    """Ask a task in the phrasing whose turn it is, about the nth object that it suits."""
    rng = np.random.default_rng([*seed, list(TASKS).index(task)])
    names = rng.permutation(variants(task, only_open=only_open))
    if turn >= len(names):
        raise DoesNotApply
    if turn:
        rng = np.random.default_rng([*seed, list(TASKS).index(task), turn])
    try:
        question = TASKS[task](case, rng, str(names[turn]), nth)
    except LeftOut:
        _refuse_metres(case)
        raise
    _refuse_metres(case)
    return question


def _refuse_metres(case: Case) -> None:
    """Every task says the motion, in its words or its answer, and a move is said in metres."""
    scale = case.transition.traj.scale
    if not scale.is_metric and any(not action.kind.is_turn for action in case.actions):
        raise LeftOut(f"holds metres, but the scale is {scale.status}")
