"""RealEstate10K camera files: a web address, then one line a frame, beside a folder of the frames.

A line holds the time stamp, fx fy cx cy as shares of the picture's width and height, two zeros, and the 3 x 4
world-to-camera matrix row by row (OpenCV axes). Poses come from structure from motion: one unknown factor of length.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from geom.camera import PinholeCamera
from geom.conventions import from_w2c
from geom.scale import Scale
from synth.safe_read import MAX_JSON_BYTES, picture_size
from synth.source import Clip, Frame, Source, SourceScene

_NUMBERS = 19
_POSE_TOLERANCE = 1e-4
_SUFFIXES = (".png", ".jpg", ".jpeg")
_SCALE = Scale("up_to_scale", "structure from motion of a video (RealEstate10K)")


def is_re10k(folder: Path) -> bool:
    """Whether a folder holds such camera files: text that starts with a web address, then lines of 19 numbers."""
    return any(_looks_right(path) for path in sorted(folder.glob("*.txt"))[:20])


def _looks_right(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        first, second = file.readline(2000), file.readline(2000)
    return first.strip().startswith(("http://", "https://")) and len(second.split()) == _NUMBERS


def read_re10k(folder: Path) -> Source:
    """Read every camera file whose frames lie in `<name>/<time stamp>.png` or `.jpg`.

    Raises:
        ValueError: if no clip at all can be read.
    """
    left_out: Counter[str] = Counter()
    scenes = []
    for path in sorted(folder.glob("*.txt")):
        if not _looks_right(path):
            continue
        frames = _frames(path, left_out)
        if len(frames) < 2:
            left_out[f"{path.name}: fewer than 2 frames have a picture in the folder {path.stem}"] += 1
            continue
        clip = Clip(
            "all", frames, _SCALE, notes=("poses are world-to-camera, inverted; K is in shares of the picture",)
        )
        scenes.append(SourceScene(path.stem, (clip,), frames[0].picture))
    if not scenes:
        raise ValueError(f"{folder} holds no clip of RealEstate10K: {next(iter(left_out), 'no camera file')}")
    return Source("re10k", scenes, left_out)


def _frames(path: Path, left_out: Counter[str]) -> tuple[Frame, ...]:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} is larger than a camera file should be")
    frames = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()[1:], start=2):
        if line.strip():
            try:
                frames.append(_frame(path, line.split()))
            except ValueError as error:
                left_out[f"{path.name} line {number}: {error}"] += 1
    return tuple(frames)


def _frame(path: Path, words: list[str]) -> Frame:
    if len(words) != _NUMBERS or not words[0].isdigit():
        raise ValueError(f"a line must hold a time stamp and 18 numbers, got {len(words)} words")
    try:
        values = torch.tensor([float(word) for word in words[1:]], dtype=torch.float64)
    except ValueError:
        raise ValueError("a line must hold numbers alone") from None
    folder = path.with_suffix("")
    picture = next((folder / f"{words[0]}{s}" for s in _SUFFIXES if (folder / f"{words[0]}{s}").is_file()), None)
    if picture is None:
        raise ValueError("its picture is missing")
    if bool((values[4:6] != 0).any()):
        raise ValueError(f"the fifth and sixth number bend lines and must be 0, got {values[4:6].tolist()}; undistort")
    width, height = picture_size(picture)
    fx, fy, cx, cy = (values[:4] * values.new_tensor([width, height, width, height])).tolist()
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    pose = from_w2c(values[6:].reshape(3, 4), tolerance=_POSE_TOLERANCE)
    return Frame(picture, PinholeCamera(K, width, height), pose)
