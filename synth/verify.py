"""Check a dataset against itself: every label is computed again from scene, poses and K by the second implementation.

What is compared how: texts and typed answers exactly; poses and K to 1e-6; boxes to a thousandth of the image (the
visible one to a pixel); shares to 0.01. Pictures are held to the fingerprints in traj.json, and the depth and
instance rasters besides to rays cast anew; files and their lines to the fingerprints in contents.json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.contents import scene_folders
from synth.dataset import Mismatch, Row
from synth.verify_files import BROKEN, card_faults, file_faults, read_subset, subset_folders
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
    jobs: list[Job] = []
    questions: dict[str, Counter[str]] = {}
    subsets = subset_folders(root)
    for subset in subsets:
        rows, broken = read_subset(subset)
        some_jobs, homeless = _jobs(subset, rows)
        jobs += some_jobs
        report.labels += len(rows)
        report.mismatches += [*broken, *file_faults(subset), *homeless]
        questions[subset.name] = Counter(str(task.get("task_type")) for task, _ in rows)
    if root not in subsets:
        report.mismatches += card_faults(root, questions)
    report.scenes = len(jobs)
    for done, found in enumerate(run_jobs(_check_scene, jobs, workers), start=1):
        report.mismatches += found
        if progress:
            progress(done, len(jobs))
    return report


Job = tuple[Path, list[Row]]
"""A scene's folder and the questions about it."""


def _jobs(subset: Path, rows: list[Row]) -> tuple[list[Job], list[Mismatch]]:
    """A job for each scene, and the questions whose scene is not there."""
    of_scene: dict[str, list[Row]] = {folder.name: [] for folder in scene_folders(subset)}
    homeless = []
    for number, (task, proof) in enumerate(rows, start=1):
        name = _scene_of(proof)
        if name in of_scene:
            of_scene[name].append((task, proof))
        else:
            homeless.append(Mismatch(f"{subset.name}:{number}", "transition.scene_id", name, "a scene of this subset"))
    return [(subset / "scenes" / name, some) for name, some in of_scene.items()], homeless


def _scene_of(proof: dict[str, Any]) -> str:
    where = proof.get("transition")
    return str(where.get("scene_id") if isinstance(where, dict) else where)


def _check_scene(job: Job) -> list[Mismatch]:
    # Imported where the work is done: a parent that only hands out jobs starts its workers at once.
    from synth.verify_scene import SceneFiles

    folder, rows = job
    try:
        files = SceneFiles.read(folder)
    except BROKEN as error:
        return [_unreadable(folder, error)]
    return check_scene(files, rows)


def check_scene(files: SceneFiles, rows: list[Row]) -> list[Mismatch]:
    """All that does not hold of a scene, its trajectories and the questions asked about them."""
    from synth.verify_scene import check_trajectories

    try:
        found = check_trajectories(files)
    except BROKEN as error:
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
        except BROKEN as error:
            found.append(Mismatch(str(proof.get("id")), "proof", f"unreadable: {error!r}", "a proof as it was written"))
    return found
