"""A scene's folder as verify reads it, and what must hold of its trajectories and pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from synth.dataset import Mismatch
from synth.files import UNKNOWN_PIXEL, read_raster, sha256
from synth.twin import Array, TwinCamera, TwinRoom
from synth.twin_motion import motion_matrix, read_steps
from synth.twin_photo import TwinPhoto

POSE_TOLERANCE = 1e-6
_LATTICE = 8
_CURVED_M = 0.003
"""Triangles stand in for curved surfaces when views are rendered; their sagitta stays below this."""


@runtime_checkable
class Twin(Protocol):
    """The second implementation of a scene's geometry."""

    item_ids: list[str]
    kinds: list[str]

    def amodal_box(self, item: int, cam: TwinCamera) -> Array: ...
    def visible_box(self, item: int, cam: TwinCamera, amodal: Array) -> Array: ...
    def partition(self, item: int, cam: TwinCamera, *, fine: bool = False) -> dict[str, Any] | None: ...
    def surface(self, cam: TwinCamera, u: Array, v: Array) -> tuple[Array, Any]: ...
    def sees(self, p_world: Array, center: Array) -> Any: ...


@dataclass(frozen=True)
class SceneFiles:
    """scene.json and all traj.json of one scene."""

    folder: Path
    scene: dict[str, Any]
    scene_sha256: str
    trajectories: dict[str, dict[str, Any]]

    @staticmethod
    def read(folder: Path) -> SceneFiles:
        """Read a scene's folder; damaged files raise what reading them raises."""
        payload = (folder / "scene.json").read_bytes()
        trajectories = {
            path.parent.name.removeprefix("traj_"): json.loads(path.read_bytes())
            for path in sorted(folder.glob("traj_*/traj.json"))
        }
        return SceneFiles(folder, json.loads(payload), sha256(payload), trajectories)

    @cached_property
    def twin(self) -> Twin:
        return TwinRoom(self.scene) if self.scene["type"] == "room" else TwinPhoto(self.folder, self.scene)

    def camera(self, traj_id: str, frame: int) -> TwinCamera:
        """Camera of one frame. The first frame's is one for all trajectories, so that what it sees is found once."""
        traj = self.trajectories[traj_id]
        return TwinCamera(np.array(traj["K"]), traj["width"], traj["height"], np.array(traj["T_world_cam"][frame]))

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """What was computed for (item, pose) already."""
        return {}


def actions_of(traj: dict[str, Any]) -> str:
    """The actions that count: what was executed, else what was commanded."""
    return traj["actions"]["executed"] or traj["actions"]["commanded"]


def check_trajectories(files: SceneFiles) -> list[Mismatch]:
    """All that must hold of a scene whatever is asked about it."""
    found = []
    if files.scene["scene_id"] != files.folder.name:
        found.append(Mismatch(str(files.folder), "scene_id", files.scene["scene_id"], files.folder.name))
    first = next(iter(files.trajectories.values()), None)
    for traj_id, traj in files.trajectories.items():
        where = f"{files.folder.name}/traj_{traj_id}"
        found += [Mismatch(where, *rest) for rest in _trajectory_faults(files, traj_id, traj, first)]
        found += [Mismatch(where, *rest) for rest in _file_faults(files, traj_id, traj, first)]
    return found


def _trajectory_faults(files: SceneFiles, traj_id: str, traj: dict[str, Any], first: Any):
    if traj["traj_id"] != traj_id:
        yield "traj_id", traj["traj_id"], traj_id
    if traj["scene_sha256"] != files.scene_sha256:
        yield "scene.json", files.scene_sha256, traj["scene_sha256"]
    for key in ("K", "width", "height", "scale", "teacher"):
        if traj[key] != first[key]:
            yield key, traj[key], first[key]
    T = np.array(traj["T_world_cam"])
    for i in (0, 1):
        residual = np.abs(T[i, :3, :3].T @ T[i, :3, :3] - np.eye(3)).max()
        if not residual <= POSE_TOLERANCE or not np.array_equal(T[i, 3], [0, 0, 0, 1]):
            yield f"T_world_cam[{i}]", f"not rigid by {residual:.2g}", "a rotation and a translation"
    if not np.abs(T[0] - np.array(first["T_world_cam"][0])).max() <= POSE_TOLERANCE:
        yield "T_world_cam[0]", T[0].tolist(), first["T_world_cam"][0]
    expected = T[0] @ motion_matrix(read_steps(actions_of(traj)))
    if not np.abs(T[1] - expected).max() <= POSE_TOLERANCE:
        yield "T_world_cam[1]", T[1].tolist(), expected.tolist()


def _file_faults(files: SceneFiles, traj_id: str, traj: dict[str, Any], first: Any):
    folder = files.folder / f"traj_{traj_id}"
    for i, frame in enumerate(traj["frames"]):
        for name, entry in frame.items():
            if entry["file"] != f"{name}/{i:03d}.png":
                yield f"frames[{i}].{name}.file", entry["file"], f"{name}/{i:03d}.png"
            path = folder / name / f"{i:03d}.png"
            digest = sha256(path.read_bytes()) if path.is_file() else "no such file"
            if digest != entry["sha256"]:
                yield str(path.relative_to(files.folder)), digest, entry["sha256"]
        # All trajectories start from one view: its rasters are cast again once, elsewhere only their bytes compared.
        if frame and (i == 1 or traj is first):
            yield from _raster_faults(files, traj_id, i)
        elif frame != first["frames"][0]:
            yield "frames[0]", frame, first["frames"][0]


def _raster_faults(files: SceneFiles, traj_id: str, frame: int):
    """Hold depth and instances to rays cast anew, on a lattice; edges may differ by a pixel."""
    cam = files.camera(traj_id, frame)
    folder = files.folder / f"traj_{traj_id}"
    try:
        ids = read_raster(folder / "instances" / f"{frame:03d}.png").astype(int)
        mm = read_raster(folder / "depth" / f"{frame:03d}.png").astype(float)
    except (OSError, ValueError) as error:
        yield f"rasters of frame {frame}", str(error), "16-bit rasters"
        return
    if ids.shape != (cam.height, cam.width) or mm.shape != ids.shape:
        yield f"rasters of frame {frame}", ids.shape, (cam.height, cam.width)
        return
    rows, cols = (np.linspace(2, size - 3, _LATTICE).astype(int) for size in ids.shape)
    rows, cols = (grid.ravel() for grid in np.meshgrid(rows, cols, indexing="ij"))
    z, owner = files.twin.surface(cam, cols + 0.5, rows + 0.5)
    for row, col, z_m, item in zip(*(x.tolist() for x in (rows, cols, z, owner)), strict=True):
        around = slice(row - 1, row + 2), slice(col - 1, col + 2)
        yield from _pixel_faults(ids[around], mm[around], z_m, item, (frame, row, col))


def _pixel_faults(ids: NDArray[np.integer], mm: Array, z_m: float, item: int, at: tuple[int, int, int]):
    place = f"frame {at[0]}, row {at[1]}, column {at[2]}"
    if ids[1, 1] == UNKNOWN_PIXEL:
        return
    if not (ids == item + 1).any():
        yield f"instances at {place}", int(ids[1, 1]), item + 1
    elif (ids == ids[1, 1]).all():
        # Across the 3 x 3 pixels depth may change by as much as its neighbours show; the rest is rounding.
        slack = 1.0 + 1000 * _CURVED_M + np.abs(mm - mm[1, 1]).max()
        if not abs(mm[1, 1] - 1000 * z_m) <= slack:
            yield f"depth at {place}", f"{mm[1, 1]:.0f} mm", f"{1000 * z_m:.1f} mm"
