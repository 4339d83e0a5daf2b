"""`theodolite score`: score any model's answers, by the metric that is right or by the published reward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from theodolite.console import Outcome, Progress, check_dataset_folder, worker_count
from theodolite.options import CommonOptions

EXAMPLE = "theodolite score predictions.jsonl --data data-demo"


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite score`."""

    predictions: Path = field(metadata={"positional": True})
    """JSON lines with "response" and "id", or with "response", "task_type" and "ground_truth" """
    data: Path | None = None
    """folder of the dataset that the ids are from, or of the benchmark"""
    metric: Literal["exact", "world2vlm"] = "exact"
    """exact = one answer, compared by geometry, chance taken off; world2vlm = the published reward as it is"""
    benchmark: Literal["sat", "vsi-bench", "mindcube"] | None = None
    """score answers to a published benchmark by its own definition; --data is where it was unpacked"""
    model_family: Literal["generic", "qwen2-vl", "qwen2.5-vl", "qwen3-vl"] = "generic"
    """whose unit the answers' boxes are in, as for convert: pixels of the resized picture for qwen2.5-vl"""
    min_pixels: int | None = None
    """as for convert"""
    max_pixels: int | None = None
    """as for convert"""
    workers: int = 0
    """worker processes for a long file; 0 = one for every core. The scores do not depend on it"""

    def __post_init__(self) -> None:
        super().__post_init__()
        worker_count(self.workers)
        if self.benchmark and self.data is None:
            raise ValueError(f"--benchmark {self.benchmark} needs --data: where it was unpacked")


def run(options: Options) -> Outcome:
    """Score the answers; exit status 0 whatever they are worth."""
    if options.benchmark is not None:
        return _run_benchmark(options)
    if options.data is not None:
        check_dataset_folder(options.data)
    from synth.box_units import box_unit
    from synth.predictions import score_file

    unit = box_unit(options.model_family, options.min_pixels, options.max_pixels)
    with Progress("score: answers") as progress:
        report = score_file(
            options.predictions,
            options.data,
            options.metric,
            unit=unit,
            seed=options.seed,
            workers=worker_count(options.workers),
            progress=progress,
        )
    return Outcome("\n".join(report_lines(report)), report)


def _run_benchmark(options: Options) -> Outcome:
    from synth.benchmarks import score_benchmark

    assert options.benchmark is not None and options.data is not None
    if not options.data.exists():
        raise ValueError(f"no benchmark at {options.data}: it is not there")
    report = score_benchmark(options.benchmark, options.data, options.predictions)
    return Outcome("\n".join(benchmark_lines(report)), report)


def benchmark_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report on a published benchmark as lines for people."""
    yield f"{report['benchmark']}: {report['n']} questions, by its own definition"
    width = max(map(len, (*report["categories"], "overall")))
    for name, figure in report["categories"].items():
        yield f"  {name:<{width}}  {figure:.3f}"
    yield f"  {'overall':<{width}}  {report['overall']:.3f}"
    if report["unanswered"]:
        yield f"{report['unanswered']} questions have no answer and count as wrong"


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as lines for people: a table of tasks, then of difficulties, then what could not be read."""
    has_chance = any("chance" in task for task in report["tasks"].values())
    yield f"{report['n']} answers, metric {report['metric']} ({report['metric_version']})"
    if has_chance:
        yield "corrected: 0 is guessing, 1 is the truth; intervals are 95 %, over scenes where a dataset tells them"
    yield ""
    yield from _table([("task", task, row) for task, row in report["tasks"].items()] + [("", "all", report["all"])])
    for task, variables in report["difficulty"].items():
        told = {name: drawers for name, drawers in variables.items() if len(drawers) > 1}
        if told:
            yield ""
            rows = [(name, drawer, row) for name, drawers in told.items() for drawer, row in drawers.items()]
            yield from _table([(f"{task} {name},", drawer, row) for name, drawer, row in rows])
    yield from _remarks(report)


def _table(rows: list[tuple[str, str, Mapping[str, Any]]]) -> Iterator[str]:
    width = max(len(f"{first} {name}") for first, name, _ in rows)
    yield f"{'':{width}}  {'n':>6}  {'mean':>6}  {'chance':>6}  {'corrected':>9}  interval"
    for first, name, row in rows:
        interval = row.get("corrected_interval", row.get("interval"))
        spread = "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        cells = (_cell(row.get("mean"), 6), _cell(row.get("chance"), 6), _cell(row.get("corrected"), 9), spread)
        yield f"{f'{first} {name}'.strip():{width}}  {row['n']:>6}  {'  '.join(cells)}".rstrip()


def _cell(value: float | None, width: int) -> str:
    return f"{'-' if value is None else format(value, '.3f'):>{width}}"


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    if report["unanswered"]:
        yield ""
        counts = ", ".join(f"{task} {count}" for task, count in sorted(report["unanswered"].items()))
        yield f"questions of the dataset without an answer, not in the means: {counts}"
    if report["unread"]:
        yield ""
        yield "answers that score 0 because nothing could be read:"
        yield from (f"  {count:>6}  {reason}" for reason, count in report["unread"].items())
    if report["shortened"]:
        yield f"{report['shortened']} answers were longer than what is read (the first 4,096 characters)"
