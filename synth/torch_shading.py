"""The look of `synth.shading` in torch: the same texture, lamp, ambient light and film, on any device.

Points lie in planes: a quantity of P points is (P,), a vector of each is (3, P). Everything is float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from geom.primitives import CYLINDER, DISC, ELLIPSOID
from synth.scene import Light, Scene
from synth.shading import COOL, WARM, WHITE
from synth.surfaces import SurfaceTable, atlas, surface_table
from synth.textures import SIZE

_KEPT_AXES = {CYLINDER: (True, True, False), ELLIPSOID: (True, True, True)}
"""The unit axes along which a curved face bends."""


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What shading has to know about the n primitives of a scene, as `synth.surfaces.SurfaceTable` says it.

    Args:
        unit_from_world: affine map that takes world points to unit-shape coordinates.
        half_size: metres.
        shape: code of `geom.primitives`.
        bends: axes along which the curved face of a primitive bends.
        swaps: whether u and v change places on the face 3 * prim + axis, so that grain runs along it.
        is_picture: the texture fills the face.
        per_metre: repeats of the texture in one metre.
        start: where in the pattern the primitive starts, repeats.
        slot: row block in the atlas.
        tint: linear colour times the texture's gain.
        gloss, glow: of the material.
    """

    unit_from_world: Float[Tensor, "3 4 n"]
    half_size: Float[Tensor, "3 n"]
    shape: UInt8[Tensor, " n"]
    bends: Bool[Tensor, "3 n"]
    swaps: Bool[Tensor, " faces"]
    is_picture: Bool[Tensor, " n"]
    per_metre: Float[Tensor, " n"]
    start: Float[Tensor, " n"]
    slot: Float[Tensor, " n"]
    tint: Float[Tensor, "3 n"]
    gloss: Float[Tensor, " n"]
    glow: Float[Tensor, " n"]

    @staticmethod
    def of(scene: Scene, device: torch.device) -> Surfaces:
        """Copy a scene's table to a device."""
        table = surface_table(scene)
        bends = np.array([_KEPT_AXES.get(int(code), (False,) * 3) for code in table.shape]).T
        start = (np.arange(table.slot.size) * 0.618034 % 1).astype(np.float32)
        rows = (table.unit_from_world.reshape(3, 4, -1), table.half_size, table.shape, bends, _swaps(table))
        looks = (table.is_picture, table.per_metre, start, table.slot, table.tint, table.gloss, table.glow)
        return Surfaces(*(torch.as_tensor(a.copy(), device=device) for a in (*rows, *looks)))


def _swaps(table: SurfaceTable) -> np.ndarray:
    x, y, z = table.half_size
    along_u, along_v = np.stack([y, x, x], 1), np.stack([z, z, y], 1)
    return (table.swaps[:, None] & (along_v > along_u)).ravel()


class Faces(NamedTuple):
    """What was met at each point."""

    prim: Int[Tensor, " P"]
    shape: UInt8[Tensor, " P"]
    axis: Int[Tensor, " P"]
    """Which unit axis the face belongs to."""
    unit: Float[Tensor, "3 P"]
    """Unit-shape coordinates."""
    normal: Float[Tensor, "3 P"]
    """World, unit length, towards the outside; that of a disc turns to the eye."""


def faces(
    table: Surfaces, prim: Int[Tensor, " P"], p_world: Float[Tensor, "3 P"], to_eye: Float[Tensor, "3 P"]
) -> Faces:
    """Find faces and smooth normals at points on primitives; `to_eye` leads from them to the camera."""
    affine = table.unit_from_world.index_select(2, prim)
    unit = (affine[:, :3] * p_world).sum(1) + affine[:, 3]
    shape = table.shape.index_select(0, prim)
    axis = _face_axis(shape, unit.abs())
    is_curved = (shape == ELLIPSOID) | ((shape == CYLINDER) & (axis != 2))
    is_own = axis == torch.arange(3, device=axis.device)[:, None]
    outward = unit * torch.where(is_curved, table.bends.index_select(1, prim), is_own)
    # A disc's own z is 0 on it, so the side of the eye decides.
    outward[2] = torch.where(shape == DISC, (affine[2, :3] * to_eye).sum(0), outward[2])
    # The gradient of |s|^2 along the kept axes, s = A p + b, is A^T s up to its length.
    normal = (affine[:, :3] * outward[:, None]).sum(0)
    return Faces(prim, shape, axis, unit, normal / _length(normal).clamp_min(1e-12))


def _face_axis(shape: Tensor, size: Tensor) -> Tensor:
    x, y, z = size
    axis = torch.where(z >= torch.maximum(x, y), 2, (y > x).long())
    axis = torch.where(shape == CYLINDER, torch.where(z > 0.9995, 2, axis.clamp_max(1)), axis)
    return axis.masked_fill(shape == DISC, 2)


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().sum(0).sqrt()


def albedo(table: Surfaces, found: Faces, pixel_m: Float[Tensor, " P"]) -> Float[Tensor, "3 P"]:
    """Linear RGB of the surface, from the copy of its texture that suits the width of a pixel on it, metres."""
    u, v = _texture_coords(table, found)
    texels, left = _texels(table.slot.device)
    per_pixel = table.per_metre.index_select(0, found.prim) * pixel_m * SIZE
    # The bits of a float's exponent, as np.frexp returns it.
    level = ((per_pixel.view(torch.int32) >> 23) - 126).clamp(0, len(left) - 1)
    size = torch.bitwise_right_shift(torch.full_like(level, SIZE), level)
    x, y = u * size + left[level], v * size + table.slot.index_select(0, found.prim)
    return _bilinear(texels, x, y).square() * table.tint.index_select(1, found.prim)


@cache
def _texels(device: torch.device) -> tuple[UInt8[Tensor, "h w 4"], Float[Tensor, " levels"]]:
    """The atlas on a device, once for all rooms: RGB padded to words of four bytes, and where its copies start."""
    texels, left = torch.from_numpy(atlas().texels), torch.from_numpy(atlas().left)
    return torch.nn.functional.pad(texels, (0, 1)).to(device), left.to(device)


def _bilinear(texels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Texels between four neighbours, 0..1, (3, P); all four must lie in the atlas."""
    words, width = texels.view(torch.int32).flatten(), texels.shape[1]
    x0, y0 = x.floor(), y.floor()
    dx, dy, at = x - x0, y - y0, y0.long() * width + x0.long()
    total = torch.zeros((len(x), 4), device=x.device)
    for step, weight in ((0, (1 - dx) * (1 - dy)), (1, dx * (1 - dy)), (width, (1 - dx) * dy), (width + 1, dx * dy)):
        total += words.index_select(0, at + step)[:, None].view(torch.uint8) * weight[:, None]
    return total.T[:3] / 255


def _texture_coords(table: Surfaces, found: Faces) -> tuple[Tensor, Tensor]:
    """(u, v) in 0..1 of the texture; patterns repeat, pictures lie once on each face."""
    prim, axis, unit = found.prim, found.axis, found.unit
    half = table.half_size.index_select(1, prim)
    x, y, z = unit * half
    is_tube = (found.shape == CYLINDER) & (axis != 2)
    turn = torch.atan2(unit[1], unit[0])
    u = torch.where(is_tube, turn * (half[0] + half[1]) / 2, torch.where(axis == 0, y, x))
    v = torch.where(axis == 2, y, z)
    swap = table.swaps.index_select(0, 3 * prim + axis)
    u, v = torch.where(swap, v, u), torch.where(swap, u, v)
    scale, start = table.per_metre.index_select(0, prim), table.start.index_select(0, prim)
    is_picture = table.is_picture.index_select(0, prim)
    wide, tall = _picture_coords(found, turn / torch.pi, is_tube)
    u, v = u * scale + start, -v * scale - start
    return torch.where(is_picture, wide, u - u.floor()), torch.where(is_picture, tall, v - v.floor())


def _picture_coords(found: Faces, turn: Tensor, is_tube: Tensor) -> tuple[Tensor, Tensor]:
    """Upright as seen from outside; around what is round."""
    (x, y, z), axis, is_ball = found.unit, found.axis, found.shape == ELLIPSOID
    wide = torch.where(axis == 0, y * x.sign(), torch.where(axis == 1, -x * y.sign(), -x))
    wide = torch.where(is_ball | is_tube, turn, wide)
    tall = torch.where(axis == 2, -y, z)
    tall = torch.where(is_ball, z.clamp(-1, 1).asin() * (2 / torch.pi), tall)
    return (wide.clamp(-0.999, 0.999) + 1) / 2, (1 - tall.clamp(-0.999, 0.999)) / 2


def lamp(
    table: Surfaces, light: Light, found: Faces, p_world: Float[Tensor, "3 P"], to_eye: Float[Tensor, "3 P"]
) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"]]:
    """Diffuse light and highlight of the lamp where nothing shadows it."""
    to_lamp = p_world.new_tensor(light.position)[:, None] - p_world
    reach2 = to_lamp.square().sum(0)
    to_lamp = to_lamp / reach2.sqrt()
    cosine = (found.normal * to_lamp).sum(0)
    # The lamp faces down; a little of its light goes sideways and up.
    arriving = (to_lamp[2].clamp_min(0) * 0.9 + 0.1) * light.intensity / (reach2 + 0.3) * (cosine > 0)
    half = to_lamp + to_eye / _length(to_eye)
    aligned = (found.normal * half).sum(0).clamp_min(0) / (half.square().sum(0) + 1e-9).sqrt()
    return arriving * cosine, arriving * aligned**32 * table.gloss.index_select(0, found.prim)


def ambient(table: Surfaces, scene: Scene, found: Faces, p_world: Float[Tensor, "3 P"]) -> Float[Tensor, " P"]:
    """Light from everywhere, less on upright faces and in the room's corners; and the surface's own."""
    middle = p_world.new_tensor(scene.room_size)[:, None] / 2
    shut = (((p_world - middle).abs() - middle) * 5).clamp_max(0).exp() * (1 - found.normal.abs())
    light = (0.82 + 0.18 * found.normal[2].square()) * (1 - 0.45 * shut).prod(0)
    return light * scene.light.ambient + table.glow.index_select(0, found.prim)


def developed(
    color: Float[Tensor, "3 P"], diffuse: Float[Tensor, " P"], shine: Float[Tensor, " P"], rest: Float[Tensor, " P"]
) -> Float[Tensor, "3 P"]:
    """Expose as film does (Reinhard's curve with a white point), and encode as sRGB, 0..1."""
    warm, cool = color.new_tensor(WARM)[:, None], color.new_tensor(COOL)[:, None]
    x = color * (diffuse * warm + rest * cool) + shine
    film = (x * (1 + x / WHITE**2) / (0.5 + x)).clamp(0, 1)
    return torch.where(film <= 0.0031308, 12.92 * film, 1.055 * film ** (1 / 2.4) - 0.055)
