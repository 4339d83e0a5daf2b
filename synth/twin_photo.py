"""The second implementation for photographs: lifted pixels seen from near by, in plain numpy."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from synth.files import read_raster
from synth.twin import Array, TwinCamera

_SAME_SURFACE, _HIDES, _BEHIND_SURFACE = 0.02, 0.01, 0.02
_MAX_PARALLAX, _MAX_DOUBT, _MAX_HALF_PX = 0.1, 0.02, 1e-3
_SIGHT_STEPS, _MAX_POINTS, _LANDMARKS = 24, 4000, 48
_ROOM, _UNKNOWN = -1, -2


class TwinPhoto:
    """The outlined objects of a scene.json and the depth raster beside it; the world is the photo camera's frame."""

    def __init__(self, folder: Path, scene: dict[str, Any]) -> None:
        self._folder, self.items = folder, scene["items"]
        self.item_ids = [item["item_id"] for item in self.items]
        self.kinds = [item["kind"] for item in self.items]
        mm = read_raster(folder / "input" / "000_depth.png").astype(float)
        self.z = np.where(mm > 0, mm / 1000, np.nan)
        height, width = mm.shape
        self.photo = TwinCamera(np.array(scene["K"]), width, height, np.eye(4))
        v, u = np.mgrid[:height, :width] + 0.5
        self.points = self.z[..., None] * self.photo.rays(u, v)
        self._rasters: dict[bytes, tuple[Array, Any]] = {}

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """Which item each pixel belongs to: the first whose outline and depth range hold it, or as masked."""
        from skimage.draw import polygon2mask

        if not any("polygon" in item for item in self.items):
            ids = read_raster(self._folder / "input" / "000_instances.png").astype(int)
            return np.where(np.isnan(self.z), _UNKNOWN, ids - 1)
        owner = np.where(np.isnan(self.z), _UNKNOWN, _ROOM)
        for i, item in enumerate(self.items):
            inside = polygon2mask(self.z.shape, np.array(item["polygon"])[:, ::-1] - 0.5)
            near, far = item["z_range"]
            owner[(owner == _ROOM) & inside & (near <= self.z) & (self.z <= far)] = i
        return owner

    def raster(self, cam: TwinCamera) -> tuple[Array, Any]:
        """z-depth and owner of every pixel of a camera; NaN and -2 in holes. Kept for each pose."""
        key = cam.T_world_cam.tobytes()
        if key not in self._rasters:
            self._rasters = {key: self._splat(cam)}
        return self._rasters[key]

    def _splat(self, cam: TwinCamera) -> tuple[Array, Any]:
        """Paint each source pixel over its footprint; of several at one place the nearest stays."""
        p_cam = cam.to_cam(self.points)
        z_cam = p_cam[..., 2]
        front = z_cam > _MAX_HALF_PX
        uv = np.where(front[..., None], cam.pixels(np.where(front[..., None], p_cam, [0, 0, 1])), np.nan)
        half = self._half_footprint(uv, z_cam)
        cell = np.floor(np.nan_to_num(uv, nan=-9.0))
        targets, sources = [], []
        for shift in np.ndindex(3, 3):
            pixel = cell + np.array(shift) - 1
            covers = (np.abs(pixel + 0.5 - uv) <= half + _MAX_HALF_PX).all(-1)
            covers |= (shift == (1, 1)) & front
            covers &= ((pixel >= 0) & (pixel < [cam.width, cam.height])).all(-1)
            source = np.flatnonzero(covers)
            targets.append(pixel.reshape(-1, 2)[source].astype(int) @ [1, cam.width])
            sources.append(source)
        target, source = np.concatenate(targets), np.concatenate(sources)
        order = np.lexsort((source, z_cam.ravel()[source], target))
        first = order[np.unique(target[order], return_index=True)[1]]
        z, owner = np.full(cam.height * cam.width, np.nan), np.full(cam.height * cam.width, _UNKNOWN)
        z[target[first]] = z_cam.ravel()[source[first]]
        owner[target[first]] = self.owner.ravel()[source[first]]
        return z.reshape(cam.height, cam.width), owner.reshape(cam.height, cam.width)

    def _half_footprint(self, uv: Array, z_cam: Array) -> Array:
        """Half the box that reaches halfway to the neighbours on the same surface; face-on where there are none."""
        steps = []
        for axis in (1, 0):
            near, far = np.minimum(*_pairs(self.z, axis)), np.maximum(*_pairs(self.z, axis))
            a, b = _pairs(uv, axis)
            step = np.where((far - near < _SAME_SURFACE * near)[..., None], np.abs(b - a), np.nan)
            edge = np.full_like(np.take(uv, [0], axis), np.nan)
            steps.append(np.fmax(np.concatenate([edge, step], axis), np.concatenate([step, edge], axis)))
        alone = np.isnan(steps[0]) | np.isnan(steps[1])
        return np.where(alone, (self.z / z_cam / 2)[..., None], (steps[0] + steps[1]) / 2)

    def surface(self, cam: TwinCamera, u: Array, v: Array) -> tuple[Array, Any]:
        """z-depth and owner of what is seen at pixel positions."""
        z, owner = self.raster(cam)
        at = v.astype(int), u.astype(int)
        return z[at], owner[at]

    def landmarks(self, cam: TwinCamera) -> Array:
        """Pixel positions, (n, 2), to compare: many, for the raster is there already."""
        grid = np.meshgrid(*(np.linspace(0, size - 1, _LANDMARKS) for size in (cam.width, cam.height)))
        return np.stack(grid, -1).reshape(-1, 2)

    def _lifted(self, item: int) -> tuple[Array, Array]:
        own = self.owner == item
        return self.points[own], self.z[own] / self.photo.K[0, 0] / 2

    def amodal_box(self, item: int, cam: TwinCamera) -> Array:
        """Box of the side that the photograph shows; NaN out of view or where too little of it is known."""
        points, half = self._lifted(item)
        signs = np.array([(x, y, 0) for x in (-1, 1) for y in (-1, 1)])
        p_cam = cam.to_cam((points[:, None] + signs * half[:, None, None]).reshape(-1, 3))
        uv = cam.pixels(p_cam[p_cam[:, 2] > _MAX_HALF_PX])
        nothing = np.full(4, np.nan)
        if not len(uv) or not self.items[item]["complete"] or not self._is_known(item, cam):
            return nothing
        size = [cam.width, cam.height]
        low, high = np.clip(uv.min(0), 0, size), np.clip(uv.max(0), 0, size)
        return np.concatenate([low, high]) if (low < high).all() else nothing

    def _is_known(self, item: int, cam: TwinCamera) -> bool:
        a = self._lifted(item)[0]
        b = a - cam.center
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        return bool(np.arccos(np.clip(cosine, -1, 1)).max() <= _MAX_PARALLAX) and self.partition(item, cam) is not None

    def visible_box(self, item: int, cam: TwinCamera, amodal: Array) -> Array:
        """Box around the pixels that show the item."""
        rows, cols = np.nonzero(self.raster(cam)[1] == item)
        if not len(rows):
            return np.full(4, np.nan)
        return np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1], float)

    def partition(self, item: int, cam: TwinCamera, *, fine: bool = False) -> dict[str, Any] | None:
        """Shares of the side that the photograph shows; None where something unseen might hide too much of it.

        Every pixel counts already, so `fine` makes no difference.
        """
        points = self._lifted(item)[0]
        points = points[:: -(-len(points) // _MAX_POINTS)]
        # Steradians of a pixel at z are z^3 / r^3 / f^2; from elsewhere they change with the squared distance.
        r2 = (points**2).sum(1)
        weight = (points[:, 2] / np.sqrt(r2)) ** 3 * r2 / ((points - cam.center) ** 2).sum(1)
        weight /= weight.sum()
        p_cam = cam.to_cam(points)
        front = p_cam[:, 2] > 0
        uv = cam.pixels(np.where(front[:, None], p_cam, [0, 0, 1]))
        inside = front & (uv >= 0).all(1) & (uv <= [cam.width, cam.height]).all(1)
        col, row = np.clip(uv.astype(int), 0, [cam.width - 1, cam.height - 1]).T
        z, owner = (layer[row, col] for layer in self.raster(cam))
        hidden = inside & (owner != item) & (p_cam[:, 2] > z * (1 + _HIDES))
        visible = inside & ~hidden
        if weight[visible][~self.sees(points[visible], cam.center)].sum() > _MAX_DOUBT:
            return None
        return {
            "visible": weight[visible].sum(),
            "outside": weight[front & ~inside].sum(),
            "behind": weight[~front].sum(),
            "hidden": weight[hidden].sum(),
            "hidden_by": {int(j): weight[hidden & (owner == j)].sum() for j in np.unique(owner[hidden])},
        }

    @cached_property
    def _free_until(self) -> Array:
        """How far each pixel of the photograph has shown space to be empty, as z-depth."""
        nearest = minimum_filter(np.where(np.isnan(self.z), np.inf, self.z), 7, mode="nearest")
        free = np.where(np.isnan(self.z), nearest, self.z)
        return np.where(np.isfinite(free), free, 0) * (1 + _BEHIND_SURFACE)

    def sees(self, p_world: Array, center: Array) -> Any:
        """Whether the lines from a camera centre run through space that the photograph shows to be empty."""
        clear = np.ones(len(p_world), bool)
        for step in (np.arange(_SIGHT_STEPS) + 0.5) / _SIGHT_STEPS:
            p = center + step * (p_world - center)
            front = p[:, 2] > _MAX_HALF_PX
            uv = self.photo.pixels(np.where(front[:, None], p, [0, 0, 1]))
            shown = front & (uv >= 0).all(1) & (uv < [self.photo.width, self.photo.height]).all(1)
            col, row = np.where(shown[:, None], uv, 0).astype(int).T
            clear &= (p[:, 2] < 0.9 * np.nanmin(self.z)) | (shown & (p[:, 2] <= self._free_until[row, col]))
        return clear


def _pairs(values: Array, axis: int) -> tuple[Array, Array]:
    """Neighbours along an axis: (all but the last, all but the first)."""
    return np.delete(values, -1, axis), np.delete(values, 0, axis)
