"""Small drawings of a proof: boxes over a picture, the motion from above, the shares of an object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geom.actions import parse_actions
from synth.page import Html, join, tag

PARTS = {"visible": "seen", "hidden": "hidden", "outside": "outside", "behind": "behind"}
"""Share of an object's silhouette, and the class that colours it."""

_SIDE = 100.0
_MARGIN = 14.0
_MIN_EXTENT_M = 1.0
_SAME_PLACE_M = 1e-3
_LETTER = 0.6
"""Width of a letter, as a share of the font's size."""
_SMALL_SHARE = 0.095
"""Below this a share is told to a tenth of a percent."""
_BAR_STEPS = tuple(step * 10.0**k for k in range(-3, 4) for step in (1, 2, 5))


def boxes_svg(boxes: Sequence[tuple[str, str, Sequence[float]]], width: int, height: int) -> Html:
    """Boxes over a picture of `width` x `height` pixels.

    Args:
        boxes: (class, label, x1 y1 x2 y2 in pixels); the class says the colour, an empty label shows none.
    """
    drawn = [_box(kind, label, box, width, height) for kind, label, box in boxes]
    return tag("svg", *drawn, viewBox=f"0 0 {width} {height}", aria_hidden="true")


def _box(kind: str, label: str, box: Sequence[float], width: int, height: int) -> Html:
    x1, y1, x2, y2 = box
    corner = {"x": num(x1), "y": num(y1), "width": num(x2 - x1), "height": num(y2 - y1)}
    size = max(width, height) / 26
    baseline = y1 - size * 0.3 if y1 > size * 1.4 else min(y1 + size, height - 2)
    text_at = {**_anchor(label, size, x1, width), "y": num(baseline)}
    style = f"font-size:{num(size)}px;stroke-width:{num(size / 10)}px"
    text = tag("text", label, **text_at, style=style) if label else None
    return tag(
        "g",
        tag("rect", class_="halo", **corner),
        tag("rect", class_="line", **corner),
        text,
        class_=f"box {kind}",
    )


def _anchor(label: str, size: float, left: float, width: int) -> dict[str, str]:
    """Where a label begins; one that would be cut off at the right border ends there instead."""
    if left + _LETTER * size * len(label) > width:
        return {"x": num(width - 2), "text_anchor": "end"}
    return {"x": num(max(left + size * 0.15, 2))}


def shares_html(title: str, sight: Mapping[str, Any]) -> Html:
    """One bar of how an object's silhouette is shared out in one view, and the same in words.

    >>> "visible 75 %" in shares_html("before", {"visible": 0.75, "hidden": 0.25})
    True
    """
    if sight.get("visible") is None:
        return join(tag("span", title), tag("span", "undefined: the camera is inside it", class_="dim"))
    parts = [(name, share) for name in PARTS if (share := float(sight.get(name) or 0.0)) > 0]
    bars = [tag("i", class_=PARTS[name], style=f"width:{num(100 * share)}%") for name, share in parts]
    words = _shares_in_words(parts, sight.get("hidden_by") or {})
    bar = tag("span", *bars, class_="bar", role="img", aria_label=words, title=words)
    return join(tag("span", title), bar, tag("span", words, class_="words"))


def _shares_in_words(parts: Sequence[tuple[str, float]], hidden_by: Mapping[str, float]) -> str:
    """The shares, and behind what is hidden those that hide it, the largest first."""
    by = sorted(hidden_by.items(), key=lambda pair: -pair[1])
    # A small share is told to a tenth, and then all are: 99.7 % and 0.3 % must not read as 100 % and 0.3 %.
    tenths = any(0 < share < _SMALL_SHARE for _, share in (*parts, *by))
    words = []
    for (name, _), count in zip(parts, _rounded([share for _, share in parts], tenths), strict=True):
        counts = _rounded([share for _, share in by], tenths, count) if name == "hidden" else []
        told = ", ".join(f"{who} {_percent(n, tenths)}" for (who, _), n in zip(by, counts, strict=False))
        words.append(f"{name} {_percent(count, tenths)}" + (f" (by {told})" if told else ""))
    return ", ".join(words)


def _rounded(shares: Sequence[float], tenths: bool, total: int | None = None) -> list[int]:
    """Whole percents, or tenths of them, that add up as the shares do: what is lost goes to the largest rests."""
    exact = [share * (1000 if tenths else 100) for share in shares]
    counts = [math.floor(value) for value in exact]
    lost = max((round(sum(exact)) if total is None else total) - sum(counts), 0)
    for i in sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])[:lost]:
        counts[i] += 1
    return counts


def _percent(count: int, tenths: bool) -> str:
    if not tenths:
        return f"{count} %"
    return f"{count / 10:.1f} %" if count else "under 0.1 %"


def motion_svg(T_world_cam: NDArray[np.float64], K: NDArray[np.float64], width: int, actions: str, unit: str) -> Html:
    """The motion seen from above, in the first camera's frame: x to the right, forward up.

    Args:
        T_world_cam: poses before and after, (2, 4, 4).
        K: intrinsics in pixels of pictures `width` wide; the drawn wedge is the field of view.
        actions: action text; gives the corners of the path if it leads to the stored pose.
        unit: name of one unit of length, for the scale bar.
    """
    end = np.linalg.inv(T_world_cam[0]) @ T_world_cam[1]
    path = motion_path(end, actions)
    extent = max(float(np.ptp(path, axis=0).max()), _MIN_EXTENT_M)
    zoom = (_SIDE - 2 * _MARGIN) / (1.5 * extent)
    to_page = _to_page(path, zoom)
    half_fov = math.atan(width / 2 / K[0, 0])
    heading = math.atan2(end[0, 2], end[2, 2])
    reach = _SIDE * 0.24
    line = "M" + "L".join(point(p) for p in to_page)
    return tag(
        "svg",
        scale_bar(zoom, unit),
        wedge("start", to_page[0], 0.0, half_fov, reach),
        wedge("end", to_page[-1], heading, half_fov, reach),
        tag("path", class_="path", d=line),
        viewBox=f"0 0 {num(_SIDE)} {num(_SIDE)}",
        role="img",
        aria_label=f"seen from above: {actions}",
    )


def motion_path(end: NDArray[np.float64], actions: str) -> NDArray[np.float64]:
    """Corners of the path on the ground, (n, 2): x right and z forward of the first camera.

    Args:
        end: pose of the second camera in the first camera's frame; it decides, not the text.

    >>> motion_path(np.eye(4), "turn left 30 degrees").tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    ground = end[[0, 2], 3]
    try:
        corners = parse_actions(actions).poses().t.numpy()[:, [0, 2]]
    except ValueError:
        corners = np.zeros((0, 2))
    if len(corners) and np.abs(corners[-1] - ground).max() < _SAME_PLACE_M:
        return corners
    return np.array([[0.0, 0.0], ground])


def _to_page(path: NDArray[np.float64], zoom: float) -> NDArray[np.float64]:
    """Metres to the drawing's units: centred, forward up."""
    middle = (path.min(axis=0) + path.max(axis=0)) / 2
    return _SIDE / 2 + (path - middle) * [zoom, -zoom]


def scale_bar(zoom: float, unit: str, side: float = _SIDE) -> Html:
    """A bar of a round length in the lower left corner of a square drawing, at most half as long as its side."""
    length = max((step for step in _BAR_STEPS if step * zoom <= side / 2), default=_BAR_STEPS[0])
    x, y = 5.0, side - 5.0
    line = f"M{num(x)},{num(y - 2)}v2h{num(length * zoom)}v-2"
    text = tag("text", f"{length:g} {unit}", x=num(x), y=num(y - 4))
    return join(tag("path", class_="scale-bar", d=line, fill="none"), text)


def wedge(kind: str, apex: NDArray[np.float64], heading: float, half_fov: float, reach: float) -> Html:
    """A camera: the wedge of its field of view; `heading` in radians, positive to the right."""
    left, right = (
        apex + reach * np.array([math.sin(a), -math.cos(a)]) for a in (heading - half_fov, heading + half_fov)
    )
    big = int(2 * half_fov > math.pi)
    arc = f"M{point(apex)}L{point(left)}A{num(reach)},{num(reach)} 0 {big} 1 {point(right)}Z"
    return tag("path", class_=kind, d=arc)


def point(p: NDArray[np.float64]) -> str:
    """A point as paths have it."""
    return f"{num(p[0])},{num(p[1])}"


def num(value: float) -> str:
    """A number to a hundredth, as short as it can be."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
