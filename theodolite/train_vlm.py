"""`theodolite train vlm`: a vision-language model on a dataset's exact answers, in World2VLM's two stages."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from theodolite.console import Outcome, check_dataset_folder, check_out_folder
from theodolite.options import CommonOptions, in_words_of

EXAMPLE = "theodolite train vlm --stage sft --base models/Qwen2.5-VL-7B-Instruct --data data --out tuned"

_ADAPTER = ("rank", "alpha", "dropout")
_SFT = ("batch_size", "accumulate", "geometry_weight", "loader_workers", "devices", "strategy")
_GRPO = ("per_task", "questions", "generations", "kl", "temperature", "most_tokens", "reward", "save_every")
_BOTH = ("epochs", "learning_rate", "accelerator", "precision")
_OF = {"sft": ("base", "head", *_ADAPTER, *_SFT), "grpo": ("start", *_GRPO)}
"""Options of one stage alone."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite train vlm`."""

    stage: Literal["sft", "grpo"]
    """sft = fine-tuning on the answers; grpo = then, rewarded for the model's own answers by the exact metric"""
    out: Path
    """folder of the adapter; the same call goes on with what was interrupted"""
    data: Path
    """folder of the dataset; a tenth of its scenes is held out"""
    merged: Path | None = None
    """new folder for the model with what was learned merged in, which transformers loads alone"""
    base: str | None = None
    """sft: folder of an image-text model of transformers, or its published name (needed)"""
    head: Path | None = None
    """sft: folder of a geometry head whose findings the model is told in soft tokens (default: none)"""
    rank: int | None = None
    """sft: of LoRA in the language part (default: 16; World2VLM: 256); 0 = all weights, for small models"""
    alpha: int | None = None
    """sft: of LoRA (default: 32; World2VLM: 512)"""
    dropout: float | None = None
    """sft: of LoRA's input (default: 0)"""
    batch_size: int | None = None
    """sft: questions of a batch, on each device (default: 8)"""
    accumulate: int | None = None
    """sft: batches of a step (default: 2)"""
    geometry_weight: float | None = None
    """sft: of the head's own losses, so that it goes on learning (default: 0, it stays as it is)"""
    loader_workers: int | None = None
    """sft: processes that read pictures (default: 0)"""
    devices: str | None = None
    """sft: lightning's: auto, a number, or a list (default: auto)"""
    strategy: str | None = None
    """sft: auto, ddp, or fsdp: each device keeps a share of the weights (default: auto)"""
    start: Path | None = None
    """grpo: folder that sft wrote (needed)"""
    per_task: int | None = None
    """grpo: at most so many questions of each task (default: all; World2VLM: 125)"""
    questions: int | None = None
    """grpo: of a step, on each device (default: 2)"""
    generations: int | None = None
    """grpo: answers to each question (default: 4)"""
    kl: float | None = None
    """grpo: weight of the divergence from the model that it starts from (default: 0.01)"""
    temperature: float | None = None
    """grpo: of the answers (default: 1)"""
    most_tokens: int | None = None
    """grpo: of an answer (default: 256)"""
    reward: Literal["exact", "world2vlm"] | None = None
    """grpo: exact or world2vlm, as for score (default: exact)"""
    save_every: int | None = None
    """grpo: steps between two states to go on from (default: 100)"""
    epochs: int | None = None
    """over all questions (default: 1)"""
    learning_rate: float | None = None
    """the highest (default: sft 1e-5, grpo 1e-6)"""
    accelerator: str | None = None
    """auto, cpu; for sft lightning's others too (default: auto)"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """32-true, bf16-mixed or 16-mixed (default: 32-true; World2VLM: bf16-mixed)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for stage, names in _OF.items():
            given = [name for name in names if getattr(self, name) is not None]
            if stage != self.stage and given:
                raise ValueError(f"--{given[0].replace('_', '-')} is of --stage {stage}, got --stage {self.stage}")
        needed = "base" if self.stage == "sft" else "start"
        if getattr(self, needed) is None:
            raise ValueError(f"--stage {self.stage} needs --{needed}")

    def given(self, *names: str) -> dict[str, Any]:
        """The options that were said; the others are as the library has them."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def run(options: Options) -> Outcome:
    """Train; exit status 0 when the adapter is written."""
    check_dataset_folder(options.data)
    for folder in filter(None, (options.out, options.merged)):
        check_out_folder(folder)
    _check_merged(options)
    from models.run_folder import rank

    with in_words_of(Options):
        metrics = _sft(options) if options.stage == "sft" else _grpo(options)
    if rank():
        sys.exit(0)  # of several processes the first alone reports
    if options.merged is not None:
        _merge(options.out, options.merged)
    report = {"out": str(options.out), "metrics": metrics, "merged": options.merged and str(options.merged)}
    return Outcome("\n".join(_lines(options, metrics)), report)


def _check_merged(options: Options) -> None:
    folder = options.merged
    if folder is not None and folder.resolve() == options.out.resolve():
        raise ValueError(f"--merged must be another folder than --out, got {folder} for both")
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise ValueError(f"--merged must be a new or empty folder, but {folder} is not empty")


def _merge(model: Path, folder: Path) -> None:
    """Write the merged model; the folder is there when it is whole, or not at all."""
    from models.adapter import Adapter

    begun = folder.with_name(f".{folder.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    Adapter.load(model).save_merged(begun)
    begun.replace(folder)


def _sft(options: Options) -> Mapping[str, Any]:
    from models.adapter import AdapterConfig
    from models.sft import SftConfig, sft

    base, head = str(options.base), options.head
    config = AdapterConfig(
        # A name stays a name; a folder is found again from elsewhere.
        base=str(Path(base).resolve()) if Path(base).is_dir() else base,
        head=None if head is None else str(head.resolve()),
        **options.given(*_ADAPTER),
    )
    how = SftConfig(data=str(options.data.resolve()), seed=options.seed, **options.given(*_SFT, *_BOTH))
    return sft(options.out, config, how, show=not options.json)


def _grpo(options: Options) -> Mapping[str, Any]:
    from models.grpo import GrpoConfig, grpo

    assert options.start is not None
    places = {"data": str(options.data.resolve()), "start": str(options.start.resolve())}
    how = GrpoConfig(**places, seed=options.seed, **options.given(*_GRPO, *_BOTH))
    return grpo(options.out, how, show=not options.json)


def _lines(options: Options, metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f"{options.out}: the adapter is written; theodolite eval asks it the questions of a dataset"
    for name, words in _MEASURES[options.stage].items():
        yield f"  {words}: {metrics[name]:.3g}"
    if options.merged is not None:
        yield f"{options.merged}: the merged model is written"


_MEASURES = {
    "sft": {"loss": "loss of the last batch", "val/answer": "loss of the answers, held-out scenes (mean of a token)"},
    "grpo": {"reward": "reward of the last step (mean of its answers)"},
}
