"""A scene's folder as verify reads it, and what must hold of its trajectories and pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from synth.dataset import SETTINGS_FILE, Mismatch
from synth.files import sha256
from synth.mesh_scene import MeshScene, MeshSource
from synth.presets import PHOTO_PRESET_NAME
from synth.scene import Scene
from synth.twin import Array, TwinCamera, TwinRoom
from synth.twin_mesh import TwinMesh
from synth.twin_motion import motion_matrix, read_steps
from synth.twin_photo import TwinPhoto
from synth.twin_recorded import TwinPixels, TwinSolids
from synth.verify_pictures import picture_faults, repeated_pictures
from synth.verify_recorded import RECORDED_KEYS, clip_faults, recorded_faults
from synth.worlds import MOTION, RECORDED_PRESET, ROOM_SCALE, TEACHERS, motion_kind
from synth.writer import CONVENTION

POSE_TOLERANCE = 1e-6

_TRAJ_KEYS = {"traj_id", "teacher", "kind", "preset", "motion", "convention", "scene_sha256"}
_TRAJ_KEYS |= {"K", "width", "height", "T_world_cam", "actions", "scale", "frames"}
_PRESET_NAMES = {"photo": PHOTO_PRESET_NAME, "recorded": RECORDED_PRESET}


@runtime_checkable
class Twin(Protocol):
    """The second implementation of a scene's geometry."""

    item_ids: list[str]
    kinds: list[str]

    def amodal_box(self, item: int, cam: TwinCamera) -> Array: ...
    def visible_box(self, item: int, cam: TwinCamera, amodal: Array) -> Array: ...
    def partition(self, item: int, cam: TwinCamera, *, fine: bool = False) -> dict[str, Any] | None: ...
    def surface(self, cam: TwinCamera, u: Array, v: Array) -> tuple[Array, Any]: ...
    def landmarks(self, cam: TwinCamera) -> Array: ...
    def sees(self, p_world: Array, center: Array) -> Any: ...


@dataclass(frozen=True)
class SceneFiles:
    """scene.json and all traj.json of one scene, and the settings that its subset was made with."""

    folder: Path
    scene: dict[str, Any]
    scene_sha256: str
    trajectories: dict[str, dict[str, Any]]
    settings: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> SceneFiles:
        """Read a scene's folder; damaged files raise what reading them raises."""
        payload = (folder / "scene.json").read_bytes()
        trajectories = {
            path.parent.name.removeprefix("traj_"): json.loads(path.read_bytes())
            for path in sorted(folder.glob("traj_*/traj.json"))
        }
        settings = json.loads((folder.parents[1] / SETTINGS_FILE).read_bytes())
        return SceneFiles(folder, json.loads(payload), sha256(payload), trajectories, settings)

    @cached_property
    def twin(self) -> Twin:
        """The second implementation that suits the scene."""
        if self.scene["type"] == "room":
            return TwinRoom(self.scene)
        if self.scene["type"] == "mesh":
            return TwinMesh(self.scene)
        if self.scene["type"] == "photo":
            return TwinPhoto(self.folder, self.scene)
        return TwinSolids(self.scene) if self.scene["objects"] == "solids" else TwinPixels(self.folder, self.scene)

    @property
    def is_recorded(self) -> bool:
        """Whether the scene is made of frames that existed already."""
        return self.scene["type"] == "recorded"

    @property
    def is_simulated(self) -> bool:
        """Whether the scene is solids or triangles, and its camera's size and motions were asked for."""
        return self.scene["type"] in ("room", "mesh")

    def camera(self, traj_id: str, frame: int) -> TwinCamera:
        """Camera of one frame. The first frame's is one for all trajectories, so that what it sees is found once."""
        traj = self.trajectories[traj_id]
        return TwinCamera(np.array(traj["K"]), traj["width"], traj["height"], np.array(traj["T_world_cam"][frame]))

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """What was computed for (item, pose) already."""
        return {}


def actions_of(traj: dict[str, Any]) -> str:
    """The actions that count: what was executed, else what the poses show, else what was commanded."""
    said = traj["actions"]
    return said["executed"] or said.get("shown") or said["commanded"]


def check_trajectories(files: SceneFiles) -> list[Mismatch]:
    """All that must hold of a scene whatever is asked about it."""
    found = [Mismatch(files.folder.name, *rest) for rest in _scene_faults(files)]
    first = next(iter(files.trajectories.values()), None)
    for traj_id, traj in files.trajectories.items():
        where = f"{files.folder.name}/traj_{traj_id}"
        found += [Mismatch(where, *rest) for rest in _trajectory_faults(files, traj_id, traj)]
        checks = recorded_faults if files.is_recorded else _start_faults
        found += [Mismatch(where, *rest) for rest in checks(files, traj, first)]
        found += [Mismatch(where, *rest) for rest in _field_faults(files, traj)]
        found += [Mismatch(where, *rest) for rest in picture_faults(files, traj_id, traj, first)]
    return found


def _scene_faults(files: SceneFiles):
    if files.scene["scene_id"] != files.folder.name:
        yield "scene_id", files.scene["scene_id"], files.folder.name
    if files.is_simulated:
        try:  # what rays do not meet, such as a colour, must at least be what a scene may hold
            _rebuilt(files.scene)
        except ValueError as error:
            yield "scene.json", str(error), "a scene as it was written"
    yield from clip_faults(files) if files.is_recorded else ()
    folders = {path.name for path in files.folder.glob("traj_*")}
    for name in sorted(folders - {f"traj_{traj_id}" for traj_id in files.trajectories}):
        yield f"{name}/traj.json", "no such file", "the poses of this folder"
    for digest, views in () if files.is_recorded else repeated_pictures(files.trajectories):
        yield f"picture of {', '.join(views)}", digest, "a picture for each view"


def _rebuilt(scene: dict[str, Any]) -> Scene | MeshScene:
    """The scene that scene.json holds."""
    held = {key: value for key, value in scene.items() if key != "type"}
    if scene["type"] == "room":
        return Scene.from_dict(held)
    del held["scene_id"]
    return MeshScene.from_dict(held)


def _trajectory_faults(files: SceneFiles, traj_id: str, traj: dict[str, Any]):
    if traj["traj_id"] != traj_id:
        yield "traj_id", traj["traj_id"], traj_id
    if traj["scene_sha256"] != files.scene_sha256:
        yield "scene.json", files.scene_sha256, traj["scene_sha256"]
    T = np.array(traj["T_world_cam"])
    for i in (0, 1):
        residual = np.abs(T[i, :3, :3].T @ T[i, :3, :3] - np.eye(3)).max()
        if not residual <= POSE_TOLERANCE or not np.array_equal(T[i, 3], [0, 0, 0, 1]):
            yield f"T_world_cam[{i}]", f"not rigid by {residual:.2g}", "a rotation and a translation"


def _start_faults(files: SceneFiles, traj: dict[str, Any], first: Any):
    """A simulated camera starts where all others of its scene do, and does as told."""
    for key in ("K", "width", "height", "scale"):
        if traj[key] != first[key]:
            yield key, traj[key], first[key]
    T = np.array(traj["T_world_cam"])
    if not np.abs(T[0] - np.array(first["T_world_cam"][0])).max() <= POSE_TOLERANCE:
        yield "T_world_cam[0]", T[0].tolist(), first["T_world_cam"][0]
    expected = T[0] @ motion_matrix(read_steps(actions_of(traj)))
    if not np.abs(T[1] - expected).max() <= POSE_TOLERANCE:
        yield "T_world_cam[1]", T[1].tolist(), expected.tolist()


def _field_faults(files: SceneFiles, traj: dict[str, Any]):
    """What traj.json says besides poses and pictures: known words, and true of the motion and the settings."""
    config, kind, done = files.settings["config"], files.scene["type"], actions_of(traj)
    expected = {
        "kind": motion_kind(len(read_steps(done))),
        "preset": config["preset"] if files.is_simulated else _PRESET_NAMES[kind],
        "convention": CONVENTION,
    }
    if not files.is_recorded:
        expected |= {"motion": MOTION, "actions": {"commanded": done, "executed": done}}
    if files.is_simulated:
        width, height = config["image_size"]
        scale = ROOM_SCALE if kind == "room" else MeshSource.from_dict(files.scene["source"]).scale
        expected |= {"width": width, "height": height, "scale": scale.to_dict()}
    for key, value in expected.items():
        if traj[key] != value:
            yield key, traj[key], value
    if traj["teacher"] != config["teacher"] or traj["teacher"] not in TEACHERS[kind]:
        yield "teacher", traj["teacher"], config["teacher"]
    keys = _TRAJ_KEYS | RECORDED_KEYS if files.is_recorded else _TRAJ_KEYS
    if traj.keys() != keys:
        yield "keys", sorted(traj), sorted(keys)
