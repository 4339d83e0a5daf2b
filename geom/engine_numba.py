"""The warps on a CPU: frames, or bands of their rows, shared among torch's threads, which run compiled loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geom.loops import carry, gather_rows, read_front, splat_frame
from geom.transfer import Transfer, as_bits

_SHARES = 4
"""Into which the work of each thread is cut, so that none waits long for another."""

_Job = tuple[int, int, int]
"""A frame, and the first and last row (exclusive) of a band of it."""


def gather(
    image: Tensor, z_dst: Tensor, z_src: Tensor | None, transfer: Transfer, tolerance: float
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """As `geom.engine_torch.gather`, without gradients."""
    shape, kind = z_dst.shape, transfer.dtype
    colour = _empty((shape[0], image.shape[1], *shape[1:]), image.dtype)
    is_seen, is_inside = _empty(shape, torch.bool), _empty(shape, torch.bool)
    H, e = _array(transfer.H, kind), _array(transfer.e, kind)
    nothing, limit = np.empty((0, 0), H.dtype), H.dtype.type(1 + tolerance)

    def work(jobs: Sequence[_Job]) -> bool:
        """Fill bands of rows; whether no depth in them is <= 0."""
        is_positive = True
        for n, first, last in jobs:
            rows = slice(first, last)
            planes, z = _array(image[n], kind), _array(z_dst[n, rows], kind)
            hiding = nothing if z_src is None else _array(z_src[n], kind)
            # Half-precision pictures are sampled in the dtype of the geometry, a band at a time.
            out = colour[n, :, rows] if colour.dtype == kind else torch.empty(colour[n, :, rows].shape, dtype=kind)
            found = out.numpy(), is_seen[n, rows].numpy(), is_inside[n, rows].numpy()
            is_positive &= gather_rows(planes, z, hiding, H[n], e[n], first, limit, *found)[0]
            if colour.dtype != kind:
                colour[n, :, rows] = out
        return is_positive

    return colour, is_seen, is_inside, _share_out(work, shape[0], shape[1])


def splat(
    layers: Sequence[tuple[Tensor, float]], z_src: Tensor, transfer: Transfer, size: tuple[int, int]
) -> tuple[list[Tensor], Tensor, Tensor, Tensor, bool]:
    """As `geom.engine_torch.splat`."""
    num, kind = len(z_src), transfer.dtype
    carried = [_empty((num, layer.shape[1], *size), layer.dtype) for layer, _ in layers]
    z_dst, is_hole, source_idx = (_empty((num, *size), x) for x in (kind, torch.bool, torch.int64))
    H, e, zoom = (_array(x, kind) for x in (transfer.H, transfer.e, transfer.zoom))

    def work(jobs: Sequence[_Job]) -> bool:
        """Fill whole frames; whether no depth in them is <= 0."""
        is_positive, front, z_moved = True, np.empty(size, np.int64), np.empty(z_src.shape[1:], H.dtype)
        for n, _, _ in jobs:
            is_positive &= splat_frame(_array(z_src[n], kind), H[n], e[n], zoom[n], front, z_moved)
            idx = source_idx[n].numpy()
            read_front(front, z_moved, z_dst[n].numpy(), is_hole[n].numpy(), idx)
            for (layer, fill), out in zip(layers, carried, strict=True):
                source = as_bits(layer[n].detach().contiguous()).numpy()
                carry(source, idx, fill, as_bits(out[n]).numpy())
        return is_positive

    return carried, z_dst, is_hole, source_idx, _share_out(work, num, 1)


def _share_out(work: Callable[[Sequence[_Job]], bool], num: int, height: int) -> bool:
    """Do all frames on torch's threads, cut into bands where there are few; return whether all answers are yes."""
    threads = torch.get_num_threads()
    bands = min(height, -(-_SHARES * threads // max(1, num)))
    edges = [height * i // bands for i in range(bands + 1)] if bands else []
    jobs = [(n, *band) for n in range(num) for band in pairwise(edges)]
    if threads == 1:
        return work(jobs)
    cuts = [len(jobs) * i // (_SHARES * threads) for i in range(_SHARES * threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return all([*pool.map(work, (jobs[a:b] for a, b in pairwise(cuts) if a < b))])


def _empty(shape: Sequence[int], kind: torch.dtype) -> Tensor:
    """Return memory that numpy asks for, which it does in large pages: fresh ones cost more than what is written."""
    return torch.from_numpy(np.empty(shape, f"i{kind.itemsize}")).view(kind)


def _array(value: Tensor, kind: torch.dtype) -> NDArray[Any]:
    return value.detach().to(kind).contiguous().numpy()
