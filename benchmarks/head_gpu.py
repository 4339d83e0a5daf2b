"""The geometry head on one GPU: how fast torch draws rooms there, how busy training keeps it, what is learned.

    python benchmarks/head_gpu.py [--minutes 12] [--out FILE] [--image-size 128 128] [--width 192] [--commit HASH] ...

Needs neither Open3D nor a display; on a machine without a GPU it runs on the CPU, with small settings to try it. It
takes the minutes of training and at most four more, and writes what it knows after each part and each look at the
held-out rooms. A part that fails says so in the result, and the others go on.
- draw: frames/s that torch draws of plans that are there already, by `geom.bundles`' kernels and without them;
- stream: frames/s of plans that loader workers make and torch draws, and plans/s of the workers alone;
- training: the default head on streamed rooms for so many minutes, the learning rate by the clock; steps, transitions
  (pairs), GPU utilisation once a second, and errors on rooms that are trained on by nobody.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from machine import machine, write_result
from torch.utils.data import DataLoader, Subset

from geom import bundles, so3
from geom.boxes import box_iou
from models.config import ModelConfig
from models.data import PairData, collated
from models.module import HeadModule, errors
from models.pairs import Pairs
from models.room_plan import RoomConfig, RoomPlan
from models.room_views import draw
from models.stream import HELD_OUT, RoomPlans

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SAMPLES = (1, 3)
Note = Callable[[Any], None]
"""Takes what a part knows so far."""
START_S = 90
"""After which a loader worker that has not begun counts as failed."""


def main() -> None:
    """Measure, train, and write what is known after each part."""
    args = options()
    # Each loader worker computes by itself; threads of its own would only stand in the way of the others.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    told = {"commit": args.commit, "uncommitted_changes": False} if args.commit else {}
    result: dict[str, Any] = {"settings": {k: str(v) for k, v in vars(args).items()}, "device": device()}
    result["machine"] = machine() | told
    parts = {"draw": draw_alone, "stream": streams, "training": training}
    for name, part in parts.items():
        start = time.monotonic()
        try:
            result[name] = part(args, partial(note, args.out, result, name))
        except Exception as error:  # what else there is to measure must not be lost
            traceback.print_exc()
            result[name] = {"failed": repr(error), "known": result.get(name)}
        result.setdefault("seconds", {})[name] = round(time.monotonic() - start, 1)
        save(args.out, result)


def options() -> argparse.Namespace:
    """What can be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "head_gpu.json")
    parser.add_argument("--minutes", type=float, default=12, help="of training")
    parser.add_argument("--image-size", type=int, nargs=2, default=(128, 128))
    for name, value in {"width": 192, "heads": 6, "encoder-width": 112, "rooms-per-batch": 4, "samples": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--loader-workers", type=int, default=14, help="that make plans for the training")
    parser.add_argument("--stream-workers", type=int, nargs="*", default=(0, 8, 14))
    parser.add_argument("--stream-seconds", type=float, default=6, help="of each row")
    parser.add_argument("--held-out", type=int, default=64, help="rooms that the trained head is tested on")
    parser.add_argument("--batches-per-epoch", type=int, default=200, help="between two looks at some of them")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commit", help="what is measured, where there is a copy without its history")
    return parser.parse_args()


def note(path: Path, result: dict[str, Any], name: str, known: Any) -> None:
    """What a part knows so far."""
    result[name] = known
    save(path, result)


def save(path: Path, result: dict[str, Any]) -> None:
    """Never half a file."""
    part = path.with_suffix(".part")
    write_result(part, result)
    os.replace(part, path)


def device() -> dict[str, Any]:
    """What draws and trains."""
    is_cuda = DEVICE.type == "cuda"
    return {
        "name": torch.cuda.get_device_name() if is_cuda else "cpu",
        "cuda": torch.version.cuda,
        "kernels": is_cuda and bundles._kernels() is not None,
    }


# --- how fast


def config_of(args: argparse.Namespace) -> RoomConfig:
    """Rooms that are trained on."""
    return RoomConfig(args.seed, tuple(args.image_size), args.samples)


def frames(plans: list[RoomPlan]) -> int:
    """Views that are drawn of some plans."""
    return sum(len(plan) + 1 for plan in plans)


def finished(pairs: Pairs) -> None:
    """Wait until they are drawn, and see that they are whole."""
    if not bool(pairs.z_depth.isfinite().any()):
        raise ValueError("pairs must show something, got no depth at all")


def timed(batches: Iterator[list[RoomPlan]], samples: int, seconds: float) -> dict[str, float]:
    """Frames/s of batches drawn for a while."""
    start, drawn, rooms = time.perf_counter(), 0, 0
    for plans in batches:
        finished(draw([replace(plan, samples=samples) for plan in plans], DEVICE))
        drawn, rooms = drawn + frames(plans), rooms + len(plans)
        if time.perf_counter() - start > seconds:
            break
    took = time.perf_counter() - start
    return {"samples": samples, "frames_per_s": round(drawn / took, 1), "rooms_per_s": round(rooms / took, 2)}


def draw_alone(args: argparse.Namespace, known: Note) -> list[dict[str, Any]]:
    """Rows for plans that are there already, with and without the kernels."""
    rooms = RoomPlans(config_of(args))
    batch, rows = [rooms[number] for number in range(args.rooms_per_batch)], []
    for kernels in [True, False] if device()["kernels"] else [False]:
        with without_kernels() if not kernels else always():
            for samples in SAMPLES:
                try:
                    finished(draw([replace(plan, samples=samples) for plan in batch], DEVICE))
                    rows.append({"kernels": kernels} | timed(itertools.repeat(batch), samples, args.stream_seconds / 2))
                except RuntimeError as error:
                    rows.append({"kernels": kernels, "samples": samples, "failed": repr(error)})
                print(json.dumps(rows[-1]), flush=True)
                known(rows)
    if any(row["kernels"] and "failed" in row for row in rows):
        bundles._kernels = lambda: None  # the rest is measured by torch
    return rows


@contextmanager
def always() -> Iterator[None]:
    """Nothing else."""
    yield


@contextmanager
def without_kernels() -> Iterator[None]:
    """Bundles are cast by torch."""
    found, bundles._kernels = bundles._kernels, lambda: None
    try:
        yield
    finally:
        bundles._kernels = found


def loader_of(args: argparse.Namespace, numbers: range, workers: int) -> DataLoader[Any]:
    """Batches of plans by some numbers."""
    return DataLoader(
        Subset(RoomPlans(config_of(args)), numbers),
        args.rooms_per_batch,
        collate_fn=collated,
        num_workers=workers,
        timeout=START_S if workers else 0,
        multiprocessing_context="spawn" if workers else None,
    )


def streams(args: argparse.Namespace, known: Note) -> list[dict[str, Any]]:
    """Rows for each number of loader workers: what they make, and what is drawn of it."""
    rows: list[dict[str, Any]] = []
    for workers in args.stream_workers:
        start = time.perf_counter()
        batches = iter(loader_of(args, range(10**6, 2 * 10**6), workers))
        next(batches)
        row: dict[str, Any] = {"loader_workers": workers, "start_s": round(time.perf_counter() - start, 1)}
        row["plans_per_s"] = plans_alone(batches, args.stream_seconds / 2)
        row["drawn"] = [timed(batches, samples, args.stream_seconds) for samples in SAMPLES]
        rows.append(row)
        print(json.dumps(row), flush=True)
        known(rows)
        del batches
    return rows


def plans_alone(batches: Iterator[list[RoomPlan]], seconds: float) -> float:
    """What loader workers make while nothing else happens; what they have made ahead does not count."""
    end, made = time.perf_counter() + seconds / 3, 0
    while time.perf_counter() < end:
        next(batches)
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        made += len(next(batches))
    return round(made / (time.perf_counter() - start), 1)


# --- what is learned


class ByTheClock(HeadModule):
    """A head whose learning rate rises and falls with the time that is left, not with steps, which nobody knows yet."""

    seconds: float = 60.0
    began: float = 0.0

    def on_train_start(self) -> None:
        """The clock runs."""
        self.began = time.monotonic()

    def pace(self, step: int) -> float:
        """Share of the highest rate: up over the first twentieth, then down as a cosine."""
        share = min((time.monotonic() - self.began) / self.seconds, 1.0) if self.began else 0.0
        return max(share / 0.05, 0.04) if share < 0.05 else (1 + math.cos(math.pi * (share - 0.05) / 0.95)) / 2 + 1e-3

    def configure_optimizers(self) -> Any:
        """As a head's, but for the schedule."""
        optimizer = super().configure_optimizers()["optimizer"]
        for group in optimizer.param_groups:
            group["initial_lr"] = self.learning_rate
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.pace)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Watch(lightning.Callback):
    """Counts what is seen, looks at the device once a second, and notes each look at the held-out rooms."""

    def __init__(self, known: Note) -> None:
        self.known, self.began, self.steps, self.transitions = known, time.monotonic(), 0, 0
        self.first_step_s: float | None = None
        self.curve: list[dict[str, Any]] = []
        self.busy: list[float] = []
        self.stop = threading.Event()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at the device from now on."""
        self.began = time.monotonic()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self.stop.wait(1.0):
            if (share := utilisation()) is None:
                return
            if self.steps:
                self.busy.append(share)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Pairs, batch_idx: int) -> None:
        """Count."""
        if not self.steps:
            self.first_step_s = round(time.monotonic() - self.began, 1)
        self.steps, self.transitions = self.steps + 1, self.transitions + len(batch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note how it goes."""
        numbers = {name: round(float(value), 4) for name, value in trainer.callback_metrics.items()}
        self.curve.append({"seconds": round(time.monotonic() - self.began, 1), "steps": self.steps} | numbers)
        print(json.dumps(self.curve[-1]), flush=True)
        self.known(self.report())

    def report(self) -> dict[str, Any]:
        """All of it."""
        took, busy = time.monotonic() - self.began, sorted(self.busy)
        return {
            "seconds": round(took, 1),
            "first_step_s": self.first_step_s,
            "steps": self.steps,
            "transitions": self.transitions,
            "transitions_per_s": round(self.transitions / took, 1),
            "gpu_utilisation_percent": None if not busy else {
                "median": statistics.median(busy), "mean": round(statistics.mean(busy), 1), "n": len(busy)
            },
            "curve": self.curve,
        }  # fmt: skip


def utilisation() -> float | None:
    """Percent of the last second in which the GPU computed; None where nothing tells."""
    if DEVICE.type != "cuda":
        return None
    call = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        return float(torch.cuda.utilization())
    except Exception:  # it needs a package that may be missing, or may refuse
        try:
            said = subprocess.run(call, capture_output=True, text=True, check=True, timeout=5).stdout
            return float(said.split()[0])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None


def training(args: argparse.Namespace, known: Note) -> dict[str, Any]:
    """Train for so many minutes, then test."""
    model = ModelConfig(
        image_size=tuple(args.image_size), width=args.width, heads=args.heads, encoder_width=args.encoder_width
    )
    module, watch = ByTheClock(model, seed=args.seed, learning_rate=args.learning_rate), Watch(known)
    module.seconds = args.minutes * 60
    rooms = RoomPlans(config_of(args))
    data = PairData(
        rooms,
        Subset(rooms, range(HELD_OUT, HELD_OUT + min(args.held_out, 16))),
        None,
        seed=args.seed,
        per_batch=args.rooms_per_batch,
        batches_per_epoch=args.batches_per_epoch,
        loader_workers=args.loader_workers,
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer_of(args, watch, scratch).fit(module, data)
    watch.stop.set()
    report = watch.report() | {"parameters": sum(p.numel() for p in module.parameters())}
    known(report)
    return report | {"held_out": tested(args, module, range(HELD_OUT, HELD_OUT + args.held_out))}


def trainer_of(args: argparse.Namespace, watch: Watch, scratch: str) -> lightning.Trainer:
    """Ends by the clock."""
    return lightning.Trainer(
        default_root_dir=scratch,
        max_epochs=-1,
        max_steps=10**6,
        max_time={"seconds": max(int(args.minutes * 60), 1)},
        accelerator="gpu" if DEVICE.type == "cuda" else "cpu",
        devices=1,
        precision=args.precision,
        gradient_clip_val=1.0,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


@torch.no_grad()
def tested(args: argparse.Namespace, module: HeadModule, numbers: range) -> dict[str, Any]:
    """Median errors on rooms of some numbers, in full precision; and those of saying that nothing moves."""
    model, found = module.model.to(DEVICE).eval(), []
    for plans in loader_of(args, numbers, min(args.loader_workers, 8)):
        pairs = draw(plans, DEVICE)
        found.append((errors(model, pairs), still(pairs)))
    names = ("rotation_deg", "translation_share", "box")
    return {
        "rooms": len(numbers),
        "transitions": sum(len(one["rotation_deg"]) for one, _ in found),
        "boxes": sum(len(one["box"]) for one, _ in found),
        "head": medians([one for one, _ in found], names),
        "nothing_moves": medians([other for _, other in found], ("rotation_deg", "box")),
    }


def still(pairs: Pairs) -> dict[str, list[float]]:
    """As `errors`, for a camera that is said to stand still."""
    known = pairs.box.isfinite().all(-1).all(-1)
    off = 1 - box_iou(pairs.box[:, :, 0], pairs.box[:, :, 1])[known]
    return {"rotation_deg": torch.rad2deg(so3.angle(pairs.T_a_b.R)).tolist(), "box": off.tolist()}


def medians(found: list[dict[str, list[float]]], names: tuple[str, ...]) -> dict[str, float]:
    """Over all pairs or boxes; of boxes the IoU."""
    told = {name: statistics.median(itertools.chain.from_iterable(one[name] for one in found)) for name in names}
    return {("box_iou" if name == "box" else name): round(1 - v if name == "box" else v, 4) for name, v in told.items()}


if __name__ == "__main__":
    main()
