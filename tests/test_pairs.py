"""Pairs of views: collated, mirrored and turned round without losing what is known, and true to geometry."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from head_cases import TINY, room

from geom.se3 import SE3
from geom.warp import z_residual
from models.model import camera_of
from models.pairs import Pairs
from models.room_plan import RoomConfig
from models.rooms import room_pairs
from synth.rooms import make_room


def equal(a: Pairs, b: Pairs) -> bool:
    parts = [name for name in (f.name for f in fields(Pairs)) if name != "T_a_b"]
    same = [torch.allclose(getattr(a, n).float(), getattr(b, n).float(), atol=1e-4, equal_nan=True) for n in parts]
    return all(same) and torch.allclose(a.T_a_b.matrix(), b.T_a_b.matrix(), atol=1e-5)


def test_twice_mirrored_and_twice_reversed_is_as_before() -> None:
    no_decoy = replace(room(), decoy=torch.full_like(room().decoy, torch.nan))
    assert equal(room().mirrored().mirrored(), room()) and equal(room().reversed_().reversed_(), no_decoy)
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
    few = room()[0:2]
    fewer = replace(few, box=few.box[:, :1], visible=few.visible[:, :1], decoy=few.decoy[:, :1])
    both = Pairs.collate([fewer, few])
    assert len(both) == 4 and both.box.shape[1] == few.box.shape[1]
    assert bool(both.box[:2, 1:].isnan().all()) and equal(both[2:4], few)


def test_what_does_not_go_together_is_refused() -> None:
    pairs = room()
    with pytest.raises(ValueError, match=r"z_depth must have shape \(12, 2, 48, 64\), got \(1,"):
        replace(pairs, z_depth=pairs.z_depth[:1])
    with pytest.raises(ValueError, match="one pose for each of 12 pairs"):
        replace(pairs, T_a_b=SE3.identity(3, dtype=torch.float32))
    with pytest.raises(ValueError, match="at least one pair"):
        Pairs.collate([])
    small = replace(pairs, image=pairs.image[..., :32], z_depth=pairs.z_depth[..., :32])
    with pytest.raises(ValueError, match="one size"):
        Pairs.collate([pairs, small])


def test_decoys_are_where_the_other_side_would_have_put_the_items() -> None:
    """Where a motion has no side, or none is seen of it, decoys are the items' own boxes."""
    pairs = Pairs.collate([room(0), room(1), room(2)])
    straight = (pairs.T_a_b.t[:, 0].abs() < 1e-5) & ((pairs.T_a_b.R - torch.eye(3)).abs().amax((1, 2)) < 1e-5)
    own, decoy = pairs.box[:, :, 1], pairs.decoy
    both = own.isfinite().all(-1) & decoy.isfinite().all(-1)
    off = (own - decoy).abs().amax(-1)
    assert int(both[straight].sum()) > 3 and float(off[straight][both[straight]].max()) < 1e-3
    assert int(both[~straight].sum()) > 10 and float(off[~straight][both[~straight]].median()) > 3


def test_softened_pictures_show_the_same_room_and_depths_stay_those_of_the_centres() -> None:
    soft = room_pairs(RoomConfig(5, TINY.image_size, samples=3), 0)
    assert soft is not None and torch.allclose(soft.T_a_b.t, room().T_a_b.t)
    same = torch.isclose(soft.z_depth, room().z_depth, rtol=1e-4)
    assert float(same.float().mean()) > 0.999
    off = (soft.image.float() - room().image.float()).abs()
    assert 0.5 < float(off.mean()) < 6
    with pytest.raises(ValueError, match="odd number"):
        RoomConfig(5, TINY.image_size, samples=2)


def test_a_kind_that_is_kept_for_a_test_is_in_no_room() -> None:
    without = ("chair", "stool", "potted plant")
    kinds = {item.kind for seed in range(12) for item in make_room(seed, without=without).items}
    assert not kinds & set(without) and len(kinds) > 20
    with pytest.raises(ValueError, match="must be some of .* got unicorn"):
        make_room(1, without=("unicorn",))
