"""Trials of the check: each simulated film as it is, and with one fault after the other, judged with and without depth.

What a film shows is gathered once for all commands that it is held against.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from check_faults import FAULTS, Fault
from check_films import SimFilm, chance, correct, median_depth, size_of
from machine import machine

from geom.scale import Scale
from synth.commanded import commanded_of_poses
from synth.film import Film
from synth.film_evidence import FilmEvidence, gather
from synth.judge import judge
from synth.verdict import Limits
from synth.workers import run_jobs

SCALE = Scale("metric", "simulated")
SHARE = 1 / 4
"""Of the faults that spoil pictures are planted in each film, which takes a second each; of all others each one."""
_STREAM = 77

Known = dict[tuple[Any, ...], tuple[SimFilm, FilmEvidence]]
"""What films show, by what tells them apart; the film is kept, so that the id of its pictures stays theirs."""


def run_trials(first_seed: int, films: int, workers: int, kept: Path | None = None) -> list[dict[str, Any]]:
    """Rows of so many films, by the limits in use.

    Args:
        kept: a file that gets the rows of each film as they come; a run that was cut off goes on from it. What another
            commit left there does not count.
    """
    commit = machine()["commit"]
    done = _rows_in(kept, commit) if kept else {}
    jobs = [(seed, Limits()) for seed in range(first_seed, first_seed + films) if seed not in done]
    for rows in run_jobs(trials, jobs, workers):
        done[rows[0]["seed"]] = rows
        if kept:
            with kept.open("a") as file:
                file.write(json.dumps({"commit": commit, "rows": rows}) + "\n")
    return [row for seed in range(first_seed, first_seed + films) for row in done[seed]]


def _rows_in(path: Path, commit: str) -> dict[int, list[dict[str, Any]]]:
    """Rows of this commit by their film's seed; a last line that was cut off is removed."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    path.write_text("".join(whole))
    found = [json.loads(line) for line in whole]
    return {one["rows"][0]["seed"]: one["rows"] for one in found if one["commit"] == commit}


def sequences(rows: Sequence[dict[str, Any]]) -> int:
    """How many films there were, each fault another one."""
    return len({(row["seed"], row["fault"], row["size"]) for row in rows})


def trials(job: tuple[int, Limits]) -> list[dict[str, Any]]:
    """Verdicts on the film of a seed, correct and with each fault that it can have."""
    seed, limits = job
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    film, known = correct(seed), Known()
    rows = [_trial(film, None, limits, with_depth, known) for with_depth in (False, True)]
    for fault in _some(seed):
        planted = fault.plant(film)
        if planted is not None:
            ways = (False, True) if fault.needs_depth or _is_free(fault) else (False,)
            rows += [_trial(planted, fault, limits, with_depth, known) for with_depth in ways]
    return [row | {"seed": seed} for row in rows]


def _some(seed: int) -> list[Fault]:
    rng = chance(seed, _STREAM)
    return [fault for fault in FAULTS if _is_free(fault) or rng.random() < SHARE]


def _is_free(fault: Fault) -> bool:
    """Whether the fault is one of the command alone, so that the film is known already."""
    return fault.name in ("moves", "turns", "mirrored turn", "mirrored shift", "swapped steps", "drift")


def _trial(film: SimFilm, fault: Fault | None, limits: Limits, with_depth: bool, known: Known) -> dict[str, Any]:
    commanded = commanded_of_poses(film.T_world_cam, SCALE, film.key_frames)
    verdict = judge(evidence_of(film, with_depth, known), commanded, limits).verdict
    size = size_of(film)
    return {
        "fault": fault.name if fault else "none",
        "size": fault.size if fault else "",
        "depth": with_depth,
        "outcome": verdict.outcome,
        "score": _short(verdict.score),
        "measures": {name: _short(value) for name, value in verdict.measures.items()},
        "fails": sorted({f.reason for f in verdict.findings if f.effect == "fails"}),
        "open": sorted({f.reason for f in verdict.findings if f.effect == "leaves open"}),
        "notes": sorted({f.reason for f in verdict.findings if f.effect == "note"}),
        "metres_at_3_m": _short(3 * size.metres / median_depth(film)),
        "degrees": _short(size.degrees),
    }


def evidence_of(film: SimFilm, with_depth: bool, known: Known) -> FilmEvidence:
    """What the film shows; films that share pictures, key frames and lens share it."""
    key = (id(film.pictures), film.key_frames, float(film.camera.K[0, 0]), with_depth)
    if key not in known:
        height, width = film.pictures[0].shape[:2]
        shown = Film("simulated film", (width, height), lambda: iter(film.pictures), len(film.pictures))
        z_depth = (lambda n: film.z_depths[n].astype(float)) if with_depth else None
        known[key] = film, gather(shown, film.camera, film.key_frames, z_depth)
    return known[key][1]


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
