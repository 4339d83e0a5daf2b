"""`theodolite demo`: a small verified dataset from simulated rooms and from a photograph, with its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.console import Outcome, check_out_folder, worker_count
from theodolite.generate import make_subset, subset_text
from theodolite.options import CommonOptions
from theodolite.verify import check_labels, report_text, status_of

EXAMPLE = "theodolite demo --out data-demo"
NUM_SCENES = {"render": 6, "depthwarp": 1}
"""Scenes by teacher: simulated rooms, and the one photograph."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite demo`."""

    out: Path
    """folder of the dataset and its page"""
    workers: int = 0
    """worker processes; 0 = one for every core. The dataset does not depend on it"""

    def __post_init__(self) -> None:
        super().__post_init__()
        worker_count(self.workers)


def run(options: Options) -> Outcome:
    """Generate, verify and show the demo dataset; exit status 1 if a label does not verify."""
    check_out_folder(options.out)
    from synth.pipeline import GenerateConfig
    from synth.view import write_view

    workers, page = worker_count(options.workers), options.out / "view.html"
    subsets = [
        make_subset(
            options.out,
            GenerateConfig(num_scenes=num_scenes, seed=options.seed, teacher=teacher, is_demo=True),
            workers,
        )
        for teacher, num_scenes in NUM_SCENES.items()
    ]
    report = check_labels(options.out, workers)
    shown, total = write_view(options.out, page)
    payload = {
        "out": str(options.out),
        "subsets": subsets,
        "verify": report,
        "page": {"path": str(page), "shown": shown, "samples": total},
    }
    return Outcome(_text(payload), payload, status_of(report))


def _text(payload: Mapping[str, Any]) -> str:
    parts = [subset_text(subset) for subset in payload["subsets"]]
    return "\n\n".join([*parts, report_text(payload["verify"]), f"open {payload['page']['path']}"])
