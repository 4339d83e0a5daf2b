"""A simulated room as a world: the `render` teacher, exact in picture, depth and ids."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from geom.actions import ActionSequence
from geom.camera import PinholeCamera
from geom.raycast import Hit
from geom.se3 import SE3
from synth.evidence import RoomEvidence
from synth.free_space import FreeSpace, feasible, sample_anchor
from synth.presets import PRESETS
from synth.rooms import make_room
from synth.shading import Shader
from synth.simulated_world import SimulatedWorld
from synth.stages import Stages
from synth.transition import View
from synth.worlds import ROOM_SCALE, Files

if TYPE_CHECKING:
    from synth.pipeline import GenerateConfig

_HFOV_DEG = (60.0, 90.0)


class RoomWorld(SimulatedWorld):
    """One room, one anchor, and the trajectories from it."""

    scale = ROOM_SCALE

    def __init__(self, config: GenerateConfig, index: int, stages: Stages) -> None:
        self.config, self.stages = config, stages
        self.scene_id, self.preset = config.scene_ids()[index], PRESETS[config.preset]
        # One stream each, so that asking for more trajectories changes no room.
        room_seed, self.motion_seed = np.random.SeedSequence([config.seed, index]).spawn(2)
        rng = np.random.default_rng(room_seed)
        with stages("room"):
            self.scene = make_room(rng, scene_id=self.scene_id, without=config.without_kinds)
            self.free_space = FreeSpace.of(self.scene)
            self.camera = PinholeCamera.from_hfov(math.radians(rng.uniform(*_HFOV_DEG)), *config.image_size)
            self.T_world_anchor = sample_anchor(self.free_space, rng)
            self.evidence = RoomEvidence(self.scene)

    @cached_property
    def _shader(self) -> Shader:
        return Shader.of(self.scene, self.evidence.caster)

    def scene_json(self, files: list[Files]) -> dict[str, Any]:
        return {"type": "room", **self.scene.to_dict()}

    def view(self, T_world_cam: SE3) -> View:
        """Cast one ray through each pixel centre, and shade what it meets."""
        z_depth, prim_idx, item_idx = self._cast(T_world_cam)
        image = None
        if not self.config.labels_only:
            with self.stages("shade"):
                hit = Hit(torch.from_numpy(z_depth), torch.from_numpy(prim_idx))
                image = self._shader.shade(self.camera, T_world_cam, hit)
        return View(z_depth, item_idx, image)

    def allows(self, actions: ActionSequence) -> bool:
        return feasible(self.free_space, self.T_world_anchor, actions)
