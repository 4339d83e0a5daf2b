"""The eight tasks under one roof: which are asked about a case, in which words, and what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from synth.case import Case, DoesNotApply, LeftOut, Question
from synth.prompts import variants
from synth.tasks_motion import ask_claim, ask_distance, ask_orientation, ask_sequence
from synth.tasks_object import ask_box, ask_cause, ask_identity, ask_visibility

TASKS: dict[str, Callable[[Case, np.random.Generator, str], Question]] = {
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


def ask(
    case: Case, task_types: Iterable[str], seed: tuple[int, ...], *, only_open: bool = False
) -> tuple[list[Question], Counter[str]]:
    """Ask each task once about a case (D1 in both its variants), up to MAX_QUESTIONS.

    Each task draws from a stream of its own, so leaving one out changes no other.

    Args:
        seed: names the case; the same seed asks the same questions.
        only_open: keep to phrasings that the published reward can score.

    Returns:
        questions, and how often each task was left out for which cause ("D2: ...").
    """
    questions: list[Question] = []
    left_out: Counter[str] = Counter()
    spare: list[Question] = []
    for number, task_type in enumerate(TASKS):
        if task_type not in task_types:
            continue
        rng = np.random.default_rng([*seed, number])
        names = list(rng.permutation(variants(task_type, only_open=only_open)))
        try:
            questions.append(TASKS[task_type](case, rng, str(names[0])))
            if task_type == "D1":
                spare = [TASKS[task_type](case, rng, str(names[1]))]
        except DoesNotApply:
            continue
        except LeftOut as cause:
            left_out[f"{task_type}: {cause}"] += 1
    questions += spare[: MAX_QUESTIONS - len(questions)]
    return questions, left_out
