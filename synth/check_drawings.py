"""Drawings of a check: points and lines over a frame, two paths from above, errors over frames, numbers of frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from geom import so3
from geom.camera import PinholeCamera
from geom.epipolar import epipolar_lines, fundamental
from geom.homography import homography
from geom.se3 import SE3
from synth.check_errors import Path
from synth.drawings import num, point, scale_bar, wedge
from synth.matches import Matches
from synth.page import Html, tag
from synth.samples import evenly

Points = Float[NDArray, "n 2"]

MOST_TRACKS = 40
MOST_LINES = 10
_TURN = 137.5
"""Degrees of hue from one line to the next: the golden angle, so that neighbours differ."""

_PLAN = 220.0
_MARGIN = 34.0
_REACH = 24.0
_MOST_WEDGES = 9
_MIN_EXTENT_M = 0.2
"""What a camera that turns in place is drawn in, lest its noise fill the drawing."""

_CURVE = 340.0, 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 8.0, 12.0, 20.0
_HEADROOM = 1.12
_ROW = 20.0
_MOST_DOTS = 1000
"""Numbers of a film drawn at most; more would be finer than the screen."""


# --- over a frame


def tracks_svg(points: Matches, fits: Bool[NDArray, " n"] | None) -> Html:
    """How points moved: a line from where each was to where it is, with a dot there; at most MOST_TRACKS.

    Args:
        fits: which of them the executed motion explains; None where none is known.
    """
    chosen = _some(len(points), MOST_TRACKS)
    kinds = ["unknown" if fits is None else "fits" if fits[i] else "misses" for i in chosen]
    groups = []
    for kind in dict.fromkeys(kinds):
        own = [i for i, of in zip(chosen, kinds, strict=True) if of == kind]
        ends = [(points.uv_a[i], points.uv_b[i]) for i in own]
        lines = "".join(f"M{point(a)}L{point(b)}" for a, b in ends)
        dots = "".join(f"M{point(b)}h0" for _, b in ends)
        halo = tag("path", d=lines, class_="halo")
        groups.append(tag("g", halo, tag("path", d=lines), tag("path", d=dots, class_="dot"), class_=kind))
    return tag("g", *groups, class_="tracks")


def lines_svg(points: Matches, T_b_a: SE3, camera: PinholeCamera, size: tuple[int, int]) -> tuple[Html, Html]:
    """Where a motion allows some matched points to be, over the first frame and over the second.

    A motion that goes anywhere has epipolar lines in the second frame; a turn alone has one place for each point,
    joined to where it is seen. At most MOST_LINES, spread as the points are.

    Args:
        T_b_a: the motion, takes coordinates of the first frame's camera to the second's.
        size: (width, height) of the frames, pixels.
    """
    chosen = _some(len(points), MOST_LINES)
    some = Matches(points.uv_a[chosen], points.uv_b[chosen])
    off = some.missed_by(camera, T_b_a, camera).tolist()
    told = _places(some, T_b_a, camera) if bool((T_b_a.t == 0).all()) else _cut_lines(some, T_b_a, camera, size)
    hues = [f"--hue:{round(n * _TURN) % 360}" for n in range(len(chosen))]
    first = [tag("path", d=f"M{point(a)}h0", class_="dot", style=hue) for a, hue in zip(some.uv_a, hues, strict=True)]
    second = [
        tag(
            "g",
            tag("title", f"{distance:.2f} px off"),
            tag("path", d=line) if line else None,
            tag("path", d=f"M{point(b)}h0", class_="dot"),
            style=hue,
        )
        for distance, line, b, hue in zip(off, told, some.uv_b, hues, strict=True)
    ]
    return tag("g", *first, class_="lines"), tag("g", *second, class_="lines")


def _some(num_points: int, most: int) -> list[int]:
    """Some of the points, spread as evenly as they are; which of them does not depend on how well they fit."""
    return evenly(range(num_points), min(num_points, most))


def _places(points: Matches, T_b_a: SE3, camera: PinholeCamera) -> list[str]:
    """A cross where a turn takes each point, and a line from there to where it is seen."""
    H = homography(camera, T_b_a, camera).numpy()
    there = np.concatenate([points.uv_a, np.ones((len(points), 1))], 1) @ H.T
    arm = camera.width / 60
    cross = f"m{num(-arm)},0h{num(2 * arm)}m{num(-arm)},{num(-arm)}v{num(2 * arm)}"
    at = [x[:2] / x[2] if x[2] > 0 else None for x in there]
    return [
        "" if p is None else f"M{point(b)}L{point(p)}M{point(p)}{cross}" for p, b in zip(at, points.uv_b, strict=True)
    ]


def _cut_lines(points: Matches, T_b_a: SE3, camera: PinholeCamera, size: tuple[int, int]) -> list[str]:
    lines = epipolar_lines(torch.from_numpy(points.uv_a), fundamental(camera, T_b_a, camera)).numpy()
    cut = [cut_line(line, size) for line in lines]
    return ["" if ends is None else f"M{point(ends[0])}L{point(ends[1])}" for ends in cut]


def cut_line(line: Float[NDArray, " 3"], size: tuple[int, int]) -> Float[NDArray, "2 2"] | None:
    """The part of a line l1 u + l2 v + l3 = 0 that lies in a picture; None if none does.

    >>> cut_line(np.array([0.0, 1.0, -5.0]), (10, 8)).tolist()
    [[0.0, 5.0], [10.0, 5.0]]
    """
    if not np.isfinite(line).all():
        return None
    ends = []
    for axis, (a, b) in enumerate(((line[0], line[1]), (line[1], line[0]))):
        for edge in (0.0, float(size[axis])):
            along = -(line[2] + a * edge) / b if b else math.inf
            if 0 <= along <= size[1 - axis]:
                ends.append((edge, along) if axis == 0 else (along, edge))
    if len(ends) < 2:
        return None
    corners = np.array(sorted(ends))
    return corners[[0, -1]]


# --- from above


def plan_svg(told: Path | None, shown: Path, camera: PinholeCamera, unit: str) -> Html:
    """Two paths from above in the first camera's axes, x to the right and forward up: told solid, shown dashed.

    Args:
        told: with a pose for every frame.
        shown: with a pose for every key frame; where cameras are drawn.
        unit: name of one unit of length, for the scale bar; "" for none.
    """
    paths = [_ground(path) for path in (told, shown) if path is not None]
    to_page, zoom = _fitted(np.concatenate(paths), _MIN_EXTENT_M if unit == "m" else 0.0)
    half_fov = math.atan(camera.width / 2 / float(camera.K[0, 0]))
    at = [shown.frames[i] for i in _some(len(shown.frames), _MOST_WEDGES)]
    drawn = [
        tag("g", *_path(path, to_page, [path.frames.index(n) for n in at], half_fov), class_=name)
        for name, path in (("told", told), ("shown", shown))
        if path is not None
    ]
    bar = scale_bar(zoom, unit, _PLAN) if unit else None
    view = f"0 0 {num(_PLAN)} {num(_PLAN)}"
    return tag("svg", bar, *drawn, viewBox=view, role="img", aria_label="paths from above", class_="plan")


class _ToPage:
    """Ground to the drawing: centred, forward up."""

    def __init__(self, middle: NDArray, zoom: float) -> None:
        self.middle, self.zoom = middle, zoom

    def __call__(self, ground: NDArray) -> NDArray:
        return _PLAN / 2 + (ground - self.middle) * [self.zoom, -self.zoom]


def _fitted(ground: NDArray, least: float) -> tuple[_ToPage, float]:
    extent = max(float(np.ptp(ground, axis=0).max()), least) or 1.0
    zoom = (_PLAN - 2 * _MARGIN) / extent
    return _ToPage((ground.min(0) + ground.max(0)) / 2, zoom), zoom


def _ground(path: Path) -> Float[NDArray, "n 2"]:
    return path.T_first_cam.t.numpy()[:, [0, 2]]


def _path(path: Path, to_page: _ToPage, cameras: Sequence[int], half_fov: float) -> Iterator[Html]:
    corners = to_page(_ground(path))
    for i in cameras:
        yield wedge("eye", corners[i], so3.heading(path.T_first_cam.R[i]), half_fov, _REACH)
    pens = ["M", *("L" if is_known else "M" for is_known in path.known)]
    yield tag("path", d="".join(f"{pen}{point(p)}" for pen, p in zip(pens, corners, strict=True)), class_="way")
    for i in cameras:
        dot = tag("path", tag("title", f"frame {path.frames[i]}"), d=f"M{point(corners[i])}h0", class_="dot")
        yield dot


# --- errors over frames


@dataclass(frozen=True)
class Curve:
    """An error at some frames of a film. What is unknown is NaN; the infinite is drawn at the top.

    Args:
        limits: at each of the frames.
        sds: standard deviations; none are drawn if empty.
        sure_sd: how many of them are shaded.
    """

    name: str
    unit: str
    frames: Sequence[int]
    values: Sequence[float]
    limits: Sequence[float]
    sds: Sequence[float] = ()
    sure_sd: float = 1.0


class _Axes:
    """Frames and values to the drawing; what is beyond the top is drawn there."""

    def __init__(self, first: int, last: int, top: float) -> None:
        self.first, self.last, self.top = first, last, top

    def at(self, frame: float, value: float) -> str:
        return f"{num(self.x(frame))},{num(self.y(value))}"

    def x(self, frame: float) -> float:
        return _LEFT + (_CURVE[0] - _LEFT - _RIGHT) * (frame - self.first) / max(self.last - self.first, 1)

    def y(self, value: float) -> float:
        return _CURVE[1] - _BOTTOM - (_CURVE[1] - _BOTTOM - _TOP) * min(max(value, 0.0), self.top) / self.top


def curve_svg(curve: Curve, first: int) -> Html:
    """An error over the frames from `first` on, with its limit and its uncertainty."""
    known = [_HEADROOM * value for value in curve.values if math.isfinite(value)]
    axes = _Axes(first, curve.frames[-1], max(known + [1.5 * limit for limit in curve.limits]))
    runs = list(_runs(curve.values))
    bands = [tag("path", d=_band(curve, run, axes), class_="band") for run in runs] if curve.sds else []
    line = "".join("M" + "L".join(axes.at(curve.frames[i], curve.values[i]) for i in run) for run in runs)
    return tag(
        "svg",
        *_ticks(axes, curve.frames),
        *bands,
        tag("path", d=_limit(curve, axes), class_="limit"),
        tag("path", d=line, class_="line"),
        *(_dot(curve, i, axes) for run in runs for i in run),
        viewBox=f"0 0 {num(_CURVE[0])} {num(_CURVE[1])}",
        role="img",
        aria_label=f"{curve.name}, {curve.unit}",
        class_="curve",
    )


def _runs(values: Sequence[float]) -> Iterator[list[int]]:
    """Places of values that are known, side by side."""
    run: list[int] = []
    for i, value in enumerate([*values, math.nan]):
        if not math.isnan(value):
            run.append(i)
        elif run:
            yield run
            run = []


def _band(curve: Curve, run: Sequence[int], axes: _Axes) -> str:
    margins = [curve.sure_sd * curve.sds[i] if math.isfinite(curve.sds[i]) else 0.0 for i in run]
    upper = [axes.at(curve.frames[i], curve.values[i] + sd) for i, sd in zip(run, margins, strict=True)]
    lower = [axes.at(curve.frames[i], curve.values[i] - sd) for i, sd in zip(run, margins, strict=True)]
    return f"M{'L'.join((*upper, *lower[::-1]))}Z"


def _limit(curve: Curve, axes: _Axes) -> str:
    starts = (axes.first, *curve.frames)
    return "".join(
        f"M{axes.at(start, limit)}L{axes.at(end, limit)}"
        for start, end, limit in zip(starts, curve.frames, curve.limits, strict=False)
    )


def _dot(curve: Curve, i: int, axes: _Axes) -> Html:
    value, limit = curve.values[i], curve.limits[i]
    text = f"to frame {curve.frames[i]}: {value:.3g} {curve.unit}, limit {limit:.3g}"
    class_ = "dot over" if value > limit else "dot"
    return tag("path", tag("title", text), d=f"M{axes.at(curve.frames[i], value)}h0", class_=class_)


def _ticks(axes: _Axes, frames: Sequence[int]) -> Iterator[Html]:
    step = next(s * 10.0**k for k in range(-4, 9) for s in (1, 2, 5) if s * 10.0**k * 3 >= axes.top)
    for n in range(int(axes.top / step) + 1):
        y = num(axes.y(n * step))
        yield tag("path", d=f"M{num(_LEFT)},{y}H{num(_CURVE[0] - _RIGHT)}", class_="grid")
        yield tag("text", f"{n * step:g}", x=num(_LEFT - 5), y=y, text_anchor="end", dy=".35em")
    ends = [axes.first, *frames]
    for i in _some(len(ends) - 1, 6)[1:] + [len(ends) - 1]:
        yield tag("text", str(ends[i]), x=num(axes.x(ends[i])), y=num(_CURVE[1] - 5), text_anchor="middle")
    yield tag("text", str(axes.first), x=num(_LEFT), y=num(_CURVE[1] - 5), text_anchor="middle")


# --- numbers of frames


def row_svg(numbers: Float[NDArray, " n"], marks: Mapping[str, Sequence[int]], key_frames: Sequence[int]) -> Html:
    """One number of each frame, from its least to its largest, with marked frames and key frames.

    Args:
        numbers: NaN where there is none.
        marks: class, and the frames that it marks.
    """
    n, numbers = len(numbers), np.where(np.isfinite(numbers), numbers, math.nan)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    y = (_ROW - 2) - (_ROW - 4) * (numbers - low) / ((high - low) or 1.0)
    chosen = _some(n, _MOST_DOTS)
    lines = [
        "M" + "L".join(f"{num(chosen[i] + 0.5)},{num(y[chosen[i]])}" for i in run) for run in _runs(y[chosen].tolist())
    ]
    keys = "".join(f"M{num(k + 0.5)},0V{num(_ROW)}" for k in key_frames)
    boxes = [
        tag("path", tag("title", f"{name}: frames {first} to {last}"), d=_box(first, last), class_=f"mark {name}")
        for name, frames in marks.items()
        for first, last in ranges(frames)
    ]
    return tag(
        "svg",
        *boxes,
        tag("path", d=keys, class_="grid"),
        tag("path", d="".join(lines), class_="line"),
        viewBox=f"0 0 {n} {num(_ROW)}",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="row",
    )


def _box(first: int, last: int) -> str:
    return f"M{first},0H{last + 1}V{num(_ROW)}H{first}Z"


def ranges(frames: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of frames that follow each other.

    >>> ranges([3, 4, 5, 9])
    [(3, 5), (9, 9)]
    """
    found: list[tuple[int, int]] = []
    for n in sorted(frames):
        if found and n == found[-1][1] + 1:
            found[-1] = found[-1][0], n
        else:
            found.append((n, n))
    return found
