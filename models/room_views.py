"""Pairs from simulated rooms, drawn by torch on the device that trains on them.

What `models.rooms` gives, without Open3D and without a copy between host and device: solids are round rather than made
of triangles, shadows are hard, and shares of silhouettes are right to 0.05, by fewer rays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geom.se3 import SE3
from models.pairs import Pairs
from models.room_plan import RoomPlan
from synth.evidence import are_clean
from synth.torch_evidence import boxes, visible_boxes, visible_shares
from synth.torch_view import TorchRoom


def draw(plans: Sequence[RoomPlan], device: Any) -> Pairs:
    """All pairs of some rooms, drawn on a device and left there; each room is the same whatever is drawn beside it.

    Raises:
        ValueError: if there is no plan, or pictures of several sizes.
    """
    return Pairs.collate([_drawn(plan, TorchRoom.of(plan.scene, device)) for plan in plans])


def _drawn(plan: RoomPlan, room: TorchRoom) -> Pairs:
    n, camera = len(plan), plan.camera
    views = room.views(camera, plan.T_world_cam, samples=plan.samples)
    box = boxes(room, camera, _joined(plan.T_world_cam, plan.T_world_mirrored))
    is_clean = _are_clean_before(plan, room, box[0])
    clean = is_clean.nonzero()[:, 0]
    before = box.new_full((len(is_clean),), torch.nan)
    before[clean] = visible_shares(room, clean, camera, plan.T_world_cam[[0] * len(clean)])
    told = torch.tensor(plan.told(is_clean.tolist(), before.tolist().__getitem__), dtype=torch.int64)
    T_world_after = plan.T_world_cam[torch.arange(1, n + 1).repeat_interleave(told.shape[1])]
    told = told.to(before.device)
    after = visible_shares(room, told.flatten(), camera, T_world_after).view(told.shape)
    visible = torch.stack([before[told], after], -1)
    return plan.pairs(views.image, views.z_depth, box[: n + 1], box[n + 1 :], told, visible)


def _are_clean_before(plan: RoomPlan, room: TorchRoom, amodal: Float[Tensor, "items 4"]) -> Bool[Tensor, " items"]:
    item_idx = room.item_idx(plan.fine_camera, plan.T_world_cam[:1])[0]
    return are_clean(amodal, visible_boxes(item_idx, len(amodal)) / plan.samples, *plan.image_size)


def _joined(a: SE3, b: SE3) -> SE3:
    return SE3(torch.cat([a.R, b.R]), torch.cat([a.t, b.t]))
