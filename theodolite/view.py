"""`theodolite view`: a self-contained HTML page of samples with boxes, motion and proofs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit < 1:
            raise ValueError(f"--limit must be 1 or more, got {self.limit}")


def run(options: Options) -> Outcome:
    """Write the page; exit status 0."""
    check_dataset_folder(options.dir)
    out = options.out or options.dir / "view.html"
    check_out_file(out)
    from synth.view import write_view

    shown, total = write_view(options.dir, out, limit=options.limit)
    payload = {"page": str(out), "shown": shown, "samples": total, "bytes": out.stat().st_size}
    return Outcome(f"{out}: {shown} of {total} samples", payload)
