"""A simulated room as a world: the `render` teacher, exact in picture, depth and ids."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from geom.actions import ActionSequence
from geom.camera import PinholeCamera
from geom.raycast import Hit
from geom.se3 import SE3
from synth.case import Claims
from synth.evidence import RoomEvidence
from synth.free_space import FreeSpace, feasible, sample_anchor
from synth.presets import PRESETS, Preset
from synth.rooms import make_room
from synth.shading import Shader
from synth.stages import Stages
from synth.transition import ROOM, Trajectory, View
from synth.worlds import MOTION, ROOM_SCALE, AnchoredWorld, Files

if TYPE_CHECKING:
    from synth.pipeline import GenerateConfig

_HFOV_DEG = (60.0, 90.0)
_TRIES = 40
_OF_EACH_KIND = 6


class RoomWorld(AnchoredWorld):
    """One room, one anchor, and the trajectories from it."""

    teacher = "render"
    evidence: RoomEvidence

    def __init__(self, config: GenerateConfig, index: int, stages: Stages) -> None:
        self.config, self.stages = config, stages
        self.scene_id = config.scene_ids()[index]
        # One stream each, so that asking for more trajectories changes no room.
        room_seed, self._motion_seed = np.random.SeedSequence([config.seed, index]).spawn(2)
        rng = np.random.default_rng(room_seed)
        with stages("room"):
            self.scene = make_room(rng, scene_id=self.scene_id)
            self.free_space = FreeSpace.of(self.scene)
            width, height = config.image_size
            self.camera = PinholeCamera.from_hfov(math.radians(rng.uniform(*_HFOV_DEG)), width, height)
            self.T_world_anchor = sample_anchor(self.free_space, rng)
            self.evidence = RoomEvidence(self.scene)
            self._d_cam = self.camera.rays(self.camera.pixel_centers()).float().numpy()
            self._rays = np.empty((height, width, 6), np.float32)
            # Primitive -1 is a miss: there is nothing beyond the room but the room.
            self._owner = np.append(self.evidence.primitives.item_idx.numpy(), ROOM).astype(np.int16)

    @cached_property
    def _shader(self) -> Shader:
        return Shader.of(self.scene, self.evidence.caster)

    @property
    def preset(self) -> Preset:
        """Distribution of the motions."""
        return PRESETS[self.config.preset]

    def scene_json(self, files: list[Files]) -> dict[str, Any]:
        """All solids and their looks; no picture is needed."""
        return {"type": "room", **self.scene.to_dict()}

    def view(self, T_world_cam: SE3) -> View:
        """Cast one ray through each pixel centre, and shade what it meets."""
        with self.stages("cast"):
            self._rays[..., :3] = T_world_cam.t.numpy()
            np.matmul(self._d_cam, T_world_cam.R.mT.float().numpy(), out=self._rays[..., 3:])
            z_depth, prim_idx = self.evidence.caster.cast_np(self._rays)
            item_idx = self._owner.take(prim_idx, mode="wrap")
        image = None
        if not self.config.labels_only:
            with self.stages("shade"):
                hit = Hit(torch.from_numpy(z_depth), torch.from_numpy(prim_idx))
                image = self._shader.shade(self.camera, T_world_cam, hit)
        return View(z_depth, item_idx, image)

    def trajectories(self, left_out: Counter[str]) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
        """Draw motions that the room has space for."""
        rng = np.random.default_rng(self._motion_seed)
        done: set[ActionSequence] = set()
        for number, (kind, draw) in enumerate(self._draws(rng)):
            drawn = (draw() for _ in range(_TRIES))
            found = next((d for d in drawn if d[1] not in done and self._is_free(d[1])), None)
            if found is None:
                left_out[f"trajectory: no free path in {_TRIES} draws of a {kind.replace('_', '-')} motion"] += 1
                continue
            name, actions = found
            done.add(actions)
            traj_id = f"{name}_{number:02d}" if kind == "single_step" else f"multi_step_{number:02d}_{name}"
            yield self._trajectory(traj_id, actions), self._about(kind)

    def _is_free(self, actions: ActionSequence) -> bool:
        return feasible(self.free_space, self.T_world_anchor, actions)

    def _draws(self, rng: np.random.Generator) -> list[tuple[str, Callable[[], tuple[str, ActionSequence]]]]:
        """How each trajectory is drawn: one of every published family, or anything from our own support.

        Ours must be uniform over all that is possible in the room (a family that fits badly is drawn less often),
        or claims from another family would be likelier false than true.
        """
        kinds = (("single_step", self.preset.single), ("multi_step", self.preset.multi))
        if self.preset.name == "theodolite":
            return [(k, partial(self.preset.sample, rng, k[:-5])) for k, _ in kinds for _ in range(_OF_EACH_KIND)]
        return [(k, lambda f=f: (f.name, f.sample(rng))) for k, families in kinds for f in families]

    def _trajectory(self, traj_id: str, actions: ActionSequence) -> Trajectory:
        T_world_after = self.T_world_anchor @ actions.pose()
        T_world_cam = SE3.stack([self.T_world_anchor, T_world_after])
        return Trajectory(traj_id, self.camera, T_world_cam, actions, actions, ROOM_SCALE)

    def _about(self, kind: str) -> dict[str, Any]:
        return {"teacher": self.teacher, "kind": kind, "preset": self.preset.name, "motion": MOTION}

    def claims(self, traj: Trajectory) -> Claims:
        """Claims that the room has space for too."""

        def propose(rng: np.random.Generator) -> tuple[str, ActionSequence] | None:
            claim = self.preset.propose(traj.actions, rng)
            return claim if claim and self._is_free(claim[1]) else None

        return propose
