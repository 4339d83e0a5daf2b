"""`theodolite view`: a self-contained HTML page of samples with boxes, motion and proofs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from theodolite.console import Outcome, check_dataset_folder, check_out_file
from theodolite.options import CommonOptions

EXAMPLE = "theodolite view data-demo --limit 100"


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite view`."""

    dir: Path = field(metadata={"positional": True})
    """folder of the dataset"""
    out: Path | None = None
    """file of the page (default: view.html in the dataset's folder)"""
    limit: int = 200
    """most samples on the page, picked evenly over the tasks"""
    predictions: Path | None = None
    """answers of a model, as `eval` writes them: the page shows these questions, each with answer and score"""
    model_family: Literal["generic", "qwen2-vl", "qwen2.5-vl", "qwen3-vl"] = "generic"
    """whose unit the boxes in the predictions are in, as for score"""
    min_pixels: int | None = None
    """as for convert"""
    max_pixels: int | None = None
    """as for convert"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit < 1:
            raise ValueError(f"--limit must be 1 or more, got {self.limit}")


def run(options: Options) -> Outcome:
    """Write the page; exit status 0."""
    check_dataset_folder(options.dir)
    out = options.out or options.dir / "view.html"
    check_out_file(out)
    from synth.box_units import box_unit
    from synth.predictions import read_said
    from synth.view import write_view

    unit = box_unit(options.model_family, options.min_pixels, options.max_pixels)
    said = None if options.predictions is None else read_said(options.predictions, options.dir, unit)
    shown, total = write_view(options.dir, out, limit=options.limit, said=said)
    payload = {"page": str(out), "shown": shown, "samples": total, "bytes": out.stat().st_size}
    return Outcome(f"{out}: {shown} of {total} samples", payload)
