"""Boxes and shares by torch: as Embree and closed forms have them, many at a time, on any device."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch

from geom.se3 import SE3
from synth.evidence import Sight, are_clean
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.torch_evidence import boxes, visible_boxes, visible_shares
from synth.torch_view import TorchRoom


@cache
def world(index: int) -> RoomWorld:
    return RoomWorld(GenerateConfig(num_scenes=8, seed=6, image_size=(96, 80)), index, Stages())


@cache
def poses(index: int) -> SE3:
    """The anchor, and after some motions."""
    trajs = [traj for traj, _ in world(index).trajectories(Counter())]
    return SE3.stack([world(index).T_world_anchor, *(traj.T_world_cam[1] for traj in trajs[::3])])


@cache
def all_of_all(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Each item from each pose: items and places of poses."""
    items, places = torch.meshgrid(
        torch.arange(len(world(index).scene.items)), torch.arange(len(poses(index).t)), indexing="ij"
    )
    return items.flatten(), places.flatten()


@cache
def twin_shares(index: int) -> torch.Tensor:
    found = [
        world(index).evidence.partition(int(i), poses(index)[int(p)], world(index).camera)
        for i, p in zip(*all_of_all(index), strict=True)
    ]
    return torch.tensor([float("nan") if shares is None else shares.visible for shares in found])


@pytest.mark.parametrize("index", range(3))
def test_boxes_are_those_of_the_twin(index: int, device: torch.device) -> None:
    found = boxes(TorchRoom.of(world(index).scene, device), world(index).camera, poses(index)).cpu().double()
    want = [world(index).evidence.boxes(poses(index)[i], world(index).camera) for i in range(len(found))]
    torch.testing.assert_close(found, torch.from_numpy(np.stack(want)), atol=0.05, rtol=0, equal_nan=True)
    assert bool(found.isnan().any()) and bool(found.isfinite().any())


@pytest.mark.parametrize("index", range(3))
def test_shares_are_those_of_the_twin_to_a_twentieth(index: int, device: torch.device) -> None:
    items, places = all_of_all(index)
    room = TorchRoom.of(world(index).scene, device)
    found = visible_shares(room, items.to(device), world(index).camera, poses(index)[places]).cpu()
    want = twin_shares(index)
    assert torch.equal(found.isnan(), want.isnan())
    off = (found - want).abs().nan_to_num(0.0)
    assert float(off.max()) < 0.05
    partly = (want > 0.02) & (want < 0.98)
    assert int(partly.sum()) > 10 and float(off[partly].median()) < 0.01


def test_an_item_asked_about_alone_has_the_share_that_it_has_among_others() -> None:
    items, places = all_of_all(0)
    room = TorchRoom.of(world(0).scene)
    which = ((twin_shares(0) > 0.02) & (twin_shares(0) < 0.98)).nonzero()[:5, 0]
    together = visible_shares(room, items[which], world(0).camera, poses(0)[places[which]])
    for i, share in zip(which.tolist(), together, strict=True):
        alone = visible_shares(room, items[i : i + 1], world(0).camera, poses(0)[places[i : i + 1]])
        assert float(alone[0]) == pytest.approx(float(share), abs=1e-3)
    assert visible_shares(room, items[:0], world(0).camera, poses(0)[places[:0]]).shape == (0,)


@pytest.mark.parametrize("index", range(2))
def test_visible_boxes_and_what_is_clean_are_those_of_a_sight(index: int) -> None:
    view = world(index).view(world(index).T_world_anchor)
    sight = Sight(world(index).evidence, world(index).T_world_anchor, world(index).camera, view)
    found = visible_boxes(torch.from_numpy(view.item_idx), len(world(index).scene.items))
    torch.testing.assert_close(found.double(), torch.from_numpy(sight.visible), equal_nan=True)
    clean = are_clean(torch.from_numpy(sight.amodal).float(), found, 96, 80)
    assert torch.equal(clean, torch.from_numpy(sight.is_clean)) and 0 < int(clean.sum()) < len(clean)
