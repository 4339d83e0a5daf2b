from __future__ import annotations

import dataclasses
import inspect
import json

import pytest

from geom import SCALE_STATUSES, Scale


def test_only_metric_is_metric():
    assert {status: Scale(status, "a test").is_metric for status in SCALE_STATUSES} == {
        "metric": True,
        "estimated": False,
        "up_to_scale": False,
        "unknown": False,
    }


@pytest.mark.parametrize("status", SCALE_STATUSES)
def test_scales_survive_json(status):
    scale = Scale(status, "stereo calibration")
    assert scale.to_dict() == {"status": status, "source": "stereo calibration"}
    assert Scale.from_dict(json.loads(json.dumps(scale.to_dict()))) == scale


def construct(status: str, source: str) -> None:
    """Construct without the type hook of the test run, as users do."""
    inspect.unwrap(Scale.__init__)(object.__new__(Scale), status, source)


@pytest.mark.parametrize("status", ["Metric", "", "metres"])
def test_unknown_statuses_are_refused(status):
    with pytest.raises(ValueError, match="must be one of metric, estimated, up_to_scale, unknown, got"):
        construct(status, "a test")


@pytest.mark.parametrize("source", ["", "  "])
def test_a_scale_without_a_source_is_refused(source):
    with pytest.raises(ValueError, match="scale needs a source"):
        construct("metric", source)


@pytest.mark.parametrize("fields", [{"status": "metric"}, {"status": "metric", "source": "a", "unit": "m"}])
def test_other_keys_are_refused(fields):
    with pytest.raises(ValueError, match="must have the keys status and source, got"):
        Scale.from_dict(fields)


def test_scales_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Scale("metric", "a test").status = "unknown"  # pyright: ignore[reportAttributeAccessIssue]


def test_an_estimate_has_metres_that_are_not_true_ones() -> None:
    found = {status: (Scale(status, "test").has_metres, Scale(status, "test").is_metric) for status in SCALE_STATUSES}
    assert found == {
        "metric": (True, True),
        "estimated": (True, False),
        "up_to_scale": (False, False),
        "unknown": (False, False),
    }
