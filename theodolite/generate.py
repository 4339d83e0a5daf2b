"""`theodolite generate`: a labelled dataset from simulated rooms, or from scenes in mesh files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from theodolite.console import Outcome, Progress, check_out_folder, worker_count
from theodolite.options import CommonOptions, in_words_of, nearest, split_names

if TYPE_CHECKING:
    from synth.pipeline import GenerateConfig
    from synth.worlds import Recipe

EXAMPLE = "theodolite generate --out data --num-scenes 20 --tasks A1,A2,D2 --workers 2"
TASKS = ("A1", "A2", "A3", "A4", "D1", "D2", "D3", "D4")


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite generate`."""

    out: Path
    """folder of the dataset; the same command goes on where an interrupted one stopped"""
    num_scenes: int
    """number of simulated rooms; with --scenes, of cameras in each file"""
    scenes: Path | None = None
    """GLB, glTF, OBJ or PLY file, or folder of such files, to be taken instead of our rooms: named nodes are the
    objects, and cameras stand where there is floor and clearance (extra `mesh`)"""
    up: Literal["y", "z"] | None = None
    """axis of these files that points up: OBJ and PLY do not say, so it must be stated; glTF is y up"""
    units_per_m: float | None = None
    """units of these files that make a metre: 1 = metres, 100 = centimetres; likewise, glTF is in metres"""
    image_size: tuple[int, int] = field(default=(512, 512), metadata={"metavar": ("W", "H")})
    """width and height of the pictures, pixels, 32 to 8192 each way"""
    tasks: str = ",".join(TASKS)
    """tasks to ask, separated by commas: A1-A4 camera motion, D1-D4 objects"""
    workers: int = 0
    """worker processes; 0 = one for every core. The dataset does not depend on it"""
    teacher: Literal["render"] = "render"
    """where the pictures come from: render = the exact ray caster"""
    preset: Literal["theodolite", "svc", "svc_teacher", "hy"] = "theodolite"
    """distribution of the motions: our own, or that of a published configuration"""
    phrasing: Literal["mixed", "open"] = "mixed"
    """mixed = open, multiple choice and sentence; open = only what the published reward can score"""
    without_kinds: str = ""
    """kinds of objects, separated by commas, that no room holds: to keep them for a test"""
    labels_only: bool = False
    """compute and write labels without pictures"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_scenes < 1:
            raise ValueError(f"--num-scenes must be 1 or more, got {self.num_scenes}")
        if self.scenes is None:
            for name, value in (("--up", self.up), ("--units-per-m", self.units_per_m)):
                if value is not None:
                    raise ValueError(f"{name} says how mesh files are read: it must go with --scenes, got {value}")
        parse_tasks(self.tasks)
        worker_count(self.workers)


def run(options: Options) -> Outcome:
    """Generate the dataset; exit status 0."""
    check_out_folder(options.out)
    payload = make_subset(options.out, _config(options), worker_count(options.workers))
    return Outcome(subset_text(payload), {"out": str(options.out), **payload})


def _config(options: Options) -> GenerateConfig:
    from synth.pipeline import GenerateConfig

    kept = ("num_scenes", "seed", "image_size", "teacher", "preset", "phrasing", "labels_only")
    asked = {"tasks": parse_tasks(options.tasks), **{name: getattr(options, name) for name in kept}}
    asked["without_kinds"] = split_names(options.without_kinds)
    with in_words_of(Options):
        if options.scenes is None:
            return GenerateConfig(**asked)
        from synth.mesh_files import MeshConfig

        return MeshConfig(**asked, scenes=options.scenes, up=options.up, units_per_m=options.units_per_m)


def make_subset(out: Path, config: Recipe, workers: int) -> dict[str, Any]:
    """Generate one subset with progress on stderr; returns its counts."""
    from synth.pipeline import generate

    with Progress(f"{config.subset}: scenes") as progress:
        summary = generate(out, config, workers=workers, progress=progress)
    return {
        "subset": config.subset,
        "scenes": summary.scenes,
        "transitions": summary.transitions,
        "questions": dict(sorted(summary.questions.items())),
        "left_out": dict(summary.left_out.most_common()),
        "seconds": {stage: round(value, 3) for stage, value in summary.stages.seconds.items()},
    }


def parse_tasks(text: str) -> tuple[str, ...]:
    """Task names from a comma-separated list, in the order of TASKS.

    Raises:
        ValueError: if the list is empty or holds an unknown task.

    >>> parse_tasks("D1,A3")
    ('A3', 'D1')
    """
    names = split_names(text)
    for name in names:
        if name not in TASKS:
            raise ValueError(f"--tasks has an unknown task '{name}'; {nearest(name, TASKS)}")
    if not names:
        raise ValueError(f"--tasks must name at least one of {', '.join(TASKS)}")
    return tuple(task for task in TASKS if task in names)


def subset_text(payload: Mapping[str, Any]) -> str:
    """Counts of a subset as lines for people."""
    questions = payload["questions"]
    by_task = ", ".join(f"{task} {count}" for task, count in questions.items())
    counts = f"{payload['scenes']} scenes, {payload['transitions']} transitions"
    lines = [f"{payload['subset']}: {counts}, {sum(questions.values())} questions ({by_task})"]
    if payload["left_out"]:
        lines.append("not asked, by cause:")
        lines += [f"  {count:>7}  {cause}" for cause, count in payload["left_out"].items()]
    return "\n".join(lines)
