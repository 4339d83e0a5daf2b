"""Puts objects into a room so that none touches another, all stand on something, and fronts stay reachable.

World coordinates, metres; yaw is counter-clockwise seen from above and a front at yaw 0 faces +y. Walls are
numbered 0..3: y = 0, x = 0, y = Y, x = X. An object whose back is to wall w has yaw `WALL_YAW[w]`. Every choice
is drawn alike for both sides, so that no layout is likelier than its mirror image.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from synth.catalogue import KINDS, Built
from synth.kinds_base import Kind, Support
from synth.scene import ObjectInstance, Vec3
from synth.solids import Solids, come_within

GAP_M = 0.005
SKIRTING_M = 0.015
WALL_YAW = (0.0, -math.pi / 2, math.pi, math.pi / 2)
ZONE_HEIGHT_M = 0.3
DEEP_TRIES = 6


class Spots(NamedTuple):
    """Places to try for one object: arrays (m,) of its origin and yaw."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    yaw: np.ndarray


class Spot(NamedTuple):
    """One place for an object's origin, and its yaw."""

    position: Vec3
    yaw: float


@dataclass(frozen=True)
class Block:
    """An upright box, turned about z: around an item, or space to keep free.

    Args:
        center: (x, y).
        half: (x, y), along its own axes.
        z: lowest and highest point.
        yaw: radians.
        item_idx: of the item inside, or whose front it keeps free; -1 for the room's own.
    """

    center: tuple[float, float]
    half: tuple[float, float]
    z: tuple[float, float]
    yaw: float = 0.0
    item_idx: int = -1


def _blocked(spots: Spots, half: np.ndarray, blocks: Sequence[Block]) -> np.ndarray:
    """Which spots bring an object's box within `GAP_M` of which blocks, (m, n).

    Args:
        spots: m places.
        half: (x, y) half size and full height of the object.
        blocks: n of them.
    """
    yaw, other = spots.yaw[:, None], np.array([b.yaw for b in blocks])
    bx, by, bz = (np.array([getattr(b, name) for b in blocks])[:, k] for name, k in _FIELDS)
    hx, hy = np.array([b.half for b in blocks]).T
    top = np.array([b.z[1] for b in blocks])
    dx, dy = bx - spots.x[:, None], by - spots.y[:, None]
    c, s = np.abs(np.cos(other - yaw)), np.abs(np.sin(other - yaw))
    own = _gap_along(yaw, dx, dy, (half[0], half[1]), (hx * c + hy * s, hx * s + hy * c))
    theirs = _gap_along(other, dx, dy, (half[0] * c + half[1] * s, half[0] * s + half[1] * c), (hx, hy))
    above = np.maximum(bz - spots.z[:, None] - half[2], spots.z[:, None] - top)
    return np.maximum(np.maximum(own, theirs), above) < GAP_M


_FIELDS = (("center", 0), ("center", 1), ("z", 0))


def _gap_along(yaw, dx, dy, reach_a, reach_b) -> np.ndarray:
    """The larger of the gaps along the two axes of a frame turned by yaw."""
    c, s = np.cos(yaw), np.sin(yaw)
    along_x = np.abs(dx * c + dy * s) - reach_a[0] - reach_b[0]
    along_y = np.abs(dy * c - dx * s) - reach_a[1] - reach_b[1]
    return np.maximum(along_x, along_y)


class _Measured(NamedTuple):
    """An object with its solids in its own frame and its full size."""

    built: Built
    solids: Solids
    size: np.ndarray


@dataclass
class _Placed:
    """What the layout remembers of an item."""

    item: ObjectInstance
    built: Built
    size: np.ndarray
    solids: Solids
    block: Block


class Layout:
    """A room that fills up.

    Args:
        room_size: (x, y, z), metres.
        rng: every choice comes from it.
        keep_free: space before doors and windows and round the light, where nothing may stand or hang.
        without: kinds that find no place.
    """

    def __init__(
        self,
        room_size: Sequence[float],
        rng: Generator,
        keep_free: Sequence[Block] = (),
        without: Container[str] = (),
    ) -> None:
        self.room_size = tuple(room_size)
        self.rng = rng
        self.without = without
        self.placed: list[_Placed] = []
        self._zones = list(keep_free)
        self._known: dict[int, _Measured] = {}

    @property
    def items(self) -> tuple[ObjectInstance, ...]:
        """All items in the order they came."""
        return tuple(p.item for p in self.placed)

    def count(self, name: str) -> int:
        """How many of a kind there are."""
        return sum(p.item.kind == name for p in self.placed)

    def find(self, name: str) -> list[int]:
        """Indices of the items of a kind."""
        return [i for i, p in enumerate(self.placed) if p.item.kind == name]

    # One placement: try spots in order, keep the first that fits.

    def put(
        self, name: str, built: Built, spots: Spots, *, rests_on: str = "floor", near: int = -2, pad: float = 0.0
    ) -> int | None:
        """Place an object at the first spot where it fits.

        Args:
            name: its kind.
            built: the object.
            spots: places to try, best first.
            rests_on: as in `ObjectInstance`; on the floor it may turn out to be a mat.
            near: an item whose front zone it may use.
            pad: extra room on each side, metres.

        Returns:
            Its index, or None if it fits nowhere, or no such kind may be there.
        """
        if name in self.without:
            return None
        size = self._measured(built).size
        half = np.array([size[0] / 2 + pad, size[1] / 2 + pad, size[2]])
        spots, carriers = self._settled(spots, size, rests_on, KINDS[name])
        fits = self._inside(spots, half, rests_on)
        fits &= ~self._in_zone(spots, half, near, KINDS[name])
        clash = _blocked(spots, half, self._blocks()) if self.placed else np.zeros((len(fits), 0), bool)
        if pad:
            fits &= ~clash.any(1)
        for i in np.flatnonzero(fits)[:DEEP_TRIES]:
            spot = Spot((float(spots.x[i]), float(spots.y[i]), float(spots.z[i])), float(spots.yaw[i]))
            solids = self._measured(built).solids.placed(spot.position, spot.yaw, len(self.placed))
            if self._is_clear(solids, np.flatnonzero(clash[i]), carriers[i]):
                return self._add(name, built, spot, solids, carriers[i])
        return None

    def _blocks(self) -> list[Block]:
        return [p.block for p in self.placed]

    def _measured(self, built: Built) -> _Measured:
        # The object is kept with its measures, so that its id cannot come to mean another one.
        if id(built) not in self._known:
            solids = Solids.of_parts(built.parts)
            low, high = solids.bounds()
            self._known[id(built)] = _Measured(built, solids, high - low)
        return self._known[id(built)]

    def _settled(self, spots: Spots, size: np.ndarray, rests_on: str, kind: Kind) -> tuple[Spots, list[str]]:
        """Lift spots onto the mats that hold the whole footprint, and name what carries each."""
        carriers = [rests_on] * len(spots.x)
        if rests_on != "floor" or kind.is_flat:
            return spots, carriers
        z = spots.z.copy()
        for mat in (p for p in self.placed if KINDS[p.item.kind].is_flat):
            surface = _mat_surface(mat.built)
            on = _on_support(spots, size, mat.item, surface)
            z[on] = mat.item.position[2] + surface.height
            carriers = [mat.item.item_id if o else c for o, c in zip(on, carriers, strict=True)]
        return spots._replace(z=z), carriers

    def _inside(self, spots: Spots, half: np.ndarray, rests_on: str) -> np.ndarray:
        """Clear of the walls; a thing that hangs on one touches it."""
        margin = -1e-5 if rests_on == "wall" else SKIRTING_M + GAP_M
        c, s = np.abs(np.cos(spots.yaw)), np.abs(np.sin(spots.yaw))
        ex, ey = half[0] * c + half[1] * s + margin, half[0] * s + half[1] * c + margin
        x, y, z = self.room_size
        level = (spots.z >= 0) & (spots.z + half[2] <= z + (1e-5 if rests_on == "ceiling" else -GAP_M))
        return np.asarray((spots.x >= ex) & (spots.x <= x - ex) & (spots.y >= ey) & (spots.y <= y - ey) & level)

    def _in_zone(self, spots: Spots, half: np.ndarray, near: int, kind: Kind) -> np.ndarray:
        zones = [z for z in self._zones if z.item_idx != near]
        if kind.is_flat or not zones:
            return np.zeros(len(spots.x), dtype=bool)
        return np.any(_blocked(spots, half, zones), axis=1)

    def _is_clear(self, solids: Solids, clashing: np.ndarray, carrier: str) -> bool:
        """No part within `GAP_M` of a part of the items whose boxes it enters; the carrier may touch it below."""
        for i in clashing:
            other = self.placed[i]
            lift = 1.01 * GAP_M if other.item.item_id == carrier else 0.0
            raised = solids.placed((0.0, 0.0, lift), 0.0, 0) if lift else solids
            if come_within(raised, other.solids, GAP_M):
                return False
        return True

    def _add(self, name: str, built: Built, spot: Spot, solids: Solids, carrier: str) -> int:
        idx, size = len(self.placed), self._measured(built).size
        item_id = f"{name.replace(' ', '_')}_{self.count(name)}"
        item = ObjectInstance(item_id, name, spot.position, spot.yaw, built.parts, carrier)
        x, y, z = spot.position
        block = Block((x, y), (float(size[0] / 2), float(size[1] / 2)), (z, float(z + size[2])), spot.yaw, idx)
        self.placed.append(_Placed(item, built, size, solids, block))
        if carrier not in ("wall", "ceiling") and KINDS[name].placement == "wall-side":
            self._zones.append(_front_zone(block, KINDS[name].front))
        return idx

    # Ways to choose spots.

    def draw(self, name: str, twin: float = 0.0) -> Built:
        """Build an object, or with probability `twin` one that looks like another of its kind in the room."""
        same = self.find(name)
        if same and self.rng.uniform() < twin:
            return self.placed[same[int(self.rng.integers(len(same)))]].built
        return KINDS[name].build(self.rng)

    def against_wall(self, name: str, built: Built, num: int = 40, facing: float | None = None) -> int | None:
        """Back to a wall, anywhere along it; `facing` is the yaw that chooses the wall."""
        wall = self.rng.integers(4, size=num)
        if facing is not None:
            wall[:] = int(np.argmax(np.cos(np.array(WALL_YAW) - facing)))
        share, gap = self.rng.uniform(size=num), self.rng.uniform(0.022, 0.05, num)
        return self.put(name, built, self._along_wall(wall, share, self._measured(built).size, gap, np.zeros(num)))

    def hang(self, name: str, built: Built, num: int = 30) -> int | None:
        """Flat against a wall at its usual height."""
        low, high = KINDS[name].mount
        wall = self.rng.integers(4, size=num)
        size = self._measured(built).size
        share, z = self.rng.uniform(size=num), self.rng.uniform(low, high, num) - size[2] / 2
        spots = self._along_wall(wall, share, size, np.zeros(num), z)
        return self.put(name, built, spots, rests_on="wall")

    def _along_wall(
        self, wall: np.ndarray, share: np.ndarray, size: np.ndarray, gap: np.ndarray, z: np.ndarray
    ) -> Spots:
        """Spots with the back `gap` from a wall, `share` of the way along what is free of it."""
        length = np.take([*self.room_size[:2]], [0, 1, 0, 1])[wall]
        edge = size[0] / 2 + SKIRTING_M + 2 * GAP_M
        along = edge + share * np.maximum(length - 2 * edge, 0.0)
        away = size[1] / 2 + gap
        x = np.choose(wall, [along, away, along, self.room_size[0] - away])
        y = np.choose(wall, [away, along, self.room_size[1] - away, along])
        return Spots(x, y, z, np.take(WALL_YAW, wall))

    def hang_from_ceiling(self, name: str, built: Built, x: float, y: float) -> int | None:
        """Top at the ceiling."""
        z = self.room_size[2] - self._measured(built).size[2]
        return self.put(name, built, Spots(*(np.array([v]) for v in (x, y, z, 0.0))), rests_on="ceiling")

    def anywhere(self, name: str, built: Built, num: int = 40, pad: float = 0.0) -> int | None:
        """On the floor, turned by quarters of a turn and a little more."""
        x, y = (self.rng.uniform(0, side, num) for side in self.room_size[:2])
        yaw = self.rng.integers(4, size=num) * math.pi / 2 + self.rng.normal(0, 0.12, num)
        return self.put(name, built, Spots(x, y, np.zeros(num), yaw), pad=pad)

    def along_wall(self, name: str, built: Built, num: int = 40) -> int | None:
        """On the floor near a wall, turned any way: for things that do not have a back."""
        wall, share = self.rng.integers(4, size=num), self.rng.uniform(size=num)
        size, gap = self._measured(built).size, self.rng.uniform(0.04, 0.3, num)
        turn = self.rng.normal(0, 0.35, num)
        extent = 2 * _extent(size, turn).T
        spots = self._along_wall(wall, share, extent, gap, np.zeros(num))
        return self.put(name, built, spots._replace(yaw=spots.yaw + turn))

    def beside(self, name: str, built: Built, idx: int, num: int = 12) -> int | None:
        """Next to an item, left or right, facing the same way with its back in line."""
        size, other = self._measured(built).size, self.placed[idx].size
        side = self.rng.choice([-1.0, 1.0], num)
        gap = self.rng.uniform(0.03, 0.15, num)
        dx = side * (other[0] / 2 + size[0] / 2 + gap)
        dy = np.full(num, (size[1] - other[1]) / 2)
        return self.put(name, built, self._relative(idx, dx, dy, np.zeros(num)), near=idx)

    def in_front(self, name: str, built: Built, idx: int, gap: tuple[float, float], turn: float = 0.0) -> int | None:
        """Before an item's front, `gap` metres away, turned by `turn` against it; pi faces it."""
        num = 16
        other = self.placed[idx].size
        reach = other[1] / 2 + self._measured(built).size[1] / 2
        spread = 0.25 * other[0]
        dx, dy = self.rng.uniform(-spread, spread, num), reach + self.rng.uniform(*gap, num)
        yaw = turn + self.rng.normal(0, 0.1, num)
        return self.put(name, built, self._relative(idx, dx, dy, yaw), near=idx)

    def around(self, name: str, builts: Sequence[Built], idx: int, tuck: tuple[float, float]) -> list[int]:
        """Round a table and facing it, `tuck` metres of each under the top; what does not fit is left out."""
        size = self.placed[idx].size
        seats = _seats(size)
        order = self.rng.permutation(len(seats))
        found = []
        for built, k in zip(builts, order, strict=False):
            out_x, out_y, slide = seats[k]
            reach = np.full(6, abs(out_x) * size[0] / 2 + abs(out_y) * size[1] / 2)
            reach += self._measured(built).size[1] / 2 - self.rng.uniform(*tuck, 6) + np.arange(6) * 0.05
            dx, dy = out_x * reach + out_y * slide, out_y * reach + out_x * slide
            yaw = math.atan2(out_x, -out_y) + self.rng.normal(0, 0.12, 6)
            found.append(self.put(name, built, self._relative(idx, dx, dy, yaw), near=idx))
        return [i for i in found if i is not None]

    def _relative(self, idx: int, dx: np.ndarray, dy: np.ndarray, yaw: np.ndarray) -> Spots:
        """Spots on the floor given in an item's frame."""
        item = self.placed[idx].item
        c, s = math.cos(item.yaw), math.sin(item.yaw)
        x, y = item.position[0] + c * dx - s * dy, item.position[1] + s * dx + c * dy
        return Spots(x, y, np.zeros(len(x)), item.yaw + yaw)

    def on(self, name: str, built: Built, idx: int, spread_yaw: float = math.pi, num: int = 24) -> int | None:
        """On one of an item's supports, facing about as the item does, within `spread_yaw`."""
        item, supports = self.placed[idx].item, self.placed[idx].built.supports
        if not supports:
            return None
        support = supports[int(self.rng.integers(len(supports)))]
        yaw = self.rng.uniform(-spread_yaw, spread_yaw, num)
        room = np.array(support.half_size) - _extent(self._measured(built).size, yaw)
        offset = self.rng.uniform(-1, 1, (num, 2)) * room.clip(0) + support.center
        spots = self._relative(idx, offset[:, 0], offset[:, 1], yaw)
        fits = (room >= 0).all(1)
        height = np.full(fits.sum(), item.position[2] + support.height)
        spots = Spots(*(v[fits] for v in spots))._replace(z=height)
        return self.put(name, built, spots, rests_on=item.item_id)


def _extent(size: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Half the axis-aligned footprint of an object turned by yaw, (m, 2)."""
    c, s = np.abs(np.cos(yaw)), np.abs(np.sin(yaw))
    return np.stack([size[0] * c + size[1] * s, size[0] * s + size[1] * c], -1) / 2


def _on_support(spots: Spots, size: np.ndarray, carrier: ObjectInstance, support: Support) -> np.ndarray:
    """At which spots the whole footprint lies above a support, (m,)."""
    c, s = math.cos(carrier.yaw), math.sin(carrier.yaw)
    dx, dy = spots.x - carrier.position[0], spots.y - carrier.position[1]
    offset = np.stack([c * dx + s * dy, c * dy - s * dx], -1) - support.center
    return np.all(np.abs(offset) + _extent(size, spots.yaw - carrier.yaw) <= support.half_size, axis=1)


def _mat_surface(mat: Built) -> Support:
    """The level top of a mat: that of its highest part."""
    part = max(mat.parts, key=lambda p: p.center[2] + p.half_size[2])
    (x, y, z), (hx, hy, hz) = part.center, part.half_size
    return Support(z + hz, (x, y), (hx, hy))


def _front_zone(block: Block, room: float) -> Block:
    """Floor to keep free before the front of an item."""
    forward = block.half[1] + room / 2
    x = block.center[0] - math.sin(block.yaw) * forward
    y = block.center[1] + math.cos(block.yaw) * forward
    return Block((x, y), (block.half[0], room / 2), (0.0, ZONE_HEIGHT_M), block.yaw, block.item_idx)


def _seats(size: np.ndarray) -> list[tuple[int, int, float]]:
    """Places round a table of a size: (outward x, outward y, slide along the edge)."""
    two = size[0] / 4 if size[0] > 1.05 else 0.0
    long = [(0, sy, slide) for sy in (-1, 1) for slide in ((-two, two) if two else (0.0,))]
    return [*long, (-1, 0, 0.0), (1, 0, 0.0)]
