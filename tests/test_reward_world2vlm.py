"""The published reward to the last digit, on rows that the published code scored, and on cases worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth.reward_world2vlm import compute_score, pack, score

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "reward_public.jsonl"


def scored(task: str, answer: str, response: str) -> dict:
    return score(response, pack(task, answer))


@pytest.mark.skipif(not GOLDEN.exists(), reason="the rows made by the public code are not beside this checkout")
def test_every_row_of_the_public_code_is_reproduced() -> None:
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    batch = [{k: row[k] for k in ("response", "ground_truth") if k in row} for row in rows]
    for row, found in zip(rows, compute_score(batch), strict=True):
        if row["scores"] is None:
            assert (found["overall"], found["format"]) == (0, 0) and "must be text" in found["reason"], row
        else:
            assert found == pytest.approx(row["scores"], abs=1e-9), row
    assert len(rows) > 600


def test_a_distance_falls_from_full_at_half_a_metre_to_none_at_five() -> None:
    # error 2.75 m: (2.75 - 0.5) / 4.5 = 0.5 lost; 0.10 + 0.35 + 0.55 * 0.5
    assert scored("A1", "move forward 0.5 meters", "move forward 3.25 meters")["overall"] == pytest.approx(0.725)
    assert scored("A1", "move forward 0.5 meters", "move forward 5.5 meters")["numeric"] == 0
    assert scored("A1", "move forward 0.5 meters", "move forward 1 meters")["numeric"] == 1


def test_the_best_of_many_guesses_counts() -> None:
    listed = "turn left 10 degrees turn right 40 degrees turn left 45 degrees"
    assert scored("A2", "turn left 47 degrees", listed)["overall"] == 1
    assert scored("A2", "turn left 47 degrees", "turn right 47 degrees")["overall"] == pytest.approx(0.1)


def test_a_sequence_is_compared_place_by_place() -> None:
    truth = "move left 1 meters; move forward 2 meters"
    swapped = scored("A3", truth, "move forward 2 meters; move left 1 meters")
    assert swapped == {"overall": pytest.approx(0.35), "format": 1, "action": 1, "order": 0, "numeric": 0}
    # Two of two names and sizes right, one action too many: 0.10 + 0.25 * 2/3 + 0.35 + 0.30 - 0.03
    extra = scored("D3", truth, truth + "; turn left 5 degrees")
    assert extra["overall"] == pytest.approx(0.10 + 0.25 * 2 / 3 + 0.65 - 0.03)


def test_a_box_is_scored_by_form_validity_and_four_measures() -> None:
    exact = scored("D1", "[100, 200, 300, 400]", "[100, 200, 300, 400]")
    assert exact["overall"] == pytest.approx(1)
    inside_text = scored("D1", "[100, 200, 300, 400]", "it is [100, 200, 300, 400]")
    assert inside_text["overall"] == pytest.approx(0.88) and inside_text["format"] == 0.4
    # 40 beyond the right border in one of four coordinates: 0.7 + 0.3 * (1 - 10 / 200)
    assert scored("D1", "[0, 0, 1000, 1000]", "[0, 0, 1040, 1000]")["validity"] == pytest.approx(0.985)
    far = scored("D1", "[0, 0, 10, 10]", "[900, 900, 910, 910]")
    assert far["geometry"] == pytest.approx(0.15) and far["center"] == far["l1"] == far["iou"] == 0


def test_yes_and_true_are_one_word_and_no_other_is_any() -> None:
    assert scored("A4", "true", "Yes.")["overall"] == 1
    assert scored("D2", "yes", "no")["overall"] == pytest.approx(0.2)
    assert scored("D4", "B", "B")["overall"] == 0


def test_more_than_two_hundred_characters_score_minus_one() -> None:
    assert scored("A4", "true", "x" * 201) == {"overall": -1, "format": 0}
    assert scored("A4", "true", " " * 300 + "true")["overall"] == 1


@pytest.mark.parametrize(
    ("response", "truth"),
    [(["true"], pack("A4", "true")), (True, pack("A4", "true")), ("true", 5), ("true", {"answer": "true"})],
)
def test_where_the_public_code_raises_the_reason_is_given(response, truth) -> None:
    found = score(response, truth)
    assert (found["overall"], found["format"]) == (0, 0)
    assert "must be text" in found["reason"]


def test_a_ground_truth_that_is_no_object_is_compared_as_text() -> None:
    assert score("Yes.", "yes") == {"overall": 1, "format": 1, "accuracy": 1}
    assert score("", "") == {"overall": 0, "format": 0, "accuracy": 0}
    assert score("deep", "[" * 100_000)["overall"] == 0
