"""The dataset's README.md: a card that `datasets` reads, with the counts and how it was made."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from synth.dataset import SETTINGS_FILE, find_subsets, tasks_file
from synth.files import write_whole
from synth.worlds import WORLD_MODELS

CARD_FILE = "README.md"

_TITLE = "# Spatial questions with exact answers"
"""The line by which a card of ours is known."""


def write_card(out: Path) -> None:
    """Write README.md for all subsets in a dataset's folder."""
    subsets = [(path, *_counts(path)) for path in find_subsets(out)]
    write_whole(out / CARD_FILE, (_head(subsets) + _body(subsets)).encode())


def check_card(out: Path) -> None:
    """Refuse a folder whose README.md is somebody's own, which `write_card` would replace.

    Raises:
        ValueError: if there is a README.md without the title of our cards.
    """
    card = out / CARD_FILE
    if card.exists() and _TITLE.encode() not in card.read_bytes().splitlines():
        raise ValueError(f"{card} is not the card of a dataset and would be replaced: move it, or choose another --out")


def _counts(subset: Path) -> tuple[dict[str, Any], str, Counter[str]]:
    config = json.loads((subset / SETTINGS_FILE).read_bytes())["config"]
    file = tasks_file(subset)
    with file.open(encoding="utf-8") as lines:
        return config, file.name, Counter(json.loads(line)["task_type"] for line in lines)


def _head(subsets: list[Any]) -> str:
    lines = ["---", "license: other", "task_categories:", "- visual-question-answering", "configs:"]
    for path, _, file, _ in subsets:
        lines += [f"- config_name: {path.name}", "  data_files:", f"  - split: train\n    path: {path.name}/{file}"]
    return "\n".join([*lines, "---", ""])


def _body(subsets: list[Any]) -> str:
    rows = card_table({path.name: counts for path, _, _, counts in subsets})
    how = [_how(path, config) for path, config, _, _ in subsets]
    return "\n".join([_LEAD, *rows, "", *how, _TAIL])


def card_table(questions: dict[str, Counter[str]]) -> list[str]:
    """Lines of the table that counts the questions of each subset by task."""
    tasks = sorted({task for counts in questions.values() for task in counts})
    rows = ["| subset | " + " | ".join(tasks) + " | all |", "|---|" + "---|" * (len(tasks) + 1)]
    for name, counts in questions.items():
        cells = [str(counts[task]) for task in tasks]
        rows.append(f"| {name} | " + " | ".join([*cells, str(counts.total())]) + " |")
    return rows


def _how(path: Path, config: dict[str, Any]) -> str:
    settings = ", ".join(f"{key} {_plain(value)}" for key, value in config.items())
    pictures = " Labels only: pictures were not asked for." if config["labels_only"] else ""
    return f"**{path.name}.** {_about(config)}{pictures} Settings: {settings}.\n"


def _about(config: dict[str, Any]) -> str:
    if "scenes_sha256" in config:
        return _MESHES
    if config.get("motion") == "executed":
        return _EXECUTED
    if config["teacher"] in WORLD_MODELS:
        return f"{_WORLD_MODEL} {_UNCHECKED if config['unchecked'] else _checked(config)} {_TERMS}"
    if config["teacher"] in _TEXTS:
        return _TEXTS[config["teacher"]]
    if "source" in config:
        return f"{_PHOTO} {_USERS}"
    # Imported where it is cited: verify reads the table alone, and has its workers to start.
    from synth.photo import CITATION

    return f"{_PHOTO} {CITATION}"


def _checked(config: dict[str, Any]) -> str:
    return f"{_CHECKED} {_KEPT}" if config["keep_undecided"] else _CHECKED


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


_ROOMS = (
    "Simulated rooms, ray cast: picture, depth and ids are exact. Made by Theodolite; Apache-2.0. Some "
    "surfaces carry photographs and textures from scikit-image's data folder (their terms are in its README)."
)
_MESHES = (
    "Simulated scenes from mesh files, ray cast: picture, depth and ids are exact. Each scene.json holds the geometry "
    "itself; models and their terms are those of the files, which this card does not know."
)
_RECORDED = (
    "Frames that were recorded with poses, labelled by geometry; pictures and their terms are those of the source, "
    "which this card does not know."
)
_WORLD_MODEL = "Frames that a world model made, labelled by the poses it was given."
_UNCHECKED = "Nobody has checked that the frames show that motion, and every proof says `unchecked`."
_CHECKED = (
    "A check compared the frames with that motion: a clip that does not show it is left out, its scene.json says why, "
    "and `left_out.json` counts it."
)
_KEPT = "Clips that the check could not decide are in, and their proofs say `undecided`."
_TERMS = "Pictures and their terms are those of the source."
_EXECUTED = (
    "Frames labelled by the motion that was measured in them, whatever their camera was told; scene.json says what a "
    f"check of the told motion found. {_TERMS}"
)
_TEXTS = {"render": _ROOMS, "recorded": _RECORDED}
_PHOTO = "A real photograph with measured depth, seen from new places by warping; what was never seen stays empty."

_USERS = "The photograph and its terms are those of the source, which this card does not know."

_LEAD = f"""{_TITLE}

Egocentric camera motions, the view before and after, and questions about them in the layout of World2VLM
(arXiv 2604.26934): A1 motion distance, A2 motion orientation, A3 several steps, A4 is a claimed motion true, D1 box
after the motion, D2 gone or visible, D3 which motion, D4 same object or not. Every answer was computed from geometry;
the same line of `proofs.jsonl` holds what decides it, and `theodolite verify` computes it again by other means.
"""

_TAIL = """Files of a subset: one question a line in `tasks*.jsonl` (id, task_type, messages, images), its proof on the
same line of `proofs.jsonl`, `scenes/<scene>/` with scene.json, the anchor in `input/`, and a folder for each
trajectory (traj.json, samples-rgb; depth as 16-bit z-depth in mm, 0 unknown; instances: 0 the room, k + 1 the k-th
item of scene.json, 65535 unknown). `left_out.json` counts what was not asked, by cause;
`generation.json` holds the settings, `contents.json` the fingerprints of these files.

Conventions: camera x right, y down, z forward; T_a_b takes b-coordinates to a-coordinates; metres; the centre of the
first pixel is (0.5, 0.5); boxes in words are thousandths of the image, true pixels are in the proof.
"""
