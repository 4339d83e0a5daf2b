"""A checked trajectory as JSON and as a line of a table."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from geom.actions import ActionSequence
from geom.inversion import NotPlanarError, planar_decomposition
from geom.pose_error import (
    accumulated,
    camera_ctrl,
    direction_error,
    path_scale,
    rotation_error,
    world_score,
    worldplay,
)
from geom.scale import Scale
from synth.agreement import Agreement
from synth.check import Checked
from synth.commanded import CommandedStep
from synth.compliance import chord, in_words
from synth.depth_agreement import DepthAgreement
from synth.film_evidence import Span
from synth.judge_steps import Executed
from synth.verdict import Finding

COLUMNS = (
    "name",
    "verdict",
    "first_reason",
    "tsed",
    "turn_off_deg",
    "direction_off_deg",
    "length_ratio",
    "frames",
    "steps",
)
"""Of the CSV file: one line a trajectory."""


def row_of(checked: Checked) -> dict[str, Any]:
    """All that is known of a trajectory as JSON values; what is not known is null."""
    row: dict[str, Any] = {
        "name": checked.name,
        "verdict": checked.verdict.outcome,
        "reasons": checked.verdict.reasons,
        "findings": [_finding(finding) for finding in checked.verdict.findings],
        "measures": dict(checked.verdict.measures),
        "notes": list(checked.notes),
    }
    if checked.commanded and checked.evidence and checked.judgement:
        row |= _of_film(checked)
    return _finite(row)


def _of_film(checked: Checked) -> dict[str, Any]:
    assert checked.commanded and checked.evidence and checked.judgement and checked.film
    steps = zip(checked.commanded.steps, checked.judgement.steps, strict=True)
    spans = list(zip(checked.evidence.spans, checked.judgement.agreements, strict=True))
    unit = "m" if checked.commanded.scale.is_metric else "units"
    return {
        "frames": len(checked.evidence.look.change),
        "image_size": list(checked.film.size),
        "K": checked.evidence.camera.K.tolist(),
        "tsed": checked.tsed,
        "length_ratio": checked.judgement.length_ratio,
        "steps": [_step(told, done, spans, unit) for told, done in steps],
        "executed": _executed(checked.judgement.steps),
        "scale": {
            "commanded": checked.commanded.scale.to_dict(),
            "executed": scale_of(checked.judgement.steps).to_dict(),
        },
        "compliance": _compliance(checked),
        "path": _path(checked),
        "depth_warp": [_warp(pair, found) for pair, found in sorted(checked.depth_warp.items())],
    }


def _warp(pair: tuple[int, int], found: Sequence[DepthAgreement]) -> dict[str, Any]:
    """Residuals of one span; those of the commanded motion are null where its lengths are no metres."""
    executed, told = found[0], found[1] if len(found) > 1 else None
    return {"frames": list(pair), "executed": asdict(executed), "commanded": asdict(told) if told else None}


def _path(checked: Checked) -> dict[str, Any]:
    """The executed path, and what published metrics say of it.

    Aligned at the first key frame; each metric scales lengths as its source does (`geom.pose_error`). Where any key
    frame's pose is unknown they are null: a failure is counted, not left out of a mean.
    """
    assert checked.path and checked.commanded and checked.judgement
    path, T_world_cam = checked.path, checked.commanded.T_world_cam
    known = path.T_first_cam.t.isfinite().all(-1)
    row: dict[str, Any] = {
        "key_frames": list(path.frames),
        "unknown_poses": int((~known).sum()),
        "scale": path.scale,
        "T_first_cam": path.T_first_cam.matrix().tolist(),
        "rotation_sd_deg": path.rotation_sd_deg.tolist(),
        "position_sd": path.position_sd.tolist(),
        "is_refined": path.is_refined,
    }
    if T_world_cam is None or not bool(known.all()):
        return row | {"metrics": None}
    told = T_world_cam[list(path.frames)]
    errors, control = accumulated(path.T_first_cam, told), camera_ctrl(path.T_first_cam, told)
    play, score = worldplay(path.T_first_cam, told), world_score(path.T_first_cam, told)
    metrics = {
        "rotation_error_deg": {"steps": _deg(errors.step.rotation), "total": _deg(errors.total.rotation)},
        "path_length_ratio": float(path_scale(path.T_first_cam, told)) if path.scale == "metric" else None,
        "camera_ctrl": {"rot_err_deg": math.degrees(control.rot_err), "trans_err": float(control.trans_err)},
        "worldplay": {"r_dist_deg": math.degrees(play.r_dist), "t_dist": float(play.t_dist)},
        "world_score": {
            "rotation_deg": float(score.rotation_deg),
            "translation": float(score.translation),
            "score": float(score.score),
        },
    }
    return row | {"metrics": metrics}


def _deg(angles: Tensor) -> list[float]:
    return angles.rad2deg().tolist()


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "reason": finding.reason,
        "effect": finding.effect,
        "text": finding.text,
        "step": finding.step,
        "numbers": dict(finding.numbers),
    }


def _step(
    told: CommandedStep, done: Executed, spans: Sequence[tuple[Span, Agreement | None]], unit: str
) -> dict[str, Any]:
    own = [pair for pair in spans if told.holds(pair[0].step.first, pair[0].step.last)]
    agreed = [agreement for _, agreement in own if agreement is not None]
    T, known = told.T_before_after, done.kind != "none"
    is_way = known and done.moved and T is not None and bool(T.t.norm() > 0)
    way_off = math.degrees(direction_error(chord(done.T_before_after), chord(T))) if is_way and T else None
    return {
        "frames": [told.first, told.last],
        "commanded": str(told.way) if T is None else in_words(T, unit),
        "executed": in_words(done.T_before_after, "m" if done.kind == "metric" else None) if known else None,
        "kind": done.kind,
        "reason": done.reason,
        "matches": done.num_matches,
        "turn_off_deg": math.degrees(rotation_error(done.T_before_after, T)) if known and T is not None else None,
        "turn_sd_deg": done.rotation_sd_deg,
        "direction_off_deg": way_off,
        "direction_sd_deg": done.direction_sd_deg if done.moved else None,
        "length_m": float(done.T_before_after.t.norm()) if done.kind == "metric" else None,
        "length_sd_m": done.length_sd_m if done.kind == "metric" else None,
        "parallax_deg": done.parallax_deg,
        "tsed_px": [pair.median_px for pair in agreed],
        "tsed_matches": [pair.num_matches for pair in agreed],
        "others_share": max((span.others for span, _ in own if math.isfinite(span.others)), default=None),
        "T_before_after": done.T_before_after.matrix().tolist() if known else None,
    }


def scale_of(steps: Iterable[Executed]) -> Scale:
    """What the lengths of executed steps are."""
    kinds = {step.kind for step in steps}
    if "metric" in kinds and not kinds & {"direction", "rotation", "none"}:
        return Scale("metric", "measured from the pictures with depth")
    return Scale("unknown", "pictures without depth show no lengths")


def executed_actions(steps: Sequence[Executed]) -> ActionSequence | None:
    """What the camera did, in the vocabulary of commands; None where a motion or a length is not known, or not planar.

    Moves to a centimetre, turns to a degree.
    """
    if any(step.kind in ("none", "direction") for step in steps):
        return None
    try:
        motions = [planar_decomposition(step.T_before_after).actions for step in steps]
    except NotPlanarError:
        return None
    return ActionSequence(tuple(action for actions in motions for action in actions))


def _executed(steps: Sequence[Executed]) -> dict[str, Any]:
    """Words of all steps; null where a step is not known, and for all of them where `executed_actions` says nothing."""
    texts = [
        None if step.kind == "none" else in_words(step.T_before_after, "m" if step.kind == "metric" else None)
        for step in steps
    ]
    actions = executed_actions(steps)
    return {"actions": actions and actions.text(), "steps": texts, "unknown_steps": texts.count(None)}


def _compliance(checked: Checked) -> dict[str, Any]:
    found = checked.compliance
    confusion = [{"commanded": a, "executed": b, "steps": n} for (a, b), n in sorted(found.confusion.items())]
    return {"exact": found.exact, "confusion": confusion}


def summary_of(rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, int]) -> dict[str, Any]:
    """Counts of a tree: verdicts, reasons, what could not be read, and commanded against executed ways."""
    confusion: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for cell in row.get("compliance", {}).get("confusion", ()):
            confusion[cell["commanded"], cell["executed"]] += cell["steps"]
    verdicts = Counter(row["verdict"] for row in rows)
    reasons = Counter(reason for row in rows for reason in {f["reason"] for f in row["findings"]})
    return {
        "trajectories": len(rows),
        "verdicts": {name: verdicts[name] for name in ("pass", "fail", "undecided")},
        "reasons": dict(reasons.most_common()),
        "left_out": dict(left_out),
        "confusion": [{"commanded": a, "executed": b, "steps": n} for (a, b), n in sorted(confusion.items())],
    }


def table_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_line(row) for row in rows)
    return text.getvalue()


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    steps = row.get("steps", ())
    return {
        "name": row["name"],
        "verdict": row["verdict"],
        "first_reason": next(iter(row["reasons"]), ""),
        "tsed": row.get("tsed"),
        "turn_off_deg": _worst(steps, "turn_off_deg"),
        "direction_off_deg": _worst(steps, "direction_off_deg"),
        "length_ratio": row.get("length_ratio"),
        "frames": row.get("frames"),
        "steps": len(steps),
    }


def _worst(steps: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return max((step[name] for step in steps if step[name] is not None), default=None)


def _finite(value: Any) -> Any:
    """The value with null for what is no finite number: JSON has no word for it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
