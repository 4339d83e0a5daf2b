"""Trajectories that a world model imagines: one process each, the finished ones kept, the failed ones counted.

The folder is a tree that `synth.sources.read_source` reads: `scenes/<scene>/traj_<id>/`. Beside it `imagine.json` (what
all of it was made with), `logs/` (what the program said, per trajectory) and `left_out.json` (what failed, and why).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synth.external import TimeLimitError, last_line, run_external
from synth.files import image_png, json_bytes, only_run, write_whole
from synth.safe_read import read_json
from synth.teacher_hy import HyWorldPlay
from synth.teacher_svc import Svc
from synth.teacher_worldfm import WorldFM
from synth.teachers import Job, Teacher, read_upright

TEACHERS: dict[str, type[Teacher]] = {cls.name: cls for cls in (Svc, HyWorldPlay, WorldFM)}
SETTINGS_FILE = "imagine.json"
LEFT_OUT_FILE = "left_out.json"
_STAGING = ".staging"


@dataclass(frozen=True)
class Failure:
    """Why a trajectory is not there."""

    cause: str
    """`input`, `start`, `time_limit`, `status` or `output`."""
    detail: str
    last_line: str = ""
    """The last thing that the program said."""


@dataclass
class Imagined:
    """What a run did, by `Job.name`."""

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """There already."""
    failed: dict[str, Failure] = field(default_factory=dict)

    def causes(self) -> Counter[str]:
        """Failures by cause."""
        return Counter(failure.cause for failure in self.failed.values())


def imagine(
    jobs: Sequence[Job],
    teacher: Teacher,
    out: Path,
    *,
    time_limit_s: float = 3600.0,
    progress: Callable[[int, int], None] | None = None,
) -> Imagined:
    """Have a teacher imagine trajectories that are not there yet; one that fails stops none of the others.

    Args:
        jobs: what is wanted (`synth.teachers.jobs_of`).
        teacher: who imagines it.
        out: folder of the tree. A trajectory appears in it whole or not at all; what is finished is not made again.
        time_limit_s: seconds for each process.
        progress: called with the number of jobs done and in all.

    Raises:
        ValueError: if the teacher is missing, the time limit is not above 0, another run writes the folder, or what is
            in it was made by another teacher or with other settings.
        OSError: if the folder cannot be written.
    """
    if not time_limit_s > 0:
        raise ValueError(f"time_limit must be above 0 seconds, got {time_limit_s:g}")
    teacher = teacher.located()
    teacher.check()
    out.mkdir(parents=True, exist_ok=True)
    _keep_settings(out, teacher)
    result = Imagined()
    with only_run(out / SETTINGS_FILE):
        for done, job in enumerate(jobs, start=1):
            _imagine_one(job, teacher, out, time_limit_s, result)
            if progress:
                progress(done, len(jobs))
        _write_left_out(out, result)
    return result


def _imagine_one(job: Job, teacher: Teacher, out: Path, time_limit_s: float, result: Imagined) -> None:
    if (out / job.bundle / "traj.json").is_file():
        result.kept.append(job.name)
        return
    staging, log = out / _STAGING / job.bundle, out / "logs" / f"{job.name}.log"
    shutil.rmtree(out / _STAGING, ignore_errors=True)  # what an interrupted run left
    staging.mkdir(parents=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    try:
        failure = _run(job, teacher, staging, log, time_limit_s)
        if failure is None:
            _move_in(job, staging, out)
    finally:
        shutil.rmtree(out / _STAGING, ignore_errors=True)
    if failure is None:
        result.made.append(job.name)
    else:
        result.failed[job.name] = failure


def _run(job: Job, teacher: Teacher, staging: Path, log: Path, time_limit_s: float) -> Failure | None:
    try:
        teacher.write_inputs(job, staging)
        command = teacher.command(job, staging)
    except ValueError as error:
        return Failure("input", str(error))
    try:
        status = run_external(command, teacher.folder(staging), teacher.environment(), log, time_limit_s)
    except TimeLimitError as error:
        return Failure("time_limit", str(error), last_line(log))
    except OSError as error:
        return Failure("start", f"{command[0]}: {error.strerror}")
    if status:
        ended = f"signal {-status}" if status < 0 else f"status {status}"
        return Failure("status", f"ended with {ended}", last_line(log))
    try:
        teacher.collect(job, staging, staging / "bundle")
    except ValueError as error:
        # Where it was made must not be in the reason: it is gone.
        return Failure("output", str(error).replace(f"{staging}{os.sep}", ""), last_line(log))
    return None


def _move_in(job: Job, staging: Path, out: Path) -> None:
    """The picture of the scene first, so that a trajectory is never without; then the trajectory at once."""
    target = out / job.bundle
    anchor = target.parent / "input" / "000.png"
    if not anchor.is_file():
        anchor.parent.mkdir(parents=True, exist_ok=True)
        write_whole(anchor, image_png(read_upright(job.anchor)))
    shutil.rmtree(target, ignore_errors=True)  # without traj.json it is nothing
    os.replace(staging / "bundle", target)


def _keep_settings(out: Path, teacher: Teacher) -> None:
    settings = {
        "teacher": teacher.name,
        "hfov": teacher.hfov,
        "seed": teacher.seed,
        "teacher_args": list(teacher.extra),
    }
    path = out / SETTINGS_FILE
    if not path.exists():
        write_whole(path, json_bytes(settings))
    elif (there := read_json(path)) != settings:
        differing = [key for key in settings if not isinstance(there, dict) or there.get(key) != settings[key]]
        raise ValueError(f"{out} was made with another {', '.join(differing)}; use another --out")


def _write_left_out(out: Path, result: Imagined) -> None:
    failed = {name: asdict(failure) for name, failure in result.failed.items()}
    content: dict[str, Any] = {"causes": dict(sorted(result.causes().items())), "trajectories": failed}
    write_whole(out / LEFT_OUT_FILE, json_bytes(content))
