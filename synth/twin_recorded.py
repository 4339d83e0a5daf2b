"""The second implementation for recorded frames: boxes in space as solids, or outlines lifted by their depth."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.files import UNKNOWN_PIXEL, read_raster
from synth.twin import Array, TwinCamera, TwinRoom

_ROOM, _UNKNOWN = -1, -2
_SAME, _SMOOTH, _SUPPORT, _UNMEASURED = 0.02, 0.03, 0.7, 0.1
_MIN_POINTS, _PER_FRAME, _BIN_PX, _REACH = 30, 1500, 2.0, 2
_LANDMARKS = 24
_Z_NEAR = 1e-3


class TwinSolids(TwinRoom):
    """Boxes along the axes of the scene's frame, with nothing else around them."""

    def __init__(self, scene: dict[str, Any]) -> None:
        super().__init__({"items": [_as_item(item) for item in scene["items"]], "shell": []})

    def surface(self, cam: TwinCamera, u: Array, v: Array) -> tuple[Array, Any]:
        z, owner = super().surface(cam, u, v)
        missed = ~np.isfinite(z)
        return np.where(missed, np.nan, z), np.where(missed, _UNKNOWN, owner)


def _as_item(item: dict[str, Any]) -> dict[str, Any]:
    low, high = np.array(item["min"], float), np.array(item["max"], float)
    part = {"shape": "box", "half_size": ((high - low) / 2).tolist(), "center": [0, 0, 0], "rotvec": [0, 0, 0]}
    return {"item_id": item["item_id"], "kind": item["kind"], "position": (low + high) / 2, "yaw": 0.0, "parts": [part]}


class TwinPixels:
    """Frames with depth and instance rasters, as `input/` keeps them."""

    def __init__(self, folder: Path, scene: dict[str, Any]) -> None:
        self.item_ids = [item["item_id"] for item in scene["items"]]
        self.kinds = [item["kind"] for item in scene["items"]]
        self.cams = [
            TwinCamera(np.array(f["K"]), f["width"], f["height"], np.array(f["T_world_cam"])) for f in scene["frames"]
        ]
        self._folder, self._files = folder, [frame["files"] for frame in scene["frames"]]

    @cached_property
    def rasters(self) -> list[tuple[Array, NDArray[np.int64]]]:
        """z-depth and owner of every pixel of every frame."""
        found = []
        for entry in self._files:
            mm = read_raster(self._folder / entry["depth"]["file"]).astype(np.float32)
            ids = read_raster(self._folder / entry["instances"]["file"]).astype(int)
            z = np.where(mm > 0, mm / np.float32(1000), np.nan)
            found.append((z, np.where(ids == UNKNOWN_PIXEL, _UNKNOWN, ids - 1)))
        return found

    def _frame(self, cam: TwinCamera) -> int | None:
        return next((f for f, c in enumerate(self.cams) if np.array_equal(c.T_world_cam, cam.T_world_cam)), None)

    @cached_property
    def clouds(self) -> list[tuple[Array, NDArray[np.int64], Array]]:
        """(points, frame of each, what each frame says of each: 1 own, 0 another's, NaN unseen) of every item."""
        return [self._cloud(item) for item in range(len(self.kinds))]

    def _cloud(self, item: int) -> tuple[Array, NDArray[np.int64], Array]:
        parts = [(f, self._lift(f, item)) for f in range(len(self.cams))]
        parts = [(f, points) for f, points in parts if len(points) >= _MIN_POINTS]
        points = np.concatenate([np.empty((0, 3)), *(p for _, p in parts)])
        origin = np.repeat([f for f, _ in parts], [len(p) for _, p in parts]).astype(int)
        votes = np.array([self._votes(f, points, item) for f in range(len(self.cams))]).reshape(len(self.cams), -1)
        return points, origin, votes

    def _lift(self, frame: int, item: int) -> Array:
        z, owner = self.rasters[frame]
        own = np.where(owner == item, z, np.nan).astype(float)
        rows, cols = np.nonzero(np.isfinite(own))
        around = [
            _shifted(own, dr, dc)[rows, cols] for dr in range(-_REACH, _REACH + 1) for dc in range(-_REACH, _REACH + 1)
        ]
        median = np.nanmedian(around, axis=0) if len(rows) else np.empty(0)
        keep = np.abs(own[rows, cols] - median) <= _SMOOTH * median
        rows, cols = rows[keep], cols[keep]
        step = max(1, math.ceil(len(rows) / _PER_FRAME))
        rows, cols = rows[::step], cols[::step]
        cam = self.cams[frame]
        return cam.center + own[rows, cols][:, None] * cam.rays(cols + 0.5, rows + 0.5)

    def _measured(self, frame: int, points: Array) -> tuple[Any, Array, Array, Any]:
        """(inside the picture, z of the points, measured z there, owner there)."""
        cam, (z, owner) = self.cams[frame], self.rasters[frame]
        p_cam = cam.to_cam(points)
        front = p_cam[:, 2] > 0
        uv = cam.pixels(np.where(front[:, None], p_cam, [0, 0, 1]))
        inside = front & (uv >= 0).all(1) & (uv <= [cam.width, cam.height]).all(1)
        col, row = np.clip(np.where(inside[:, None], uv, 0).astype(int), 0, [cam.width - 1, cam.height - 1]).T
        return inside, p_cam[:, 2], z[row, col].astype(float), owner[row, col]

    def _votes(self, frame: int, points: Array, item: int) -> Array:
        inside, z, z_front, owner = self._measured(frame, points)
        with np.errstate(invalid="ignore"):
            seen = inside & (np.abs(z - z_front) <= _SAME * z)
        return np.where(seen, owner == item, np.nan)

    def _known(self, item: int, frame: int | None) -> Array:
        """Points of an item that the other frames agree on."""
        points, origin, votes = self.clouds[item]
        others = [f for f in range(len(votes)) if f != frame]
        count = np.isfinite(votes[others]).sum(0)
        agreed = np.nansum(votes[others], axis=0)
        return points[(count >= min(2, len(others))) & (agreed >= _SUPPORT * count) & (origin != frame)]

    def amodal_box(self, item: int, cam: TwinCamera) -> Array:
        """Box of what the other frames know of an item, half a pixel around; NaN out of view."""
        p_cam = cam.to_cam(self._known(item, self._frame(cam)))
        uv = cam.pixels(p_cam[p_cam[:, 2] > _Z_NEAR])
        if len(uv) < _MIN_POINTS:
            return np.full(4, np.nan)
        size = [cam.width, cam.height]
        low, high = np.clip(uv.min(0) - 0.5, 0, size), np.clip(uv.max(0) + 0.5, 0, size)
        return np.concatenate([low, high]) if (low < high).all() else np.full(4, np.nan)

    def visible_box(self, item: int, cam: TwinCamera, amodal: Array) -> Array:
        """Box around the pixels of an item's outline in the frame."""
        frame = self._frame(cam)
        rows, cols = np.nonzero(self.rasters[frame][1] == item) if frame is not None else ((), ())
        if not len(rows):
            return np.full(4, np.nan)
        return np.array([np.min(cols), np.min(rows), np.max(cols) + 1, np.max(rows) + 1], float)

    def partition(self, item: int, cam: TwinCamera, *, fine: bool = False) -> dict[str, Any] | None:
        """Shares of what the other frames know of an item, by bins of directions; `fine` makes no difference."""
        frame = self._frame(cam)
        points = self._known(item, frame)
        if frame is None or len(points) < _MIN_POINTS:
            return None
        points = _nearest_in_bins(points, cam.center, _BIN_PX / ((cam.K[0, 0] + cam.K[1, 1]) / 2))
        inside, z, z_front, owner = self._measured(frame, points)
        with np.errstate(invalid="ignore"):
            hidden = inside & (z > z_front * (1 + _SAME)) & (owner != item)
        known = ~inside | np.isfinite(z_front) | (owner == item)
        if known.mean() < 1 - _UNMEASURED:
            return None
        behind = cam.to_cam(points)[:, 2] <= 0
        share = lambda mask: float((mask & known).sum() / known.sum())  # noqa: E731
        return {
            "visible": share(inside & ~hidden),
            "outside": share(~behind & ~inside),
            "behind": share(behind),
            "hidden": share(hidden),
            "hidden_by": {int(j): share(hidden & (owner == j)) for j in np.unique(owner[hidden & known])},
        }

    def witness(self, item: int, before: int, after: int) -> float | None:
        """Share of an item's points of one frame that another shows as the item's, where it sees them."""
        points, origin, votes = self.clouds[item]
        own = votes[after][origin == before]
        seen = np.isfinite(own)
        return float(own[seen].mean()) if seen.sum() >= _MIN_POINTS else None

    def surface(self, cam: TwinCamera, u: Array, v: Array) -> tuple[Array, Any]:
        """z-depth and owner as the frame has them."""
        frame = self._frame(cam)
        if frame is None:
            return np.full(len(u), np.nan), np.full(len(u), _UNKNOWN)
        z, owner = self.rasters[frame]
        at = v.astype(int), u.astype(int)
        return z[at].astype(float), owner[at]

    def landmarks(self, cam: TwinCamera) -> Array:
        """Pixel positions, (n, 2), to compare."""
        grid = np.meshgrid(*(np.linspace(0, size - 1, _LANDMARKS) for size in (cam.width, cam.height)))
        return np.stack(grid, -1).reshape(-1, 2)

    def sees(self, p_world: Array, center: Array) -> Any:
        """True: where no picture was taken nobody knows what hides a surface."""
        return np.ones(len(p_world), bool)


def _shifted(values: Array, down: int, right: int) -> Array:
    """Each pixel's neighbour so far down and right; NaN beyond the border."""
    height, width = values.shape
    padded = np.pad(values, _REACH, constant_values=np.nan)
    return padded[_REACH + down : _REACH + down + height, _REACH + right : _REACH + right + width]


def _nearest_in_bins(points: Array, center: Array, size: float) -> Array:
    """Of the points in one bin of directions the nearest; bins are equal steps of longitude and sine of latitude."""
    x, y, z = (points - center).T
    dist = np.sqrt(x * x + y * y + z * z)
    bins = np.stack([np.floor(y / np.maximum(dist, 1e-12) / size), np.floor(np.arctan2(x, z) / size)], -1)
    order = np.argsort(dist, kind="stable")
    first = np.unique(bins[order], axis=0, return_index=True)[1]
    return points[order][first]
