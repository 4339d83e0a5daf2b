"""The words: every phrasing fills up, answers are the published strings, and no question tells its answer."""

from __future__ import annotations

import re

import pytest

from geom.actions import parse_actions
from synth.answers import Answer, BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.catalogue import KINDS
from synth.prompts import PHRASINGS, answer_text, question_text, variants
from synth.tasks import TASKS

DONE = "turn left 30 degrees; move forward 0.5 meters"
WORD_LISTS = ("move forward|backward|left|right <number> meters", "turn left|right <number> degrees")
ASKED = {
    "label": "chair",
    "box": (1, 2, 300, 400),
    "box_after": (5, 6, 700, 800),
    "actions": DONE,
    "num_actions": 2,
    "claim": "move forward 0.5 meters and turn left 20 degrees",
}
USED = {
    "A1": ("num_actions",),
    "A2": ("num_actions",),
    "A3": ("num_actions",),
    "A4": ("claim",),
    "D1": ("label", "box", "actions"),
    "D2": ("label", "box", "actions"),
    "D3": ("label", "box", "box_after", "num_actions"),
    "D4": ("label", "box", "actions", "box_after"),
}
"""What a record's `asked` holds, task by task."""


def question(task_type: str, variant: str, **other: object) -> str:
    return question_text(task_type, variant, {key: ASKED[key] for key in USED[task_type]} | other)


@pytest.mark.parametrize(("task_type", "variant"), PHRASINGS)
def test_every_phrasing_fills_up_from_what_its_task_records(task_type: str, variant: str) -> None:
    text = question(task_type, variant)
    assert not re.search(r"[{}]", text)
    assert text.count("<image>") == PHRASINGS[task_type, variant].num_images
    assert re.fullmatch(r"(<image>\n){1,2}[^<\n].*", text, re.DOTALL), "pictures come first"
    assert "  " not in text


@pytest.mark.parametrize("task_type", TASKS)
def test_every_task_can_be_asked_with_and_without_what_the_published_reward_cannot_score(task_type: str) -> None:
    every, scored = variants(task_type, only_open=False), variants(task_type, only_open=True)
    assert set(scored) <= set(every) and len(scored) >= 1
    assert set(every) - set(scored) == ({"choice", "sentence"} if task_type in ("D2", "D4") else set())


@pytest.mark.parametrize(("task_type", "variant"), [key for key in PHRASINGS if key[0] in ("A1", "A2", "A3", "D3")])
def test_no_question_about_a_motion_names_a_direction_or_a_size(task_type: str, variant: str) -> None:
    text = question(task_type, variant)
    for words in WORD_LISTS:
        text = text.replace(words, "")
    assert not re.search(r"forward|backward|left|right|clockwise", text, re.IGNORECASE)
    assert not re.search(r"\d", re.sub(r"\[[^]]*\]|2 actions", "", text)), "numbers other than boxes and the count"


def test_boxes_actions_and_claim_stand_in_the_question_as_they_were_asked() -> None:
    assert "a chair at [1, 2, 300, 400]. The camera then does this: " + DONE + "." in question("D1", "predict")
    assert "at [1, 2, 300, 400] in the first image and at [5, 6, 700, 800] in the second" in question("D3", "open")
    assert f'"{ASKED["claim"]}"' in question("A4", "open")
    assert "another box is at [5, 6, 700, 800] in the second." in question("D4", "open")


@pytest.mark.parametrize(("num_actions", "words"), [(1, "carried out 1 action between"), (2, "out 2 actions between")])
def test_a_count_agrees_with_its_noun(num_actions: int, words: str) -> None:
    assert words in question("D3", "open", num_actions=num_actions)


@pytest.mark.parametrize("key", [key for key in PHRASINGS if key[0] in ("D1", "D2", "D4")])
@pytest.mark.parametrize(("label", "with_article"), [("armchair", "an armchair"), ("chair", "a chair")])
def test_the_article_fits_the_object(key: tuple[str, str], label: str, with_article: str) -> None:
    assert f" {with_article} at [" in question(*key, label=label)


def test_no_kind_sounds_unlike_its_first_letter() -> None:
    """`an hourglass`, `a ukulele`: the rule of first letters would be wrong about these."""
    assert [kind for kind in KINDS if re.match(r"hour|hono|heir|uni|uku|uten|eu|one", kind)] == []


PUBLISHED = [
    ("A1", "open", MotionAnswer("move forward 0.5 meters", ()), "move forward 0.5 meters"),
    ("A2", "open", MotionAnswer("turn right 35 degrees", ()), "turn right 35 degrees"),
    ("A3", "open", MotionAnswer(DONE, ()), DONE),
    ("A4", "open", ClaimAnswer(True), "true"),
    ("A4", "open", ClaimAnswer(False), "false"),
    ("D1", "predict", BoxAnswer((1, 22, 333, 1000), (0.1, 1.0, 2.0, 3.0)), "[1, 22, 333, 1000]"),
    ("D1", "track", BoxAnswer((1, 22, 333, 1000), (0.1, 1.0, 2.0, 3.0)), "[1, 22, 333, 1000]"),
    ("D2", "open", VisibilityAnswer(True), "yes"),
    ("D2", "open", VisibilityAnswer(False), "no"),
    ("D2", "choice", VisibilityAnswer(True), "A"),
    ("D2", "choice", VisibilityAnswer(False), "B"),
    ("D2", "sentence", VisibilityAnswer(True), "The chair disappears from view."),
    ("D2", "sentence", VisibilityAnswer(False), "The chair remains visible."),
    ("D3", "open", MotionAnswer(DONE, ()), DONE),
    ("D3", "steps", MotionAnswer(DONE, ()), f"2 steps | {DONE}"),
    ("D3", "natural", MotionAnswer(DONE, ()), "First turn left 30 degrees, Then move forward 0.5 meters."),
    ("D4", "open", IdentityAnswer(True), "yes"),
    ("D4", "open", IdentityAnswer(False), "no"),
    ("D4", "choice", IdentityAnswer(True), "A"),
    ("D4", "choice", IdentityAnswer(False), "B"),
    ("D4", "sentence", IdentityAnswer(True), "They are the same physical object instance."),
    ("D4", "sentence", IdentityAnswer(False), "They are different object instances."),
]


@pytest.mark.parametrize(("task_type", "variant", "answer", "text"), PUBLISHED)
def test_answers_are_the_published_strings(task_type: str, variant: str, answer: Answer, text: str) -> None:
    assert answer_text(task_type, variant, answer, {"label": "chair"}) == text


def test_every_phrasing_has_its_answers_among_these() -> None:
    assert {(task_type, variant) for task_type, variant, *_ in PUBLISHED} == PHRASINGS.keys()


def test_answers_of_a_choice_are_offered_by_its_question() -> None:
    for task_type, variant, answer, text in PUBLISHED:
        if not isinstance(answer, MotionAnswer | BoxAnswer):
            marked = f"\n{text}. " if variant == "choice" else f"`{text}`"
            assert marked in question(task_type, variant)


def test_a_motion_answer_reads_back_as_the_motion() -> None:
    for variant in ("open", "natural"):
        text = answer_text("D3", variant, MotionAnswer(DONE, ()), {})
        assert parse_actions(text) == parse_actions(DONE)
