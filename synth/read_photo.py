"""Photographs with depth: `<name>.color.*` and `<name>.depth.png` beside a `camera.json`, and no poses.

`camera.json` is that of `synth.read_rgbd`. Each photograph is a scene of its own, of one frame. One without depth is
left out, unless a model estimates it (`synth.estimate_depth`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from synth.read_depth import raw_z_depth
from synth.read_rgbd import Stated, has_poses
from synth.safe_read import inside, picture_size, read_picture, refuse_turned
from synth.source import Clip, Frame, Source, SourceScene, frame_name

_SCALE = Scale("metric", "z-depth beside the photograph, unit as stated in camera.json")
_NO_DEPTH = Scale("unknown", "a photograph without depth")


def is_photo(folder: Path) -> bool:
    """Whether a folder has photographs that nobody gave poses."""
    return any(folder.glob("*.color.*")) and not has_poses(folder)


def read_photo(folder: Path) -> Source:
    """Read every photograph as a scene; those that are damaged are counted and left out.

    Raises:
        ValueError: if camera.json is missing or wrong, or no photograph can be read.
    """
    stated, left_out = Stated.read(folder), Counter[str]()
    scenes = []
    for picture in sorted(folder.glob("*.color.*")):
        name = frame_name(picture)
        try:
            frame = _frame(folder, stated, picture, inside(folder, f"{name}.depth.png"))
        except ValueError as error:
            left_out[f"photograph {name}: {error}"] += 1
            continue
        scale = _NO_DEPTH if frame.z_depth is None else _SCALE
        scenes.append(SourceScene(name, (Clip(name, (frame,), scale),), picture))
    if not scenes:
        cause = next(iter(left_out), "there is none")
        raise ValueError(f"{folder} must give at least one photograph that can be read: {cause}")
    return Source("photo", scenes, left_out)


def _frame(folder: Path, stated: Stated, picture: Path, z_depth: Path) -> Frame:
    size = picture_size(inside(folder, picture.name))
    if z_depth.is_file() and picture_size(z_depth) != size:
        raise ValueError(f"depth of {picture_size(z_depth)} pixels is not registered to the picture of {size}")
    refuse_turned(picture)
    found = z_depth if z_depth.is_file() else None
    frame = Frame(picture, PinholeCamera(stated.K, *size), SE3.identity(), found, stated.units_per_m)
    # Whole, or else counted here: a photograph is all that its scene has.
    read_picture(picture)
    raw_z_depth(frame)
    return frame
