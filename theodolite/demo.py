"""`theodolite demo`: a small verified dataset from simulated rooms and from a photograph, with its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.console import DOES_NOT_HOLD, DONE, Outcome, Progress, check_out_folder, worker_count
from theodolite.generate import TASKS, summary_text
from theodolite.options import CommonOptions
from theodolite.verify import report_text

EXAMPLE = "theodolite demo --out data-demo"
NUM_ROOMS = 6


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite demo`."""

    out: Path
    """folder of the dataset and its page"""
    workers: int = 0
    """worker processes; 0 = one for every core. The dataset does not depend on it"""


def run(options: Options) -> Outcome:
    """Generate, verify and show the demo dataset; exit status 1 if a label does not verify."""
    check_out_folder(options.out)
    from synth.verify import verify
    from synth.view import write_view

    workers = worker_count(options.workers)
    subsets = [_subset(options, teacher, workers) for teacher in ("render", "depthwarp")]
    report = verify(options.out, workers)
    page = options.out / "view.html"
    shown, total = write_view(options.out, page, seed=options.seed)
    payload = {
        "out": str(options.out),
        "subsets": subsets,
        "verify": report,
        "page": {"path": str(page), "shown": shown, "samples": total},
    }
    return Outcome(_text(payload), payload, DOES_NOT_HOLD if report["mismatches"] else DONE)


def _subset(options: Options, teacher: str, workers: int) -> dict[str, Any]:
    from synth.pipeline import GenerateConfig, generate

    config = GenerateConfig(
        out=options.out,
        num_scenes=NUM_ROOMS if teacher == "render" else 1,
        image_size=(512, 512),
        tasks=TASKS,
        workers=workers,
        teacher=teacher,
        seed=options.seed,
        preset="theodolite",
        phrasing="mixed",
        labels_only=False,
        demo=True,
    )
    with Progress() as progress:
        return dict(generate(config, progress=progress))


def _text(payload: Mapping[str, Any]) -> str:
    parts = [summary_text(subset) for subset in payload["subsets"]]
    return "\n\n".join([*parts, report_text(payload["verify"]), f"open {payload['page']['path']}"])
