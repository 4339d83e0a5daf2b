"""A dataset handed to a trainer: split by scene, boxes in the model's unit, pictures beside it, nothing lost."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synth import exact
from synth.box_units import BoxUnit, box_text, box_unit
from synth.dataset import Row, count_lines, find_subsets, read_rows, tasks_file
from synth.files import json_bytes, link_or_copy, write_whole
from synth.prompts import BoxWords, question_text
from synth.splits import assign_splits, parse_splits, pick_per_task, scene_key

SETTINGS = "conversion.json"


@dataclass(frozen=True)
class ConvertConfig:
    """Everything that the bytes of a conversion depend on, beside the dataset."""

    to: str
    splits: str = "train=0.8,validation=0.1,test=0.1"
    per_task: str = ""
    """`split=N,...`: at most N questions of each task in that split."""
    model_family: str = "generic"
    min_pixels: int | None = None
    max_pixels: int | None = None
    seed: int = 0

    @property
    def unit(self) -> BoxUnit:
        """Unit of the boxes in questions and answers."""
        return box_unit(self.model_family, self.min_pixels, self.max_pixels)

    @property
    def limits(self) -> dict[str, int]:
        """Most questions of each task, by split.

        Raises:
            ValueError: if a part is not split=N, or the split is unknown.
        """
        limits = {}
        for part in filter(None, self.per_task.split(",")):
            name, _, number = part.strip().partition("=")
            if name not in parse_splits(self.splits) or not number.isdigit() or int(number) < 1:
                raise ValueError(
                    f"per-task reads split=N,... with splits of {self.splits!r} and N of 1 or more, got {part!r}"
                )
            limits[name] = int(number)
        return limits


@dataclass(frozen=True)
class Example:
    """One question as a trainer takes it. `prompt` starts with one `<image>` for each picture."""

    example_id: str
    task_type: str
    prompt: str
    answer: str
    pictures: tuple[Path, ...]
    """Files of the dataset."""
    image_size: tuple[int, int]
    boxes_px: tuple[tuple[int, tuple[float, ...]], ...]
    """(picture, box) of each box in the order that prompt and answer name them, true pixels."""
    ground_truth: str
    """What rewards and scorers read, in the same unit as the prompt."""
    row: Row
    scene: str
    """Key of the scene, as `synth.splits.scene_key`."""

    @property
    def picture_names(self) -> tuple[str, ...]:
        """Names that the pictures get in a conversion: subset, scene, trajectory, number, told apart by slashes."""
        return tuple(
            f"images/{subset}/{scene}/{traj.removeprefix('traj_')}_{name}"
            for subset, _, scene, traj, _, name in (path.parts[-6:] for path in self.pictures)
        )

    @property
    def answer_class(self) -> str:
        """The answer of a yes-no question; empty for others."""
        return str(exact.read_truth(self.ground_truth).value) if self.task_type in exact.YES_NO_TASKS else ""


@dataclass
class Conversion:
    """What was written: questions by split and task, and what was left out, by cause."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    advice: list[str] = field(default_factory=list)


Writer = Callable[[Path, Mapping[str, list[Example]], ConvertConfig], list[str]]
"""Writes the splits into an empty folder; returns what a user of them must know, a line each."""


def convert(
    source: Path,
    out: Path,
    config: ConvertConfig,
    writer: Writer,
    *,
    words: BoxWords | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Convert a dataset; `out` is there when it is whole, or not at all.

    Args:
        source: folder of the dataset.
        out: folder to make; one that an earlier conversion made is made anew.
        config: settings.
        writer: of the format.
        words: how questions speak of boxes; from the unit of the model family unless given.
        progress: called with (questions read, questions in all); writing comes after.

    Raises:
        ValueError: if there is no dataset, it has no pictures, its scenes cannot be split, or `out` is somebody else's.
    """
    source, out = source.resolve(), out.resolve()
    shares, limits = parse_splits(config.splits), config.limits
    _check_ours(source, out)
    total = sum(count_lines(tasks_file(subset)) for subset in find_subsets(source)) if progress else 0
    examples = []
    for example in read_examples(source, config.unit, words):
        examples.append(example)
        if progress:
            progress(len(examples), total)
    scenes = assign_splits((e.scene for e in examples), shares, config.seed)
    done = Conversion()
    splits: dict[str, list[Example]] = {name: [] for name in shares}
    for example in examples:
        splits[scenes[example.scene]].append(example)
    for name, limit in limits.items():
        kept = pick_per_task(splits[name], limit, lambda e: (e.example_id, e.task_type, e.answer_class), config.seed)
        done.left_out[f"{name}: more than {limit} of a task"] += len(splits[name]) - len(kept)
        splits[name] = kept
    done.counts = {name: Counter(e.task_type for e in some) for name, some in splits.items()}
    _write(out, splits, config, writer, done)
    return done


def _write(
    out: Path, splits: dict[str, list[Example]], config: ConvertConfig, writer: Writer, done: Conversion
) -> None:
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        done.advice = writer(part, splits, config)
        settings = {
            "config": asdict(config),
            "counts": {name: dict(sorted(tasks.items())) for name, tasks in done.counts.items()},
            "left_out": dict(done.left_out),
            "how_to_use": done.advice,
            "versions": {"theodolite": version("theodolite"), "exact": exact.VERSION},
        }
        write_whole(part / SETTINGS, json_bytes(settings))
        shutil.rmtree(out, ignore_errors=True)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_ours(source: Path, out: Path) -> None:
    if source.is_relative_to(out) or out.is_relative_to(source):
        raise ValueError(f"--out must lie beside the dataset {source}, which stays as it is, not in it or around it")
    if out.exists() and not out.is_dir():
        raise ValueError(f"the output must be a folder, but {out} is a file")
    if out.exists() and any(out.iterdir()) and not (out / SETTINGS).is_file():
        raise ValueError(f"{out} is not empty and holds no {SETTINGS}: it is not ours to replace; choose another --out")


def read_examples(source: Path, unit: BoxUnit, words: BoxWords | None = None) -> Iterator[Example]:
    """The questions of a dataset in the words of a box unit.

    Raises:
        ValueError: if there is no dataset, a line is damaged, or a picture is missing.
    """
    words = words or BoxWords(are=f"Boxes are [x1, y1, x2, y2] {unit.words}.")
    for subset in find_subsets(source):
        key = cache(lambda scene, subset=subset: scene_key(subset / "scenes" / scene))
        for task, proof in read_rows(subset):
            yield _example(subset, task, proof, unit, words, key)


def _example(subset: Path, task: Any, proof: Any, unit: BoxUnit, words: BoxWords, key: Callable[[str], str]) -> Example:
    pictures = tuple(subset / name for name in task["images"])
    for path in pictures:
        if not path.is_file():
            hint = "it was made with --labels-only" if not path.parent.exists() else "is the folder whole?"
            raise ValueError(f"{path} is missing, and trainers need the pictures; {hint}")
    width, height = proof["transition"]["image_size"]
    boxes = [words.mark or box_text(unit.write(box["box_px"], width, height)) for box in proof["boxes"]]
    return Example(
        example_id=task["id"],
        task_type=task["task_type"],
        prompt=question_text(task["task_type"], proof["variant"], asked_in(proof, boxes), words),
        answer=boxes[-1] if task["task_type"] == "D1" else task["messages"][1]["content"],
        pictures=pictures,
        image_size=(width, height),
        boxes_px=tuple((box["image"], tuple(box["box_px"])) for box in proof["boxes"]),
        ground_truth=exact.ground_truth(task, proof, unit),
        row=(task, proof),
        scene=key(proof["transition"]["scene_id"]),
    )


def asked_in(proof: Mapping[str, Any], boxes: list[str]) -> dict[str, Any]:
    """What a question names, with its boxes as they are written here."""
    named = zip(("box", "box_after"), boxes, strict=False)
    return proof["asked"] | {key: box for key, box in named if key in proof["asked"]}


def copy_pictures(out: Path, examples: list[Example]) -> None:
    """Copy the pictures of all examples to where their names say, each file of the dataset once.

    The view that all trajectories of a scene start from is one file there under many names, and is so here: linked to
    its copy, never to the dataset, which a trainer that edits pictures in place would otherwise change.
    """
    copies: dict[tuple[int, int], Path] = {}
    for example in examples:
        for source, name in zip(example.pictures, example.picture_names, strict=True):
            target, stat = out / name, source.stat()
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = copies.setdefault((stat.st_dev, stat.st_ino), target)
            if copy is target:
                shutil.copyfile(source, target)
            else:
                link_or_copy(copy, target)
