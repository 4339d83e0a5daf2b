"""Named textures: seamless patterns that repeat, and pictures that fill the face they are on.

A pattern times its gain has mean 1: the material's colour stays the colour that one sees. Patterns are
computed from fixed seeds; brick, grass, gravel and the photographs come with scikit-image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage
from PIL import Image
from scipy import fft

SIZE = 512
"""Texels along each side of a texture."""

PATTERNS = (
    *(
        "brick",
        "brushed",
        "carpet",
        "checker",
        "concrete",
        "fabric",
        "grass",
        "gravel",
        "knit",
        "leather",
        "leaves",
    ),
    *(
        "marble",
        "parquet",
        "plaid",
        "planks",
        "plaster",
        "speckle",
        "stripes",
        "terrazzo",
        "tiles",
        "wallpaper",
    ),
    *("weave", "wood"),
)
PICTURES = (
    *("astronaut", "chelsea", "clock", "coffee", "football", "hubble"),
    *("keyboard", "moon", "page", "rocket", "screen"),
)
TEXTURE_NAMES = frozenset(PATTERNS + PICTURES)

_PHOTOGRAPHS = {
    "astronaut": "astronaut.png", "chelsea": "chelsea.png", "coffee": "coffee.png", "moon": "moon.png",
    "hubble": "hubble_deep_field.jpg", "rocket": "rocket.jpg", "page": "page.png",
}  # fmt: skip


@cache
def texture(name: str) -> np.ndarray:
    """Texels of a texture, (512, 512, 3) uint8, square root of linear RGB, row 0 at the top.

    Do not write into the result: every caller gets the same array.

    Raises:
        ValueError: if there is no such texture.
    """
    if name not in TEXTURE_NAMES:
        raise ValueError(f"texture must be one of {sorted(TEXTURE_NAMES)}, got {name!r}")
    if name in _PHOTOGRAPHS:
        return _photograph(_PHOTOGRAPHS[name])
    if name in ("brick", "grass", "gravel"):
        linear = _seamless(_grey_photograph(name))
    else:
        linear = _DRAW[name](np.random.default_rng(sum(map(ord, name))))
    return _encoded(linear if linear.ndim == 3 else linear[..., None].repeat(3, 2))


@cache
def gain(name: str) -> float:
    """What a texture is multiplied by: 1 for pictures, 1 / mean for patterns."""
    if name in PICTURES:
        return 1.0
    return float(1 / np.square(texture(name).astype(np.float64) / 255).mean())


def _encoded(linear: np.ndarray) -> np.ndarray:
    out = np.round(np.sqrt(np.clip(linear, 0, 1)) * 255).astype(np.uint8)
    out.setflags(write=False)
    return out


def _read(filename: str, mode: str) -> np.ndarray:
    path = Path(skimage.__file__).parent / "data" / filename
    if not path.is_file():
        raise ValueError(f"{filename} must come with scikit-image, not found at {path}; reinstall it")
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


def _photograph(filename: str) -> np.ndarray:
    srgb = cv2.resize(_read(filename, "RGB"), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return _encoded((srgb / 255.0) ** 2.2)


def _grey_photograph(name: str) -> np.ndarray:
    grey = cv2.resize(_read(f"{name}.png", "L"), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    # The photographed brick courses run downwards.
    return np.rot90((grey / 255.0) ** 1.6) if name == "brick" else (grey / 255.0) ** 1.6


def _seamless(image: np.ndarray) -> np.ndarray:
    """Fade the picture into its half-shifted self at the border, so that opposite edges agree."""
    ramp = np.clip(np.minimum(np.arange(SIZE), SIZE - 1 - np.arange(SIZE)) / 48.0, 0, 1)
    weight = np.minimum.outer(ramp, ramp)
    shifted = np.roll(image, (SIZE // 2, SIZE // 2), (0, 1))
    # The shifted copy has its own seam in the middle, where its weight is 0.
    return weight * image + (1 - weight) * shifted


def _noise(rng: np.random.Generator, low: float, high: float, stretch: float = 1.0) -> np.ndarray:
    """Periodic noise, mean 0, deviation 1, of `low`..`high` waves a side; `stretch` draws it out along u."""
    along, across = fft.rfftfreq(SIZE, 1 / SIZE), fft.fftfreq(SIZE, 1 / SIZE)
    radius = np.hypot(along[None] * stretch, across[:, None]).astype(np.float32)
    band = np.exp(-((radius / high) ** 2)) * (1 - np.exp(-((radius / low) ** 2)))
    white = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    field = np.asarray(fft.irfft2(np.asarray(fft.rfft2(white)) * band, s=(SIZE, SIZE)))
    return field / field.std()


def _grid(num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(cell column, cell row, u and v within the cell 0..1) of a grid of num x num cells."""
    at = (np.arange(SIZE) + 0.5) / SIZE * num
    u, v = np.meshgrid(at, at)
    return u.astype(int), v.astype(int), u % 1, v % 1


def _joint(u: np.ndarray, v: np.ndarray, wide_u: float, wide_v: float) -> np.ndarray:
    """True on the joints around cells."""
    return (np.minimum(u, 1 - u) < wide_u) | (np.minimum(v, 1 - v) < wide_v)


def _wood(rng: np.random.Generator) -> np.ndarray:
    v = np.arange(SIZE)[:, None] / SIZE
    rings = np.sin(2 * np.pi * (14 * v + 0.55 * _noise(rng, 1, 4, 6)))
    return 0.55 + 0.07 * rings + 0.06 * _noise(rng, 20, 200, 24) + 0.03 * _noise(rng, 2, 8)


def _boards(rng: np.random.Generator, across: int, along: int) -> np.ndarray:
    """Boards along u in shifted rows, each of its own tone and its own grain."""
    grain = _wood(rng)
    out = np.zeros((SIZE, SIZE))
    v = (np.arange(SIZE) + 0.5) / SIZE * across
    for row in range(across):
        rows = np.flatnonzero(v.astype(int) == row)
        u = ((np.arange(SIZE) + 0.5) / SIZE * along + rng.uniform()) % along
        tone = rng.uniform(0.72, 1.15, along)[u.astype(int)]
        shade = np.roll(grain, rng.integers(SIZE, size=2), (0, 1))[rows] * tone
        gap = _joint((u % 1)[None], (v[rows] % 1)[:, None], 0.006 * along, 0.035)
        out[rows] = np.where(gap, 0.22, shade)
    return out


def _parquet(rng: np.random.Generator) -> np.ndarray:
    col, row, u, v = _grid(4)
    grain, turned = _wood(rng), (col + row) % 2 == 1
    base = np.where(turned, grain.T, grain)
    strip = np.where(turned, u, v) * 4
    tone = rng.uniform(0.75, 1.15, (4, 4, 4))[col, row, strip.astype(int)]
    gap = (np.minimum(strip % 1, 1 - strip % 1) < 0.05) | _joint(u, v, 0.012, 0.012)
    return np.where(gap, 0.25, base * tone)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    col, row, u, v = _grid(4)
    tone = rng.uniform(0.78, 0.95, (4, 4))[col, row] + 0.05 * _noise(rng, 2, 12) + 0.02 * _noise(rng, 30, 150)
    return np.where(_joint(u, v, 0.02, 0.02), 0.42, tone)


def _checker(rng: np.random.Generator) -> np.ndarray:
    col, row, u, v = _grid(4)
    tone = np.where((col + row) % 2 == 0, 0.85, 0.3) + 0.04 * _noise(rng, 2, 20)
    return np.where(_joint(u, v, 0.01, 0.01), 0.45, tone)


def _marble(rng: np.random.Generator) -> np.ndarray:
    veins = np.abs(_noise(rng, 1, 6)) + 0.35 * np.abs(_noise(rng, 4, 20))
    return 0.85 - 0.4 * np.exp(-veins * 6) + 0.04 * _noise(rng, 2, 20)


def _terrazzo(rng: np.random.Generator) -> np.ndarray:
    base = np.repeat((0.72 + 0.03 * _noise(rng, 10, 120))[..., None], 3, 2)
    chips = _noise(rng, 12, 34)
    tones = np.stack([_noise(rng, 6, 16) for _ in range(3)], -1) * 0.14 + 0.55
    return np.where((chips > 1.1)[..., None], tones, np.where((chips < -1.3)[..., None], tones * 0.5, base))


def _weave_of(rng: np.random.Generator, num: int, contrast: float) -> np.ndarray:
    """Threads that go over and under each other, num of them each way."""
    col, row, u, v = _grid(num)
    over = (col + row) % 2 == 0
    round_ = np.where(over, np.sin(np.pi * v), np.sin(np.pi * u)) ** 0.7
    slub = rng.uniform(0.85, 1.1, (2, num))
    tone = np.where(over, slub[0][row], slub[1][col])
    return (0.75 - contrast + contrast * round_) * tone + 0.05 * _noise(rng, 3, 24)


def _knit(rng: np.random.Generator) -> np.ndarray:
    _, _, u, v = _grid(28)
    slant = np.abs(u - 0.5) * 1.2
    loop = np.abs(np.sin(np.pi * (v + slant)))
    return 0.35 + 0.4 * loop * (0.5 + 0.5 * np.sin(np.pi * u)) + 0.05 * _noise(rng, 2, 20)


def _plaid(rng: np.random.Generator) -> np.ndarray:
    at = (np.arange(SIZE) + 0.5) / SIZE
    band = np.zeros(SIZE)
    for center, wide, dark in ((0.25, 0.14, 0.3), (0.7, 0.05, 0.4), (0.82, 0.02, 0.5)):
        band += (np.abs(at - center) < wide) * dark
    tone = 0.95 - 0.55 * (band[None] + band[:, None])
    return np.clip(tone, 0.15, 1) * _weave_of(rng, 64, 0.2) * 1.2


def _stripes(rng: np.random.Generator) -> np.ndarray:
    u = (np.arange(SIZE) + 0.5) / SIZE
    tone = np.where((u * 6) % 1 < 0.5, 0.85, 0.45) * np.where(np.abs((u * 6) % 1 - 0.75) < 0.05, 1.7, 1)
    return tone[None] * _weave_of(rng, 64, 0.15) * 1.25


def _wallpaper(rng: np.random.Generator) -> np.ndarray:
    """Rosettes with leaves in a half-drop repeat."""
    col, _, u, _ = _grid(4)
    v = ((np.arange(SIZE)[:, None] + 0.5) / SIZE * 4 + 0.5 * (col % 2)) % 1
    x, y = u - 0.5, v - 0.5
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    flower = r < 0.17 + 0.07 * np.cos(6 * angle)
    leaf = (np.abs(np.abs(x) - 0.28) + np.abs(y) * 0.6 < 0.12) | (np.abs(x) < 0.02)
    tone = np.where(flower, 0.55, np.where(leaf, 0.68, 0.84))
    return np.where(r < 0.06, 0.9, tone) + 0.02 * _noise(rng, 10, 90)


def _leaves(rng: np.random.Generator) -> np.ndarray:
    blades = _noise(rng, 8, 30, 2.5) + 0.6 * _noise(rng, 20, 60, 0.5)
    return 0.42 + 0.2 * np.tanh(blades) + 0.12 * (blades > 0.9)


def _leather(rng: np.random.Generator) -> np.ndarray:
    cells = np.abs(_noise(rng, 20, 60))
    return 0.62 - 0.25 * np.exp(-cells * 5) + 0.05 * _noise(rng, 2, 10)


def _clock(_: np.random.Generator) -> np.ndarray:
    """A white dial with twelve numerals and sixty ticks."""
    dial = np.full((SIZE, SIZE, 3), 240, np.uint8)
    for minute in range(60):
        angle, long = 2 * np.pi * minute / 60, 0.86 if minute % 5 == 0 else 0.92
        way = 250 * np.array([np.sin(angle), -np.cos(angle)])
        start, end = ((256 + r * way).astype(int).tolist() for r in (long, 0.97))
        cv2.line(dial, start, end, (20, 20, 20), 9 if minute % 5 == 0 else 3, cv2.LINE_AA)
    for hour in range(1, 13):
        x, y = 256 + 182 * np.sin(np.pi * hour / 6), 256 - 182 * np.cos(np.pi * hour / 6)
        at = (int(x) - 20 * len(str(hour)), int(y) + 22)
        cv2.putText(dial, str(hour), at, cv2.FONT_HERSHEY_DUPLEX, 2.0, (20, 20, 20), 5, cv2.LINE_AA)
    return (dial / 255.0) ** 2.2


def _football(_: np.random.Generator) -> np.ndarray:
    """Dark pentagons at the twelve corners of an icosahedron, over longitude and latitude."""
    lon, lat = np.meshgrid((np.arange(SIZE) + 0.5) / SIZE * 2 * np.pi, (0.5 - (np.arange(SIZE) + 0.5) / SIZE) * np.pi)
    way = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)
    g = (1 + 5**0.5) / 2
    corners = [np.roll((0, a, b * g), k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    near = np.sort(way @ (np.array(corners) / np.hypot(1, g)).T, -1)
    seam = (near[..., -1] - near[..., -2] < 0.03) | (np.abs(near[..., -1] - 0.925) < 0.006)
    return np.where(near[..., -1] > 0.925, 0.03, np.where(seam, 0.45, 0.92))


def _keyboard(rng: np.random.Generator) -> np.ndarray:
    keys = np.full((SIZE, SIZE), 0.03)
    for row in range(5):
        y = 12 + row * 100
        edges = np.linspace(8, SIZE - 8, 14) if row < 4 else np.array([8, 80, 130, 350, 400, 504])
        for left, right in zip(edges[:-1], edges[1:], strict=True):
            keys[y : y + 86, int(left) + 3 : int(right) - 3] = 0.1
            if row < 4:
                keys[y + 30 : y + 56, int(left) + 12 : int(left) + 22] = 0.7
    return keys + 0.005 * np.abs(_noise(rng, 50, 150))


def _screen(_: np.random.Generator) -> np.ndarray:
    """A desktop: landscape, a window of text, a bar of icons."""
    image = cv2.resize(_read("coffee.png", "RGB"), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    image[60:370, 40:330] = (246, 246, 248)
    image[60:90, 40:330] = (62, 102, 168)
    for line in range(12):
        image[108 + line * 20 : 115 + line * 20, 60 : 170 + (line * 67) % 140] = (90, 92, 100)
    image[470:] = (28, 30, 40)
    for icon in range(8):
        color = tuple(int(40 + 200 * ((icon * k) % 7) / 7) for k in (3, 5, 2))
        cv2.circle(image, (60 + icon * 56, 491), 14, color, -1, cv2.LINE_AA)
    return (image / 255.0) ** 2.2


_DRAW: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "brushed": lambda rng: 0.7 + 0.07 * _noise(rng, 10, 200, 40) + 0.03 * _noise(rng, 1, 5),
    "carpet": lambda rng: 0.5 + 0.14 * _noise(rng, 40, 140) + 0.05 * _noise(rng, 2, 10),
    "checker": _checker,
    "clock": _clock,
    "concrete": lambda rng: 0.6 + 0.06 * _noise(rng, 1, 8) + 0.05 * _noise(rng, 10, 200),
    "fabric": lambda rng: _weave_of(rng, 64, 0.3),
    "football": _football,
    "keyboard": _keyboard,
    "knit": _knit,
    "leather": _leather,
    "leaves": _leaves,
    "marble": _marble,
    "parquet": _parquet,
    "plaid": _plaid,
    "planks": lambda rng: _boards(rng, 8, 2),
    "plaster": lambda rng: 0.75 + 0.018 * _noise(rng, 2, 16) + 0.04 * _noise(rng, 16, 120),
    "screen": _screen,
    "speckle": lambda rng: 0.8 + 0.03 * _noise(rng, 2, 12) + 0.025 * _noise(rng, 20, 120),
    "stripes": _stripes,
    "terrazzo": _terrazzo,
    "tiles": _tiles,
    "wallpaper": _wallpaper,
    "weave": lambda rng: _weave_of(rng, 24, 0.45),
    "wood": _wood,
}
