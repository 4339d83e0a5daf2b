"""From an empty folder to a dataset: scenes one by one, by any number of workers, resumable, always the same bytes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from synth.card import check_card, write_card
from synth.case import Case
from synth.catalogue import check_kinds
from synth.contents import CONTENTS_FILE, contents
from synth.dataset import LEFT_OUT_FILE, PROOFS_FILE, SETTINGS_FILE
from synth.files import json_bytes, only_run, write_whole
from synth.presets import PRESETS
from synth.record import make_record
from synth.stages import Stages
from synth.tasks import TASKS, ask
from synth.transition import Transition
from synth.workers import run_jobs
from synth.worlds import GENERATED, MIN_WITNESS, SUBSETS, Recipe, World
from synth.writer import ROWS, SceneWriter


@dataclass(frozen=True)
class GenerateConfig:
    """Everything that the bytes of a subset depend on (and nothing else: not workers, not time)."""

    num_scenes: int
    seed: int = 0
    image_size: tuple[int, int] = (512, 512)
    tasks: tuple[str, ...] = tuple(TASKS)
    teacher: str = "render"
    preset: str = "theodolite"
    phrasing: str = "mixed"
    labels_only: bool = False
    is_demo: bool = False
    without_kinds: tuple[str, ...] = ()
    """Kinds of objects that no room holds."""

    def __post_init__(self) -> None:
        if self.num_scenes < 1:
            raise ValueError(f"num_scenes must be at least 1, got {self.num_scenes}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
        if min(self.image_size) < 32 or max(self.image_size) > 8192:
            raise ValueError(f"image_size must be 32..8192 pixels each way, got {self.image_size}")
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise ValueError(f"tasks must be some of {', '.join(TASKS)}, got {', '.join(unknown) or 'none'}")
        if self.teacher not in GENERATED:
            raise ValueError(f"teacher must be one of {', '.join(GENERATED)}, got {self.teacher!r}")
        if self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        check_kinds(self.without_kinds)
        if self.phrasing not in ("mixed", "open"):
            raise ValueError(f"phrasing must be 'mixed' or 'open', got {self.phrasing!r}")

    @property
    def subset(self) -> str:
        """Name of the subset's folder."""
        return SUBSETS[self.teacher] + ("-demo" if self.is_demo else "")

    @property
    def tasks_file(self) -> str:
        """Name of the file that holds the questions."""
        return "tasks_demo.jsonl" if self.is_demo else "tasks.jsonl"

    def settings(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    def scene_ids(self) -> list[str]:
        """Names of the scenes, unique over seeds."""
        name, digits = ("room", 6) if self.teacher == "render" else ("motorcycle", 3)
        return [f"{name}_{self.seed}_{index:0{digits}d}" for index in range(self.num_scenes)]

    def open(self, index: int, stages: Stages) -> World:
        """Build the scene with this index."""
        if self.teacher == "render":
            from synth.room_world import RoomWorld

            return RoomWorld(self, index, stages)
        from synth.photo import CITATION, motorcycle
        from synth.photo_world import PhotoWorld

        seed = np.random.SeedSequence([self.seed, index])
        return PhotoWorld(motorcycle(), self.scene_ids()[index], CITATION, seed, stages)

    @property
    def counts_unsuited(self) -> bool:
        """Motions are drawn for the tasks: that one does not suit a task is no news."""
        return False

    def left_out(self) -> Counter[str]:
        """Nothing: every scene is made."""
        return Counter()


@dataclass
class Summary:
    """What was made: questions by task, what was left out by cause, seconds by stage (of this run only)."""

    scenes: int = 0
    transitions: int = 0
    questions: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    stages: Stages = field(default_factory=Stages)


def generate(
    out: Path, config: Recipe, *, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> Summary:
    """Make a subset of a dataset, or go on with one that was interrupted.

    Args:
        out: the dataset's folder; made if absent.
        workers: processes; they change the time it takes and nothing else.
        progress: called with (scenes done, scenes in all).

    Raises:
        ValueError: if `out` is a file, holds something that is not this dataset, or a README.md that is no card, or
            another run is writing it.
        OSError: if it cannot be written; scenes that were finished stay, and the same call goes on from there.
    """
    subset = out / config.subset
    _claim_folder(out, subset, config)
    summary = Summary()
    with only_run(subset / SETTINGS_FILE):
        if not (subset / CONTENTS_FILE).exists():
            _make_scenes(subset, config, summary, workers, progress)
            _assemble(subset, config)
        _drop_rows(subset)
        _count(subset, config, summary)
        write_card(out)
    return summary


def _make_scenes(
    subset: Path,
    config: Recipe,
    summary: Summary,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    shutil.rmtree(subset / ".staging", ignore_errors=True)
    jobs = [(subset, config, index) for index in range(len(config.scene_ids()))]
    try:
        for done, seconds in enumerate(run_jobs(make_scene, jobs, workers), start=1):
            summary.stages.add(seconds)
            if progress:
                progress(done, len(jobs))
    finally:
        shutil.rmtree(subset / ".staging", ignore_errors=True)


def _claim_folder(out: Path, subset: Path, config: Recipe) -> None:
    """Make the folder ours, or refuse one that is not."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"the output must be a folder, but {out} is a file")
    check_card(out)
    mine = json_bytes({"config": config.settings(), "versions": {"theodolite": version("theodolite")}})
    settings = subset / SETTINGS_FILE
    if settings.exists():
        _check_same(json.loads(settings.read_bytes()), json.loads(mine), subset)
        return
    if subset.exists() and any(not path.name.startswith(".") for path in subset.iterdir()):
        raise ValueError(
            f"{subset} is not empty and holds no {SETTINGS_FILE}: it is no dataset of ours; choose another --out"
        )
    subset.mkdir(parents=True, exist_ok=True)
    write_whole(settings, mine)


def _check_same(there: dict[str, Any], mine: dict[str, Any], subset: Path) -> None:
    for part, values in mine.items():
        said = there.get(part, {})
        # Also what only the other one has: scenes from files and rooms are both called simulated.
        for key in dict.fromkeys([*values, *said]):
            found, value = said.get(key), values.get(key)
            if found != value:
                raise ValueError(
                    f"{subset} was made with {key} = {found!r}, this call has {value!r}: "
                    "use another --out, or the same options"
                )


def make_scene(job: tuple[Path, Recipe, int]) -> dict[str, float]:
    """Make the folder of the scene with this index unless it is there; returns seconds by stage."""
    subset, config, index = job
    stages = Stages()
    if (subset / "scenes" / config.scene_ids()[index]).exists():
        return stages.seconds
    world = config.open(index, stages)
    writer = SceneWriter(subset, world.scene_id, stages)
    writer.scene(world.scene_json([writer.frame(view) for view in world.frames()]))
    for number, (traj, about) in enumerate(world.trajectories(writer.left_out)):
        before, after = world.sights(traj)
        writer.trajectory(traj, after.view, about)
        seed = (config.seed, index, number)
        witness = world.witness(traj, writer.left_out)
        order = np.random.default_rng(seed).permutation(len(world.evidence.kinds)).tolist()
        agreed = tuple(i for i in order if witness.get(i, 1.0) >= MIN_WITNESS)
        transition = Transition(world.scene_id, traj, before.view, after.view)
        case = Case(transition, before, after, world.claims(traj), agreed, witness)
        _ask(writer, case, config, seed, about)
    writer.finish()
    return stages.seconds


def _ask(writer: SceneWriter, case: Case, config: Recipe, seed: tuple[int, ...], about: dict[str, Any]) -> None:
    with writer.stages("label"):
        questions, left_out = ask(
            case, config.tasks, seed, only_open=config.phrasing == "open", counts_unsuited=config.counts_unsuited
        )
        writer.records += [make_record(case, question, about) for question in questions]
        writer.left_out += left_out


def _assemble(subset: Path, config: Recipe) -> None:
    """Join the scenes' rows, in order, into the subset's files; what they hold last, it marks them as whole."""
    folders = [subset / "scenes" / name for name in config.scene_ids()]

    def rows(part: str) -> Iterator[Any]:
        return (json.loads((folder / ROWS).read_bytes())[part] for folder in folders)

    left_out = config.left_out()
    for counts in rows("left_out"):
        left_out.update(counts)
    write_whole(subset / LEFT_OUT_FILE, json_bytes(dict(sorted(left_out.items()))))
    write_whole(subset / PROOFS_FILE, (json_bytes(row) for some in rows("proofs") for row in some))
    write_whole(subset / config.tasks_file, (json_bytes(row) for some in rows("tasks") for row in some))
    write_whole(subset / CONTENTS_FILE, json_bytes(contents(subset)))


def _drop_rows(subset: Path) -> None:
    for rows in (subset / "scenes").glob(f"*/{ROWS}"):
        rows.unlink()


def _count(subset: Path, config: Recipe, summary: Summary) -> None:
    summary.scenes = len(config.scene_ids())
    summary.transitions = sum(1 for _ in (subset / "scenes").glob("*/traj_*"))
    with (subset / config.tasks_file).open() as lines:
        summary.questions.update(json.loads(line)["task_type"] for line in lines)
    summary.left_out.update(json.loads((subset / LEFT_OUT_FILE).read_bytes()))
