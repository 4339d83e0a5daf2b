"""Screens, lamps and instruments."""

from __future__ import annotations

import math

from numpy.random import Generator

from synth.kinds_base import Built, ball, box, legs, post, ring, rod, settle, turned
from synth.palette import bright, metal, pick, picture, rgb, solid, wood, wood_or_paint
from synth.scene import Material, Part

BLACK = solid("1b1c20", 0.5)
SILVER = Material(rgb("b9bcc0"), "brushed", 0.3, 0.5)


def _screen(rng: Generator, x: float, y: float, z: float, w: float, tall: float, glow: float) -> list[Part]:
    """A switched-on panel in a black bezel, facing +y, its bottom at z."""
    shown = ("screen", "hubble", "chelsea", "coffee", "rocket")[int(rng.integers(5))]
    frame = box(x, y, z, w, 0.035, tall, BLACK)
    return [frame, box(x, y + 0.006, z + 0.02, w - 0.025, 0.028, tall - 0.035, picture(shown, 0.3, glow))]


def television(rng: Generator) -> Built:
    """A large screen on a low cabinet that belongs to it."""
    u, frame = rng.uniform, wood_or_paint(rng)
    w = u(0.95, 1.3)
    base_w, d, base = w * u(1.02, 1.2), u(0.36, 0.44), u(0.42, 0.55)
    parts = [
        box(0, 0, 0.06, base_w, d, base - 0.06, frame),
        *legs(base_w / 2 - 0.06, d / 2 - 0.05, 0.07, 0.05, frame),
    ]
    for s in (-1, 0, 1):
        parts.append(box(s * base_w / 3, d / 2 - 0.01, 0.08, base_w / 3 - 0.02, 0.025, base - 0.11, frame))
        parts.append(box(s * base_w / 3, d / 2 + 0.005, base * 0.75, 0.12, 0.025, 0.016, SILVER))
    parts += [
        box(0, -0.04, base - 0.001, w * 0.4, 0.2, 0.02, BLACK),
        box(0, -0.06, base + 0.01, 0.08, 0.04, 0.1, BLACK),
    ]
    return settle(parts + _screen(rng, 0, -0.05, base + 0.06, w, w * 0.57, 0.35))


def monitor(rng: Generator) -> Built:
    """A desk screen on a stand."""
    u = rng.uniform
    w = u(0.5, 0.62)
    foot = BLACK if u() < 0.5 else SILVER
    parts = [
        box(0, -0.02, 0, 0.24, 0.18, 0.014, foot),
        turned(box(0, -0.06, 0.008, 0.05, 0.025, 0.26, foot), "x", -4),
    ]
    return settle(parts + _screen(rng, 0, -0.035, 0.1, w, w * 0.58, 0.3))


def laptop(rng: Generator) -> Built:
    """An open laptop: keys, touch pad, lit screen leaning back."""
    u = rng.uniform
    w, shell = u(0.32, 0.38), (SILVER, BLACK, metal(rng))[int(rng.integers(3))]
    d = w * 0.68
    parts = [
        box(0, 0, 0, w, d, 0.018, shell),
        box(0, d * 0.32, 0.005, w * 0.34, d * 0.26, 0.0145, solid("6d7076", 0.3)),
    ]
    parts.append(box(0, -d * 0.12, 0.004, w * 0.9, d * 0.5, 0.016, picture("keyboard")))
    lean, tall = math.radians(u(12, 24)), d
    y, z = -d / 2 - math.sin(lean) * tall / 2, 0.012 + math.cos(lean) * tall / 2
    panel = turned(Part("box", (0, y, z), (w / 2, 0.005, tall / 2), material=shell), "x", math.degrees(lean))
    out = 0.0035
    front = (0, y + out * math.cos(lean), z + out * math.sin(lean))
    lit = turned(
        Part("box", front, (w / 2 - 0.01, 0.003, tall / 2 - 0.012), material=picture("screen", 0.3, 0.4)),
        "x", math.degrees(lean),
    )  # fmt: skip
    return settle([*parts, panel, lit])


def speaker(rng: Generator) -> Built:
    """A tall loudspeaker with two or three round drivers."""
    u, frame = rng.uniform, wood(rng) if rng.uniform() < 0.6 else BLACK
    w, d, tall = u(0.2, 0.27), u(0.26, 0.34), u(0.75, 1.05)
    y = d / 2
    parts = [box(0, 0, 0.03, w, d, tall, frame), box(0, 0, 0, w + 0.06, d + 0.04, 0.035, BLACK)]
    parts.append(box(0, y - 0.006, 0.05, w - 0.02, 0.02, tall - 0.04, solid("2a2b2e", 0.1)))
    for z, r in ((0.22, 0.4), (0.5, 0.4), (0.78, 0.22)):
        parts.append(rod((0, y, z * tall + 0.05), (0, y + 0.022, z * tall + 0.05), w * r * 1.1, SILVER))
        parts.append(rod((0, y, z * tall + 0.05), (0, y + 0.026, z * tall + 0.05), w * r, solid("111114", 0.1)))
        parts.append(ball(0, y + 0.02, z * tall + 0.05, (w * r * 0.4, 0.03, w * r * 0.4), SILVER))
    return settle(parts)


def _shade(rng: Generator, z: float, r: float, tall: float) -> list[Part]:
    """A lit drum or cone around a bulb, its bottom at z, with spokes that hold it."""
    tint = pick(rng, ("f6e3bd", "f4efe2", "e8c48a", "d9b6a0", "c9d6df"))
    look = Material(rgb(tint), "fabric", 0.25, 0.0, 0.75)
    lean = (0.0, -14.0, -20.0)[int(rng.integers(3))]
    parts = ring((0, 0, z), (r, r), tall, 0.006, look, 20, lean)
    parts += [
        box(0, 0, z + tall * 0.5, 2 * r, 0.01, 0.006, SILVER),
        box(0, 0, z + tall * 0.5 + 0.001, 0.01, 2 * r, 0.004, SILVER),
    ]
    return [*parts, ball(0, 0, z + tall * 0.5, 0.045, solid("fff3d6", 0.0, 1.2))]


def floor_lamp(rng: Generator) -> Built:
    """A tall pole on a round foot under a shade."""
    u, pole = rng.uniform, metal(rng)
    tall, r, shade = u(1.45, 1.7), u(0.17, 0.23), u(0.24, 0.3)
    parts = [post(0, 0, 0, u(0.13, 0.17), 0.025, pole), post(0, 0, 0.02, 0.035, 0.03, pole)]
    parts.append(post(0, 0, 0.022, 0.013, tall - shade * 0.4 - 0.02, pole))
    return settle(parts + _shade(rng, tall - shade, r, shade))


def table_lamp(rng: Generator) -> Built:
    """A belly or a pillar under a shade."""
    u, body = rng.uniform, (bright(rng), wood(rng), metal(rng))[int(rng.integers(3))]
    tall, r, shade = u(0.42, 0.55), u(0.13, 0.16), u(0.17, 0.21)
    parts = [post(0, 0, 0, 0.075, 0.02, body), post(0, 0, 0.01, 0.01, tall - shade * 0.45, metal(rng))]
    if u() < 0.5:
        parts.append(ball(0, 0, 0.12, (0.075, 0.075, 0.1), body))
    else:
        parts += [
            post(0, 0, 0.019, 0.035, tall - shade - 0.04, body),
            ball(0, 0, tall - shade - 0.02, 0.045, body),
        ]
    return settle(parts + _shade(rng, tall - shade, r, shade))


def pendant_lamp(rng: Generator) -> Built:
    """A shade that hangs from the ceiling on a cord."""
    u = rng.uniform
    r, shade, cord = u(0.18, 0.25), u(0.16, 0.22), u(0.18, 0.35)
    rose = post(0, 0, shade + cord - 0.02, 0.05, 0.02, SILVER)
    return settle(
        [*_shade(rng, 0, r, shade), post(0, 0, shade * 0.5 + 0.003, 0.006, shade * 0.5 + cord - 0.014, BLACK), rose]
    )


def piano(rng: Generator) -> Built:
    """An upright piano with white and black keys, music stand and pedals."""
    u = rng.uniform
    case = Material(rgb(pick(rng, ("17161a", "3b2018", "6b3d22", "e9e5db"))), "wood", 0.8, 0.6)
    w, tall, key = u(1.4, 1.52), u(1.12, 1.28), 0.7
    parts = [
        box(0, -0.13, 0.02, w - 0.05, 0.34, tall - 0.04, case),
        box(0, -0.12, tall - 0.035, w + 0.02, 0.4, 0.035, case),
    ]
    for s in (-1, 1):
        parts += [box(s * (w / 2 - 0.02), -0.12, 0, 0.045, 0.38, tall - 0.025, case)]
        parts += [box(s * (w / 2 - 0.04), 0.17, 0, 0.07, 0.07, key - 0.05, case)]
        parts += [box(s * (w / 2 - 0.025), 0.12, key - 0.09, 0.051, 0.3, 0.16, case)]
    parts += [
        box(0, 0.12, key - 0.07, w - 0.04, 0.28, 0.05, case),
        box(0, 0.13, key - 0.03, w - 0.1, 0.24, 0.035, BLACK),
    ]
    parts += _keys(w - 0.12, 0.2, key)
    parts += [turned(box(0, 0.045, tall * 0.78, w * 0.55, 0.014, 0.2, case), "x", 14)]
    parts += [turned(box(s * 0.1, 0.058, tall * 0.8, 0.18, 0.006, 0.22, picture("page")), "x", 14) for s in (-1, 1)]
    parts += [box(s * 0.08, 0.07, 0.03, 0.03, 0.12, 0.012, metal(rng, "c9a45c")) for s in (-1, 0, 1)]
    return settle(parts)


def _keys(w: float, y: float, z: float) -> list[Part]:
    """Five octaves: white keys with gaps, black ones in twos and threes."""
    num, ivory = 36, solid("f5f1e6", 0.5)
    each = w / num
    at = [(i + 0.5) * each - w / 2 for i in range(num)]
    white = [box(x, y - 0.03, z - 0.005, each - 0.003, 0.15, 0.02, ivory) for x in at]
    black = [box(x + each / 2, y - 0.055, z + 0.01, each * 0.5, 0.095, 0.016, BLACK)
             for i, x in enumerate(at[:-1]) if i % 7 in (0, 1, 3, 4, 5)]  # fmt: skip
    return white + black


def guitar(rng: Generator) -> Built:
    """An acoustic guitar leaning back on a stand."""
    u, wooden, neck = (
        rng.uniform,
        wood(rng, pick(rng, ("d8a45c", "c47a2c", "8c3f1e", "e6c083"))),
        wood(rng, "3b2a20"),
    )
    k, mid = u(0.95, 1.05), 0.35
    parts = [rod((0, -0.05, mid * k), (0, 0.05, mid * k), 0.19 * k, wooden)]
    parts += [rod((0, -0.049, (mid + 0.24) * k), (0, 0.049, (mid + 0.24) * k), 0.145 * k, wooden)]
    parts += [box(0, 0, (mid + 0.08) * k, 0.24 * k, 0.096, 0.13 * k, wooden)]
    parts += [rod((0, 0.04, (mid + 0.15) * k), (0, 0.053, (mid + 0.15) * k), 0.055 * k, solid("1a1411"))]
    parts += [rod((0, 0.04, (mid + 0.15) * k), (0, 0.0515, (mid + 0.15) * k), 0.068 * k, solid("f0e2c0"))]
    parts.append(box(0, 0.052, (mid + 0.2) * k, 0.055, 0.024, 0.58 * k, neck))
    parts.append(box(0, 0.047, (mid + 0.76) * k, 0.08, 0.02, 0.16 * k, wooden))
    parts += [box(0, 0.056, (mid - 0.07) * k, 0.12, 0.02, 0.025, neck)]
    parts += [rod((s * 0.03, 0.05, (mid + z) * k), (s * 0.062, 0.05, (mid + z) * k), 0.009, SILVER)
              for s in (-1, 1) for z in (0.79, 0.83, 0.87)]  # fmt: skip
    strings = [box((i - 2.5) * 0.008, 0.066, (mid - 0.06) * k, 0.002, 0.002, 0.84 * k, SILVER) for i in range(6)]
    return settle(parts + strings + _guitar_stand(mid * k, 0.19 * k))


def _guitar_stand(mid: float, r: float) -> list[Part]:
    low = mid - r
    parts = [rod((s * 0.1, 0.09, low + 0.035), (s * 0.1, -0.09, low + 0.015), 0.012, BLACK) for s in (-1, 1)]
    parts += [rod((s * 0.1, -0.09, low + 0.015), (s * 0.2, -0.14, 0.0), 0.012, BLACK) for s in (-1, 1)]
    parts += [rod((s * 0.1, 0.02, low + 0.02), (s * 0.17, 0.16, 0.0), 0.012, BLACK) for s in (-1, 1)]
    return [*parts, rod((-0.1, -0.08, low + 0.015), (0.1, -0.08, low + 0.015), 0.012, BLACK)]


def fan(rng: Generator) -> Built:
    """A standing fan: cage of hoops, blades, pole and foot."""
    u, body, blade = rng.uniform, (BLACK, solid("eceae4", 0.4))[int(rng.integers(2))], bright(rng)
    tall, r = u(0.95, 1.2), u(0.2, 0.24)
    parts = [post(0, 0, 0, 0.19, 0.03, body), post(0, 0, 0.02, 0.018, tall - 0.05, body)]
    parts += [
        rod((0, -0.1, tall), (0, 0.06, tall), 0.055, body),
        ball(0, 0.06, tall, (0.05, 0.03, 0.05), blade),
    ]
    for i in range(3):
        wing = ball(0, 0.045, tall, (0.065, 0.012, r * 0.9), blade)
        parts.append(turned(turned(wing, "z", 14), "y", 60 * i))
    for i in range(24):
        a, b = (2 * math.pi * (i + j) / 24 for j in (0, 1))
        for y, s in ((0.0, 1.0), (0.085, 0.97)):
            ends = [(s * r * math.cos(t), y, tall + s * r * math.sin(t)) for t in (a, b)]
            parts.append(rod(ends[0], ends[1], 0.006, body))
        if i % 2 == 0:
            c, s = r * math.cos(a), r * math.sin(a)
            wires = [(0, 0.0, tall), (c, 0.0, tall + s), (0.97 * c, 0.085, tall + 0.97 * s), (0, 0.1, tall)]
            parts += [rod(p, q, 0.003, body) for p, q in zip(wires[:-1], wires[1:], strict=True)]
    return settle(parts)
