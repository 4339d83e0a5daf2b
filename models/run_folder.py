"""The folder of a training run: what it was begun with, what was measured, and the state to go on from."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.strategies import Strategy

from synth.files import only_run, write_whole
from synth.safe_read import read_json

SETTINGS, METRICS = "train.json", "metrics.jsonl"
BEST = Path("state", "best.ckpt")
_LAST = Path("state", "last.ckpt")


def claim(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder ours, or see that it was made by the same settings.

    Raises:
        ValueError: as `check_claim`.
    """
    check_claim(out, settings)
    if not rank() and not (out / SETTINGS).is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / SETTINGS, _settings(settings))


def check_claim(out: Path, settings: dict[str, Any]) -> None:
    """See that the folder can be claimed, before what takes time, and writes nothing.

    Raises:
        ValueError: if it was made by other settings, or holds something else.
    """
    path = out / SETTINGS
    if rank():
        return  # of several processes the first looks: the others would see what it is just writing
    if path.is_file():
        there = read_json(path)
        for part, values in json.loads(_settings(settings)).items():
            for name, value in values.items():
                if (found := there.get(part, {}).get(name)) != value:
                    raise ValueError(
                        f"{out} was begun with {name} = {found!r}, this call has {value!r}: use another --out, or the"
                        " same options"
                    )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} must be a new or empty folder, or one that training began in; it holds something else")


def _settings(settings: dict[str, Any]) -> bytes:
    return (json.dumps(settings, indent=1) + "\n").encode()


def kept(out: Path, watched: str) -> ModelCheckpoint:
    """Keeps the last state and the one with the lowest of a measure.

    At the end of an epoch, where data, random numbers and optimiser are all at a known place. The folder is ours and a
    run goes on from its last state, so what lies there is written over.
    """
    return ModelCheckpoint(
        out / BEST.parent,
        filename=BEST.stem,
        monitor=watched,
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def rank() -> int:
    """Of this process among those of a run, before there is a trainer to ask."""
    return rank_zero_only.rank or 0


def held(out: Path) -> AbstractContextManager[None]:
    """Keeps other runs out of the folder; of the processes of one run the first alone holds it."""
    return nullcontext() if rank() else only_run(out / SETTINGS)


def trainer_of(
    out: Path,
    how: Any,
    watched: str,
    show: bool,
    *,
    strategy: str | Strategy,
    callbacks: Sequence[Callback] = (),
    **more: Any,
) -> lightning.Trainer:
    """What trains: it keeps its states and a journal in the folder, and nothing elsewhere.

    Args:
        how: has epochs, and lightning's own accelerator, devices and precision.
        strategy: lightning's own.
        watched: the measure by which the best state is kept.
        show: a progress bar.
        more: other settings of lightning's.

    Raises:
        ValueError: if lightning has no such device or strategy here.
    """
    if isinstance(strategy, str) and "fsdp" in strategy.lower():
        raise ValueError(f"strategy must be one that clips gradients over all weights, such as ddp, got {strategy!r}")
    # Its tips are not about what happens here.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    bar = [TQDMProgressBar(refresh_rate=10)] if show else []
    try:
        return lightning.Trainer(
            default_root_dir=out,
            max_epochs=how.epochs,
            accelerator=how.accelerator,
            devices=how.devices,
            strategy=strategy,
            precision=how.precision,
            logger=False,
            callbacks=[kept(out, watched), Journal(out), *callbacks, *bar],
            enable_progress_bar=show,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **more,
        )
    except (MisconfigurationException, TypeError) as error:
        raise ValueError(
            f"accelerator, devices, strategy and precision must be some that lightning has: {error}"
        ) from None


def go_on(
    trainer: lightning.Trainer, module: lightning.LightningModule, data: lightning.LightningDataModule, out: Path
) -> None:
    """Train, from the last state where there is one."""
    last = out / _LAST
    # Tensors and plain values alone are read from a state: it may have come from somebody else.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        trainer.fit(module, data, ckpt_path=str(last) if last.is_file() else None, weights_only=True)


def last_metrics(out: Path) -> dict[str, Any]:
    """What was measured in the last epoch."""
    return json.loads((out / METRICS).read_text().splitlines()[-1])


class Journal(Callback):
    """Keeps what was measured in each epoch, also over interruptions."""

    def __init__(self, out: Path) -> None:
        self.path = out / METRICS

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add a line."""
        if trainer.is_global_zero:
            numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            with self.path.open("a") as file:
                file.write(json.dumps({"epoch": trainer.current_epoch, "learning_rate": rate, **numbers}) + "\n")
