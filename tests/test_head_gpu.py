"""The measurements on a GPU, on a CPU: their clock, their medians, and that each part gives its rows."""

from __future__ import annotations

import argparse
import itertools
import json
import time
from functools import partial
from pathlib import Path

import head_gpu
import pytest
import torch
from head_cases import TINY, room

from models.room_plan import RoomConfig
from models.stream import RoomPlans


def test_the_learning_rate_rises_soon_and_is_low_at_the_end() -> None:
    module = head_gpu.ByTheClock(TINY)
    module.seconds = 100.0
    paces = []
    for share in (0.0, 0.025, 0.05, 0.3, 0.9, 1.0, 2.0):
        module.began = time.monotonic() - 100 * share
        paces.append(module.pace(0))
    assert paces[0] < paces[1] < paces[2] and paces[2] == max(paces) == pytest.approx(1.0, abs=0.01)
    assert paces[2] > paces[3] > paces[4] > paces[5] == paces[6] > 0


def test_who_says_that_nothing_moves_is_off_by_the_turn() -> None:
    pairs = room()[0:6]
    found = head_gpu.medians([head_gpu.still(pairs)], ("rotation_deg", "box"))
    turned = torch.rad2deg((0.5 * (pairs.T_a_b.R.diagonal(dim1=1, dim2=2).sum(1) - 1)).clamp(-1, 1).acos())
    assert found["rotation_deg"] == pytest.approx(float(turned.quantile(0.5)), abs=0.1)
    assert 0 <= found["box_iou"] <= 1


def test_rows_tell_frames_and_are_kept_as_they_come(tmp_path: Path) -> None:
    args = argparse.Namespace(
        seed=0, image_size=(32, 32), samples=1, rooms_per_batch=1, stream_workers=[0], stream_seconds=0.2
    )
    result: dict = {}
    rows = head_gpu.streams(args, partial(head_gpu.note, tmp_path / "r.json", result, "stream"))
    assert json.loads((tmp_path / "r.json").read_text())["stream"] == json.loads(json.dumps(rows))
    assert [one["samples"] for one in rows[0]["drawn"]] == [1, 3] and rows[0]["plans_per_s"] > 0
    plans = [RoomPlans(RoomConfig(0, (32, 32)))[0]]
    row = head_gpu.timed(itertools.repeat(plans), 1, 0.1)
    assert row["frames_per_s"] == pytest.approx(row["rooms_per_s"] * (len(plans[0]) + 1), rel=0.1)
