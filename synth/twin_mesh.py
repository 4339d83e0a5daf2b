"""The second implementation for scenes of triangles: pyramids of three planes instead of a search tree.

All rays of a question start at one camera centre. Seen from there a triangle is a pyramid, and a ray meets it if it
lies on the inner side of three planes: three products of a direction with vectors that are known before. Directions
are sorted into cells of a cube around the centre, and each cell keeps the triangles that may reach into it: on one face
of the cube by the box around the triangle there, across its edges by the cones around triangle and cell.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.twin import TwinCamera, TwinRoom
from synth.twin_shapes import Array

_UNKNOWN = -2
_Z_NEAR = 1e-3
_COARSE, _FINE = 4, 8
_CELLS = _COARSE * _FINE
_PAIRS = 2_000_000
_LANDMARKS = 6


class TwinMesh(TwinRoom):
    """The triangles of a scene.json of type "mesh", read on their own."""

    def __init__(self, scene: dict[str, Any]) -> None:
        self.item_ids = [item["item_id"] for item in scene["items"]]
        self.kinds = [item["kind"] for item in scene["items"]]
        steps = _array(scene["vertices"], "<i4").reshape(-1, 3)
        self.corners = (steps / round(1 / scene["grid_m"]))[_array(scene["triangles"], "<u4").reshape(-1, 3)]
        self.owner = _array(scene["item_idx"], "<i2").astype(int)
        self._from = lru_cache(4)(self._fan)

    def _fan(self, *origin: float) -> _Fan:
        return _Fan(self.corners - np.array(origin))

    def first(self, origin: Array, direction: Array, solids: NDArray[np.intp] | None = None) -> tuple[Array, Any]:
        """Nearest hit along each ray: (t, owner); t is inf and owner -1 where nothing is met."""
        t, triangle = self._from(*origin.tolist()).first(direction, solids)
        return t, np.where(triangle >= 0, self.owner[triangle], -1)

    def surface(self, cam: TwinCamera, u: Array, v: Array) -> tuple[Array, Any]:
        """z-depth and owner at pixel positions; beyond the scene nothing is known."""
        z, owner = super().surface(cam, u, v)
        missed = ~np.isfinite(z)
        return np.where(missed, np.nan, z), np.where(missed, _UNKNOWN, owner)

    def hull(self, item: int) -> Array:
        """Points (world) whose hull holds the item: its corners."""
        return np.unique(self.corners[self.of_item(item)].reshape(-1, 3), axis=0)

    def amodal_box(self, item: int, cam: TwinCamera) -> Array:
        """Box of all triangles, each cut at the near plane, and cut at the image; NaN where it is not in view."""
        p_cam = cam.to_cam(self.corners[self.of_item(item)])
        after = np.roll(p_cam, -1, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (_Z_NEAR - p_cam[..., 2:]) / (after[..., 2:] - p_cam[..., 2:])
            cut = p_cam + share * (after - p_cam)
        crosses = (share[..., 0] > 0) & (share[..., 0] < 1)
        uv = cam.pixels(np.concatenate([p_cam[p_cam[..., 2] >= _Z_NEAR], cut[crosses]]))
        if not len(uv):
            return np.full(4, np.nan)
        size = np.array([cam.width, cam.height])
        low, high = np.clip(uv.min(0), 0, size), np.clip(uv.max(0), 0, size)
        return np.concatenate([low, high]) if (low < high).all() else np.full(4, np.nan)

    def landmarks(self, cam: TwinCamera) -> Array:
        """Pixel positions, (n, 2), where something of an item should show: middles of its largest triangles."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        area = np.linalg.norm(np.linalg.cross(b - a, c - a), axis=1)
        largest = [own[np.argsort(-area[own])[:_LANDMARKS]] for own in map(self.of_item, range(len(self.kinds)))]
        p_cam = cam.to_cam(self.corners[np.concatenate([np.empty(0, int), *largest])].mean(1))
        uv = cam.pixels(p_cam[p_cam[:, 2] > _Z_NEAR])
        return uv[((uv >= 0) & (uv < [cam.width, cam.height])).all(1)]


@dataclass(frozen=True)
class _Fan:
    """Triangles as seen from one point, at which the origin is: corners (f, 3, 3)."""

    corners: Array

    @cached_property
    def sides(self) -> Array:
        """Inner normals of the three side planes of each pyramid, divided by its volume: (f, 3, 3).

        The products of a direction d with them are the barycentric weights of where it meets the plane, over t.
        """
        a, b, c = np.moveaxis(self.corners, 1, 0)
        normals = np.stack([np.linalg.cross(b, c), np.linalg.cross(c, a), np.linalg.cross(a, b)], 1)
        volume = (a * normals[:, 0]).sum(1)
        # From within its plane a triangle is a line, which no ray meets: no product with NaN is >= 0.
        return normals / np.where(volume == 0, np.nan, volume)[:, None, None]

    def _cones(self, which: NDArray[np.intp]) -> tuple[Array, Array]:
        """Axis (n, 3) and half angle (n,) of a cone around some triangles; pi where the cap would not be convex."""
        unit = self.corners[which] / np.maximum(np.linalg.norm(self.corners[which], axis=2, keepdims=True), 1e-12)
        axis = unit.sum(1)
        axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-12)
        least = np.einsum("fcx,fx->fc", unit, axis).min(1)
        return axis, np.where(least > 0.01, np.arccos(np.clip(least, -1, 1)) + 1e-6, np.pi)

    @cached_property
    def cells(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Triangles of each cell, one cell after the other, and where each cell starts, (cells + 1,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            face, across = _on_cube(self.corners)
        is_on_one = (face == face[:, :1]).all(1) & np.isfinite(across).all((1, 2))
        on_one, on_more = np.flatnonzero(is_on_one), np.flatnonzero(~is_on_one)
        some, rest = _in_boxes(face[on_one, 0], across[on_one]), self._in_cones(on_more)
        of = np.concatenate([some[0], rest[0]])
        triangle = np.concatenate([on_one[some[1]], on_more[rest[1]]])
        order = np.argsort(of, kind="stable")
        return triangle[order], np.searchsorted(of[order], np.arange(6 * _CELLS**2 + 1))

    def _in_cones(self, which: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Cells whose cones meet those of triangles: cell and place in `which` of each pair."""
        axis, angle = self._cones(which)
        coarse_axis, coarse_angle = _cell_cones(_COARSE)
        cell, triangle = np.nonzero(_meet(coarse_axis, coarse_angle, axis, angle))
        fine_axis, fine_angle = _cell_cones(_CELLS)
        inner = _inner_cells()[cell]
        near = np.einsum("psx,px->ps", fine_axis[inner], axis[triangle])
        reach = np.minimum(fine_angle[inner] + angle[triangle][:, None], np.pi)
        pair, sub = np.nonzero(near >= np.cos(reach) - 1e-9)
        return inner[pair, sub], triangle[pair]

    def first(self, direction: Array, among: NDArray[np.intp] | None) -> tuple[Array, NDArray[np.intp]]:
        """Nearest hit of each ray: t and triangle, inf and -1 where there is none."""
        t, triangle = np.full(len(direction), np.inf), np.full(len(direction), -1)
        members, start = self.cells if among is None else self._only(among)
        cell = _cell_of(direction, _CELLS)
        counts = start[cell + 1] - start[cell]
        ends = np.cumsum(counts)
        low = 0
        while low < len(direction):
            high = max(low + 1, int(np.searchsorted(ends, ends[low] - counts[low] + _PAIRS)))
            some = slice(low, high)
            self._meet_some(direction[some], members, start[cell[some]], counts[some], t[some], triangle[some])
            low = high
        return t, triangle

    def _only(self, among: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        wanted = np.zeros(len(self.corners), bool)
        wanted[among] = True
        members, start = self.cells
        kept = wanted[members]
        return members[kept], np.concatenate([[0], np.cumsum(kept)])[start]

    def _meet_some(self, direction: Array, members: Any, start: Any, counts: Any, t: Array, triangle: Any) -> None:
        """Fill t and triangle for rays that have `counts` candidates each, from place `start` of `members`."""
        ray, within = _counted(counts)
        if not len(ray):
            return
        candidate = members[np.repeat(start, counts) + within]
        weights = np.einsum("pcx,px->pc", self.sides[candidate], direction[ray])
        hits = (weights >= 0).all(1)
        ray, candidate, distance = ray[hits], candidate[hits], 1 / weights[hits].sum(1)
        order = np.lexsort((distance, ray))
        nearest = order[np.diff(ray[order], prepend=-1) > 0]
        t[ray[nearest]], triangle[ray[nearest]] = distance[nearest], candidate[nearest]


def _array(text: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)


def _meet(axis: Array, angle: Array, other_axis: Array, other_angle: Array) -> NDArray[np.bool_]:
    """Which cones overlap, (n, m)."""
    return axis @ other_axis.T >= np.cos(np.minimum(angle[:, None] + other_angle, np.pi)) - 1e-9


def _cell_of(direction: Array, n: int) -> NDArray[np.intp]:
    """Cell of each direction: the face of a cube, then the row and column among n x n squares on it."""
    face, across = _on_cube(direction)
    i, j = _squares(across, n).T
    return face * n * n + i * n + j


def _on_cube(direction: Array) -> tuple[NDArray[np.intp], Array]:
    """Face of a cube that each direction (..., 3) leads to, (...), and where on it, (..., 2) within -1..1."""
    k = np.abs(direction).argmax(-1)[..., None]
    most, u, v = (np.take_along_axis(direction, (k + s) % 3, -1) for s in range(3))
    return (2 * k + (most < 0))[..., 0], np.concatenate([u, v], -1) / np.abs(most)


def _squares(across: Array, n: int) -> NDArray[np.intp]:
    """Row and column among n x n squares on a face."""
    return np.clip(((across + 1) / 2 * n).astype(int), 0, n - 1)


def _in_boxes(face: NDArray[np.intp], across: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cells in the box around each triangle, whose corners are on one face: cell and place of each pair.

    Args:
        face: (n,).
        across: corners there, (n, 3, 2).
    """
    low, high = _squares(across.min(1) - 1e-9, _CELLS), _squares(across.max(1) + 1e-9, _CELLS)
    rows, cols = (high - low + 1).T
    triangle, within = _counted(rows * cols)
    i, j = low[triangle, 0] + within // cols[triangle], low[triangle, 1] + within % cols[triangle]
    return face[triangle] * _CELLS**2 + i * _CELLS + j, triangle


def _counted(counts: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each n counts[n] times, and the numbers 0..counts[n] - 1 beside it."""
    n = np.repeat(np.arange(len(counts)), counts)
    return n, np.arange(len(n)) - np.repeat(np.cumsum(counts) - counts, counts)


@lru_cache(2)
def _cell_cones(n: int) -> tuple[Array, Array]:
    """Axis and half angle of a cone around each cell, in the order of `_cell_of`."""
    edges = np.linspace(-1, 1, n + 1)
    low = np.stack(np.meshgrid(edges[:-1], edges[:-1], indexing="ij"), -1).reshape(-1, 1, 2)
    square = low + np.array([(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]) * 2 / n
    corners = np.empty((6, n * n, 5, 3))
    for k in range(3):
        for sign in (0, 1):
            corners[2 * k + sign, ..., k] = 1 - 2 * sign
            corners[2 * k + sign, ..., (k + 1) % 3], corners[2 * k + sign, ..., (k + 2) % 3] = np.moveaxis(
                square, -1, 0
            )
    unit = (corners / np.linalg.norm(corners, axis=-1, keepdims=True)).reshape(-1, 5, 3)
    axis = unit[:, 4]
    return axis, np.arccos(np.clip(np.einsum("ncx,nx->nc", unit, axis).min(1), -1, 1)) + 1e-6


@lru_cache(1)
def _inner_cells() -> NDArray[np.intp]:
    """Fine cells of each coarse cell, (coarse cells, fine per coarse)."""
    parent = _cell_of(_cell_cones(_CELLS)[0], _COARSE)
    return np.argsort(parent, kind="stable").reshape(6 * _COARSE**2, _FINE**2)
