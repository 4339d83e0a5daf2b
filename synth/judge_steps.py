"""One commanded step against what its pictures show: turn, direction and length, each with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from geom import so3
from geom.actions import ActionKind
from geom.pose_error import direction_error, rotation_error
from geom.se3 import SE3
from synth.commanded import Commanded, CommandedStep
from synth.compliance import MIN_TURN_DEG, STILL, Way, chord, in_words, right_and_ahead, way_of
from synth.executed import SURE_SD, ExecutedStep
from synth.two_view import TwoView
from synth.verdict import Finding, Limits

Kind = Literal["metric", "direction", "rotation", "still", "none"]

_NONE_LEFT = 0.25
"""Share of a commanded move or turn below which it counts as not carried out."""

KEY_SHARE = math.sin(math.radians(5))
"""Of a move along a key's axis, from which on the key was obeyed (policy: arcs and orbits go sideways)."""

KEY_TURN_DEG = 0.2
"""A frame, from which on a key to turn was obeyed: a quarter of HY-WorldPlay's 3 degrees in 4 frames (policy)."""


_GUESS_SD = 0.3
"""Of a focal length that was guessed."""


@dataclass(frozen=True, eq=False)
class Executed:
    """What the pictures show of one commanded step. What is not known is NaN.

    Args:
        T_before_after: translation of length 1 for `direction`, in metres for `metric`, else 0.
        parallax_deg: median; of `rotation` no more than this can have been overlooked.
        reason: why it is of this kind, in plain words.
        num_matches: of the poorest span.
    """

    T_before_after: SE3
    kind: Kind
    rotation_sd_deg: float
    direction_sd_deg: float
    length_sd_m: float
    parallax_deg: float
    reason: str
    num_matches: int

    @property
    def way(self) -> Way | None:
        """Where the camera went, in the words of commands; None where the pictures do not say."""
        if self.kind == "none":
            return None
        least_m = SURE_SD * self.length_sd_m if self.kind == "metric" else 0.0
        way = way_of(self.T_before_after, min_turn_deg=self.least_turn_deg, min_m=least_m)
        # A turn alone, by nothing, of points that do move: in some direction that is not seen.
        return None if self.kind == "rotation" and not way.kinds else way

    def through(self, lens_sd: float) -> Executed:
        """The same where the focal length is only known up to this relative standard deviation; infinite is a guess.

        Angles in a picture are about in inverse proportion to it.
        """
        if not lens_sd or self.kind == "none":
            return self
        angle = math.degrees(so3.angle(self.T_before_after.R))
        sd = math.hypot(_or_0(self.rotation_sd_deg), min(lens_sd, _GUESS_SD) * angle)
        return replace(self, rotation_sd_deg=sd)

    @property
    def least_turn_deg(self) -> float:
        """What counts as a turn."""
        return max(MIN_TURN_DEG, SURE_SD * self.rotation_sd_deg)

    @property
    def moved(self) -> bool:
        """Whether a move is seen."""
        return self.kind in ("metric", "direction")


def executed_of(spans: Sequence[ExecutedStep], commanded: Commanded) -> Executed:
    """Chain what the spans of a step show.

    Where lengths are not seen, those of the spans are taken to share the step as the command has it.
    """
    views = [resolved(span, commanded) for span in spans]
    kinds: list[Kind] = [_kind(span, view) for span, view in zip(spans, views, strict=True)]
    if "none" in kinds:
        worst, nan = views[kinds.index("none")], float("nan")
        return Executed(SE3.identity(), "none", nan, nan, nan, nan, worst.reason, worst.num_matches)
    kind = _kind_of(kinds)
    T = SE3.identity()
    for span, view, own in zip(spans, views, kinds, strict=True):
        T_span = SE3.identity() if own == "still" else view.T_b_a.inverse()
        T = T @ SE3(T_span.R, T_span.t * (1.0 if kind == "metric" else _share(span, commanded)))
    if kind == "direction":
        T = SE3(T.R, T.t / T.t.norm().clamp_min(1e-12))
    names = ("rotation_sd_deg", "direction_sd_deg", "length_sd_m")
    turn_sd, direction_sd, length_sd = (_root_sum(getattr(view, name) for view in views) for name in names)
    parallax = max((view.parallax_deg for view in views if math.isfinite(view.parallax_deg)), default=0.0)
    num_matches = min(view.num_matches for view in views)
    return Executed(T, kind, turn_sd, direction_sd, length_sd, parallax, views[0].reason, num_matches)


def _root_sum(sds: Iterable[float]) -> float:
    return math.sqrt(sum(_or_0(sd) ** 2 for sd in sds))


def _kind_of(kinds: Sequence[Kind]) -> Kind:
    """Of a chain: lengths are known if all are, a move is seen if one is."""
    if "metric" in kinds and not {"direction", "rotation"} & set(kinds):
        return "metric"
    if "metric" in kinds or "direction" in kinds:
        return "direction"
    return "rotation" if "rotation" in kinds else "still"


def _kind(span: ExecutedStep, view: TwoView) -> Kind:
    return "still" if span.is_still and view.kind != "metric" else view.kind


def resolved(span: ExecutedStep, commanded: Commanded) -> TwoView:
    """What a span shows; where several motions fit equally well, the one that is nearest to what was commanded.

    If none of them is near, all of them contradict the command.
    """
    T_first_last = commanded.between(span.first, span.last)
    if not span.view.candidates or T_first_last is None:
        return span.view
    T_b_a = T_first_last.inverse()

    def off(view: TwoView) -> float:
        way = float(direction_error(view.T_b_a.inverse().t, T_first_last.t).nan_to_num(0.0))
        return float(rotation_error(view.T_b_a, T_b_a)) + way

    return min(span.view.candidates, key=off)


def _share(span: ExecutedStep, commanded: Commanded) -> float:
    T = commanded.between(span.first, span.last)
    length = 0.0 if T is None else float(T.t.norm())
    return length or float(span.last - span.first)


@dataclass(frozen=True)
class Drift:
    """Error of all turns up to the end of a step, degrees."""

    off_deg: float
    sd_deg: float
    limit_deg: float


def drifts(steps: Sequence[CommandedStep], done: Sequence[Executed], limits: Limits) -> list[Drift]:
    """What errors of turns add up to, step by step, while the turns are known."""
    executed, told, square, turned = SE3.identity(), SE3.identity(), 0.0, 0.0
    found: list[Drift] = []
    for step, one in zip(steps, done, strict=True):
        if step.T_before_after is None or one.kind == "none":
            break
        executed, told = executed @ one.T_before_after, told @ step.T_before_after
        square += _or_0(one.rotation_sd_deg) ** 2
        turned += math.degrees(so3.angle(step.T_before_after.R))
        off = math.degrees(rotation_error(executed, told))
        found.append(Drift(off, math.sqrt(square), limits.drift_limit_deg(turned)))
    return found


# --- the verdict on one step


@dataclass(eq=False)
class Judged:
    """Findings, and by how much what has a limit is surely off, in the unit of the limit."""

    findings: list[Finding]
    measures: dict[str, float]

    def measure(self, name: str, value: float, margin: float = 0.0) -> None:
        """Keep the worst; margin is what of it may be chance."""
        sure = max(0.0, value - margin)
        self.measures[name] = max(sure, self.measures.get(name, sure))


def judge_step(n: int, step: CommandedStep, done: Executed, limits: Limits) -> Judged:
    """Hold one step against its command; n counts from 0."""
    judged = Judged([], {})
    told = step.T_before_after
    if told is not None and done.kind != "none":
        _judge_turn(judged, n, told, done, limits)
        if float(told.t.norm()) > 0:
            _judge_move(judged, n, step, done, limits)
        elif done.moved:
            _judge_stray(judged, n, told, done, limits)
    return judged


def _judge_turn(judged: Judged, n: int, told: SE3, done: Executed, limits: Limits) -> None:
    off, sd = math.degrees(rotation_error(done.T_before_after, told)), _or_0(done.rotation_sd_deg)
    angle = math.degrees(so3.angle(told.R))
    limit = limits.turn_limit_deg(angle)
    judged.measure("turn_deg", off * limits.turn_deg / limit, limits.sure_sd * sd * limits.turn_deg / limit)
    said, shown = (_in_place(T) for T in (told, done.T_before_after))
    numbers = {"off_deg": off, "sd_deg": sd, "limit_deg": limit}
    if off - limits.sure_sd * sd > limit:
        about = done.T_before_after.R
        if angle > limit and math.degrees(so3.angle(about)) < _NONE_LEFT * angle:
            reason, text = "missing", f"told to {said}, but the camera did not turn"
        elif angle > limit and so3.angle(_mirrored(told).R.mT @ about) < math.radians(off) / 2:
            reason, text = "mirrored turn", f"told to {said}, but the camera did {shown}"
        else:
            reason, text = "turn", f"told to {said}, but the camera did {shown}: {off:.1f} deg off"
        judged.findings.append(Finding(reason, "fails", _of_step(n, f"{text} (sd {sd:.2f} deg)"), n, numbers))
    elif off + limits.agree_sd * sd > limit:
        text = f"its turn is {off:.1f} deg off, sd {sd:.1f} deg, limit {limit:.1f} deg: too unsure to tell"
        judged.findings.append(Finding("unsure", "leaves open", _of_step(n, text), n, numbers))


def _in_place(T: SE3) -> str:
    """The turn of a motion in words."""
    words = in_words(SE3(T.R, T.t * 0))
    return "stand still" if words == STILL else words


def _judge_move(judged: Judged, n: int, step: CommandedStep, done: Executed, limits: Limits) -> None:
    told = step.T_before_after
    assert told is not None
    length = float(told.t.norm())
    moved = float(done.T_before_after.t.norm())
    is_metric = done.kind == "metric" and step.is_metric
    if is_metric and moved + limits.sure_sd * done.length_sd_m < _NONE_LEFT * length:
        text = f"told to move {length:.2f} m, but the camera moved {moved:.3f} m (sd {done.length_sd_m:.3f} m)"
        judged.findings.append(Finding("missing", "fails", _of_step(n, text), n, {"moved_m": moved}))
        judged.measure("far", limits.far * length / max(moved, 1e-3))
        return
    if not done.moved:
        _judge_no_parallax(judged, n, told, done, limits)
        return
    way, sd = chord(done.T_before_after), _or_0(done.direction_sd_deg)
    off = math.degrees(direction_error(way, chord(told)))
    judged.measure("direction_deg", off, limits.sure_sd * sd)
    said, shown = in_words(told), in_words(done.T_before_after)
    numbers = {"off_deg": off, "sd_deg": sd, "limit_deg": limits.direction_deg}
    if off - limits.sure_sd * sd > limits.direction_deg:
        mirrored = math.degrees(direction_error(way, chord(_mirrored(told))))
        is_mirrored = mirrored < min(limits.direction_deg, off / 2)
        text = f"told to go {said}, but the camera went {shown}: {off:.0f} deg off (sd {sd:.1f} deg)"
        reason = "mirrored shift" if is_mirrored else "direction"
        judged.findings.append(Finding(reason, "fails", _of_step(n, text), n, numbers))
    elif off + limits.agree_sd * sd > limits.direction_deg:
        text = (
            f"its direction is {off:.0f} deg off, sd {sd:.0f} deg, limit {limits.direction_deg:g}: too unsure to tell"
        )
        judged.findings.append(Finding("unsure", "leaves open", _of_step(n, text), n, numbers))


def _judge_no_parallax(judged: Judged, n: int, told: SE3, done: Executed, limits: Limits) -> None:
    """A move that is not seen was none, unless the scene is further than any parallax tells."""
    beyond = 1 / math.tan(math.radians(max(done.parallax_deg, 1e-3)))
    judged.measure("far", beyond)
    text = f"told to go {in_words(told)}, but"
    numbers = {"overlooked_deg": done.parallax_deg, "depth_over_move": beyond}
    if beyond > limits.far:
        text = _of_step(n, f"{text} no move is seen: else the scene would be {beyond:.0f} moves away or more")
        judged.findings.append(Finding("missing", "fails", text, n, numbers))
    else:
        text = _of_step(n, f"{text} {done.reason}")
        judged.findings.append(Finding("far", "leaves open", text, n, numbers))


def _judge_stray(judged: Judged, n: int, told: SE3, done: Executed, limits: Limits) -> None:
    judged.measure("stray_deg", done.parallax_deg)
    if done.parallax_deg > limits.stray_deg:
        unit = "m" if done.kind == "metric" else None
        text = f"told to {_in_place(told)} in place, but the camera went {in_words(done.T_before_after, unit)}"
        text = _of_step(n, f"{text} (parallax {done.parallax_deg:.1f} deg)")
        judged.findings.append(Finding("stray", "fails", text, n, {"parallax_deg": done.parallax_deg}))


# --- keys, which tell directions alone


def judge_keys(n: int, step: CommandedStep, spans: Sequence[ExecutedStep], limits: Limits) -> Judged:
    """Each key must show along its own axis, over the parts of its step taken together; n counts from 0."""
    judged = Judged([], {})
    shown = " then ".join(str(span.way) if span.way is not None else "an unknown way" for span in spans)
    for kind in sorted(step.way.kinds, key=lambda kind: kind.value):
        share, sd = _along(kind, spans)
        key, numbers = str(Way(frozenset({kind}))), {"share": share, "sd": sd}
        least = KEY_SHARE
        if share + limits.sure_sd * sd < least:
            is_opposite = share < -least and kind.axis != "z"
            reason = ("mirrored turn" if kind.is_turn else "mirrored shift") if is_opposite else "missing"
            text = f"step {n + 1}: told {key} by key, but the camera went {shown}"
            judged.findings.append(Finding(reason, "fails", text, n, numbers))
        elif not share - limits.sure_sd * sd >= least:
            text = f"step {n + 1}: whether it went {key}, as told by key, is not sure: the camera went {shown}"
            judged.findings.append(Finding("unsure", "leaves open", text, n, numbers))
    return judged


def _along(kind: ActionKind, spans: Sequence[ExecutedStep]) -> tuple[float, float]:
    """How much of a motion goes along a key, and its standard deviation: the mean over what is known of it.

    Of a move the cosine to the key's axis; of a turn the degrees in a frame over KEY_TURN_DEG, times KEY_SHARE.
    """
    known = [part for span in spans if (part := _part(kind, span)) is not None]
    if not known:
        return 0.0, math.inf
    weights = [1 / max(sd, 0.02) ** 2 for _, sd in known]
    mean = sum(w * share for w, (share, _) in zip(weights, known, strict=True)) / sum(weights)
    return mean, 1 / math.sqrt(sum(weights))


def _part(kind: ActionKind, span: ExecutedStep) -> tuple[float, float] | None:
    if span.is_still:
        return 0.0, 0.0
    if span.view.kind == "none":
        return None
    T = span.view.T_b_a.inverse()
    if kind.is_turn:
        unit = KEY_SHARE / (KEY_TURN_DEG * (span.last - span.first))
        return kind.sign * math.degrees(so3.heading(T.R)) * unit, span.view.rotation_sd_deg * unit
    if span.view.kind == "rotation":
        return None
    right, ahead = right_and_ahead(SE3(T.R, T.t / T.t.norm()))
    along = right if kind.axis == "x" else ahead
    return kind.sign * along, math.radians(span.view.direction_sd_deg) * math.sqrt(max(0.0, 1 - along**2))


def _mirrored(T: SE3) -> SE3:
    """The motion as seen in a mirror: left and right swapped."""
    mirror = T.t.new_tensor([-1.0, 1.0, 1.0])
    return SE3(mirror[:, None] * T.R * mirror, mirror * T.t)


def _of_step(n: int, text: str) -> str:
    return f"step {n + 1}: {text}"


def _or_0(sd: float) -> float:
    return sd if math.isfinite(sd) else 0.0
