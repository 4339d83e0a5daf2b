"""Pairs from simulated rooms, drawn by Embree: exact poses, depths, boxes and shares, at the cost of a few rays."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from geom.se3 import SE3
from models.answering import resized
from models.pairs import Pairs
from models.room_plan import RoomConfig, RoomPlan, open_room
from synth.evidence import Sight
from synth.room_world import RoomWorld


def room_pairs(config: RoomConfig, index: int) -> Pairs | None:
    """All pairs of a room: from its anchor by each motion that there is space for; else as `room_plan`."""
    opened = open_room(config, index)
    return None if opened is None else _drawn(*opened)


def _drawn(world: RoomWorld, plan: RoomPlan) -> Pairs:
    sights = [_sight(world, plan.T_world_cam[i]) for i in range(len(plan) + 1)]
    items = plan.told(sights[0].is_clean.tolist(), partial(_share, sights[0]))
    visible = [
        [[_share(sight, i) for sight in (sights[0], after)] for i in some]
        for some, after in zip(items, sights[1:], strict=True)
    ]
    decoys = [world.evidence.boxes(plan.T_world_mirrored[i], world.camera) for i in range(len(plan))]
    middle = slice(plan.samples // 2, None, plan.samples)
    pictures = [resized(cast(NDArray[np.uint8], sight.view.image), plan.image_size) for sight in sights]
    told = torch.tensor(items, dtype=torch.int64)
    return plan.pairs(
        torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]),
        torch.stack([_known(sight.view.z_depth[middle, middle]) for sight in sights]),
        torch.from_numpy(np.stack([sight.amodal for sight in sights]) / plan.samples).float(),
        torch.from_numpy(np.stack(decoys) / plan.samples).float(),
        told,
        torch.tensor(visible).reshape(*told.shape, 2),
    )


def _sight(world: RoomWorld, T_world_cam: SE3) -> Sight:
    return Sight(world.evidence, T_world_cam, world.camera, world.view(T_world_cam))


def _share(sight: Sight, item_idx: int) -> float:
    shares = sight.partition(item_idx)
    return float("nan") if shares is None else shares.visible


def _known(raster: NDArray[np.float32]) -> torch.Tensor:
    z_depth = torch.from_numpy(raster.copy())
    return z_depth.where(z_depth.isfinite(), torch.nan)
