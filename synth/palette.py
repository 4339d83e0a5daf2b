"""Materials that household things are made of, drawn from small palettes."""

from __future__ import annotations

from numpy.random import Generator

from synth.scene import Material, Vec3

WOODS = ("8a5a34", "a9743f", "c69c6d", "5b3a24", "d8b98c", "744a2c", "b98654", "3b2a20")
CLOTHS = (
    "7a2e2e",
    "2f4a6d",
    "53663f",
    "8d8577",
    "c8b79a",
    "3d3d44",
    "b4643c",
    "6b4a70",
    "1f6f72",
    "d9cfbf",
    "a33b4b",
)
PAINTS = ("f2efe8", "dfe6e2", "c9d6df", "e6d3b3", "4a5a52", "31404f", "b8c4a6", "e8e2d0", "8f3d3a", "d7d7d7")
BRIGHTS = ("d83a2f", "2f6fd8", "f2c230", "2f9d57", "e8762d", "8a4fb5", "23a3a8", "e85d8a", "f4f1e6", "2b2b33")
METALS = ("b9bcc0", "8d9196", "55585c", "c9a45c", "2a2b2e")


def rgb(code: str) -> Vec3:
    """Linear RGB of an sRGB hex code.

    >>> rgb("ffffff"), rgb("000000")
    ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    """
    r, g, b = (_linear(int(code[i : i + 2], 16) / 255) for i in (0, 2, 4))
    return r, g, b


def _linear(value: float) -> float:
    """Inverse sRGB curve (IEC 61966-2-1)."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def pick(rng: Generator, options: tuple[str, ...]) -> str:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def solid(code: str, gloss: float = 0.1, glow: float = 0.0) -> Material:
    """Plain colour with a faint grain, so that no surface is without texture."""
    return Material(rgb(code), "speckle", 0.35, gloss, glow)


def wood(rng: Generator, code: str = "") -> Material:
    """Boards of one of several woods."""
    return Material(rgb(code or pick(rng, WOODS)), "wood", float(rng.uniform(0.5, 0.9)), 0.15)


def cloth(rng: Generator, codes: tuple[str, ...] = CLOTHS) -> Material:
    """Fabric of some weave in a muted colour."""
    texture = pick(rng, ("fabric", "fabric", "weave", "knit"))
    return Material(rgb(pick(rng, codes)), texture, float(rng.uniform(0.18, 0.35)), 0.0)


def upholstery(rng: Generator) -> Material:
    """Cloth, leather, plaid or stripes."""
    kind = rng.uniform()
    if kind < 0.25:
        return Material(rgb(pick(rng, ("4a2c1d", "6d4528", "23201f", "8a6a4a"))), "leather", 0.4, 0.35)
    if kind < 0.4:
        return Material(rgb(pick(rng, CLOTHS)), pick(rng, ("plaid", "stripes")), 0.4, 0.0)
    return cloth(rng)


def paint(rng: Generator, codes: tuple[str, ...] = PAINTS, gloss: float = 0.2) -> Material:
    """Lacquer in a quiet colour."""
    return solid(pick(rng, codes), gloss)


def bright(rng: Generator, gloss: float = 0.4) -> Material:
    """Plastic or enamel in a strong colour."""
    return solid(pick(rng, BRIGHTS), gloss)


def metal(rng: Generator, code: str = "") -> Material:
    """Brushed or lacquered metal."""
    return Material(rgb(code or pick(rng, METALS)), "brushed", 0.3, 0.7)


def wood_or_paint(rng: Generator) -> Material:
    """What most furniture is made of."""
    return wood(rng) if rng.uniform() < 0.65 else paint(rng)


def picture(name: str, gloss: float = 0.05, glow: float = 0.0) -> Material:
    """A picture that fills the face it is on."""
    return Material((1.0, 1.0, 1.0), name, 1.0, gloss, glow)
