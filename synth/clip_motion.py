"""A clip with the motion that is labelled: that of its stored poses, held against its pictures, or what they show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from geom import so3
from geom.actions import parse_actions
from geom.inversion import tilt_and_lift
from geom.pose_error import direction_error, rotation_error
from geom.se3 import SE3
from synth.check import Checked, check_clip
from synth.commanded import Commanded
from synth.compliance import in_words
from synth.executed import ExecutedStep
from synth.executed_path import ExecutedPath
from synth.motion import LENGTHS, WITH_DEPTH, WITHOUT_DEPTH, Asked
from synth.source import Clip
from synth.spoken import path_extent
from synth.verdict import DEFAULT

LEVEL_SD = 2.0
"""A measured pitch and roll, or a lift, of at most so many of its own standard deviations is taken for none."""

_STILL = 1e-4
"""Share of a path that is no move, but what arithmetic leaves of none."""

_NOT_MEASURED = "frame: between the key frames, where no pose is measured"
_UNKNOWN = "frame: the pictures do not say where it was taken from"
_NO_PATH = "clip: the pictures do not say how the camera moved"


@dataclass(frozen=True)
class Known:
    """A clip as it is labelled.

    Args:
        clip: with the poses that count, and only the frames that have one.
        numbers: of its frames in the source.
        ends: number of the frame where the command ends.
        motion: how the proofs say that it is known; None where the clip is left out.
        check: what scene.json keeps of the check; None where there was none.
    """

    clip: Clip
    numbers: tuple[int, ...]
    ends: int
    motion: dict[str, str] | None
    check: dict[str, Any] | None = None

    def is_whole(self, before: int, after: int) -> bool:
        """Whether the motion between two of its frames is all that was commanded."""
        return before == 0 and self.numbers[after] == self.ends

    def disagreement(self) -> str | None:
        """What the poses that count show against the words, as `Clip.disagreement`."""
        if not self.clip.is_measured:
            return self.clip.disagreement()
        return _unlike_told(self.clip) if self.clip.told and self.numbers[-1] == self.ends else None


def known_clip(clip: Clip, asked: Asked, without_root: Callable[[object], str], left_out: Counter[str]) -> Known:
    """Check a clip, if that is asked for, and give it the poses that count.

    Args:
        without_root: a message without the place where the source lies.
        left_out: clips and frames that may not be labelled are counted here.
    """
    count = len(clip.frames)
    as_read = Known(clip, tuple(range(count)), count - 1, asked.known(None))
    if not asked.is_checked:
        return as_read
    checked = check_clip(clip.clip_id, clip)
    is_blind = any(finding.reason == "lengths unseen" for finding in checked.verdict.findings)
    check = {
        "verdict": checked.verdict.outcome,
        "reasons": [without_root(text) for text in checked.verdict.reasons],
        "lengths": LENGTHS[is_blind],
    }
    known = replace(as_read, check=check, motion=asked.known(check))
    if asked.is_executed:
        return _executed(known, checked, left_out)
    if known.motion is None:
        left_out[_cause(checked)] += 1
    return known


def _cause(checked: Checked) -> str:
    """Without numbers, so that equal causes count together."""
    main = checked.verdict.findings[0].reason
    fails = checked.verdict.outcome == "fail"
    return f"clip: fails the check: {main}" if fails else f"clip: the check is undecided: {main}"


def _executed(known: Known, checked: Checked, left_out: Counter[str]) -> Known:
    commanded, evidence = checked.commanded, checked.evidence
    if checked.path is None or commanded is None or evidence is None:
        left_out[_NO_PATH] += 1
        return replace(known, motion=None)
    path = told_apart(checked.path, [span.step for span in evidence.spans], commanded)
    measured = _places(path)
    if len(measured) < 2:
        left_out[_NO_PATH] += 1
        return replace(known, motion=None)
    lost = {
        _NOT_MEASURED: len(known.clip.frames) - len(path.frames),
        _UNKNOWN: len(path.frames) - len(measured),
    }
    left_out.update({cause: count for cause, count in lost.items() if count})
    numbers = tuple(path.frames[k] for k in measured)
    # Where points were lost on the way, the path has key frames at which no action ends.
    ends = {commanded.steps[0].first, *(step.last for step in commanded.steps)}
    keys = tuple(place for place, n in enumerate(numbers) if n in ends) if known.clip.key_frames else ()
    clip = replace(measured_clip(known.clip, path, measured), key_frames=keys)
    return replace(known, clip=clip, numbers=numbers, ends=path.frames[-1])


def told_apart(path: ExecutedPath, spans: Sequence[ExecutedStep], commanded: Commanded) -> ExecutedPath:
    """The path, its moves told from its turns in place as the check tells them.

    A leg that was to turn in place does so if its parallax is within the check's limit: without depth, noise has a
    direction too, which would be the whole length of a path, or of no length that can be compared. A leg that was to
    move, or has more parallax, and yet no length on the path, leads to an unknown place (NaN): two pictures of one
    plane say no more.

    Args:
        spans: what the pictures show of each leg.
    """
    T, poses, place_sd = path.T_first_cam, [path.T_first_cam[0]], path.position_sd.copy()
    for k, span in enumerate(spans, start=1):
        leg = T[k - 1].inverse() @ T[k]
        step = next(step for step in commanded.steps if step.holds(span.first, span.last))
        has_parallax = not span.is_still and not span.view.parallax_deg <= DEFAULT.stray_deg
        is_in_place = not step.moves and not has_parallax
        if is_in_place and path.scale != "metric":
            leg = SE3(leg.R, torch.zeros_like(leg.t))
            place_sd[k] = place_sd[k - 1]
        elif not is_in_place and not leg.t.any():
            leg = SE3(leg.R, leg.t * math.nan)
        poses.append(poses[-1] @ leg)
    return replace(path, T_first_cam=SE3.stack(poses), position_sd=place_sd)


def _places(path: ExecutedPath) -> list[int]:
    """Which key frames have a pose that is known."""
    T = path.T_first_cam
    return [k for k in range(len(path.frames)) if bool(T[k].R.isfinite().all() and T[k].t.isfinite().all())]


def measured_clip(clip: Clip, path: ExecutedPath, places: list[int]) -> Clip:
    """The clip at key frames, from where its first pose puts it on the path that the pictures show.

    Args:
        places: of the key frames, those that have a pose.
    """
    T_world_first = clip.frames[path.frames[0]].T_world_cam
    # Depth is in metres: where poses are not, it lifts no outline.
    has_unit = path.scale != "up_to_scale" or not path.T_first_cam.t[places].any()
    frames = (
        replace(frame, T_world_cam=T_world_first @ levelled(path, k), z_depth=frame.z_depth if has_unit else None)
        for k, frame in ((k, clip.frames[path.frames[k]]) for k in places)
    )
    numbers = ", ".join(str(path.frames[k]) for k in places)
    notes = (
        f"poses were measured in the pictures, at frames {numbers}; tilt and lift within {LEVEL_SD:g} of their own"
        " standard deviations are taken for none",
        *path.reasons,
    )
    return replace(
        clip,
        frames=tuple(frames),
        scale=WITH_DEPTH if path.scale == "metric" else WITHOUT_DEPTH,
        notes=(*clip.notes, *notes),
        is_measured=True,
    )


def levelled(path: ExecutedPath, k: int) -> SE3:
    """Pose of a key frame in the first one, T_first_cam, without the tilt and the lift that noise alone explains."""
    T = path.T_first_cam[k]
    pitch_deg, roll_deg, lift = tilt_and_lift(T)
    R, t = T.R, T.t
    if math.hypot(pitch_deg, roll_deg) <= LEVEL_SD * path.rotation_sd_deg[k]:
        R = SE3.yaw_right(so3.heading(R)).R.to(R)
    if abs(lift) <= LEVEL_SD * path.position_sd[k]:
        t = t * t.new_tensor([1.0, 0.0, 1.0])
    return SE3(R, t)


def _unlike_told(clip: Clip) -> str | None:
    """Where a measured motion is not what the words say, by the limits of the check; lengths are not compared."""
    keys = clip.key_frames or (0, len(clip.frames) - 1)
    told, poses = parse_actions(clip.told), [clip.frames[n].T_world_cam for n in keys]
    steps = [before.inverse() @ after for before, after in pairwise(poses)]
    wanted = [action.pose() for action in told]
    if len(steps) != len(wanted):
        steps, wanted = [poses[0].inverse() @ poses[-1]], [told.pose()]
    still = _STILL * path_extent(clip)
    if all(_is_alike(done, said, still) for done, said in zip(steps, wanted, strict=True)):
        return None
    unit = "m" if clip.scale.is_metric else None
    shown = "; ".join(in_words(step, unit) for step in steps)
    return f"told {clip.told!r}, but the pictures show {shown!r}"


def _is_alike(done: SE3, said: SE3, still: float) -> bool:
    if math.degrees(rotation_error(done, said)) > DEFAULT.turn_limit_deg(math.degrees(so3.angle(said.R))):
        return False
    moves = bool(done.t.norm() > still), bool(said.t.norm() > 0)
    if all(moves):
        return math.degrees(direction_error(done.t, said.t)) <= DEFAULT.direction_deg
    return not any(moves)
