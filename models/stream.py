"""Training data without an end: rooms that nobody has seen, each by its number, and the same by whomever it is made."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from models.pairs import Pairs
from models.room_plan import RoomConfig, RoomPlan, room_plan
from models.rooms import room_pairs
from synth.files import json_bytes, sha256, write_whole

_NEXT = 2**40
"""Added to the number of a room in which no camera finds a place, until one does; no number in use is as large."""
HELD_OUT = 2**31
"""Rooms from this number on are for validation alone."""
_Made = TypeVar("_Made", Pairs, RoomPlan)


class Rooms(Dataset[Pairs]):
    """Pairs of simulated rooms by number: as many rooms as there are numbers.

    A room depends on its config and number alone, so neither on the number of loader workers nor on the order.

    Args:
        kept_in: folder where rooms are kept once they are made; None to make them each time. Several processes, and
            rooms of several configs, may share it.
    """

    def __init__(self, config: RoomConfig, kept_in: Path | None = None) -> None:
        self.config = config
        # Rooms of another config are other rooms: they lie in a folder of their own.
        self._folder = None if kept_in is None else kept_in / sha256(json_bytes(asdict(config)))[:16]
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, index: int) -> Pairs:
        """The pairs of one room; those of a damaged file are made again."""
        if self._folder is None:
            return _made(room_pairs, self.config, index)
        path = self._folder / f"{index}.safetensors"
        found = Pairs.load(path.read_bytes()) if path.is_file() else None
        if found is None:
            found = _made(room_pairs, self.config, index)
            # A name of its own: of two processes that make one room, the last one's stays, and they are equal.
            own = path.with_name(f"{index}.{uuid.uuid4().hex}")
            write_whole(own, found.save())
            os.replace(own, path)
        return found


class RoomPlans(Dataset[RoomPlan]):
    """Plans of the same rooms as `Rooms`, to be drawn where they are trained on (`models.room_views`)."""

    def __init__(self, config: RoomConfig) -> None:
        self.config = config

    def __getitem__(self, index: int) -> RoomPlan:
        """The plan of one room."""
        return _made(room_plan, self.config, index)


def _made(make: Callable[[RoomConfig, int], _Made | None], config: RoomConfig, index: int) -> _Made:
    """The room of a number, or the next one in its stead if it has no place for a camera."""
    for number in range(index, index + 100 * _NEXT, _NEXT):
        found = make(config, number)
        if found is not None:
            return found
    raise ValueError(f"a room must have place for a camera, but 100 rooms from {config.seed}, {index} on have none")


class Parts(Dataset[Pairs]):
    """Each of other data in so many parts, which come at different times: batches of them have more to tell.

    Args:
        whole: data by number.
        parts: of each; number n is part n % parts of n // parts.
    """

    def __init__(self, whole: Dataset[Pairs], parts: int) -> None:
        self.whole, self.parts = whole, parts

    def __getitem__(self, index: int) -> Pairs:
        number, part = divmod(index, self.parts)
        return self.whole[number][part :: self.parts]


class Onward(Sampler[int]):
    """Numbers that go on from epoch to epoch and never repeat, or go round among so many; each process has its own.

    Args:
        per_epoch: numbers of an epoch, of all processes together.
        limit: numbers in all, shuffled anew each time round; None for no end.
        rank, world_size: which of how many processes this is.
    """

    def __init__(self, per_epoch: int, limit: int | None, seed: int, rank: int = 0, world_size: int = 1) -> None:
        if per_epoch < world_size or (limit is not None and limit < 1):
            raise ValueError(
                f"an epoch needs a number for each of {world_size} processes and a limit of at least 1, got"
                f" {per_epoch} an epoch and limit {limit}"
            )
        self.per_epoch, self.limit, self.seed = per_epoch, limit, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._order = lru_cache(1)(self._permuted)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; lightning does."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.per_epoch
        for number in range(first + self.rank, first + len(self) * self.world_size, self.world_size):
            yield number if self.limit is None else self._shuffled(number)

    def _shuffled(self, number: int) -> int:
        """Where a number leads in its time round."""
        assert self.limit is not None
        turn, place = divmod(number, self.limit)
        return int(self._order(turn)[place])

    def _permuted(self, turn: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, turn]).permutation(self.limit or 0)

    def __len__(self) -> int:
        return self.per_epoch // self.world_size
