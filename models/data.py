"""Batches of pairs to train on, and others, never trained on, to see how it goes."""

from __future__ import annotations

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from models.pairs import Pairs
from models.stream import Onward


class PairData(lightning.LightningDataModule):
    """Batches of pairs.

    Args:
        train: what is trained on, by number.
        held_out: what is looked at after each epoch; the same each time.
        limit: numbers that `train` has; None for no end.
        per_batch: numbers of a batch of each process.
        batches_per_epoch: of each process.
        loader_workers: processes that make pairs; they change the time it takes and nothing else.
    """

    def __init__(
        self,
        train: Dataset[Pairs],
        held_out: Dataset[Pairs],
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

    def train_dataloader(self) -> DataLoader[Pairs]:
        """Numbers that go on from epoch to epoch."""
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        per_epoch = self.per_batch * self.batches_per_epoch * world_size
        return self._loader(self.train, Onward(per_epoch, self.limit, self.seed, rank, world_size))

    def val_dataloader(self) -> DataLoader[Pairs]:
        """The same each time."""
        return self._loader(self.held_out, None)

    def transfer_batch_to_device(self, batch: Pairs, device: torch.device, dataloader_idx: int) -> Pairs:
        """Pairs know how to move."""
        return batch.to(device)

    def _loader(self, pairs: Dataset[Pairs], sampler: Onward | None) -> DataLoader[Pairs]:
        return DataLoader(
            pairs,
            self.per_batch,
            sampler=sampler,
            collate_fn=Pairs.collate,
            num_workers=self.loader_workers,
            persistent_workers=self.loader_workers > 0,
            multiprocessing_context="spawn" if self.loader_workers else None,
        )
