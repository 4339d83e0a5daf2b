"""What decides the object questions of a simulated room, by torch alone: boxes and visible shares, many at a time.

The rules are those of `synth.evidence`. Meant for training, where many rooms matter more than digits: shares come from
half a thousand rays around each silhouette and are right to 0.05.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Int16
from torch import Tensor

from geom.boxes import amodal_boxes, visible_box
from geom.bundles import cast_bundles
from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.visibility import in_view, silhouette_grid
from synth.torch_view import TorchRoom, exact

_RAYS, _BUNDLE = 512, 64
"""Rays of a silhouette; and those of a bundle, which keep together because their lattice goes from side to side."""


def boxes(room: TorchRoom, camera: PinholeCamera, T_world_cam: SE3) -> Float[Tensor, "n items 4"]:
    """Amodal boxes of all items as n cameras have them, pixels, clipped at the picture; NaN out of view."""
    solids, like = room.primitives.select(room.primitives.item_idx >= 0), room.primitives.half_size
    with exact(like.device):
        found, valid = amodal_boxes(solids, T_world_cam.inverse().to(like), camera.to(like), len(room.scene.items))
        return found.where(valid[..., None], torch.nan)


def visible_boxes(item_idx: Int16[Tensor, "h w"], num_items: int) -> Float[Tensor, "items 4"]:
    """Boxes around the pixels that each item owns, NaN where it owns none."""
    items = torch.arange(num_items, device=item_idx.device)
    return visible_box((item_idx == items[:, None, None]).byte(), 1)[0].float()


def visible_shares(
    room: TorchRoom, item_idx: Int[Tensor, " k"], camera: PinholeCamera, T_world_cam: SE3
) -> Float[Tensor, " k"]:
    """Share of an item's silhouette that a camera sees, by solid angle, of k items from k cameras (`geom.visibility`).

    Args:
        item_idx: which items.
        camera: one for all.
        T_world_cam: (k,), none of them inside of its item.

    Returns:
        0 to 1; NaN where no ray meets the item.
    """
    primitives, like = room.primitives, room.primitives.half_size
    T_world_cam, item_idx = T_world_cam.to(like), item_idx.to(like.device)
    with exact(like.device):
        direction, weight = silhouette_grid(_hulls(room)[item_idx], T_world_cam.t, num_rays=_RAYS)
        is_own = primitives.item_idx == item_idx[:, None]
        weight = weight * (_cast(room, T_world_cam, direction, is_own) >= 0)
        first = primitives.item_idx[_cast(room, T_world_cam, direction, None)]
        inside = in_view(T_world_cam[:, None].inverse().rotate(direction), camera.to(like))[1]
        is_seen = inside & (first == item_idx[:, None])
        return (weight * is_seen).sum(1) / weight.sum(1)


def _cast(
    room: TorchRoom, T_world_cam: SE3, direction: Float[Tensor, "k m 3"], among: Bool[Tensor, "k n"] | None
) -> Int[Tensor, "k m"]:
    """Which primitive is met first, -1 for none."""
    parts = direction.shape[1] // _BUNDLE
    origin = T_world_cam.t.repeat_interleave(parts, 0)
    among = None if among is None else among.repeat_interleave(parts, 0)
    bundles = direction.reshape(-1, _BUNDLE, 3)
    return cast_bundles(room.primitives, origin, bundles, among=among).prim_idx.view(direction.shape[:2])


def _hulls(room: TorchRoom) -> Float[Tensor, "items points 3"]:
    """Points whose convex hull holds each item; those of items with fewer parts are there several times."""
    # Items come in order, before the room: `Scene.primitives`.
    num = torch.tensor([len(item.parts) for item in room.scene.items])[:, None]
    part = torch.minimum(torch.arange(int(num.max())), num - 1) + num.cumsum(0) - num
    return room.primitives.corners()[part.to(room.primitives.device)].flatten(1, 2)
