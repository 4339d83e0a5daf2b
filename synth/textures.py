"""Named textures: seamless patterns in metres, and pictures that are fitted to the face they hang on."""

from __future__ import annotations

PATTERNS = (
    "brick brushed carpet checker concrete fabric gravel grass knit leather leaves marble parquet plaid "
    "planks plaster speckle stripes terrazzo tiles wallpaper weave wood books"
).split()
PICTURES = "astronaut chelsea clock coffee football hubble keyboard moon page rocket screen".split()
TEXTURE_NAMES = frozenset(PATTERNS + PICTURES)
