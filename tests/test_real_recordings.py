"""Recorded data, where it is at hand: a shelf with masks, hand-held frames, a photograph with depth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import real_sources
import recorded

from synth import photo_world
from synth.dataset import read_rows
from synth.label import LabelConfig
from synth.mistakes import check_frames
from synth.pipeline import generate
from synth.sources import read_source
from synth.verify import verify

REAL = Path(__file__).parents[2] / "shared" / "real_data"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real_data is absent")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_sources.apc_shelf(REAL, tmp_path_factory.mktemp("shelf") / "shelf")


def test_objects_of_a_shelf_land_where_the_masks_of_other_views_say(shelf: Path) -> None:
    evidence = recorded.evidence_of(shelf)
    same = recorded.identity(evidence)
    assert same["object_pairs"] > 2500 and same["agreement"] >= 0.97
    assert same["same"]["agreement"] > 0.9 and same["different"]["agreement"] >= 0.99
    found = recorded.boxes(evidence)
    assert found["boxes"] >= 50 and found["median_iou"] >= 0.85
    assert found["median_iou"] > found["peer_median_iou"]


def test_a_shelf_is_labelled_and_verified(shelf: Path, tmp_path: Path) -> None:
    generate(tmp_path / "data", LabelConfig(shelf))
    asked = Counter(task["task_type"] for task, _ in read_rows(tmp_path / "data" / "Recorded-RealScene"))
    assert asked["A3"] >= 15 and asked["A4"] >= 15 and asked["D1"] >= 10
    assert verify(tmp_path / "data").mismatches == []


def test_hand_held_frames_agree_with_their_poses_and_are_labelled_within_the_limits_asked_for(tmp_path: Path) -> None:
    source = real_sources.slambook(REAL, tmp_path / "slambook")
    assert check_frames(read_source(source).scenes[0].clips[0].frames).verdict == "agrees"
    summary = generate(tmp_path / "strict", LabelConfig(source))
    assert summary.transitions == 0 and sum(n for c, n in summary.left_out.items() if "not_planar" in c) == 20
    generate(tmp_path / "data", LabelConfig(source, max_tilt_deg=3.0, max_lift_m=0.05))
    rows = list(read_rows(tmp_path / "data" / "Recorded-RealScene"))
    assert Counter(task["task_type"] for task, _ in rows) == {"A3": 2, "A4": 2}
    assert verify(tmp_path / "data").mismatches == []


def test_a_photograph_with_depth_is_labelled_in_metres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few motions: each costs a warped view and its verification."""
    monkeypatch.setattr(photo_world, "_SINGLES", 2)
    monkeypatch.setattr(photo_world, "_MULTIS", 2)
    generate(tmp_path / "data", LabelConfig(real_sources.motorcycle(REAL, tmp_path / "motorcycle")))
    rows = list(read_rows(tmp_path / "data" / "DepthWarp-RealScene"))
    assert len(rows) >= 6 and any(proof["items"] for _, proof in rows)
    assert all(proof["scale"]["status"] == "metric" for _, proof in rows)
    assert verify(tmp_path / "data").mismatches == []
