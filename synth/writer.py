"""One scene's folder on disk, made aside and moved into place when it is whole."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geom.actions import ActionSequence
from synth.files import depth_png, image_png, items_png, json_bytes, link_or_copy, sha256, write_whole
from synth.record import Record
from synth.stages import Stages
from synth.transition import Trajectory, View
from synth.worlds import Files

ROWS = "rows.json"
"""What a finished scene folder hands to the assembly of the subset, and loses then."""

FRAME_FILES = {"samples-rgb": "{:03d}.png", "depth": "{:03d}_depth.png", "instances": "{:03d}_instances.png"}
"""Parts of a view to their files in `input/`, by the frame's place."""

CONVENTION = (
    "T_a_b takes b-coordinates to a-coordinates; camera x right, y down, z forward; world z up; metres; "
    "the centre of the first pixel is (0.5, 0.5)"
)


@dataclass
class SceneWriter:
    """Collects a scene's files in a folder of its own until `finish` moves it into place."""

    subset: Path
    scene_id: str
    stages: Stages
    records: list[Record] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.folder = self.subset / ".staging" / self.scene_id
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "input").mkdir(parents=True)
        self._frames: list[Files] = []

    def scene(self, data: dict[str, Any]) -> None:
        """Write what the scene is."""
        payload = json_bytes(data)
        self.scene_sha256 = sha256(payload)
        write_whole(self.folder / "scene.json", payload)

    def frame(self, view: View) -> Files:
        """Write a view that trajectories start from or end at; returns its files in `input/`."""
        files: Files = {}
        if view.image is not None:
            for name, data in self._encode(view):
                file = FRAME_FILES[name].format(len(self._frames))
                with self.stages("write"):
                    write_whole(self.folder / "input" / file, data)
                files[name] = {"file": f"input/{file}", "sha256": sha256(data)}
        self._frames.append(files)
        return files

    def trajectory(self, traj: Trajectory, after: View, about: dict[str, Any]) -> None:
        """Write a trajectory, with its views if they have pictures."""
        folder = self.folder / f"traj_{traj.traj_id}"
        folder.mkdir(parents=True)
        frames = [self._linked(folder, i, frame) for i, frame in enumerate(traj.frames) if frame is not None]
        if traj.frames[1] is None:
            frames.append(self._written(folder, after))
        write_whole(folder / "traj.json", json_bytes(self._traj_json(traj, about, frames)))

    def _linked(self, folder: Path, i: int, frame: int) -> Files:
        """Repeat a frame of `input/` as the i-th view of a trajectory."""
        entries = {}
        for name, entry in self._frames[frame].items():
            (folder / name).mkdir(exist_ok=True)
            with self.stages("write"):
                link_or_copy(self.folder / entry["file"], folder / name / f"{i:03d}.png")
            entries[name] = entry | {"file": f"{name}/{i:03d}.png"}
        return entries

    def _written(self, folder: Path, after: View) -> Files:
        """Write the second view of a trajectory, which is no frame of the scene."""
        entries: Files = {}
        if after.image is not None:
            for name, data in self._encode(after):
                with self.stages("write"):
                    write_whole(folder / name / "001.png", data)
                entries[name] = {"file": f"{name}/001.png", "sha256": sha256(data)}
        return entries

    def _traj_json(self, traj: Trajectory, about: dict[str, Any], frames: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "traj_id": traj.traj_id,
            **about,
            "convention": CONVENTION,
            "scene_sha256": self.scene_sha256,
            "K": traj.camera.K.tolist(),
            "width": traj.camera.width,
            "height": traj.camera.height,
            "T_world_cam": traj.T_world_cam.matrix().tolist(),
            "actions": {name: None if actions is None else actions.text() for name, actions in _actions(traj)},
            "scale": traj.scale.to_dict(),
            "frames": frames,
        }

    def finish(self) -> None:
        """Move the folder into place; from then on the scene counts as done."""
        rows = {
            "tasks": [record.task for record in self.records],
            "proofs": [record.proof for record in self.records],
            "left_out": dict(sorted(self.left_out.items())),
        }
        with self.stages("write"):
            write_whole(self.folder / ROWS, json_bytes(rows))
            (self.subset / "scenes").mkdir(exist_ok=True)
            os.replace(self.folder, self.subset / "scenes" / self.scene_id)

    def _encode(self, view: View) -> list[tuple[str, bytes]]:
        assert view.image is not None
        with self.stages("encode"):
            return [
                ("samples-rgb", image_png(view.image)),
                ("depth", depth_png(view.z_depth)),
                ("instances", items_png(view.item_idx)),
            ]


def _actions(traj: Trajectory) -> list[tuple[str, ActionSequence | None]]:
    """What was told and what was done; what poses show is said only of a camera that was not simulated."""
    said = [("commanded", traj.commanded), ("executed", traj.executed)]
    return said if traj.shown is None else [*said, ("shown", traj.shown)]
