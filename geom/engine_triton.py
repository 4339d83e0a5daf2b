"""The warps on CUDA: geometry in float32, pictures of any precision, fused into few kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from geom import kernels
from geom.transfer import Transfer, as_bits

_MOST_FRAMES = 65535
_SPLAT_PIXELS = 2**25
"""Of the second picture whose z-buffer is held at once, 8 bytes each."""


def gather(
    image: Tensor, z_dst: Tensor, z_src: Tensor | None, transfer: Transfer, tolerance: float
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """As `geom.engine_torch.gather`, without gradients."""
    (num, height, width), (channels, *size) = z_dst.shape, image.shape[1:]
    colour = image.new_empty((num, channels, height, width))
    is_seen, is_inside = (image.new_empty(z_dst.shape, dtype=torch.bool) for _ in range(2))
    image, z_dst = _whole_frames(image), _whole_frames(z_dst)
    hiding = z_dst if z_src is None else _whole_frames(z_src)
    sizes = (image.stride(0), z_dst.stride(0), hiding.stride(0), channels, *size, height, width, 1 + tolerance)
    # A program reads up to four channels; more are shared among several.
    group = next(group for group in (4, 3, 2, 1) if channels % group == 0) if channels else 0
    tiles, groups = _tiles(height, width, kernels.ROWS, kernels.COLS), channels // group if group else 1
    compiled = (group, z_src is not None, int(size[1] > 1))
    with torch.cuda.device_of(image):
        for first in range(0, num, _MOST_FRAMES):
            part = slice(first, first + _MOST_FRAMES)
            motion, masks = transfer.part(part).coefficients, (x[part].view(torch.uint8) for x in (is_seen, is_inside))
            read = (image[part], z_dst[part], hiding[part], motion)
            _launch(kernels.gather, (tiles, len(motion), groups), *read, colour[part], *masks, *sizes, *compiled)
    return colour, is_seen, is_inside, True


def splat(
    layers: Sequence[tuple[Tensor, float]], z_src: Tensor, transfer: Transfer, size: tuple[int, int]
) -> tuple[list[Tensor], Tensor, Tensor, Tensor, bool]:
    """As `geom.engine_torch.splat`: the same bits on each run."""
    num, (height, width), pixels = len(z_src), z_src.shape[1:], size[0] * size[1]
    carried = [layer.new_empty((num, layer.shape[1], *size)) for layer, _ in layers]
    kinds = (torch.float32, torch.bool, torch.int64)
    z_dst, is_hole, source_idx = (z_src.new_empty((num, *size), dtype=kind) for kind in kinds)
    z_src, sources = _whole_frames(z_src), [as_bits(_whole_frames(layer)) for layer, _ in layers]
    held = min(num, _MOST_FRAMES, max(1, _SPLAT_PIXELS // pixels))
    strides = (z_src.stride(0), height, width, *size)
    front = torch.full((held, pixels), kernels.EMPTY.value, device=z_src.device)
    with torch.cuda.device_of(z_src):
        for first in range(0, num, max(1, held)):
            part = slice(first, first + held)
            motion, hole, idx = transfer.part(part).coefficients, is_hole[part].view(torch.uint8), source_idx[part]
            tiles = _tiles(height, width, kernels.SPLAT_ROWS, kernels.SPLAT_COLS)
            _launch(kernels.splat, (tiles, len(motion)), z_src[part], motion, front, *strides)
            grid = (-(-pixels // kernels.BLOCK.value), len(motion))
            for i, (source, out, (_, fill)) in enumerate(zip(sources, carried, layers, strict=True)):
                copied = (source[part], as_bits(out[part]), int(fill), source.stride(0), source.shape[1])
                maps = (front, z_dst[part], hole, idx) if i == 0 else (idx,)
                kernel = kernels.show if i == 0 else kernels.carry
                _launch(kernel, grid, *maps, *copied, height * width, pixels)
    return carried, z_dst, is_hole, source_idx, True


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any) -> None:
    kernel[grid](*arguments)


def _tiles(height: int, width: int, rows: Any, cols: Any) -> int:
    return -(-height // rows.value) * -(-width // cols.value)


def _whole_frames(value: Tensor) -> Tensor:
    """Return a batch whose frames are contiguous each; one frame that serves all is not copied."""
    value = value.detach()
    return value if not len(value) or value[0].is_contiguous() else value.contiguous()
