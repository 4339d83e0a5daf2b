"""Check a dataset against itself: every label is computed again from scene, poses and K by the second implementation.

What is compared how: texts and typed answers exactly; poses and K to 1e-6; boxes to a thousandth of the image (the
visible one to a pixel); shares to 0.01. Pictures are held to the fingerprints in traj.json, and the depth and
instance rasters besides to rays cast anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from synth.dataset import Mismatch, Row, find_subsets, read_rows
from synth.workers import run_jobs

if TYPE_CHECKING:
    from synth.verify_scene import SceneFiles


@dataclass
class Report:
    """What was checked and what does not hold."""

    labels: int = 0
    scenes: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)


def verify(root: Path, *, workers: int = 1, progress: Callable[[int, int], None] | None = None) -> Report:
    """Recompute every label of a dataset, or of one subset of it.

    Args:
        root: the dataset's folder, or a subset's.
        workers: processes.
        progress: called with (scenes done, scenes in all).

    Raises:
        ValueError: if there is no dataset there.
    """
    report = Report()
    jobs: list[tuple[Path, str, list[Row]]] = []
    for subset in find_subsets(root):
        rows, broken = _read_rows(subset)
        report.labels += sum(map(len, rows.values()))
        report.mismatches += broken
        names = {p.name for p in (subset / "scenes").glob("*") if p.is_dir()} | rows.keys()
        jobs += [(subset, name, rows.get(name, [])) for name in sorted(names)]
    report.scenes = len(jobs)
    for done, found in enumerate(run_jobs(_check_scene, jobs, workers), start=1):
        report.mismatches += found
        if progress:
            progress(done, len(jobs))
    return report


def _read_rows(subset: Path) -> tuple[dict[str, list[Row]], list[Mismatch]]:
    rows: dict[str, list[Row]] = defaultdict(list)
    seen: set[str] = set()
    broken = []
    for number, (task, proof) in enumerate(read_rows(subset), start=1):
        where = f"{subset.name}:{number}"
        if task.get("id") != proof.get("id"):
            broken.append(Mismatch(where, "id", task.get("id"), proof.get("id")))
        if str(task.get("id")) in seen:
            broken.append(Mismatch(where, "id", task.get("id"), "an id that occurs once"))
        seen.add(str(task.get("id")))
        rows[str(proof.get("transition", {}).get("scene_id"))].append((task, proof))
    return rows, broken


_BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What reading a damaged scene or proof may raise: it is then a mismatch like any other."""


def _check_scene(job: tuple[Path, str, list[Row]]) -> list[Mismatch]:
    # Imported where the work is done: a parent that only hands out jobs starts its workers at once.
    from synth.verify_scene import SceneFiles

    subset, scene_id, rows = job
    folder = subset / "scenes" / scene_id
    try:
        files = SceneFiles.read(folder)
    except _BROKEN as error:
        return [_unreadable(folder, error)]
    return check_scene(files, rows)


def check_scene(files: SceneFiles, rows: list[Row]) -> list[Mismatch]:
    """All that does not hold of a scene, its trajectories and the questions asked about them."""
    from synth.verify_scene import check_trajectories

    try:
        found = check_trajectories(files)
    except _BROKEN as error:
        found = [_unreadable(files.folder, error)]
    return found + check_rows(files, rows)


def _unreadable(folder: Path, error: Exception) -> Mismatch:
    return Mismatch(folder.name, "scene", f"unreadable: {error!r}", "a scene as it was written")


def check_rows(files: SceneFiles, rows: list[Row]) -> list[Mismatch]:
    """All that does not hold of questions and their proofs, given their scene."""
    from synth.verify_record import check_record

    found = []
    for task, proof in rows:
        try:
            found += check_record(files, task, proof)
        except _BROKEN as error:
            found.append(Mismatch(str(proof.get("id")), "proof", f"unreadable: {error!r}", "a proof as it was written"))
    return found
