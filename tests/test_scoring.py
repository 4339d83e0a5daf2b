"""Means that mean something: chance is zero, yes-no answers weigh alike, and scenes are resampled whole."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synth.exact import read_truth
from synth.scoring import NUM_RESAMPLES, Graded, chance_of, count_reasons, difficulty, summarise


def row(score: float, task: str = "D2", answer: str = "yes", group: str = "", **more) -> Graded:
    truth = read_truth(json.dumps({"task_type": task, "answer": answer}))
    return Graded(task, score, group or str(id(object())), truth, **more)


def test_always_saying_yes_is_chance_however_many_are_true() -> None:
    rows = [row(1.0, group=str(i)) for i in range(90)] + [row(0.0, answer="no", group=str(i)) for i in range(10)]
    task = summarise(rows)["tasks"]["D2"]
    assert (task["n"], task["mean"], task["chance"], task["corrected"]) == (100, 0.5, 0.5, 0.0)
    assert task["corrected_interval"] == [0.0, 0.0]


def test_the_truth_is_one_and_the_opposite_minus_one() -> None:
    for value, corrected in ((1.0, 1.0), (0.0, -1.0)):
        rows = [row(value, answer=answer, group=answer) for answer in ("yes", "no", "no")]
        assert summarise(rows)["tasks"]["D2"]["corrected"] == corrected


def test_one_true_answer_alone_cannot_be_told_from_guessing() -> None:
    task = summarise([row(1.0), row(1.0)])["tasks"]["D2"]
    assert task["mean"] == 1 and task["chance"] == 1 and task["corrected"] is None


def test_chance_of_motions_is_what_dealt_answers_score() -> None:
    # Two answers in equal parts, each worth 1 for itself and 0 for the other: dealt out, half are right.
    rows = [row(0.0, "A2", f"turn {way} 40 degrees") for way in ("left", "right") * 50]
    assert chance_of(rows) == 0.5
    rows = [row(0.0, "A2", f"turn left {5 * k} degrees") for k in range(1, 5)]
    # Of 16 pairs 4 are equal; 15 and 20 differ by a third and a quarter of the size asked: too far for any credit.
    assert chance_of(rows) == 0.25
    # Beyond some hundred questions pairs are drawn: 150 of each answer.
    rows = [row(0.0, "A2", f"turn left {5 * k} degrees") for k in range(1, 5) for _ in range(150)]
    assert chance_of(rows) == pytest.approx(0.25, abs=0.01) and chance_of(rows) != 0.25
    assert chance_of([Graded("A1", 0.5, "a")]) is None
    with pytest.raises(ValueError, match="all or none"):
        chance_of([rows[0], Graded("A2", 0.5, "a")])


def test_intervals_resample_scenes_and_not_answers() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = [], []
    for scene in range(20):
        value = float(rng.integers(2))
        for k in range(25):
            answer = ("yes", "no")[k % 2]
            wide.append(row(value, answer=answer, group=str(scene)))
            narrow.append(row(value, answer=answer, group=f"{scene}-{k}"))
    low, high = summarise(wide)["tasks"]["D2"]["interval"]
    near_low, near_high = summarise(narrow)["tasks"]["D2"]["interval"]
    assert high - low > 3 * (near_high - near_low)
    # 20 fair coins: the standard error of their mean is 0.11.
    assert 0.3 < high - low < 0.6


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        rows = [Graded("A1", float(v), str(i)) for i, v in enumerate(rng.random(200) < 0.3)]
        low, high = summarise(rows)["tasks"]["A1"]["interval"]
        covered += low <= 0.3 <= high
    assert 180 <= covered < 200


def test_many_scenes_are_resampled_in_bundles_of_the_same_width() -> None:
    rng = np.random.default_rng(2)
    rows = [Graded("A1", float(v), f"scene {i}") for i, v in enumerate(rng.random(6000))]
    low, high = summarise(rows)["tasks"]["A1"]["interval"]
    # Uniform scores: standard deviation 1 / sqrt(12), over sqrt(6000), times 2 * 1.96.
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(12 * 6000), rel=0.15)


def test_the_mean_over_tasks_weighs_tasks_alike() -> None:
    rows = [row(1.0, answer=a, group="a") for a in ("yes", "no")]
    rows += [row(0.0, "A1", f"move left {k} meters", group="b") for k in range(1, 9)]
    found = summarise(rows)
    assert found["all"]["n"] == 10 and found["all"]["mean"] == 0.5
    expected = (found["tasks"]["D2"]["corrected"] + found["tasks"]["A1"]["corrected"]) / 2
    assert found["all"]["corrected"] == pytest.approx(expected)


def test_the_same_answers_give_the_same_figures_and_no_answers_none() -> None:
    rows = [row(float(i % 3 == 0), answer=("yes", "no")[i % 2], group=str(i // 4)) for i in range(100)]
    assert summarise(rows) == summarise(rows)
    assert summarise([]) == {"tasks": {}, "all": {"n": 0}, "difficulty": {}}
    assert NUM_RESAMPLES >= 1000


def proof(task: str, actions: str, visible: float | None = None, shift: float | None = None) -> dict:
    return {
        "task_type": task,
        "transition": {"actions": actions},
        "items": [] if visible is None else [{"after": {"visible": visible}}],
        "answer": {"is_true": shift is None},
        "margins": {"displacement": shift},
    }


def test_difficulty_is_motion_size_visible_share_and_margin() -> None:
    found = difficulty(
        proof("D1", "move left 0.3 meters; turn right 40 degrees; move forward 0.2 meters", visible=0.95)
    )
    assert found == {"moved": "up to 0.5 m", "turned": "30 to 60 deg", "visible after": "over 0.9"}
    assert difficulty(proof("A1", "move left 1.6 meters")) == {"moved": "over 1.5 m", "turned": "no turn"}
    claim = difficulty(proof("A4", "turn left 90 degrees", shift=0.05))
    assert claim["false claim shifts the picture by"] == "up to 0.05 of the width"
    assert "false claim shifts the picture by" not in difficulty(proof("A4", "turn left 90 degrees"))


def test_drawers_keep_their_order_and_count_every_answer_once() -> None:
    drawers = ["up to 0.5 m", "over 1.5 m", "0.5 to 1.5 m", "up to 0.5 m"]
    rows = [row(1.0, "A1", "move left 1 meters", difficulty={"moved": name}) for name in drawers]
    found = summarise(rows)["difficulty"]["A1"]["moved"]
    assert [(name, stats["n"]) for name, stats in found.items()] == [
        ("up to 0.5 m", 2),
        ("0.5 to 1.5 m", 1),
        ("over 1.5 m", 1),
    ]


def test_reasons_are_counted_most_frequent_first() -> None:
    rows = [{"overall": 1.0}, {"reason": "b"}, {"reason": "a"}, {"reason": "a"}]
    assert list(count_reasons(rows).items()) == [("a", 2), ("b", 1)]
