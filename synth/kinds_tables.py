"""Tables, beds' neighbours and cupboards: furniture with a top."""

from __future__ import annotations

import math

from numpy.random import Generator

from synth.kinds_base import Built, ball, box, legs, post, rod, settle, top, turned
from synth.palette import CLOTHS, cloth, metal, pick, solid, upholstery, wood, wood_or_paint
from synth.scene import Material, Part


def dining_table(rng: Generator) -> Built:
    """A rectangular top on four legs, or a round one on a pillar."""
    u, frame = rng.uniform, wood(rng)
    height = u(0.72, 0.77)
    if u() < 0.3:
        r = u(0.48, 0.6)
        parts = [post(0, 0, height - 0.035, r, 0.035, frame), post(0, 0, 0.03, 0.05, height - 0.06, frame)]
        parts += [post(0, 0, 0, r * 0.55, 0.035, frame), post(0, 0, 0.034, r * 0.3, 0.025, frame)]
        return settle(parts, [top(0, 0, height, 1.35 * r, 1.35 * r)])
    w, d, thick = u(1.2, 1.7), u(0.75, 0.9), u(0.05, 0.075)
    parts = [box(0, 0, height - 0.04, w, d, 0.04, frame)]
    parts += legs(w / 2 - 0.07, d / 2 - 0.07, height - 0.03, thick, frame, bool(u() < 0.35))
    parts.append(box(0, 0, height - 0.12, w - 0.15, d - 0.15, 0.085, frame))
    return settle(parts, [top(0, 0, height, w, d)])


def coffee_table(rng: Generator) -> Built:
    """A low table with a shelf below the top."""
    u, frame = rng.uniform, wood_or_paint(rng)
    w, d, height = u(0.85, 1.15), u(0.48, 0.62), u(0.38, 0.46)
    plate = frame if u() < 0.6 else Material((0.75, 0.73, 0.7), "marble", 0.8, 0.5)
    parts = [box(0, 0, height - 0.035, w, d, 0.035, plate)]
    parts += legs(w / 2 - 0.05, d / 2 - 0.05, height - 0.02, 0.045, frame)
    if u() < 0.6:
        parts.append(box(0, 0, 0.12, w - 0.09, d - 0.09, 0.02, frame))
    return settle(parts, [top(0, 0, height, w, d)])


def desk(rng: Generator) -> Built:
    """A writing table with a block of drawers on one side."""
    u, frame, knob = rng.uniform, wood_or_paint(rng), metal(rng)
    w, d, height = u(1.15, 1.5), u(0.58, 0.7), u(0.72, 0.76)
    side = 1 if u() < 0.5 else -1
    parts = [box(0, 0, height - 0.03, w, d, 0.03, frame)]
    block, x = 0.38, side * (w / 2 - 0.21)
    parts.append(box(x, -0.01, 0.05, block, d - 0.06, height - 0.075, frame))
    parts.append(box(x, -0.02, 0, block - 0.06, d - 0.12, 0.06, frame))
    parts += drawers(x, (d - 0.08) / 2, 0.07, block - 0.02, height - 0.13, 3, frame, knob)
    parts.append(box(-side * (w / 2 - 0.04), 0, 0, 0.04, d - 0.04, height - 0.02, frame))
    parts.append(box(-side * block / 2, -d / 2 + 0.05, height - 0.3, w - block - 0.06, 0.02, 0.275, frame))
    return settle(parts, [top(0, 0, height, w, d)])


def drawers(
    x: float,
    y: float,
    z: float,
    w: float,
    tall: float,
    num: int,
    face: Material,
    knob: Material,
    columns: int = 1,
) -> list[Part]:
    """Drawer fronts proud of a carcass whose front is at y, each with a handle."""
    each, wide = tall / num, w / columns
    r, g, b = (min(1.0, 1.12 * c) for c in face.color)
    front = Material((r, g, b), face.texture, face.texture_scale_m, face.gloss)
    parts = []
    for col in range(columns):
        cx = x + (col + 0.5) * wide - w / 2
        for i in range(num):
            parts.append(box(cx, y + 0.004, z + i * each + 0.006, wide - 0.014, 0.03, each - 0.012, front))
            parts.append(box(cx, y + 0.03, z + (i + 0.55) * each, min(0.16, wide * 0.4), 0.025, 0.016, knob))
    return parts


def nightstand(rng: Generator) -> Built:
    """A small cupboard with two drawers on short legs."""
    u, frame, knob = rng.uniform, wood_or_paint(rng), metal(rng)
    w, d, height = u(0.4, 0.52), u(0.36, 0.44), u(0.48, 0.6)
    foot = u(0.08, 0.16)
    parts = [
        box(0, 0, foot, w, d, height - foot - 0.018, frame),
        box(0, 0.005, height - 0.02, w + 0.03, d + 0.03, 0.02, frame),
    ]
    parts += legs(w / 2 - 0.03, d / 2 - 0.03, foot + 0.01, 0.04, frame)
    parts += drawers(0, d / 2 - 0.01, foot + 0.01, w - 0.02, height - foot - 0.045, 2, frame, knob)
    return settle(parts, [top(0, 0, height, w, d)])


def chest_of_drawers(rng: Generator) -> Built:
    """A wide chest, three to four rows of drawers in two columns."""
    u, frame, knob = rng.uniform, wood_or_paint(rng), metal(rng)
    w, d, height, rows = u(0.85, 1.2), u(0.42, 0.5), u(0.78, 1.0), int(rng.integers(3, 5))
    parts = [
        box(0, 0, 0.06, w, d, height - 0.08, frame),
        box(0, 0.005, height - 0.025, w + 0.03, d + 0.03, 0.025, frame),
    ]
    parts.append(box(0, -0.01, 0, w - 0.05, d - 0.06, 0.07, frame))
    parts += drawers(0, d / 2 - 0.01, 0.08, w - 0.03, height - 0.13, rows, frame, knob, 2)
    return settle(parts, [top(0, 0, height, w, d)])


def wardrobe(rng: Generator) -> Built:
    """A tall cupboard with two or three doors and long handles."""
    u, frame, knob, doors = rng.uniform, wood_or_paint(rng), metal(rng), int(rng.integers(2, 4))
    w, d, height = u(0.45, 0.55) * doors, u(0.54, 0.62), u(1.85, 2.1)
    parts = [
        box(0, 0, 0.06, w, d, height - 0.1, frame),
        box(0, 0.01, height - 0.045, w + 0.05, d + 0.05, 0.045, frame),
    ]
    parts.append(box(0, -0.01, 0, w - 0.04, d - 0.05, 0.07, frame))
    each, y = w / doors, d / 2
    for i in range(doors):
        x = (i + 0.5) * each - w / 2
        parts.append(box(x, y, 0.09, each - 0.012, 0.03, height - 0.15, frame))
        parts.append(box(x, y + 0.012, 0.2, each - 0.16, 0.022, height * 0.4, frame))
        parts.append(box(x, y + 0.012, height * 0.4 + 0.3, each - 0.16, 0.022, height * 0.6 - 0.46, frame))
        hinge = 1 if i % 2 == 0 else -1
        parts.append(box(x + hinge * (each / 2 - 0.05), y + 0.02, height * 0.42, 0.018, 0.045, 0.2, knob))
    return settle(parts)


def folding_screen(rng: Generator) -> Built:
    """Three or four tall panels of cloth in wooden frames, standing in a zigzag."""
    u, frame, panel = rng.uniform, wood_or_paint(rng), upholstery(rng)
    w, height, bend, count = u(0.42, 0.52), u(1.6, 1.85), u(18, 28), int(rng.integers(3, 5))
    parts = []
    for i in range(count):
        sign = 1 if i % 2 == 0 else -1
        x = i * w * math.cos(math.radians(bend))  # in a zigzag about y = 0 every panel's middle lies on it
        # Every second panel is a little lower, so that no two tops lie in one plane.
        top_z = height - 0.004 * (i % 2)
        parts.append(turned(box(x, 0, 0, w, 0.026, top_z, frame), "z", sign * bend))
        parts.append(turned(box(x, 0, 0.09, w - 0.08, 0.036, top_z - 0.16, panel), "z", sign * bend))
    return settle(parts)


def bookshelf(rng: Generator) -> Built:
    """Open shelves filled with books and a few ornaments."""
    u, frame = rng.uniform, wood_or_paint(rng)
    w, d, height, num = u(0.7, 1.0), u(0.28, 0.34), u(1.5, 2.0), int(rng.integers(4, 6))
    t, gap = 0.025, (height - 0.08) / num
    parts = [box(s * (w - t) / 2, 0, 0, t, d, height, frame) for s in (-1, 1)]
    parts.append(box(0, -d / 2 + 0.008, 0.03, w - 0.036, 0.012, height - 0.04, frame))
    for i in range(num + 1):
        parts.append(box(0, 0.002, 0.055 + i * gap - (0.003 if i == num else 0), w - 0.03, d - 0.006, t, frame))
    for i in range(num):
        parts += row_of_books(rng, w - 0.08, 0.055 + t + i * gap, gap - t, d)
    return settle(parts)


def row_of_books(rng: Generator, w: float, z: float, room: float, d: float) -> list[Part]:
    """Books side by side on a shelf, about three quarters full; some shelves end in a vase or a box."""
    u, parts, x = rng.uniform, [], -w / 2
    fill = w * u(0.45, 1.0)
    while x < -w / 2 + fill - 0.06:
        thick, tall, deep = u(0.022, 0.055), min(room * u(0.62, 0.9), u(0.2, 0.3)), d * u(0.6, 0.8)
        cover = solid(pick(rng, CLOTHS + ("e9e4d6", "27384f", "8c1f28", "d7a534", "3f6b4f")), 0.2)
        parts.append(box(x + thick / 2, d / 2 - 0.03 - deep / 2, z, thick - 0.002, deep, tall, cover))
        x += thick
    if w / 2 - x > 0.2:
        parts += _ornament(rng, (x + w / 2) / 2 + 0.02, z, min(room * 0.35, 0.09))
    return parts


def _ornament(rng: Generator, x: float, z: float, r: float) -> list[Part]:
    if rng.uniform() < 0.5:
        return [ball(x, 0.02, z + r, r, solid(pick(rng, CLOTHS), 0.5))]
    return [box(x, 0.02, z, 1.7 * r, 0.14, 1.2 * r, cloth(rng))]


def side_table(rng: Generator) -> Built:
    """A small round table on three splayed legs."""
    u, frame, leg = rng.uniform, wood(rng), metal(rng)
    r, height = u(0.22, 0.3), u(0.48, 0.6)
    parts = [post(0, 0, height - 0.025, r, 0.025, frame)]
    for x, y in ((0.0, 1.0), (0.866, -0.5), (-0.866, -0.5)):
        parts.append(rod((x * r * 0.95, y * r * 0.95, 0.0), (x * r * 0.4, y * r * 0.4, height - 0.01), 0.014, leg))
    return settle(parts, [top(0, 0, height, 1.35 * r, 1.35 * r)])
