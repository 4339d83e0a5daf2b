"""What a film shows beside what was commanded, in numbers to draw: errors of each step, and the path it took."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geom import so3
from geom.pose_error import direction_error, rotation_error
from geom.se3 import SE3
from synth.agreement import Agreement
from synth.check import Checked
from synth.commanded import Commanded, CommandedStep
from synth.compliance import UNKNOWN, chord, in_words
from synth.executed import ExecutedStep
from synth.judge_steps import Drift, Executed, drifts
from synth.verdict import Limits


@dataclass(frozen=True)
class StepErrors:
    """One commanded step beside what was executed in it. What is not known, or was not commanded, is NaN.

    Args:
        told, shown: in words.
        turn_deg, direction_deg: between the commanded and the executed; drift_deg is that of all turns so far.
        told_m, length_m: how long its move is; NaN where either is not in metres.
    """

    first: int
    last: int
    told: str
    shown: str
    turn_deg: float
    turn_sd_deg: float
    turn_limit_deg: float
    drift_deg: float
    drift_sd_deg: float
    drift_limit_deg: float
    direction_deg: float
    direction_sd_deg: float
    told_m: float
    length_m: float
    length_sd_m: float


def step_errors(checked: Checked, limits: Limits) -> list[StepErrors]:
    """Return the errors of each commanded step; none of a film that could not be read."""
    if checked.commanded is None or checked.judgement is None:
        return []
    steps, done = checked.commanded.steps, checked.judgement.steps
    known = drifts(steps, done, limits)
    all_drifts = [*known, *[Drift(math.nan, math.nan, math.nan)] * (len(steps) - len(known))]
    return [_errors(*each, checked, limits) for each in zip(steps, done, all_drifts, strict=True)]


@dataclass(frozen=True, eq=False)
class Part:
    """What a film shows between two key frames, and how it agrees with what was commanded, if any motion was."""

    step: ExecutedStep
    agreement: Agreement | None


def parts_of(checked: Checked, step: CommandedStep) -> list[Part]:
    """Return the parts of one commanded step."""
    if checked.evidence is None or checked.judgement is None:
        return []
    pairs = zip(checked.evidence.spans, checked.judgement.agreements, strict=True)
    parts = (Part(span.step, agreement) for span, agreement in pairs)
    return [part for part in parts if step.holds(part.step.first, part.step.last)]


def _errors(step: CommandedStep, done: Executed, drift: Drift, checked: Checked, limits: Limits) -> StepErrors:
    told, nan = step.T_before_after, math.nan
    shown = _shown(step, done, checked)
    if told is None:
        return StepErrors(step.first, step.last, str(step.way), shown, *(nan,) * 11)
    is_metric = checked.commanded is not None and checked.commanded.scale.is_metric
    is_known, moves = done.kind != "none", float(told.t.norm()) > 0
    is_measured = is_metric and moves and done.kind == "metric"
    return StepErrors(
        step.first,
        step.last,
        in_words(told, "m" if is_metric else None),
        shown,
        math.degrees(rotation_error(done.T_before_after, told)) if is_known else nan,
        done.rotation_sd_deg,
        limits.turn_limit_deg(math.degrees(so3.angle(told.R))),
        drift.off_deg,
        drift.sd_deg,
        drift.limit_deg,
        math.degrees(direction_error(chord(done.T_before_after), chord(told))) if moves and done.moved else nan,
        done.direction_sd_deg,
        float(told.t.norm()) if is_metric and moves else nan,
        float(done.T_before_after.t.norm()) if is_measured else nan,
        done.length_sd_m if is_measured else nan,
    )


def _shown(step: CommandedStep, done: Executed, checked: Checked) -> str:
    if step.T_before_after is None:
        ways = [part.step.way for part in parts_of(checked, step)]
        return " then ".join(UNKNOWN if way is None else str(way) for way in ways) or UNKNOWN
    if done.kind == "none":
        return f"{UNKNOWN}: {done.reason}"
    return in_words(done.T_before_after, "m" if done.kind == "metric" else None)


# --- the path


@dataclass(frozen=True, eq=False)
class Path:
    """Poses in the first camera's axes, to be seen from above.

    Args:
        T_first_cam: (n,).
        frames: numbers of their frames, (n,).
        known: whether the way from each pose to the next is known, (n - 1,).
    """

    T_first_cam: SE3
    frames: tuple[int, ...]
    known: tuple[bool, ...]


def commanded_path(commanded: Commanded) -> Path | None:
    """Return the path from frame to frame; None where only directions are known."""
    if commanded.T_world_cam is None:
        return None
    first, last = commanded.key_frames[0], commanded.key_frames[-1]
    T_first_cam = commanded.T_world_cam[first].inverse() @ commanded.T_world_cam[first : last + 1]
    return Path(T_first_cam, tuple(range(first, last + 1)), (True,) * (last - first))


def executed_path(checked: Checked) -> Path | None:
    """Return the path from step to step as it was judged; None of a film that could not be read.

    Moves whose length is not seen take that of the command, or of keys one unit a frame; over what is not known the
    path goes on as commanded.
    """
    if checked.commanded is None or checked.judgement is None:
        return None
    steps, T, poses, known = checked.commanded.steps, SE3.identity(), [SE3.identity()], []
    for step, done in zip(steps, checked.judgement.steps, strict=True):
        is_known = done.kind != "none"
        T = T @ (_drawn(step, done, checked.commanded) if is_known else step.T_before_after or SE3.identity())
        poses.append(T)
        known.append(is_known)
    return Path(SE3.stack(poses), (steps[0].first, *(step.last for step in steps)), tuple(known))


def _drawn(step: CommandedStep, done: Executed, commanded: Commanded) -> SE3:
    """What was executed in a step, with the length that it is drawn by."""
    T, told = done.T_before_after, step.T_before_after
    if done.kind == "metric" and (told is None or commanded.scale.is_metric):
        return T
    length = float(step.last - step.first) if told is None else float(told.t.norm())
    return SE3(T.R, T.t / T.t.norm().clamp_min(1e-12) * length)


def has_lengths(checked: Checked) -> bool:
    """Whether every move on the executed path has a length of its own, in metres."""
    if checked.commanded is None or checked.judgement is None:
        return False
    moved = [done.kind for done in checked.judgement.steps if done.moved]
    return "direction" not in moved and (checked.commanded.scale.is_metric or checked.commanded.T_world_cam is None)
