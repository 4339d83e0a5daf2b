"""Which of three engines warps: numba on a CPU, Triton on CUDA, torch elsewhere and for gradients.

An engine is a module with two functions, `gather` and `splat`, over batches of one dimension; all of them compute the
same, and the tests hold them against each other.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from geom import engine_torch


def engine_for(geometry: Tensor) -> ModuleType:
    """Return the quickest engine for geometry of this device and dtype, without gradients."""
    if geometry.device.type == "cpu":
        # Imported when first used: it brings a compiler.
        from geom import engine_numba

        return engine_numba
    if geometry.is_cuda and geometry.dtype == torch.float32:
        return _on_cuda()
    return engine_torch


@cache
def _on_cuda() -> ModuleType:
    if torch.version.cuda is None:  # AMD's devices call themselves CUDA too; the kernels hold a line of NVIDIA's own
        return engine_torch
    try:
        from geom import engine_triton
    except ImportError:
        return engine_torch
    return engine_triton
