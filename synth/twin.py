"""The second implementation: the same geometry by other means, for `theodolite verify`.

Plain numpy on 4x4 matrices, read straight from scene.json; nothing of `geom` is used. Where `geom` has closed forms
this has dense outlines and dual quadrics, where it has triangles this has slabs and quadratics, where it samples a
plane this samples longitude and latitude. An error would have to be made twice, in two ways, to go unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from synth.twin_shapes import OUTLINES, UNIT_HITS, Array, Patch

_SHAPES = ("box", "cylinder", "ellipsoid", "disc")
_Z_NEAR = 1e-3
_SAME_PLACE = 1e-6
_HITS, _COARSE, _MOST, _FINER = 1000, 256, 20_000, 16


@dataclass(frozen=True)
class TwinCamera:
    """Intrinsics and pose; `T_cam_world` is kept because everything here looks from the camera."""

    K: Array
    width: int
    height: int
    T_world_cam: Array

    @cached_property
    def T_cam_world(self) -> Array:
        return np.linalg.inv(self.T_world_cam)

    @property
    def center(self) -> Array:
        return self.T_world_cam[:3, 3]

    def to_cam(self, p_world: Array) -> Array:
        return p_world @ self.T_cam_world[:3, :3].T + self.T_cam_world[:3, 3]

    def rays(self, u: Array, v: Array) -> Array:
        """World directions through pixel positions, z = 1 in the camera."""
        d_cam = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(self.K).T
        return d_cam @ self.T_world_cam[:3, :3].T

    def pixels(self, p_cam: Array) -> Array:
        uvw = p_cam @ self.K.T
        return uvw[..., :2] / uvw[..., 2:]


def displacement(twin: Any, true: TwinCamera, claimed: TwinCamera, *, lattice: int, min_overlap: float) -> float:
    """Mean shift of the picture between two cameras over points that both see, as a share of the width."""
    steps = [max(1, size // lattice) for size in (true.width, true.height)]
    u, v = (np.arange(step // 2, size, step) + 0.5 for step, size in zip(steps, (true.width, true.height), strict=True))
    u, v = (grid.ravel() for grid in np.meshgrid(u, v))
    # From one place depth makes no difference, known or not.
    is_turn = bool(np.abs(claimed.center - true.center).max() <= _SAME_PLACE)
    z = np.ones(len(u)) if is_turn else twin.surface(true, u, v)[0]
    u, v, z = u[np.isfinite(z)], v[np.isfinite(z)], z[np.isfinite(z)]
    if not len(z):
        return 0.0
    p_world = true.center + z[:, None] * true.rays(u, v)
    p_cam = claimed.to_cam(p_world)
    both = p_cam[:, 2] > _Z_NEAR
    uv = claimed.pixels(np.where(both[:, None], p_cam, [0, 0, 1]))
    both &= (uv >= 0).all(1) & (uv <= [true.width, true.height]).all(1)
    if not is_turn:
        both[both] = twin.sees(p_world[both], claimed.center)
    if both.sum() < min_overlap * len(both):
        return 1.0
    return float(np.linalg.norm((uv - np.stack([u, v], -1))[both], axis=1).mean()) / true.width


class TwinRoom:
    """The solids of a scene.json."""

    def __init__(self, scene: dict[str, Any]) -> None:
        items = scene["items"]
        self.item_ids = [item["item_id"] for item in items]
        self.kinds = [item["kind"] for item in items]
        rows = [(i, _pose(item), part) for i, item in enumerate(items) for part in item["parts"]]
        rows += [(-1, np.eye(4), part) for part in scene["shell"]]
        self.owner = np.array([i for i, _, _ in rows])
        self.shape = np.array([_SHAPES.index(part["shape"]) for _, _, part in rows])
        half = np.array([part["half_size"] for _, _, part in rows], dtype=float)
        half[half == 0] = 1.0
        # unit shape -> world
        self.A = np.array([T @ _part_pose(part) for _, T, part in rows])
        self.A[:, :3, :3] *= half[:, None, :]
        self.A_inv = np.linalg.inv(self.A)
        self._inverse = np.ascontiguousarray(self.A_inv[:, :3, :3].transpose(1, 2, 0))
        reach = np.linalg.norm(half, axis=1)
        self.reach = np.where(self.shape == 3, np.hypot(half[:, 0], half[:, 1]), reach)

    def of_item(self, item: int) -> NDArray[np.intp]:
        """Indices of the solids that make up one item."""
        return np.flatnonzero(self.owner == item)

    def first(self, origin: Array, direction: Array, solids: NDArray[np.intp] | None = None) -> tuple[Array, Any]:
        """Nearest hit along each ray: (t, owner); t is inf and owner -1 where nothing is met."""
        t_best, owner = np.full(len(direction), np.inf), np.full(len(direction), -1)
        if not len(direction):
            return t_best, owner
        unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        solids = self._in_cone(origin, unit) if solids is None else solids
        ray, n = np.nonzero(self._near(origin, unit, solids).T)
        if not len(ray):
            return t_best, owner
        t = self._pair_hits(origin, direction, ray, solids[n])
        # Pairs are sorted by ray: each ray's nearest is the least of its run.
        start = np.flatnonzero(np.diff(ray, prepend=-1))
        t_best[ray[start]] = np.minimum.reduceat(t, start)
        wins = np.isfinite(t) & (t == t_best[ray])
        owner[ray[wins]] = self.owner[solids[n[wins]]]
        return t_best, owner

    def _pair_hits(self, origin: Array, direction: Array, ray: Any, solid: Any) -> Array:
        """Where each ray meets the solid it is paired with, inf where it does not."""
        t, towards = np.empty(len(ray)), np.ascontiguousarray(direction.T)
        o_unit = np.einsum("kij,j->ki", self.A_inv[:, :3, :3], origin) + self.A_inv[:, :3, 3]
        # Divisions by zero and roots of negatives are rays that miss: inf and NaN fail every comparison.
        with np.errstate(divide="ignore", invalid="ignore"):
            for code, hits in enumerate(UNIT_HITS):
                pairs = np.flatnonzero(self.shape[solid] == code)
                k = solid[pairs]
                d = np.einsum("ijp,jp->ip", self._inverse[:, :, k], towards[:, ray[pairs]])
                t[pairs] = hits(o_unit[k].T, d)
        return t

    def _in_cone(self, origin: Array, unit: Array) -> NDArray[np.intp]:
        """Solids whose bounding sphere reaches into the cone around all rays."""
        axis = unit.mean(0)
        axis /= max(np.linalg.norm(axis), 1e-12)
        half_angle = np.arccos(np.clip((unit @ axis).min(), -1, 1))
        offset = self.A[:, :3, 3] - origin
        dist = np.maximum(np.linalg.norm(offset, axis=1), 1e-12)
        away = np.arccos(np.clip(offset @ axis / dist, -1, 1))
        spread = np.arcsin(np.clip(self.reach / dist, 0, 1))
        return np.flatnonzero((dist <= self.reach) | (away <= half_angle + spread + 1e-9))

    def _near(self, origin: Array, unit: Array, solids: NDArray[np.intp]) -> Any:
        """Which rays pass through each solid's bounding sphere, (solids, rays)."""
        offset = self.A[solids, :3, 3] - origin
        dist2 = (offset * offset).sum(1)
        along = offset @ unit.T
        # Distance from centre to line is sqrt(dist2 - along^2); behind the camera only a sphere around it is met.
        least = np.sqrt(np.maximum(dist2 - self.reach[solids] ** 2 - 1e-9, 0))
        least[dist2 <= self.reach[solids] ** 2] = -np.inf
        return along >= least[:, None]

    def amodal_box(self, item: int, cam: TwinCamera) -> Array:
        """Box of the whole item, pixels, clipped at the near plane and the image; NaN where it is not in view."""
        bounds = [self._solid_bounds(k, cam) for k in self.of_item(item).tolist()]
        low, high = np.min([b[0] for b in bounds], 0), np.max([b[1] for b in bounds], 0)
        size = np.array([cam.width, cam.height])
        low, high = np.clip(low, 0, size), np.clip(high, 0, size)
        return np.concatenate([low, high]) if (low < high).all() else np.full(4, np.nan)

    def _solid_bounds(self, k: int, cam: TwinCamera) -> tuple[Array, Array]:
        A_cam = cam.T_cam_world @ self.A[k]
        nearest = A_cam[2, 3] - np.linalg.norm(A_cam[2, :3])
        if self.shape[k] == 2 and nearest > _Z_NEAR:
            return _dual_quadric_bounds(cam.K @ A_cam[:3])
        points, edges = OUTLINES[self.shape[k]]
        p_cam = points @ A_cam[:3, :3].T + A_cam[:3, 3]
        uv = cam.pixels(_clip_near(p_cam, edges))
        return (uv.min(0), uv.max(0)) if len(uv) else (np.full(2, np.inf), np.full(2, -np.inf))

    def hull(self, item: int) -> Array:
        """Points (world) whose hull holds the item: the corners of the boxes around its solids."""
        own = self.of_item(item)
        corners = OUTLINES[0][0]
        return (np.einsum("kij,cj->kci", self.A[own, :3, :3], corners) + self.A[own, None, :3, 3]).reshape(-1, 3)

    def visible_box(self, item: int, cam: TwinCamera, amodal: Array) -> Array:
        """Box around the pixels where the item is the first thing met, searched inwards from its amodal box."""
        if np.isnan(amodal).any():
            return np.full(4, np.nan)
        (u1, v1), (u2, v2) = np.floor(amodal[:2]).astype(int).tolist(), np.ceil(amodal[2:]).astype(int).tolist()
        owns = self._ownership(item, cam)
        top = _first_owned(owns, range(v1, v2), (u1, u2), rows=True)
        if top is None:
            return np.full(4, np.nan)
        bottom = _first_owned(owns, range(v2 - 1, v1 - 1, -1), (u1, u2), rows=True)
        left = _first_owned(owns, range(u1, u2), (top, bottom + 1), rows=False)
        right = _first_owned(owns, range(u2 - 1, u1 - 1, -1), (top, bottom + 1), rows=False)
        return np.array([left, top, right + 1, bottom + 1], float)

    def surface(self, cam: TwinCamera, u: Array, v: Array) -> tuple[Array, Any]:
        """z-depth and owner of what is seen at pixel positions."""
        return self.first(cam.center, cam.rays(u, v))

    def landmarks(self, cam: TwinCamera) -> Array:
        """Pixel positions, (n, 2), where something of an item should show: the middles of its solids in view."""
        p_cam = cam.to_cam(self.A[self.owner >= 0, :3, 3])
        uv = cam.pixels(p_cam[p_cam[:, 2] > _Z_NEAR])
        return uv[((uv >= 0) & (uv < [cam.width, cam.height])).all(1)]

    def sees(self, p_world: Array, center: Array) -> Any:
        """Whether nothing stands between a camera centre and points of surfaces."""
        return self.first(center, p_world - center)[0] >= 1 - 1e-3

    def _ownership(self, item: int, cam: TwinCamera):
        own = self.of_item(item)

        def owns(cols: NDArray[np.intp], rows: NDArray[np.intp]) -> Any:
            """Which pixels the item owns, of any shape."""
            direction = cam.rays(cols.ravel() + 0.5, rows.ravel() + 0.5)
            found = np.zeros(len(direction), bool)
            candidates = np.isfinite(self.first(cam.center, direction, own)[0])
            if candidates.any():
                found[candidates] = self.first(cam.center, direction[candidates])[1] == item
            return found.reshape(cols.shape)

        return owns

    def partition(self, item: int, cam: TwinCamera, *, fine: bool = False) -> dict[str, Any] | None:
        """Shares visible, hidden (by item, -1 the room), outside and behind; None where undefined (inside it).

        `fine` takes many times the rays: for shares that seem to differ from what a proof says.
        """
        own = self.of_item(item)
        patch = Patch.around(self.hull(item) - cam.center)
        hit_share = np.isfinite(self.first(cam.center, patch.sample(_COARSE)[0], own)[0]).mean()
        if hit_share == 0:
            return None
        direction, weight = patch.sample(min(int(_HITS / hit_share), _MOST) * (_FINER if fine else 1))
        hit = np.isfinite(self.first(cam.center, direction, own)[0])
        direction, weight = direction[hit], weight[hit] / weight[hit].sum()
        d_cam = direction @ cam.T_cam_world[:3, :3].T
        front = d_cam[:, 2] > 0
        uv = cam.pixels(np.where(front[:, None], d_cam, [0, 0, 1]))
        inside = front & (uv >= 0).all(1) & (uv <= [cam.width, cam.height]).all(1)
        seen = np.full(len(direction), item)
        if inside.any():
            seen[inside] = self.first(cam.center, direction[inside])[1]
        hidden = inside & (seen != item)
        return {
            "visible": weight[inside & ~hidden].sum(),
            "outside": weight[front & ~inside].sum(),
            "behind": weight[~front].sum(),
            "hidden": weight[hidden].sum(),
            "hidden_by": {int(j): weight[hidden & (seen == j)].sum() for j in np.unique(seen[hidden])},
        }


def _pose(item: dict[str, Any]) -> Array:
    T = np.eye(4)
    c, s = np.cos(item["yaw"]), np.sin(item["yaw"])
    T[:2, :2] = [[c, -s], [s, c]]
    T[:3, 3] = item["position"]
    return T


def _part_pose(part: dict[str, Any]) -> Array:
    x, y, z = part["rotvec"]
    T = np.eye(4)
    if x or y or z:
        T[:3, :3] = expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0.0]]))
    T[:3, 3] = part["center"]
    return T


def _clip_near(p_cam: Array, edges: NDArray[np.intp]) -> Array:
    """Outline points in front of the near plane, and where its edges cross it."""
    front = p_cam[:, 2] >= _Z_NEAR
    if front.all():
        return p_cam
    a, b = p_cam[edges[:, 0]], p_cam[edges[:, 1]]
    crosses = front[edges[:, 0]] != front[edges[:, 1]]
    a, b = a[crosses], b[crosses]
    s = (_Z_NEAR - a[:, 2:]) / (b[:, 2:] - a[:, 2:])
    return np.concatenate([p_cam[front], a + s * (b - a)])


def _dual_quadric_bounds(P: Array) -> tuple[Array, Array]:
    """Image bounds of a unit sphere under P (3 x 4), from its dual conic (Rubino et al. 2018, eq. 3)."""
    C = P @ np.diag([1.0, 1.0, 1.0, -1.0]) @ P.T
    middle = np.array([C[0, 2], C[1, 2]]) / C[2, 2]
    spread = np.sqrt(np.maximum(middle**2 - np.array([C[0, 0], C[1, 1]]) / C[2, 2], 0))
    return middle - spread, middle + spread


def _first_owned(owns, lines: range, across: tuple[int, int], *, rows: bool) -> Any:
    """First line (row or column), in the order given, that holds a pixel of the item; None if there is none."""
    start, count = 0, 2  # the first lines mostly hold it already
    while start < len(lines):
        some = np.array(lines[start : start + count])
        grid = np.meshgrid(np.arange(*across), some)
        found = owns(grid[0], grid[1]) if rows else owns(grid[1], grid[0])
        if found.any():
            return int(some[found.any(1).argmax()])
        start, count = start + count, 2 * count
    return None
