"""Pairs for training: endless rooms, or so many of them; and others, never trained on, to see how it goes."""

from __future__ import annotations

import lightning
import torch
from torch.utils.data import DataLoader, Subset

from models.pairs import Pairs
from models.stream import Onward, Rooms

HELD_OUT = 2**31
"""Rooms from this number on are for validation alone."""


class RoomData(lightning.LightningDataModule):
    """Simulated rooms, each with about a dozen pairs.

    Args:
        image_size: width and height, pixels.
        rooms_per_batch: of each process.
        batches_per_epoch: of each process.
        rooms: how many different ones; None for ever new ones.
        held_out: rooms for validation.
        loader_workers: processes that make rooms; they change the time it takes and nothing else.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        *,
        seed: int = 0,
        rooms_per_batch: int = 4,
        batches_per_epoch: int = 100,
        rooms: int | None = None,
        held_out: int = 16,
        loader_workers: int = 0,
    ) -> None:
        super().__init__()
        self.rooms, self.seed, self.limit = Rooms(seed, image_size), seed, rooms
        self.rooms_per_batch, self.batches_per_epoch = rooms_per_batch, batches_per_epoch
        self.held_out, self.loader_workers = held_out, loader_workers

    def train_dataloader(self) -> DataLoader[Pairs]:
        """Rooms that go on from epoch to epoch."""
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        per_epoch = self.rooms_per_batch * self.batches_per_epoch * world_size
        return self._loader(self.rooms, Onward(per_epoch, self.limit, self.seed, rank, world_size))

    def val_dataloader(self) -> DataLoader[Pairs]:
        """The same held-out rooms each time."""
        return self._loader(Subset(self.rooms, range(HELD_OUT, HELD_OUT + self.held_out)), None)

    def transfer_batch_to_device(self, batch: Pairs, device: torch.device, dataloader_idx: int) -> Pairs:
        """Pairs know how to move."""
        return batch.to(device)

    def _loader(self, rooms: Rooms | Subset[Pairs], sampler: Onward | None) -> DataLoader[Pairs]:
        return DataLoader(
            rooms,
            self.rooms_per_batch,
            sampler=sampler,
            collate_fn=Pairs.collate,
            num_workers=self.loader_workers,
            persistent_workers=self.loader_workers > 0,
            multiprocessing_context="spawn" if self.loader_workers else None,
        )
