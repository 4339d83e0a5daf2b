"""Batches of pairs to train on, and others, never trained on, to see how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from models.pairs import Pairs
from models.room_plan import RoomPlan
from models.room_views import draw
from models.stream import Onward

_Batch = Pairs | list[RoomPlan]
_Source = Dataset[Pairs | RoomPlan]
"""Gives one or the other."""


class PairData(lightning.LightningDataModule):
    """Batches of pairs; those that come as plans are drawn on the device that trains on them.

    Args:
        train: what is trained on, by number: pairs, or plans of rooms.
        held_out: what is looked at after each epoch; the same each time.
        limit: numbers that `train` has; None for no end.
        per_batch: numbers of a batch of each process.
        batches_per_epoch: of each process.
        loader_workers: processes that make pairs; they change the time it takes and nothing else.
    """

    def __init__(
        self,
        train: _Source,
        held_out: _Source,
        limit: int | None,
        *,
        seed: int = 0,
        per_batch: int = 4,
        batches_per_epoch: int = 100,
        loader_workers: int = 0,
    ) -> None:
        super().__init__()
        self.train, self.held_out, self.limit, self.seed = train, held_out, limit, seed
        self.per_batch, self.batches_per_epoch, self.loader_workers = per_batch, batches_per_epoch, loader_workers

    def train_dataloader(self) -> DataLoader[Any]:
        """Numbers that go on from epoch to epoch."""
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        per_epoch = self.per_batch * self.batches_per_epoch * world_size
        return self._loader(self.train, Onward(per_epoch, self.limit, self.seed, rank, world_size))

    def val_dataloader(self) -> DataLoader[Any]:
        """The same each time."""
        return self._loader(self.held_out, None)

    def transfer_batch_to_device(self, batch: _Batch, device: torch.device, dataloader_idx: int) -> Pairs:
        """Pairs know how to move; plans are drawn there."""
        return batch.to(device) if isinstance(batch, Pairs) else draw(batch, device)

    def _loader(self, source: _Source, sampler: Onward | None) -> DataLoader[Any]:
        return DataLoader(
            source,
            self.per_batch,
            sampler=sampler,
            collate_fn=collated,
            num_workers=self.loader_workers,
            persistent_workers=self.loader_workers > 0,
            multiprocessing_context="spawn" if self.loader_workers else None,
        )


def collated(parts: Sequence[Any]) -> _Batch:
    """A batch of pairs, or of plans as they are."""
    return list(parts) if isinstance(parts[0], RoomPlan) else Pairs.collate(parts)
