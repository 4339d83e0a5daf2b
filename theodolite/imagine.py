"""`theodolite imagine`: trajectories that a world model imagines, started where it is installed."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from theodolite.console import DOES_NOT_HOLD, DONE, Outcome, Progress, check_out_folder
from theodolite.options import CommonOptions, in_words_of

if TYPE_CHECKING:
    from geom.actions import ActionSequence
    from synth.teachers import Job, Teacher

EXAMPLE = 'theodolite imagine photos --teacher svc --out bundles --actions "FWD_0.5; TL_30 | RIGHT_0.4"'
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite imagine`."""

    anchors: Path = field(metadata={"positional": True})
    """a picture, or a folder of pictures; every trajectory starts from each"""
    teacher: Literal["svc", "hy_worldplay", "worldfm"]
    """the world model"""
    out: Path
    """folder of the bundles, which `theodolite label` reads; the same command goes on where it stopped"""
    actions: str | None = None
    """what the camera does, in any of the known spellings, separated by semicolons; several trajectories by |"""
    actions_file: Path | None = None
    """or a file with one trajectory a line"""
    teacher_root: Path | None = None
    """folder that the world model was installed into (default for svc: that of the package seva)"""
    teacher_python: Path | None = None
    """its interpreter (default: that of .venv or venv in its folder, else this one)"""
    teacher_args: str = ""
    """more arguments for it, as one text; for hy_worldplay where its weights are"""
    time_limit: float = 3600.0
    """seconds for each trajectory, after which its process and all that it started are ended"""
    hfov_deg: float | None = None
    """horizontal field of view of the pictures, degrees; svc alone can be told (default: 54 along the longer side)"""
    dry_run: bool = False
    """start nothing: write what would be read below OUT/inputs, and show the commands"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.actions is None) == (self.actions_file is None):
            raise ValueError("--actions or --actions-file must be given, one of them")
        if not (math.isfinite(self.time_limit) and self.time_limit > 0):
            raise ValueError(f"--time-limit must be above 0 seconds, got {self.time_limit:g}")
        if self.hfov_deg is not None and not 0 < self.hfov_deg < 180:
            raise ValueError(f"--hfov-deg must be above 0 and below 180 degrees, got {self.hfov_deg:g}")


def run(options: Options) -> Outcome:
    """Imagine what is not there yet; exit status 0, or 1 if a trajectory failed."""
    check_out_folder(options.out)
    from synth.teachers import jobs_of

    jobs = jobs_of(anchors_in(options.anchors), sequences_of(options))
    teacher = _teacher(options)
    return _dry_run(jobs, teacher, options.out) if options.dry_run else _imagine(jobs, teacher, options)


def anchors_in(path: Path) -> list[Path]:
    """The picture, or the pictures of a folder by name.

    Raises:
        ValueError: if there is none.
    """
    if not path.exists():
        raise ValueError(f"ANCHORS must be a picture or a folder of pictures, but {path} is not there")
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not found:
        raise ValueError(f"ANCHORS {path} holds no picture ({', '.join(_SUFFIXES)})")
    return found


def sequences_of(options: Options) -> list[ActionSequence]:
    """The trajectories of the options.

    Raises:
        ValueError: if one cannot be read, with its number, or there is none.
    """
    from geom.actions import parse_actions

    if options.actions_file is not None:
        source, texts = f"--actions-file {options.actions_file}, line", _lines(options.actions_file)
    else:
        source, texts = "--actions, trajectory", (options.actions or "").split("|")
    sequences = []
    for number, text in enumerate(texts, start=1):
        if options.actions_file is not None and not text.strip():
            continue
        try:
            sequences.append(parse_actions(text))
        except ValueError as error:
            raise ValueError(f"{source} {number}: {error}") from None
    if not sequences:
        raise ValueError(f"{source.partition(',')[0]} holds no trajectory")
    return sequences


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"--actions-file {path} must be text in UTF-8") from None


def _teacher(options: Options) -> Teacher:
    from synth.imagine import TEACHERS

    try:
        extra = tuple(shlex.split(options.teacher_args))
    except ValueError as error:
        raise ValueError(f"--teacher-args cannot be split into words: {error}") from None
    return TEACHERS[options.teacher](
        root=options.teacher_root,
        python=options.teacher_python,
        hfov=None if options.hfov_deg is None else math.radians(options.hfov_deg),
        seed=options.seed,
        extra=extra,
    )


def _imagine(jobs: list[Job], teacher: Teacher, options: Options) -> Outcome:
    from synth.imagine import imagine

    with in_words_of(Options), Progress(f"{teacher.name}: trajectories") as progress:
        result = imagine(jobs, teacher, options.out, time_limit_s=options.time_limit, progress=progress)
    failed = {name: asdict(failure) for name, failure in result.failed.items()}
    payload = {"out": str(options.out), "made": result.made, "kept": result.kept, "failed": failed}
    return Outcome(_text(payload), payload, DOES_NOT_HOLD if failed else DONE)


def _text(payload: Mapping[str, Any]) -> str:
    """Counts for people, and the first failures with their causes."""
    made, kept, failed = (payload[key] for key in ("made", "kept", "failed"))
    lines = [f"{payload['out']}: {len(made)} trajectories made, {len(kept)} were there, {len(failed)} failed"]
    for name, failure in list(failed.items())[:_MOST_SHOWN]:
        said = f' (last said: "{failure["last_line"]}")' if failure["last_line"] else ""
        lines.append(f"  {name}: {failure['cause']}: {failure['detail']}{said}")
    if len(failed) > _MOST_SHOWN:
        lines.append(f"  and {len(failed) - _MOST_SHOWN} more, in left_out.json")
    return "\n".join(lines)


def _dry_run(jobs: list[Job], teacher: Teacher, out: Path) -> Outcome:
    """Write the inputs of every job and show its command; the teacher need not be here."""
    teacher = teacher.located()
    commands = {}
    for job in jobs:
        folder = out / "inputs" / job.bundle
        folder.mkdir(parents=True, exist_ok=True)
        teacher.write_inputs(job, folder)
        commands[job.name] = {"folder": str(teacher.folder(folder)), "command": teacher.command(job, folder)}
    lines = [f"cd {shlex.quote(row['folder'])} && {shlex.join(row['command'])}" for row in commands.values()]
    return Outcome("\n".join(lines), {"out": str(out), "commands": commands})


_MOST_SHOWN = 8
