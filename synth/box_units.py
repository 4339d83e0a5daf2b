"""The units in which models write boxes, and how pictures are resized for those that count pixels.

Questions of a dataset hold thousandths of the image; the true pixels are in the proof, and any unit is made from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

IntBox = tuple[int, int, int, int]


@dataclass(frozen=True)
class Resize:
    """How a model family resizes a picture: both sides to multiples of `factor`, the area within two bounds.

    Source: `smart_resize` of the Qwen2-VL image processor (transformers), bounds from the published configurations.
    """

    factor: int
    min_pixels: int
    max_pixels: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing.

        Raises:
            ValueError: if one side is over 200 times the other, which the processor refuses too.

        >>> Resize(28, 3136, 12845056).size(512, 512)
        (504, 504)
        """
        if max(width, height) > 200 * min(width, height):
            raise ValueError(f"a side may be at most 200 times the other, got {width} x {height}")
        f = self.factor
        new_width, new_height = round(width / f) * f, round(height / f) * f
        if new_width * new_height > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels)
            return max(f, math.floor(width / shrink / f) * f), max(f, math.floor(height / shrink / f) * f)
        if new_width * new_height < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            return math.ceil(width * grow / f) * f, math.ceil(height * grow / f) * f
        return new_width, new_height


@dataclass(frozen=True)
class BoxUnit:
    """One way to write a box: thousandths of the image, or pixels of the resized picture."""

    words: str
    """How a question says it."""
    resize: Resize | None = None
    """None for thousandths."""

    def scale(self, width: int, height: int) -> tuple[int, int]:
        """Largest x and y in this unit, for an image of so many pixels."""
        return (1000, 1000) if self.resize is None else self.resize.size(width, height)

    def write(self, box_px: Sequence[float], width: int, height: int) -> IntBox:
        """A box of true pixels in whole numbers of this unit, rounded half to even and kept inside the image."""
        sizes = zip(box_px, self.scale(width, height) * 2, (width, height) * 2, strict=True)
        x1, y1, x2, y2 = (min(max(round(v / size * most), 0), most) for v, most, size in sizes)
        return x1, y1, x2, y2

    def pixels(self, box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
        """A box of this unit in true pixels of an image of so many."""
        sizes = zip(box, self.scale(width, height) * 2, (width, height) * 2, strict=True)
        x1, y1, x2, y2 = (v / most * size for v, most, size in sizes)
        return x1, y1, x2, y2


THOUSANDTHS = BoxUnit("in thousandths of the image width and height")

FAMILIES = {
    "generic": THOUSANDTHS,
    "qwen2-vl": THOUSANDTHS,
    "qwen2.5-vl": BoxUnit("in pixels of the image", Resize(28, 56 * 56, 12_845_056)),
    "qwen3-vl": THOUSANDTHS,
}
"""Model family to the unit of its boxes. Sources: QwenLM's answers to issues 676 and 866 (Qwen2.5-VL counts pixels of
the resized picture) and the README of Qwen3-VL (relative, 0..1000)."""


def box_unit(family: str, min_pixels: int | None = None, max_pixels: int | None = None) -> BoxUnit:
    """The unit of a model family, with the bounds that its image processor is set to.

    Raises:
        ValueError: if the family is unknown, or bounds are given where boxes do not depend on them, or make no sense.
    """
    if family not in FAMILIES:
        raise ValueError(f"model family must be one of {', '.join(FAMILIES)}, got {family!r}")
    unit = FAMILIES[family]
    if min_pixels is None and max_pixels is None:
        return unit
    if unit.resize is None:
        raise ValueError(f"boxes of {family} are thousandths whatever the picture's size; leave min and max pixels out")
    least = unit.resize.min_pixels if min_pixels is None else min_pixels
    most = unit.resize.max_pixels if max_pixels is None else max_pixels
    if not unit.resize.factor**2 <= least <= most:
        raise ValueError(f"min and max pixels must hold {unit.resize.factor**2} <= min <= max, got {least} and {most}")
    return BoxUnit(unit.words, Resize(unit.resize.factor, least, most))


def box_text(box: Sequence[float]) -> str:
    """A box as questions and answers write it.

    >>> box_text((1, 2, 3, 4))
    '[1, 2, 3, 4]'
    """
    return "[" + ", ".join(map(str, box)) + "]"
