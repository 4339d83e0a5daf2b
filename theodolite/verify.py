"""`theodolite verify`: recompute every label of a dataset from its proofs, by a second implementation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from theodolite.console import DOES_NOT_HOLD, DONE, Outcome, Progress, check_dataset_folder, worker_count
from theodolite.options import CommonOptions

EXAMPLE = "theodolite verify data-demo --json"
SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite verify`."""

    dir: Path = field(metadata={"positional": True})
    """folder of the dataset"""
    workers: int = 0
    """worker processes; 0 = one for every core"""

    def __post_init__(self) -> None:
        super().__post_init__()
        worker_count(self.workers)


def run(options: Options) -> Outcome:
    """Recompute the labels; exit status 1 if any of them differs."""
    report = check_labels(options.dir, worker_count(options.workers))
    return Outcome(report_text(report), report, status_of(report))


def check_labels(root: Path, workers: int) -> dict[str, Any]:
    """Verify a dataset with progress on stderr; returns its counts and every mismatch."""
    check_dataset_folder(root)
    from synth.verify import verify

    with Progress("verify: scenes") as progress:
        report = verify(root, workers=workers, progress=progress)
    return {
        "labels": report.labels,
        "scenes": report.scenes,
        "mismatches": [asdict(mismatch) for mismatch in report.mismatches],
    }


def status_of(report: Mapping[str, Any]) -> int:
    """Exit status of a report: 1 if anything differs."""
    return DOES_NOT_HOLD if report["mismatches"] else DONE


def report_text(report: Mapping[str, Any]) -> str:
    """The report as lines for people: the counts, then the first mismatches."""
    mismatches = report["mismatches"]
    head = f"{report['labels']} labels of {report['scenes']} scenes recomputed, {len(mismatches)} mismatches"
    lines = [", ".join(f"{key} {value}" for key, value in row.items()) for row in mismatches[:SHOWN]]
    if len(mismatches) > SHOWN:
        lines.append(f"... and {len(mismatches) - SHOWN} more; --json lists them all")
    return "\n".join([head, *lines])
