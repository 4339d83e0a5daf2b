"""What all simulated worlds share: the `render` teacher, exact in picture, depth and ids, and where it may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import numpy as np

from geom.actions import ActionSequence
from geom.se3 import SE3
from synth.evidence import CastEvidence
from synth.stages import Stages
from synth.transition import Trajectory
from synth.worlds import AnchoredWorld

_TRIES = 40
_OF_EACH_KIND = 6


class SimulatedWorld(AnchoredWorld):
    """One scene, one anchor, and the trajectories from it. Who derives from it sets the attributes."""

    teacher = "render"
    evidence: CastEvidence
    stages: Stages
    motion_seed: np.random.SeedSequence

    @cached_property
    def _d_cam(self) -> np.ndarray:
        return self.camera.rays(self.camera.pixel_centers()).float().numpy()

    @cached_property
    def _rays(self) -> np.ndarray:
        return np.empty((self.camera.height, self.camera.width, 6), np.float32)

    def _cast(self, T_world_cam: SE3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z-depth, primitive and item of what each pixel's centre shows; the rays are left in `_rays`."""
        with self.stages("cast"):
            self._rays[..., :3] = T_world_cam.t.numpy()
            np.matmul(self._d_cam, T_world_cam.R.mT.float().numpy(), out=self._rays[..., 3:])
            z_depth, prim_idx = self.evidence.caster.cast_np(self._rays)
            return z_depth, prim_idx, self.evidence.owner.take(prim_idx, mode="wrap")

    def trajectories(self, left_out: Counter[str]) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
        """Draw motions that there is space for."""
        rng = np.random.default_rng(self.motion_seed)
        done: set[ActionSequence] = set()
        for number, (kind, draw) in enumerate(self._draws(rng)):
            drawn = (draw() for _ in range(_TRIES))
            found = next((d for d in drawn if d[1] not in done and self.allows(d[1])), None)
            if found is None:
                left_out[f"trajectory: no free path in {_TRIES} draws of a {kind.replace('_', '-')} motion"] += 1
                continue
            name, actions = found
            done.add(actions)
            traj_id = f"{name}_{number:02d}" if kind == "single_step" else f"multi_step_{number:02d}_{name}"
            yield self._trajectory(traj_id, actions), self._about(kind)

    def _draws(self, rng: np.random.Generator) -> list[tuple[str, Callable[[], tuple[str, ActionSequence]]]]:
        """How each trajectory is drawn: one of every published family, or anything from our own support.

        Ours must be uniform over all that is possible in the room (a family that fits badly is drawn less often),
        or claims from another family would be likelier false than true.
        """
        kinds = (("single_step", self.preset.single), ("multi_step", self.preset.multi))
        if self.preset.name == "theodolite":
            return [(k, partial(self.preset.sample, rng, k[:-5])) for k, _ in kinds for _ in range(_OF_EACH_KIND)]
        return [(k, lambda f=f: (f.name, f.sample(rng))) for k, families in kinds for f in families]
