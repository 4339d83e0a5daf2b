"""Labels for transitions that exist already: which source, read how, and what is declared about it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from geom.scale import Scale
from synth.contents import scene_folders
from synth.detect import Detector
from synth.estimate_depth import DepthModel
from synth.mistakes import check_frames
from synth.motion import Asked
from synth.objects import FILE as OBJECTS_FILE
from synth.objects import Masks, Objects, Outlines, read_objects
from synth.photo_world import PhotoWorld
from synth.recorded_world import RecordedWorld
from synth.source import Frame, Source, SourceScene, frame_name
from synth.sources import read_rigid
from synth.spoken import MAX_LIFT_M, MAX_TILT_DEG, Limits
from synth.stages import Stages
from synth.tasks import TASKS
from synth.user_photo import user_photo
from synth.worlds import SUBSETS, WORLD_MODELS, World


@dataclass(frozen=True)
class LabelConfig:
    """Everything that the bytes of a labelled subset depend on.

    Args:
        source: folder that a reader reads.
        scale: `as_read`, or `metric` where the user declares that lengths are metres.
        objects: file of objects; `objects.json` in the source unless given.
        frames: at most so many of each clip.
        pairs: at most so many transitions of each clip.
        trust_source: label it though its depths contradict its poses or intrinsics (`synth.mistakes`).
        detector: folder of a zero-shot detector that finds the objects, if no file tells them (`synth.detect`).
        kinds: what it looks for.
        depth_model: folder of a model that guesses the depth of photographs without (`synth.estimate_depth`).
        max_tilt_deg, max_lift_m: how far from planar a motion may be that is said in actions (`synth.spoken.Limits`).
        motion, unchecked, keep_undecided: which motion is labelled, and what a check must say (`synth.motion.Asked`).

    Raises:
        ValueError: if a field is out of its bounds, named first, or the source or the objects cannot be read.
    """

    source: Path
    source_format: str = "auto"
    scale: str = "as_read"
    objects: Path | None = None
    seed: int = 0
    tasks: tuple[str, ...] = tuple(TASKS)
    phrasing: str = "mixed"
    frames: int = 24
    pairs: int | None = None
    max_tilt_deg: float = MAX_TILT_DEG
    max_lift_m: float = MAX_LIFT_M
    trust_source: bool = False
    detector: Path | None = None
    kinds: tuple[str, ...] = ()
    depth_model: Path | None = None
    motion: str = "commanded"
    unchecked: bool = False
    keep_undecided: bool = False

    def __post_init__(self) -> None:
        read_rigid.cache_clear()  # the folder may have changed since it was last read
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
        if self.scale not in ("as_read", "metric"):
            raise ValueError(f"scale must be 'as_read' or 'metric', got {self.scale!r}")
        if self.frames < 2:
            raise ValueError(f"frames must be 2 or more, got {self.frames}")
        Limits(self.max_tilt_deg, self.max_lift_m)
        if self.detector is not None and self.objects is not None:
            raise ValueError("objects must come from a file or from a detector, got both")
        if self.kinds and self.detector is None:
            raise ValueError(f"kinds are what a detector looks for, but there is no detector: {', '.join(self.kinds)}")
        if self.pairs is not None and self.pairs < 1:
            raise ValueError(f"pairs must be 1 or more, got {self.pairs}")
        asked = self._asked
        if asked.is_executed and self.scale == "metric":
            raise ValueError("scale must be as_read with motion executed, whose lengths are measured or unknown")
        if self.depth_model is not None and self._read.source_format != "photo":
            raise ValueError(f"depth_model guesses depth of photographs alone, but this is {self._read.source_format}")
        # Read here, so that a source that cannot be read is refused before a folder is made for its labels.
        if not any(scene.clips for scene in self._read.scenes):
            cause = next(iter(self._read.left_out), "it holds none")
            raise ValueError(f"{self.source} must have at least one clip to label: {cause}")
        _ = self._objects
        for model in (self._objects, self._guess):
            if isinstance(model, Detector | DepthModel):
                model.ready()
        self._refuse_doubtful_names()
        if not self.trust_source:
            self._refuse_mistakes()

    def _refuse_doubtful_names(self) -> None:
        """Refuse masks or outlines of frames that share their name with another, as those of several clips do."""
        if not isinstance(self._objects, Masks | Outlines):
            return
        pictures: dict[str, Path] = {}
        for frame in (frame for scene in self._scenes for clip in scene.clips for frame in clip.frames):
            name = frame_name(frame.picture)
            if (other := pictures.setdefault(name, frame.picture)) != frame.picture:
                raise ValueError(
                    f"masks and outlines tell frames by their names, which must differ, but {name} is {frame.picture}"
                    f" and {other}; label each folder by itself, or give the pictures other names"
                )

    def _refuse_mistakes(self) -> None:
        """Refuse a source whose depths contradict its poses or intrinsics."""
        for scene in self._scenes:
            for clip in scene.clips:
                found = check_frames(clip.frames)
                if found.verdict == "contradicts":
                    raise ValueError(
                        f"{self.source} must agree with its own depth, but in {scene.scene_id}/{clip.clip_id}"
                        f" {found.sentence}; correct it, or say --trust-source"
                    )

    def __getstate__(self) -> dict[str, Any]:
        """Only what was asked for: each process reads the source once, and does not get all of it with every scene."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def _read(self) -> Source:
        return read_rigid(self.source, self.source_format)

    @cached_property
    def _scenes(self) -> list[SourceScene]:
        return [scene for scene in self._read.scenes if scene.clips and not self._lacks_depth(scene)]

    def _lacks_depth(self, scene: SourceScene) -> bool:
        """Whether a scene is a photograph whose depth nobody tells or guesses."""
        is_photo = self._read.source_format == "photo"
        return is_photo and self.depth_model is None and scene.clips[0].frames[0].z_depth is None

    @cached_property
    def _objects(self) -> Objects | None:
        if self.detector is not None:
            return Detector(self.detector, self.kinds)
        path = self.objects or self.source / OBJECTS_FILE
        return read_objects(path) if self.objects or path.is_file() else None

    @cached_property
    def _guess(self) -> DepthModel | None:
        return DepthModel(self.depth_model) if self.depth_model else None

    @property
    def teacher(self) -> str:
        """Who made the frames: a world model, a camera, or the warp of a photograph."""
        if self._read.source_format == "photo":
            return "depthwarp"
        return self._read.source_format if self._read.source_format in WORLD_MODELS else "recorded"

    @property
    def _asked(self) -> Asked:
        return Asked(self.teacher, self.motion, self.unchecked, self.keep_undecided)

    @property
    def subset(self) -> str:
        """Name of the subset's folder."""
        return SUBSETS[self.teacher]

    @property
    def tasks_file(self) -> str:
        """Name of the file that holds the questions."""
        return "tasks.jsonl"

    @property
    def counts_unsuited(self) -> bool:
        """The motions are what they are: which task they do not suit is counted."""
        return True

    def settings(self) -> dict[str, Any]:
        """What the user asked for, and a fingerprint of what was read; no path, so that places do not matter."""
        return {
            "num_scenes": len(self._scenes),
            "seed": self.seed,
            "tasks": self.tasks,
            "teacher": self.teacher,
            "phrasing": self.phrasing,
            "labels_only": False,
            "is_demo": False,
            "source": self.source.resolve().name,
            "source_format": self._read.source_format,
            "source_sha256": self._fingerprint(),
            "scale": self.scale,
            "frames": self.frames,
            "pairs": self.pairs,
            "max_tilt_deg": self.max_tilt_deg,
            "max_lift_m": self.max_lift_m,
            "trust_source": self.trust_source,
            "detector": self.detector and self.detector.name,
            "kinds": self.kinds,
            "depth_model": self.depth_model and self.depth_model.name,
            "motion": self.motion,
            "unchecked": self.unchecked,
            "keep_undecided": self.keep_undecided,
        }

    def _fingerprint(self) -> str:
        """SHA-256 of poses, intrinsics, words, names and sizes of all rasters, and of the file of objects."""
        digest = hashlib.sha256()
        for scene in self._scenes:
            for clip in scene.clips:
                said = [scene.scene_id, clip.clip_id, clip.told, clip.key_frames, clip.scale.to_dict()]
                digest.update(json.dumps(said).encode())
                for frame in clip.frames:
                    numbers = frame.T_world_cam.matrix().tolist(), frame.camera.K.tolist(), frame.units_per_m
                    digest.update(json.dumps([*map(_name_and_size, self._rasters(frame)), *numbers]).encode())
        path = self.objects or self.source / OBJECTS_FILE
        if self._objects is not None and self.detector is None:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _rasters(self, frame: Frame) -> tuple[Path, ...]:
        """Picture, depth and mask of a frame, as far as it has them."""
        mask = self._objects.path(frame) if isinstance(self._objects, Masks) else None
        return tuple(path for path in (frame.picture, frame.z_depth, mask) if path is not None and path.is_file())

    def scene_ids(self) -> list[str]:
        """Names of the scenes, in order."""
        return [scene.scene_id for scene in self._scenes]

    def open(self, index: int, stages: Stages) -> World:
        """Build the scene with this index."""
        if self.teacher == "depthwarp":
            return self._photo_world(self._scenes[index], index, stages)
        return RecordedWorld(
            self._scenes[index],
            self._without_root,
            self._asked,
            self._objects,
            stages,
            scale=self._declared_scale(),
            limits=Limits(self.max_tilt_deg, self.max_lift_m),
            most_frames=self.frames,
            most_pairs=self.pairs,
            seed=(self.seed, index),
        )

    def _photo_world(self, scene: SourceScene, index: int, stages: Stages) -> PhotoWorld:
        left_out: Counter[str] = Counter()
        photo = user_photo(scene.clips[0], self._objects, self._declared_scale(), self._guess, left_out)
        source = f"photograph {scene.clips[0].frames[0].picture.name}, as the user gave it"
        seed = np.random.SeedSequence([self.seed, index])
        counts = {self._without_root(cause): count for cause, count in left_out.items()}
        return PhotoWorld(photo, scene.scene_id, source, seed, stages, counts)

    def _without_root(self, message: object) -> str:
        """A message in which files are named from the source's folder on, wherever that lies."""
        text = str(message)
        for root in (self.source, self.source.resolve(), *([self.objects.parent] if self.objects else [])):
            text = text.replace(f"{root}/", "")
        return text

    def _declared_scale(self) -> Scale | None:
        if self.scale == "as_read":
            return None
        return Scale("metric", f"declared by the user (--scale metric); the source is {self._read.source_format}")

    def left_out(self) -> Counter[str]:
        """What the reader could not read."""
        counts = Counter({f"source: {self._without_root(c)}": n for c, n in self._read.left_out.items()})
        if bare := sum(self._lacks_depth(scene) for scene in self._read.scenes if scene.clips):
            counts["source: a photograph without depth, and no --depth-model to guess it"] += bare
        return counts


def _name_and_size(path: Path) -> tuple[str, int]:
    return path.name, path.stat().st_size


def said_of_clips(subset: Path) -> dict[str, Any]:
    """What the scenes of a labelled subset say of their clips: scales, where poses contradict words, and verdicts."""
    scales: set[str] = set()
    disagreements: dict[str, str] = {}
    verdicts: Counter[str] = Counter()
    for folder in scene_folders(subset):
        scene = json.loads((folder / "scene.json").read_bytes())
        for clip_id, clip in scene.get("clips", {}).items():
            scales.add(f"{clip['scale']['status']}: {clip['scale']['source']}")
            verdicts.update([clip["check"]["verdict"]] if clip["check"] else [])
            if clip["disagreement"]:
                disagreements[f"{scene['scene_id']}/{clip_id}"] = clip["disagreement"]
    return {"scales": sorted(scales), "disagreements": disagreements, "verdicts": dict(verdicts)}
