"""What decides the object questions: boxes and visible shares of every item of a scene, from any camera.

`Evidence` is the one interface that tasks know. A simulated room answers it by Embree and closed-form boxes
(`RoomEvidence`), a mesh by Embree and its vertices (`synth.mesh_evidence`), a photograph by its lifted pixels
(`synth.depthwarp`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor

from geom.boxes import amodal_boxes, box_area, box_iou
from geom.camera import PinholeCamera
from geom.embree import TriangleScene
from geom.primitives import Primitives
from geom.se3 import SE3
from geom.visibility import Partition, partition, silhouette_grid
from synth.scene import Scene
from synth.transition import ROOM, View

_COARSE_RAYS = 256
_SILHOUETTE_HITS = 3000
_MAX_RAYS = 60_000


@runtime_checkable
class Evidence(Protocol):
    """Geometry of the items of a scene, as the tasks need it. Item order is that of the id rasters."""

    item_ids: tuple[str, ...]
    kinds: tuple[str, ...]

    def boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        """Amodal boxes, pixels, clipped at the image; a row of NaN for an item that is not in view. (items, 4)"""
        ...

    def partition(self, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> Partition | None:
        """Visible, hidden, outside and behind shares of one item; None where they are undefined (inside it)."""
        ...

    def is_seen(self, p_world: Tensor, T_world_cam: SE3) -> NDArray[np.bool_]:
        """Whether nothing stands between the camera centre and each point of a surface. (n, 3) -> (n,)"""
        ...


class CastEvidence(ABC):
    """Evidence of items with surfaces that rays meet."""

    item_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    caster: TriangleScene
    """All that can be met."""
    owner: NDArray[np.int16]
    """Item of each answer of `caster`; the last, which an answer of -1 finds, is ROOM."""

    def __init__(self, item_ids: tuple[str, ...], kinds: tuple[str, ...]) -> None:
        self.item_ids, self.kinds = item_ids, kinds
        self._items: dict[int, tuple[TriangleScene, Tensor]] = {}
        self._boxes: dict[tuple[float | int, ...], NDArray[np.float64]] = {}

    @abstractmethod
    def _alone(self, item_idx: int) -> tuple[TriangleScene, Tensor]:
        """One item without the rest of the room, and points whose hull holds it."""

    @abstractmethod
    def _is_inside(self, item_idx: int, origin: Tensor) -> bool:
        """Whether a point lies inside of an item."""

    @abstractmethod
    def _new_boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        """As `boxes`."""

    def boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        """Exact boxes, once for each pose."""
        # Tasks ask for the same pose many times: the mirrored motion's, once per rival of each object.
        key = (*T_world_cam.matrix().ravel().tolist(), *camera.K.ravel().tolist(), camera.width, camera.height)
        if key not in self._boxes:
            self._boxes[key] = self._new_boxes(T_world_cam, camera)
        return self._boxes[key]

    def partition(self, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> Partition | None:
        """Shares by rays: those that meet the item alone, then what they meet first in the room."""
        origin = T_world_cam.t
        if self._is_inside(item_idx, origin):
            return None
        if item_idx not in self._items:
            self._items[item_idx] = self._alone(item_idx)
        alone, hull = self._items[item_idx]
        direction, weight, hit = _silhouette(alone, hull, origin, _COARSE_RAYS)
        fill = float(hit.double().mean())
        if fill == 0:
            return None
        direction, weight, hit = _silhouette(alone, hull, origin, min(int(_SILHOUETTE_HITS / fill), _MAX_RAYS))
        direction, weight = direction[hit], weight[hit]
        first = self.owner.take(self.caster.cast_np(_rays(origin, direction))[1], mode="wrap")
        d_cam = T_world_cam.inverse().rotate(direction)
        return partition(d_cam, weight, torch.from_numpy(first.astype(np.int64)), item_idx, camera)

    def is_seen(self, p_world: Tensor, T_world_cam: SE3) -> NDArray[np.bool_]:
        direction = p_world - T_world_cam.t
        return (~self.caster.occluded(T_world_cam.t, direction, 1 - 1e-3)).numpy()


class SolidsEvidence(CastEvidence):
    """Evidence of items made of convex solids, among which nothing else stands."""

    def __init__(self, item_ids: tuple[str, ...], kinds: tuple[str, ...], primitives: Primitives) -> None:
        super().__init__(item_ids, kinds)
        self.primitives = primitives
        # Primitive -1 is a miss: there is nothing beyond the room but the room.
        self.owner = np.append(primitives.item_idx.numpy(), ROOM).astype(np.int16)

    @cached_property
    def caster(self) -> TriangleScene:
        return TriangleScene(self.primitives, nthreads=1)

    @cached_property
    def _solid(self) -> Primitives:
        return self.primitives.select(self.primitives.item_idx >= 0)

    def _parts(self, item_idx: int) -> Primitives:
        return self.primitives.select(self.primitives.item_idx == item_idx)

    def _alone(self, item_idx: int) -> tuple[TriangleScene, Tensor]:
        parts = self._parts(item_idx)
        return TriangleScene(parts, nthreads=1), parts.corners().flatten(0, 1)

    def _is_inside(self, item_idx: int, origin: Tensor) -> bool:
        return bool(self._parts(item_idx).contains(origin).any())

    def _new_boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        box, valid = amodal_boxes(self._solid, T_world_cam.inverse(), camera, len(self.kinds))
        return torch.where(valid[:, None], box, torch.nan).numpy()


class RoomEvidence(SolidsEvidence):
    """Evidence of a simulated room."""

    def __init__(self, scene: Scene) -> None:
        ids, kinds = (tuple(getattr(item, name) for item in scene.items) for name in ("item_id", "kind"))
        super().__init__(ids, kinds, scene.primitives())


def _silhouette(alone: TriangleScene, hull: Tensor, origin: Tensor, num_rays: int) -> tuple[Tensor, Tensor, Tensor]:
    direction, weight = silhouette_grid(hull, origin, num_rays=num_rays)
    return direction, weight, torch.from_numpy(alone.occluded_np(_rays(origin, direction), np.inf))


def _rays(origin: Tensor, direction: Tensor) -> NDArray[np.float32]:
    rays = np.empty((len(direction), 6), np.float32)
    rays[:, :3], rays[:, 3:] = origin.numpy(), direction.numpy()
    return rays


MIN_BOX_IOU = 0.9
"""A box is asked or given only where the amodal and the visible box coincide at least so far."""
MIN_BOX_AREA = 0.003
MAX_BOX_AREA = 0.6
"""Area of an asked or given box, as a share of the image."""


def are_clean(
    amodal: Float[Tensor, "*items 4"], visible: Float[Tensor, "*items 4"], width: int, height: int
) -> Bool[Tensor, "*items"]:
    """Items whose box can be given or asked: amodal and visible box nearly coincide, at a fair size."""
    area = box_area(amodal) / (width * height)
    return (box_iou(amodal, visible) >= MIN_BOX_IOU) & (area >= MIN_BOX_AREA) & (area <= MAX_BOX_AREA)


@dataclass(frozen=True)
class Sight:
    """What one camera makes of all items: their amodal and visible boxes, and their partitions on demand."""

    evidence: Evidence
    T_world_cam: SE3
    camera: PinholeCamera
    view: View

    @cached_property
    def amodal(self) -> NDArray[np.float64]:
        """(items, 4) pixels, NaN where out of view."""
        return self.evidence.boxes(self.T_world_cam, self.camera)

    @cached_property
    def visible(self) -> NDArray[np.float64]:
        """Boxes around the pixels that each item owns, (items, 4), NaN where it owns none."""
        boxes = np.full((len(self.evidence.kinds), 4), np.nan)
        for i, found in enumerate(find_objects(self.view.item_idx.astype(np.int32) + 1, len(boxes))):
            if found is not None:
                rows, cols = found
                boxes[i] = cols.start, rows.start, cols.stop, rows.stop
        return boxes

    @cached_property
    def is_clean(self) -> NDArray[np.bool_]:
        """As `are_clean`."""
        boxes = torch.from_numpy(self.amodal), torch.from_numpy(self.visible)
        return are_clean(*boxes, self.camera.width, self.camera.height).numpy()

    @cached_property
    def _partitions(self) -> dict[int, Partition | None]:
        return {}

    def partition(self, item_idx: int) -> Partition | None:
        """Shares of one item, computed once."""
        if item_idx not in self._partitions:
            self._partitions[item_idx] = self.evidence.partition(item_idx, self.T_world_cam, self.camera)
        return self._partitions[item_idx]
