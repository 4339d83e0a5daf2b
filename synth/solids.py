"""Solids in the world as arrays: do two things touch, how far away is a surface?

All of it is NumPy over many solids at once. Lengths are metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.spatial.transform import Rotation

from synth.scene import SHAPES, ObjectInstance, Part, Scene

BOX, CYLINDER, ELLIPSOID, DISC = range(len(SHAPES))
NEWTON_STEPS = 6
AFTER, AFTER2 = [1, 2, 0], [2, 0, 1]


@dataclass(frozen=True)
class Solids:
    """n convex solids.

    Args:
        shape_code: index into `synth.scene.SHAPES`, (n,).
        R_world_part: (n, 3, 3).
        center: in the world, (n, 3).
        half_size: along the part's axes, (n, 3); a disc's third is 0.
        item_idx: which item each belongs to, -1 for the shell, (n,).
    """

    shape_code: np.ndarray
    R_world_part: np.ndarray
    center: np.ndarray
    half_size: np.ndarray
    item_idx: np.ndarray

    def __len__(self) -> int:
        return len(self.shape_code)

    def __getitem__(self, index: np.ndarray | slice) -> Solids:
        return Solids(*(getattr(self, f.name)[index] for f in fields(self)))

    @property
    def radius(self) -> np.ndarray:
        """Of a sphere around each solid's centre that holds it, (n,)."""
        h = self.half_size
        round_xy = np.maximum(h[:, 0], h[:, 1])
        by_shape = [np.linalg.norm(h, axis=1), np.hypot(round_xy, h[:, 2]), h.max(1), round_xy]
        return np.choose(self.shape_code, by_shape)

    @property
    def reach(self) -> np.ndarray:
        """From each solid's centre to a corner of its bounding box, (n,)."""
        return np.linalg.norm(self.half_size, axis=1)

    def extent(self) -> np.ndarray:
        """Half the axis-aligned extent of each solid, (n, 3)."""
        arms = np.abs(self.R_world_part) * self.half_size[:, None]
        disc = np.hypot(arms[..., 0], arms[..., 1]) + arms[..., 2]
        return np.choose(self.shape_code[:, None], [arms.sum(-1), disc, np.linalg.norm(arms, axis=-1), disc])

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of an axis-aligned box round all solids, each (3,)."""
        extent = self.extent()
        return (self.center - extent).min(0), (self.center + extent).max(0)

    @staticmethod
    def of_parts(parts: Sequence[Part], item_idx: int = -1) -> Solids:
        """Parts whose frame is the world, or an item that has not been placed yet."""
        return Solids(
            shape_code=np.array([SHAPES.index(p.shape) for p in parts]),
            R_world_part=Rotation.from_rotvec([p.rotvec for p in parts]).as_matrix(),
            center=np.array([p.center for p in parts]),
            half_size=np.array([p.half_size for p in parts]),
            item_idx=np.full(len(parts), item_idx),
        )

    def placed(self, position: Sequence[float], yaw: float, item_idx: int) -> Solids:
        """The same solids after their item is turned about world z and put at a position."""
        c, s = np.cos(yaw), np.sin(yaw)
        R_world_item = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        center = self.center @ R_world_item.T + np.asarray(position)
        owner = np.full(len(self), item_idx)
        return Solids(self.shape_code, R_world_item @ self.R_world_part, center, self.half_size, owner)

    @staticmethod
    def of_item(item: ObjectInstance, item_idx: int = 0) -> Solids:
        """One item of a scene, in the world."""
        return Solids.of_parts(item.parts).placed(item.position, item.yaw, item_idx)

    @staticmethod
    def of_scene(scene: Scene) -> Solids:
        """Every part of a scene: items in order, then the shell."""
        owner, parts = zip(*scene.all_parts(), strict=True)
        local, owner = Solids.of_parts(parts), np.array(owner)
        # The shell is item -1, so the last row: the identity.
        R_world_item = np.array([*(item.rotation() for item in scene.items), np.eye(3)])[owner]
        origin = np.array([*(item.position for item in scene.items), (0.0, 0.0, 0.0)])[owner]
        center = np.einsum("nij,nj->ni", R_world_item, local.center) + origin
        return Solids(local.shape_code, R_world_item @ local.R_world_part, center, local.half_size, owner)


def distance(solids: Solids, points: np.ndarray) -> np.ndarray:
    """Distance from points to solids, paired along the first axis; 0 inside.

    Exact for boxes, round cylinders and discs. For ellipsoids and elliptic cylinders Newton's method comes
    from below, so that the result is never too large (and short by less than 1e-5 m).

    Args:
        solids: n of them.
        points: in the world, (n, k, 3).

    Returns:
        Metres, (n, k).
    """
    q = np.abs((points - solids.center[:, None]) @ solids.R_world_part)
    h = solids.half_size[:, None]
    gap = np.linalg.norm(np.maximum(q - h, 0.0), axis=-1)
    is_ball = solids.shape_code == ELLIPSOID
    is_round = (solids.shape_code == CYLINDER) | (solids.shape_code == DISC)
    if is_ball.any():
        gap[is_ball] = _ellipse_gap(q[is_ball], h[is_ball])
    if is_round.any():
        side = _ellipse_gap(q[is_round][..., :2], h[is_round][..., :2])
        gap[is_round] = np.hypot(side, np.maximum(q - h, 0.0)[is_round][..., 2])
    return gap


def _ellipse_gap(q: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Distance from q >= 0 to the axis-aligned ellipse or ellipsoid with half axes h, from below.

    The nearest point is h^2 q / (t + h^2) where sum (h q / (t + h^2))^2 = 1 (Eberly, "Distance from a point
    to an ellipsoid"). The sum is convex and falls with t: Newton from a t that is too small never oversteps.
    """
    hq, hh = h * q, h * h
    t = np.maximum((hq - hh).max(-1), np.linalg.norm(hq, axis=-1) - hh.max(-1)).clip(0.0)[..., None]
    for _ in range(NEWTON_STEPS):
        term = (hq / (t + hh)) ** 2
        slope = 2 * (term / (t + hh)).sum(-1, keepdims=True)
        t = t + np.maximum(term.sum(-1, keepdims=True) - 1, 0.0) / np.maximum(slope, 1e-12)
    return np.linalg.norm(t * q / (t + hh), axis=-1)


def come_within(a: Solids, b: Solids, gap: float) -> bool:
    """Do the bounding boxes of any two solids, one from each group, come nearer than the gap?

    Never False for solids that do: the boxes hold the solids.
    """
    reach = a.reach[:, None] + b.reach + gap
    near = ((a.center[:, None] - b.center) ** 2).sum(-1) < reach**2
    i, j = np.nonzero(near)
    return len(i) > 0 and bool((separation(a[i], b[j]) < gap).any())


def separation(a: Solids, b: Solids) -> np.ndarray:
    """How far apart the bounding boxes of solids are, paired, (n,); negative where they overlap.

    The largest gap over the 15 axes of the separating axis theorem (Gottschalk, Lin, Manocha 1996,
    "OBBTree"): never more than the true distance between the boxes.
    """
    C = a.R_world_part.swapaxes(1, 2) @ b.R_world_part
    offset = np.einsum("nji,nj->ni", a.R_world_part, b.center - a.center)
    ha, hb, size = a.half_size, b.half_size, np.abs(C)
    face_a = np.abs(offset) - ha - np.einsum("nij,nj->ni", size, hb)
    face_b = np.abs(np.einsum("nij,ni->nj", C, offset)) - hb - np.einsum("nij,ni->nj", size, ha)
    # Edge i of a crossed with edge j of b, written out in the frame of a.
    along = offset[:, AFTER2, None] * C[:, AFTER] - offset[:, AFTER, None] * C[:, AFTER2]
    reach_a = ha[:, AFTER, None] * size[:, AFTER2] + ha[:, AFTER2, None] * size[:, AFTER]
    reach_b = hb[:, None, AFTER] * size[:, :, AFTER2] + hb[:, None, AFTER2] * size[:, :, AFTER]
    length = np.sqrt(np.maximum(1 - C**2, 0.0))
    # Parallel edges have no cross product; the face axes already decide there.
    edges = np.where(length > 1e-4, np.abs(along) - reach_a - reach_b, -np.inf) / np.maximum(length, 1e-4)
    return np.maximum(np.maximum(face_a, face_b).max(1), edges.max((1, 2)))
