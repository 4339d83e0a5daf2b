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
def test_two_shares_read_as_what_they_add_up_to(visible: float, words: str) -> None:
    html = shares_html("before", {"visible": visible, "hidden": 1 - visible})
    assert f'class="words">{words}<' in html


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        # A small share is told to a tenth, and so are those beside it.
        ({"visible": 0.5, "hidden": 0.497, "outside": 0.003}, "visible 50.0 %, hidden 49.7 %, outside 0.3 %"),
        ({"visible": 0.05, "hidden": 0.05, "outside": 0.9}, "visible 5.0 %, hidden 5.0 %, outside 90.0 %"),
        ({"visible": 0.9997, "hidden": 0.0003}, "visible 100.0 %, hidden under 0.1 %"),
        # Thirds, halves of a percent: what rounding loses or adds goes where it is nearest.
        ({"visible": 1 / 3, "hidden": 1 / 3, "outside": 1 / 3}, "visible 34 %, hidden 33 %, outside 33 %"),
        ({"visible": 0.415, "hidden": 0.585}, "visible 42 %, hidden 58 %"),
        ({"visible": 0.29, "hidden": 0.57, "behind": 0.14}, "visible 29 %, hidden 57 %, behind 14 %"),
        (
            {"visible": 0.25, "hidden": 0.75, "hidden_by": {"room": 0.245, "sofa_1": 0.505}},
            "visible 25 %, hidden 75 % (by sofa_1 51 %, room 24 %)",
        ),
        (
            {"visible": 0.6, "hidden": 0.4, "hidden_by": {"room": 0.002, "sofa_1": 0.398}},
            "visible 60.0 %, hidden 40.0 % (by sofa_1 39.8 %, room 0.2 %)",
        ),
    ],
)
def test_all_shares_add_up_as_printed(sight: dict, words: str) -> None:
    assert f'class="words">{words}<' in shares_html("before", sight)


@pytest.mark.parametrize("sight", [{"visible": 0.3}, {"visible": 0.9, "hidden": 0.9}])
def test_shares_that_do_not_add_up_are_shown_as_they_are(sight: dict) -> None:
    words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in sight.items())
    assert f'class="words">{words}<' in shares_html("before", sight)
