"""What a finished subset holds: a fingerprint of each of its files and counts of its folders, so that a loss shows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from synth.dataset import LEFT_OUT_FILE, PROOFS_FILE, SETTINGS_FILE, TASK_FILES

CONTENTS_FILE = "contents.json"


def contents(subset: Path) -> dict[str, Any]:
    """Lines and SHA-256 of the files of a subset that are there, and how many scenes and trajectories it has."""
    names = (*TASK_FILES, PROOFS_FILE, LEFT_OUT_FILE, SETTINGS_FILE)
    return {
        "scenes": len(scene_folders(subset)),
        "trajectories": sum(1 for _ in (subset / "scenes").glob("*/traj_*")),
        "files": {name: _fingerprint(subset / name) for name in names if (subset / name).is_file()},
    }


def scene_folders(subset: Path) -> list[Path]:
    """The folders of a subset's scenes, in order."""
    return sorted(path for path in (subset / "scenes").glob("*") if path.is_dir())


def _fingerprint(path: Path) -> dict[str, Any]:
    digest, lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        for line in file:
            digest.update(line)
            lines += 1
    return {"lines": lines, "sha256": digest.hexdigest()}
