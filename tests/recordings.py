"""Simulated rooms written as if somebody had recorded them: an RGB-D sequence with masks, whose truth is known.

`record_room` writes 7-Scenes; each `as_*` copies such a folder into the layout of another program, in a few lines that
share nothing with the readers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

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


def solid_boxes(world: RoomWorld, scale: float = 1.0) -> list[dict[str, Any]]:
    """Boxes along the world's axes around the room's items, as a file of objects has them."""
    parts = world.evidence.primitives
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    corners = parts.T_world_prim[:, None].act(parts.half_size[:, None] * signs) * scale
    ends = [(c.reshape(-1, 3).amin(0), c.reshape(-1, 3).amax(0)) for c in _of_items(corners, parts.item_idx)]
    named = zip(world.evidence.item_ids, world.evidence.kinds, ends, strict=True)
    return [{"item_id": i, "kind": k, "min": low.tolist(), "max": high.tolist()} for i, k, (low, high) in named]


def _of_items(corners: torch.Tensor, item_idx: torch.Tensor) -> Iterator[torch.Tensor]:
    return (corners[item_idx == item] for item in range(int(item_idx.max()) + 1))


Shots = list[tuple[str, np.ndarray]]
"""Name and camera-to-world matrix (x right, y down, z forward) of each frame."""


def shots_of(room: Path) -> tuple[Shots, np.ndarray]:
    """Frames of a folder that `record_room` wrote, and their K (first pixel's centre 0.5, 0.5)."""
    shots = [(path.name.removesuffix(".pose.txt"), np.loadtxt(path)) for path in sorted(room.glob("*.pose.txt"))]
    return shots, np.array(json.loads((room / "camera.json").read_text())["K"])


def _copy(room: Path, out: Path, name: str, **places: str) -> None:
    """Copy the parts of a frame (color, depth, segm) to other places."""
    for part, place in places.items():
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(room / f"{name}.{part}.png", out / place)


def _text(values: Any) -> str:
    return " ".join(f"{v:.12g}" for v in np.ravel(values))


def _xyzw(T: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(T[:3, :3]).as_quat()


def as_seven_scenes(room: Path, out: Path) -> Path:
    """The recording as it is."""
    shutil.copytree(room, out)
    return out


def as_nerfstudio(room: Path, out: Path) -> Path:
    """OpenGL camera-to-world, depth beside the pictures."""
    shots, K = shots_of(room)
    frames = []
    for name, T in shots:
        _copy(room, out, name, color=f"images/{name}.png", depth=f"images/{name}_depth.png", segm=f"{name}.segm.png")
        row = {"file_path": f"images/{name}.png", "depth_file_path": f"images/{name}_depth.png"}
        frames.append(row | {"transform_matrix": (T @ np.diag([1.0, -1, -1, 1])).tolist()})
    shutil.copy(room / "objects.json", out)
    lens = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "w": SIZE[0], "h": SIZE[1]}
    (out / "transforms.json").write_text(json.dumps(lens | {"depth_unit_scale_factor": 0.001, "frames": frames}))
    return out


def as_tum(room: Path, out: Path) -> Path:
    """Lists with time stamps, which are the pictures' names too; OpenCV's pixel centres; depth of 5000 to a metre."""
    shots, K = shots_of(room)
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    for n, (name, T) in enumerate(shots):
        stamp = f"1305031102.{175304 + 33333 * n:06d}"
        _copy(room, out, name, color=f"rgb/{stamp}.png", depth=f"depth/{stamp}.png", segm=f"{stamp}.segm.png")
        raster = np.asarray(Image.open(out / f"depth/{stamp}.png")).astype(int) * 5
        Image.fromarray(raster.astype(np.uint16)).save(out / f"depth/{stamp}.png")
        lists["rgb"].append(f"{stamp} rgb/{stamp}.png")
        lists["depth"].append(f"{stamp} depth/{stamp}.png")
        lists["groundtruth"].append(f"{stamp} {_text([*T[:3, 3], *_xyzw(T)])}")
    for name, lines in lists.items():
        (out / f"{name}.txt").write_text("\n".join(["# made by a test", *lines]))
    shutil.copy(room / "objects.json", out)
    _state(out, K, depth_units_per_m=5000, quaternion="xyzw")
    return out


def as_numbered(room: Path, out: Path) -> Path:
    """Frames 1, 2, ... and one file of poses, w first."""
    shots, K = shots_of(room)
    rows = []
    for n, (name, T) in enumerate(shots, start=1):
        _copy(room, out, name, color=f"{n}.color.png", depth=f"{n}.depth.png", segm=f"{n}.segm.png")
        rows.append(_text([*T[:3, 3], *np.roll(_xyzw(T), 1)]))
    (out / "pose.txt").write_text("\n".join(rows))
    shutil.copy(room / "objects.json", out)
    _state(out, K, depth_units_per_m=1000, quaternion="wxyz")
    return out


def _state(out: Path, K: np.ndarray, **more: Any) -> None:
    """camera.json with K as OpenCV counts, where the first pixel's centre is (0, 0)."""
    whole = K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    (out / "camera.json").write_text(json.dumps({"K": whole.tolist(), "pixel_centers": "whole"} | more))


def as_colmap(room: Path, out: Path, unit: float = 1.0) -> Path:
    """A text model: world-to-camera, w first."""
    shots, K = shots_of(room)
    rows = []
    for n, (name, T) in enumerate(shots, start=1):
        _copy(room, out, name, color=f"images/{name}.png")
        w2c = np.linalg.inv(T)
        rows += [f"{n} {_text([*np.roll(_xyzw(w2c), 1), *w2c[:3, 3] * unit])} 1 {name}.png", ""]
    model = out / "sparse" / "0"
    model.mkdir(parents=True)
    lens = _text([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    (model / "cameras.txt").write_text(f"1 PINHOLE {SIZE[0]} {SIZE[1]} {lens}\n")
    (model / "images.txt").write_text("\n".join(rows) + "\n")
    (model / "points3D.txt").write_text("")
    return out


def as_re10k(room: Path, out: Path, unit: float = 1.0) -> Path:
    """World-to-camera rows after a web address, K in shares of the picture."""
    shots, K = shots_of(room)
    lines = ["https://example.org/watch"]
    for n, (name, T) in enumerate(shots):
        stamp = 99000 + 1001 * n
        _copy(room, out, name, color=f"room/{stamp}.png")
        w2c = np.linalg.inv(T)[:3]
        w2c[:, 3] *= unit
        lens = [K[0, 0] / SIZE[0], K[1, 1] / SIZE[1], K[0, 2] / SIZE[0], K[1, 2] / SIZE[1]]
        lines.append(f"{stamp} {_text([*lens, 0, 0])} {_text(w2c)}")
    (out / "room.txt").write_text("\n".join(lines) + "\n")
    return out


def as_svc_opengl(room: Path, out: Path) -> Path:
    """A legacy tree: OpenGL camera-to-world, first frame = identity, K of the anchor."""
    return _as_tree(room, out, "{:03d}.png", lambda T: {"transform_matrix": (T @ np.diag([1.0, -1, -1, 1])).tolist()})


def as_worldfm(room: Path, out: Path) -> Path:
    """A WorldFM tree: four digits, OpenCV camera-to-world, K of the frames."""
    return _as_tree(room, out, "{:04d}.png", lambda T: {"c2w": T.tolist()})


def _as_tree(room: Path, out: Path, pattern: str, pose: Any) -> Path:
    shots, K = shots_of(room)
    scene, clip, rows = out / "scenes" / "room", out / "scenes" / "room" / "traj_T4_all", []
    lens = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "K": K.tolist()}
    for n, (name, T) in enumerate(shots):
        place = f"samples-rgb/{pattern.format(n)}"
        _copy(room, clip, name, color=place)
        rows.append({"id": n + 1, "file_path": place} | lens | pose(np.linalg.inv(shots[0][1]) @ T))
    _copy(room, scene, shots[0][0], color="input/000.png")
    steps = [[], *[["TR_1"]] * (len(rows) - 1)]
    whole = {"traj_params": {"num_frames": len(rows)}, "actions_step": steps, "transforms": {"frames": rows}}
    (clip / "traj.json").write_text(json.dumps(whole))
    return out
