"""Many trajectories checked, each by itself, and the report on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.scale import Scale
from synth.check import Checked, check_clip, check_film
from synth.check_card import Card, card_of
from synth.check_page import check_page
from synth.check_rows import row_of, table_of
from synth.commanded import Commanded, commanded_of_actions, commanded_of_file
from synth.files import json_bytes, write_whole
from synth.film import open_film
from synth.source import Clip
from synth.sources import read_rigid
from synth.verdict import Limits
from synth.workers import run_jobs


@dataclass(frozen=True)
class ClipJob:
    """A clip of a source that a reader reads."""

    source: Path
    source_format: str
    number: int
    limits: Limits

    def check(self) -> Checked:
        """Check it; a clip that cannot be read is undecided."""
        name, clip = clips_of(self.source, self.source_format)[self.number]
        return check_clip(name, clip, self.limits)


@dataclass(frozen=True)
class VideoJob:
    """A video file or folder of pictures, and what its camera was told.

    Args:
        actions: an action string, or the path of a file as `commanded_of_file` reads it.
        key_frames: with an action string, where actions begin and end; equal shares if empty.
        hfov_deg: None to estimate it.
        rows: of the pictures that count; None for all.
    """

    video: Path
    actions: str
    key_frames: tuple[int, ...]
    hfov_deg: float | None
    rows: tuple[int, int] | None
    limits: Limits

    def check(self) -> Checked:
        """Check it.

        Raises:
            ValueError: if the film or the commands cannot be read, or do not belong together.
        """
        film = open_film(self.video)
        num_frames = len(film)
        commanded = self._commanded(num_frames)
        width, height = film.size
        shown = film.rows(*self.rows) if self.rows else film
        if self.hfov_deg is None:
            return check_film(self.video.name, shown, None, commanded, whole=film.size, limits=self.limits)
        camera = PinholeCamera.from_hfov(math.radians(self.hfov_deg), width, height)
        return check_film(self.video.name, shown, camera, commanded, limits=self.limits)

    def _commanded(self, num_frames: int) -> Commanded:
        if Path(self.actions).suffix.lower() == ".json":
            return commanded_of_file(Path(self.actions), num_frames)
        scale = Scale("metric", "as the action string says")
        return commanded_of_actions(parse_actions(self.actions), num_frames, scale, self.key_frames or None)


Job = ClipJob | VideoJob


@dataclass(frozen=True)
class Answer:
    """What is kept of a checked trajectory: its numbers, and its part of the page."""

    row: dict[str, Any]
    card: Card | None


def jobs_of(source: Path, source_format: str, limits: Limits) -> list[ClipJob]:
    """A job for each clip of a source.

    Raises:
        ValueError: as `read_source`, or if it has no clip, or is photographs, which show no motion.
    """
    read = read_rigid(source, source_format)
    if read.source_format == "photo":
        raise ValueError(f"{source} must hold trajectories, but it is photographs, which show no motion")
    clips = clips_of(source, source_format)
    if not clips:
        raise ValueError(f"{source} must have at least one clip to check: {next(iter(read.left_out), 'it holds none')}")
    return [ClipJob(source, source_format, n, limits) for n in range(len(clips))]


def left_out(source: Path, source_format: str) -> dict[str, int]:
    """Clips that the reader could not read, by cause."""
    return dict(read_rigid(source, source_format).left_out)


def answers(jobs: Sequence[Job], workers: int, with_cards: bool, progress: Callable[[int, int], None]) -> list[Answer]:
    """Check all, in the order of the jobs."""
    found: dict[int, Answer] = {}
    numbered = [(n, job, with_cards) for n, job in enumerate(jobs)]
    for done, (n, answer) in enumerate(run_jobs(_answer, numbered, workers), start=1):
        found[n] = answer
        progress(done, len(jobs))
    return [found[n] for n in range(len(jobs))]


def _answer(job: tuple[int, Job, bool]) -> tuple[int, Answer]:
    n, todo, with_card = job
    checked = todo.check()
    return n, Answer(row_of(checked), card_of(checked, todo.limits) if with_card else None)


def write_report(out: Path, title: str, found: Sequence[Answer], summary: dict[str, Any], most: int) -> None:
    """Write check.json, check.csv and check.html."""
    rows = [answer.row for answer in found]
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "check.json", json_bytes({"summary": summary, "trajectories": rows}))
    write_whole(out / "check.csv", table_of(rows).encode())
    cards = [answer.card for answer in found if answer.card is not None]
    write_whole(out / "check.html", check_page(title, cards, summary, most).encode())


def clips_of(source: Path, source_format: str) -> list[tuple[str, Clip]]:
    """The clips of a source with their names, in order; raises as `read_source`."""
    read = read_rigid(source, source_format)
    return [(f"{scene.scene_id}/{clip.clip_id}", clip) for scene, clip in read.clips()]
