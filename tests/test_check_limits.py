"""The limits of the check are those that its calibration chose, clear of correct films and of faults to be found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth.verdict import Limits

RESULT = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "calibrate.json").read_text())
NO_NOISE = {"far"}
"""Chosen by what scenes are like, not by what films reach."""

UNFOUND = {"stray_deg", "others_share"}
"""Some films with the smallest fault do not show it by this: others of their reasons fire, or none does."""


@pytest.mark.parametrize("name", sorted(RESULT["limits"]))
def test_a_limit_lies_between_correct_and_faulty_films(name: str) -> None:
    limit, in_use = RESULT["limits"][name], getattr(Limits(), name)
    assert limit["in_use"] == in_use
    assert limit["correct_99.8"] < in_use
    assert name in NO_NOISE or name in UNFOUND or in_use < limit["smallest_fault_5"]


def test_where_the_smallest_faults_are_not_all_found_is_known() -> None:
    assert {name for name, r in RESULT["limits"].items() if r["smallest_fault_5"] <= r["in_use"]} == UNFOUND


def test_the_calibration_saw_enough_films() -> None:
    assert RESULT["films"] >= 50 and RESULT["sequences"] >= 1000 and not RESULT["machine"]["uncommitted_changes"]
