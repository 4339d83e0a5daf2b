"""The comparison of head and twin: whose lead is real, by whole rooms."""

from __future__ import annotations

from pathlib import Path

import head
import numpy as np
import pytest
import torch
from head_cases import TINY

from models.questions import Asked
from models.rooms import room_pairs


def asked(task: str, room: int) -> Asked:
    return Asked("", task, "open", "", f"r{room}", (Path(),), (1, 1), np.eye(3), {}, {})


def test_a_lead_is_that_of_whole_rooms() -> None:
    questions = [asked(task, room) for room in range(20) for task in ("A1", "D2") for _ in range(5)]
    rng = np.random.default_rng(0)
    room_luck = np.repeat(rng.normal(0, 0.3, 20), 10)
    base = rng.uniform(size=len(questions))
    found = head.ahead([base + 0.2 + room_luck, base], questions)
    for task in ("A1", "D2", "all"):
        low, high = found[task]["interval"]
        assert low < found[task]["mean"] < high
        # Questions of one room share its luck: as if there were 20 answers and not 200.
        assert high - low == pytest.approx(2 * 1.96 * 0.3 / np.sqrt(20), rel=0.4)
    assert head.ahead([base, base], questions)["all"] == {"mean": 0.0, "interval": [0.0, 0.0]}


def test_errors_of_a_model_are_told_of_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "TEST_ROOMS", 2)
    torch.manual_seed(0)
    found = head.pair_errors(TINY.build(), TINY.image_size)
    rooms = [room_pairs(head.RoomConfig(head.TEST_SEED, TINY.image_size, 3), n) for n in range(2)]
    assert found["pairs"] == sum(len(one) for one in rooms if one is not None)
    assert 0 <= found["auc_5_10_20"][0] <= found["auc_5_10_20"][2] <= 1 and 0 < found["box_iou_mean"] <= 1
