"""The words of the questions, and of their answers: one table of phrasings for the eight tasks.

Answer strings are those of World2VLM; the questions are our own. No question names the direction that it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geom.actions import ActionSequence, parse_actions
from geom.boxes import format_box
from synth.answers import Answer, BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer

VERSION = 1
"""Raised whenever a phrasing changes, so that scores under different words are never compared."""

_TWO = "<image>\n<image>\n"
_ONE = "<image>\n"
_BOXES = "{boxes_are} "
_WORDS = (
    "`move forward|backward|left|right <number> meters` or `turn left|right <number> degrees`; "
    "each action is carried out in the camera's axes at that moment"
)


@dataclass(frozen=True)
class Phrasing:
    """One way to ask a task. `question` is filled with the fields of the record's `asked`."""

    task_type: str
    variant: str
    num_images: int
    question: str
    is_open: bool = True
    """Whether the published reward can score the answer."""


@dataclass(frozen=True)
class BoxWords:
    """How a question speaks of boxes: thousandths in a dataset, other units for those who train on other units."""

    are: str = "Boxes are [x1, y1, x2, y2] in thousandths of the image width and height."
    form: str = "[x1, y1, x2, y2]"
    mark: str = ""
    """Stands for every box where the trainer fills them in; empty where boxes are written out."""


def _phrasing(task_type: str, variant: str, question: str, *, is_open: bool = True) -> Phrasing:
    return Phrasing(task_type, variant, question.count("<image>"), question, is_open)


_D1_ASK = "Give the box of the whole object in {where}, cut off at the image border, as {box_form} only."
_D2_LEAD = (
    _ONE + _BOXES + "The image shows {a_label} at {box}. The camera then does this: {actions}. "
)  # one image: the answer is imagined
_D3_LEAD = (
    _TWO
    + _BOXES
    + "The same {label} is at {box} in the first image and at {box_after} in the second. "
    + "The camera carried out {num_actions_word} between the two. "
)
_D4_LEAD = (
    _TWO
    + _BOXES
    + "Between the two images the camera did this: {actions}. One box marks {a_label} at {box} in the first image; "
    + "another box is at {box_after} in the second. "
)

PHRASINGS: dict[tuple[str, str], Phrasing] = {
    (p.task_type, p.variant): p
    for p in (
        _phrasing(
            "A1",
            "open",
            _TWO + "Between the two images the camera moved along a straight line without turning. Which way, and how "
            "far? Answer in the form `move forward|backward|left|right <number> meters`.",
        ),
        _phrasing(
            "A2",
            "open",
            _TWO + "Between the two images the camera turned on the spot. Which way, and by what angle? Answer in the "
            "form `turn left|right <number> degrees`.",
        ),
        _phrasing(
            "A3",
            "open",
            _TWO + "Between the two images the camera carried out {num_actions_word}, one after the other. List them "
            "in order, separated by `; `. Each is " + _WORDS + ".",
        ),
        _phrasing(
            "A4",
            "open",
            _TWO + 'Somebody claims that between the two images the camera did this: "{claim}". Is the claim true? '
            "Answer `true` or `false`.",
        ),
        _phrasing(
            "D1",
            "predict",
            _ONE
            + _BOXES
            + "The image shows {a_label} at {box}. The camera then does this: {actions}. "
            + _D1_ASK.replace("{where}", "the view after that"),
        ),
        _phrasing(
            "D1",
            "track",
            _TWO
            + _BOXES
            + "The first image shows {a_label} at {box}. The camera then did this: {actions}; the second image is "
            "the view after that. " + _D1_ASK.replace("{where}", "the second image"),
        ),
        _phrasing(
            "D2",
            "open",
            _D2_LEAD + "Is the {label} gone from view after that, either outside the image or fully hidden? Answer "
            "`yes` or `no`.",
        ),
        _phrasing(
            "D2",
            "choice",
            _D2_LEAD + "After that, the {label} is\nA. gone from view (outside the image or fully hidden)\nB. still "
            "visible\nAnswer with the letter only.",
            is_open=False,
        ),
        _phrasing(
            "D2",
            "sentence",
            _D2_LEAD + "Say in one sentence what becomes of it: `The {label} disappears from view.` or `The {label} "
            "remains visible.`",
            is_open=False,
        ),
        _phrasing(
            "D3",
            "open",
            _D3_LEAD + "List what it did in order, separated by `; `. Each action is " + _WORDS + ".",
        ),
        _phrasing(
            "D3",
            "steps",
            _D3_LEAD
            + "Answer `<number of actions> steps | <the actions in order, separated by ; >`. Each action is "
            + _WORDS
            + ".",
        ),
        _phrasing(
            "D3",
            "natural",
            _D3_LEAD + "Describe it in the form `First <action>, Then <action>.` Each action is " + _WORDS + ".",
        ),
        _phrasing(
            "D4",
            "open",
            _D4_LEAD + "Do the two boxes mark one and the same physical object? Answer `yes` or `no`.",
        ),
        _phrasing(
            "D4",
            "choice",
            _D4_LEAD + "The two boxes mark\nA. the same physical object\nB. different things\nAnswer with the letter "
            "only.",
            is_open=False,
        ),
        _phrasing(
            "D4",
            "sentence",
            _D4_LEAD + "Answer with one of the sentences `They are the same physical object instance.` or `They are "
            "different object instances.`",
            is_open=False,
        ),
    )
}


def variants(task_type: str, *, only_open: bool) -> tuple[str, ...]:
    """The phrasings of a task, or only those that the published reward can score."""
    return tuple(v for (t, v), p in PHRASINGS.items() if t == task_type and (p.is_open or not only_open))


def question_text(task_type: str, variant: str, asked: dict[str, Any], boxes: BoxWords | None = None) -> str:
    """The user's message. `asked` holds what the phrasing names: label, boxes (0..1000, or text), actions or claim."""
    boxes = boxes or BoxWords()
    words: dict[str, Any] = asked | {"boxes_are": boxes.are, "box_form": boxes.form}
    if "label" in words:
        words["a_label"] = f"{'an' if words['label'][0] in 'aeiou' else 'a'} {words['label']}"
    for key in ("box", "box_after"):
        if key in asked and not isinstance(asked[key], str):
            words[key] = format_box(asked[key])
    if "num_actions" in words:
        n = words["num_actions"]
        words["num_actions_word"] = "1 action" if n == 1 else f"{n} actions"
    return PHRASINGS[task_type, variant].question.format(**words)


_BINARY = {
    ("A4", "open"): ("true", "false"),
    ("D2", "open"): ("yes", "no"),
    ("D2", "choice"): ("A", "B"),
    ("D2", "sentence"): ("The {label} disappears from view.", "The {label} remains visible."),
    ("D4", "open"): ("yes", "no"),
    ("D4", "choice"): ("A", "B"),
    ("D4", "sentence"): (
        "They are the same physical object instance.",
        "They are different object instances.",
    ),
}


def answer_text(task_type: str, variant: str, answer: Answer, asked: dict[str, Any]) -> str:
    """The assistant's message, in the words that the phrasing asks for."""
    match answer:
        case MotionAnswer(actions=actions):
            return _motion_text(parse_actions(actions), variant)
        case BoxAnswer(box_1000=box):
            return format_box(box)
        case ClaimAnswer(is_true=yes) | VisibilityAnswer(is_gone=yes) | IdentityAnswer(is_same=yes):
            return _BINARY[task_type, variant][0 if yes else 1].format(**asked)


def _motion_text(actions: ActionSequence, variant: str) -> str:
    if variant == "steps":
        return f"{len(actions)} steps | {actions.text()}"
    return actions.natural() if variant == "natural" else actions.text()
