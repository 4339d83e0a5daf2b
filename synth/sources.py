"""Which reader reads a folder: told by what lies in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synth.read_colmap import is_colmap, read_colmap
from synth.read_hy import is_hy, read_hy
from synth.read_mesh import SUFFIXES
from synth.read_nerfstudio import is_nerfstudio, read_nerfstudio
from synth.read_photo import is_photo, read_photo
from synth.read_re10k import is_re10k, read_re10k
from synth.read_rgbd import is_rgbd, read_rgbd
from synth.read_svc import is_svc, read_svc
from synth.source import Reader, Source

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
