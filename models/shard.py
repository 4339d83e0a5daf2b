"""A large adapter over several devices: each keeps a share of the weights, of their gradients and of Adam's moments."""

from __future__ import annotations

from collections.abc import Mapping

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from models.adapter import Adapter

FSDP = "fsdp"
"""Name of this strategy."""


def strategy_of(name: str) -> str | ModelParallelStrategy:
    """What lightning is given for the name of a strategy: its own FSDP cannot clip gradients over all weights."""
    return ModelParallelStrategy(save_distributed_checkpoint=False) if name == FSDP else name


def shard(adapter: Adapter, device_type: str, processes: int) -> None:
    """Share an adapter out, each layer of its language part by itself; a head, which is small, stays whole.

    Source: torch's fully_shard (FSDP2), which keeps the names of weights.
    """
    mesh = init_device_mesh(device_type, (processes,))
    for layer in adapter.vlm.get_decoder().layers:
        fully_shard(layer, mesh=mesh)
    if adapter.geometry is not None:
        fully_shard(adapter.geometry, mesh=mesh)
    whole = set() if adapter.head is None else set(adapter.head.parameters())
    fully_shard(adapter, mesh=mesh, ignored_params=whole)
    register_fsdp_forward_method(adapter, Adapter.loss.__name__)


def gathered(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Shares put together, on the CPU; all processes must call it."""
    return {name: (p.full_tensor() if isinstance(p, DTensor) else p).detach().cpu() for name, p in weights.items()}
