"""Where a camera can be and go in a scene of triangles: over floor, with clearance, outside of everything."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from geom.actions import ActionSequence
from geom.embree import TriangleScene
from geom.se3 import SE3
from synth.free_space import CLEARANCE_M, level_pose
from synth.mesh_evidence import MeshEvidence, winding
from synth.transition import ROOM

HEIGHT_M = (1.2, 1.6)
"""Heights of an anchor above its floor."""
LEVEL = math.cos(math.radians(5))
"""A floor is a triangle of the room that leans by less."""
MAX_STEP_M = 0.25
"""How far the floor may rise or fall below a path, and still be the one that the camera is at home on."""
_STEP_M = 0.02
_TRIES, _SHORTLIST, _WAY_M, _MIN_WAYS = 400, 80, 0.5, 2
_SEEN, _TOO_LARGE = 0.01, 0.4
_U, _V = np.meshgrid(np.linspace(-0.57, 0.57, 40), np.linspace(-0.43, 0.43, 30))
_GLANCE = np.stack([_U, _V, np.ones_like(_U)], -1).reshape(-1, 3)
"""Directions of a small picture, 60 degrees wide."""
_BEARING = np.arange(8) * math.pi / 4
_ALL_ROUND = np.stack([np.cos(_BEARING), np.sin(_BEARING), np.zeros(8)], -1)


class MeshSpace:
    """Free space of one scene."""

    def __init__(self, evidence: MeshEvidence) -> None:
        self.evidence, self.scene = evidence, evidence.scene
        a, b, c = self.scene.corners.transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        self.area = np.linalg.norm(normal, axis=-1) / 2
        self.is_level = np.abs(normal[:, 2]) > LEVEL * 2 * self.area
        self.is_room = self.scene.item_idx == ROOM

    @cached_property
    def _room(self) -> TriangleScene:
        return TriangleScene(self.scene.mesh(self.is_room), nthreads=1)

    def clearance(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Distance from points (n, 3) to the nearest triangle, metres."""
        return self.evidence.caster.distance_np(points.astype(np.float32))

    def floor_below(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height above the first surface of the room below each point (n, 3); NaN where that is no floor."""
        height, triangle = _down(self._room, points)
        return np.where(np.isfinite(height) & self.is_level[triangle], height, np.nan).astype(np.float64)

    def is_free(self, T_world_cam: SE3, actions: ActionSequence) -> bool:
        """Whether the camera keeps clearance and floor all along: sampled so densely that nothing fits between."""
        return self.path_is_free((T_world_cam @ actions.poses()).t.numpy())

    def path_is_free(self, positions: NDArray[np.float64]) -> bool:
        """The same for straight lines through positions, (n, 3), of which the first is over the camera's floor."""
        legs = zip(positions[:-1], positions[1:], strict=True)
        counts = [(p, q, max(2, math.ceil(float(np.linalg.norm(q - p)) / _STEP_M) + 1)) for p, q in legs]
        points = np.concatenate([np.linspace(p, q, n) for p, q, n in counts])
        # Half a step away from a sample the distance is less by no more than half a step.
        if not (self.clearance(points) >= CLEARANCE_M + _STEP_M / 2).all():
            return False
        height = self.floor_below(points)
        return bool((np.abs(height - height[0]) <= MAX_STEP_M).all())

    def is_inside(self, point: NDArray[np.float64]) -> bool:
        """Whether an item winds around a point; outside of the box around it none can."""
        around = (c for c, low, high in self._items if (low <= point).all() and (point <= high).all())
        return any(winding(corners, point) > 0.5 for corners in around)

    @cached_property
    def _items(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
        """Corners of each item's triangles, and the lowest and highest of them."""
        all_corners = self.scene.corners
        own = (all_corners[self.scene.item_idx == i] for i in range(len(self.scene.items)))
        return [(corners, corners.min((0, 1)), corners.max((0, 1))) for corners in own]

    def sample_anchor(self, rng: np.random.Generator) -> SE3:
        """Draw T_world_cam of a level camera over floor that sees items, those that see more before others.

        Raises:
            ValueError: if there is no floor, or no place over it has clearance and sees an item.
        """
        places = self._places(rng)
        seen = [self._look(place, rng) for place in places]
        good = [pose for score, pose in sorted(seen, key=lambda pair: -pair[0]) if score > 0]
        found = list(islice((T for T in good if self._ways(T) >= _MIN_WAYS), 3))
        if not found:
            raise ValueError(
                f"a camera needs {HEIGHT_M[0]:g} m above a level floor, {CLEARANCE_M:g} m of floor and clearance "
                f"around it and an item in view; of {_TRIES} places over the floor {len(places)} have both, "
                f"{len(good)} see anything; is the unit stated right, and which way is up?"
            )
        return found[int(rng.integers(len(found)))]

    def _places(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Places over floor with nothing between, (n, 3)."""
        floor = self.is_level & self.is_room
        if not floor.any():
            raise ValueError(
                "a camera needs a level floor that belongs to the room, there is none; which way is up, and do nodes "
                "of the floor have names such as `floor` or `ground`?"
            )
        share = np.where(floor, self.area, 0.0)
        corners = self.scene.corners[rng.choice(len(share), _TRIES, p=share / share.sum())]
        # Folding the square of two uniform numbers spreads points evenly over a triangle.
        s, t = rng.uniform(size=(2, _TRIES))
        s, t = np.where(s + t > 1, 1 - s, s), np.where(s + t > 1, 1 - t, t)
        weights = np.stack([1 - s - t, s, t], -1)
        height = rng.uniform(*HEIGHT_M, _TRIES)
        points = np.einsum("nc,ncx->nx", weights, corners) + height[:, None] * [0, 0, 1]
        met, _ = _down(self.evidence.caster, points)
        fits = (np.abs(met - height) < 1e-3) & (self.clearance(points) >= CLEARANCE_M + _STEP_M)
        # The edge of a wall is level too.
        around = self.floor_below((points[:, None] + CLEARANCE_M * _ALL_ROUND).reshape(-1, 3)).reshape(_TRIES, -1)
        fits &= (np.abs(around - height[:, None]) <= MAX_STEP_M).all(1)
        return np.array([p for p in points[fits] if not self.is_inside(p)][:_SHORTLIST]).reshape(-1, 3)

    def _look(self, place: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, SE3]:
        """How well the camera sees, and its pose: towards an item, or anywhere where there is none."""
        heading = rng.uniform(-math.pi, math.pi)
        if self.scene.items:
            aim = self._items[int(rng.integers(len(self.scene.items)))][0].mean((0, 1)) - place
            heading = math.atan2(aim[0], aim[1]) + rng.uniform(-0.3, 0.3)
        x, y, z = place.tolist()
        T_world_cam = level_pose(x, y, z, heading)
        d_world = _GLANCE @ T_world_cam.R.numpy().T
        rays = np.concatenate([np.broadcast_to(place, d_world.shape), d_world], 1).astype(np.float32)
        z_depth, triangle = self.evidence.caster.cast_np(rays)
        if not self.scene.items:
            return float(np.isfinite(z_depth).mean()), T_world_cam
        owner = self.evidence.owner.take(triangle, mode="wrap").astype(int)
        share = np.bincount(owner + 1, minlength=len(self.scene.items) + 1)[1:] / len(rays)
        fair = (share > _SEEN) & (share < _TOO_LARGE)
        return float(fair.sum() - 0.5 * (share >= _TOO_LARGE).sum() + 0.1 * rng.uniform() * fair.any()), T_world_cam

    def _ways(self, T_world_cam: SE3) -> int:
        """In how many of four directions the camera can go `_WAY_M`."""
        p, R = T_world_cam.t.numpy(), T_world_cam.R.numpy()
        ends = [p + sign * _WAY_M * R[:, axis] for axis in (0, 2) for sign in (-1, 1)]
        return sum(self.path_is_free(np.stack([p, end])) for end in ends)


def _down(caster: TriangleScene, points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    rays = np.concatenate([points, np.broadcast_to([0.0, 0.0, -1.0], points.shape)], 1).astype(np.float32)
    return caster.cast_np(rays)
