"""Words to build furniture with: solids given by full sizes and by where they stand, metres, item frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from synth.scene import Material, Part, Vec3, bounds_of


@dataclass(frozen=True)
class Support:
    """A free level rectangle on an item, on which something else can stand.

    Args:
        height: above the item's bottom, metres.
        center: (x, y) in the item frame.
        half_size: (x, y), along the item's axes.
    """

    height: float
    center: tuple[float, float]
    half_size: tuple[float, float]


@dataclass(frozen=True)
class Built:
    """A finished object in its own frame: footprint centred on the origin, standing on z = 0, front to +y."""

    parts: tuple[Part, ...]
    supports: tuple[Support, ...] = ()

    @property
    def size(self) -> np.ndarray:
        """Full extent (x, y, z), metres."""
        low, high = bounds_of(self.parts)
        return high - low


@dataclass(frozen=True)
class Kind:
    """What the layout has to know about a kind of object.

    Args:
        name: the word used in questions.
        build: draws one from a random generator.
        placement: "floor" (anywhere), "wall-side" (on the floor, back to a wall), "surface" (on a support of
            another item), "wall" (hangs on one) or "ceiling" (hangs from it).
        max_size: no example is larger than this (x, y, z), metres.
        per_room: most of this kind in one room.
        front: room that a person needs in front of it, metres.
        mount: (lowest, highest) centre above the floor for things on a wall, metres.
        is_flat: a mat that other things may stand on.
    """

    name: str
    build: Callable[[Generator], Built]
    placement: str
    max_size: Vec3
    per_room: int = 2
    front: float = 0.4
    mount: tuple[float, float] = (1.4, 1.7)
    is_flat: bool = False


def settle(parts: Sequence[Part], supports: Sequence[Support] = ()) -> Built:
    """Move parts so that their footprint is centred on the origin and they stand on z = 0."""
    low, high = bounds_of(parts)
    shift = np.round([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]], 6)
    centers = (np.array([p.center for p in parts]) - shift).tolist()
    moved = (Part(p.shape, tuple(at), p.half_size, p.rotvec, p.material) for p, at in zip(parts, centers, strict=True))
    return Built(tuple(moved), tuple(_moved(s, shift) for s in supports))


def _moved(support: Support, shift: np.ndarray) -> Support:
    x, y, height = np.round(np.subtract((*support.center, support.height), shift), 6).tolist()
    return Support(height, (x, y), support.half_size)


def box(x: float, y: float, z: float, sx: float, sy: float, sz: float, material: Material) -> Part:
    """A box whose bottom is at height z, centred on (x, y)."""
    return Part("box", (x, y, z + sz / 2), (sx / 2, sy / 2, sz / 2), material=material)


def post(x: float, y: float, z: float, radius: float, height: float, material: Material, ry: float = 0.0) -> Part:
    """An upright cylinder standing at height z; `ry` makes it elliptic."""
    return Part("cylinder", (x, y, z + height / 2), (radius, ry or radius, height / 2), material=material)


def ball(x: float, y: float, z: float, radii: Sequence[float] | float, material: Material) -> Part:
    """An ellipsoid centred on (x, y, z)."""
    rx, ry, rz = (radii, radii, radii) if isinstance(radii, (int, float)) else radii
    return Part("ellipsoid", (x, y, z), (rx, ry, rz), material=material)


def turned(part: Part, axis: str, angle_deg: float) -> Part:
    """The part turned about its own centre, about an axis of the item."""
    turn = tuple(math.radians(angle_deg) * (axis == name) for name in "xyz")
    if not any(part.rotvec):
        return replace(part, rotvec=turn)
    R_item_part = Rotation.from_rotvec(turn) * Rotation.from_rotvec(part.rotvec)
    return replace(part, rotvec=tuple(R_item_part.as_rotvec().tolist()))


def rod(start: Sequence[float], end: Sequence[float], radius: float, material: Material) -> Part:
    """A round bar between two points."""
    dx, dy, dz = (b - a for a, b in zip(start, end, strict=True))
    flat, length = math.hypot(dx, dy), math.hypot(dx, dy, dz)
    angle = math.atan2(flat, dz)
    # The cylinder's z axis turns to (dx, dy, dz) about z x d = (-dy, dx, 0).
    rotvec = (-dy / flat * angle, dx / flat * angle, 0.0) if flat > 1e-9 else (angle, 0.0, 0.0)
    cx, cy, cz = ((a + b) / 2 for a, b in zip(start, end, strict=True))
    return Part("cylinder", (cx, cy, cz), (radius, radius, length / 2), rotvec, material)


def flat_disc(x: float, y: float, z: float, radius: float, material: Material, axis: str = "z") -> Part:
    """A thin round plate that faces along the axis, 4 mm thick."""
    plate = Part("cylinder", (x, y, z), (radius, radius, 0.002), material=material)
    return plate if axis == "z" else turned(plate, "x" if axis == "y" else "y", -90 if axis == "y" else 90)


def legs(dx: float, dy: float, height: float, thick: float, material: Material, is_round: bool = False) -> list[Part]:
    """Four legs at (+-dx, +-dy)."""
    corners = [(sx * dx, sy * dy) for sx in (-1, 1) for sy in (-1, 1)]
    if is_round:
        return [post(x, y, 0, thick / 2, height, material) for x, y in corners]
    return [box(x, y, 0, thick, thick, height, material) for x, y in corners]


def ring(
    center: Vec3, radii: tuple[float, float], height: float, thick: float, material: Material,
    num: int = 16, lean_deg: float = 0.0,
) -> list[Part]:  # fmt: skip
    """A hollow rim of flat staves around a vertical axis: the wall of a bowl, a tub or a lamp shade.

    Args:
        center: of the rim's bottom.
        radii: to the middle of the wall, along x and y, half-way up.
        height: of the wall.
        thick: of the wall.
        material: of every stave.
        num: of staves.
        lean_deg: positive leans the staves outwards at the top.
    """
    angle = (np.arange(num) + 0.5) * 2 * math.pi / num
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    heading = np.arctan2(radii[0] * np.sin(angle), radii[1] * np.cos(angle))  # of the ellipse's normal
    chord = np.hypot(radii[0] * np.sin(angle), radii[1] * np.cos(angle)) * 2 * math.tan(math.pi / num)
    widest = 1 + math.tan(math.radians(abs(lean_deg))) * height / 2 / min(radii)
    turn = Rotation.from_euler("z", heading[:, None]) * Rotation.from_euler("y", math.radians(lean_deg))
    middle = np.array(center) + np.stack([x, y, np.full(num, height / 2)], 1)
    half = np.stack([np.full(num, thick / 2), chord / 2 * widest * 1.02, np.full(num, height / 2)], 1)
    staves = zip(middle.tolist(), half.tolist(), turn.as_rotvec().tolist(), strict=True)
    return [Part("box", tuple(c), tuple(h), tuple(r), material) for c, h, r in staves]


def bow(points: Sequence[Sequence[float]], radius: float, material: Material) -> list[Part]:
    """A bent bar through points, with a ball at each inner bend."""
    bars = [rod(a, b, radius, material) for a, b in zip(points[:-1], points[1:], strict=True)]
    return bars + [ball(x, y, z, radius, material) for x, y, z in points[1:-1]]


def top(x: float, y: float, height: float, sx: float, sy: float, margin: float = 0.03) -> Support:
    """The support that a plate of full size (sx, sy) offers, less a margin at the edge."""
    return Support(height, (x, y), (sx / 2 - margin, sy / 2 - margin))
