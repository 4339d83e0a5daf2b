"""The room itself: floor, ceiling, walls, skirting, a door, windows, a ceiling light.

Parts are in world coordinates, metres; the room's inside is [0, X] x [0, Y] x [0, Z] and walls stand outside it.
Walls are numbered as in `synth.layout`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numpy.random import Generator

from synth.layout import SKIRTING_M, WALL_YAW, Block
from synth.palette import metal, pick, rgb, solid, wood
from synth.scene import Light, Material, Part, Vec3

THICK_M = 0.1
SKIRTING_HEIGHT_M = 0.085
DOOR_ROOM_M = 0.8
WINDOW_ROOM_M = 0.3
LIGHT_RADIUS_M = 0.25

WALL_COLORS = ("efe9dc", "e3e8e4", "d5dfe6", "ecdcc2", "d9cdb8", "c8d3bd", "e8d3cb", "f3f1ea", "b9c6c9", "d8d0dd")
WALL_TEXTURES = ("plaster", "plaster", "plaster", "wallpaper", "stripes", "concrete", "speckle")
DRY_FLOORS = (
    ("parquet", "b98654", 1.2), ("parquet", "8a5a34", 1.2), ("planks", "c69c6d", 1.6), ("planks", "744a2c", 1.6),
    ("carpet", "8d8577", 0.6), ("carpet", "5d6b78", 0.6), ("planks", "d8b98c", 1.6), ("terrazzo", "d7d2c8", 1.0),
)  # fmt: skip
WET_FLOORS = (
    ("tiles", "d7d7d7", 0.9), ("tiles", "c8b79a", 0.9), ("checker", "d9d4c8", 1.0), ("marble", "e2dfd8", 1.6),
    ("tiles", "8f9aa3", 0.9), ("terrazzo", "d7d2c8", 1.0),
)  # fmt: skip
FRAME_COLORS = ("f2efe8", "e8e2d0", "ffffff", "5b3a24", "8a5a34")
DOOR_COLORS = ("f2efe8", "8a5a34", "a9743f", "5b3a24", "dfe6e2", "4a5a52", "7f8f9f")


class Shell(NamedTuple):
    """A room without furniture: its parts, its light, and what must stay free for door, windows and light."""

    parts: tuple[Part, ...]
    light: Light
    keep_free: tuple[Block, ...]


class _Panel(NamedTuple):
    """A rectangle on a wall: which wall, its middle along the wall, its width, its lowest and highest point."""

    wall: int
    along: float
    width: float
    low: float
    high: float


def _length(room_size: Vec3, wall: int) -> float:
    return room_size[wall % 2]


def _on_wall(room_size: Vec3, wall: int, along: float, z: float, half: Vec3, material: Material) -> Part:
    """A box whose back is flat on a wall; half is (along the wall, off the wall, up)."""
    x, y, _ = room_size
    off = half[1]
    center = ((along, off, z), (off, along, z), (along, y - off, z), (x - off, along, z))[wall]
    size = half if wall % 2 == 0 else (half[1], half[0], half[2])
    return Part("box", center, size, material=material)


def _envelope(room_size: Vec3, rng: Generator, is_wet: bool) -> list[Part]:
    """Floor, ceiling and four walls."""
    x, y, z = (side / 2 for side in room_size)
    t = THICK_M / 2
    floors = WET_FLOORS if is_wet else DRY_FLOORS
    texture, code, scale = floors[int(rng.integers(len(floors)))]
    floor = Material(rgb(code), texture, scale, 0.1)
    ceiling = solid("f4f2ec", 0.0)
    paint = _wall_paint(rng, is_wet)
    accent = paint if rng.uniform() < 0.6 else _wall_paint(rng, is_wet)
    looks = [paint] * 4
    looks[int(rng.integers(4))] = accent
    parts = [
        Part("box", (x, y, -t), (x + 2 * t, y + 2 * t, t), material=floor),
        Part("box", (x, y, 2 * z + t), (x + 2 * t, y + 2 * t, t), material=ceiling),
    ]
    for wall in range(4):
        half = (x + 2 * t, t, z) if wall % 2 == 0 else (t, y, z)
        center = ((x, -t, z), (-t, y, z), (x, 2 * y + t, z), (2 * x + t, y, z))[wall]
        parts.append(Part("box", center, half, material=looks[wall]))
    return parts


def _wall_paint(rng: Generator, is_wet: bool) -> Material:
    texture = pick(rng, ("tiles", "tiles", "plaster") if is_wet else (*WALL_TEXTURES, "brick"))
    code = pick(rng, ("a45a40", "9c8b7a", "c9bfb0") if texture == "brick" else WALL_COLORS)
    return Material(rgb(code), texture, {"brick": 1.0, "tiles": 0.8, "plaster": 1.2}.get(texture, 0.9), 0.0)


def _skirting(room_size: Vec3, material: Material) -> list[Part]:
    half = SKIRTING_HEIGHT_M / 2
    return [
        _on_wall(
            room_size, w, _length(room_size, w) / 2, half, (_length(room_size, w) / 2, SKIRTING_M / 2, half), material
        )
        for w in range(4)
    ]


def _frame(room_size: Vec3, panel: _Panel, bar: float, has_sill: bool, material: Material) -> list[Part]:
    """Bars round a panel."""
    side, mid, half_z = panel.width / 2 + bar / 2, (panel.low + panel.high) / 2, (panel.high - panel.low) / 2
    wide = panel.width / 2 + bar
    uprights = [(panel.along + s * side, mid, (bar / 2, 0.02, half_z)) for s in (-1, 1)]
    across = [(panel.along, panel.high + bar / 2, (wide, 0.02, bar / 2))]
    if has_sill:
        across.append((panel.along, panel.low - bar / 2, (wide + 0.03, 0.035, bar / 2)))
    return [_on_wall(room_size, panel.wall, a, z, half, material) for a, z, half in uprights + across]


def _door(room_size: Vec3, panel: _Panel, rng: Generator, frame: Material) -> list[Part]:
    """A leaf with two fields, a frame and a handle."""
    code = pick(rng, DOOR_COLORS)
    leaf = wood(rng, code) if code in ("8a5a34", "a9743f", "5b3a24") else solid(code, 0.25)
    hand = rng.choice([-1.0, 1.0])
    mid, half_w = panel.high / 2, panel.width / 2
    parts = [_on_wall(room_size, panel.wall, panel.along, mid, (half_w, 0.012, mid), leaf)]
    for z, half_z in ((0.55, 0.38), (1.48, 0.42)):
        parts.append(_on_wall(room_size, panel.wall, panel.along, z, (half_w - 0.13, 0.016, half_z), leaf))
    lever = (panel.along + hand * (half_w - 0.1), 1.02, (0.06, 0.03, 0.011))
    return [*parts, _on_wall(room_size, panel.wall, *lever, metal(rng)), *_frame(room_size, panel, 0.07, False, frame)]


def _window(room_size: Vec3, panel: _Panel, frame: Material) -> list[Part]:
    """Sky above a line of trees, behind a cross."""
    line = panel.low + 0.35 * (panel.high - panel.low)
    views = (
        (panel.low, line, Material(rgb("5f8a4a"), "leaves", 0.6, 0.0, 0.45)),
        (line, panel.high, Material(rgb("bcd9f2"), "", 1.0, 0.0, 0.95)),
    )
    parts = [
        _on_wall(room_size, panel.wall, panel.along, (a + b) / 2, (panel.width / 2, 0.004, (b - a) / 2), look)
        for a, b, look in views
    ]
    mid, half_z = (panel.low + panel.high) / 2, (panel.high - panel.low) / 2
    parts.append(_on_wall(room_size, panel.wall, panel.along, mid, (0.02, 0.015, half_z), frame))
    return [*parts, *_frame(room_size, panel, 0.06, True, frame)]


def _free_along(room_size: Vec3, wall: int, width: float, rng: Generator) -> float:
    edge = width / 2 + 0.25
    return float(rng.uniform(edge, _length(room_size, wall) - edge))


def _keep_free(room_size: Vec3, panel: _Panel, room: float) -> Block:
    x, y, _ = room_size
    along, off = panel.along, room / 2
    center = ((along, off), (off, along), (along, y - off), (x - off, along))[panel.wall]
    # The frame and the sill stick out round the panel.
    half = (panel.width / 2 + 0.13, off)
    return Block(center, half, (max(panel.low - 0.08, 0.0), panel.high + 0.08), WALL_YAW[panel.wall])


def _ceiling_light(room_size: Vec3, rng: Generator) -> tuple[Part, Light]:
    """A round lamp set into the ceiling near its middle, and the light just below it."""
    x, y = (side * float(rng.uniform(0.38, 0.62)) for side in room_size[:2])
    glass = Material((1.0, 0.97, 0.9), "", 1.0, 0.0, 1.0)
    lamp = Part("cylinder", (x, y, room_size[2] - 0.015), (LIGHT_RADIUS_M, LIGHT_RADIUS_M, 0.015), material=glass)
    strength = 3.2 + 0.09 * math.prod(room_size[:2])
    return lamp, Light((x, y, room_size[2] - 0.05), LIGHT_RADIUS_M, strength * float(rng.uniform(0.9, 1.15)))


def build_shell(room_size: Vec3, rng: Generator, is_wet: bool) -> Shell:
    """Draw a room without furniture.

    Args:
        room_size: (x, y, z) of the inside, metres.
        rng: every choice comes from it.
        is_wet: kitchens and bathrooms have tiles.
    """
    walls = rng.permutation(4)
    frame = solid(pick(rng, FRAME_COLORS), 0.2)
    door = _Panel(int(walls[0]), 0.0, float(rng.uniform(0.82, 0.95)), 0.0, float(rng.uniform(1.98, 2.08)))
    door = door._replace(along=_free_along(room_size, door.wall, door.width, rng))
    parts = [*_envelope(room_size, rng, is_wet), *_skirting(room_size, frame), *_door(room_size, door, rng, frame)]
    keep_free = [_keep_free(room_size, door, DOOR_ROOM_M)]
    for wall in walls[1 : 1 + int(rng.integers(1, 3))]:
        low = float(rng.uniform(0.85, 1.0))
        window = _Panel(int(wall), 0.0, float(rng.uniform(0.9, 1.6)), low, float(rng.uniform(1.95, 2.15)))
        window = window._replace(along=_free_along(room_size, int(wall), window.width, rng))
        parts += _window(room_size, window, frame)
        keep_free.append(_keep_free(room_size, window, WINDOW_ROOM_M))
    lamp, light = _ceiling_light(room_size, rng)
    x, y, z = light.position
    keep_free.append(Block((x, y), (2 * LIGHT_RADIUS_M, 2 * LIGHT_RADIUS_M), (z - 0.2, room_size[2])))
    return Shell((*parts, lamp), light, tuple(keep_free))
