"""nerfstudio's `transforms.json` (also Blender's): OpenGL camera-to-world poses, intrinsics for all or each frame.

Pixels are counted as here (first centre 0.5, 0.5). Poses mostly come from structure from motion, so lengths have one
unknown factor unless the user declares otherwise, depth pictures included: their unit is only said to be that of the
poses after `depth_unit_scale_factor`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from geom.camera import PinholeCamera
from geom.conventions import from_nerfstudio
from geom.scale import Scale
from synth.safe_read import inside, mapping, matrix, number, picture_size, read_json, sequence
from synth.source import Clip, Frame, Source, SourceScene, of_size

FILE = "transforms.json"
_DEFAULT_DEPTH_UNIT_M = 1e-3
_DISTORTIONS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_STRAIGHT = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
"""Camera models that are pinholes where nothing bends them; a fisheye is none even with all its numbers zero."""
_POSE_TOLERANCE = 1e-4
_PICTURES = ("", ".png", ".jpg", ".jpeg")
"""Blender's paths leave the suffix out."""


def is_nerfstudio(folder: Path) -> bool:
    """Whether a folder holds such a file."""
    return (folder / FILE).is_file()


def read_nerfstudio(folder: Path) -> Source:
    """Read one scene of one clip; frames that are damaged are counted and left out.

    Raises:
        ValueError: if the file is damaged as a whole, lenses are distorted, or fewer than 2 frames can be read.
    """
    path = folder / FILE
    whole = mapping(read_json(path), str(path), "frames")
    frames, left_out = [], Counter[str]()
    for i, row in enumerate(sequence(whole["frames"], f"{path}: frames")):
        try:
            frames.append(_frame(folder, i, mapping(row, f"frame {i}", "file_path", "transform_matrix"), whole))
        except ValueError as error:
            left_out[str(error)] += 1
    if len(frames) < 2:
        cause = next(iter(left_out), "it lists no more")
        raise ValueError(f"{path} must give at least 2 frames that can be read, got {len(frames)}: {cause}")
    scale = Scale("unknown", "nerfstudio transforms.json, which does not say what its lengths are")
    notes = ("poses are OpenGL camera-to-world, turned to x right, y down, z forward",)
    clip = Clip("all", tuple(frames), scale, notes=notes)
    return Source("nerfstudio", [SourceScene(folder.resolve().name, (clip,), frames[0].picture)], left_out)


def _frame(folder: Path, index: int, row: Mapping[str, Any], whole: Mapping[str, Any]) -> Frame:
    where = f"frame {index}"
    picture = _picture(folder, row["file_path"])
    pose = matrix(row["transform_matrix"], f"{where}: transform_matrix", (4, 4), (3, 4))
    z_depth = inside(folder, row["depth_file_path"]) if row.get("depth_file_path") else None
    unit_m = number(whole.get("depth_unit_scale_factor", _DEFAULT_DEPTH_UNIT_M), "depth_unit_scale_factor")
    if not unit_m > 0:
        raise ValueError(f"depth_unit_scale_factor must be above 0, got {unit_m}")
    camera = _camera({**whole, **row}, picture_size(picture), where)
    return Frame(picture, camera, from_nerfstudio(pose, tolerance=_POSE_TOLERANCE), z_depth, 1 / unit_m)


def _picture(folder: Path, name: Any) -> Path:
    inside(folder, name)
    found = next((folder / f"{name}{suffix}" for suffix in _PICTURES if (folder / f"{name}{suffix}").is_file()), None)
    if found is None:
        raise ValueError(f"the picture {name} is missing")
    return found


def _camera(fields: Mapping[str, Any], size: tuple[int, int], where: str) -> PinholeCamera:
    bent = {key: fields[key] for key in _DISTORTIONS if fields.get(key)}
    if bent:
        raise ValueError(f"{where}: lens distortion {bent} must be taken out first; only pinhole pictures are read")
    model = fields.get("camera_model", _STRAIGHT[0])
    if model not in _STRAIGHT or fields.get("is_fisheye"):
        raise ValueError(f"{where}: a camera of model {model} bends lines; undistort the pictures to pinholes first")
    width, height = (number(fields.get(key, s), f"{where}: {key}") for key, s in zip("wh", size, strict=True))
    if "fl_x" in fields:
        fx = number(fields["fl_x"], f"{where}: fl_x")
        fy = number(fields.get("fl_y", fx), f"{where}: fl_y")
    elif "camera_angle_x" in fields:
        fx = fy = width / (2 * math.tan(number(fields["camera_angle_x"], f"{where}: camera_angle_x") / 2))
        if "camera_angle_y" in fields:
            fy = height / (2 * math.tan(number(fields["camera_angle_y"], f"{where}: camera_angle_y") / 2))
    else:
        raise ValueError(f"{where} must have fl_x or camera_angle_x, also for all frames, got {sorted(fields)[:12]}")
    cx, cy = (number(fields.get(key, s / 2), f"{where}: {key}") for key, s in (("cx", width), ("cy", height)))
    if min(width, height) < 1 or width != int(width) or height != int(height):
        raise ValueError(f"{where}: w and h must be whole pixels, got {width} and {height}")
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    # Intrinsics of the full pictures beside pictures made smaller, as in images_2, images_4.
    return of_size(PinholeCamera(K, int(width), int(height)), size)
