"""The verdict on a film: what was commanded against all that the film shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from geom import so3
from geom.camera import PinholeCamera
from synth.agreement import Agreement, agreement
from synth.commanded import Commanded, CommandedStep
from synth.executed import ExecutedStep
from synth.film_evidence import FilmEvidence, Span
from synth.judge_steps import Drift, Executed, Judged, drifts, executed_of, judge_keys, judge_step
from synth.still_checks import CHECKS
from synth.verdict import DEFAULT, NUISANCES, Finding, Limits, Verdict, verdict_of

_ENOUGH_MATCHES = 50
"""From so many matches on, a film that fits no motion shows no scene at rest."""
_OPENING = ("missing", "direction", "turn", "mirrored turn", "mirrored shift", "stray")
"""Reasons of a step that another order of the steps would explain."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """The verdict, and what was executed in each commanded step."""

    verdict: Verdict
    steps: tuple[Executed, ...]
    agreements: tuple[Agreement | None, ...]
    """Of the SIFT features of each span with the commanded motion; None where only directions were commanded."""
    length_ratio: float
    """How long moves are over commanded ones, long ones counting for more; NaN where lengths are not seen."""


def judge(evidence: FilmEvidence, commanded: Commanded, limits: Limits = DEFAULT) -> Judgement:
    """Hold a film against its command; nothing is estimated here, and nothing read."""
    agreements = tuple(_agreement(span.step, evidence.camera, commanded, limits) for span in evidence.spans)
    pairs = list(zip(evidence.spans, agreements, strict=True))
    spans = [[s for s in evidence.spans if step.holds(s.step.first, s.step.last)] for step in commanded.steps]
    done = tuple(executed_of([span.step for span in own], commanded).through(evidence.lens_sd) for own in spans)
    judged = Judged([], {})
    for n, (step, executed, own) in enumerate(zip(commanded.steps, done, spans, strict=True)):
        if step.T_before_after is None:
            found = judge_keys(n, step, [span.step for span in own], limits)
        else:
            _unseen(judged, n, executed, [pair for pair in pairs if pair[0] in own])
            found = judge_step(n, step, executed, limits)
        judged.findings += found.findings
        for name, value in found.measures.items():
            judged.measure(name, value)
    judged.findings = list(_in_order(judged.findings, commanded.steps, done, limits))
    length_ratio = _judge_lengths(judged, commanded, done, limits)
    _judge_drift(judged, commanded.steps, done, limits)
    _judge_lens(judged, evidence, commanded, limits)
    _judge_frames(judged, evidence, commanded, limits)
    _judge_others(judged, evidence, limits)
    if commanded.returns:
        _judge_return(judged, evidence, limits)
    return Judgement(verdict_of(judged.findings, judged.measures, limits), done, agreements, length_ratio)


def _agreement(step: ExecutedStep, camera: PinholeCamera, commanded: Commanded, limits: Limits) -> Agreement | None:
    T_first_last = commanded.between(step.first, step.last)
    if T_first_last is None:
        return None
    T_b_a, px = T_first_last.inverse(), limits.tsed_px
    return agreement(step.described, camera, T_b_a, camera, min_matches=limits.tsed_matches, max_px=px)


def _unseen(judged: Judged, n: int, done: Executed, spans: Sequence[tuple[Span, Agreement | None]]) -> None:
    """A step of which no motion is known: not rigid where there was enough to see, else open."""
    if done.kind != "none":
        return
    broken = [agreed for span, agreed in spans if span.step.view.kind == "none" and agreed is not None]
    broken = [agreed for agreed in broken if agreed.num_matches >= _ENOUGH_MATCHES and not agreed.is_consistent]
    if broken:
        most = max(agreed.num_matches for agreed in broken)
        text = f"step {n + 1}: no motion of a camera fits its {most} matches ({done.reason})"
        judged.measure("not_rigid", 1.0)
        judged.findings.append(Finding("not rigid", "fails", text, n, {"num_matches": most}))
        return
    judged.findings.append(Finding("unseen", "leaves open", f"step {n + 1}: {done.reason}", n))


# --- order


def _in_order(
    findings: Sequence[Finding], steps: Sequence[CommandedStep], done: Sequence[Executed], limits: Limits
) -> Iterator[Finding]:
    """The findings, those of two steps replaced where each did what the other was told."""
    failing = {f.step for f in findings if f.effect == "fails" and f.reason in _OPENING and f.step is not None}
    swapped: set[int | None] = set()
    for i, j in combinations(sorted(failing), 2):
        crossed = _did(done[i], steps[j], limits) and _did(done[j], steps[i], limits)
        if crossed and not {i, j} & swapped:
            swapped |= {i, j}
            text = f"steps {i + 1} and {j + 1}: each shows what the other was told"
            yield Finding("order", "fails", text, i, {"steps": [i, j]})
    yield from (f for f in findings if f.step not in swapped or f.reason not in _OPENING)


def _did(done: Executed, step: CommandedStep, limits: Limits) -> bool:
    if step.T_before_after is None or done.kind == "none":
        return False
    return not any(f.effect == "fails" for f in judge_step(0, step, done, limits).findings)


# --- lengths and drift


def _judge_lengths(judged: Judged, commanded: Commanded, done: Sequence[Executed], limits: Limits) -> float:
    """Return the ratio of all lengths, where it can be told."""
    moves = [n for n, step in enumerate(commanded.steps) if step.moves]
    elsewhere = {n for f in judged.findings for n in f.numbers.get("steps", [f.step] if f.reason == "missing" else [])}
    seen = [n for n in moves if done[n].kind == "metric" and n not in elsewhere]
    if not seen or not commanded.scale.is_metric:
        if moves:
            cause = "without depth" if not seen else f"where the command's lengths are {commanded.scale.status}"
            text = f"{cause} the lengths of moves cannot be checked"
            judged.findings.append(Finding("lengths unseen", "note", text))
        return math.nan
    told = np.array([_length(commanded.steps[n]) for n in seen])
    made = np.array([float(done[n].T_before_after.t.norm()) for n in seen])
    sds = np.array([done[n].length_sd_m for n in seen])
    ratio, sd = float(told @ made / (told @ told)), float(np.linalg.norm(told * sds) / (told @ told))
    judged.measure("length_share", _share_off(ratio, limits.sure_sd * sd))
    numbers = {"ratio": ratio, "sd": sd}
    if _share_off(ratio, limits.sure_sd * sd) > limits.length_share:
        text = f"moves are {ratio:.2f} times as long as commanded (sd {sd:.3f})"
        judged.findings.append(Finding("scale", "fails", text, None, numbers))
        return ratio
    if _share_off(ratio, -limits.agree_sd * sd) > limits.length_share:
        text = f"moves are {ratio:.2f} times as long as commanded, sd {sd:.2f}: too unsure to tell"
        judged.findings.append(Finding("unsure", "leaves open", text, None, numbers))
    for n, m, t, s in zip(seen, made, told, sds, strict=True):
        if _share_off(m / t, limits.sure_sd * s / t) > limits.length_share:
            text = f"step {n + 1}: moved {m:.2f} m, told {t:.2f} m (sd {s:.3f} m)"
            judged.findings.append(Finding("length", "fails", text, n, {"ratio": float(m / t)}))
    return ratio


def _length(step: CommandedStep) -> float:
    assert step.T_before_after is not None
    return float(step.T_before_after.t.norm())


def _share_off(ratio: float, margin: float) -> float:
    """By which share a ratio is above 1, or its inverse is, less a margin of the ratio; at least 0."""
    return max(ratio - margin, 1 / max(ratio + margin, 1e-9), 1.0) - 1


def _judge_drift(judged: Judged, steps: Sequence[CommandedStep], done: Sequence[Executed], limits: Limits) -> None:
    """Errors of the turns since the first frame, while all of them are known."""
    worst = 0.0, 0, Drift(0.0, 0.0, limits.drift_deg)
    for n, drift in enumerate(drifts(steps, done, limits)):
        # In times of its limit, so that the worst frame is the one that exceeds it most.
        sure = (drift.off_deg - limits.sure_sd * drift.sd_deg) * limits.drift_deg / drift.limit_deg
        worst = max(worst, (sure, n, drift), key=lambda found: found[0])
    sure, n, drift = worst
    judged.measure("drift_deg", sure)
    if sure <= limits.drift_deg:
        return
    rate = _even_drift(steps, done, limits)
    others = {f.reason for f in judged.findings if f.effect == "fails"} - {"turn", "missing", "mirrored turn"}
    if rate is not None and not others & set(_OPENING):
        judged.findings = [f for f in judged.findings if f.reason not in ("turn", "missing", "mirrored turn")]
    elif any(f.reason in (*_OPENING, "order") for f in judged.findings if f.effect == "fails"):
        return
    off, sd = drift.off_deg, drift.sd_deg
    evenly = "" if rate is None else f", {abs(rate):.2f} deg a frame to the {'right' if rate > 0 else 'left'}"
    text = f"by the end of step {n + 1} the turns are {off:.1f} deg off in all{evenly} (sd {sd:.1f} deg)"
    numbers = {"off_deg": off, "sd_deg": sd, "deg_a_frame": rate}
    judged.findings.append(Finding("drift", "fails", text, None, numbers))


def _even_drift(steps: Sequence[CommandedStep], done: Sequence[Executed], limits: Limits) -> float | None:
    """Degrees a frame to the right that explain the turns of all steps, some of which were told others; else None."""
    known = [(s, d) for s, d in zip(steps, done, strict=True) if s.T_before_after is not None and d.kind != "none"]
    if len(known) < 2:
        return None
    num = np.array([step.last - step.first for step, _ in known])
    told = np.array([math.degrees(so3.heading(s.T_before_after.R)) for s, _ in known if s.T_before_after is not None])
    off = np.array([math.degrees(so3.heading(d.T_before_after.R)) for _, d in known]) - told
    rate = float(off.sum() / num.sum())
    by_share = float(off @ told / (told @ told)) if told.any() else 0.0
    left = np.abs(off - rate * num)
    # Turns that are all too short or too long look alike where all steps turn alike.
    is_better = np.square(left).sum() < 0.25 * np.square(off - by_share * told).sum()
    return rate if is_better and (left <= limits.turn_deg).all() else None


# --- the lens


def _judge_lens(judged: Judged, evidence: FilmEvidence, commanded: Commanded, limits: Limits) -> None:
    if math.isinf(evidence.lens_sd):
        text = "the lens is unknown, and no turn shows it: how far the camera turned is a guess"
        only_ways = commanded.T_world_cam is None
        judged.findings.append(Finding("lens unknown", "note" if only_ways else "leaves open", text))
        return
    focal, stated = evidence.focal, float(evidence.camera.K[0, 0])
    if evidence.lens_sd or not math.isfinite(focal.focal_px):
        return
    ratio = stated / focal.focal_px
    off = _share_off(ratio, limits.sure_sd * focal.sd_share * ratio)
    # Few pairs can agree on a wrong lens: it is accused only where it explains something that does not fit the command,
    # and then what its rays say of the motion is no reason of its own.
    explained = [f for f in judged.findings if f.reason in ("turn", "stray", "drift", "unsure")]
    if not explained:
        return
    judged.measure("focal_share", off)
    if off > limits.focal_share:
        judged.findings = [f for f in judged.findings if f not in explained]
        text = f"the intrinsics say {stated:.0f} pixels of focal length, the pictures show {focal.focal_px:.0f}"
        numbers = {"ratio": ratio, "sd_share": focal.sd_share}
        judged.findings.append(Finding("focal length", "fails", f"{text} (sd {focal.sd_share:.1%})", None, numbers))


# --- the film itself


def _judge_frames(judged: Judged, evidence: FilmEvidence, commanded: Commanded, limits: Limits) -> None:
    found = {name: check(evidence.look) for name, check in CHECKS.items()}
    repeated = [f for f in found["frozen"].suspicious if evidence.look.sharpness[f] > _BLANK]
    for n, step in enumerate(commanded.steps):
        if not step.way.kinds:
            continue
        frozen = _longest_run([f for f in repeated if step.first < f <= step.last])
        share = len(frozen) / (step.last - step.first) if len(frozen) >= _LEAST_RUN else 0.0
        judged.measure("frozen_share", share)
        if share > limits.frozen_share:
            text = f"step {n + 1}: {len(frozen)} of its {step.last - step.first} frames in a row repeat the one before"
            numbers = {"frames": frozen[:20], "share": share}
            judged.findings.append(Finding("frozen", "fails", f"{text}, from frame {frozen[0]} on", n, numbers))
    last = commanded.steps[-1].last
    frames = [f for f in found["cut"].suspicious if f <= last]
    judged.measure("cuts", float(len(frames)))
    if frames:
        text = f"another shot begins at frame {', '.join(map(str, frames[:5]))}"
        judged.findings.append(Finding("cut", "fails", text, None, {"frames": frames[:20]}))
    for name in NUISANCES:
        if frames := [f for f in found[name].suspicious if f <= last]:
            text = f"frames that {_SAID[name]}: {len(frames)}, the first is frame {frames[0]}"
            judged.findings.append(Finding(name, "note", text, None, {"frames": frames[:20]}))


_BLANK = 0.5
"""Sharpness up to which a frame shows nothing, such as a black one; then nobody can say that it repeats another."""

_LEAST_RUN = 3
"""Repeated frames in a row: one or two are what is repeated where a rate of frames is converted."""


def _longest_run(frames: Sequence[int]) -> list[int]:
    runs: list[list[int]] = [[]]
    for frame in frames:
        runs = [*runs[:-1], [*runs[-1], frame]] if runs[-1][-1:] == [frame - 1] else [*runs, [frame]]
    return max(runs, key=len)


_SAID = {
    "flicker": "are brighter or darker than those around them",
    "blur": "are much less sharp than the others",
    "compression": "show the blocks of a codec",
}


def _judge_others(judged: Judged, evidence: FilmEvidence, limits: Limits) -> None:
    """What moves by itself does so in two spans, or covers twice as much in one."""
    shares = [span.others for span in evidence.spans]
    known = [share for share in shares if math.isfinite(share)]
    if not known:
        return
    worst = max(known)
    # Where edges cross, what is tracked is no point of the scene: chance may make many such crossings in one span.
    share = worst if len(known) == 1 else max(sorted(known)[-2], worst / 2)
    judged.measure("others_share", share)
    if share > limits.others_share:
        span = evidence.spans[shares.index(worst)].step
        text = f"frames {span.first} to {span.last}: {worst:.0%} of the points move by themselves"
        judged.findings.append(Finding("others move", "fails", text, None, {"share": worst}))


def _judge_return(judged: Judged, evidence: FilmEvidence, limits: Limits) -> None:
    if not math.isfinite(evidence.similarity):
        return
    judged.measure("dissimilarity", 1 - evidence.similarity)
    if 1 - evidence.similarity > limits.dissimilarity:
        text = f"the path ends where it began, but its last frame is like its first by {evidence.similarity:.2f} only"
        numbers = {"similarity": evidence.similarity, "limit": 1 - limits.dissimilarity}
        judged.findings.append(Finding("no return", "fails", text, None, numbers))
