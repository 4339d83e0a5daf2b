"""Claims for training: half are true, and what is said to be false is."""

from __future__ import annotations

import torch
from head_cases import room

from geom.boxes import box_iou
from models.claims import claimed_boxes, claimed_motions
from models.pairs import Pairs
from synth.tasks_object import MAX_OTHER_IOU


def test_half_of_the_claimed_motions_are_true_and_only_those_that_are_said_to_be() -> None:
    pairs = Pairs.collate([room()] * 20)
    claimed, is_true = claimed_motions(pairs, torch.Generator().manual_seed(0))
    same = (claimed.matrix() - pairs.T_a_b.matrix()).abs().amax((1, 2)) < 1e-5
    assert torch.equal(same, is_true) and 0.4 < float(is_true.float().mean()) < 0.6


def test_the_motion_of_a_pair_that_is_alone_is_no_false_claim_about_it() -> None:
    pairs = room()[3:4]
    for seed in range(30):
        claimed, is_true = claimed_motions(pairs, torch.Generator().manual_seed(seed))
        same = (claimed.matrix() - pairs.T_a_b.matrix()).abs().amax((1, 2)) < 1e-5
        assert torch.equal(same, is_true)


def test_a_box_is_its_own_or_not_as_it_is_said() -> None:
    pairs = Pairs.collate([room(0), room(1)] * 10)
    claimed, is_true = claimed_boxes(pairs, torch.Generator().manual_seed(1))
    own = pairs.box[:, :, 1]
    known = own.isfinite().all(-1) & claimed.isfinite().all(-1)
    assert int(known.sum()) > 200
    assert torch.equal(((claimed - own).abs() < 1e-4).all(-1)[known], is_true[known])
    assert 0.3 < float(is_true[known].float().mean()) < 0.7


def test_a_decoy_is_taken_for_a_false_box_only_where_it_is_none() -> None:
    pairs = Pairs.collate([room(0), room(1)] * 10)
    claimed, is_true = claimed_boxes(pairs, torch.Generator().manual_seed(2))
    is_decoy = ((claimed - pairs.decoy).abs() < 1e-4).all(-1) & ~is_true
    assert int(is_decoy.sum()) > 20
    assert float(box_iou(claimed, pairs.box[:, :, 1])[is_decoy].max()) <= MAX_OTHER_IOU
