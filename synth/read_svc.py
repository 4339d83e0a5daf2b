"""SVC and WorldFM trees of World2VLM: `scenes/<scene>/traj_<id>/traj.json` with poses, beside `samples-rgb`.

Poses are camera-to-world: OpenCV axes under the key `c2w`, OpenGL under `transform_matrix` (legacy bundles). SVC's K
is that of the anchor picture, while its frames are the anchor scaled to cover them and cropped at the centre, so each
frame's K is derived; WorldFM renders with K as it stands. Pixel centres: the principal point is half the size, so
the first pixel's centre is (0.5, 0.5), as ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from geom.actions import ActionSequence, canonicalise, parse_actions
from geom.camera import PinholeCamera
from geom.conventions import from_c2w, from_nerfstudio
from geom.scale import Scale
from geom.se3 import SE3
from synth.plans import svc_frame_intrinsics, svc_units_per_m
from synth.read_trees import has_bundles_with, read_tree
from synth.safe_read import inside, mapping, matrix, number, picture_size, read_json, sequence
from synth.source import Clip, Frame, Source

_POSE_TOLERANCE = 1e-4
"""Poses are float32, written out."""
_SHAPES = ((4, 4), (3, 4))
_WORLDFM = "K as it stands: WorldFM renders with it"


def is_svc(folder: Path) -> bool:
    """Whether a folder is such a tree: its traj.json have `actions_step` and `transforms`."""
    return has_bundles_with(folder, "actions_step", "transforms")


def read_svc(folder: Path) -> Source:
    """Read a tree; raises as `read_tree`."""
    source = read_tree(folder, "svc", _clip)
    clips = [clip for _, clip in source.clips()]
    is_worldfm = bool(clips) and all(_WORLDFM in clip.notes for clip in clips)
    return replace(source, source_format="worldfm") if is_worldfm else source


def _clip(path: Path, anchor: Path | None) -> Clip:
    bundle = mapping(read_json(path), str(path), "traj_params", "actions_step", "transforms")
    params = mapping(bundle["traj_params"], f"{path}: traj_params")
    rows = sequence(mapping(bundle["transforms"], f"{path}: transforms", "frames")["frames"], f"{path}: frames")
    steps = sequence(bundle["actions_step"], f"{path}: actions_step")
    if len(rows) < 2 or len(steps) != len(rows):
        raise ValueError(f"{path} must have as many actions_step as frames, at least 2; got {len(steps)}, {len(rows)}")
    notes: list[str] = []
    frames = tuple(_frame(path.parent, i, row, anchor, notes) for i, row in enumerate(rows))
    return Clip(
        clip_id=path.parent.name.removeprefix("traj_"),
        frames=frames,
        scale=_scale(frames, params, path),
        told=_told(params, steps, path),
        key_frames=_key_frames(bundle, params, len(frames), path),
        notes=tuple(dict.fromkeys(notes)),
    )


def _frame(folder: Path, index: int, row: Any, anchor: Path | None, notes: list[str]) -> Frame:
    where = f"{folder.name} frame {index}"
    fields = mapping(row, where, "file_path")
    picture = inside(folder, fields["file_path"])
    size = picture_size(picture)
    if "c2w" in fields:
        pose = from_c2w(matrix(fields["c2w"], f"{where}: c2w", *_SHAPES), tolerance=_POSE_TOLERANCE)
        K = matrix(fields.get("K"), f"{where}: K", (3, 3))
    else:
        mapping(row, where, "transform_matrix", "fl_x", "fl_y", "cx", "cy")
        pose = from_nerfstudio(
            matrix(fields["transform_matrix"], f"{where}: transform_matrix", *_SHAPES), tolerance=_POSE_TOLERANCE
        )
        fx, fy, cx, cy = (number(fields[key], f"{where}: {key}") for key in ("fl_x", "fl_y", "cx", "cy"))
        K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
        notes.append("poses are OpenGL (transform_matrix), turned to x right, y down, z forward")
    return Frame(picture, _camera(K, size, picture, anchor, notes), pose)


def _camera(
    K: torch.Tensor, size: tuple[int, int], picture: Path, anchor: Path | None, notes: list[str]
) -> PinholeCamera:
    """The camera of a frame from the K of its anchor: scaled to cover the frame, then cropped at the centre."""
    if len(picture.stem) == 4:
        notes.append(_WORLDFM)
        return PinholeCamera(K, *size)
    centred = round(2 * float(K[0, 2])), round(2 * float(K[1, 2]))
    whole = centred if anchor is None else picture_size(anchor)
    notes.append(
        f"K belongs to the anchor of {whole[0]} x {whole[1]} pixels"
        f"{'' if anchor else ' (told from the principal point)'}; derived for its centre crop of {size[0]} x {size[1]}"
    )
    return svc_frame_intrinsics(PinholeCamera(K, *whole), size)


def _told(params: Mapping[str, Any], steps: Any, path: Path) -> str:
    """The commanded actions: from the parameters where they are whole, else from the steps between frames."""
    if params.get("kind") == "single_step" and "action" in params:
        return parse_actions(f"{params['action']} {number(params.get('magnitude'), f'{path}: magnitude')}").text()
    if "actions" in params and params.get("kind") == "multi_step":
        parts = [mapping(a, f"{path}: action", "act", "magnitude") for a in sequence(params["actions"], str(path))]
        return parse_actions("; ".join(f"{p['act']} {number(p['magnitude'], str(path))}" for p in parts)).text()
    tokens = [token for step in steps for token in sequence(step, f"{path}: actions_step")]
    if not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"{path}: actions_step must hold tokens such as FWD_0.5")
    every = [action for token in tokens for action in parse_actions(token)]
    return canonicalise(ActionSequence(tuple(every))).text()


def _key_frames(bundle: Mapping[str, Any], params: Mapping[str, Any], count: int, path: Path) -> tuple[int, ...]:
    listed = bundle.get("key_frame_indices", params.get("key_frame_indices", [0, count - 1]))
    keys = tuple(int(number(k, f"{path}: key_frame_indices")) for k in sequence(listed, f"{path}: key_frame_indices"))
    if len(keys) < 2 or keys[0] != 0 or list(keys) != sorted(set(keys)) or keys[-1] >= count:
        raise ValueError(f"{path}: key_frame_indices must rise from 0 below {count}, got {list(keys)[:12]}")
    return keys


def _scale(frames: tuple[Frame, ...], params: Mapping[str, Any], path: Path) -> Scale:
    """What SVC was really conditioned on: cameras recentred on their mean, the first one at camera_scale from it."""
    if "camera_scale" not in params:
        return Scale("unknown", "generated views; the bundle keeps no camera_scale")
    camera_scale = number(params["camera_scale"], f"{path}: camera_scale")
    factor = svc_units_per_m(SE3.stack([frame.T_world_cam for frame in frames]).t, camera_scale)
    if factor is None:
        return Scale("unknown", "generated views of a camera that only turns: no length reached SVC")
    return Scale(
        "up_to_scale",
        f"generated views: SVC was conditioned on {factor:.4g} units for each commanded metre (camera_scale"
        f" {camera_scale:g}, all frames in one pass)",
    )
