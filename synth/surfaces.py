"""Per-pixel surfaces of a rendered view: which face was met, its normal, its texel. float32, one plane per quantity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from geom.primitives import CYLINDER, DISC, ELLIPSOID
from synth.scene import Scene
from synth.textures import PICTURES, SIZE, TEXTURE_NAMES, gain, texture

_LEVELS = 6
_PAD = 2
_SLOT = SIZE + 2 * _PAD
_NAMES = ("", *sorted(TEXTURE_NAMES))
_SIZES = np.array([SIZE >> level for level in range(_LEVELS)], np.float32)
_GRAINED = ("wood", "brushed")


class Atlas(NamedTuple):
    """All textures in one image, each a row of ever smaller copies (a mip chain) with a border of 2 texels."""

    texels: np.ndarray  # (h, w, 3) uint8, square root of linear RGB
    left: np.ndarray  # (levels,) x of each copy's first texel


@cache
def atlas() -> Atlas:
    """The atlas of every texture; row block 0 is white, for materials without one."""
    widths = [(SIZE >> level) + 2 * _PAD for level in range(_LEVELS)]
    texels = np.full((_SLOT * len(_NAMES), sum(widths), 3), 255, np.uint8)
    left = np.cumsum([0, *widths[:-1]])
    for slot, name in enumerate(_NAMES[1:], start=1):
        border = cv2.BORDER_REPLICATE if name in PICTURES else cv2.BORDER_WRAP
        image = texture(name)
        for x, width in zip(left, widths, strict=True):
            padded = cv2.copyMakeBorder(image, _PAD, _PAD, _PAD, _PAD, border)
            texels[slot * _SLOT : slot * _SLOT + width, x : x + width] = padded
            image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return Atlas(texels, (left + _PAD - 0.5).astype(np.float32))


@dataclass(frozen=True)
class SurfaceTable:
    """What shading has to know about every primitive of a scene, one column (or row) per primitive.

    Args:
        unit_from_world: (12, n) rows of the affine map that takes world points to unit-shape coordinates.
        face_normal: (3, 3 n) unit normals in the world of the faces s_k = +1, at 3 * prim + k.
        half_size: (3, n) metres.
        shape: (n,) code of `geom.primitives`.
        is_picture, swaps: (n,) the texture fills the face; its u runs along the part's longer side.
        per_metre: (n,) repeats of the texture in one metre.
        slot: (n,) row block in the atlas.
        tint: (3, n) linear colour times the texture's gain.
        gloss, glow: (n,) of the material.
    """

    unit_from_world: np.ndarray
    face_normal: np.ndarray
    half_size: np.ndarray
    shape: np.ndarray
    is_picture: np.ndarray
    swaps: np.ndarray
    per_metre: np.ndarray
    slot: np.ndarray
    tint: np.ndarray
    gloss: np.ndarray
    glow: np.ndarray


def surface_table(scene: Scene) -> SurfaceTable:
    """Collect the table of a scene, in the order of `Scene.primitives`."""
    prims, looks = scene.primitives(), [part.material for _, part in scene.all_parts()]
    R, t = prims.T_world_prim.R.numpy(), prims.T_world_prim.t.numpy()
    half, shape = prims.half_size.numpy(), prims.shape_code.numpy()
    unit_R = R.swapaxes(1, 2) / half[:, :, None]
    affine = np.concatenate([unit_R, -unit_R @ t[:, :, None]], 2).reshape(-1, 12)
    is_picture = np.array([look.texture in PICTURES for look in looks])
    longest = 2 * half[:, :2].max(1)
    scale = np.array([look.texture_scale_m for look in looks])
    tint = [np.array(look.color) * (gain(look.texture) if look.texture else 1.0) for look in looks]
    return SurfaceTable(
        unit_from_world=_planes(affine),
        face_normal=_planes(R.swapaxes(1, 2).reshape(-1, 3)),
        half_size=_planes(half),
        shape=shape.astype(np.uint8),
        is_picture=is_picture,
        swaps=np.array([look.texture in _GRAINED for look in looks]),
        per_metre=np.where(is_picture, 1 / longest, 1 / scale).astype(np.float32),
        slot=np.array([_NAMES.index(look.texture) for look in looks], np.float32) * _SLOT + (_PAD - 0.5),
        tint=_planes(np.array(tint)),
        gloss=np.array([look.gloss for look in looks], np.float32),
        glow=np.array([look.glow for look in looks], np.float32),
    )


def _planes(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows.T, np.float32)


class Faces(NamedTuple):
    """What was met at each pixel; every array is (P,), normals are three of them."""

    prim: np.ndarray  # int64
    axis: np.ndarray  # int64: which unit axis the face belongs to
    unit: list[np.ndarray]  # three planes
    normal: list[np.ndarray]  # world, unit length, towards the outside


def take(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """table[index]; indices are known to be in range, which makes it twice as fast."""
    return table.take(index, mode="clip")


def faces(table: SurfaceTable, prim: np.ndarray, p_world: list[np.ndarray], eye: np.ndarray) -> Faces:
    """Find faces and smooth normals at points on primitives.

    Args:
        prim: (P,) index of the primitive at each pixel.
        p_world: x, y and z of the points, each (P,), metres.
        eye: (3,) the camera's centre: discs turn to it.
    """
    unit = [_affine(table.unit_from_world[4 * k : 4 * k + 4], prim, p_world) for k in range(3)]
    x, y, z = (np.abs(u) for u in unit)
    axis = np.where(z >= np.maximum(x, y), 2, (y > x).astype(np.int64))
    row = 3 * prim + axis
    outward = np.where(axis == 0, unit[0], np.where(axis == 1, unit[1], unit[2]))
    side = np.sign(outward)
    normal = [take(plane, row) * side for plane in table.face_normal]
    found = Faces(prim, axis, unit, normal)
    shape = take(table.shape, prim)
    _bend_normals(table, found, shape)
    at = np.flatnonzero(shape == DISC)
    _face_discs(table, found, at, [e - p[at] for e, p in zip(eye, p_world, strict=True)])
    return found


def _affine(rows: np.ndarray, prim: np.ndarray, p_world: list[np.ndarray]) -> np.ndarray:
    out = take(rows[3], prim)
    for row, p in zip(rows[:3], p_world, strict=True):
        term = take(row, prim)
        term *= p
        out += term
    return out


def _bend_normals(table: SurfaceTable, found: Faces, shape: np.ndarray) -> None:
    """Replace the normals (and axes) where the face is curved."""
    round_ = np.flatnonzero((shape == CYLINDER) | (shape == ELLIPSOID))
    cap = (shape[round_] == CYLINDER) & (np.abs(found.unit[2][round_]) > 0.9995)
    found.axis[round_[cap]] = 2
    _set_normals(table, found, round_[cap], [None, None, found.unit[2]])
    side = round_[~cap & (shape[round_] == CYLINDER)]
    found.axis[side] = np.minimum(found.axis[side], 1)
    _set_normals(table, found, side, [found.unit[0], found.unit[1], None])
    _set_normals(table, found, round_[shape[round_] == ELLIPSOID], list(found.unit))


def _face_discs(table: SurfaceTable, found: Faces, at: np.ndarray, to_eye: list[np.ndarray]) -> None:
    if len(at) == 0:
        return
    row = 3 * found.prim[at] + 2
    normal = [take(plane, row) for plane in table.face_normal]
    side = np.sign(sum(n * d for n, d in zip(normal, to_eye, strict=True)))
    found.axis[at] = 2
    for plane, n in zip(found.normal, normal, strict=True):
        plane[at] = n * side


def _set_normals(table: SurfaceTable, found: Faces, at: np.ndarray, gradient: list[np.ndarray | None]) -> None:
    """Normal of s -> s.s restricted to some axes: sum over axes of s_k / half_k times the axis."""
    prim = found.prim[at]
    total = [np.zeros(len(at), np.float32) for _ in range(3)]
    for k, plane in enumerate(gradient):
        if plane is not None:
            weight = plane[at] / take(table.half_size[k], prim)
            for i in range(3):
                total[i] += weight * take(table.face_normal[i], 3 * prim + k)
    length = np.sqrt(sum(n * n for n in total)) + np.float32(1e-12)
    for n, plane in zip(total, found.normal, strict=True):
        plane[at] = n / length


def albedo(table: SurfaceTable, found: Faces, pixel_m: np.ndarray, width: int, out: np.ndarray) -> None:
    """Write the linear RGB of the surface at each pixel into three planes.

    Args:
        pixel_m: (P,) width of a pixel on the surface, metres.
        width: of the image; P is a multiple of it.
        out: (3, P) float32.
    """
    u, v = _texture_coords(table, found)
    prim = found.prim
    texels = take(table.per_metre, prim)
    texels *= pixel_m
    texels *= SIZE
    # The bits of the exponent that np.frexp returns, in a tenth of its time.
    level = np.clip((texels.view(np.int32) >> 23) - 126, 0, _LEVELS - 1)
    size = take(_SIZES, level)
    u *= size
    u += take(atlas().left, level)
    v *= size
    v += take(table.slot, prim)
    rgb = cv2.remap(atlas().texels, u.reshape(-1, width), v.reshape(-1, width), cv2.INTER_LINEAR)
    for texel, tint, plane in zip(cv2.split(rgb), table.tint, out, strict=True):
        # Texels are square roots: half the bits where the eye sees half as much.
        np.multiply(texel.ravel(), np.float32(1 / 255), out=plane)
        plane *= plane
        plane *= take(tint, prim)


def _texture_coords(table: SurfaceTable, found: Faces) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) in 0..1 of the texture; patterns repeat, pictures lie once on each face."""
    prim, axis = found.prim, found.axis
    x, y, z = (s * take(half, prim) for s, half in zip(found.unit, table.half_size, strict=True))
    u, v = np.where(axis == 0, y, x), np.where(axis == 2, y, z)
    _unroll(table, found, u, v)
    swap = np.flatnonzero(take(table.swaps, prim))
    _along_grain(table, found, u, v, swap)
    # Each part starts somewhere else in the pattern, so that equal boards do not look copied.
    scale = take(table.per_metre, prim)
    start = (np.arange(table.slot.size) * 0.618034 % 1).astype(np.float32)
    phase = take(start, prim)
    u *= scale
    u += phase
    v *= -scale
    v -= phase
    u -= np.floor(u)
    v -= np.floor(v)
    _fit_pictures(table, found, u, v)
    return u, v


def _unroll(table: SurfaceTable, found: Faces, u: np.ndarray, v: np.ndarray) -> None:
    """Around the side of a cylinder, u is the length of the arc."""
    at = np.flatnonzero((take(table.shape, found.prim) == CYLINDER) & (found.axis != 2))
    prim = found.prim[at]
    radius = (take(table.half_size[0], prim) + take(table.half_size[1], prim)) / 2
    u[at] = np.arctan2(found.unit[1][at], found.unit[0][at]) * radius
    v[at] = found.unit[2][at] * take(table.half_size[2], prim)


def _along_grain(table: SurfaceTable, found: Faces, u: np.ndarray, v: np.ndarray, at: np.ndarray) -> None:
    """Grain runs along the longer side of each face of a part."""
    prim, axis = found.prim[at], found.axis[at]
    half = [take(plane, prim) for plane in table.half_size]
    along_u, along_v = np.where(axis == 0, half[1], half[0]), np.where(axis == 2, half[1], half[2])
    at = at[along_v > along_u]
    u[at], v[at] = v[at], u[at]


def _fit_pictures(table: SurfaceTable, found: Faces, u: np.ndarray, v: np.ndarray) -> None:
    """Lay pictures once on a face, upright as seen from outside; around what is round."""
    at = np.flatnonzero(take(table.is_picture, found.prim))
    x, y, z = (s[at] for s in found.unit)
    axis, shape = found.axis[at], take(table.shape, found.prim[at])
    flip = np.sign(np.where(axis == 0, x, np.where(axis == 1, -y, -1.0)))
    wide, tall = np.where(axis == 0, y, x) * flip, np.where(axis == 2, -y, z)
    ball, around = shape == ELLIPSOID, (shape == ELLIPSOID) | ((shape == CYLINDER) & (axis != 2))
    wide = np.where(around, np.arctan2(y, x) / math.pi, wide)
    tall = np.where(ball, np.arcsin(np.clip(z, -1, 1)) * (2 / math.pi), tall)
    edge = np.float32(0.999)
    u[at] = (np.clip(wide, -edge, edge) + 1) / 2
    v[at] = (1 - np.clip(tall, -edge, edge)) / 2
