"""Claims for training: half are true, and what is said to be false is."""

from __future__ import annotations

import torch
from head_cases import room, some

from models.claims import claimed_boxes, claimed_motions
from models.pairs import Pairs


def test_half_of_the_claimed_motions_are_true_and_only_those_that_are_said_to_be() -> None:
    pairs = Pairs.collate([room()] * 20)
    claimed, is_true = claimed_motions(pairs, torch.Generator().manual_seed(0))
    same = (claimed.matrix() - pairs.T_a_b.matrix()).abs().amax((1, 2)) < 1e-5
    assert torch.equal(same, is_true) and 0.4 < float(is_true.float().mean()) < 0.6


def test_the_motion_of_a_pair_that_is_alone_is_no_false_claim_about_it() -> None:
    pairs = some(room(), slice(3, 4))
    for seed in range(30):
        claimed, is_true = claimed_motions(pairs, torch.Generator().manual_seed(seed))
        same = (claimed.matrix() - pairs.T_a_b.matrix()).abs().amax((1, 2)) < 1e-5
        assert torch.equal(same, is_true)


def test_a_box_is_its_own_or_not_as_it_is_said() -> None:
    for n in (1, 3):
        box = (torch.arange(40 * n * 4, dtype=torch.float32) * 2).reshape(40, n, 4)
        claimed, is_true = claimed_boxes(box, box + 1, torch.Generator().manual_seed(1))
        assert torch.equal((claimed == box).all(-1), is_true)
        assert 0.2 < float(is_true.float().mean()) < 0.9
