"""Which reader reads a folder: told by what lies in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from geom import so3
from geom.se3 import SE3
from synth.files import unique_names
from synth.read_colmap import is_colmap, read_colmap
from synth.read_hy import is_hy, read_hy
from synth.read_mesh import SUFFIXES
from synth.read_nerfstudio import is_nerfstudio, read_nerfstudio
from synth.read_photo import is_photo, read_photo
from synth.read_re10k import is_re10k, read_re10k
from synth.read_rgbd import is_rgbd, read_rgbd
from synth.read_svc import is_svc, read_svc
from synth.source import Clip, Reader, Source

FORMATS: dict[str, tuple[Callable[[Path], bool], Reader]] = {
    "svc": (is_svc, read_svc),
    "hy_worldplay": (is_hy, read_hy),
    "nerfstudio": (is_nerfstudio, read_nerfstudio),
    "colmap": (is_colmap, read_colmap),
    "rgbd": (is_rgbd, read_rgbd),
    "photo": (is_photo, read_photo),
    "re10k": (is_re10k, read_re10k),
}
"""Name of a format to how a folder of it is told and read."""

_ROUNDED = 1e-6

_MESHES = "questions about mesh files are made by theodolite generate --scenes"


def read_source(folder: Path, source_format: str = "auto") -> Source:
    """Read trajectories that exist already.

    Args:
        folder: where they lie.
        source_format: of `FORMATS`, or `auto` to tell it by the content.

    Raises:
        ValueError: if the folder is not there, its format is unknown or not single, or it is damaged as a whole.
    """
    if not folder.is_dir():
        hint = f"; {_MESHES}" if folder.suffix.lower() in SUFFIXES else ""
        raise ValueError(f"a source is a folder, but {folder} is {'a file' if folder.exists() else 'not there'}{hint}")
    if source_format == "auto":
        source_format = _told(folder)
    if source_format not in FORMATS:
        raise ValueError(f"source format must be auto or one of {', '.join(FORMATS)}, got {source_format!r}")
    return FORMATS[source_format][1](folder)


def _told(folder: Path) -> str:
    fitting = [name for name, (fits, _) in FORMATS.items() if fits(folder)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(f"{folder} looks like {' and like '.join(fitting)}; say which by --source-format")
    names = sorted(path.name for path in folder.iterdir())
    found = ", ".join(names[:8]) or "nothing"
    hint = f"; {_MESHES}" if any(name.lower().endswith(SUFFIXES) for name in names) else ""
    raise ValueError(f"{folder} has none of the formats {', '.join(FORMATS)}; found in it: {found}{hint}")


def rigid(clip: Clip) -> Clip:
    """The clip with exact rotations: poses are often written with few digits; a note says by how much they were off."""
    R = SE3.stack([frame.T_world_cam for frame in clip.frames]).R
    exact = so3.nearest(R)
    off = float((exact - R).abs().max())
    poses = (SE3(exact[n], frame.T_world_cam.t) for n, frame in enumerate(clip.frames))
    frames = tuple(replace(frame, T_world_cam=pose) for frame, pose in zip(clip.frames, poses, strict=True))
    notes = (f"rotations were rounded, off by up to {off:.1g}, and made exact",) if off > _ROUNDED else ()
    return replace(clip, frames=frames, notes=(*clip.notes, *notes))


@lru_cache(maxsize=2)
def read_rigid(folder: Path, source_format: str) -> Source:
    """A source with exact rotations, and scenes under names that a folder may have, each once; raises as `read_source`.

    Kept, because every scene of it is made from the same reading.
    """
    source = read_source(folder, source_format)
    named = zip(unique_names(scene.scene_id for scene in source.scenes), source.scenes, strict=True)
    scenes = [
        replace(scene, scene_id=name, called=scene.scene_id, clips=tuple(map(rigid, scene.clips)))
        for name, scene in named
    ]
    return replace(source, scenes=scenes)
