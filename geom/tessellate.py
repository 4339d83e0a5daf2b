"""Triangles inscribed in primitives: vertices lie on the surface, and the gap between the two is known."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from geom.primitives import BOX, CYLINDER, DISC, ELLIPSOID, PLANE, Primitives

_CIRCULAR = (CYLINDER, DISC)


class Mesh(NamedTuple):
    """Triangles of many primitives.

    Args:
        vertices: (v, 3) float64, world, metres.
        triangles: (f, 3) int64 rows of vertices; counter-clockwise seen from outside a solid.
        prim_idx: (f,) int64, the primitive that each triangle belongs to.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    prim_idx: np.ndarray


def tessellate(
    primitives: Primitives, *, segments: int = 64, subdivisions: int = 3, plane_extent_m: float = 100.0
) -> Mesh:
    """Approximate primitives by triangles whose vertices lie on their surfaces.

    Args:
        segments: sides of the polygon that stands for a circle.
        subdivisions: halvings of the icosahedron that stands for a ball.
        plane_extent_m: half side of the square that stands for an infinite plane, about its origin.

    Raises:
        ValueError: if segments < 3, subdivisions < 0 or plane_extent_m <= 0.

    >>> from geom.se3 import SE3
    >>> mesh = tessellate(Primitives.build([BOX], SE3.identity(1), [[1.0, 2.0, 3.0]]))
    >>> mesh.triangles.shape, mesh.vertices.max(axis=0).tolist()
    ((12, 3), [1.0, 2.0, 3.0])
    """
    _check(segments, subdivisions, plane_extent_m)
    code = primitives.shape_code.cpu().numpy()
    scale = primitives.half_size.detach().cpu().double().numpy().copy()
    scale[code == PLANE, :2] = plane_extent_m
    axes = primitives.T_world_prim.R.detach().cpu().double().numpy() * scale[:, None, :]
    center = primitives.T_world_prim.t.detach().cpu().double().numpy()
    meshes, offset = [Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros(0, np.int64))], 0
    for shape in np.unique(code):
        members = np.flatnonzero(code == shape)
        unit = _template(int(shape), segments, subdivisions)
        meshes.append(_placed(unit, members, axes[members], center[members], offset))
        offset += len(meshes[-1].vertices)
    return Mesh(*(np.concatenate(field) for field in zip(*meshes, strict=True)))


def surface_gap(primitives: Primitives, *, segments: int = 64, subdivisions: int = 3) -> np.ndarray:
    """Return how far, at most, the triangles of `tessellate` lie inside each true surface, metres, (n,).

    Zero on boxes, discs' and planes' faces; on the rim of a disc it is measured in the disc's plane.

    >>> from geom.se3 import SE3
    >>> ball = Primitives.build([ELLIPSOID], SE3.identity(1), [[1.0, 1.0, 1.0]])
    >>> 0.002 < float(surface_gap(ball)[0]) < 0.005
    True
    """
    _check(segments, subdivisions, 1.0)
    code = primitives.shape_code.cpu().numpy()
    half_size = primitives.half_size.detach().cpu().double().numpy()
    circle = 2 * np.sin(np.pi / segments / 2) ** 2 * half_size[:, :2].max(axis=1)
    ball = _ball_gap(subdivisions) * half_size.max(axis=1)
    return np.where(np.isin(code, _CIRCULAR), circle, np.where(code == ELLIPSOID, ball, 0.0))


def _check(segments: int, subdivisions: int, plane_extent_m: float) -> None:
    if segments < 3 or subdivisions < 0 or not plane_extent_m > 0:
        raise ValueError(
            f"need segments >= 3, subdivisions >= 0, plane_extent_m > 0; "
            f"got {segments}, {subdivisions}, {plane_extent_m}"
        )


_Template = tuple[np.ndarray, np.ndarray]


def _placed(unit: _Template, members: np.ndarray, axes: np.ndarray, center: np.ndarray, offset: int) -> Mesh:
    vertices = np.einsum("nij,vj->nvi", axes, unit[0]) + center[:, None]
    first = offset + len(unit[0]) * np.arange(len(members))
    triangles = unit[1][None] + first[:, None, None]
    return Mesh(vertices.reshape(-1, 3), triangles.reshape(-1, 3), np.repeat(members, len(unit[1])))


@cache
def _template(shape: int, segments: int, subdivisions: int) -> _Template:
    if shape == BOX:
        return _cube()
    if shape == CYLINDER:
        return _drum(segments)
    if shape == ELLIPSOID:
        return _icosphere(subdivisions)
    return _polygon(segments) if shape == DISC else _square()


def _cube() -> _Template:
    vertices = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return vertices, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])


def _square() -> _Template:
    corners = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    return corners, np.array([[0, 1, 2], [0, 2, 3]])


def _polygon(segments: int) -> _Template:
    """Disc as a fan about its centre, which is the last vertex."""
    angle = 2 * np.pi * np.arange(segments) / segments
    rim = np.stack([np.cos(angle), np.sin(angle), np.zeros(segments)], axis=1)
    k = np.arange(segments)
    fan = np.stack([k, (k + 1) % segments, np.full(segments, segments)], axis=1)
    return np.concatenate([rim, np.zeros((1, 3))]), fan


def _drum(segments: int) -> _Template:
    rim, fan = _polygon(segments)
    count, k = len(rim), np.arange(segments)
    up = np.array([0.0, 0.0, 1.0])
    low, low_next, high, high_next = k, (k + 1) % segments, k + count, (k + 1) % segments + count
    side = [np.stack([low, low_next, high_next], axis=1), np.stack([low, high_next, high], axis=1)]
    return np.concatenate([rim - up, rim + up]), np.concatenate([fan[:, ::-1], fan + count, *side])


@cache
def _icosphere(subdivisions: int) -> _Template:
    vertices, triangles = _icosahedron()
    for _ in range(subdivisions):
        vertices, triangles = _halved(vertices, triangles)
    return vertices, triangles


def _icosahedron() -> _Template:
    golden = (1 + 5**0.5) / 2
    flat = np.array([[0.0, s, golden * u] for s in (-1, 1) for u in (-1, 1)])
    vertices = np.concatenate([np.roll(flat, shift, axis=1) for shift in range(3)]) / np.hypot(1, golden)
    edge = 2 / np.hypot(1, golden)
    near = np.linalg.norm(vertices[:, None] - vertices[None], axis=-1) < edge * 1.01
    i, j, k = (index.ravel() for index in np.meshgrid(*[np.arange(12)] * 3, indexing="ij"))
    keep = (i < j) & (j < k) & near[i, j] & near[j, k] & near[i, k]
    triangles = np.stack([i, j, k], axis=1)[keep]
    inward = np.linalg.det(vertices[triangles]) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return vertices, triangles


def _halved(vertices: np.ndarray, triangles: np.ndarray) -> _Template:
    """Cut every triangle in four at the middles of its edges, pushed out to the unit sphere."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    middle = vertices[unique].mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = (index.reshape(-1, 3) + len(vertices)).T
    a, b, c = triangles.T
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    cut = np.concatenate([np.stack(corners, axis=1) for corners in quarters])
    return np.concatenate([vertices, middle]), cut


@cache
def _ball_gap(subdivisions: int) -> float:
    vertices, triangles = _icosphere(subdivisions)
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    return float(1 - ((normal * a).sum(1) / np.linalg.norm(normal, axis=1)).min())
