"""Labels stay in the picture, and shares read as what they add up to."""

from __future__ import annotations

import re

import pytest

from synth.drawings import boxes_svg, shares_html


def label_of(x1: float, label: str = "question") -> dict[str, str]:
    svg = boxes_svg([("question", label, (x1, 40, x1 + 60, 90))], 512, 512)
    attributes = re.search(r"<text ([^>]*)>", svg)
    assert attributes is not None
    return dict(re.findall(r'([a-z-]+)="([^"]*)"', attributes[1]))


def test_a_label_that_would_be_cut_at_the_right_border_ends_there() -> None:
    assert label_of(100).get("text-anchor") is None and float(label_of(100)["x"]) >= 100
    at_border = label_of(470)
    assert at_border["text-anchor"] == "end" and float(at_border["x"]) == 510
    assert label_of(470, "a").get("text-anchor") is None


@pytest.mark.parametrize(
    ("visible", "words"),
    [(1.0, "visible 100 %"), (0.997, "visible 99.7 %, hidden 0.3 %"), (0.75, "visible 75 %, hidden 25 %")],
)
def test_shares_read_as_what_they_add_up_to(visible: float, words: str) -> None:
    html = shares_html("before", {"visible": visible, "hidden": 1 - visible})
    assert f'class="words">{words}<' in html
