"""A question in words, as the questions of datasets are put, understood as one of the eight tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from geom.actions import parse_actions
from geom.boxes import parse_box
from synth.prompts import PHRASINGS, BoxWords, Phrasing, question_text

_FIELDS = {
    "a_label": r"an? (?P<label>[^\[\]]+?)",
    "label": r"(?P<label>[^\[\]]+?)",
    "box": r"(?P<box>\[[^\]]*\])",
    "box_after": r"(?P<box_after>\[[^\]]*\])",
    "actions": r"(?P<actions>[^.]+(?:\.\d[^.]*)*)",
    "claim": r'(?P<claim>[^"]+)',
    "num_actions_word": r"(?P<num_actions>\d+) actions?",
    "boxes_are": re.escape(BoxWords().are),
    "box_form": re.escape(BoxWords().form),
}
"""What may stand in a phrasing for each of its fields."""


def understood(question: str, num_images: int) -> tuple[str, str, dict[str, Any]]:
    """The task, the phrasing and what is asked, as a proof's `asked` has it.

    Args:
        question: in the words of `synth.prompts`, with or without its <image> marks.
        num_images: how many pictures come with it.

    Raises:
        ValueError: if it is none of the phrasings, has another number of pictures, or a box or an action in it cannot
            be read.
    """
    words = _bare(question)
    for phrasing in PHRASINGS.values():
        found = _pattern(phrasing).fullmatch(words)
        if found is None:
            continue
        if phrasing.num_images != num_images:
            raise ValueError(
                f"a question of {phrasing.task_type} comes with {phrasing.num_images} pictures, got {num_images}"
            )
        return phrasing.task_type, phrasing.variant, dict(_values(found.groupdict()))
    example = _example()
    raise ValueError(f"the question must be put as those of a dataset are, got {question[:60]!r}; one is: {example!r}")


def _bare(text: str) -> str:
    return " ".join(text.replace("<image>", " ").split())


@cache
def _pattern(phrasing: Phrasing) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", _bare(phrasing.question))
    seen: set[str] = set()
    return re.compile("".join(_piece(part, seen) if n % 2 else re.escape(part) for n, part in enumerate(parts)))


def _piece(field: str, seen: set[str]) -> str:
    name = "label" if field == "a_label" else field
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    return _FIELDS[field]


def _values(found: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for name, text in found.items():
        if name in ("box", "box_after"):
            yield name, list(parse_box(text))
        elif name == "num_actions":
            yield name, int(text)
        else:
            yield name, parse_actions(text).text() if name in ("actions", "claim") else text


def _example() -> str:
    return _bare(question_text("A2", "open", {}))
