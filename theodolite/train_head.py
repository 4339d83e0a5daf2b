"""`theodolite train head`: a compact head on exact answers, on simulated rooms made as it learns, or on a dataset."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from theodolite.console import Outcome
from theodolite.options import CommonOptions, split_names

EXAMPLE = "theodolite train head --out head --size small --epochs 40"


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite train head`."""

    out: Path
    """folder of the model; the same call goes on with what was interrupted"""
    kind: Literal["geometric", "black_box"] = "geometric"
    """geometric = answers are computed; black_box = its twin, which regresses them, for comparison"""
    features: str = "compact"
    """compact = an encoder trained with the head; or the folder of a transformers model with a vision tower"""
    size: Literal["base", "small"] = "base"
    """base = for a GPU; small = two cores train it in minutes"""
    image_size: tuple[int, int] | None = field(default=None, metadata={"metavar": ("WIDTH", "HEIGHT")})
    """pixels of the pictures that the model looks at (default: 128 128, small: 64 64)"""
    data: Path | None = None
    """folder of a dataset to train on, instead of rooms that are made as it learns"""
    without_kinds: str = ""
    """kinds of objects, separated by commas, that no room holds: to keep them for a test"""
    kept_in: Path | None = None
    """folder where rooms are kept once made, so that no epoch and no run makes them again"""
    drawn_by: Literal["embree", "torch"] = "embree"
    """what rooms are drawn by: embree = in the loader workers; torch = on the device that trains, for GPUs"""
    rooms: int | None = None
    """how many different rooms, of about a dozen pairs each (default: ever new ones)"""
    parts: int = 1
    """in how many parts the pairs of a room are taken, at different times (needs --rooms and --kept-in)"""
    epochs: int = 40
    """looks at how it goes; the learning rate falls over all of them"""
    batches_per_epoch: int = 100
    """batches between two looks"""
    rooms_per_batch: int = 4
    """rooms whose pairs make a batch, on each device"""
    learning_rate: float = 1e-3
    """the highest"""
    patience: int | None = None
    """epochs without a lower loss on held-out rooms after which to end, with the best model (default: go on)"""
    loader_workers: int = 0
    """processes that make rooms"""
    accelerator: str = "auto"
    """lightning's: auto, cpu, gpu"""
    devices: str = "auto"
    """lightning's: auto, a number, or a list"""
    strategy: str = "auto"
    """lightning's: auto, ddp"""
    precision: str = "32-true"
    """lightning's: 32-true, bf16-mixed, 16-mixed"""


def run(options: Options) -> Outcome:
    """Train; exit status 0 when the model is written."""
    from models.config import SIZES
    from models.fit import FitConfig, fit
    from models.run_folder import rank

    model = replace(SIZES[options.size], kind=options.kind, features=options.features)
    model = model if options.image_size is None else replace(model, image_size=options.image_size)
    how = FitConfig(
        epochs=options.epochs,
        batches_per_epoch=options.batches_per_epoch,
        rooms_per_batch=options.rooms_per_batch,
        rooms=options.rooms,
        parts=options.parts,
        without_kinds=split_names(options.without_kinds),
        data=None if options.data is None else str(options.data),
        kept_in=None if options.kept_in is None else str(options.kept_in),
        drawn_by=options.drawn_by,
        learning_rate=options.learning_rate,
        seed=options.seed,
        patience=options.patience,
        loader_workers=options.loader_workers,
        accelerator=options.accelerator,
        devices=options.devices,
        strategy=options.strategy,
        precision=options.precision,
    )
    metrics = fit(options.out, model, how, show=not options.json)
    if rank():
        sys.exit(0)  # of several processes the first alone reports
    report = {"out": str(options.out), "metrics": metrics}
    return Outcome("\n".join(_lines(options.out, metrics)), report)


def _lines(out: Path, metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f"{out}: model.safetensors and config.json are written"
    names = {
        "val/rotation_deg": "rotation, degrees off (median)",
        "val/translation_share": "translation, off as a share of its length (median)",
        "val/box": "box after the motion, 1 - IoU (median)",
    }
    for name, words in names.items():
        if name in metrics:
            yield f"  held-out rooms: {words}: {metrics[name]:.3g}"
