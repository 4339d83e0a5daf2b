"""The register of household objects: what there is, how it is drawn from a seed, where it may stand."""

from __future__ import annotations

from numpy.random import Generator

from synth import kinds_seats as seats
from synth import kinds_tables as tables
from synth.kinds_base import Built, Kind, Support

__all__ = ["KINDS", "Built", "Kind", "Support", "build"]

_ALL = (
    Kind("chair", seats.chair, "floor", (0.6, 0.6, 1.0), per_room=6),
    Kind("stool", seats.stool, "floor", (0.5, 0.5, 0.75), per_room=3),
    Kind("office chair", seats.office_chair, "floor", (0.75, 0.8, 1.25)),
    Kind("armchair", seats.armchair, "wall-side", (1.05, 1.05, 1.0), front=0.6),
    Kind("sofa", seats.sofa, "wall-side", (2.75, 1.05, 1.0), per_room=1, front=0.7),
    Kind("ottoman", seats.ottoman, "floor", (0.7, 0.7, 0.45)),
    Kind("bench", seats.bench, "floor", (1.4, 0.45, 0.5)),
    Kind("bed", seats.bed, "wall-side", (1.8, 2.3, 1.2), per_room=1, front=0.6),
    Kind("dining table", tables.dining_table, "floor", (1.75, 1.25, 0.8), per_room=1, front=0.7),
    Kind("coffee table", tables.coffee_table, "floor", (1.2, 0.65, 0.5), per_room=1),
    Kind("side table", tables.side_table, "floor", (0.65, 0.65, 0.65)),
    Kind("desk", tables.desk, "wall-side", (1.55, 0.75, 0.8), front=0.8),
    Kind("nightstand", tables.nightstand, "wall-side", (0.6, 0.55, 0.65)),
    Kind("chest of drawers", tables.chest_of_drawers, "wall-side", (1.3, 0.6, 1.05), front=0.6),
    Kind("wardrobe", tables.wardrobe, "wall-side", (1.75, 0.75, 2.15), per_room=1, front=0.7),
    Kind("bookshelf", tables.bookshelf, "wall-side", (1.05, 0.4, 2.05)),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every kind by its plain word."""


def build(name: str, rng: Generator) -> Built:
    """Draw one object of a kind.

    Raises:
        ValueError: if there is no such kind.

    >>> import numpy as np
    >>> chair = build("chair", np.random.default_rng(0))
    >>> len(chair.parts) > 5, chair.size[2] < 1.0
    (True, np.True_)
    """
    if name not in KINDS:
        raise ValueError(f"kind must be one of {sorted(KINDS)}, got {name!r}")
    return KINDS[name].build(rng)
