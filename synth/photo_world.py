"""A photograph with depth as a world: the `depthwarp` teacher, for small motions and what geometry knows of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from geom.actions import ActionSequence
from geom.se3 import SE3
from synth.depthwarp import MAX_HOLES, PHOTO_PRESET, PhotoEvidence, hole_share
from synth.photo import MaskedObject, Photo, PhotoObject
from synth.read_depth import as_kept
from synth.stages import Stages
from synth.transition import Trajectory, View
from synth.worlds import AnchoredWorld, Files, motion_kind

_SINGLES, _MULTIS = 12, 12


class PhotoWorld(AnchoredWorld):
    """A photograph and some motions from where it was taken; its world is the photo camera's frame."""

    teacher, preset = "depthwarp", PHOTO_PRESET
    evidence: PhotoEvidence

    def __init__(
        self,
        photo: Photo,
        scene_id: str,
        source: str,
        seed: np.random.SeedSequence,
        stages: Stages,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self.stages, self.scene_id, self._source, self._seed = stages, scene_id, source, seed
        self._left_out = left_out or {}
        # What the dataset's depth raster can hold is what counts, so that labels can be computed again from it.
        self.photo = replace(photo, z_depth=as_kept(photo.z_depth))
        self.camera, self.scale = photo.camera, photo.scale
        self.T_world_anchor = SE3.identity()
        self.evidence = PhotoEvidence(self.photo)

    def scene_json(self, files: list[Files]) -> dict[str, Any]:
        """Outlines, depth ranges and intrinsics; the depth itself is a raster beside it."""
        return {
            "type": "photo",
            "scene_id": self.scene_id,
            "photo_id": self.photo.photo_id,
            "source": self._source,
            "world": "the photo camera: x right, y down, z forward; the photograph does not tell where up is",
            "K": self.camera.K.tolist(),
            "items": [
                {"item_id": item.item_id, "kind": item.kind, "complete": item.complete} | _outline(item)
                for item in self.photo.objects
            ],
        }

    def view(self, T_world_cam: SE3) -> View:
        """The photograph, warped."""
        with self.stages("warp"):
            return self.evidence.view(T_world_cam, self.camera)

    def allows(self, actions: ActionSequence) -> bool:
        """Whether the view is mostly known."""
        return hole_share(self.view(actions.pose())) <= MAX_HOLES

    def trajectories(self, left_out: Counter[str]) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
        """Draw small motions, and keep those whose view is mostly known."""
        left_out.update(self._left_out)
        rng = np.random.default_rng(self._seed)
        singles = [PHOTO_PRESET.single[i % len(PHOTO_PRESET.single)] for i in range(_SINGLES)]
        multis = [PHOTO_PRESET.multi[i] for i in rng.permutation(len(PHOTO_PRESET.multi))[:_MULTIS]]
        for number, family in enumerate(singles + multis):
            kind = motion_kind(len(family.kinds))
            actions = family.sample(rng)
            if not self.allows(actions):
                left_out[f"trajectory: more than {MAX_HOLES:.0%} of the view was never seen"] += 1
                continue
            yield self._trajectory(f"{number:02d}_{family.name}", actions), self._about(kind)


def _outline(item: PhotoObject | MaskedObject) -> dict[str, Any]:
    """How the pixels of an item are told; those of a masked one are in the raster of instances alone."""
    if isinstance(item, MaskedObject):
        return {}
    return {"z_range": list(item.z_range), "polygon": [list(corner) for corner in item.polygon]}
