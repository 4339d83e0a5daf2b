"""`theodolite eval`: a trained model answers the questions of a dataset, and is scored like any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from theodolite.console import Outcome, Progress, check_dataset_folder, check_out_file, refuse_undecided
from theodolite.options import CommonOptions, in_words_of
from theodolite.score import benchmark_lines, report_lines

EXAMPLE = "theodolite eval head --data data --out predictions.jsonl"


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite eval`."""

    model: Path = field(metadata={"positional": True})
    """folder of the model, as `train head` or `train vlm` writes it"""
    data: Path
    """folder of the dataset, or of the benchmark"""
    out: Path
    """file of its answers, JSON lines with "id" and "response", as `score` reads them"""
    metric: Literal["exact", "world2vlm"] = "exact"
    """exact or world2vlm, as for score"""
    benchmark: Literal["sat", "vsi-bench", "mindcube"] | None = None
    """vision-language model: answer a published benchmark; --data is where it was unpacked, as for score"""
    frames: int = 8
    """vision-language model: pictures of a benchmark's video"""
    undecided_below: float = 0.0
    """head: chance of being right, 0 to 1, below which an answer is undecided (boxes are always answered)"""
    preset: Literal["theodolite", "svc", "svc_teacher", "hy", "any"] | None = None
    """head: motions that are asked about, as for generate (default: those that the dataset was generated with, or any);
    any = whatever ends nearest to the measured pose"""
    batch_size: int = 8
    """vision-language model: questions at once"""
    most_tokens: int | None = None
    """vision-language model: of an answer (default: 64; 512 for a benchmark, which lets it think aloud)"""
    device: str = "cpu"
    """torch's: cpu, cuda"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "most_tokens", "frames"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be 1 or more, got {value}")


def run(options: Options) -> Outcome:
    """Answer and score; exit status 0 whatever the answers are worth."""
    if options.benchmark is None:
        check_dataset_folder(options.data)
    check_out_file(options.out)
    from models.adapter import SETTINGS

    if (options.model / SETTINGS).is_file():
        return _of_vlm(options)
    if options.benchmark is not None:
        raise ValueError("--benchmark is for vision-language models: a head knows the questions of a dataset alone")
    return _of_head(options)


def _of_head(options: Options) -> Outcome:
    from models.answering import answers, sure_of
    from models.best_actions import preset_of
    from models.questions import read_questions, write_answers
    from models.weights import load_model
    from synth.predictions import score_file

    config, model = load_model(options.model)
    questions = read_questions(options.data)
    with in_words_of(Options):
        sure = sure_of(options.model, options.undecided_below)
    preset = options.preset or preset_of(options.data)
    said = answers(model.to(device_of(options.device)), questions, config.image_size, sure=sure, preset=preset)
    write_answers(options.out, zip(questions, said, strict=True))
    report = score_file(options.out, options.data, options.metric, seed=options.seed)
    return Outcome("\n".join(report_lines(report)), report)


def _of_vlm(options: Options) -> Outcome:
    refuse_undecided(options.undecided_below)
    from models.adapter import Adapter
    from models.vlm_answers import of_benchmark, of_dataset, write_vlm_answers
    from synth.benchmarks import score_benchmark
    from synth.predictions import score_file

    name, data = options.benchmark, options.data
    if not data.exists():
        raise ValueError(f"no benchmark at {data}: it is not there")
    device = device_of(options.device)
    adapter = Adapter.load(options.model).to(device)
    if options.metric == "world2vlm" and adapter.unit.resize is not None:
        raise ValueError("--metric world2vlm reads boxes in thousandths alone; this model writes pixels: use exact")
    asking = of_dataset(adapter, data) if name is None else of_benchmark(name, data, options.frames)
    with Progress("eval: questions") as progress:
        write_vlm_answers(
            adapter,
            options.model,
            asking,
            options.out,
            batch_size=options.batch_size,
            most_tokens=options.most_tokens or (64 if name is None else 512),
            progress=progress,
        )
    if name is not None:
        report = score_benchmark(name, data, options.out)
        return Outcome("\n".join(benchmark_lines(report)), report)
    report = score_file(options.out, data, options.metric, unit=adapter.unit, seed=options.seed)
    return Outcome("\n".join(report_lines(report)), report)


def device_of(name: str) -> Any:
    """A device of torch's.

    Raises:
        ValueError: if torch has none of that name.
    """
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"--device must be one that torch has here, such as cpu or cuda, got {name!r}: {error}"
        ) from None
    return torch.device(name)
