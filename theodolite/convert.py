"""`theodolite convert`: a dataset in the format that a trainer reads, split by scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from theodolite.console import Outcome, Progress, check_dataset_folder, check_out_folder
from theodolite.options import CommonOptions

EXAMPLE = "theodolite convert data-demo --to sharegpt --out data-sharegpt --model-family qwen2.5-vl"


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite convert`."""

    dir: Path = field(metadata={"positional": True})
    """folder of the dataset"""
    to: Literal["sharegpt", "ms-swift", "easyr1", "lmms-eval", "webdataset", "parquet"]
    """format; sharegpt is what LLaMA-Factory reads"""
    out: Path
    """folder of the conversion"""
    splits: str = "train=0.8,validation=0.1,test=0.1"
    """names and shares of the splits; scenes never part. With train=0.6,grpo=0.2,... SFT and GRPO share no scene"""
    per_task: str = ""
    """split=N,...: at most N questions of each task in that split, yes and no in equal parts; grpo=125 as published"""
    model_family: Literal["generic", "qwen2-vl", "qwen2.5-vl", "qwen3-vl"] = "generic"
    """whose unit boxes are written in: pixels of the resized picture for qwen2.5-vl, else thousandths"""
    min_pixels: int | None = None
    """least pixels that the image processor of qwen2.5-vl is set to (default: as published, 3136)"""
    max_pixels: int | None = None
    """most pixels that it is set to (default: as published, 12845056)"""


def run(options: Options) -> Outcome:
    """Convert the dataset; exit status 0."""
    check_dataset_folder(options.dir)
    check_out_folder(options.out)
    from synth.export import ConvertConfig
    from synth.formats import convert_to

    config = ConvertConfig(
        to=options.to,
        splits=options.splits,
        per_task=options.per_task,
        model_family=options.model_family,
        min_pixels=options.min_pixels,
        max_pixels=options.max_pixels,
        seed=options.seed,
    )
    with Progress("convert: questions read") as progress:
        done = convert_to(options.dir, options.out, config, progress=progress)
    payload = {
        "out": str(options.out),
        "to": options.to,
        "questions": {name: dict(sorted(tasks.items())) for name, tasks in done.counts.items()},
        "left_out": dict(done.left_out),
        "advice": done.advice,
    }
    return Outcome("\n".join(_lines(payload)), payload)


def _lines(payload: dict[str, Any]) -> Iterator[str]:
    for name, tasks in payload["questions"].items():
        by_task = ", ".join(f"{task} {count}" for task, count in tasks.items())
        yield f"{name}: {sum(tasks.values())} questions ({by_task})"
    yield from (f"left out, {cause}: {count}" for cause, count in payload["left_out"].items())
    yield from payload["advice"]
    yield f"{payload['out']} written"
