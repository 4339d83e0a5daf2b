"""Simulated rooms written as if somebody had recorded them: an RGB-D sequence with masks, whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from geom.actions import parse_actions
from geom.se3 import SE3
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.transition import View

SIZE = (160, 120)
MOTIONS = (
    "turn left 5 degrees",
    "turn right 10 degrees",
    "move left 0.2 meters",
    "move forward 0.3 meters",
    "move right 0.2 meters; turn left 10 degrees",
    "turn left 20 degrees",
    "move backward 0.2 meters",
)


def simulated_room(seed: int = 3) -> RoomWorld:
    """The room that is recorded."""
    return RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=SIZE), 0, Stages())


def poses(world: RoomWorld) -> list[SE3]:
    """Where it is recorded from."""
    start = world.T_world_anchor
    return [start, *(start @ parse_actions(text).pose() for text in MOTIONS)]


def record_room(folder: Path, world: RoomWorld | None = None, at: list[SE3] | None = None) -> Path:
    """Write a sequence in the layout of 7-Scenes, with its intrinsics and masks; returns the folder."""
    world = world or simulated_room()
    folder.mkdir(parents=True)
    for n, T_world_cam in enumerate(at or poses(world)):
        write_frame(folder, f"frame-{n:06d}", world.view(T_world_cam), T_world_cam)
    stated = {"K": world.camera.K.tolist(), "depth_units_per_m": 1000, "pixel_centers": "half"}
    (folder / "camera.json").write_text(json.dumps(stated))
    legend = {"0": None} | {str(i + 1): kind for i, kind in enumerate(world.evidence.kinds)}
    (folder / "objects.json").write_text(json.dumps({"masks": "{frame}.segm.png", "legend": legend}))
    return folder


def write_frame(folder: Path, name: str, view: View, T_world_cam: SE3) -> None:
    """Write one frame's colour, depth in millimetres, mask and pose."""
    assert view.image is not None
    Image.fromarray(view.image).save(folder / f"{name}.color.png")
    mm = np.rint(np.nan_to_num(view.z_depth) * 1000).astype(np.uint16)
    Image.fromarray(mm).save(folder / f"{name}.depth.png")
    Image.fromarray((view.item_idx + 1).astype(np.uint16)).save(folder / f"{name}.segm.png")
    np.savetxt(folder / f"{name}.pose.txt", T_world_cam.matrix().to(torch.float64).numpy(), fmt="%.12g")
