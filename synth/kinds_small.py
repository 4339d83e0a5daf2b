"""Things that stand on furniture, lie on the floor or hang on a wall."""

from __future__ import annotations

import math

from numpy.random import Generator

from synth.kinds_base import Built, ball, bow, box, post, ring, rod, settle, turned
from synth.palette import BRIGHTS, CLOTHS, bright, cloth, metal, paint, pick, picture, rgb, solid, wood
from synth.scene import Material, Part


def vase(rng: Generator) -> Built:
    """A round-bellied vase with a neck and flowers."""
    u, glaze = rng.uniform, bright(rng, 0.8)
    r, tall = u(0.06, 0.09), u(0.18, 0.28)
    parts = [post(0, 0, 0, r * 0.6, 0.02, glaze), ball(0, 0, tall * 0.42, (r, r, tall * 0.42), glaze)]
    parts += [
        post(0, 0, tall * 0.7, r * 0.45, tall * 0.3, glaze),
        post(0, 0, tall - 0.012, r * 0.6, 0.014, glaze),
    ]
    petal, stem = bright(rng, 0.0), solid("3f7a3a", 0.1)
    for i in range(5):
        angle, out = 2 * math.pi * (i + u(0, 0.6)) / 5, u(0.03, 0.09)
        tip = (out * math.cos(angle), out * math.sin(angle), tall + u(0.1, 0.2))
        parts += [rod((0, 0, tall - 0.03), tip, 0.004, stem), ball(*tip, (0.032, 0.032, 0.024), petal)]
        parts.append(ball(tip[0], tip[1], tip[2] + 0.016, 0.014, solid("f2c230", 0.0)))
    return settle(parts)


def fruit_bowl(rng: Generator) -> Built:
    """A wide bowl with apples, oranges and a banana."""
    u, glaze = rng.uniform, (bright(rng, 0.7), wood(rng))[int(rng.integers(2))]
    r = u(0.12, 0.15)
    parts = [
        post(0, 0, 0, r * 0.55, 0.025, glaze),
        *ring((0, 0, 0.012), (r * 0.85, r * 0.85), 0.075, 0.01, glaze, 20, 30),
    ]
    parts.append(post(0, 0, 0.02, r * 0.8, 0.012, glaze))
    for i in range(5):
        skin = solid(pick(rng, ("c8202a", "e8862a", "8fbf3a", "d8382a", "f0a030")), 0.4)
        angle, size = 2 * math.pi * i / 5, u(0.036, 0.042)
        parts.append(ball(r * 0.45 * math.cos(angle), r * 0.45 * math.sin(angle), 0.065, size, skin))
    parts.append(ball(0, 0, 0.09, 0.041, solid("d8382a", 0.4)))
    arc = [(0.085 * math.sin(t), 0.03, 0.19 - 0.085 * math.cos(t)) for t in (-0.9, -0.45, 0.0, 0.45, 0.9)]
    return settle(parts + bow(arc, 0.016, solid("f0cf3a", 0.3)))


def bottle(rng: Generator) -> Built:
    """A bottle with shoulders, neck, cork and a paper label."""
    u, glass = rng.uniform, solid(pick(rng, ("1f4a2c", "3a2414", "24455f", "7a1f2a", "9fc3b5")), 0.95)
    r, tall = u(0.034, 0.042), u(0.26, 0.33)
    parts = [
        post(0, 0, 0, r, tall * 0.6, glass),
        ball(0, 0, tall * 0.6, (r * 0.998, r * 0.998, tall * 0.12), glass),
    ]
    parts += [
        post(0, 0, tall * 0.6, r * 0.38, tall * 0.37, glass),
        post(0, 0, tall * 0.94, r * 0.46, tall * 0.06, metal(rng)),
    ]
    label = Material(rgb(pick(rng, ("efe6cf", "e8d9b0", "d7dde0"))), "page", 1.0)
    return settle([*parts, post(0, 0, tall * 0.18, r * 1.02, tall * 0.27, label)])


def mug(rng: Generator) -> Built:
    """A cup with a handle, full of coffee."""
    u, glaze = rng.uniform, bright(rng, 0.6)
    r, tall = u(0.038, 0.046), u(0.085, 0.105)
    parts = [
        post(0, 0, 0, r, tall * 0.8, glaze),
        *ring((0, 0, tall * 0.5), (r * 0.95, r * 0.95), tall * 0.5, 0.006, glaze, 20),
    ]
    parts.append(post(0, 0, tall * 0.7, r * 0.9, tall * 0.17, solid("3a2112", 0.6)))
    arc = [(r * 0.9 + 0.034 * math.cos(t), 0, tall * 0.5 + 0.032 * math.sin(t)) for t in (-1.6, -0.8, 0, 0.8, 1.6)]
    return settle(parts + bow(arc, 0.007, glaze))


def book_stack(rng: Generator) -> Built:
    """Three to six books lying on each other, slightly turned."""
    u, parts, z = rng.uniform, [], 0.0
    paper = solid("efe8d6", 0.0)
    for _ in range(int(rng.integers(3, 7))):
        w, d, thick, turn = u(0.2, 0.26), u(0.14, 0.18), u(0.02, 0.045), u(-16, 16)
        cover = solid(pick(rng, CLOTHS + BRIGHTS), 0.2)
        pages = box(0, 0.004, z + 0.003, w - 0.008, d - 0.004, thick - 0.006, paper)
        boards = [box(0, 0, at, w, d, 0.004, cover) for at in (z, z + thick - 0.004)]
        spine = box(0, -d / 2 + 0.002, z + 0.002, w - 0.001, 0.005, thick - 0.004, cover)
        parts += [_about_z(part, turn) for part in (pages, *boards, spine)]
        z += thick
    return settle(parts)


def _about_z(part: Part, angle_deg: float) -> Part:
    """The part turned about the item's z axis."""
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    x, y, z = part.center
    spun = turned(part, "z", angle_deg)
    return Part(part.shape, (c * x - s * y, s * x + c * y, z), part.half_size, spun.rotvec, part.material)


def potted_plant(rng: Generator) -> Built:
    """A pot of earth with a bush, a palm of blades, or a slim tree in it."""
    u, clay = rng.uniform, solid(pick(rng, ("b5593a", "e9e5db", "3d3d44", "8d6a4a", "4f7d86")), 0.3)
    r, tall = u(0.13, 0.18), u(0.22, 0.32)
    parts = [
        post(0, 0, 0, r * 0.8, 0.02, clay),
        *ring((0, 0, 0.002), (r * 0.9, r * 0.9), tall, 0.02, clay, 20, 6),
    ]
    parts += [post(0, 0, 0.01, r * 0.82, tall - 0.04, solid("3a2a1c", 0.0))]
    green = Material(rgb(pick(rng, ("4f8a3a", "2f6b3a", "6b9a45", "3d7a52"))), "leaves", 0.22)
    grow = (_bush, _palm, _tree)[int(rng.integers(3))]
    return settle(parts + grow(rng, tall - 0.04, green))


def _bush(rng: Generator, z: float, green: Material) -> list[Part]:
    u, parts = rng.uniform, [ball(0, 0, z + 0.16, (0.17, 0.17, 0.18), green)]
    for i in range(9):
        angle, up, out = 2.4 * i, u(0.06, 0.38), u(0.08, 0.17)
        at = (out * math.cos(angle), out * math.sin(angle), z + up)
        parts.append(ball(*at, (u(0.07, 0.11), u(0.07, 0.11), u(0.07, 0.1)), green))
    return parts


def _palm(rng: Generator, z: float, green: Material) -> list[Part]:
    """Long narrow leaves that rise and bend outwards, each of two blades."""
    u, parts = rng.uniform, []
    for i in range(13):
        angle, rise, out = 2.4 * i, u(0.3, 0.6), u(0.1, 0.2)
        c, s = math.cos(angle), math.sin(angle)
        knee, tip = (out * c, out * s, z + rise), (2.1 * out * c, 2.1 * out * s, z + rise * 1.05)
        parts += [_blade((0, 0, z - 0.02), knee, 0.032, green), _blade(knee, tip, 0.03, green)]
    return parts


def _blade(start: tuple, end: tuple, wide: float, green: Material) -> Part:
    """A flat pointed leaf that reaches a little past both points."""
    dx, dy, dz = (b - a for a, b in zip(start, end, strict=True))
    middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
    upright = Part("ellipsoid", middle, (0.007, wide, math.hypot(dx, dy, dz) * 0.58), material=green)
    tilt, heading = math.atan2(math.hypot(dx, dy), dz), math.atan2(dy, dx)
    return turned(turned(upright, "y", math.degrees(tilt)), "z", math.degrees(heading))


def _tree(rng: Generator, z: float, green: Material) -> list[Part]:
    u, bark = rng.uniform, wood(rng, "5b3a24")
    tall = u(0.55, 0.85)
    parts = [rod((0, 0, z - 0.02), (0.02, 0, z + tall), 0.016, bark)]
    for i in range(11):
        angle, up, out = 2.4 * i, u(0.45, 1.1), u(0.05, 0.18)
        at = (out * math.cos(angle), out * math.sin(angle), z + up * tall)
        parts += [
            rod((0.01, 0, z + up * tall * 0.8), at, 0.007, bark),
            ball(*at, (u(0.08, 0.12), u(0.08, 0.12), 0.06), green),
        ]
    return parts


def teddy_bear(rng: Generator) -> Built:
    """A sitting bear: belly, head, ears, snout, arms and legs stretched forward."""
    u, fur = rng.uniform, Material(rgb(pick(rng, ("9a6a3c", "c69c6d", "6b4a30", "d9cfbf"))), "carpet", 0.2)
    pale, black, k = Material(rgb("e2c9a0"), "carpet", 0.2), solid("16130f", 0.8), u(0.85, 1.25)
    blobs = [((0, 0, 0.13), (0.11, 0.095, 0.13), fur), ((0, 0.035, 0.13), (0.08, 0.07, 0.095), pale)]
    blobs += [
        ((0, 0.015, 0.31), (0.095, 0.088, 0.085), fur),
        ((0, 0.095, 0.295), (0.042, 0.035, 0.034), pale),
    ]
    blobs += [((0, 0.13, 0.307), (0.015, 0.01, 0.011), black)]
    for s in (-1, 1):
        blobs += [
            ((s * 0.075, 0.0, 0.385), (0.038, 0.022, 0.038), fur),
            ((s * 0.075, 0.012, 0.385), (0.024, 0.016, 0.024), pale),
        ]
        blobs += [((s * 0.036, 0.092, 0.335), (0.012, 0.01, 0.013), black)]
        blobs += [((s * 0.125, 0.05, 0.19), (0.038, 0.085, 0.04), fur)]
        blobs += [
            ((s * 0.08, 0.13, 0.048), (0.048, 0.105, 0.048), fur),
            ((s * 0.085, 0.225, 0.055), (0.036, 0.018, 0.04), pale),
        ]
    parts = [ball(k * x, k * y, k * z, [k * r for r in radii], look) for (x, y, z), radii, look in blobs]
    return settle(parts)


def football(rng: Generator) -> Built:
    """A ball: black and white, or in bold colours."""
    r = float(rng.uniform(0.1, 0.12))
    tint = rgb(pick(rng, ("ffffff", "ffffff", "f2c230", "e8762d")))
    return settle([ball(0, 0, r, r, Material(tint, "football", 1.0, 0.3))])


def suitcase(rng: Generator) -> Built:
    """A ribbed case on wheels with a pulled-out handle."""
    u, skin, black = rng.uniform, bright(rng, 0.5), solid("1d1e22", 0.4)
    w, d, tall = u(0.38, 0.46), u(0.22, 0.27), u(0.52, 0.66)
    parts = [box(0, 0, 0.05, w, d, tall, skin)]
    for i in range(5):
        parts.append(box((i - 2) * w * 0.19, 0, 0.08, 0.03, d + 0.016, tall - 0.06, skin))
    parts += [
        box(0, 0, 0.06, w + 0.006, 0.022, tall - 0.005, black),
        box(0, 0, tall + 0.045, 0.14, 0.035, 0.03, black),
    ]
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (w / 2 - 0.045), sy * (d / 2 - 0.05)
            parts.append(rod((x - 0.015, y, 0.03), (x + 0.015, y, 0.03), 0.03, black))
            parts.append(box(x, y, 0.03, 0.05, 0.05, 0.04, black))
    up, y = tall + 0.05 + u(0.2, 0.38), -d / 2 + 0.03
    grip = [(s * 0.09, y, z) for s, z in ((-1, tall), (-1, up), (1, up), (1, tall))]
    return settle(parts + bow(grip, 0.011, metal(rng, "b9bcc0")) + [rod((-0.07, y, up), (0.07, y, up), 0.018, black)])


def basket(rng: Generator) -> Built:
    """A woven laundry basket with two handles and cloth in it."""
    u, cane = rng.uniform, Material(rgb(pick(rng, ("b98a4e", "d2b07a", "8a6236"))), "weave", 0.16)
    r, tall = u(0.18, 0.23), u(0.35, 0.48)
    parts = [
        post(0, 0, 0, r * 0.8, 0.03, cane),
        *ring((0, 0, 0.001), (r * 0.88, r * 0.88), tall, 0.02, cane, 20, 8),
    ]
    parts += ring((0, 0, tall - 0.035), (r * 0.97, r * 0.97), 0.04, 0.034, cane, 20, 8)
    parts += [ball(0, 0, tall * 0.75, (r * 0.94, r * 0.94, tall * 0.27), cloth(rng))]
    parts += [ball(r * 0.3, r * 0.2, tall * 0.92, (r * 0.4, r * 0.4, 0.06), cloth(rng))]
    for s in (-1, 1):
        arc = [(s * r * 1.03, y, tall + z) for y, z in ((-0.07, -0.02), (-0.05, 0.06), (0.05, 0.06), (0.07, -0.02))]
        parts += bow(arc, 0.011, cane)
    return settle(parts)


def rug(rng: Generator) -> Built:
    """A thin carpet with a border."""
    u, weave = rng.uniform, pick(rng, ("plaid", "knit", "carpet", "stripes", "wallpaper"))
    w, d = u(1.3, 2.0), u(0.9, 1.4)
    edge = Material(rgb(pick(rng, CLOTHS)), "carpet", 0.3)
    inner = Material(rgb(pick(rng, CLOTHS)), weave, float(u(0.35, 0.7)))
    return settle([box(0, 0, 0, w, d, 0.008, edge), box(0, 0, 0.001, w - 0.16, d - 0.16, 0.0095, inner)])


def wall_clock(rng: Generator) -> Built:
    """A round clock with hands that show some time."""
    u, rim, hand = (
        rng.uniform,
        (wood(rng), metal(rng), bright(rng))[int(rng.integers(3))],
        solid("141416", 0.3),
    )
    r = u(0.13, 0.18)
    parts = [
        rod((0, 0, r), (0, 0.035, r), r, rim),
        rod((0, 0.01, r), (0, 0.0385, r), r * 0.88, picture("clock")),
    ]
    for length, wide, y in ((0.5, 0.014, 0.037), (0.74, 0.009, 0.0385)):
        angle = u(0, 2 * math.pi)
        at = (length * r / 2 * math.sin(angle), y, r + length * r / 2 * math.cos(angle))
        hand_part = Part("box", at, (wide / 2, 0.003, length * r / 2), material=hand)
        parts.append(turned(hand_part, "y", math.degrees(angle)))
    return settle([*parts, rod((0, 0.02, r), (0, 0.043, r), 0.012, hand)])


def framed_picture(rng: Generator) -> Built:
    """A photograph behind a mount in a frame."""
    u, frame = rng.uniform, (wood(rng), metal(rng), solid("1b1b1e"))[int(rng.integers(3))]
    name = ("astronaut", "coffee", "chelsea", "rocket", "hubble", "moon")[int(rng.integers(6))]
    ratio = {"coffee": 1.5, "chelsea": 1.5, "rocket": 1.5}.get(name, 1.0)
    tall = u(0.4, 0.62)
    w, rim, mount = tall * ratio, 0.035, 0.05 if u() < 0.5 else 0.0
    parts = [box(0, 0, 0, w + 2 * (rim + mount), 0.02, tall + 2 * (rim + mount), solid("f4f1e8", 0.0))]
    parts.append(box(0, 0.002, rim + mount, w, 0.02, tall, picture(name)))
    parts += _frame(w + 2 * (rim + mount), tall + 2 * (rim + mount), rim, frame)
    return settle(parts)


def _frame(w: float, tall: float, rim: float, look: Material) -> list[Part]:
    sides = [box(s * (w - rim) / 2, 0.004, 0.001, rim + 0.004, 0.03, tall - 0.002, look) for s in (-1, 1)]
    return sides + [box(0, 0.003, z, w - 0.004, 0.024, rim, look) for z in (-0.002, tall - rim + 0.002)]


def wall_shelf(rng: Generator) -> Built:
    """A wall shelf on two brackets with a few books and a vase."""
    u, board, iron = rng.uniform, wood(rng), metal(rng, "2a2b2e")
    w, d = u(0.6, 0.9), u(0.18, 0.24)
    parts = [box(0, 0, 0.14, w, d, 0.025, board)]
    for s in (-1, 1):
        x = s * (w / 2 - 0.1)
        parts += [
            box(x, -d / 2 + 0.009, 0, 0.025, 0.014, 0.145, iron),
            box(x, 0.0, 0.131, 0.024, d - 0.04, 0.011, iron),
        ]
        parts.append(rod((x, -d / 2 + 0.015, 0.02), (x, d / 2 - 0.04, 0.135), 0.007, iron))
    x = -w / 2 + 0.06
    for _ in range(int(rng.integers(4, 8))):
        thick, tall = u(0.022, 0.045), u(0.16, 0.24)
        cover = solid(pick(rng, CLOTHS + BRIGHTS), 0.2)
        parts.append(box(x + thick / 2, -0.005, 0.165, thick - 0.002, d * 0.7, tall, cover))
        x += thick
    at, r, glaze = w / 2 - 0.1, u(0.045, 0.06), bright(rng, 0.7)
    parts += [ball(at, 0, 0.165 + r, (r, r, r), glaze), post(at, 0, 0.165 + r * 1.8, r * 0.45, r, glaze)]
    return settle(parts)


def candle(rng: Generator) -> Built:
    """A lit candle on a saucer."""
    u, wax = rng.uniform, solid(pick(rng, ("f4efe2", "b23a3a", "3f6b4f", "e6c083")), 0.2, 0.1)
    tall, dish = u(0.1, 0.2), paint(rng, gloss=0.6)
    parts = [
        post(0, 0, 0, 0.06, 0.012, dish),
        post(0, 0, 0.01, 0.03, tall, wax),
        post(0, 0, tall + 0.008, 0.003, 0.02, solid("222222")),
    ]
    return settle([*parts, ball(0, 0, tall + 0.035, (0.009, 0.009, 0.02), solid("ffc95a", 0.0, 2.0))])
