"""A picture of a simulated room from one cast of primary rays: one lamp with soft shadows, light from everywhere.

Shadows use one ray per pixel: each pixel of a 4 x 4 block aims at another of 16 points of the lamp, and a 4 x 4
mean over pixels of the same face makes them smooth (interleaved sampling: Keller and Heidrich 2001). Nothing is
random, so equal inputs give equal bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from geom.camera import PinholeCamera
from geom.raycast import Hit
from geom.se3 import SE3
from synth.scene import Light, Scene
from synth.surfaces import Faces, SurfaceTable, albedo, faces, surface_table, take

_BLOCK = 4
_CLEARANCE = 0.004  # metres between a surface and the start of its shadow ray: more than the mesh's gap
_WARM, _COOL = (1.06, 1.0, 0.92), (0.95, 1.0, 1.07)
_BRIGHTEST = 8.0
_CODES = 4096


class Caster(Protocol):
    """What shadows need: `geom.embree.TriangleScene` is one."""

    def occluded(self, origin: Tensor, direction: Tensor, t_max: float = ...) -> Tensor: ...


@dataclass(frozen=True)
class Shader:
    """Draws views of one scene; make it once and use it for every view.

    Args:
        scene: what is drawn.
        caster: shadow rays through the same primitives.
    """

    scene: Scene
    caster: Caster
    table: SurfaceTable

    @staticmethod
    def of(scene: Scene, caster: Caster) -> Shader:
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
        missed = hit.prim_idx.numpy().ravel() < 0
        prim = np.where(missed, 0, hit.prim_idx.numpy().ravel())
        z_depth = np.where(missed, 1.0, hit.t.numpy().ravel()).astype(np.float32)
        eye = T_world_cam.t.numpy().astype(np.float32)
        to_eye = _view_directions(camera, T_world_cam, z_depth)
        p_world = [e - d for e, d in zip(eye, to_eye, strict=True)]
        found = faces(self.table, prim, p_world, eye)
        linear = self._radiance(found, p_world, to_eye, z_depth / float(camera.K[0, 0]), size)
        for plane in linear:
            plane[missed] = 0
        key = (found.prim * 3 + found.axis).astype(np.int32).reshape(size)
        return _smooth_edges(_to_srgb(linear, size), key)

    def _radiance(
        self,
        found: Faces,
        p_world: list[np.ndarray],
        to_eye: list[np.ndarray],
        pixel_m: np.ndarray,
        size: tuple[int, int],
    ) -> list[np.ndarray]:
        """Linear RGB that leaves the surfaces towards the camera."""
        distance = np.sqrt(_dot(to_eye, to_eye))
        facing = np.abs(_dot(found.normal, to_eye)) / distance
        # A slanted pixel covers more of the surface; the root is a compromise between blur and flicker.
        color = albedo(self.table, found, pixel_m / np.sqrt(facing + np.float32(0.02)), size)
        lamp, shine = self._lamp(found, p_world, to_eye, distance, size)
        everywhere = self._ambient(found, p_world)
        glow = take(self.table.glow, found.prim)
        shine *= take(self.table.gloss, found.prim)
        for plane, warm, cool in zip(color, _WARM, _COOL, strict=True):
            plane *= lamp * np.float32(warm) + everywhere * np.float32(cool) + glow
            plane += shine
        return color

    def _lamp(
        self,
        found: Faces,
        p_world: list[np.ndarray],
        to_eye: list[np.ndarray],
        distance: np.ndarray,
        size: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Diffuse light from the lamp, and its highlight (before gloss), both with soft shadows."""
        light = self.scene.light
        to_lamp = [np.float32(c) - p for c, p in zip(light.position, p_world, strict=True)]
        reach = np.sqrt(_dot(to_lamp, to_lamp))
        cosine = np.maximum(_dot(found.normal, to_lamp) / reach, 0)
        # The lamp faces down; a little of its light goes sideways and up.
        beam = np.maximum(to_lamp[2] / reach, 0) * np.float32(0.9) + np.float32(0.1)
        seen = self._seen_by_lamp(found, p_world, cosine, size)
        arriving = seen * beam * np.float32(light.intensity) / (reach * reach + np.float32(0.3))
        half = [a / reach + b / distance for a, b in zip(to_lamp, to_eye, strict=True)]
        aligned = np.maximum(_dot(found.normal, half) / np.sqrt(_dot(half, half) + np.float32(1e-9)), 0)
        for _ in range(5):
            aligned *= aligned
        return arriving * cosine, arriving * aligned

    def _seen_by_lamp(
        self, found: Faces, p_world: list[np.ndarray], cosine: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray:
        """Fraction of the lamp that each pixel sees, (P,)."""
        lit = np.flatnonzero(cosine > 0)
        target = _lamp_points(self.scene.light)[:, _pattern(size).ravel()[lit]]
        rays = np.empty((2, len(lit), 3), np.float32)
        for i in range(3):
            rays[0, :, i] = p_world[i][lit] + np.float32(_CLEARANCE) * found.normal[i][lit]
            rays[1, :, i] = target[i] - rays[0, :, i]
        blocked = self.caster.occluded(torch.from_numpy(rays[0]), torch.from_numpy(rays[1]), 1.0).numpy()
        seen = np.zeros(size, np.uint8)
        seen.ravel()[lit] = ~blocked
        key = (found.prim * 3 + found.axis).astype(np.int32).reshape(size)
        return _mean_on_face(seen, key).ravel()

    def _ambient(self, found: Faces, p_world: list[np.ndarray]) -> np.ndarray:
        """Light from everywhere: most on what faces up, less in the corners of the room."""
        light = (found.normal[2] * np.float32(0.18) + np.float32(0.82)) * np.float32(self.scene.light.ambient)
        for k, length in enumerate(self.scene.room_size):
            open_ = 1 - np.abs(found.normal[k])
            for gap in (p_world[k], np.float32(length) - p_world[k]):
                light *= 1 - np.float32(0.45) * open_ * np.exp(np.minimum(gap, 9) * np.float32(-5))
        return light


def shade(scene: Scene, caster: Caster, camera: PinholeCamera, T_world_cam: SE3, hit: Hit) -> np.ndarray:
    """Draw one view, as `Shader.shade` does; for many views of a scene make one `Shader`."""
    return Shader.of(scene, caster).shade(camera, T_world_cam, hit)


def _dot(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    out = a[0] * b[0]
    out += a[1] * b[1]
    out += a[2] * b[2]
    return out


def _view_directions(camera: PinholeCamera, T_world_cam: SE3, z_depth: np.ndarray) -> list[np.ndarray]:
    """From the surface points back to the camera, world, metres: three (P,) planes."""
    K, R = camera.K.numpy(), T_world_cam.R.numpy()
    right = ((np.arange(camera.width) + 0.5 - K[0, 2]) / K[0, 0])[None]
    down = ((np.arange(camera.height) + 0.5 - K[1, 2]) / K[1, 1])[:, None]
    planes = [(-(row[0] * right + row[1] * down + row[2])).astype(np.float32).ravel() for row in R]
    return [np.multiply(plane, z_depth, out=plane) for plane in planes]


def _pattern(size: tuple[int, int]) -> np.ndarray:
    """Which of the 16 lamp points each pixel aims at: a 4 x 4 ordered dither."""
    order = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    rows, cols = (np.arange(n) % _BLOCK for n in size)
    return order[rows[:, None], cols[None]]


def _lamp_points(light: Light) -> np.ndarray:
    """16 points spread evenly over the lamp's disc (Vogel's spiral), (3, 16) float32, world."""
    i = np.arange(_BLOCK**2)
    r, angle = light.radius * np.sqrt((i + 0.5) / _BLOCK**2), i * math.pi * (3 - math.sqrt(5))
    flat = np.stack([r * np.cos(angle), r * np.sin(angle), 0 * r])
    return (np.array(light.position)[:, None] + flat).astype(np.float32)


def _mean_on_face(seen: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Mean over a 4 x 4 window, leaving out pixels of other faces; first along rows, then along columns."""
    count = np.ones_like(seen)
    for axis in (1, 0):
        seen, count = _window_sum(seen, key, axis), _window_sum(count, key, axis)
    return seen.astype(np.float32) / count


def _window_sum(values: np.ndarray, key: np.ndarray, axis: int) -> np.ndarray:
    out = values.copy()
    for shift in (-1, 1, 2):
        here, there = _shifted(shift, axis)
        out[here] += values[there] * (key[here] == key[there])
    return out


def _shifted(shift: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    ahead, behind = slice(shift, None) if shift > 0 else slice(None, shift), None
    behind = slice(None, -shift) if shift > 0 else slice(-shift, None)
    every = slice(None)
    return ((every, behind), (every, ahead)) if axis == 1 else ((behind, every), (ahead, every))


def _tone_codes() -> np.ndarray:
    """sRGB bytes for codes of sqrt(radiance / 8): a filmic curve (Narkowicz 2015, fit to ACES), then sRGB."""
    x = (np.arange(_CODES) / (_CODES - 1)) ** 2 * _BRIGHTEST
    film = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    srgb = np.where(film <= 0.0031308, 12.92 * film, 1.055 * film ** (1 / 2.4) - 0.055)
    return np.round(srgb * 255).astype(np.uint8)


_TONE = _tone_codes()


def _to_srgb(linear: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Exposure, tone curve and sRGB of three planes: (h, w, 3) uint8."""
    out = []
    for plane in linear:
        np.minimum(plane, np.float32(_BRIGHTEST), out=plane)
        np.sqrt(plane, out=plane)
        plane *= np.float32((_CODES - 1) / math.sqrt(_BRIGHTEST))
        out.append(take(_TONE, plane.astype(np.int32)).reshape(size))
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
