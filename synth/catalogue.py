"""The register of household objects: what there is, how it is drawn from a seed, where it may stand."""

from __future__ import annotations

from collections.abc import Iterable

from numpy.random import Generator

from synth import kinds_appliances as appliances
from synth import kinds_electronics as electronics
from synth import kinds_seats as seats
from synth import kinds_small as small
from synth import kinds_tables as tables
from synth.kinds_base import Built, Kind, Support

__all__ = ["KINDS", "Built", "Kind", "Support", "build", "check_kinds"]

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
    Kind("folding screen", tables.folding_screen, "floor", (2.1, 0.45, 1.9), per_room=2),
    Kind("wardrobe", tables.wardrobe, "wall-side", (1.75, 0.75, 2.15), per_room=1, front=0.7),
    Kind("bookshelf", tables.bookshelf, "wall-side", (1.05, 0.4, 2.05)),
    Kind("refrigerator", appliances.refrigerator, "wall-side", (0.8, 0.8, 1.9), per_room=1, front=0.7),
    Kind("stove", appliances.stove, "wall-side", (0.7, 0.75, 1.0), per_room=1, front=0.6),
    Kind("microwave", appliances.microwave, "surface", (0.55, 0.45, 0.32), per_room=1),
    Kind("washing machine", appliances.washing_machine, "wall-side", (0.65, 0.75, 0.9), per_room=1, front=0.6),
    Kind("toilet", appliances.toilet, "wall-side", (0.45, 0.8, 0.95), per_room=1, front=0.5),
    Kind("bathtub", appliances.bathtub, "wall-side", (1.75, 0.85, 0.8), per_room=1, front=0.5),
    Kind("sink", appliances.sink, "wall-side", (0.7, 0.65, 1.1), per_room=1, front=0.5),
    Kind("trash can", appliances.trash_can, "floor", (0.4, 0.45, 0.55)),
    Kind("television", electronics.television, "wall-side", (1.65, 0.55, 1.45), per_room=1, front=0.8),
    Kind("monitor", electronics.monitor, "surface", (0.65, 0.25, 0.5)),
    Kind("laptop", electronics.laptop, "surface", (0.4, 0.4, 0.3)),
    Kind("speaker", electronics.speaker, "wall-side", (0.35, 0.45, 1.15)),
    Kind("floor lamp", electronics.floor_lamp, "floor", (0.6, 0.6, 1.75)),
    Kind("table lamp", electronics.table_lamp, "surface", (0.42, 0.42, 0.6)),
    Kind("pendant lamp", electronics.pendant_lamp, "ceiling", (0.65, 0.65, 0.62)),
    Kind("piano", electronics.piano, "wall-side", (1.6, 0.65, 1.35), per_room=1, front=0.7),
    Kind("guitar", electronics.guitar, "floor", (0.45, 0.4, 1.4)),
    Kind("fan", electronics.fan, "floor", (0.5, 0.45, 1.5)),
    Kind("vase", small.vase, "surface", (0.3, 0.3, 0.55), per_room=3),
    Kind("fruit bowl", small.fruit_bowl, "surface", (0.36, 0.36, 0.25)),
    Kind("bottle", small.bottle, "surface", (0.1, 0.1, 0.36), per_room=4),
    Kind("mug", small.mug, "surface", (0.15, 0.12, 0.12), per_room=4),
    Kind("stack of books", small.book_stack, "surface", (0.32, 0.28, 0.28), per_room=3),
    Kind("candle", small.candle, "surface", (0.13, 0.13, 0.27), per_room=3),
    Kind("potted plant", small.potted_plant, "floor", (0.95, 0.95, 1.45), per_room=4),
    Kind("teddy bear", small.teddy_bear, "floor", (0.45, 0.5, 0.6)),
    Kind("football", small.football, "floor", (0.25, 0.25, 0.25)),
    Kind("suitcase", small.suitcase, "floor", (0.5, 0.35, 1.15)),
    Kind("basket", small.basket, "floor", (0.6, 0.6, 0.6)),
    Kind("rug", small.rug, "floor", (2.05, 1.45, 0.012), per_room=1, is_flat=True),
    Kind("clock", small.wall_clock, "wall", (0.4, 0.06, 0.4), per_room=1, mount=(1.6, 1.9)),
    Kind("picture", small.framed_picture, "wall", (1.15, 0.06, 0.85), per_room=3, mount=(1.4, 1.7)),
    Kind("wall shelf", small.wall_shelf, "wall", (0.95, 0.3, 0.5), mount=(1.4, 1.7)),
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


def check_kinds(names: Iterable[str]) -> None:
    """See that all these are kinds of ours.

    Raises:
        ValueError: naming those that are not.
    """
    if unknown := sorted(set(names) - KINDS.keys()):
        raise ValueError(f"kinds of objects must be some of {', '.join(sorted(KINDS))}; got {', '.join(unknown)}")
