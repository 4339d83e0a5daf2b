"""Simulated scenes from files: which files, how many cameras in each, and where those can stand."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from synth.files import unique_names
from synth.mesh_scene import MeshScene
from synth.mesh_world import MeshWorld
from synth.pipeline import GenerateConfig
from synth.presets import PRESETS
from synth.read_mesh import GLTF, SUFFIXES, read_mesh_scene
from synth.stages import Stages

# Kept, because all cameras of a file are made from the same reading.
_read = lru_cache(maxsize=1)(read_mesh_scene)


@dataclass(frozen=True)
class _Camera:
    """One scene of the dataset: a camera in a file."""

    scene_id: str
    file: Path
    seed: tuple[int, ...]


@dataclass(frozen=True)
class _Found:
    """Cameras that have a place, those that have none by cause, and a fingerprint of all that was read."""

    cameras: tuple[_Camera, ...]
    left_out: Counter[str]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class MeshConfig(GenerateConfig):
    """Everything that the bytes of a subset of scenes from files depend on.

    Args:
        num_scenes: cameras in each file; each is a scene of the dataset.
        scenes: a mesh file, or a folder with some, also in folders below.
        up, units_per_m: as for `synth.read_mesh.read_mesh_scene`, of every file.

    Raises:
        ValueError: as for `GenerateConfig`, or if there is no mesh file, glTF is mixed with others whose up and unit
            must be stated, or no file can be read or has a place for a camera.
    """

    scenes: Path
    up: str | None = None
    units_per_m: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher != "render":
            raise ValueError(f"teacher must be render for scenes from files, got {self.teacher!r}")
        if self.without_kinds:
            raise ValueError(f"without_kinds is for our own rooms: files hold what they hold, got {self.without_kinds}")
        _read.cache_clear()  # files may have changed since they were last read
        # Looked for here, so that scenes without a place for a camera are refused before a folder is made for them.
        _ = self._found

    @cached_property
    def _files(self) -> list[Path]:
        if not self.scenes.is_dir():
            return [self.scenes]
        files = sorted(path for path in self.scenes.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not files:
            raise ValueError(f"scenes must hold mesh files ({', '.join(SUFFIXES)}), but {self.scenes} has none")
        is_stated = self.up is not None or self.units_per_m is not None
        if is_stated and len({path.suffix.lower() in GLTF for path in files}) > 1:
            raise ValueError(
                f"up and units_per_m must be meant for every file, but {self.scenes} has glTF, which says both itself, "
                "beside OBJ or PLY, which say neither: take their folders one by one"
            )
        return files

    @cached_property
    def _found(self) -> _Found:
        """Read every file and look for every place once; it goes along to the workers."""
        left_out, cameras, digest = Counter[str](), list[_Camera](), hashlib.sha256()
        names = unique_names(path.stem for path in self._files)
        for n, (name, path) in enumerate(zip(names, self._files, strict=True)):
            try:
                scene = self._scene(path)
            except ValueError as error:
                left_out[f"source: {self._without_root(error)}"] += 1
                continue
            digest.update(json.dumps(scene.to_dict()).encode())
            tries = (_Camera(f"{name}_{self.seed}_{k:03d}", path, (self.seed, n, k)) for k in range(self.num_scenes))
            cameras += self._placed(scene, tries, left_out)
        if not cameras:
            others = f"; no other of {len(self._files)} files fits either" if len(self._files) > 1 else ""
            raise ValueError(next(iter(left_out)).removeprefix("source: ") + others)
        return _Found(tuple(cameras), left_out, digest.hexdigest())

    def _placed(self, scene: MeshScene, tries: Iterator[_Camera], left_out: Counter[str]) -> Iterator[_Camera]:
        for camera in tries:
            try:
                self._world(scene, camera, Stages())
            except ValueError as error:
                left_out[f"source: {self._without_root(camera.file)}: {error}"] += 1
            else:
                yield camera

    def _scene(self, path: Path) -> MeshScene:
        return _read(path, self.up, self.units_per_m)

    def _world(self, scene: MeshScene, camera: _Camera, stages: Stages) -> MeshWorld:
        return MeshWorld(
            scene,
            camera.scene_id,
            image_size=self.image_size,
            seed=np.random.SeedSequence(camera.seed),
            preset=PRESETS[self.preset],
            labels_only=self.labels_only,
            stages=stages,
        )

    def _without_root(self, message: object) -> str:
        """A message in which files are named from the folder on, wherever that lies."""
        root = self.scenes if self.scenes.is_dir() else self.scenes.parent
        return str(message).replace(f"{root}/", "")

    def settings(self) -> dict[str, Any]:
        """What the user asked for, and a fingerprint of what was read; no path, so that places do not matter."""
        read = {"scenes": self.scenes.resolve().name, "scenes_sha256": self._found.sha256}
        return {**super().settings(), "num_scenes": len(self._found.cameras), **read}

    def scene_ids(self) -> list[str]:
        """Names of the scenes, in order."""
        return [camera.scene_id for camera in self._found.cameras]

    def open(self, index: int, stages: Stages) -> MeshWorld:
        """Build the scene with this index."""
        camera = self._found.cameras[index]
        with stages("read"):
            scene = self._scene(camera.file)
        return self._world(scene, camera, stages)

    def left_out(self) -> Counter[str]:
        """Files that could not be read, and cameras without a place."""
        return self._found.left_out.copy()
