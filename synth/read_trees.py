"""What the two kinds of World2VLM trees have in common: `scenes/<scene>/traj_<id>/traj.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from synth.safe_read import read_json
from synth.source import Clip, Source, SourceScene

_BUNDLES = "scenes/*/traj_*/traj.json"


def has_bundles_with(folder: Path, *keys: str) -> bool:
    """Whether the first traj.json of a tree can be read and has some keys."""
    first = next(iter(sorted(folder.glob(_BUNDLES))), None)
    if first is None:
        return False
    try:
        value = read_json(first)
    except ValueError:
        return False
    return isinstance(value, dict) and all(key in value for key in keys)


def read_tree(folder: Path, source_format: str, read_clip: Callable[[Path, Path | None], Clip]) -> Source:
    """Read every clip of a tree; one that is damaged is counted with its reason and left out.

    Args:
        folder: the tree, above `scenes`.
        source_format: what it is called.
        read_clip: from a traj.json, and the scene's first picture if it is there.

    Raises:
        ValueError: if the folder holds no clip at all.
    """
    left_out: Counter[str] = Counter()
    scenes = []
    for scene in sorted({path.parent.parent for path in folder.glob(_BUNDLES)}):
        anchor = scene / "input" / "000.png"
        anchor = anchor if anchor.is_file() else None
        clips = []
        for path in sorted(scene.glob("traj_*/traj.json")):
            try:
                clips.append(read_clip(path, anchor))
            except ValueError as error:
                left_out[f"{scene.name}/{path.parent.name}: {error}"] += 1
        scenes.append(SourceScene(scene.name, tuple(clips), anchor))
    if not scenes:
        raise ValueError(f"{folder} holds no scenes/<scene>/traj_<id>/traj.json")
    return Source(source_format, scenes, left_out)
