"""What must hold of a trajectory between recorded frames: the scene's frames, and words that say what the poses do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.case import FINE_GRID_DEG, FINE_GRID_M
from synth.motion import LENGTHS, WITH_DEPTH, WITHOUT_DEPTH, Asked
from synth.spoken import NEGLIGIBLE_DEG, NEGLIGIBLE_M
from synth.twin import Array
from synth.twin_motion import Steps, motion_matrix, read_steps
from synth.worlds import WORLD_MODELS

if TYPE_CHECKING:
    from synth.verify_scene import SceneFiles

RECORDED_KEYS = {"clip", "scene_frames", "residual"}

_TOLERANCE = 1e-6
_RESIDUAL_KEYS = {"pitch_deg", "roll_deg", "lift", "T_planar_after"}
_CLIP_KEYS = {"told", "notes", "disagreement", "scale", "extent", "check"}
_VERDICTS = ("pass", "fail", "undecided")

Fault = tuple[str, Any, Any]


def clip_faults(files: SceneFiles) -> Iterator[Fault]:
    """What scene.json says of the clips and their checks, as the settings ask for it."""
    asked = Asked.of_settings(files.settings["config"])
    for name, clip in files.scene["clips"].items():
        if clip.keys() != _CLIP_KEYS:
            yield f"clips.{name}", sorted(clip), sorted(_CLIP_KEYS)
        elif asked.is_checked and not _is_verdict(clip["check"]):
            yield f"clips.{name}.check", clip["check"], "a verdict, and why it is not pass"
        elif not asked.is_checked and clip["check"] is not None:
            yield f"clips.{name}.check", clip["check"], "null, for nothing was checked"


def _is_verdict(check: Any) -> bool:
    if not isinstance(check, dict) or check.keys() != {"verdict", "reasons", "lengths"}:
        return False
    if check["verdict"] not in _VERDICTS or check["lengths"] not in LENGTHS:
        return False
    reasons = check["reasons"]
    is_list = isinstance(reasons, list) and all(isinstance(text, str) for text in reasons)
    return is_list and bool(reasons) == (check["verdict"] != "pass")


def recorded_faults(files: SceneFiles, traj: Any, first: Any) -> Iterator[Fault]:
    """Hold a trajectory to the frames in scene.json, and its words and scale to what may be said."""
    asked = Asked.of_settings(files.settings["config"])
    motion = asked.known(files.scene["clips"][traj["clip"]["clip_id"]]["check"])
    if traj["motion"] != motion:
        yield "motion", traj["motion"], motion or "no trajectory, for the clip does not pass the check"
    yield from _frame_faults(files, traj, asked)
    extent = _extent(files, traj)
    yield from _extent_faults(files, traj, extent)
    yield from _word_faults(files.settings["config"], traj, extent)
    yield from _scale_faults(files, traj)


def _extent(files: SceneFiles, traj: Any) -> float:
    return float(files.scene["clips"][traj["clip"]["clip_id"]]["extent"])


def _extent_faults(files: SceneFiles, traj: Any, extent: float) -> Iterator[Fault]:
    """No two frames of a clip lie further apart than twice as far as its furthest from its first."""
    T = np.array(traj["T_world_cam"])
    apart = float(np.linalg.norm(T[1, :3, 3] - T[0, :3, 3]))
    if not apart <= 2 * extent + _TOLERANCE:
        yield "extent", extent, f"at least {apart / 2}, for the frames are {apart} apart"


def _unit(traj: Any, extent: float) -> float:
    """What stands for a metre in rules of the words: without a scale, no more than the whole path of the clip."""
    return 1.0 if _has_metres(traj) else min(1.0, extent or 1.0)


def _has_metres(traj: Any) -> bool:
    return traj["scale"]["status"] in ("metric", "estimated")


def _frame_faults(files: SceneFiles, traj: Any, asked: Asked) -> Iterator[Fault]:
    for i, n in enumerate(traj["scene_frames"]):
        frame = files.scene["frames"][n]
        for key in ("K", "width", "height"):
            if traj[key] != frame[key]:
                yield key, traj[key], frame[key]
        if traj["T_world_cam"][i] != frame["T_world_cam"]:
            yield f"T_world_cam[{i}]", traj["T_world_cam"][i], frame["T_world_cam"]
        for name, entry in frame["files"].items():
            if (digest := traj["frames"][i][name]["sha256"]) != entry["sha256"]:
                yield f"frames[{i}].{name}", digest, entry["sha256"]
    clip = files.scene["clips"][traj["clip"]["clip_id"]]
    if (told := traj["actions"]["commanded"]) not in (None, clip["told"]):
        yield "actions.commanded", told, clip["told"]
    if traj["actions"]["executed"] != (measured := traj["actions"]["shown"] if asked.is_executed else None):
        yield "actions.executed", traj["actions"]["executed"], measured or "null, for nobody has measured it"


def _word_faults(config: Any, traj: Any, extent: float) -> Iterator[Fault]:
    """What the words leave out is what the residual says, and no more than words may leave out."""
    T = np.array(traj["T_world_cam"])
    T_before_after = np.linalg.inv(T[0]) @ T[1]
    steps = read_steps(traj["actions"]["shown"])
    rest = np.linalg.inv(motion_matrix(steps)) @ T_before_after
    said = traj["residual"]
    if said.keys() != _RESIDUAL_KEYS:
        yield "keys of residual", sorted(said), sorted(_RESIDUAL_KEYS)
        return
    if not np.abs(np.array(said["T_planar_after"]) - rest).max() <= _TOLERANCE:
        yield "residual.T_planar_after", said["T_planar_after"], rest.tolist()
    R = T_before_after[:3, :3]
    tilt = np.rad2deg([np.arcsin(np.clip(-R[1, 2], -1, 1)), np.arctan2(R[1, 0], R[1, 1])]).tolist()
    for key, value in zip(("pitch_deg", "roll_deg", "lift"), (*tilt, -T_before_after[1, 3]), strict=True):
        if not abs(said[key] - value) <= _TOLERANCE:
            yield f"residual.{key}", said[key], value
    if max(map(abs, tilt)) > (most := config["max_tilt_deg"] * len(steps)):
        yield "residual", tilt, f"a pitch and roll of at most {most} degrees"
    length = 1.0 if _has_metres(traj) else extent
    if abs(said["lift"]) > (most := config["max_lift_m"] * length * len(steps)) + _TOLERANCE:
        yield "residual.lift", said["lift"], f"at most {most}"
    # What is measured has something negligible in each of its steps.
    times = len(steps) if config["motion"] == "executed" else 1
    yield from _rest_faults(traj, steps, rest, _unit(traj, extent), times)


def _rest_faults(traj: Any, steps: Steps, rest: Array, unit: float, times: int) -> Iterator[Fault]:
    turned, moved = heading_deg(rest), float(np.hypot(rest[0, 3], rest[2, 3]))
    # Each size is rounded to the grid, or left out where it is negligible; a turn's rounding swings all later moves.
    most_deg = NEGLIGIBLE_DEG * times + FINE_GRID_DEG / 2 * len(steps)
    swing = np.deg2rad(most_deg) * sum(amount for word, amount in steps if not word.startswith("turn"))
    most = NEGLIGIBLE_M * unit * times + FINE_GRID_M * 10.0 ** np.floor(np.log10(unit)) * len(steps) + swing
    if not (abs(turned) <= most_deg and moved <= most):
        yield "actions.shown", traj["actions"]["shown"], f"a motion that misses by {moved:.3g}, {turned:.2f} deg less"


def _measured_scales() -> list[dict[str, str]]:
    return [WITH_DEPTH.to_dict(), WITHOUT_DEPTH.to_dict()]


def heading_deg(T: Array) -> float:
    """Heading of a pose in degrees, to the right."""
    return float(np.rad2deg(np.arctan2(T[0, 2], T[2, 2])))


def _scale_faults(files: SceneFiles, traj: Any) -> Iterator[Fault]:
    """Metres are what the reader found, or what the user declared; a world model has none of its own."""
    read, scale = files.scene["clips"][traj["clip"]["clip_id"]]["scale"], traj["scale"]
    if files.settings["config"]["motion"] == "executed" and scale not in (known := _measured_scales()):
        yield "scale", scale, f"one of {known}"
    if files.settings["config"]["scale"] == "metric":
        if scale["status"] != "metric":
            yield "scale.status", scale["status"], "metric, as declared"
        return
    if scale != read:
        yield "scale", scale, read
    if traj["teacher"] in WORLD_MODELS and scale["status"] == "metric":
        yield "scale.status", scale["status"], "no metres: a world model has a unit of its own"
