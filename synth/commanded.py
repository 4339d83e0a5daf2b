"""What a camera was told to do in a film: steps between frames, with the poses they lead to or the keys pressed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geom import so3
from geom.actions import ActionKind, ActionSequence, parse_actions
from geom.pose_error import motion_error
from geom.scale import Scale
from geom.se3 import SE3
from synth.compliance import Way, way_of
from synth.safe_read import mapping, matrix, read_json, sequence
from synth.source import Clip

SPAN_FRAMES = 16
"""Frames of a step where only poses are known, not where actions begin and end."""

_RETURNED, _RETURNED_DEG = 0.02, 2.0
"""A path has returned where it ends within this share of its extent, and this turn, of its start."""

KEYS = {
    "W": ActionKind.FORWARD,
    "S": ActionKind.BACKWARD,
    "A": ActionKind.LEFT,
    "D": ActionKind.RIGHT,
    "left": ActionKind.TURN_LEFT,
    "right": ActionKind.TURN_RIGHT,
}
"""Keys by which world models are steered: HY-WorldPlay's, and those of most others."""

_STILL = 1e-9
"""A commanded move or turn, in units and degrees, that rounding left of none."""
_ROUNDED = 1e-4
"""The same for moves, as a share of the path's extent."""


@dataclass(frozen=True, eq=False)
class CommandedStep:
    """What was commanded between two frames."""

    first: int
    last: int
    way: Way
    T_before_after: SE3 | None
    """None where only directions are known, as of keys."""
    is_metric: bool = False
    """Whether its lengths are metres."""

    def holds(self, first: int, last: int) -> bool:
        """Whether these frames lie in it."""
        return self.first <= first and last <= self.last

    @property
    def moves(self) -> bool:
        """Whether it goes anywhere, other than turning in place."""
        return any(not kind.is_turn for kind in self.way.kinds)


@dataclass(frozen=True, eq=False)
class Commanded:
    """The steps of a film in order, each beginning where the one before ends.

    Args:
        T_world_cam: pose of every frame up to the last step's end, (n,); None where only directions are known.
        scale: of its lengths.
        notes: what had to be decided, for people.
    """

    steps: tuple[CommandedStep, ...]
    T_world_cam: SE3 | None
    scale: Scale
    notes: tuple[str, ...] = ()

    @property
    def key_frames(self) -> list[int]:
        """Where steps begin and end; those of keys, which go on evenly, are looked at in parts."""
        parts = [np.linspace(step.first, step.last, self._parts(step) + 1).round().astype(int) for step in self.steps]
        return [self.steps[0].first, *(int(n) for part in parts for n in part[1:])]

    @staticmethod
    def _parts(step: CommandedStep) -> int:
        return 1 if step.T_before_after is not None else math.ceil((step.last - step.first) / SPAN_FRAMES)

    @property
    def returns(self) -> bool:
        """Whether the path ends where it began, having been away."""
        if self.T_world_cam is None:
            return False
        path = self.T_world_cam[self.steps[0].first : self.steps[-1].last + 1]
        away = motion_error(path[:1], path)
        far, turned = float(away.translation.max()), math.degrees(float(away.rotation.max()))
        is_near = float(away.translation[-1]) <= _RETURNED * far
        is_same_way = math.degrees(float(away.rotation[-1])) <= _RETURNED_DEG
        return is_near and is_same_way and (far > 0 or turned > _RETURNED_DEG)

    def between(self, first: int, last: int) -> SE3 | None:
        """The commanded motion between any two frames, T_first_last; None where only directions are known."""
        return None if self.T_world_cam is None else _motion(self.T_world_cam, first, last)


def commanded_of_clip(clip: Clip) -> Commanded:
    """Take the poses of a clip for what was commanded, as its readers do; they count, not the words."""
    poses = SE3.stack([frame.T_world_cam for frame in clip.frames])
    keys, notes = list(clip.key_frames), []
    if clip.told and keys[1:-1] == [] and len(parse_actions(clip.told)) > 1:
        keys = _breaks(poses)
        notes.append("where actions begin and end is told from the poses")
    if len(keys) < 2:
        keys = None
    return commanded_of_poses(poses, clip.scale, keys, tuple(notes))


def commanded_of_poses(
    T_world_cam: SE3, scale: Scale, key_frames: Sequence[int] | None = None, notes: tuple[str, ...] = ()
) -> Commanded:
    """Steps between key frames, from a pose for every frame.

    Args:
        T_world_cam: (n,), one of every frame of the film.
        key_frames: where actions begin and end; every SPAN_FRAMES frames if None.

    Raises:
        ValueError: if these are fewer than 2 poses, or key frames are not rising numbers of frames.
    """
    num = T_world_cam.shape[0] if len(T_world_cam.shape) == 1 else 0
    if num < 2:
        raise ValueError(f"commanded poses must be at least 2, one of every frame, got {num}")
    T_world_cam = SE3(so3.nearest(T_world_cam.R), T_world_cam.t)
    if key_frames is None:
        key_frames = [0, *range(SPAN_FRAMES, num - 1 - SPAN_FRAMES // 2, SPAN_FRAMES), num - 1]
        notes = (*notes, f"steps of {SPAN_FRAMES} frames, because nobody says where actions begin and end")
    _refuse_keys(key_frames, num)
    steps = tuple(_step(T_world_cam, i, j, scale.is_metric) for i, j in pairwise(key_frames))
    return Commanded(steps, T_world_cam, scale, notes)


def commanded_of_actions(
    actions: ActionSequence, num_frames: int, scale: Scale, key_frames: Sequence[int] | None = None
) -> Commanded:
    """Steps of an action string, one an action, each at constant speed.

    Args:
        key_frames: where actions begin and end, one more than there are actions; equal shares of the film if None.

    Raises:
        ValueError: if there is no action, or the film has too few frames for them, or the key frames do not match.
    """
    if not len(actions):
        raise ValueError("actions must be at least one, got none")
    keys, notes = list(key_frames or ()), ()
    if not keys:
        keys = np.linspace(0, num_frames - 1, len(actions) + 1).round().astype(int).tolist()
        notes = ("each action is taken to last equally long, because nobody says where they begin and end",)
    if num_frames <= len(actions):
        raise ValueError(
            f"a film must have more frames than there are actions, got {num_frames} frames and {len(actions)} actions;"
            " does the string belong to another film?"
        )
    if len(keys) != len(actions) + 1:
        raise ValueError(f"key frames must be one more than actions, got {len(keys)} and {len(actions)} actions")
    _refuse_keys(keys, num_frames)
    poses = [SE3.identity()] * (keys[0] + 1)
    for (first, last), action in zip(pairwise(keys), actions, strict=True):
        shares = np.arange(1, last - first + 1) / (last - first)
        start, end = poses[-1], poses[-1] @ action.pose()
        poses += [start.interpolate(end, float(share)) for share in shares]
    return commanded_of_poses(SE3.stack(poses), scale, keys, notes)


def commanded_of_file(path: Path, num_frames: int) -> Commanded:
    """Read the commands of a film from a JSON file.

    Either poses, `{"T_world_cam": [4 x 4, one of every frame], "key_frames": [...], "scale": "metric"}` (the last two
    may be left out; what `theodolite plan --per-frame --json` prints is read too), or keys,
    `{"actions": [{"frames": [first, last], "keys": ["W", "left"]}, ...]}`.

    Raises:
        ValueError: if it is neither, or does not match the film.
    """
    value = mapping(read_json(path), str(path))
    if isinstance(value.get("actions"), list):
        return _of_keys(value["actions"], num_frames, str(path))
    return _of_pose_file(value, num_frames, str(path))


def _of_pose_file(value: Any, num_frames: int, where: str) -> Commanded:
    name = next((key for key in ("T_world_cam", "T_cam0_cam") if key in value), None)
    if name is None:
        raise ValueError(f"{where} must hold T_world_cam (a 4 x 4 pose of every frame) or actions, got {sorted(value)}")
    rows = [matrix(row, f"{where}: {name}[{n}]", (4, 4)) for n, row in enumerate(sequence(value[name], where))]
    if len(rows) != num_frames:
        raise ValueError(
            f"poses must be as many as frames, got {len(rows)} in {where} and {num_frames} frames; was the film"
            " sampled, or are these poses of latents or of actions alone?"
        )
    keys = value.get("key_frames", value.get("key_frame_indices"))
    status = value.get("scale", "unknown")
    scale = Scale(
        status if status in ("metric", "up_to_scale", "unknown") else "unknown", f"as {Path(where).name} says"
    )
    return commanded_of_poses(
        SE3.from_matrix(torch.stack(rows)), scale, None if keys is None else _numbers(keys, where)
    )


def _of_keys(rows: Any, num_frames: int, where: str) -> Commanded:
    steps = []
    for n, row in enumerate(sequence(rows, where)):
        fields = mapping(row, f"{where}: actions[{n}]", "frames", "keys")
        first, last = _numbers(fields["frames"], where)[:2]
        names = sequence(fields["keys"], where)
        if unknown := [name for name in names if name not in KEYS]:
            raise ValueError(f"{where}: keys must be among {', '.join(KEYS)}, got {unknown[0]!r}")
        # The next segment's first frame is where this one has led to.
        steps.append(CommandedStep(first, last, Way(frozenset(KEYS[name] for name in names)), None))
    ends = [*(step.first for step in steps[1:]), min(steps[-1].last + 1, num_frames - 1)] if steps else []
    steps = [CommandedStep(step.first, end, step.way, None) for step, end in zip(steps, ends, strict=True)]
    if not steps:
        raise ValueError(f"{where} must hold at least one action, got none")
    _refuse_keys([steps[0].first, *ends], num_frames)
    return Commanded(tuple(steps), None, Scale("unknown", "keys say directions, not lengths"))


def _numbers(value: Any, where: str) -> list[int]:
    rows = sequence(value, where)
    if not all(isinstance(n, int) and not isinstance(n, bool) for n in rows):
        raise ValueError(f"{where}: frames must be whole numbers, got {list(rows)[:4]}")
    return [int(n) for n in rows]


def _refuse_keys(keys: Sequence[int], num_frames: int) -> None:
    if len(keys) < 2 or keys[0] < 0 or any(i >= j for i, j in pairwise(keys)) or keys[-1] >= num_frames:
        raise ValueError(
            f"steps must begin and end at rising frames from 0 to {num_frames - 1}, got {list(keys)[:12]}; do they"
            " belong to another film?"
        )


def _step(T_world_cam: SE3, first: int, last: int, is_metric: bool) -> CommandedStep:
    T_before_after = _motion(T_world_cam, first, last)
    return CommandedStep(first, last, way_of(T_before_after), T_before_after, is_metric)


def _motion(T_world_cam: SE3, first: int, last: int) -> SE3:
    """T_first_last; what rounding leaves of no move is no move, since poses are often written as float32."""
    T_first_last = T_world_cam[first].inverse() @ T_world_cam[last]
    extent = float((T_world_cam.t - T_world_cam.t[0]).norm(dim=-1).max())
    is_still = float(T_first_last.t.norm()) <= max(_STILL, _ROUNDED * extent)
    return SE3(T_first_last.R, torch.zeros_like(T_first_last.t)) if is_still else T_first_last


def _breaks(T_world_cam: SE3) -> list[int]:
    """Frames between which a path goes the same way."""
    num = T_world_cam.shape[0]
    steps = [T_world_cam[n].inverse() @ T_world_cam[n + 1] for n in range(num - 1)]
    least_m = 0.02 * max(float(step.t.norm()) for step in steps)
    least_deg = 0.02 * max(math.degrees(abs(so3.heading(step.R))) for step in steps)
    ways = [way_of(step, min_turn_deg=max(least_deg, _STILL), min_m=max(least_m, _STILL)) for step in steps]
    return [0, *(n for n in range(1, num - 1) if ways[n] != ways[n - 1]), num - 1]
