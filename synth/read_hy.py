"""HY-WorldPlay trees of World2VLM: `scenes/<scene>/traj_<id>/` with traj.json, pose.json and retained frames.

pose.json holds camera-to-world matrices (OpenCV axes, first = identity), one a latent, its keys sorted as text; pose i
belongs to video frame 4 i. One K stands for every picture: it belongs to 1920 x 1080 and is stretched to the frame.
The public data generator mirrors turns: it writes `turn_left` where its poses turn right. The poses decide here, and
the clip says which sign it carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from geom.actions import ActionSequence, parse_actions
from geom.camera import PinholeCamera
from geom.conventions import from_c2w
from geom.scale import Scale
from geom.se3 import SE3
from synth.plans import HY_IMAGE_SIZE
from synth.read_trees import has_bundles_with, read_tree
from synth.safe_read import inside, mapping, matrix, number, picture_size, read_json, sequence
from synth.source import Clip, Frame, Source, same_steps

FRAMES_PER_POSE = 4
_SCALE = Scale("up_to_scale", "generated views: HY-WorldPlay's own unit, called metres by the commands")


def is_hy(folder: Path) -> bool:
    """Whether a folder is such a tree: its traj.json have `actions` and `sample_paths`."""
    return has_bundles_with(folder, "actions", "sample_paths")


def read_hy(folder: Path) -> Source:
    """Read a tree; raises as `read_tree`."""
    return read_tree(folder, "hy_worldplay", _clip)


def _clip(path: Path, anchor: Path | None) -> Clip:
    keys = ("actions", "latent_chunks", "retained_frame_indices", "sample_paths")
    bundle = mapping(read_json(path), str(path), *keys)
    poses = _poses(inside(path.parent, bundle.get("pose_path", "pose.json")))
    indices = [_index(value, path) for value in sequence(bundle["retained_frame_indices"], f"{path}: indices")]
    names = sequence(bundle["sample_paths"], f"{path}: sample_paths")
    if len(indices) != len(names) or len(names) < 2:
        raise ValueError(
            f"{path} must have a sample for each retained frame, at least 2; got {len(names)}, {len(indices)}"
        )
    frames = tuple(_frame(path.parent, name, index, poses) for name, index in zip(names, indices, strict=True))
    told = parse_actions("; ".join(_words(action, path) for action in sequence(bundle["actions"], f"{path}: actions")))
    clip = Clip(
        clip_id=path.parent.name.removeprefix("traj_"),
        frames=frames,
        scale=_SCALE,
        told=told.text(),
        key_frames=_key_frames(bundle, indices, path),
    )
    return replace(clip, notes=(_sign_of_turns(clip, told),))


def _words(action: Any, path: Path) -> str:
    fields = mapping(action, f"{path}: action", "name", "value")
    return f"{fields['name']} {number(fields['value'], f'{path}: value')}"


def _index(value: Any, path: Path) -> int:
    index = number(value, f"{path}: retained_frame_indices")
    if index < 0 or index % FRAMES_PER_POSE:
        raise ValueError(
            f"{path}: a retained frame must be a multiple of {FRAMES_PER_POSE}, which has a pose; got {value}"
        )
    return int(index)


def _poses(path: Path) -> list[tuple[SE3, torch.Tensor]]:
    """(pose, K) by latent, in the order of the numbers and not of the text."""
    value = mapping(read_json(path), str(path))
    try:
        order = sorted(value, key=int)
    except ValueError:
        raise ValueError(f"{path} must have latent numbers as keys, got {sorted(value)[:5]}") from None
    if [int(key) for key in order] != list(range(len(order))):
        raise ValueError(f"{path} must have latents 0 to {len(order) - 1}, got {order[:8]}")
    poses = []
    for key in order:
        row = mapping(value[key], f"{path}: {key}", "K", "extrinsic")
        pose = from_c2w(matrix(row["extrinsic"], f"{path}: {key}: extrinsic", (4, 4)))
        poses.append((pose, matrix(row["K"], f"{path}: {key}: K", (3, 3))))
    return poses


def _frame(folder: Path, name: Any, index: int, poses: list[tuple[SE3, torch.Tensor]]) -> Frame:
    picture = inside(folder, name)
    if index // FRAMES_PER_POSE >= len(poses):
        raise ValueError(f"{folder.name}: frame {index} has no pose; pose.json ends at {len(poses) - 1}")
    pose, K = poses[index // FRAMES_PER_POSE]
    return Frame(picture, PinholeCamera(K, *HY_IMAGE_SIZE).resize(*picture_size(picture)), pose)


def _key_frames(bundle: Mapping[str, Any], indices: list[int], path: Path) -> tuple[int, ...]:
    """Where actions end, as positions among the retained frames; padding at the end is held still."""
    ends, latent = [0], 0
    for chunk in sequence(bundle["latent_chunks"], f"{path}: latent_chunks"):
        latent += len(sequence(mapping(chunk, f"{path}: chunk", "latent_values")["latent_values"], f"{path}: chunk"))
        ends.append(latent * FRAMES_PER_POSE)
    if missing := [end for end in ends if end not in indices]:
        raise ValueError(f"{path}: an action ends at frame {missing[0]}, which was not retained")
    return tuple(indices.index(end) for end in ends)


def _sign_of_turns(clip: Clip, told: ActionSequence) -> str:
    """Which sign the turns carry, and how that is known: the words of pose.json against those of `actions`."""
    shown = clip.shown()
    if not any(action.kind.is_turn for action in told):
        return "no turns, so no sign of turns to tell"
    if same_steps(shown, told):
        return "turns as told: the poses turn the way that the words say"
    mirrored = ActionSequence(tuple(a.undone() if a.kind.is_turn else a for a in told))
    if same_steps(shown, mirrored):
        return "turns are mirrored: the poses turn right where the words say left, and the poses count"
    return f"the poses show {shown.text()!r} where the words say {told.text()!r}, and the poses count"
