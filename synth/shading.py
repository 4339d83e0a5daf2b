"""A picture of a simulated room from one cast of primary rays: one lamp with soft shadows, light from everywhere.

Every second pixel sends a shadow ray. The eight of a 4 x 4 block aim at eight points of the lamp, and a 4 x 4 mean
over pixels of the same face makes shadows smooth (interleaved sampling: Keller and Heidrich 2001). Nothing is
random, so equal inputs give equal bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from geom.camera import PinholeCamera
from geom.embree import TriangleScene
from geom.raycast import Hit
from geom.se3 import SE3
from synth.scene import Light, Scene
from synth.surfaces import Faces, SurfaceTable, albedo, faces, surface_table, take

_POINTS = 8
_ORDER = np.array([[-1, 0, -1, 5], [6, -1, 3, -1], [-1, 4, -1, 1], [2, -1, 7, -1]], np.int64)
_BAND = 64  # rows worked on at once
CLEARANCE = 0.004  # metres between a surface and the start of its shadow ray: more than the mesh's gap
WARM, COOL = (1.06, 1.0, 0.92), (0.95, 1.0, 1.07)
_BRIGHTEST = 8.0
WHITE = 1.6  # radiance that becomes white
_CODES = 4096


class _Lit(NamedTuple):
    """Every pixel before shadows are known; planes are (P,) float32."""

    color: np.ndarray  # (3, P) linear albedo
    lamp: np.ndarray  # diffuse light that the whole lamp would give
    shine: np.ndarray  # its highlight
    rest: np.ndarray  # light that no shadow touches
    key: np.ndarray  # int32, equal on pixels of one face

    @staticmethod
    def empty(count: int) -> _Lit:
        planes = np.empty((6, count), np.float32)
        return _Lit(planes[:3], planes[3], planes[4], planes[5], np.empty(count, np.int32))

    def part(self, at: slice) -> _Lit:
        """Views of some of the pixels."""
        return _Lit(self.color[:, at], *(plane[at] for plane in self[1:]))


@dataclass(frozen=True)
class Shader:
    """Draws views of one scene; make it once and use it for every view.

    Args:
        scene: what is drawn.
        caster: shadow rays through the same primitives.
        table: of the scene's surfaces.
    """

    scene: Scene
    caster: TriangleScene
    table: SurfaceTable

    @staticmethod
    def of(scene: Scene, caster: TriangleScene) -> Shader:
        """Collect what every view of the scene shares."""
        return Shader(scene, caster, surface_table(scene))

    def shade(self, camera: PinholeCamera, T_world_cam: SE3, hit: Hit) -> np.ndarray:
        """Colour every pixel.

        Args:
            camera: of the view.
            T_world_cam: camera to world.
            hit: of rays through the pixel centres, shape (h, w), with t the z-depth.

        Returns:
            (h, w, 3) uint8 sRGB. Pixels that meet nothing are black.

        Raises:
            ValueError: if the hit's shape is not the camera's.
        """
        size = (camera.height, camera.width)
        if tuple(hit.t.shape) != size:
            raise ValueError(f"hit must have one ray per pixel, {size}, got {tuple(hit.t.shape)}")
        lit = _Lit.empty(camera.height * camera.width)
        bands = [(rows, slice(rows.start * camera.width, rows.stop * camera.width)) for rows in _bands(size[0])]
        rays = [self._light_band(lit.part(at), camera, T_world_cam, rows, hit) for rows, at in bands]
        seen = self._seen_by_lamp(np.concatenate(rays), lit, size).ravel()
        image = np.empty((*size, 3), np.uint8)
        for rows, at in bands:
            image[rows] = _developed(lit.part(at), seen[at]).reshape(-1, camera.width, 3)
        image[hit.prim_idx.numpy() < 0] = 0
        return _smooth_edges(image, lit.key.reshape(size))

    def _light_band(self, out: _Lit, camera: PinholeCamera, T_world_cam: SE3, rows: slice, hit: Hit) -> np.ndarray:
        """Fill some rows and return their shadow rays: a band fits the processor's cache, the image does not."""
        prim, z_depth = hit.prim_idx[rows].numpy().ravel(), hit.t[rows].numpy().ravel().astype(np.float32)
        missed = prim < 0
        if missed.any():
            prim, z_depth = np.where(missed, 0, prim), np.where(missed, np.float32(1), z_depth)
        eye = T_world_cam.t.numpy().astype(np.float32)
        to_eye = _view_directions(camera, T_world_cam, rows, z_depth)
        p_world = [e - d for e, d in zip(eye, to_eye, strict=True)]
        found = faces(self.table, prim.astype(np.int64, copy=False), p_world, eye)
        np.add(found.prim * 3, found.axis, out=out.key, casting="unsafe")
        distance = np.sqrt(_dot(to_eye, to_eye))
        facing = np.abs(_dot(found.normal, to_eye))
        facing /= distance
        # A slanted pixel covers more of the surface; the root is a compromise between blur and flicker.
        pixel_m = z_depth / (np.sqrt(facing + np.float32(0.02)) * np.float32(camera.K[0, 0]))
        albedo(self.table, found, pixel_m, camera.width, out.color)
        self._lamp(out, found, p_world, to_eye, distance)
        self._ambient(out.rest, found, p_world)
        return self._aim(out, found, p_world, rows, camera.width)

    def _lamp(
        self,
        out: _Lit,
        found: Faces,
        p_world: list[np.ndarray],
        to_eye: list[np.ndarray],
        distance: np.ndarray,
    ) -> None:
        """Diffuse light and highlight of the unshadowed lamp."""
        light = self.scene.light
        to_lamp = [np.float32(c) - p for c, p in zip(light.position, p_world, strict=True)]
        reach2 = _dot(to_lamp, to_lamp)
        reach = np.sqrt(reach2)
        cosine = _dot(found.normal, to_lamp) / reach
        # The lamp faces down; a little of its light goes sideways and up.
        arriving = np.maximum(to_lamp[2] / reach, 0) * np.float32(0.9) + np.float32(0.1)
        arriving *= np.float32(light.intensity) / (reach2 + np.float32(0.3))
        arriving *= cosine > 0
        half = [a / reach + b / distance for a, b in zip(to_lamp, to_eye, strict=True)]
        aligned = np.maximum(_dot(found.normal, half), 0) / np.sqrt(_dot(half, half) + np.float32(1e-9))
        for _ in range(5):
            aligned *= aligned
        np.multiply(arriving, cosine, out=out.lamp)
        np.multiply(arriving, aligned, out=out.shine)
        out.shine[:] *= take(self.table.gloss, found.prim)

    def _ambient(self, out: np.ndarray, found: Faces, p_world: list[np.ndarray]) -> None:
        """Light from everywhere: less on upright faces and in the room's corners; and the surface's own."""
        np.multiply(found.normal[2], found.normal[2], out=out)
        out *= np.float32(0.18)
        out += np.float32(0.82)
        for k, length in enumerate(self.scene.room_size):
            gap = np.abs(p_world[k] - np.float32(length / 2))
            gap -= np.float32(length / 2)
            gap *= np.float32(5)
            shut = cv2.exp(np.minimum(gap, 0, out=gap), gap).ravel()
            shut *= 1 - np.abs(found.normal[k])
            out *= 1 - np.float32(0.45) * shut
        out *= np.float32(self.scene.light.ambient)
        out += take(self.table.glow, found.prim)

    def _aim(self, out: _Lit, found: Faces, p_world: list[np.ndarray], rows: slice, width: int) -> np.ndarray:
        """Shadow rays from just above the surface to a point of the lamp, where pixels ask for one."""
        which = _pattern(rows.stop - rows.start, width)
        ask = np.flatnonzero((which >= 0) & (out.lamp > 0))
        which = which[ask]
        rays = np.empty((len(ask), 6), np.float32)
        for i, points in enumerate(_lamp_points(self.scene.light)):
            start = take(found.normal[i], ask)
            start *= np.float32(CLEARANCE)
            start += take(p_world[i], ask)
            rays[:, i] = start
            np.subtract(take(points, which), start, out=rays[:, 3 + i])
        return rays

    def _seen_by_lamp(self, rays: np.ndarray, lit: _Lit, size: tuple[int, int]) -> np.ndarray:
        """Fraction of the lamp that each pixel sees, (h, w)."""
        asked = _pattern(*size) >= 0
        seen = np.zeros(size, np.uint8)
        seen.ravel()[asked & (lit.lamp > 0)] = ~self.caster.occluded_np(rays, 1.0)
        return _mean_on_face(seen, asked.astype(np.uint8).reshape(size), lit.key.reshape(size))


def shade(scene: Scene, caster: TriangleScene, camera: PinholeCamera, T_world_cam: SE3, hit: Hit) -> np.ndarray:
    """Draw one view, as `Shader.shade` does; for many views of a scene make one `Shader`."""
    return Shader.of(scene, caster).shade(camera, T_world_cam, hit)


def _dot(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    out = a[0] * b[0]
    out += a[1] * b[1]
    out += a[2] * b[2]
    return out


def _bands(height: int) -> list[slice]:
    return [slice(top, min(top + _BAND, height)) for top in range(0, height, _BAND)]


def _view_directions(camera: PinholeCamera, T_world_cam: SE3, rows: slice, z_depth: np.ndarray) -> list[np.ndarray]:
    """From the surface points back to the camera, world, metres: three (P,) planes."""
    K, R = camera.K.numpy(), T_world_cam.R.numpy()
    right = ((np.arange(camera.width) + 0.5 - K[0, 2]) / K[0, 0])[None]
    down = ((np.arange(rows.start, rows.stop) + 0.5 - K[1, 2]) / K[1, 1])[:, None]
    planes = [((row[0] * right).astype(np.float32) + (row[1] * down + row[2]).astype(np.float32)).ravel() for row in R]
    return [np.multiply(plane, -z_depth, out=plane) for plane in planes]


@lru_cache(4)
def _pattern(height: int, width: int) -> np.ndarray:
    """Which of the lamp's points each pixel aims at, (P,); -1 for every second pixel, which does not ask.

    It starts on a row that is a multiple of 4.
    """
    return np.tile(_ORDER, (-(-height // 4), -(-width // 4)))[:height, :width].ravel()


def _lamp_points(light: Light) -> np.ndarray:
    """Points spread evenly over the lamp's disc (Vogel's spiral), (3, 8) float32, world."""
    i = np.arange(_POINTS)
    r, angle = light.radius * np.sqrt((i + 0.5) / _POINTS), i * math.pi * (3 - math.sqrt(5))
    flat = np.stack([r * np.cos(angle), r * np.sin(angle), 0 * r])
    return (np.array(light.position)[:, None] + flat).astype(np.float32)


def _mean_on_face(seen: np.ndarray, asked: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Mean of the pixels that asked nearby on the same face, along rows and columns in turn.

    A 4-wide window that leans right, then one that leans left: together a tent that is 7 wide. Sums stay below
    8 * 16, so bytes hold them. A lone pixel with nobody to ask counts as lit.
    """
    for axis, window in ((1, (-1, 1, 2)), (0, (-1, 1, 2)), (1, (-2, -1, 1)), (0, (-2, -1, 1))):
        seen, asked = _window_sums((seen, asked), key, axis, window)
    lone = asked == 0
    return (seen + lone).astype(np.float32) / (asked + lone)


def _window_sums(
    planes: tuple[np.ndarray, np.ndarray], key: np.ndarray, axis: int, window: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    sums = planes[0].copy(), planes[1].copy()
    for shift in window:
        here, there = _shifted(shift, axis)
        same = (key[here] == key[there]).view(np.uint8)
        for plane, total in zip(planes, sums, strict=True):
            total[here] += plane[there] * same
    return sums


def _shifted(shift: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    ahead, behind = slice(max(shift, 0), min(shift, 0) or None), slice(max(-shift, 0), min(-shift, 0) or None)
    every = slice(None)
    return ((every, behind), (every, ahead)) if axis == 1 else ((behind, every), (ahead, every))


def _tone_codes() -> np.ndarray:
    """sRGB bytes for codes of sqrt(radiance / 8): Reinhard's curve with a white point, then sRGB."""
    x = (np.arange(_CODES) / (_CODES - 1)) ** 2 * _BRIGHTEST
    film = np.clip(x * (1 + x / WHITE**2) / (0.5 + x), 0, 1)
    srgb = np.where(film <= 0.0031308, 12.92 * film, 1.055 * film ** (1 / 2.4) - 0.055)
    return np.round(srgb * 255).astype(np.uint8)


_TONE = _tone_codes()


def _developed(lit: _Lit, seen: np.ndarray) -> np.ndarray:
    """Add shadows, expose, and encode as sRGB: (P, 1, 3) uint8."""
    lamp, shine, out = seen * lit.lamp, seen * lit.shine, []
    for plane, warm, cool in zip(lit.color, WARM, COOL, strict=True):
        light = lamp * np.float32(warm)
        light += lit.rest * np.float32(cool)
        light *= plane
        light += shine
        np.minimum(light, np.float32(_BRIGHTEST), out=light)
        np.sqrt(light, out=light)
        light *= np.float32((_CODES - 1) / math.sqrt(_BRIGHTEST))
        out.append(take(_TONE, light.astype(np.int64)))
    return cv2.merge(out)


def _smooth_edges(image: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Soften the steps along outlines: pixels beside another face take a small blur."""
    edge = np.zeros(key.shape, np.uint8)
    for axis in (0, 1):
        here, there = _shifted(1, axis)
        differs = (key[here] != key[there]).astype(np.uint8)
        edge[here] |= differs
        edge[there] |= differs
    blurred = cv2.GaussianBlur(image, (3, 3), 0.6)
    return cv2.copyTo(blurred, edge, image)
