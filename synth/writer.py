"""One scene's folder on disk, made aside and moved into place when it is whole."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth.files import depth_png, image_png, items_png, json_bytes, link_or_copy, sha256, write_whole
from synth.record import Record
from synth.stages import Stages
from synth.transition import Trajectory, View

ROWS = "rows.json"
"""What a finished scene folder hands to the assembly of the subset, and loses then."""

ANCHOR_FILES = {"samples-rgb": "000.png", "depth": "000_depth.png", "instances": "000_instances.png"}
"""Parts of a view to their files in `input/`."""

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
        self._anchor: list[tuple[Path, str]] = []

    def scene(self, data: dict[str, Any]) -> None:
        """Write what the scene is."""
        payload = json_bytes(data)
        self.scene_sha256 = sha256(payload)
        write_whole(self.folder / "scene.json", payload)

    def anchor(self, view: View) -> None:
        """Write the view that all trajectories start from."""
        if view.image is None:
            return
        for name, data in self._encode(view):
            self._anchor.append(self._write(self.folder / "input" / ANCHOR_FILES[name], data))

    def trajectory(self, traj: Trajectory, after: View, about: dict[str, Any]) -> None:
        """Write a trajectory, with its views if they have pictures."""
        folder = self.folder / f"traj_{traj.traj_id}"
        frames: list[dict[str, Any]] = [{}, {}]
        if after.image is not None:
            encoded = self._encode(after)
            with self.stages("write"):
                for (name, data), (source, digest) in zip(encoded, self._anchor, strict=True):
                    (folder / name).mkdir(parents=True)
                    link_or_copy(source, folder / name / "000.png")
                    write_whole(folder / name / "001.png", data)
                    for i, file_digest in enumerate((digest, sha256(data))):
                        frames[i][name] = {"file": f"{name}/{i:03d}.png", "sha256": file_digest}
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "traj.json", json_bytes(self._traj_json(traj, about, frames)))

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
            "actions": {
                "commanded": traj.commanded.text(),
                "executed": None if traj.executed is None else traj.executed.text(),
            },
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

    def _write(self, path: Path, data: bytes) -> tuple[Path, str]:
        with self.stages("write"):
            write_whole(path, data)
        return path, sha256(data)
