"""Unit shapes for the second implementation: where rays meet them, and points that outline them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

_RIM = 256


def _box_hits(o: Array, d: Array) -> Array:
    inverse = 1 / np.where(d == 0, 1e-300, d)
    middle, half = -o * inverse, np.abs(inverse)
    near, far = np.maximum.reduce([*(middle - half)]), np.minimum.reduce([*(middle + half)])
    t = np.where(near > 0, near, far)
    return np.where((near <= far) & (t > 0), t, np.inf)


def _roots(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Roots of a t^2 + 2 b t + c, NaN where there are none."""
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (-b + root) / a


def _ellipsoid_hits(o: Array, d: Array) -> Array:
    near, far = _roots((d * d).sum(0), (o * d).sum(0), (o * o).sum(0) - 1)
    t = np.where(near > 0, near, far)
    return np.where(t > 0, t, np.inf)


def _cap_hits(o: Array, d: Array, z: float) -> Array:
    t = (z - o[2]) / d[2]
    x, y = o[0] + t * d[0], o[1] + t * d[1]
    return np.where((t > 0) & (x * x + y * y <= 1), t, np.inf)


def _disc_hits(o: Array, d: Array) -> Array:
    return _cap_hits(o, d, 0.0)


def _cylinder_hits(o: Array, d: Array) -> Array:
    side = np.full(d.shape[1], np.inf)
    for t in _roots((d[:2] ** 2).sum(0), (o[:2] * d[:2]).sum(0), (o[:2] ** 2).sum(0) - 1):
        side = np.fmin(side, np.where((t > 0) & (np.abs(o[2] + t * d[2]) <= 1), t, np.inf))
    return np.minimum(side, np.minimum(_cap_hits(o, d, -1.0), _cap_hits(o, d, 1.0)))


UNIT_HITS = (_box_hits, _cylinder_hits, _ellipsoid_hits, _disc_hits)


def _grid_edges(rows: int, cols: int) -> NDArray[np.intp]:
    """Edges of a grid of points that closes on itself along the columns."""
    index = np.arange(rows * cols).reshape(rows, cols)
    around = np.stack([index, np.roll(index, 1, 1)], -1).reshape(-1, 2)
    along = np.stack([index[:-1], index[1:]], -1).reshape(-1, 2)
    return np.concatenate([around, along])


def _rings(z: Array, radius: Array, cols: int) -> Array:
    angle = np.arange(cols) * (2 * np.pi / cols)
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)
    xy = radius[:, None, None] * ring
    return np.concatenate([xy, np.broadcast_to(z[:, None, None], (len(z), cols, 1))], -1).reshape(-1, 3)


def _outlines() -> tuple[tuple[Array, NDArray[np.intp]], ...]:
    corners = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    box_edges = np.array([(i, j) for i in range(8) for j in range(i) if (corners[i] != corners[j]).sum() == 1])
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 65)
    ends, flat = np.array([-1.0, 1.0]), np.array([0.0])
    return (
        (corners, box_edges),
        (_rings(ends, np.ones(2), _RIM), _grid_edges(2, _RIM)),
        (_rings(np.sin(latitude), np.cos(latitude), 128), _grid_edges(65, 128)),
        (_rings(flat, np.ones(1), _RIM), _grid_edges(1, _RIM)),
    )


OUTLINES = _outlines()


@dataclass(frozen=True)
class Patch:
    """A patch of longitude and latitude around an axis, wide enough for a set of points."""

    frame: Array
    low: Array
    high: Array

    @staticmethod
    def around(offset: Array) -> Patch:
        """The patch that holds all directions of some offsets from the camera centre."""
        unit = offset / np.linalg.norm(offset, axis=1, keepdims=True)
        axis = (unit.min(0) + unit.max(0)) / 2
        axis = axis / max(np.linalg.norm(axis), 1e-12)
        helper = np.eye(3)[np.abs(axis).argmin()]
        side = np.linalg.cross(helper, axis)
        side /= np.linalg.norm(side)
        frame = np.array([axis, side, np.linalg.cross(axis, side)])
        x, y, z = (unit @ frame.T).T
        if x.min() < 0.2:  # it surrounds the camera widely: take the whole sphere
            return Patch(frame, np.array([-np.pi, -np.pi / 2]), np.array([np.pi, np.pi / 2]))
        lon = np.arctan2(y, x)
        # Straight edges bulge in latitude between their ends, but tan(lat) = (z / x) cos(lon), with z / x linear there.
        slope = z / x
        widest = np.cos(np.abs(lon).max())
        high = slope.max() * (1 if slope.max() > 0 else widest)
        low = slope.min() * (1 if slope.min() < 0 else widest)
        return Patch(frame, np.array([lon.min(), np.arctan(low)]), np.array([lon.max(), np.arctan(high)]))

    def sample(self, n: int) -> tuple[Array, Array]:
        """Directions of the R2 low-discrepancy sequence in the patch, and their relative solid angles."""
        i = np.arange(1, n + 1)[:, None]
        lon, lat = (self.low + (i * [0.7548776662466927, 0.5698402909980532] % 1) * (self.high - self.low)).T
        local = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)
        return local @ self.frame, np.cos(lat)
