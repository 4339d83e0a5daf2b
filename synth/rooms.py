"""Draws whole rooms from a seed: a plan for each type of room, then things to fill it with.

Lengths are metres. A room is mirror symmetric in law: no step prefers left or right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, SeedSequence

from synth.catalogue import KINDS, check_kinds
from synth.layout import Layout
from synth.scene import Scene, Vec3
from synth.shell import build_shell

NUM_ITEMS = (14, 30)
FILL_TRIES = 70
IN_THE_WAY = ("chair", "stool", "ottoman", "football", "teddy bear", "side table")
TABLETOP = ("mug", "bottle", "stack of books", "vase", "candle", "fruit bowl")


def _wall(layout: Layout, name: str, twin: float = 0.5) -> int | None:
    return layout.against_wall(name, layout.draw(name, twin))


def _free(layout: Layout, name: str, twin: float = 0.5) -> int | None:
    return layout.anywhere(name, layout.draw(name, twin))


def _dress(layout: Layout, idx: int | None, names: tuple[str, ...], num: int) -> None:
    """Put small things on an item: often two of a kind, alike or not."""
    if idx is None:
        return
    for _ in range(num):
        name = names[int(layout.rng.integers(len(names)))]
        if layout.count(name) < KINDS[name].per_room:
            layout.on(name, layout.draw(name, 0.5), idx)


def _rug_before(layout: Layout, idx: int | None) -> None:
    if idx is not None:
        layout.in_front("rug", layout.draw("rug"), idx, (0.05, 0.3))


def _dining(layout: Layout, low: int, high: int) -> None:
    """A table with chairs round it, in most rooms all alike, a lamp above and things on it."""
    table = layout.anywhere("dining table", layout.draw("dining table"), num=80, pad=0.45)
    if table is None:
        return
    alike = layout.rng.uniform() < 0.75
    first = layout.draw("chair")
    chairs = [first if alike else layout.draw("chair") for _ in range(int(layout.rng.integers(low, high + 1)))]
    layout.around("chair", chairs, table, (0.12, 0.3))
    if layout.rng.uniform() < 0.4:
        x, y, _ = layout.items[table].position
        layout.hang_from_ceiling("pendant lamp", layout.draw("pendant lamp"), x, y)
    _dress(layout, table, TABLETOP, int(layout.rng.integers(2, 6)))


def _seating(layout: Layout) -> None:
    """A sofa, a low table before it, a television that it can see."""
    sofa = _wall(layout, "sofa")
    if sofa is None:
        return
    _place_screen(layout, sofa)
    if layout.rng.uniform() < 0.7:
        _rug_before(layout, sofa)
    table = layout.in_front("coffee table", layout.draw("coffee table"), sofa, (0.35, 0.55))
    _dress(layout, table, TABLETOP, int(layout.rng.integers(2, 4)))
    if layout.rng.uniform() < 0.6:
        side = layout.beside("side table", layout.draw("side table"), sofa)
        _dress(layout, side, ("table lamp", "vase", "mug"), 1)
    for _ in range(int(layout.rng.integers(0, 3))):
        layout.in_front("armchair", layout.draw("armchair", 0.8), sofa, (1.2, 2.2), math.pi)


def _place_screen(layout: Layout, sofa: int) -> None:
    """A television against the wall that the sofa faces, or else against any."""
    yaw = layout.items[sofa].yaw
    television = layout.draw("television")
    if layout.against_wall("television", television, facing=yaw + math.pi) is None:
        layout.against_wall("television", television)


def _sleeping(layout: Layout) -> None:
    """A bed between two nightstands of a pair."""
    bed = _wall(layout, "bed")
    if bed is None:
        return
    pair, lamp = layout.draw("nightstand"), layout.draw("table lamp")
    for _ in range(2):
        stand = layout.beside("nightstand", pair, bed)
        if stand is not None:
            layout.on("table lamp", lamp, stand, 0.4)
            _dress(layout, stand, ("mug", "stack of books", "candle"), 1)
    if layout.rng.uniform() < 0.6:
        _rug_before(layout, bed)
    _wall(layout, "wardrobe")


def _working(layout: Layout, num: int) -> None:
    """Desks with a screen and a chair each."""
    for _ in range(num):
        desk = _wall(layout, "desk", 0.7)
        if desk is None:
            continue
        layout.in_front("office chair", layout.draw("office chair", 0.6), desk, (-0.3, 0.1), math.pi)
        name = "monitor" if layout.rng.uniform() < 0.6 else "laptop"
        layout.on(name, layout.draw(name, 0.5), desk, 0.25)
        _dress(layout, desk, ("mug", "stack of books", "bottle", "table lamp"), int(layout.rng.integers(1, 4)))


def _cooking(layout: Layout) -> None:
    """Appliances in a row where there is room for it."""
    stove = _wall(layout, "stove")
    for name in ("refrigerator", "chest of drawers", "washing machine"):
        built = layout.draw(name)
        idx = layout.beside(name, built, stove) if stove is not None else None
        idx = layout.against_wall(name, built) if idx is None else idx
        if name == "chest of drawers":
            _dress(layout, idx, ("microwave", *TABLETOP), 3)


def _washing(layout: Layout) -> None:
    for name in ("bathtub", "toilet", "sink", "washing machine"):
        idx = _wall(layout, name)
        if name == "washing machine":
            _dress(layout, idx, ("bottle", "bottle", "candle", "vase"), 3)
    _free(layout, "stool")


def _plan_living(layout: Layout) -> None:
    _seating(layout)
    _divide(layout, 0.45)
    for name in ("bookshelf", "piano", "armchair", "speaker", "speaker"):
        if layout.rng.uniform() < 0.6:
            _wall(layout, name, 0.9)


def _plan_bedroom(layout: Layout) -> None:
    _sleeping(layout)
    _divide(layout, 0.35)
    if layout.rng.uniform() < 0.4:
        _working(layout, 1)
    _dress(layout, _wall(layout, "chest of drawers"), ("vase", "candle", "stack of books", "table lamp"), 3)


def _plan_kitchen(layout: Layout) -> None:
    _cooking(layout)
    _dining(layout, 4, 6)
    _divide(layout, 0.4)


def _plan_office(layout: Layout) -> None:
    _working(layout, int(layout.rng.integers(1, 3)))
    _divide(layout, 0.45)
    for _ in range(int(layout.rng.integers(1, 3))):
        _wall(layout, "bookshelf", 0.5)
    if layout.rng.uniform() < 0.5:
        _dining(layout, 2, 4)


def _plan_bathroom(layout: Layout) -> None:
    _washing(layout)
    _divide(layout, 0.4)


def _plan_studio(layout: Layout) -> None:
    _sleeping(layout)
    _dining(layout, 2, 4)
    _divide(layout, 0.5)
    _working(layout, 1)


def _divide(layout: Layout, chance: float) -> None:
    """Tall things in the middle of a room, which hide what is behind them: one, and with this chance a second."""
    for probability in (1.0, chance):
        if layout.rng.uniform() < probability:
            name = ("folding screen", "bookshelf", "wardrobe")[int(layout.rng.choice(3, p=(0.7, 0.2, 0.1)))]
            layout.anywhere(name, layout.draw(name), pad=0.35)


@dataclass(frozen=True)
class RoomType:
    """One kind of room.

    Args:
        plan: places what makes the room what it is.
        side: shortest and longest wall, metres.
        fillers: kinds that may be added, with weights.
        is_wet: tiles rather than wood.
        weight: how often it is drawn.
    """

    plan: Callable[[Layout], None]
    side: tuple[float, float]
    fillers: dict[str, float]
    is_wet: bool = False
    weight: float = 1.0


_COMMON = {"potted plant": 4.0, "picture": 2.0, "clock": 1.0, "floor lamp": 1.5, "trash can": 1.0, "basket": 1.0}
_SMALL = {"mug": 1.5, "bottle": 1.5, "stack of books": 2.0, "vase": 1.5, "candle": 1.0}
_PLAY = {"football": 1.0, "teddy bear": 1.0, "guitar": 0.7, "suitcase": 0.6, "fan": 0.6}
_SEATS = {"chair": 1.5, "stool": 2.0, "ottoman": 1.2, "bench": 0.5}

ROOM_TYPES = {
    "living room": RoomType(
        _plan_living, (4.6, 7.4), _COMMON | _SMALL | _PLAY | _SEATS | {"wall shelf": 1.0, "side table": 1.0}, weight=1.5
    ),
    "bedroom": RoomType(
        _plan_bedroom, (4.2, 6.5), _COMMON | _SMALL | _PLAY | {"chair": 2.0, "stool": 1.5, "ottoman": 1.0}
    ),
    "kitchen": RoomType(
        _plan_kitchen, (4.4, 7.0), _COMMON | _SMALL | {"stool": 4.0, "chair": 1.0, "wall shelf": 1.0},
        is_wet=True, weight=1.4,
    ),
    "office": RoomType(
        _plan_office, (4.4, 7.0), _COMMON | _SMALL | {"chair": 2.0, "stool": 1.0, "suitcase": 1.0, "fan": 0.7}
    ),
    "bathroom": RoomType(
        _plan_bathroom, (4.0, 5.2), {"potted plant": 3.0, "stool": 2.0, "basket": 2.0, "bottle": 2.0, "candle": 1.5,
                                     "trash can": 1.0, "picture": 1.5, "clock": 0.5, "bench": 0.5, "vase": 1.0},
        is_wet=True, weight=0.5,
    ),
    "studio": RoomType(_plan_studio, (5.0, 7.4), _COMMON | _SMALL | _PLAY | _SEATS | {"armchair": 1.0}),
}  # fmt: skip
"""Every type of room by name."""


def _fill(layout: Layout, fillers: dict[str, float], target: int) -> None:
    """Add things until there are enough: half of the time one more of a kind that is already there."""
    names = [n for n in fillers if n in KINDS]
    weights = np.array([fillers[n] for n in names]) / sum(fillers[n] for n in names)
    for _ in range(FILL_TRIES):
        if len(layout.items) >= target:
            return
        present = [n for n in names if layout.count(n)]
        again = present and layout.rng.uniform() < 0.5
        name = str(layout.rng.choice(present) if again else layout.rng.choice(names, p=weights))
        if layout.count(name) < KINDS[name].per_room:
            _add(layout, name)


def _add(layout: Layout, name: str) -> None:
    """Add one object in the way that its kind is placed."""
    built, placement = layout.draw(name, 0.5), KINDS[name].placement
    if placement == "surface":
        tables = [i for i, p in enumerate(layout.placed) if p.built.supports]
        if tables:
            layout.on(name, built, tables[int(layout.rng.integers(len(tables)))])
    elif placement == "wall":
        layout.hang(name, built)
    elif placement == "wall-side":
        layout.against_wall(name, built)
    elif layout.rng.uniform() < (0.35 if name in IN_THE_WAY else 0.8):
        layout.along_wall(name, built)
    else:
        layout.anywhere(name, built)


def _draw_size(kind: RoomType, rng: Generator) -> Vec3:
    x, y = rng.uniform(*kind.side, 2)
    return round(float(x), 3), round(float(y), 3), round(float(rng.uniform(2.5, 3.0)), 3)


def _target(size: Vec3, rng: Generator) -> int:
    """How many objects: more in a larger room."""
    num = 11.5 + 0.33 * size[0] * size[1] + rng.uniform(-4, 4)
    return int(np.clip(round(num), *NUM_ITEMS))


def _draw_type(rng: Generator) -> RoomType:
    kinds = list(ROOM_TYPES.values())
    weights = np.array([k.weight for k in kinds])
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


def make_room(
    seed: int | SeedSequence | Generator, *, scene_id: str = "", room_type: str = "", without: Collection[str] = ()
) -> Scene:
    """Draw a furnished room: nothing touches anything it does not stand on or hang from.

    `make_room(scene.seed, ...)` makes the same room again, however the first one was asked for, if it was drawn without
    the same kinds.

    Args:
        seed: a number >= 0, or something to draw one from.
        scene_id: name of the scene; "" names it after its seed.
        room_type: a name in `ROOM_TYPES`; "" draws one.
        without: kinds that it must not hold.

    Raises:
        ValueError: if the seed is negative, or there is no such type of room or such a kind.

    >>> room = make_room(7)
    >>> room == make_room(7), len(room.items) >= 10
    (True, True)
    """
    if room_type and room_type not in ROOM_TYPES:
        raise ValueError(f"room_type must be one of {sorted(ROOM_TYPES)} or '', got {room_type!r}")
    check_kinds(without)
    number = _seed_number(seed)
    rng = np.random.default_rng(number)
    drawn = _draw_type(rng)
    kind = ROOM_TYPES[room_type] if room_type else drawn
    size = _draw_size(kind, rng)
    shell = build_shell(size, rng, kind.is_wet)
    layout = Layout(size, rng, shell.keep_free, frozenset(without))
    kind.plan(layout)
    _decorate(layout)
    _fill(layout, kind.fillers, _target(size, rng))
    return Scene(scene_id or f"room_{number}", number, size, layout.items, shell.parts, shell.light)


def _decorate(layout: Layout) -> None:
    """A picture or two, a clock, some plants: what every room has."""
    for name in ("picture", "potted plant", "picture", "potted plant", "clock"):
        if layout.rng.uniform() < 0.6:
            _add(layout, name)


def _seed_number(seed: int | SeedSequence | Generator) -> int:
    if isinstance(seed, (SeedSequence, Generator)):
        return int(np.random.default_rng(seed).integers(2**31))
    if seed < 0:
        raise ValueError(f"seed must be >= 0, got {seed}")
    return int(seed)


def several_of_a_kind(scene: Scene) -> list[str]:
    """Kinds of which a scene holds more than one, most first."""
    return [kind for kind, num in Counter(item.kind for item in scene.items).most_common() if num > 1]
