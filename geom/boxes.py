"""Boxes on the image, (x1, y1, x2, y2): amodal boxes of whole objects, boxes of pixels, boxes of answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from geom.camera import PinholeCamera
from geom.extremes import image_extents
from geom.primitives import PLANE, Primitives
from geom.se3 import SE3

NORM_SIZE = 1000
"""Normalised boxes are whole thousandths of the image's width and height."""


def amodal_boxes(
    primitives: Primitives,
    T_cam_world: SE3,
    camera: PinholeCamera,
    num_items: int,
    *,
    z_near: float = 1e-3,
    clip: bool = True,
) -> tuple[Float[Tensor, "*batch items 4"], Bool[Tensor, "*batch items"]]:
    """Return the image box of each whole object, seen or hidden: exact, differentiable, for a batch of cameras.

    Objects are cut by the plane z = z_near in space and, with `clip`, their boxes by the image afterwards.

    Args:
        primitives: shapes with item_idx < 0 (the room) are ignored.
        T_cam_world: one pose or a batch, which broadcasts against the batch of the camera.
        num_items: how many objects; rows of the answer. An object without shapes has no box.
        z_near: shapes count from this z-depth on, metres.
        clip: cut the boxes at the image.

    Returns:
        box: pixels (x1, y1, x2, y2); NaN where the object lies behind z_near.
        valid: True where the box has an area and, with `clip`, some of it lies in the image.

    Raises:
        ValueError: if an object has a PLANE, an item_idx >= num_items, dtypes or devices differ, or z_near <= 0.
    """
    _check(primitives, T_cam_world, camera, num_items, z_near)
    primitives = primitives.select(primitives.item_idx >= 0)
    low, high = image_extents(primitives, T_cam_world, camera, z_near)
    row = primitives.item_idx[:, None].expand(low.shape)
    nothing = low.new_full((*low.shape[:-2], num_items, 2), torch.inf)
    low = nothing.scatter_reduce(-2, row, low, "amin")
    high = (-nothing).scatter_reduce(-2, row, high, "amax")
    box = torch.cat([low, high], dim=-1).masked_fill((low > high).any(-1, keepdim=True), torch.nan)
    return clip_box(box, camera.width, camera.height) if clip else (box, _has_area(box))


def amodal_box(
    primitives: Primitives,
    T_cam_world: SE3,
    camera: PinholeCamera,
    *,
    z_near: float = 1e-3,
    clip: bool = True,
) -> tuple[Float[Tensor, "*batch 4"], Bool[Tensor, "*batch"]]:
    """Return the image box of all given shapes together, as `amodal_boxes` does for each object.

    >>> from geom.primitives import ELLIPSOID
    >>> ball = Primitives.build([ELLIPSOID], SE3.from_translation(torch.tensor([[0.0, 0.0, 5.0]])), [[3.0] * 3])
    >>> camera = PinholeCamera(torch.tensor([[100.0, 0, 100], [0, 100, 100], [0, 0, 1]]), 200, 200)
    >>> box, valid = amodal_box(ball, SE3.identity(dtype=torch.float32), camera)
    >>> [round(x) for x in box.tolist()], bool(valid)  # tan(asin(3 / 5)) = 0.75
    ([25, 25, 175, 175], True)
    """
    one = replace(primitives, item_idx=torch.zeros_like(primitives.item_idx))
    box, valid = amodal_boxes(one, T_cam_world, camera, 1, z_near=z_near, clip=clip)
    return box[..., 0, :], valid[..., 0]


def visible_box(
    item_raster: Integer[Tensor, "*batch h w"] | Integer[np.ndarray, "*batch h w"], item_idx: int
) -> tuple[Float[Tensor, "*batch 4"], Bool[Tensor, "*batch"]]:
    """Return the box of the pixels that an object owns, with whole pixels inside: columns [min, max + 1].

    Returns:
        box: pixels (x1, y1, x2, y2), float64; NaN where it owns none.
        valid: True where it owns a pixel.

    >>> visible_box(torch.tensor([[-1, 7, 7], [-1, -1, 7]]), 7)[0].tolist()
    [1.0, 0.0, 3.0, 2.0]
    """
    owned = torch.as_tensor(item_raster) == item_idx
    columns, rows = owned.any(-2), owned.any(-1)
    valid = rows.any(-1)
    edges = [_first(columns), _first(rows), _end(columns), _end(rows)]
    box = torch.stack(edges, dim=-1).double()
    return box.masked_fill(~valid[..., None], torch.nan), valid


def clip_box(
    box: Float[Tensor, "*batch 4"], width: int, height: int
) -> tuple[Float[Tensor, "*batch 4"], Bool[Tensor, "*batch"]]:
    """Cut boxes (pixels) at the image; also return which keep an area. NaN stays NaN and is not valid."""
    size = box.new_tensor([width, height, width, height])
    cut = torch.minimum(box.clamp_min(0), size)
    return cut, _has_area(cut)


def box_area(box: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch"]:
    """Return the area of boxes, in their unit squared; 0 where a side is negative, NaN where the box is."""
    sides = (box[..., 2:] - box[..., :2]).clamp_min(0)
    return sides[..., 0] * sides[..., 1]


def box_iou(a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"]) -> Float[Tensor, "*batch"]:
    """Return the intersection of two boxes over their union; 0 for empty boxes, NaN where a box is NaN.

    >>> box_iou(torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 0.0, 2.0, 2.0])).item()
    0.5
    """
    inner = torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], dim=-1)
    shared = box_area(inner)
    union = box_area(a) + box_area(b) - shared
    return shared / union.where(union != 0, torch.ones_like(union))


def normalise_box(
    box: Sequence[int | float] | np.ndarray | Tensor, width: int, height: int
) -> tuple[int, int, int, int]:
    """Take a pixel box to whole thousandths of the image, rounded half to even and cut to 0..1000.

    Raises:
        ValueError: if the box is not 4 finite numbers with x1 <= x2 and y1 <= y2, or the image is empty.

    >>> normalise_box([-3.0, 50.0, 100.25, 200.0], 200, 400)
    (0, 125, 501, 500)
    """
    values = [float(v) for v in box]
    _check_ordered(values)
    if width <= 0 or height <= 0:
        raise ValueError(f"width and height must be > 0 pixels, got {width} and {height}")
    x1, y1, x2, y2 = (_thousandths(*pair) for pair in zip(values, (width, height) * 2, strict=True))
    return x1, y1, x2, y2


def denormalise_box(box: Sequence[int], width: int, height: int) -> Float[Tensor, " 4"]:
    """Take a box in thousandths of the image to pixels, float64.

    Raises:
        ValueError: if the box is not 4 numbers with x1 <= x2 and y1 <= y2.
    """
    _check_ordered(box)
    thousandths = torch.tensor(box, dtype=torch.float64)
    return thousandths / NORM_SIZE * thousandths.new_tensor([width, height, width, height])


def format_box(box: Sequence[int]) -> str:
    """Write a normalised box as answers do.

    Raises:
        ValueError: if the box is not 4 whole numbers in 0..1000 with x1 <= x2 and y1 <= y2.

    >>> format_box((513, 163, 934, 600))
    '[513, 163, 934, 600]'
    """
    _check_normalised(box)
    x1, y1, x2, y2 = box
    return f"[{x1}, {y1}, {x2}, {y2}]"


def parse_box(text: str) -> tuple[int, int, int, int]:
    """Read what `format_box` writes; spaces do not matter, anything else does.

    Raises:
        ValueError: if the text is not "[x1, y1, x2, y2]", or the numbers are no normalised box.
    """
    match = re.fullmatch(r"\s*\[\s*" + r"\s*,\s*".join([r"([0-9]+)"] * 4) + r"\s*\]\s*", text)
    if match is None:
        raise ValueError(f'a box reads "[x1, y1, x2, y2]" in whole numbers 0..{NORM_SIZE}, got {text!r}')
    x1, y1, x2, y2 = box = [int(number) for number in match.groups()]
    _check_normalised(box)
    return x1, y1, x2, y2


def _thousandths(value: float, size: int) -> int:
    return min(max(round(value / size * NORM_SIZE), 0), NORM_SIZE)


def _check_ordered(box: Sequence[int | float]) -> None:
    finite = len(box) == 4 and bool(np.isfinite(box).all())
    if not finite or box[0] > box[2] or box[1] > box[3]:
        raise ValueError(f"a box is 4 finite numbers x1 <= x2, y1 <= y2, got {list(box)}; is it (x, y, w, h)?")


def _check_normalised(box: Sequence[int]) -> None:
    if not all(isinstance(v, int | np.integer) and 0 <= v <= NORM_SIZE for v in box):
        raise ValueError(f"a normalised box holds whole numbers 0..{NORM_SIZE}, got {list(box)}; is it in pixels?")
    _check_ordered(box)


def _first(has: Tensor) -> Tensor:
    return has.int().argmax(-1)


def _end(has: Tensor) -> Tensor:
    return has.shape[-1] - has.flip(-1).int().argmax(-1)


def _has_area(box: Tensor) -> Tensor:
    return (box[..., 2:] > box[..., :2]).all(-1)


def _check(primitives: Primitives, T_cam_world: SE3, camera: PinholeCamera, num_items: int, z_near: float) -> None:
    if not z_near > 0:
        raise ValueError(f"z_near must be > 0 m, got {z_near}; use a small positive value such as 1e-3")
    kinds = [(x.dtype, x.device) for x in (primitives.half_size, T_cam_world.t, camera.K)]
    if len(set(kinds)) > 1:
        raise ValueError(f"primitives, pose and camera must share dtype and device, got {kinds}; use .to()")
    if bool((primitives.item_idx >= num_items).any()):
        raise ValueError(f"item_idx must be < num_items = {num_items}, got {int(primitives.item_idx.max())}")
    if bool(((primitives.shape_code == PLANE) & (primitives.item_idx >= 0)).any()):
        raise ValueError("an infinite PLANE has no box; leave it to the room (item_idx -1) or use a BOX")
