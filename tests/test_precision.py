"""Mixed precision: what is learned from is nearly what full precision would give, and poses are poses."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from head_cases import TINY, room

from models.claims import claimed_motions
from models.model import camera_of


@pytest.mark.parametrize("kind", ["geometric", "black_box"])
def test_losses_and_poses_are_nearly_those_of_full_precision(kind: Literal["geometric", "black_box"]) -> None:
    torch.manual_seed(0)
    model, pairs = replace(TINY, kind=kind).build(), room()[0:6]
    want = model.losses(pairs, torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model.losses(pairs, torch.Generator().manual_seed(1))
        R = model.motion(*model.views(pairs.image, camera_of(pairs))).T_a_b.R
    assert float((R.mT @ R - torch.eye(3)).abs().max()) < 1e-4
    assert found.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(found[name].float(), value.detach(), rtol=0.05, atol=0.05, msg=name)


def test_claims_are_the_same_in_any_precision() -> None:
    want, _ = claimed_motions(room(), torch.Generator().manual_seed(3))
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = claimed_motions(room(), torch.Generator().manual_seed(3))
    assert torch.equal(found.R, want.R) and torch.equal(found.t, want.t)
