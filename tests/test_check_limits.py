"""The limits of the check are those that its calibration chose, clear of correct films and of faults to be found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth.verdict import Limits

RESULT = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "calibrate.json").read_text())
NO_NOISE = {"far"}
"""Chosen by what scenes are like, not by what films reach."""

CROSSING = {"stray_deg", "others_share"}
"""Some films with the fault do not show it: others of their reasons fire."""


@pytest.mark.parametrize("name", sorted(RESULT["limits"]))
def test_a_limit_lies_between_correct_and_faulty_films(name: str) -> None:
    limit, in_use = RESULT["limits"][name], getattr(Limits(), name)
    assert limit["in_use"] == in_use
    do_cross = limit["smallest_fault_5"] <= limit["correct_99.8"]
    assert limit["correct_99.8"] < in_use
    assert name in NO_NOISE or do_cross or in_use < limit["smallest_fault_5"]


def test_where_faults_cannot_be_told_from_none_is_known() -> None:
    crossing = {name for name, r in RESULT["limits"].items() if r["smallest_fault_5"] <= r["correct_99.8"]}
    assert crossing == CROSSING


def test_the_calibration_saw_enough_films() -> None:
    assert RESULT["films"] >= 50 and RESULT["sequences"] >= 1000 and not RESULT["machine"]["uncommitted_changes"]
