"""A large adapter over several devices: each keeps a share of the weights, of their gradients and of Adam's moments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from models.adapter import Adapter
from models.run_folder import rank

FSDP = "fsdp"
"""Name of this strategy."""


class SharedWeights(ModelParallelStrategy):
    """Lightning's strategy for shares that a module makes itself; a state is one file of what is trained."""

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """What is trained, put together by the first process."""
        assert self.model is not None
        how = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        return get_model_state_dict(self.model, options=how)

    def load_checkpoint(self, checkpoint_path: Path | str, weights_only: bool | None = None) -> dict[str, Any]:
        """Tensors and plain values alone: lightning hands `weights_only` on to other strategies only."""
        return super().load_checkpoint(checkpoint_path, weights_only=True)


def strategy_of(name: str) -> str | SharedWeights:
    """What lightning is given for the name of a strategy: its own FSDP cannot clip gradients over all weights."""
    return SharedWeights() if name == FSDP else name


def layers_of(adapter: Adapter) -> nn.ModuleList:
    """The layers of the language part.

    Raises:
        ValueError: if they are not where transformers has them.
    """
    layers = getattr(adapter.vlm.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ValueError(f"strategy fsdp shares out layers, but {adapter.vlm.config.model_type} lists none: use ddp")
    return layers


def shard(adapter: Adapter, device_type: str, processes: int) -> None:
    """Share an adapter out, each layer of its language part by itself; a head, which is small, stays whole.

    Source: torch's fully_shard (FSDP2), which keeps the names of weights.
    """
    mesh = init_device_mesh(device_type, (processes,))
    for layer in layers_of(adapter):
        fully_shard(layer, mesh=mesh)
    if adapter.geometry is not None:
        fully_shard(adapter.geometry, mesh=mesh)
    whole = set() if adapter.head is None else set(adapter.head.parameters())
    fully_shard(adapter, mesh=mesh, ignored_params=whole)
    register_fsdp_forward_method(adapter, Adapter.loss.__name__)


def gathered(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Shares put together, one weight after the other, on the CPU of the first process; all processes must call it."""
    found = {}
    for name, p in weights.items():
        whole = p.full_tensor() if isinstance(p, DTensor) else p
        if not rank():
            found[name] = whole.detach().cpu()
    return found
