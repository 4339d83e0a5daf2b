"""Kitchen and bathroom: what stands against a wall and is plumbed or plugged in."""

from __future__ import annotations

from numpy.random import Generator

from synth.kinds_base import Built, Support, ball, bow, box, flat_disc, post, ring, rod, settle, top, turned
from synth.palette import metal, pick, rgb, solid
from synth.scene import Material

CERAMIC = Material(rgb("f3f3ee"), "speckle", 0.5, 0.8)
DARK = solid("1c1e22", 0.7)
CHROME = Material(rgb("b9bcc0"), "brushed", 0.3, 0.9)


def _enamel(rng: Generator) -> Material:
    code = pick(rng, ("f4f4f1", "f4f4f1", "b9bcc0", "2b2c30", "c9d8d2"))
    return Material(rgb(code), "brushed" if code == "b9bcc0" else "speckle", 0.4, 0.6)


def refrigerator(rng: Generator) -> Built:
    """A tall box with a small door above (or below) a large one and bar handles."""
    u, shell = rng.uniform, _enamel(rng)
    w, d, height = u(0.58, 0.72), u(0.58, 0.68), u(1.55, 1.85)
    split, x = height * (u(0.66, 0.7) if u() < 0.6 else u(0.34, 0.4)), -(w / 2 - 0.05)
    parts = [
        box(0, -0.02, 0.04, w, d - 0.06, height - 0.04, shell),
        box(0, -0.03, 0, w - 0.06, d - 0.12, 0.05, DARK),
    ]
    parts.append(box(0, d / 2 - 0.05, 0.06, w - 0.02, 0.012, height - 0.08, DARK))
    for low, high in ((0.055, split - 0.006), (split + 0.006, height - 0.004)):
        parts.append(box(0, d / 2 - 0.02, low, w, 0.05, high - low, shell))
        grip = min(0.42, (high - low) * 0.6)
        z = split - 0.05 - grip if high < split else split + 0.05
        parts.append(box(x, d / 2 + 0.035, z, 0.025, 0.02, grip, CHROME))
        parts += [box(x, d / 2 + 0.012, z + s, 0.02, 0.05, 0.025, CHROME) for s in (0.02, grip - 0.045)]
    return settle(parts)


def stove(rng: Generator) -> Built:
    """An oven with a window and a handle below four hot plates and a row of knobs."""
    u, shell = rng.uniform, _enamel(rng)
    w, d, height = u(0.58, 0.64), u(0.58, 0.62), u(0.86, 0.91)
    y = d / 2 - 0.03
    parts = [
        box(0, -0.015, 0.03, w, d - 0.03, height - 0.05, shell),
        box(0, -0.03, 0, w - 0.06, d - 0.1, 0.05, DARK),
    ]
    parts.append(box(0, 0.002, height - 0.03, w + 0.006, d, 0.03, DARK))
    parts += [
        box(0, y, 0.22, w - 0.03, 0.045, 0.48, shell),
        box(0, y + 0.005, 0.3, w - 0.14, 0.045, 0.28, DARK),
    ]
    parts.append(box(0, y, 0.06, w - 0.03, 0.04, 0.14, shell))
    parts.append(rod((-w / 2 + 0.07, y + 0.06, 0.64), (w / 2 - 0.07, y + 0.06, 0.64), 0.012, CHROME))
    parts += [box(s * (w / 2 - 0.08), y + 0.035, 0.63, 0.02, 0.06, 0.02, CHROME) for s in (-1, 1)]
    for i in range(5):
        x = (i - 2) * w * 0.18
        parts.append(rod((x, y, 0.78), (x, y + 0.035, 0.78), 0.022, metal(rng, "55585c")))
    for sx, sy, r in ((-1, -1, 0.075), (1, -1, 0.095), (-1, 1, 0.095), (1, 1, 0.075)):
        parts += [post(sx * w * 0.23, sy * d * 0.22, height - 0.005, r, 0.014, metal(rng, "3a3b3f"))]
        parts += [post(sx * w * 0.23, sy * d * 0.22, height, r * 0.55, 0.013, solid("8d3a26", 0.2))]
    parts.append(box(0, -d / 2 + 0.018, height - 0.01, w, 0.02, 0.1, shell))
    return settle(parts)


def microwave(rng: Generator) -> Built:
    """A box with a dark window, a handle and a panel of buttons."""
    u, shell = rng.uniform, _enamel(rng)
    w, d, height = u(0.44, 0.52), u(0.32, 0.38), u(0.26, 0.3)
    y = d / 2 - 0.015
    parts = [box(0, 0, 0.012, w, d - 0.03, height - 0.012, shell)]
    parts += [box(s * (w / 2 - 0.05), t * (d / 2 - 0.06), 0, 0.03, 0.03, 0.02, DARK) for s in (-1, 1) for t in (-1, 1)]
    parts.append(box(w * 0.12, y, 0.02, w * 0.72, 0.025, height - 0.03, shell))
    parts.append(box(w * 0.12, y + 0.004, 0.055, w * 0.56, 0.024, height - 0.1, DARK))
    parts.append(box(-w * 0.37, y, 0.02, w * 0.22, 0.02, height - 0.03, DARK))
    parts.append(box(-w * 0.37, y + 0.004, height - 0.075, w * 0.16, 0.018, 0.035, solid("5fe08a", 0.1, 0.8)))
    for row in range(3):
        for col in range(3):
            at = (-w * 0.37 + (col - 1) * w * 0.055, y + 0.004, 0.045 + row * 0.04)
            parts.append(box(*at, w * 0.04, 0.018, 0.024, metal(rng, "b9bcc0")))
    parts.append(rod((-w * 0.22, y + 0.035, 0.05), (-w * 0.22, y + 0.035, height - 0.05), 0.009, CHROME))
    parts += [box(-w * 0.22, y + 0.018, z, 0.014, 0.035, 0.014, CHROME) for z in (0.06, height - 0.075)]
    return settle(parts, [Support(height, (0.0, 0.0), (w / 2 - 0.03, d / 2 - 0.05))])


def washing_machine(rng: Generator) -> Built:
    """A white cube with a round glass door and a control strip."""
    u, shell = rng.uniform, Material(rgb(pick(rng, ("f4f4f1", "f4f4f1", "b4b8bd"))), "speckle", 0.4, 0.5)
    w, d, height = u(0.58, 0.62), u(0.52, 0.62), u(0.83, 0.87)
    y, z = d / 2, height * 0.46
    parts = [
        box(0, 0, 0.02, w, d, height - 0.05, shell),
        box(0, -0.002, height - 0.035, w + 0.008, d + 0.01, 0.035, shell),
    ]
    parts.append(box(0, -0.02, 0, w - 0.04, d - 0.06, 0.03, DARK))
    for r, out, look in ((0.2, 0.03, metal(rng, "8d9196")), (0.165, 0.045, shell), (0.14, 0.052, DARK)):
        parts.append(rod((0, y - 0.01, z), (0, y + out, z), r, look))
    parts.append(ball(0, y + 0.02, z, (0.12, 0.05, 0.12), solid("3c4a57", 0.9)))
    parts.append(box(0, y - 0.01, height - 0.15, w - 0.02, 0.025, 0.1, metal(rng, "d4d6d8")))
    parts.append(rod((w * 0.1, y, height - 0.1), (w * 0.1, y + 0.035, height - 0.1), 0.032, CHROME))
    parts.append(box(w * 0.32, y + 0.003, height - 0.12, 0.1, 0.02, 0.04, solid("2b6b3f", 0.2, 0.6)))
    parts.append(box(-w * 0.3, y + 0.005, height - 0.135, 0.16, 0.02, 0.07, shell))
    return settle(parts, [top(0, 0, height, w, d)])


def toilet(rng: Generator) -> Built:
    """A bowl with seat, raised lid and cistern."""
    u, seat_look = rng.uniform, CERAMIC if rng.uniform() < 0.7 else solid("3a2c22", 0.5)
    rx, ry, rim = u(0.17, 0.19), u(0.22, 0.25), u(0.37, 0.4)
    parts = [post(0, -0.04, 0, 0.12, rim * 0.6, CERAMIC, 0.19)]
    parts.append(ball(0, 0, rim * 0.62, (rx * 0.95, ry * 0.95, rim * 0.36), CERAMIC))
    parts.append(post(0, 0, rim * 0.75, rx * 0.93, rim * 0.25, CERAMIC, ry * 0.93))
    parts += [post(0, 0, rim - 0.004, rx * 0.72, 0.008, solid("9fb4bd", 0.9), ry * 0.74)]
    parts += ring((0, 0, rim - 0.01), (rx * 0.88, ry * 0.9), 0.035, 0.065, seat_look, 24)
    parts.append(box(0, -ry - 0.02, rim - 0.08, 0.26, 0.2, 0.1, CERAMIC))
    lid = post(0, -ry + 0.02, rim + 0.02 + ry - 0.024, rx, 0.024, seat_look, ry)
    parts.append(turned(lid, "x", 84))
    tank_tall = u(0.34, 0.4)
    parts.append(box(0, -ry - 0.13, rim - 0.04, 0.38, 0.18, tank_tall, CERAMIC))
    parts.append(box(0, -ry - 0.13, rim - 0.045 + tank_tall, 0.4, 0.2, 0.035, CERAMIC))
    parts.append(post(0, -ry - 0.13, rim - 0.015 + tank_tall, 0.025, 0.012, CHROME))
    return settle(parts)


def bathtub(rng: Generator) -> Built:
    """A long open tub with a rim and taps at one end."""
    u = rng.uniform
    w, d, height, wall = u(1.5, 1.7), u(0.7, 0.78), u(0.5, 0.58), 0.07
    skin = CERAMIC if u() < 0.7 else solid(pick(rng, ("b8d0cf", "e6d3b3", "d9b6b0")), 0.7)
    parts = [box(0, 0, 0, w - 0.06, d - 0.06, 0.12, skin)]
    for s in (-1, 1):
        parts.append(box(0, s * (d - wall) / 2, 0.002, w - 0.01, wall - 0.012, height - 0.02, skin))
        parts.append(box(s * (w - wall) / 2, 0, 0.004, wall - 0.012, d - 0.02, height - 0.025, skin))
        y, x, z = s * (d - wall) / 2, s * (w - wall) / 2, height - 0.035
        parts.append(rod((-w / 2 + 0.04, y, z), (w / 2 - 0.04, y, z), 0.04, skin))
        parts.append(rod((x, -d / 2 + 0.04, z), (x, d / 2 - 0.04, z), 0.038, skin))
        parts += [ball(x, t * (d - wall) / 2, z, 0.041, skin) for t in (-1, 1)]
    parts.append(turned(box(w / 2 - 0.13, 0, 0.08, 0.05, d - 2 * wall, height - 0.12, skin), "y", 14))
    x = -w / 2 + 0.035
    parts += bow(((x, 0, height - 0.02), (x, 0, height + 0.12), (x + 0.13, 0, height + 0.1)), 0.014, CHROME)
    parts += [rod((x, s * 0.09, height - 0.02), (x, s * 0.09, height + 0.06), 0.02, CHROME) for s in (-1, 1)]
    if u() < 0.6:
        parts.append(box(0, 0, 0.11, w - 2 * wall, d - 2 * wall, height * 0.55 - 0.11, solid("a8d3dd", 0.9)))
    return settle(parts)


def sink(rng: Generator) -> Built:
    """A wash basin on a pedestal, hollow, with a tap."""
    u = rng.uniform
    rx, ry, height = u(0.25, 0.3), u(0.2, 0.23), u(0.8, 0.86)
    parts = [post(0, -0.03, 0, 0.1, 0.05, CERAMIC, 0.09), post(0, -0.03, 0.04, 0.075, height - 0.18, CERAMIC)]
    parts.append(ball(0, 0, height - 0.115, (rx * 0.88, ry * 0.88, 0.075), CERAMIC))
    parts.append(post(0, 0, height - 0.1, rx * 0.9, 0.03, CERAMIC, ry * 0.9))
    parts.append(post(0, 0, height - 0.072, 0.025, 0.006, CHROME))
    parts += ring((0, 0, height - 0.1), (rx * 0.93, ry * 0.93), 0.1, 0.045, CERAMIC, 24, 8)
    parts.append(box(0, -ry - 0.01, height - 0.09, 2 * rx * 0.8, 0.12, 0.095, CERAMIC))
    y = -ry - 0.02
    bends = ((0, 0), (0, 0.14), (0.12, 0.13), (0.12, 0.1))
    parts += bow([(0, y + forward, height + up) for forward, up in bends], 0.013, CHROME)
    parts += [rod((s * 0.1, y, height - 0.01), (s * 0.1, y, height + 0.05), 0.02, CHROME) for s in (-1, 1)]
    return settle(parts)


def trash_can(rng: Generator) -> Built:
    """A round bin: open with a bag in it, or with a pedal and a domed lid."""
    u = rng.uniform
    r, tall, skin = u(0.13, 0.17), u(0.3, 0.42), metal(rng)
    if u() < 0.5:
        parts = [
            post(0, 0, 0, r * 0.8, 0.02, skin),
            *ring((0, 0, 0), (r * 0.9, r * 0.9), tall, 0.008, skin, 20, 4),
        ]
        parts.append(ball(0, 0, tall * 0.55, (r * 0.91, r * 0.91, 0.1), solid("e9e9ea", 0.3)))
        parts += ring((0, 0, tall - 0.03), (r * 0.935, r * 0.935), 0.033, 0.014, skin, 20, 4)
        return settle(parts)
    parts = [
        post(0, 0, 0.025, r, tall, skin),
        post(0, 0, 0, r * 1.02, 0.03, DARK),
        ball(0, 0, tall + 0.025, (r, r, 0.06), DARK),
    ]
    parts += [post(0, 0, tall + 0.002, r * 1.02, 0.025, DARK), box(0, r, 0.004, 0.07, 0.09, 0.012, DARK)]
    parts.append(flat_disc(0, r * 0.99, tall * 0.6, 0.03, solid("d83a2f"), "y"))
    return settle(parts)
