"""Things to sit and lie on."""

from __future__ import annotations

import math

from numpy.random import Generator

from synth.kinds_base import Built, ball, box, legs, post, rod, settle, top, turned
from synth.palette import CLOTHS, cloth, metal, upholstery, wood, wood_or_paint
from synth.scene import Material, Part


def chair(rng: Generator) -> Built:
    """Four legs, a seat, a back of slats or of one panel, sometimes a cushion."""
    u = rng.uniform
    w, d, seat, tall = u(0.4, 0.47), u(0.4, 0.47), u(0.43, 0.48), u(0.82, 0.98)
    frame, thick = wood_or_paint(rng), u(0.032, 0.045)
    dx, dy = w / 2 - thick * 0.6, d / 2 - thick * 0.6
    parts = legs(dx, dy, seat - 0.01, thick, frame, bool(u() < 0.4))
    parts.append(box(0, 0, seat - 0.035, w, d, 0.035, frame))
    parts += [box(x, -dy, seat - 0.01, thick * 0.9, thick * 0.8, tall - seat, frame) for x in (-dx, dx)]
    parts += _chair_back(rng, dx, dy, seat, tall, frame)
    if u() < 0.6:
        parts.append(ball(0, 0.01, seat + 0.005, (w * 0.46, d * 0.44, 0.03), cloth(rng)))
    return settle(parts)


def _chair_back(rng: Generator, dx: float, dy: float, seat: float, tall: float, frame: Material) -> list[Part]:
    style, top_bar = rng.integers(3), box(0, -dy, tall - 0.07, 2 * dx + 0.02, 0.022, 0.075, frame)
    if style == 0:
        bars = [box(0, -dy, seat + 0.12 + 0.11 * i, 2 * dx, 0.018, 0.05, frame) for i in range(2)]
    elif style == 1:
        bars = [box(x * dx * 0.5, -dy, seat - 0.01, 0.022, 0.014, tall - seat - 0.03, frame) for x in (-1, 0, 1)]
    else:
        bars = [box(0, -dy, seat + 0.1, 2 * dx, 0.016, tall - seat - 0.16, cloth(rng))]
    return [*bars, top_bar]


def stool(rng: Generator) -> Built:
    """A round seat on four splayed legs with a foot rest."""
    u = rng.uniform
    r, height, frame = u(0.16, 0.2), u(0.45, 0.7), wood_or_paint(rng)
    seat = wood(rng) if u() < 0.5 else upholstery(rng)
    parts = [post(0, 0, height - 0.045, r, 0.045, seat)]
    foot, head = r * 1.05, r * 0.65
    for sx in (-1, 1):
        for sy in (-1, 1):
            parts.append(rod((sx * foot, sy * foot, 0.0), (sx * head, sy * head, height - 0.02), 0.016, frame))
    low = height * 0.32
    reach = foot + (head - foot) * low / (height - 0.02)
    for s in (-1, 1):
        parts.append(rod((-reach, s * reach, low), (reach, s * reach, low), 0.01, frame))
        parts.append(rod((s * reach, -reach, low + 0.05), (s * reach, reach, low + 0.05), 0.01, frame))
    return settle(parts)


def office_chair(rng: Generator) -> Built:
    """A seat on a gas spring with a five-armed base on castors."""
    u = rng.uniform
    black, seat_cloth = metal(rng, "2a2b2e"), cloth(rng, ("2b2b30", "2f4a6d", "7a2e2e", "53663f", "4a4a4f"))
    reach, seat = u(0.28, 0.32), u(0.45, 0.5)
    parts = [post(0, 0, 0.09, 0.045, 0.05, black), post(0, 0, 0.12, 0.025, seat - 0.14, metal(rng, "8d9196"))]
    parts += _castors(reach, black)
    w = u(0.46, 0.52)
    parts.append(box(0, 0, seat - 0.045, w * 0.8, w * 0.8, 0.03, black))
    parts.append(box(0, 0.01, seat - 0.02, w, w * 0.96, 0.075, seat_cloth))
    parts.append(rod((0, -w * 0.36, seat - 0.03), (0, -w * 0.5, seat + 0.2), 0.022, black))
    back_tall = u(0.45, 0.6)
    parts.append(turned(box(0, -w * 0.5, seat + 0.13, w * 0.92, 0.07, back_tall, seat_cloth), "x", 6))
    for s in (-1, 1):
        parts.append(box(s * w * 0.53, -0.02, seat + 0.2, 0.06, 0.26, 0.03, black))
        parts.append(rod((s * w * 0.53, -0.02, seat + 0.21), (s * w * 0.4, -0.02, seat - 0.02), 0.014, black))
    return settle(parts)


def _castors(reach: float, black: Material) -> list[Part]:
    parts = []
    for i in range(5):
        angle = math.radians(90 + 72 * i)
        x, y = reach * math.cos(angle), reach * math.sin(angle)
        parts.append(rod((0, 0, 0.115), (x, y, 0.075), 0.02, black))
        parts.append(ball(x, y, 0.034, (0.026, 0.026, 0.034), black))
        parts.append(rod((x, y, 0.04), (x, y, 0.08), 0.01, black))
    return parts


def _seat_block(rng: Generator, w: float, places: int, fabric: Material) -> list[Part]:
    """Base, back, arms and cushions that chairs and sofas share; seats are `places` wide."""
    u = rng.uniform
    d, arm, seat = u(0.82, 0.95), u(0.14, 0.2), u(0.40, 0.44)
    back, arm_tall, foot = u(0.78, 0.9), u(0.58, 0.66), u(0.05, 0.12)
    inner, wooden = w - 2 * arm, wood(rng)
    parts = [box(0, 0, foot, w - 0.02, d - 0.02, seat - 0.14 - foot, fabric)]
    parts += [box(s * (w / 2 - 0.07), t * (d / 2 - 0.07), 0, 0.05, 0.05, foot + 0.01, wooden)
              for s in (-1, 1) for t in (-1, 1)]  # fmt: skip
    parts.append(box(0, -d / 2 + 0.115, foot + 0.005, inner + 0.02, 0.2, back - foot - 0.04, fabric))
    parts += _arms(bool(u() < 0.5), w, d, arm, arm_tall, foot, fabric)
    each = inner / places
    for i in range(places):
        x = (i + 0.5) * each - inner / 2
        parts.append(box(x, 0.09, seat - 0.15, each - 0.012, d - 0.22, 0.15, fabric))
        parts.append(ball(x, 0.1, seat - 0.005, (each * 0.47, (d - 0.26) / 2, 0.03), fabric))
        parts.append(turned(box(x, -d / 2 + 0.27, seat - 0.01, each - 0.02, 0.15, back - seat, fabric), "x", 9))
    return parts


def _arms(is_round: bool, w: float, d: float, arm: float, tall: float, foot: float, fabric: Material) -> list[Part]:
    parts = []
    for s in (-1, 1):
        x = s * (w - arm) / 2
        if is_round:
            parts.append(box(x, 0, foot + 0.002, arm - 0.03, d - 0.004, tall - foot - arm / 2, fabric))
            parts.append(rod((x, -d / 2, tall - arm / 2), (x, d / 2, tall - arm / 2), arm / 2, fabric))
        else:
            parts.append(box(x, 0, foot + 0.002, arm, d, tall - foot, fabric))
    return parts


def _pillow(rng: Generator, x: float, y: float, z: float, tilt: float) -> list[Part]:
    """A square cushion that bulges, leaning back."""
    size = rng.uniform(0.18, 0.21)
    soft = Material(cloth(rng, CLOTHS).color, ("plaid", "stripes", "knit")[int(rng.integers(3))], 0.25)
    square, bulge = box(x, y, z - size, 2 * size, 0.06, 2 * size, soft), ball(x, y, z, (size, 0.075, size), soft)
    return [turned(turned(part, "x", 20), "y", tilt) for part in (square, bulge)]


def armchair(rng: Generator) -> Built:
    """A sofa for one."""
    fabric = upholstery(rng)
    parts = _seat_block(rng, float(rng.uniform(0.85, 1.0)), 1, fabric)
    if rng.uniform() < 0.5:
        parts += _pillow(rng, 0.0, -0.02, 0.61, 8)
    return settle(parts)


def sofa(rng: Generator) -> Built:
    """Two or three seats between arms, with loose pillows."""
    u, places = rng.uniform, int(rng.integers(2, 4))
    fabric, w = upholstery(rng), u(0.68, 0.78) * places + 0.3
    parts = _seat_block(rng, w, places, fabric)
    for s in (-1, 1):
        if u() < 0.75:
            parts += _pillow(rng, s * (w / 2 - 0.42), -0.02, 0.61, s * u(5, 20))
    return settle(parts)


def bed(rng: Generator) -> Built:
    """Frame, mattress, blanket, pillows; the headboard is at the back."""
    u, is_double = rng.uniform, rng.uniform() < 0.5
    w, d, frame = (u(1.45, 1.7) if is_double else u(0.92, 1.05)), u(1.98, 2.1), wood_or_paint(rng)
    tall, sheet = u(0.48, 0.56), Material((0.86, 0.85, 0.82), "fabric", 0.25)
    blanket = cloth(rng) if u() < 0.5 else Material(cloth(rng).color, "plaid", 0.5)
    parts = [box(0, 0, 0.12, w, d, 0.18, frame), box(0, 0, 0.29, w - 0.06, d - 0.06, tall - 0.29, sheet)]
    parts += legs(w / 2 - 0.06, d / 2 - 0.06, 0.13, 0.07, frame)
    board = u(0.85, 1.15)
    parts.append(box(0, -d / 2 - 0.02, 0.05, w + 0.04, 0.05, board - 0.05, frame))
    if u() < 0.5:
        parts.append(box(0, d / 2 + 0.01, 0.05, w + 0.04, 0.04, 0.42, frame))
    cover = d * u(0.58, 0.68)
    parts.append(box(0, d / 2 - cover / 2 - 0.022, 0.31, w + 0.012, cover, tall + 0.03 - 0.31, blanket))
    parts.append(box(0, d / 2 - cover - 0.06, 0.33, w + 0.006, 0.22, tall + 0.042 - 0.33, sheet))
    for x in (-w / 4, w / 4) if is_double else (0.0,):
        parts.append(turned(ball(x, -d / 2 + 0.3, tall + 0.07, (0.32, 0.2, 0.085), sheet), "x", 12))
    return settle(parts)


def bench(rng: Generator) -> Built:
    """A long low seat of planks."""
    u = rng.uniform
    w, d, height, plank = u(0.9, 1.3), u(0.3, 0.38), u(0.42, 0.47), wood(rng)
    strip = d / 3
    parts = [box(0, (i - 1) * strip, height - 0.03, w, strip - 0.012, 0.03, plank) for i in range(3)]
    for s in (-1, 1):
        x = s * (w / 2 - 0.12)
        parts.append(box(x, 0, height - 0.09, 0.05, d - 0.03, 0.062, plank))
        for t in (-1, 1):
            foot, head = (x + s * 0.05, t * (d / 2 - 0.04), 0.0), (x, t * (d / 2 - 0.07), height - 0.06)
            parts.append(rod(foot, head, 0.02, plank))
        parts.append(box(x + s * 0.033, 0, 0.142, 0.03, d - 0.09, 0.035, plank))
    parts.append(box(0, 0, 0.14, w - 0.17, 0.04, 0.04, plank))
    return settle(parts, [top(0, 0, height, w, d)])


def ottoman(rng: Generator) -> Built:
    """An upholstered footstool, round or square, on short feet."""
    u, fabric = rng.uniform, upholstery(rng)
    r, tall, foot = u(0.25, 0.32), u(0.36, 0.43), wood(rng)
    parts = legs(r * 0.6, r * 0.6, 0.07, 0.04, foot)
    if u() < 0.5:
        parts += [post(0, 0, 0.06, r, tall - 0.1, fabric), ball(0, 0, tall - 0.045, (r, r, 0.05), fabric)]
    else:
        parts.append(box(0, 0, 0.06, 2 * r, 1.7 * r, tall - 0.1, fabric))
        parts.append(box(0, 0, tall - 0.05, 2.04 * r, 1.74 * r, 0.05, fabric))
    return settle(parts)
