"""Parts of a check's page that show frames: the key frames of each step, and numbers of every frame."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from PIL import Image

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.check import Checked
from synth.check_drawings import lines_svg, ranges, row_svg, tracks_svg
from synth.check_errors import Part, StepErrors, parts_of
from synth.executed import ExecutedStep
from synth.film import Film, Picture
from synth.page import Html, join, tag
from synth.still_checks import CHECKS
from synth.two_view import MAX_ERROR_PX
from synth.verdict import Verdict

EFFECTS = {"fails": "fail", "leaves open": "undecided", "note": "note"}
"""Classes that colour what findings do."""

MOST_PAIRS = 12
"""Pairs of key frames that a card shows; the other steps are listed."""

_MAX_WIDTH = 360
_QUALITY = 62

# --- its steps


def steps_html(checked: Checked, errors: Sequence[StepErrors]) -> Html:
    """Each commanded step in words, with its key frames: how points moved, and where the command allows them."""
    assert checked.commanded is not None and checked.film is not None
    of_step = [parts_of(checked, step) for step in checked.commanded.steps]
    drawn = _drawn(checked.verdict, of_step)
    frames = {n for part in drawn for n in (part.step.first, part.step.last)}
    shots = _Shots(checked.film.size, _uris(checked.film, frames))
    steps = [
        _step(n, e, parts, [part for part in parts if part in drawn], checked, shots)
        for n, (e, parts) in enumerate(zip(errors, of_step, strict=True))
    ]
    return tag("section", tag("h3", "Steps"), *steps)


def _drawn(verdict: Verdict, of_step: Sequence[Sequence[Part]]) -> list[Part]:
    """At most MOST_PAIRS: of steps that fail first, then of those left open, and the first part of each step first."""
    rank = {f.step: list(EFFECTS).index(f.effect) for f in reversed(verdict.findings)}
    order = [(rank.get(n, len(EFFECTS)), i, n, part) for n, parts in enumerate(of_step) for i, part in enumerate(parts)]
    return [part for *_, part in sorted(order, key=lambda row: row[:3])[:MOST_PAIRS]]


def _step(
    n: int, errors: StepErrors, parts: Sequence[Part], drawn: Sequence[Part], checked: Checked, shots: _Shots
) -> Html:
    own = dict.fromkeys(EFFECTS[f.effect] for f in checked.verdict.findings if f.step == n)
    marks = [tag("span", mark, class_=f"effect {mark}") for mark in own if mark != "note"]
    head = tag("h4", f"Step {n + 1}", tag("span", f" frames {errors.first} to {errors.last} ", class_="dim"), *marks)
    left_out = len(parts) - len(drawn)
    rest = tag("p", f"{left_out} of its {len(parts)} parts without pictures here", class_="small dim")
    pairs = [_pair(part, checked, shots) for part in drawn]
    return tag(
        "div",
        tag("div", head, tag("dl", *_facts(errors, parts), class_="facts"), rest if left_out else None),
        tag("div", *pairs, class_="stack"),
        class_="step",
    )


def _facts(errors: StepErrors, parts: Sequence[Part]) -> Iterator[Html]:
    e = errors
    facts = {
        "told": e.told,
        "shown": e.shown,
        "turn": _off(e.turn_deg, e.turn_sd_deg),
        "direction": _off(e.direction_deg, e.direction_sd_deg),
        "length": ""
        if math.isnan(e.length_m)
        else f"{e.length_m:.3g} m (sd {e.length_sd_m:.2g}), told {e.told_m:.3g} m",
        "TSED": ", ".join(_agrees(part) for part in parts if part.agreement is not None),
    }
    for name, text in facts.items():
        if text:
            yield join(tag("dt", name), tag("dd", text))


def _off(value: float, sd: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.2f} deg off" + (f" (sd {sd:.2f})" if math.isfinite(sd) else "")


def _agrees(part: Part) -> str:
    assert part.agreement is not None
    if math.isnan(part.agreement.median_px):
        return "no matches"
    word = "agrees" if part.agreement.is_consistent else "does not agree"
    return f"{part.agreement.median_px:.2f} px over {part.agreement.num_matches} matches, {word}"


# --- its frames


class _Shots:
    """Frames as data; each is in the page once, and shown again from there."""

    def __init__(self, size: tuple[int, int], uris: Mapping[int, str]) -> None:
        self.size, self.uris = size, uris
        self._shown: set[str] = set()

    def svg(self, n: int, *drawn: Html | None) -> Html:
        """One frame with what is drawn over it, in its pixels."""
        width, height = self.size
        name = "p" + hashlib.sha256(self.uris[n].encode()).hexdigest()[:16]
        if name in self._shown:
            picture = tag("use", href=f"#{name}")
        else:
            picture = tag("image", href=self.uris[n], width=width, height=height, id=name)
        self._shown.add(name)
        view = f"0 0 {width} {height}"
        svg = tag("svg", picture, *drawn, viewBox=view, role="img", aria_label=f"frame {n}")
        shot = tag("div", svg, class_="shot", style=f"aspect-ratio:{width}/{height}")
        return tag("figure", shot, tag("figcaption", f"frame {n}"))


def _uris(film: Film, frames: set[int]) -> dict[int, str]:
    """Frames as data URIs, from one pass over the film."""
    uris: dict[int, str] = {}
    for n, picture in enumerate(film.frames()):
        if n in frames:
            uris[n] = _uri(picture)
        if len(uris) == len(frames):
            break
    return uris


def _uri(picture: Picture) -> str:
    small = Image.fromarray(picture)
    small.thumbnail((_MAX_WIDTH, _MAX_WIDTH), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def _pair(part: Part, checked: Checked, shots: _Shots) -> Html:
    assert checked.evidence is not None and checked.commanded is not None
    step, camera = part.step, checked.evidence.camera
    T_first_last = checked.commanded.between(step.first, step.last)
    lines = (None, None)
    if T_first_last is not None:
        lines = lines_svg(step.described, T_first_last.inverse(), camera, shots.size)
    fits = _fits(step, camera)
    pair = tag(
        "div",
        shots.svg(step.first, lines[0]),
        shots.svg(step.last, tracks_svg(step.matches, fits), lines[1]),
        class_="pair",
    )
    return tag("div", pair, tag("p", _about(step, fits), class_="small dim"))


def _fits(step: ExecutedStep, camera: PinholeCamera) -> Bool[NDArray, " n"] | None:
    """Which points the executed motion explains, or the best of several; None where no motion is known."""
    view = next(iter(step.view.candidates), step.view)
    if view.kind == "none" and not step.is_still:
        return None
    T_b_a = SE3.identity() if step.is_still else view.T_b_a
    fits = step.matches.missed_by(camera, T_b_a, camera) <= MAX_ERROR_PX
    # A move in an unknown direction is handed on as its turn alone, which its own inliers miss.
    is_more = view.kind == "rotation" and not step.is_still and fits.sum() < view.inliers
    return None if is_more else fits


def _about(step: ExecutedStep, fits: Bool[NDArray, " n"] | None) -> str:
    """How many points fit what."""
    view, count = step.view, step.view.inliers if fits is None else int(np.sum(fits))
    of = f"of {len(step.matches)} {'tracked points' if step.matches is step.tracked else 'features'}"
    if step.is_still:
        return f"{count} {of} stay where they are"
    if view.candidates:
        return f"{count} {of} fit {len(view.candidates)} motions equally well: {view.reason}"
    if view.kind == "none":
        return f"none {of} fit a motion that can be told: {view.reason}"
    if fits is None:
        return f"{count} {of} fit a move of unknown direction: {view.reason}"
    return f"{count} {of} fit {'the turn' if view.kind == 'rotation' else 'the motion'} seen"


def frames_html(checked: Checked) -> Html:
    """Numbers of every frame; the suspicious ones are marked and named."""
    assert checked.evidence is not None
    seen, spans = checked.evidence.look, checked.evidence.spans
    found = {name: check(seen).suspicious for name, check in CHECKS.items()}
    keys = [spans[0].step.first, *(span.step.last for span in spans)]
    rows = (
        ("change", seen.change, ("frozen", "cut")),
        ("sharpness", seen.sharpness, ("blur",)),
        ("brightness", seen.brightened, ("flicker",)),
    )
    drawn = [
        join(tag("span", name), row_svg(numbers, {mark: found[mark] for mark in marks}, keys))
        for name, numbers, marks in rows
    ]
    named = [f"{name}: {_in_ranges(frames)}" for name, frames in found.items() if frames]
    said = "; ".join(named) or "none is suspicious"
    title = f"Frame by frame · {said}"
    about = "Change and brightness against the frame before; upright lines are key frames."
    return tag(
        "details",
        tag("summary", title),
        tag("div", *drawn, class_="film-rows"),
        tag("p", about, class_="small dim"),
        open=True if named else None,
    )


def _in_ranges(frames: Sequence[int]) -> str:
    found = ranges(frames)
    words = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found[:6])
    several = "" if len(frames) == 1 else "s"
    return f"frame{several} {words}" + (f" and {len(found) - 6} more" if len(found) > 6 else "")
