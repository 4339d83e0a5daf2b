"""Views of a simulated room by torch alone: exact rays, the look of `synth.shading`, on a CPU or a GPU.

Made for training data: many views of a room at once, nothing leaves the device. What differs from `RoomWorld`: solids
are round rather than triangulated, shadows are hard, and outlines are smoothed by `samples` only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Int16, UInt8
from torch import Tensor

from geom.bundles import cast_bundles
from geom.camera import PinholeCamera
from geom.primitives import Primitives
from geom.raycast import Hit, pairs_at_once
from geom.se3 import SE3
from synth import torch_shading as shading
from synth.scene import Light, Scene
from synth.shading import CLEARANCE
from synth.transition import ROOM

_TILE = 8
"""Pixels along each side of what is cast at once."""


@dataclass(frozen=True, eq=False)
class Views:
    """What n cameras see of a room, pixel by pixel, as in `synth.transition.View`.

    Args:
        image: sRGB; black where nothing is met.
        z_depth: metres along the optical axis, of what the pixel's centre shows; NaN where nothing is met.
        item_idx: of the scene's items, or ROOM.
    """

    image: UInt8[Tensor, "n 3 h w"]
    z_depth: Float[Tensor, "n h w"]
    item_idx: Int16[Tensor, "n h w"]


@dataclass(frozen=True, eq=False)
class TorchRoom:
    """A room on a device, ready to be seen; make it once and use it for every view.

    Args:
        scene: what is drawn.
        primitives: its solids, float32.
        casters: those that throw shadows: all but the lamp itself.
        surfaces: how they look.
    """

    scene: Scene
    primitives: Primitives
    casters: Primitives
    surfaces: shading.Surfaces

    @staticmethod
    def of(scene: Scene, device: Any = "cpu") -> TorchRoom:
        """Take a scene to a device; the textures are there once for all rooms."""
        primitives = scene.primitives().to(dtype=torch.float32, device=device)
        surfaces = shading.Surfaces.of(scene, primitives.device)
        casters = primitives.select((primitives.item_idx != ROOM) | (surfaces.glow == 0))
        return TorchRoom(scene, primitives, casters, surfaces)

    def views(self, camera: PinholeCamera, T_world_cam: SE3, *, shadows: bool = True, samples: int = 1) -> Views:
        """Draw n views at once.

        Args:
            camera: one for all views, or a batch of n; any dtype and device.
            T_world_cam: camera to world, (n,); any dtype and device.
            shadows: cast a ray from the lamp to each point. Without, all is lit that faces the lamp.
            samples: along each side of a pixel, whose mean is its colour, each by the light of its own point of the
                lamp; `z_depth` and `item_idx` are always those of the pixel's centre.

        Raises:
            ValueError: if the poses are no batch (n,), or samples < 1.
        """
        if T_world_cam.t.dim() != 2 or samples < 1:
            shape = tuple(T_world_cam.t.shape[:-1])
            raise ValueError(f"views need poses of shape (n,) and samples >= 1, got {shape} and {samples}")
        like = self.primitives.half_size
        camera, T_world_cam = camera.to(like), T_world_cam.to(like)
        tiles, back = _tiles(camera.height, camera.width, like.device)
        with exact(like.device):
            seen, color = self._seen(camera, T_world_cam, tiles), tiles.new_zeros(())
            offsets, lamps = tiles.new_tensor(_offsets(samples)), _lamp_points(self.scene.light, samples**2).to(like)
            # A GPU does best with many rays at once, a CPU with what its cache holds.
            for at in torch.arange(samples**2).split(max(pairs_at_once(like.device) // seen.hit.t.numel(), 1)):
                spread = (tiles + offsets[at, None, None]).flatten(0, 1)
                sample = seen if samples == 1 else self._seen(camera, T_world_cam, spread)
                lamp = lamps[at].repeat_interleave(len(tiles), 0) if shadows else None
                color = color + self._color(sample, lamp).unflatten(2, (len(at), -1)).sum(2) / samples**2
            z_depth = seen.hit.t.masked_fill(seen.hit.prim_idx < 0, torch.nan)
            planes = ((color * 255).round().to(torch.uint8), z_depth, self._item_idx(seen.hit.prim_idx))
            return Views(*(x.flatten(-2)[..., back] for x in planes))

    def item_idx(self, camera: PinholeCamera, T_world_cam: SE3) -> Int16[Tensor, "n h w"]:
        """As `views`, what the pixels' centres show and nothing else, several times faster."""
        like = self.primitives.half_size
        tiles, back = _tiles(camera.height, camera.width, like.device)
        with exact(like.device):
            seen = self._seen(camera.to(like), T_world_cam.to(like), tiles)
            return self._item_idx(seen.hit.prim_idx).flatten(-2)[..., back]

    def _seen(self, camera: PinholeCamera, T_world_cam: SE3, uv: Float[Tensor, "tiles rays 2"]) -> _Seen:
        """Cast a ray through each place in the picture, of all views."""
        direction = T_world_cam[:, None, None].rotate(camera[..., None, None].rays(uv))
        n, tiles = direction.shape[:2]
        origin = T_world_cam.t.repeat_interleave(tiles, 0)
        t, prim_idx = cast_bundles(self.primitives, origin, direction.flatten(0, 1))
        hit = Hit(t.unflatten(0, (n, tiles)), prim_idx.unflatten(0, (n, tiles)))
        return _Seen(camera.focal[..., 0, None, None], T_world_cam.t, direction, hit)

    def _item_idx(self, prim_idx: Tensor) -> Tensor:
        item_idx = self.primitives.item_idx[prim_idx.clamp_min(0)]
        return item_idx.masked_fill(prim_idx < 0, ROOM).to(torch.int16)

    def _color(self, seen: _Seen, lamp: Float[Tensor, "tiles 3"] | None) -> Float[Tensor, "n 3 tiles rays"]:
        """sRGB, 0..1, with the shadows of a lamp that is a point, another one for each tile."""
        table, prim = self.surfaces, seen.hit.prim_idx.flatten()
        z_depth = seen.hit.t.masked_fill(seen.hit.prim_idx < 0, 1.0)
        to_eye = -(seen.direction * z_depth[..., None])
        p_world, to_eye = _planes(seen.eye[:, None, None] - to_eye), _planes(to_eye)
        found = shading.faces(table, prim.clamp_min(0), p_world, to_eye)
        # A slanted pixel covers more of the surface; the root is a compromise between blur and flicker.
        facing = (found.normal * to_eye).sum(0).abs() / to_eye.square().sum(0).sqrt()
        pixel_m = (z_depth / seen.focal).flatten() / (facing + 0.02).sqrt()
        diffuse, shine = shading.lamp(table, self.scene.light, found, p_world, to_eye)
        if lamp is not None:
            lit = self._lit(lamp, p_world + CLEARANCE * found.normal)
            diffuse, shine = diffuse * lit, shine * lit
        rest = shading.ambient(table, self.scene, found, p_world)
        color = shading.developed(shading.albedo(table, found, pixel_m), diffuse, shine, rest)
        return color.masked_fill(prim < 0, 0).view(3, *z_depth.shape).transpose(0, 1)

    def _lit(self, lamp: Float[Tensor, "tiles 3"], p_world: Float[Tensor, "3 P"]) -> Tensor:
        """Whether the lamp sees each point. Rays start at the lamp, so that those of a tile have one origin."""
        p_world = p_world.T.reshape(-1, _TILE**2, 3)
        lamp = lamp.repeat(len(p_world) // len(lamp), 1)
        return cast_bundles(self.casters, lamp, p_world - lamp[:, None], t_max=1.0).prim_idx.flatten() < 0


class _Seen(NamedTuple):
    """What rays of n views meet, tile by tile."""

    focal: Float[Tensor, "*n 1 1"]
    eye: Float[Tensor, "n 3"]
    direction: Float[Tensor, "n tiles rays 3"]
    hit: Hit


@lru_cache(8)
def _tiles(height: int, width: int, device: torch.device) -> tuple[Float[Tensor, "tiles rays 2"], Int[Tensor, "h w"]]:
    """Pixel centres in square tiles, and where among them each pixel is."""
    row, col = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    order = (row // _TILE * width + col // _TILE).flatten().argsort(stable=True)
    back = order.argsort().view(height, width)
    # The last pixel again fills the last tile.
    order = torch.cat([order, order[-1:].expand(-len(order) % _TILE**2)])
    centers = torch.stack([col, row], -1).flatten(0, 1)[order] + 0.5
    return centers.view(-1, _TILE**2, 2).to(device), back.to(device)


def _offsets(samples: int) -> list[tuple[float, float]]:
    """Where samples lie in a pixel, from its centre."""
    at = [(i + 0.5) / samples - 0.5 for i in range(samples)]
    return [(dx, dy) for dy in at for dx in at]


def _lamp_points(light: Light, num: int) -> Float[Tensor, "num 3"]:
    """Points spread evenly over the lamp's disc (Vogel's spiral), the first in its centre, world."""
    i = torch.arange(num)
    r, angle = light.radius * (i / num).sqrt(), i * math.pi * (3 - math.sqrt(5))
    flat = torch.stack([r * angle.cos(), r * angle.sin(), 0 * r], -1)
    return flat + torch.tensor(light.position)


def _planes(vectors: Float[Tensor, "n tiles rays 3"]) -> Float[Tensor, "3 P"]:
    return vectors.reshape(-1, 3).T.contiguous()


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Geometry needs all of float32, whatever precision the training around it has chosen."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(chosen)
