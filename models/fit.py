"""One way to train: from settings to a folder with the trained model, resumable by the same call."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import Subset

from models.confidence import calibrated
from models.config import ModelConfig
from models.data import PairData
from models.files import DatasetPairs
from models.module import HeadModule
from models.room_plan import RoomConfig
from models.run_folder import BEST, claim, go_on, held, last_metrics, trainer_of
from models.stream import HELD_OUT, Parts, RoomPlans, Rooms
from models.weights import WEIGHTS, save_model

WATCHED = "val/loss"
_FREE = ("loader_workers", "accelerator", "devices", "strategy", "kept_in")
"""Settings that may differ when a run goes on: where it runs."""
_OF_A_ROOM = 12
"""Pairs, about."""


@dataclass(frozen=True)
class FitConfig:
    """How long and on what a model is trained.

    Args:
        epochs: of `batches_per_epoch` batches; the pace at which the model is looked at and kept.
        rooms_per_batch: each has about a dozen pairs; of a dataset as many pairs make a batch.
        rooms: how many different rooms; None for ever new ones.
        parts: in how many parts the pairs of a room are taken, at different times. A batch is as large, and from so
            many times as many rooms; they must be limited and kept.
        held_out: rooms that are looked at after each epoch; of a dataset it is a tenth of the scenes.
        samples, without_kinds: as `models.room_plan.RoomConfig`.
        data: folder of a dataset to train on instead of rooms.
        kept_in: folder where rooms are kept once made, so that no epoch and no run makes them again.
        drawn_by: what rooms are drawn by: `embree` in the loader workers, or `torch` on the device that trains.
        patience: epochs without a lower loss on held-out pairs after which it ends, with the best model; None to go
            on, and to end with the last.
        devices, strategy, precision, accelerator: lightning's own.

    Raises:
        ValueError: if rooms are taken in parts that are not limited and kept, or `torch` is to draw rooms and there are
            none, or they are to be kept.
    """

    epochs: int = 40
    batches_per_epoch: int = 100
    rooms_per_batch: int = 4
    rooms: int | None = None
    parts: int = 1
    held_out: int = 16
    samples: int = 3
    without_kinds: tuple[str, ...] = ()
    data: str | None = None
    kept_in: str | None = None
    drawn_by: Literal["embree", "torch"] = "embree"
    learning_rate: float = 1e-3
    seed: int = 0
    patience: int | None = None
    loader_workers: int = 0
    accelerator: str = "auto"
    devices: int | str = "auto"
    strategy: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        if self.parts > 1 and (self.rooms is None or self.kept_in is None):
            raise ValueError(
                f"rooms in {self.parts} parts must be limited (rooms) and kept (kept_in): each is read often"
            )
        if self.drawn_by == "torch" and (self.data or self.kept_in):
            raise ValueError(
                "what torch draws are rooms, anew each time and on the device: drawn_by torch must come without data"
                f" and kept_in, got data {self.data} and kept_in {self.kept_in}"
            )


def fit(out: Path, model: ModelConfig, how: FitConfig, *, show: bool = True) -> dict[str, Any]:
    """Train a model, or go on with one that was interrupted; the same call ends at the same bits.

    Args:
        out: gets model.safetensors, config.json and calibration.json at the end, and meanwhile `state` (to go on
            from) and a line of metrics.jsonl for each epoch.
        show: a progress bar.

    Returns:
        What was measured in the last epoch, by lightning's names.

    Raises:
        ValueError: if a setting does not hold, or another run is writing there.
    """
    claim(out, {"model": model.to_dict(), "fit": {k: v for k, v in asdict(how).items() if k not in _FREE}})
    with held(out):
        if (out / WEIGHTS).is_file():
            return last_metrics(out)
        module = HeadModule(model, seed=how.seed, learning_rate=how.learning_rate)
        stop = [] if how.patience is None else [EarlyStopping(WATCHED, patience=how.patience)]
        trainer = trainer_of(out, how, WATCHED, show, strategy=how.strategy, callbacks=stop, log_every_n_steps=10)
        data = _data(model, how)
        go_on(trainer, module, data, out)
        if how.patience is not None:
            best = torch.load(out / BEST, map_location="cpu", weights_only=True)
            module.load_state_dict(best["state_dict"])
        if trainer.is_global_zero:
            held_out = data.val_dataloader()
            batches = (data.transfer_batch_to_device(batch, module.device, 0) for batch in held_out)
            calibrated(module.model.eval(), batches).save(out)
            save_model(out, model, module.model)
        return last_metrics(out)


def _data(model: ModelConfig, how: FitConfig) -> PairData:
    if how.data is not None:
        train, held_out = DatasetPairs(Path(how.data), model.image_size).split()
        limit, per_batch = len(train), how.rooms_per_batch * _OF_A_ROOM
    else:
        config = RoomConfig(how.seed, model.image_size, how.samples, how.without_kinds)
        kept_in = None if how.kept_in is None else Path(how.kept_in)
        rooms = RoomPlans(config) if how.drawn_by == "torch" else Rooms(config, kept_in)
        held_out = Subset(rooms, range(HELD_OUT, HELD_OUT + how.held_out))
        train = Parts(rooms, how.parts) if isinstance(rooms, Rooms) and how.parts > 1 else rooms
        limit, per_batch = how.rooms and how.rooms * how.parts, how.rooms_per_batch * how.parts
    return PairData(
        train,
        held_out,
        limit,
        seed=how.seed,
        per_batch=per_batch,
        batches_per_epoch=how.batches_per_epoch,
        loader_workers=how.loader_workers,
    )
