"""Where a camera can be and go: clearance from every part, level poses, anchors that see enough.

A camera is a ball of radius `CLEARANCE_M`. Its heading is 0 along world +y and grows when it turns to the right, that
is clockwise seen from above. Points are world coordinates in metres, angles radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator

from geom.actions import ActionSequence
from geom.se3 import SE3
from synth.scene import Scene
from synth.solids import Solids, distance

CLEARANCE_M = 0.25
HEIGHT_RANGE_M = (1.0, 1.7)
ANCHOR_HFOV = math.radians(60)
ANCHOR_TRIES = 80
ANCHOR_ROUNDS = 6
MIN_SEEN = 4
SEEN_SIZE = (0.09, 0.9)
TOO_NEAR = 0.22
SHORTLIST = 10
STEP_M = 1.0
MIN_WAYS = 2
REFINE_POINTS = 9
REFINE_ROUNDS = 5
_CORNERS = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T > 0


@dataclass(frozen=True)
class FreeSpace:
    """A scene prepared for many questions about free space.

    Args:
        scene: the scene; outside its room nothing is free.
        solids: every part of it in the world.
    """

    scene: Scene
    solids: Solids

    @staticmethod
    def of(scene: Scene | FreeSpace) -> FreeSpace:
        """Prepare a scene once; what is already prepared passes through."""
        if isinstance(scene, FreeSpace):
            return scene
        return FreeSpace(scene, Solids.of_scene(scene))


def _points(points: np.ndarray, what: str) -> np.ndarray:
    points = np.asarray(points, dtype=float)
    if points.ndim < 1 or points.shape[-1] != 3:
        raise ValueError(f"{what} must have shape (..., 3), got {points.shape}; is an axis missing?")
    if not np.isfinite(points).all():
        raise ValueError(f"{what} must be finite, got NaN or inf; a pose that failed upstream?")
    return points


def distance_to_parts(scene: Scene | FreeSpace, points: np.ndarray) -> np.ndarray:
    """Distance from each point to the nearest part or wall, metres; 0 inside a part.

    Exact for boxes, discs and round cylinders; for ellipsoids and elliptic cylinders never too large, and short by
    less than 1e-4 m.

    Args:
        scene: a scene, or `FreeSpace.of(scene)` where many questions are asked.
        points: world, (..., 3).

    Returns:
        (...,) metres.

    Raises:
        ValueError: if points are not (..., 3) or not finite.
    """
    points, space = _points(points, "points"), FreeSpace.of(scene)
    flat = points.reshape(1, -1, 3)
    everywhere = np.broadcast_to(flat, (len(space.solids), *flat.shape[1:]))
    return np.asarray(distance(space.solids, everywhere).min(0).reshape(points.shape[:-1]))


def path_is_free(scene: Scene | FreeSpace, positions: np.ndarray, clearance: float = CLEARANCE_M) -> np.ndarray:
    """Can a ball travel along straight lines through the positions without touching anything?

    Never True for a path that comes closer than the clearance; a path that is free by less than 1 mm may be refused.

    Args:
        scene: a scene, or `FreeSpace.of(scene)` where many questions are asked.
        positions: of the ball's centre, world, (..., n, 3), n >= 1; leading dimensions are separate paths.
        clearance: the ball's radius, metres.

    Returns:
        Booleans, (...).

    Raises:
        ValueError: if positions are not (..., n, 3), n >= 1, or not finite, or the clearance is negative.
    """
    positions, space = _points(positions, "positions"), FreeSpace.of(scene)
    if positions.ndim < 2 or positions.shape[-2] < 1:
        raise ValueError(f"positions must have shape (..., n, 3) with n >= 1, got {positions.shape}")
    if not clearance >= 0:
        raise ValueError(f"clearance must be >= 0 m, got {clearance}")
    ends = positions if positions.shape[-2] > 1 else positions.repeat(2, axis=-2)
    start, stop = ends[..., :-1, :].reshape(-1, 3), ends[..., 1:, :].reshape(-1, 3)
    free = ~_is_blocked(space.solids, start, stop, clearance)
    inside = ((positions >= clearance) & (positions <= np.array(space.scene.room_size) - clearance)).all((-2, -1))
    return np.asarray(free.reshape(ends.shape[:-2] + (-1,)).all(-1) & inside)


def _is_blocked(solids: Solids, start: np.ndarray, stop: np.ndarray, clearance: float) -> np.ndarray:
    """Which segments pass closer than the clearance to a solid, (m,)."""
    near = _ball_gap(solids, start, stop) < clearance
    segment_idx, solid_idx = np.nonzero(near)
    blocked = np.zeros(len(start), dtype=bool)
    if len(solid_idx):
        gap = _segment_distance(solids[solid_idx], start[segment_idx], stop[segment_idx])
        blocked[segment_idx[gap < clearance]] = True
    return blocked


def _ball_gap(solids: Solids, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Distance from segments to the spheres around solids, (segments, solids): a quick lower bound."""
    along = stop - start
    offset = solids.center[None] - start[:, None]
    square = np.maximum((along**2).sum(-1), 1e-18)[:, None]
    share = np.clip((offset * along[:, None]).sum(-1) / square, 0.0, 1.0)
    return np.linalg.norm(offset - share[..., None] * along[:, None], axis=-1) - solids.radius


def _segment_distance(solids: Solids, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Distance from solids to segments, paired, never too large, (n,).

    The distance to a convex solid is convex along a line, so the two neighbours of the least sample enclose the least
    value. It also changes no faster than the point moves, which bounds what lies between samples.
    """
    length = np.linalg.norm(stop - start, axis=-1)
    if not length.any():
        return distance(solids, start[:, None])[:, 0]
    low, high = np.zeros(len(length)), np.ones(len(length))
    steps = np.linspace(0.0, 1.0, REFINE_POINTS)
    rows, gap, spacing = np.arange(len(length)), np.zeros((len(length), REFINE_POINTS)), high
    for _ in range(REFINE_ROUNDS):
        share = low[:, None] + (high - low)[:, None] * steps
        gap = distance(solids, start[:, None] + share[..., None] * (stop - start)[:, None])
        best, spacing = gap.argmin(1), (high - low) / (len(steps) - 1)
        low, high = share[rows, np.maximum(best - 1, 0)], share[rows, np.minimum(best + 1, len(steps) - 1)]
    return gap.min(1) - length * spacing / 2


def level_pose(x: float, y: float, height: float, heading: float) -> SE3:
    """T_world_cam of a level camera.

    Args:
        x: world, metres.
        y: world, metres.
        height: above the floor, metres.
        heading: radians, 0 along world +y, growing to the right (clockwise seen from above).

    >>> level_pose(1.0, 2.0, 1.5, math.pi / 2).rotate(torch.tensor([0.0, 0.0, 1.0]).double()).round(decimals=9).tolist()
    [1.0, 0.0, 0.0]
    """
    c, s = math.cos(heading), math.sin(heading)
    # Columns: the camera's right, down and forward in the world.
    R_world_cam = torch.tensor([[c, 0.0, s], [-s, 0.0, c], [0.0, -1.0, 0.0]], dtype=torch.float64)
    return SE3(R_world_cam, torch.tensor([x, y, height], dtype=torch.float64))


def feasible(
    scene: Scene | FreeSpace, T_world_cam: SE3, sequence: ActionSequence, clearance: float = CLEARANCE_M
) -> bool:
    """Can the camera carry out the actions from this pose without coming too near to anything?"""
    T_world_step = T_world_cam @ sequence.poses()
    return bool(path_is_free(scene, T_world_step.t.double().cpu().numpy(), clearance))


def sample_anchor(scene: Scene | FreeSpace, rng: Generator, *, hfov: float = ANCHOR_HFOV) -> SE3:
    """Draw T_world_cam of a level camera that looks into the room, sees objects, and can move.

    Candidates keep their clearance; of those that see at least four objects at a good size, not behind others, and
    can go a metre in two of the four directions, one is drawn, those that see more before those that see less.

    Args:
        scene: a scene, or `FreeSpace.of(scene)` where many questions are asked.
        rng: every choice comes from it.
        hfov: field of view of a square picture that the objects have to be in, radians.

    Raises:
        ValueError: if no such place turns up, which means that the room is too full or too empty.
    """
    space = FreeSpace.of(scene)
    for _ in range(ANCHOR_ROUNDS):
        places, headings = _candidates(space, rng)
        good = _good_anchors(space, places, headings, math.tan(hfov / 2), rng)
        if good:
            best = good[int(rng.integers(len(good)))]
            x, y, height = places[best].tolist()
            return level_pose(x, y, height, float(headings[best]))
    raise ValueError(f"a room needs a free place that sees {MIN_SEEN} objects, {space.scene.scene_id!r} has none")


def _candidates(space: FreeSpace, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places (m, 3) with clearance, and headings (m,) towards some point of the room's middle."""
    size = np.array(space.scene.room_size[:2])
    xy = rng.uniform(CLEARANCE_M, size - CLEARANCE_M, (ANCHOR_TRIES, 2))
    aim = rng.uniform(0.2 * size, 0.8 * size, (ANCHOR_TRIES, 2)) - xy
    height = rng.uniform(*HEIGHT_RANGE_M, ANCHOR_TRIES)
    places = np.column_stack([xy, height])
    free = path_is_free(space, places[:, None])
    return places[free], np.arctan2(aim[:, 0], aim[:, 1])[free]


def _good_anchors(
    space: FreeSpace, places: np.ndarray, headings: np.ndarray, tan_half: float, rng: Generator
) -> list[int]:
    """Candidates that see enough and can move, best first, at most three."""
    if not len(places):
        return []
    longest, share, area = _framing(space, places, headings, tan_half)
    framed = (share > 0.6) & (longest > SEEN_SIZE[0]) & (longest < SEEN_SIZE[1])
    # Objects count more the larger they are, up to a quarter of the picture; what fills much of the picture spoils it.
    score = (framed * np.minimum(longest, 0.25)).sum(1) - 0.5 * (area > TOO_NEAR).sum(1)
    # The noise breaks ties at random.
    rank = np.argsort(-(score + 0.1 * rng.uniform(size=len(places))))[:SHORTLIST]
    ways = _ways(space, places[rank], headings[rank])
    seen = _num_seen(space, places[rank], framed[rank])
    good = (seen >= MIN_SEEN) & (ways >= MIN_WAYS)
    return [int(i) for i in rank[good][np.argsort(-seen[good], kind="stable")][:3]]


def _framing(
    space: FreeSpace, places: np.ndarray, headings: np.ndarray, tan_half: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the boxes round the items lie in a square picture.

    Returns:
        longest: side of an item's box as a share of the picture's, 0 for what reaches behind the camera, (m, items).
        share: of the box's area that is in the picture, (m, items).
        area: of the picture that the box covers, (m, items).
    """
    offset = _item_corners(space)[None] - places[:, None, None]
    c, s = np.cos(headings)[:, None, None], np.sin(headings)[:, None, None]
    ahead = s * offset[..., 0] + c * offset[..., 1]
    right = c * offset[..., 0] - s * offset[..., 1]
    scale = 1.0 / (np.maximum(ahead, 0.05) * tan_half)
    uv = np.stack([right * scale, -offset[..., 2] * scale], -1)
    low, high = uv.min(2), uv.max(2)
    inside = (np.minimum(high, 1.0) - np.maximum(low, -1.0)).clip(0.0)
    covered = inside.prod(-1) * (ahead.max(2) > 0)
    longest = np.where(ahead.min(2) > 0.2, (high - low).max(-1) / 2, 0.0)
    return longest, covered / (high - low).prod(-1), covered / 4


def _item_corners(space: FreeSpace) -> np.ndarray:
    """Corners of the axis-aligned boxes round the items, world, (items, 8, 3)."""
    solids = space.solids[space.solids.item_idx >= 0]
    first = np.searchsorted(solids.item_idx, np.arange(len(space.scene.items)))
    extent = solids.extent()
    low = np.minimum.reduceat(solids.center - extent, first)
    high = np.maximum.reduceat(solids.center + extent, first)
    return np.where(_CORNERS, high[:, None], low[:, None])


def _ways(space: FreeSpace, places: np.ndarray, headings: np.ndarray) -> np.ndarray:
    """In how many of the four directions a camera can go `STEP_M`, (m,)."""
    turn = headings[:, None] + np.arange(4) * math.pi / 2
    step = STEP_M * np.stack([np.sin(turn), np.cos(turn), np.zeros_like(turn)], -1)
    paths = np.stack([np.broadcast_to(places[:, None], step.shape), places[:, None] + step], -2)
    return path_is_free(space, paths).sum(1)


def _num_seen(space: FreeSpace, places: np.ndarray, framed: np.ndarray) -> np.ndarray:
    """How many of the framed items have their middle not behind another item, (m,)."""
    middle = _item_corners(space).mean(1)
    place_idx, item_idx = np.nonzero(framed)
    items = space.solids[space.solids.item_idx >= 0]
    hidden = _crosses_box(items, places[place_idx], middle[item_idx])
    hidden &= items.item_idx != item_idx[:, None]
    return np.bincount(place_idx[~hidden.any(1)], minlength=len(places))


def _crosses_box(solids: Solids, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Which segments pass through the bounding boxes of which solids, (m, n), by slabs."""
    origin = np.einsum("nji,mnj->mni", solids.R_world_part, start[:, None] - solids.center)
    along = np.einsum("nji,mj->mni", solids.R_world_part, stop - start)
    along = np.where(np.abs(along) < 1e-9, 1e-9, along)
    a, b = (-solids.half_size - origin) / along, (solids.half_size - origin) / along
    enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    return (enter < leave) & (leave > 0) & (enter < 1)
