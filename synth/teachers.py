"""World models as teachers: what one is asked for, what it must be told, and the bundle that its pictures become.

A teacher is somebody else's program, installed apart from this one and never imported. Each has one file
(`teacher_svc`, `teacher_hy`, `teacher_worldfm`) in which its conventions and its scale live: it writes what the program
reads, says how it is called, and turns what it wrote into a bundle in the layout of World2VLM that `synth.sources`
reads. `synth.imagine` runs them.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from geom.actions import ActionSequence, canonicalise, micro_steps
from synth.files import image_png, json_bytes, sha256, write_whole
from synth.safe_read import read_picture

_LONGEST_ID = 80
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Job:
    """One trajectory to imagine."""

    anchor: Path
    """The picture that it starts from."""
    scene_id: str
    """Of the picture's name and content, so that two pictures of one name do not collide."""
    traj_id: str
    actions: ActionSequence

    @property
    def name(self) -> str:
        """Which trajectory of which scene, for people."""
        return f"{self.scene_id}/traj_{self.traj_id}"

    @property
    def bundle(self) -> Path:
        """Where it lies in a tree."""
        return Path("scenes") / self.scene_id / f"traj_{self.traj_id}"


def jobs_of(anchors: Sequence[Path], sequences: Sequence[ActionSequence]) -> list[Job]:
    """Every anchor with every sequence, once each: the same picture under two names is one scene.

    Raises:
        OSError: if an anchor cannot be read.
        ValueError: if a sequence is empty.
    """
    if any(not actions for actions in sequences):
        raise ValueError("a trajectory needs at least one action, got none; is there an empty line?")
    jobs: dict[tuple[str, str], Job] = {}
    scenes: dict[str, str] = {}
    for anchor in anchors:
        digest = sha256(anchor.read_bytes())[:12]
        scene_id = scenes.setdefault(digest, f"{_slug(anchor.stem)}-{digest}")
        for actions in sequences:
            job = Job(anchor, scene_id, _traj_id(actions), actions)
            jobs.setdefault((job.scene_id, job.traj_id), job)
    return list(jobs.values())


def _slug(stem: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in stem)
    return kept[:40].strip("_-") or "scene"


def _traj_id(actions: ActionSequence) -> str:
    name = "_".join(actions.tokens())
    return name if len(name) <= _LONGEST_ID else f"{name[: _LONGEST_ID - 9]}_{sha256(name.encode())[:8]}"


@dataclass(frozen=True, kw_only=True)
class Teacher(ABC):
    """How one program is told what to imagine, started and read. Holds no state between the three."""

    name: ClassVar[str]
    scripts: ClassVar[tuple[str, ...]]
    """Where what is started may lie in `root`; the first that is there counts."""
    ours: ClassVar[tuple[str, ...]]
    """Arguments that `extra` may not set, for a bundle says what they were."""
    install: ClassVar[str]
    """What to do where it is missing."""

    root: Path | None = None
    """Folder that the program was installed into."""
    python: Path | None = None
    """Interpreter of the program; that of an environment in its folder, else ours."""
    hfov: float | None = None
    """Horizontal field of view of the anchors, radians, where the program can be told."""
    seed: int = 0
    extra: tuple[str, ...] = ()
    """More arguments of the program, as they are."""

    def located(self) -> Teacher:
        """The same teacher, its folder found where that can be done."""
        return self

    def __post_init__(self) -> None:
        if taken := [name for word in self.extra if (name := word.partition("=")[0]) in self.ours]:
            raise ValueError(f"--teacher-args must leave {taken[0]} alone: the bundle would not say what was shown")

    @property
    def script(self) -> str:
        """What is started, in `root`."""
        there = (script for script in self.scripts if self.root and (self.root / script).is_file())
        return next(there, self.scripts[0])

    def check(self) -> None:
        """Refuse to begin where the program is missing.

        Raises:
            ValueError: one line that says what to install and which option points at it.
        """
        if self.root is None or not (self.root / self.script).is_file():
            where = "is not installed here" if self.root is None else f"has no {self.script} in {self.root}"
            raise ValueError(f"{self.name} {where}; {self.install}, then --teacher-root FOLDER")
        if self.python is not None and not self.python.is_file():
            raise ValueError(f"--teacher-python must be an interpreter, but {self.python} is not there")

    def starter(self) -> list[str]:
        """Interpreter and script, absolute: the first words of every command."""
        root = (self.root or Path(self.name)).absolute()
        own = (root / folder / "bin" / "python" for folder in (".venv", "venv"))
        python = self.python or next((path for path in own if path.is_file()), Path(sys.executable))
        return [str(python.absolute()), str(root / self.script)]

    def folder(self, staging: Path) -> Path:
        """The working folder of the process."""
        return staging

    def environment(self) -> dict[str, str]:
        """Variables that the process has besides ours."""
        return {}

    @abstractmethod
    def write_inputs(self, job: Job, staging: Path) -> None:
        """Write what the program reads into a folder that is there and empty.

        Raises:
            ValueError: if the anchor cannot be read, or the program cannot be told this motion.
        """

    @abstractmethod
    def command(self, job: Job, staging: Path) -> list[str]:
        """The words of the command, no shell between."""

    @abstractmethod
    def collect(self, job: Job, staging: Path, bundle: Path) -> None:
        """Turn what the program wrote into a bundle, traj.json last.

        Raises:
            ValueError: if a frame is missing, of another size or damaged, or was made for other poses.
        """


def write_covered(anchor: Path, target: Path, size: tuple[int, int]) -> None:
    """Write an anchor scaled to cover (width, height) pixels and cropped at the centre, as PNG.

    The programs round to whole pixels when they crop; what fits already is left alone, so K stays exact.

    Raises:
        ValueError: if the anchor is no whole picture.
    """
    picture = Image.fromarray(read_upright(anchor))
    cover = min(picture.width / size[0], picture.height / size[1])
    left, top = (picture.width - cover * size[0]) / 2, (picture.height - cover * size[1]) / 2
    box = (left, top, left + cover * size[0], top + cover * size[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(target, np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box=box)))


def read_upright(anchor: Path) -> NDArray[np.uint8]:
    """A picture as it is seen, sRGB, (h, w, 3): turned as its EXIF says, which no program reads.

    Raises:
        ValueError: if it is no whole picture.
    """
    image = read_picture(anchor)
    with Image.open(anchor) as picture:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    upright = Image.fromarray(image)
    upright.getexif()[_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(upright))


def upright_size(anchor: Path) -> tuple[int, int]:
    """Width and height of a picture as it is seen, pixels; raises as `read_upright`."""
    height, width, _ = read_upright(anchor).shape
    return width, height


def write_picture(target: Path, image: NDArray[np.uint8]) -> None:
    """Write sRGB, (h, w, 3), as PNG."""
    write_whole(target, image_png(np.ascontiguousarray(image)))


def copy_frames(sources: Sequence[Path], folder: Path, digits: int, size: tuple[int, int]) -> list[str]:
    """Put frames into `samples-rgb`, counted from 0; returns their names inside the bundle.

    Raises:
        ValueError: if one is missing, damaged, or not of the size (width, height).
    """
    (folder / "samples-rgb").mkdir(parents=True)
    names = [f"samples-rgb/{i:0{digits}d}.png" for i in range(len(sources))]
    for source, name in zip(sources, names, strict=True):
        image = read_picture(source)
        check_size((image.shape[1], image.shape[0]), size, source.name)
        write_picture(folder / name, image)
    return names


def check_size(got: tuple[int, int], wanted: tuple[int, int], what: str) -> None:
    """Raises ValueError if a frame is not of the size (width, height) that its K belongs to."""
    if got != wanted:
        raise ValueError(f"{what} must have {wanted[0]} x {wanted[1]} pixels, got {got[0]} x {got[1]}")


def write_svc_bundle(
    job: Job,
    bundle: Path,
    names: Sequence[str],
    T_cam0_cam: Sequence[Any],
    K: Sequence[Sequence[float]],
    size: tuple[int, int],
    **params: float,
) -> None:
    """Write the traj.json of SVC's and WorldFM's trees.

    Args:
        job: what was asked.
        bundle: its folder.
        names: frames inside it.
        T_cam0_cam: a 4 x 4 list for each frame.
        K: as the tree keeps it: of the anchor for SVC, of the frame for WorldFM.
        size: of the frames, (width, height) pixels.
        params: what else the program was told, `camera_scale`.
    """
    groups = micro_steps(job.actions)
    steps = [action for group in groups for action in group]
    keys = [sum(map(len, groups[:i])) for i in range(len(groups) + 1)]
    (fx, _, cx), (_, fy, cy), _ = K
    lens = {"width": size[0], "height": size[1], "fx": fx, "fy": fy, "cx": cx, "cy": cy, "K": K}
    frames = [
        {"id": i + 1, "file_path": name, "path": name, **lens, "c2w": T}
        for i, (name, T) in enumerate(zip(names, T_cam0_cam, strict=True))
    ]
    told = [{"act": action.kind.value, "magnitude": action.amount} for action in job.actions]
    counts = {"num_actions": len(told), "num_frames": len(frames), "key_frame_indices": keys}
    trajectory = {
        "traj_params": {"kind": "multi_step", **counts, "actions": told, **params},
        "frame_ids_kept": list(range(len(frames))),
        "actions_step": [[], *([action.token()] for action in steps)],
        "actions_prefix": [list(canonicalise(steps[:i]).tokens()) for i in range(len(frames))],
        "transforms": {"frames": frames},
        "key_frame_indices": keys,
    }
    write_whole(bundle / "traj.json", json_bytes(trajectory))
