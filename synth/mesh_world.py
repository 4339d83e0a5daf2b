"""A scene of triangles as a world: the `render` teacher, as for simulated rooms."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from geom.actions import ActionSequence
from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.mesh_evidence import MeshEvidence
from synth.mesh_scene import MeshScene
from synth.mesh_space import MeshSpace
from synth.presets import Preset
from synth.simulated_world import SimulatedWorld
from synth.stages import Stages
from synth.transition import UNKNOWN, View
from synth.worlds import Files

_HFOV_DEG = (60.0, 90.0)
_SUN = np.array([0.35, 0.5, 0.79], np.float32)
_AMBIENT, _SUNLIGHT, _HEADLIGHT = 0.42, 0.38, 0.25
_SKY = (199, 214, 230)


class MeshWorld(SimulatedWorld):
    """One scene from a file, one anchor, and the trajectories from it.

    Args:
        scene: what is seen.
        scene_id: its name.
        image_size: width and height, pixels.
        seed: camera, anchor and motions come from it.
        preset: distribution of the motions.
        labels_only: whether to draw no pictures.
        stages: where the time goes.

    Raises:
        ValueError: if there is no place for a camera; the message says what was looked for.
    """

    def __init__(
        self,
        scene: MeshScene,
        scene_id: str,
        *,
        image_size: tuple[int, int],
        seed: np.random.SeedSequence,
        preset: Preset,
        labels_only: bool,
        stages: Stages,
    ) -> None:
        self.scene, self.scene_id, self.preset, self.scale = scene, scene_id, preset, scene.source.scale
        self.labels_only, self.stages = labels_only, stages
        # One stream each, so that asking for more trajectories moves no anchor; spawning would change the seed.
        camera_seed, self.motion_seed = (np.random.SeedSequence([*seed.generate_state(4).tolist(), k]) for k in (0, 1))
        rng = np.random.default_rng(camera_seed)
        with stages("room"):
            self.evidence = MeshEvidence(scene)
            self.space = MeshSpace(self.evidence)
            self.camera = PinholeCamera.from_hfov(math.radians(rng.uniform(*_HFOV_DEG)), *image_size)
            self.T_world_anchor = self.space.sample_anchor(rng)

    def scene_json(self, files: list[Files]) -> dict[str, Any]:
        return {"type": "mesh", "scene_id": self.scene_id, **self.scene.to_dict()}

    def view(self, T_world_cam: SE3) -> View:
        """Cast one ray through each pixel centre, and shade what it meets; beyond the scene nothing is known."""
        z_depth, prim_idx, item_idx = self._cast(T_world_cam)
        missed = prim_idx < 0
        image = None
        if not self.labels_only:
            with self.stages("shade"):
                image = self._shaded(T_world_cam, prim_idx, missed)
        if missed.any():
            z_depth, item_idx = np.where(missed, np.float32(np.nan), z_depth), np.where(missed, UNKNOWN, item_idx)
        return View(z_depth, item_idx.astype(np.int16, copy=False), image)

    def allows(self, actions: ActionSequence) -> bool:
        return self.space.is_free(self.T_world_anchor, actions)

    @cached_property
    def _surface(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Unit normal and linear colour of each triangle, (f, 3)."""
        a, b, c = self.scene.corners.transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        return normal.astype(np.float32), ((self.scene.colors / np.float32(255)) ** 2.2).astype(np.float32)

    def _shaded(self, T_world_cam: SE3, prim_idx: NDArray[np.int32], missed: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Lambert's law for light from above, from one side and from the camera, on both sides of each triangle."""
        normal, color = (of_triangle[prim_idx] for of_triangle in self._surface)
        to_eye = -self._rays[..., 3:]
        facing = (normal * to_eye).sum(-1)
        normal = normal * np.where(facing < 0, np.float32(-1), np.float32(1))[..., None]
        light = _AMBIENT * (0.7 + 0.3 * normal[..., 2]) + _SUNLIGHT * np.maximum(normal @ _SUN, 0)
        light += _HEADLIGHT * np.abs(facing) / np.linalg.norm(to_eye, axis=-1)
        image = np.rint(255 * (color * light[..., None]).clip(0, 1) ** (1 / 2.2)).astype(np.uint8)
        image[missed] = _SKY
        return _smooth_edges(image, prim_idx)


def _smooth_edges(image: NDArray[np.uint8], prim_idx: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Soften the steps along edges: pixels beside another triangle take a small blur."""
    edge = np.zeros(prim_idx.shape, np.uint8)
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        differs = prim_idx[here] != prim_idx[there]
        edge[here] |= differs
        edge[there] |= differs
    return np.asarray(cv2.copyTo(cv2.GaussianBlur(image, (3, 3), 0.6), edge, image), np.uint8)
