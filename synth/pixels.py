"""Objects of recorded frames with depth: outlines lifted into space, moved to another view, and looked for there.

What an object is, is told by all frames but the one that is looked at: its pixels there take no part in saying where it
should be, so that they are a witness of their own. Boxes and shares therefore exist only where some other frame shows
the object, and a box is asked about only where prediction and outline coincide (`synth.evidence.MIN_BOX_IOU`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from geom.boxes import clip_box
from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.visibility import Partition, in_view, partition
from synth.transition import UNKNOWN, View

SAME_SURFACE = 0.02
"""Relative: a measured surface this near to a point's z-depth is the point's own; one nearer by more hides it."""

SMOOTH = 0.03
"""A pixel whose z-depth differs by more from the median of its object's pixels around it is no part of the object."""

MIN_SUPPORT = 0.7
"""Share of the frames that see a point which must show it as the object's."""

MAX_UNMEASURED = 0.1
"""Share of an object that may fall on pixels without depth before nothing is said of what hides it."""

MIN_POINTS = 30
_POINTS_PER_FRAME = 1500
_BIN_PX = 2.0
_WINDOW = 2


@dataclass(frozen=True)
class PixelFrame:
    """A view with the camera that took it."""

    camera: PinholeCamera
    T_world_cam: SE3
    view: View


@dataclass(frozen=True)
class Cloud:
    """Lifted pixels of one object from all frames."""

    points: Float[Tensor, "n 3"]
    """World."""
    frame: Int[Tensor, " n"]
    """That each was lifted from."""
    votes: Float[Tensor, "frames n"]
    """1 where a frame sees the point as the object's, 0 where as something else, NaN where it does not see it."""

    def without(self, frame: int | None) -> Float[Tensor, "m 3"]:
        """The points that the other frames agree on; those of one frame alone where there are no more."""
        votes = self.votes.clone()
        if frame is not None:
            votes[frame] = math.nan
        count = votes.isfinite().sum(0)
        needed = min(2, len(votes) - (frame is not None))
        keep = (count >= needed) & (votes.nan_to_num(0.0).sum(0) >= MIN_SUPPORT * count)
        return self.points[keep & (self.frame != (-1 if frame is None else frame))]


class PixelsEvidence:
    """Evidence of objects that are outlined in recorded frames with depth.

    Args:
        item_ids, kinds: of the objects, in the order of the frames' item_idx.
        frames: all that the scene keeps.
    """

    def __init__(self, item_ids: tuple[str, ...], kinds: tuple[str, ...], frames: tuple[PixelFrame, ...]) -> None:
        self.item_ids, self.kinds, self.frames = item_ids, kinds, frames
        self._at = {frame.T_world_cam.matrix().numpy().tobytes(): i for i, frame in reversed([*enumerate(frames)])}
        self._boxes: dict[tuple[bytes, bytes], NDArray[np.float64]] = {}

    def frame_at(self, T_world_cam: SE3) -> int | None:
        """The frame that was taken from a pose."""
        return self._at.get(T_world_cam.matrix().numpy().tobytes())

    @cached_property
    def _lifted(self) -> dict[tuple[int, int], Tensor]:
        """Points of each object by (item, frame); nothing where it owns too few pixels."""
        lifted = {}
        for f, frame in enumerate(self.frames):
            for i in range(len(self.kinds)):
                points = lift(frame, i)
                if len(points) >= MIN_POINTS:
                    lifted[i, f] = points
        return lifted

    @cached_property
    def clouds(self) -> tuple[Cloud, ...]:
        """What is known of every object."""
        return tuple(self._cloud(i) for i in range(len(self.kinds)))

    def _cloud(self, item_idx: int) -> Cloud:
        parts = {f: points for (i, f), points in self._lifted.items() if i == item_idx}
        if not parts:
            nothing = torch.empty(0, 3, dtype=torch.float64)
            return Cloud(nothing, torch.empty(0, dtype=torch.int64), torch.empty(len(self.frames), 0).double())
        points = torch.cat([*parts.values()])
        origin = torch.cat([torch.full((len(part),), f) for f, part in parts.items()])
        votes = torch.stack([votes_of(frame, points, item_idx) for frame in self.frames])
        return Cloud(points, origin, votes)

    def boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        """Boxes around what the other frames know of each item, pixels, clipped; NaN out of view. (items, 4)"""
        key = T_world_cam.matrix().numpy().tobytes(), camera.K.numpy().tobytes()
        if key not in self._boxes:
            frame, T_cam_world = self.frame_at(T_world_cam), T_world_cam.inverse()
            rows = [_box(T_cam_world.act(cloud.without(frame)), camera) for cloud in self.clouds]
            self._boxes[key] = np.array(rows).reshape(-1, 4)
        return self._boxes[key]

    def partition(self, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> Partition | None:
        """Shares of what the other frames know of an item; None where no frame was taken, or too little is measured.

        Equal solid angles count alike: of the points in one bin of directions the nearest stands for all.
        """
        frame = self.frame_at(T_world_cam)
        points = self.clouds[item_idx].without(frame)
        if frame is None or len(points) < MIN_POINTS:
            return None
        points = nearest_in_bins(points, T_world_cam.t, _BIN_PX / float(camera.focal.mean()))
        p_cam = T_world_cam.inverse().act(points)
        first = first_item(self.frames[frame], p_cam, item_idx)
        known = first != UNKNOWN
        if float(known.double().mean()) < 1 - MAX_UNMEASURED:
            return None
        return partition(p_cam[known], torch.ones(int(known.sum())).double(), first[known], item_idx, camera)

    def is_seen(self, p_world: Tensor, T_world_cam: SE3) -> NDArray[np.bool_]:
        """True: where no picture was taken nobody knows what hides a surface, so all of them count."""
        return np.ones(len(p_world), bool)

    def witness(self, item_idx: int, before: int, after: int) -> float | None:
        """Share of an item's pixels in one frame that another frame's outlines show as the item's, where it sees them.

        Returns:
            None if the item is not outlined in the first, or the second sees fewer than MIN_POINTS of its points.
        """
        points = self._lifted.get((item_idx, before))
        return None if points is None else share_of(self.frames[after], points, item_idx)


def lift(frame: PixelFrame, item_idx: int) -> Float[Tensor, "n 3"]:
    """Points (world) of an item's pixels in a frame whose depth is known and smooth; at most some 1,500, evenly."""
    view = frame.view
    own = smooth_pixels(view.z_depth, view.item_idx == item_idx)
    own = own[:: max(1, -(-len(own) // _POINTS_PER_FRAME))]
    z = torch.from_numpy(view.z_depth[own[:, 0], own[:, 1]]).double()
    uv = torch.from_numpy(own[:, ::-1] + 0.5)
    return frame.T_world_cam.act(frame.camera.unproject(uv, z))


def smooth_pixels(z_depth: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(row, col) of own pixels with z-depth within SMOOTH of the median of the own ones in the 5 x 5 around, (n, 2)."""
    pixels = np.argwhere(own & np.isfinite(z_depth))
    if not len(pixels):
        return pixels
    z = np.pad(np.where(own, z_depth, np.nan).astype(np.float64), _WINDOW, constant_values=np.nan)
    side = 2 * _WINDOW + 1
    windows = np.lib.stride_tricks.sliding_window_view(z, (side, side))[pixels[:, 0], pixels[:, 1]]
    median = np.nanmedian(windows.reshape(len(pixels), -1), axis=1)
    return pixels[np.abs(windows[:, _WINDOW, _WINDOW] - median) <= SMOOTH * median]


def votes_of(frame: PixelFrame, p_world: Float[Tensor, "n 3"], item_idx: int) -> Float[Tensor, " n"]:
    """1 where a frame sees a point as the item's, 0 where as another's, NaN where it does not see it."""
    p_cam = frame.T_world_cam.inverse().act(p_world)
    inside, z_front, owner = _measured(frame, p_cam)
    seen = inside & ((p_cam[:, 2] - z_front).abs() <= SAME_SURFACE * p_cam[:, 2])
    return (owner == item_idx).double().where(seen, math.nan)


def share_of(frame: PixelFrame, p_world: Float[Tensor, "n 3"], item_idx: int) -> float | None:
    """Share of the points that a frame sees which it shows as the item's; None if it sees fewer than MIN_POINTS."""
    votes = votes_of(frame, p_world, item_idx)
    seen = votes.isfinite()
    return float(votes[seen].mean()) if int(seen.sum()) >= MIN_POINTS else None


def first_item(frame: PixelFrame, p_cam: Float[Tensor, "n 3"], item_idx: int) -> Int[Tensor, " n"]:
    """What a frame shows first on the way to points of an item: itself, another, ROOM, or UNKNOWN without depth."""
    inside, z_front, owner = _measured(frame, p_cam)
    hidden = inside & (p_cam[:, 2] > z_front * (1 + SAME_SURFACE)) & (owner != item_idx)
    first = owner.where(hidden, item_idx)
    return first.where(~inside | z_front.isfinite() | (owner == item_idx), UNKNOWN)


def _measured(frame: PixelFrame, p_cam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether points fall into the picture, and the z-depth and owner of the pixels there."""
    inside = in_view(p_cam, frame.camera)[1]
    uv = frame.camera.project(p_cam)[0].where(inside[:, None], 0).long()
    col, row = uv[:, 0].clamp_max(frame.camera.width - 1), uv[:, 1].clamp_max(frame.camera.height - 1)
    z_front = torch.from_numpy(frame.view.z_depth)[row, col].double()
    return inside, z_front, torch.from_numpy(frame.view.item_idx)[row, col].long()


def _box(p_cam: Tensor, camera: PinholeCamera) -> NDArray[np.float64]:
    """Box of points with half a pixel around, clipped at the image."""
    uv, in_front = camera.project(p_cam)
    uv = uv[in_front]
    if len(uv) < MIN_POINTS:
        return np.full(4, np.nan)
    box, valid = clip_box(torch.cat([uv.amin(0) - 0.5, uv.amax(0) + 0.5]), camera.width, camera.height)
    return box.numpy() if bool(valid) else np.full(4, np.nan)


def nearest_in_bins(p_world: Float[Tensor, "n 3"], center: Float[Tensor, " 3"], size: float) -> Float[Tensor, "m 3"]:
    """The nearest point of each bin of directions; bins are of equal solid angle, about size x size steradians."""
    offset = p_world - center
    dist = offset.norm(dim=-1)
    # Equal steps of sine of latitude and of longitude are equal areas of the sphere (Archimedes).
    latitude = torch.floor(offset[:, 1] / dist.clamp_min(1e-12) / size)
    longitude = torch.floor(torch.atan2(offset[:, 0], offset[:, 2]) / size)
    order = torch.argsort(dist, stable=True)
    key = (latitude * (2 * math.ceil(math.pi / size) + 3) + longitude)[order].numpy()
    return p_world[order][torch.from_numpy(np.unique(key, return_index=True)[1])]
