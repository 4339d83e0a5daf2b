"""Questions in words: every phrasing is understood as what it was made from, and what is none is refused."""

from __future__ import annotations

import pytest

from models.ask import understood
from synth.prompts import PHRASINGS, question_text

ASKED = {
    "label": "potted plant",
    "box": [221, 672, 383, 887],
    "box_after": [10, 20, 300, 400],
    "actions": "turn left 80 degrees; move right 1.7 meters",
    "claim": "move forward 0.5 meters",
    "num_actions": 2,
}


@pytest.mark.parametrize(("task", "variant"), list(PHRASINGS))
@pytest.mark.parametrize("marks", [True, False])
def test_every_phrasing_is_understood(task: str, variant: str, marks: bool) -> None:
    text = question_text(task, variant, ASKED)
    given = text if marks else text.replace("<image>\n", "")
    found, said, asked = understood(given, PHRASINGS[task, variant].num_images)
    assert (found, said) == (task, variant)
    assert asked == {name: ASKED[name] for name in asked} and question_text(task, variant, asked) == text


def test_what_is_no_question_of_a_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match="must be put as those of a dataset are, got 'Where am I"):
        understood("Where am I?", 1)
    with pytest.raises(ValueError, match="a question of A2 comes with 2 pictures, got 1"):
        understood(question_text("A2", "open", {}), 1)
    text = question_text("D2", "open", ASKED).replace("[221, 672, 383, 887]", "[221, 672]")
    with pytest.raises(ValueError, match="box"):
        understood(text, 1)
