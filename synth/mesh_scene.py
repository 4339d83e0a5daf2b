"""A scene of triangles, some of which are named objects; `synth.read_mesh` makes one from a file."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geom.scale import Scale
from geom.tessellate import Mesh
from synth.safe_read import mapping, number, sequence
from synth.transition import ROOM

GRID_M = 1e-5
"""Vertices lie on this grid, so that scene.json holds exactly the geometry that the labels were made from."""

MAX_TRIANGLES = 500_000
MAX_ITEMS = 1000
REACH_M = 100.0
"""No vertex is further from the origin along an axis: rays are cast in float32 (`geom.embree`)."""

UPS = ("y", "z")

_ARRAYS = {"vertices": ("<i4", 3), "triangles": ("<u4", 3), "item_idx": ("<i2", 1), "colors": ("u1", 3)}


@dataclass(frozen=True)
class MeshItem:
    """A named object: the word for it, and a name of its own."""

    item_id: str
    kind: str


@dataclass(frozen=True)
class MeshSource:
    """Where a scene is from, and what was taken for up and for a metre there.

    Args:
        file: name of the file, without its folder.
        up: axis of the file that points up, "y" or "z".
        units_per_m: how many units of the file make a metre.
        stated: whether the user said so; else the format does (glTF: y and metres).

    Raises:
        ValueError: if up is another axis, or units_per_m no number > 0.
    """

    file: str
    up: str = "y"
    units_per_m: float = 1.0
    stated: bool = False

    def __post_init__(self) -> None:
        if self.up not in UPS:
            raise ValueError(f"up must be 'y' or 'z', got {self.up!r}")
        if not number(self.units_per_m, "units_per_m") > 0:
            raise ValueError(f"units_per_m must be a number > 0, got {self.units_per_m}")

    @property
    def scale(self) -> Scale:
        """What the scene's metres rest on."""
        unit = "in metres" if self.units_per_m == 1 else f"{self.units_per_m:g} units per metre"
        return Scale(
            "metric", f"mesh file, {unit} and {self.up} up, {'as stated' if self.stated else 'as glTF specifies'}"
        )

    @staticmethod
    def from_dict(value: Any) -> MeshSource:
        """Rebuild what `asdict` made; raises ValueError if it is something else."""
        value = mapping(value, "the source of a mesh scene", "file", "up", "units_per_m", "stated")
        if not isinstance(value["stated"], bool):
            raise ValueError(f"stated must be true or false, got {value['stated']!r}")
        return MeshSource(str(value["file"]), str(value["up"]), value["units_per_m"], value["stated"])


@dataclass(frozen=True, eq=False)
class MeshScene:
    """Triangles in the world (z up, metres), each with an owner and a colour.

    Args:
        source: the file that it was read from.
        items: the objects that may be asked about.
        vertices: (v, 3) float64, world, metres, whole multiples of `GRID_M`.
        triangles: (f, 3) int64 rows of vertices, none without area; counter-clockwise seen from outside.
        item_idx: (f,) int64, place of the owner in `items`; ROOM for floor, walls and what has no name.
        colors: (f, 3) uint8 sRGB.

    Raises:
        ValueError: if sizes differ, an index is out of range, there is nothing or too much, or it reaches too far.
    """

    source: MeshSource
    items: tuple[MeshItem, ...]
    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    item_idx: NDArray[np.int64]
    colors: NDArray[np.uint8]

    def __post_init__(self) -> None:
        f, v = len(self.triangles), len(self.vertices)
        if not 0 < f <= MAX_TRIANGLES or len(self.items) > MAX_ITEMS:
            raise ValueError(
                f"a mesh scene has 1 to {MAX_TRIANGLES} triangles and at most {MAX_ITEMS} items, "
                f"got {f} and {len(self.items)}; simplify it first"
            )
        if len(self.item_idx) != f or len(self.colors) != f:
            raise ValueError(
                f"{f} triangles need as many owners and colours, got {len(self.item_idx)} and {len(self.colors)}"
            )
        if not (self.triangles.min() >= 0 and self.triangles.max() < v):
            raise ValueError(f"triangles must name vertices 0..{v - 1}, got {self.triangles.max()}")
        if set(np.unique(self.item_idx)) - {ROOM} != set(range(len(self.items))):
            raise ValueError(f"each of {len(self.items)} items must own triangles, and nobody else but the room")
        if not np.abs(self.vertices).max() <= REACH_M:
            raise ValueError(
                f"vertices must lie within {REACH_M:g} m of the origin along each axis, got "
                f"{np.abs(self.vertices).max():g}; is the unit stated right, or must the scene be moved?"
            )
        if not (_doubled_area(self.corners) > 0).all():
            raise ValueError("every triangle must have an area, got one without; was the scene written by hand?")

    @property
    def corners(self) -> NDArray[np.float64]:
        """Corners of each triangle, (f, 3, 3), world, metres."""
        return self.vertices[self.triangles]

    def mesh(self, which: NDArray[np.bool_] | None = None) -> Mesh:
        """The triangles as a caster takes them, all or those of a mask; each answers with its place in this scene."""
        prim_idx = np.arange(len(self.triangles))
        if which is None:
            return Mesh(self.vertices, self.triangles, prim_idx)
        vertex_idx, rows = np.unique(self.triangles[which], return_inverse=True)
        return Mesh(self.vertices[vertex_idx], rows.reshape(-1, 3), prim_idx[which])

    def to_dict(self) -> dict[str, Any]:
        """The scene as scene.json keeps it.

        Arrays are base64 of little-endian integers: a third of the size of lists of numbers, quick to read, and
        exact, as vertices are counted in grid steps. JSON has no arrays of its own that would be any clearer.
        """
        steps = np.rint(self.vertices / GRID_M)
        arrays = {"vertices": steps, "triangles": self.triangles, "item_idx": self.item_idx, "colors": self.colors}
        packed = {
            name: base64.b64encode(arrays[name].astype(dtype).tobytes()).decode()
            for name, (dtype, _) in _ARRAYS.items()
        }
        return {"source": asdict(self.source), "items": [asdict(i) for i in self.items], "grid_m": GRID_M, **packed}

    @staticmethod
    def from_dict(value: Any) -> MeshScene:
        """Rebuild what `to_dict` wrote.

        Raises:
            ValueError: if a key is missing, an array is no base64 of its type, or as for the class.
        """
        value = mapping(value, "a mesh scene", "source", "items", "grid_m", *_ARRAYS)
        if value["grid_m"] != GRID_M:
            raise ValueError(f"grid_m must be {GRID_M}, got {value['grid_m']!r}")
        entries = [mapping(item, "an item", "item_id", "kind") for item in sequence(value["items"], "items")]
        items = tuple(MeshItem(str(item["item_id"]), str(item["kind"])) for item in entries)
        if len({item.item_id for item in items}) != len(items):
            raise ValueError("the item_id of each item must be its own, got one twice")
        source = MeshSource.from_dict(value["source"])
        vertices, triangles, item_idx, colors = (_unpacked(value[name], name) for name in _ARRAYS)
        rows, owner = triangles.astype(np.int64), item_idx[:, 0].astype(np.int64)
        return MeshScene(source, items, _on_grid(vertices), rows, owner, colors)


def build_scene(
    source: MeshSource,
    items: tuple[MeshItem, ...],
    corners: NDArray[np.float64],
    item_idx: NDArray[np.int64],
    colors: NDArray[np.uint8],
) -> MeshScene:
    """Put loose triangles on the grid, join corners that meet, and drop triangles without area and items without any.

    Args:
        source: the file that they are from.
        items: candidates.
        corners: (f, 3, 3) world, metres.
        item_idx: (f,) owner of each triangle.
        colors: (f, 3) uint8 sRGB.

    Raises:
        ValueError: if a corner is not finite, no triangle has an area, or as for `MeshScene`.
    """
    if not np.isfinite(corners).all():
        raise ValueError("vertices must be finite, got NaN or inf; is the file damaged?")
    if len(corners) and np.abs(corners).max() > 2 * REACH_M:
        corners = corners.clip(-2 * REACH_M, 2 * REACH_M)  # MeshScene says what is wrong; the grid has its limits
    steps = np.rint(corners / GRID_M).astype(np.int64)
    has_area = _doubled_area(steps) > 0
    if not has_area.any():
        raise ValueError("the scene must have triangles with an area, got none; is it empty, or its data compressed?")
    steps, item_idx, colors = steps[has_area], item_idx[has_area], colors[has_area]
    unique, triangles = np.unique(steps.reshape(-1, 3), axis=0, return_inverse=True)
    left = np.unique(item_idx[item_idx != ROOM])
    new_idx = np.where(item_idx == ROOM, ROOM, np.searchsorted(left, item_idx))
    kept = tuple(items[int(i)] for i in left)
    return MeshScene(source, kept, _on_grid(unique), triangles.reshape(-1, 3), new_idx, np.ascontiguousarray(colors))


def _doubled_area(corners: NDArray[Any]) -> NDArray[np.float64]:
    a, b, c = corners.transpose(1, 0, 2).astype(np.float64)
    return np.linalg.norm(np.cross(b - a, c - a), axis=-1)


def _on_grid(steps: NDArray[Any]) -> NDArray[np.float64]:
    # One rounding for all who read a scene: a whole number divided, not times 1e-5.
    return steps.astype(np.float64) / round(1 / GRID_M)


def _unpacked(text: Any, name: str) -> NDArray[Any]:
    dtype, width = _ARRAYS[name]
    try:
        data = base64.b64decode(text, validate=True)
        return np.frombuffer(data, dtype).reshape(-1, width).copy()
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"{name} must be base64 of {dtype} in rows of {width}; is the file cut off?") from None
