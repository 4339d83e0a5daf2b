"""Pairs of views: collated, mirrored and turned round without losing what is known, and true to geometry."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from head_cases import room, some

from geom.se3 import SE3
from geom.warp import z_residual
from models.model import camera_of
from models.pairs import Pairs


def equal(a: Pairs, b: Pairs) -> bool:
    parts = [name for name in (f.name for f in fields(Pairs)) if name != "T_a_b"]
    same = [torch.allclose(getattr(a, n).float(), getattr(b, n).float(), atol=1e-4, equal_nan=True) for n in parts]
    return all(same) and torch.allclose(a.T_a_b.matrix(), b.T_a_b.matrix(), atol=1e-5)


def test_twice_mirrored_and_twice_reversed_is_as_before() -> None:
    assert equal(room().mirrored().mirrored(), room()) and equal(room().reversed_().reversed_(), room())
    assert not equal(room().mirrored(), room()) and not equal(room().reversed_(), room())
    assert equal(room().mirrored().reversed_(), room().reversed_().mirrored())


@pytest.mark.parametrize("change", [lambda p: p, Pairs.mirrored, Pairs.reversed_], ids=["as it is", "mirror", "back"])
def test_depth_of_one_view_moved_by_the_pose_meets_that_of_the_other(change) -> None:
    pairs = change(room())
    camera = camera_of(pairs)
    off = z_residual(pairs.z_depth[:, 0], camera, pairs.T_a_b.inverse(), pairs.z_depth[:, 1], camera)
    known = off[off.isfinite()].abs()
    assert len(known) > 10_000 and float(known.median()) < 0.02


def test_boxes_hold_what_is_seen_in_both_views() -> None:
    box = room().box
    known = box.isfinite().all(-1)
    assert int(known.sum()) > 20 and bool((box[known][:, 2:] > box[known][:, :2]).all())
    assert float(room().visible[:, :, 0].nan_to_num(1).min()) >= 0.5


def test_collating_pads_items_and_keeps_pairs() -> None:
    few = some(room(), slice(0, 2))
    fewer = Pairs(few.image, few.K, few.T_a_b, few.z_depth, few.box[:, :1], few.visible[:, :1])
    both = Pairs.collate([fewer, few])
    assert len(both) == 4 and both.box.shape[1] == few.box.shape[1]
    assert bool(both.box[:2, 1:].isnan().all()) and equal(some(both, slice(2, 4)), few)


def test_what_does_not_go_together_is_refused() -> None:
    pairs = room()
    with pytest.raises(ValueError, match=r"z_depth must have shape \(12, 2, 48, 64\), got \(1,"):
        Pairs(pairs.image, pairs.K, pairs.T_a_b, pairs.z_depth[:1], pairs.box, pairs.visible)
    with pytest.raises(ValueError, match="one pose for each of 12 pairs"):
        Pairs(pairs.image, pairs.K, SE3.identity(3, dtype=torch.float32), pairs.z_depth, pairs.box, pairs.visible)
    with pytest.raises(ValueError, match="at least one pair"):
        Pairs.collate([])
    small = Pairs(pairs.image[..., :32], pairs.K, pairs.T_a_b, pairs.z_depth[..., :32], pairs.box, pairs.visible)
    with pytest.raises(ValueError, match="one size"):
        Pairs.collate([pairs, small])
