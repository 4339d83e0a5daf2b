"""The card of one checked trajectory: verdict and reasons, its path from above, its errors, its steps and frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from synth.check import Checked
from synth.check_drawings import Curve, curve_svg, plan_svg
from synth.check_errors import (
    StepErrors,
    commanded_path,
    executed_path,
    has_lengths,
    parts_of,
    step_errors,
)
from synth.check_strips import EFFECTS, frames_html, steps_html
from synth.page import Html, join, tag
from synth.verdict import DEFAULT, REASONS, Finding, Limits, Outcome, Verdict

OUTCOMES: tuple[Outcome, ...] = ("fail", "undecided", "pass")
"""Worst first."""

_NONE = "–"


@dataclass(frozen=True)
class Card:
    """What the page shows of one trajectory: small, and made where its film is at hand.

    Args:
        badness: what to sort by: failures, then what is undecided, then the rest; each by its worst measure.
        reasons: kinds of finding that decide it.
        html: the card's content.
        row: the cells of its row in the table, without its name.
    """

    name: str
    outcome: str
    badness: float
    reasons: tuple[str, ...]
    html: Html
    row: Html


def card_of(checked: Checked, limits: Limits = DEFAULT) -> Card:
    """Draw one trajectory; its film is read once more, and no frame is kept.

    Args:
        limits: by which it was judged.

    Raises:
        ValueError: if the film cannot be read any more.
    """
    verdict = checked.verdict
    errors = step_errors(checked, limits)
    html = join(
        _reasons(verdict),
        _overview(checked, errors, limits) if checked.evidence else None,
        steps_html(checked, errors) if checked.evidence else None,
        _findings(verdict),
        _listed("What had to be decided", checked.notes),
        frames_html(checked) if checked.evidence else None,
    )
    decisive = dict.fromkeys(finding.reason for finding in _decisive(verdict))
    row = _row(checked, errors)
    return Card(checked.name, verdict.outcome, badness(verdict), tuple(decisive), html, row)


def badness(verdict: Verdict) -> float:
    """What to sort by, 0 to 5: the outcome, then by how many times its limit the worst measure is off.

    >>> badness(Verdict("pass", (), score=1.0))
    0.5
    """
    return 2.0 * OUTCOMES[::-1].index(verdict.outcome) + 1 - 1 / (1 + verdict.score)


def _decisive(verdict: Verdict) -> list[Finding]:
    return [f for f in verdict.findings if f.effect != "note" and EFFECTS[f.effect] == verdict.outcome]


def _reasons(verdict: Verdict) -> Html:
    texts = verdict.reasons or ["the film shows the motion that was commanded"]
    return tag("ul", *(tag("li", text) for text in texts), class_="reasons")


def _findings(verdict: Verdict) -> Html | None:
    if not verdict.findings:
        return None
    rows = [
        tag(
            "li",
            tag("span", f.effect, class_=f"effect {EFFECTS[f.effect]}"),
            tag("b", f.reason, title=REASONS[f.reason]),
            f" {f.text}",
        )
        for f in verdict.findings
    ]
    return tag("section", tag("h3", "Findings"), tag("ul", *rows, class_="findings"))


def _listed(title: str, texts: Sequence[str]) -> Html | None:
    if not texts:
        return None
    return tag("section", tag("h3", title), tag("ul", *(tag("li", text) for text in texts), class_="small"))


def _row(checked: Checked, errors: Sequence[StepErrors]) -> Html:
    verdict, ratio = checked.verdict, checked.judgement.length_ratio if checked.judgement else math.nan
    turn, direction = _worst(e.turn_deg for e in errors), _worst(e.direction_deg for e in errors)
    return join(
        tag("td", badge(verdict.outcome)),
        tag("td", next(iter(verdict.reasons), _NONE), class_="text"),
        tag("td", _number(checked.tsed * 100, ".0f", " %")),
        tag("td", _number(turn, ".1f", " deg")),
        tag("td", _number(direction, ".1f", " deg")),
        tag("td", _number(ratio, ".2f", " x")),
    )


def _worst(values: Iterable[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _number(value: float, form: str, unit: str) -> str:
    return _NONE if math.isnan(value) else f"{value:{form}}{unit}"


def badge(outcome: str) -> Html:
    """The verdict in its colour."""
    return tag("span", outcome, class_=f"badge {outcome}")


# --- its path and errors


def _overview(checked: Checked, errors: Sequence[StepErrors], limits: Limits) -> Html:
    curves = [tag("figure", curve_svg(c, _first(checked)), _caption(c)) for c in _curves(checked, errors, limits)]
    said = tag("p", "Keys tell directions alone, so that there are no errors in degrees or pixels.", class_="small dim")
    return tag("div", _plan(checked), tag("div", *(curves or [said]), class_="curves"), class_="overview")


def _first(checked: Checked) -> int:
    assert checked.evidence is not None
    return checked.evidence.spans[0].step.first


def _plan(checked: Checked) -> Html:
    assert checked.evidence is not None and checked.commanded is not None
    told, shown = commanded_path(checked.commanded), executed_path(checked)
    assert shown is not None
    is_metric = checked.commanded.scale.is_metric or (told is None and has_lengths(checked))
    drawing = plan_svg(told, shown, checked.evidence.camera, "m" if is_metric else "")
    legend = [tag("span", name, class_=f"key {name}") for name in ("told", "shown") if told or name == "shown"]
    words = " ".join(_about_plan(checked, shown.known))
    caption = tag("figcaption", *legend, f" From above, in the axes of the first camera. {words}")
    return tag("figure", drawing, caption, class_="from-above")


def _about_plan(checked: Checked, known: Sequence[bool]) -> Iterator[str]:
    assert checked.evidence is not None and checked.commanded is not None
    if checked.commanded.T_world_cam is None:
        told = "; ".join(str(step.way) for step in checked.commanded.steps)
        yield f"Told by keys, which have no path: {told}."
    if not has_lengths(checked):
        by = "one unit a frame" if checked.commanded.T_world_cam is None else "the commanded lengths"
        yield f"Lengths are not seen: the steps shown are drawn with {by}."
    steps = zip(checked.commanded.steps, checked.judgement.steps if checked.judgement else (), strict=True)
    if num_unseen := sum(step.moves and done.kind == "rotation" for step, done in steps):
        yield f"Moves without a direction that is seen, drawn as turns alone: {num_unseen}."
    if not all(known):
        yield f"Gaps: {known.count(False)} of {len(known)} steps are unknown; after one the path goes on as commanded."


def _curves(checked: Checked, errors: Sequence[StepErrors], limits: Limits) -> Iterator[Curve]:
    """Those of which anything is known."""
    ends, sd = [e.last for e in errors], limits.sure_sd
    turn, drift = [e.turn_deg for e in errors], [e.drift_deg for e in errors]
    turn_limits, direction_limits = [e.turn_limit_deg for e in errors], [limits.direction_deg] * len(ends)
    drift_limits = [e.drift_limit_deg for e in errors]
    turn_sds, drift_sds = [e.turn_sd_deg for e in errors], [e.drift_sd_deg for e in errors]
    direction, direction_sds = [e.direction_deg for e in errors], [e.direction_sd_deg for e in errors]
    steps = checked.commanded.steps if checked.commanded else ()
    parts = [part for step in steps for part in parts_of(checked, step)]
    tsed = [(part.step.last, part.agreement.median_px) for part in parts if part.agreement is not None]
    tsed_ends, tsed_px = [end for end, _ in tsed], [px for _, px in tsed]
    curves = (
        Curve("Turn of each step, off by", "deg", ends, turn, turn_limits, turn_sds, sd),
        Curve("All turns so far, off by", "deg", ends, drift, drift_limits, drift_sds, sd),
        Curve("Direction of each move, off by", "deg", ends, direction, direction_limits, direction_sds, sd),
        Curve("TSED with the command", "px", tsed_ends, tsed_px, [limits.tsed_px] * len(tsed)),
    )
    yield from (curve for curve in curves if any(not math.isnan(value) for value in curve.values))


def _caption(curve: Curve) -> Html:
    shade = f"; shaded: {curve.sure_sd:g} sd" if curve.sds else ""
    return tag("figcaption", tag("b", curve.name), f" ({curve.unit}), over frames; dashed: the limit{shade}")
