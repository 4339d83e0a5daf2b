"""What decides the object questions in a scene of triangles: every vertex projected, every silhouette cast."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geom.camera import PinholeCamera
from geom.embree import TriangleScene
from geom.se3 import SE3
from synth.evidence import CastEvidence
from synth.mesh_scene import MeshScene
from synth.transition import ROOM

Z_NEAR_M = 1e-3
"""Boxes count what is further than this, along the axis."""


class MeshEvidence(CastEvidence):
    """Evidence of a `MeshScene`. A point is inside an item that winds around it more than half a time."""

    def __init__(self, scene: MeshScene) -> None:
        super().__init__(tuple(i.item_id for i in scene.items), tuple(i.kind for i in scene.items))
        self.scene = scene
        self.owner = np.append(scene.item_idx, ROOM).astype(np.int16)

    @cached_property
    def caster(self) -> TriangleScene:
        return TriangleScene(self.scene.mesh(), nthreads=1)

    @cached_property
    def _outlines(self) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """Vertices (v, 3) of each item, and its edges (e, 2) as rows of them."""
        return [self._outline(item_idx) for item_idx in range(len(self.kinds))]

    def _outline(self, item_idx: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        own = self.scene.triangles[self.scene.item_idx == item_idx]
        vertex_idx, rows = np.unique(own, return_inverse=True)
        triangles = rows.reshape(-1, 3)
        edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        return self.scene.vertices[vertex_idx], np.unique(edges, axis=0)

    def _alone(self, item_idx: int) -> tuple[TriangleScene, Tensor]:
        mesh = self.scene.mesh(self.scene.item_idx == item_idx)
        return TriangleScene(mesh, nthreads=1), torch.from_numpy(self._outlines[item_idx][0])

    def _is_inside(self, item_idx: int, origin: Tensor) -> bool:
        return winding(self.scene.corners[self.scene.item_idx == item_idx], origin.numpy()) > 0.5

    def _new_boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        size = np.array([camera.width, camera.height], float)
        R, t, K = T_world_cam.R.numpy(), T_world_cam.t.numpy(), camera.K.numpy()
        boxes = np.full((len(self.kinds), 4), np.nan)
        for i, (vertices, edges) in enumerate(self._outlines):
            p_cam = _beyond_near((vertices - t) @ R, edges)
            if not len(p_cam):
                continue
            uvw = p_cam @ K.T
            uv = uvw[:, :2] / uvw[:, 2:]
            low, high = uv.min(0).clip(0, size), uv.max(0).clip(0, size)
            if (low < high).all():
                boxes[i] = [*low, *high]
        return boxes


def winding(corners: NDArray[np.float64], origin: NDArray[np.float64]) -> float:
    """How often triangles wind around a point, whichever side is out: 1 inside a closed surface, 0 outside.

    The sum of the solid angles of all triangles, by the formula of van Oosterom and Strackee (1983), over 4 pi; it
    need not be closed (generalised winding number, Jacobson et al. 2013).

    Args:
        corners: (f, 3, 3), world.
        origin: (3,), world.
    """
    a, b, c = (corners - origin).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    volume = (a * np.cross(b, c)).sum(-1)
    around = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return float(abs(np.arctan2(volume, around).sum())) / (2 * np.pi)


def _beyond_near(p_cam: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Vertices beyond the near plane, and where edges cross it: the hull of what is left of the triangles."""
    height = p_cam[:, 2] - Z_NEAR_M
    if (height >= 0).all():
        return p_cam
    first, second = edges[height[edges[:, 0]] * height[edges[:, 1]] < 0].T
    share = (height[first] / (height[first] - height[second]))[:, None]
    return np.concatenate([p_cam[height >= 0], p_cam[first] + share * (p_cam[second] - p_cam[first])])
