"""RGB-D sequences: colour, 16-bit z-depth registered to it, and a camera-to-world pose for each frame.

Three layouts are told by their files:
- TUM: `rgb.txt`, `depth.txt` and `groundtruth.txt`, whose lines begin with time stamps, matched to the nearest;
- 7-Scenes: `<name>.color.png`, `<name>.depth.png`, `<name>.pose.txt` with a 4 x 4 matrix;
- numbered: `<n>.color.*`, `<n>.depth.png` and one `pose.txt` with a line `tx ty tz qx qy qz qw` a frame, in order.

None of them says what its intrinsics or the unit of its depth are, so `camera.json` beside them must:
`{"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "depth_units_per_m": 5000, "pixel_centers": "whole"}`, where `whole`
means that the first pixel's centre is (0, 0), as OpenCV counts, and `half` that it is (0.5, 0.5); and, where poses are
quaternions, `"quaternion": "xyzw"` or `"wxyz"`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geom.camera import PinholeCamera
from geom.conventions import from_c2w, from_tum, intrinsics_from_whole_pixel_centers
from geom.scale import Scale
from geom.se3 import SE3
from synth.safe_read import inside, mapping, matrix, number, picture_size, read_json
from synth.source import Clip, Frame, Source, SourceScene, frame_name

STATED = "camera.json"
_POSE_TOLERANCE = 1e-3
"""Hand-held poses are written with few digits."""
_MAX_APART_S = 0.02
"""Time stamps of one TUM frame lie at most so far apart, as its own association script has it."""
_SCALE = Scale("metric", "depth sensor, unit as stated in camera.json")


def is_rgbd(folder: Path) -> bool:
    """Whether a folder has one of the three layouts."""
    return _is_tum(folder) or (any(folder.glob("*.color.*")) and has_poses(folder))


def has_poses(folder: Path) -> bool:
    """Whether poses lie in a folder, for all frames or for each."""
    return _is_tum(folder) or (folder / "pose.txt").is_file() or any(folder.glob("*.pose.txt"))


def _is_tum(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("rgb.txt", "depth.txt", "groundtruth.txt"))


@dataclass(frozen=True)
class Stated:
    """What camera.json says."""

    K: Tensor
    units_per_m: float
    quaternion: str

    @staticmethod
    def read(folder: Path) -> Stated:
        """Read it.

        Raises:
            ValueError: if it is missing or says something else; the text shows what to write.
        """
        path = folder / STATED
        if not path.is_file():
            raise ValueError(
                f"{folder} is an RGB-D sequence that does not say its intrinsics and depth unit; write {STATED} in it:"
                ' {"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "depth_units_per_m": 1000, "pixel_centers": "whole",'
                ' "quaternion": "xyzw"}'
            )
        fields = mapping(read_json(path), str(path), "K", "depth_units_per_m", "pixel_centers")
        K = matrix(fields["K"], f"{path}: K", (3, 3))
        units = number(fields["depth_units_per_m"], f"{path}: depth_units_per_m")
        if not units > 0:
            raise ValueError(f"{path}: depth_units_per_m must be above 0, got {units}")
        centers = _one_of(fields["pixel_centers"], f"{path}: pixel_centers", "whole", "half")
        quaternion = _one_of(fields.get("quaternion", ""), f"{path}: quaternion", "", "xyzw", "wxyz")
        return Stated(intrinsics_from_whole_pixel_centers(K) if centers == "whole" else K, units, quaternion)

    def pose(self, numbers: list[float]) -> SE3:
        """The pose of tx ty tz and a quaternion.

        Raises:
            ValueError: if the order of the quaternion is not stated, or there are not 7 numbers.
        """
        if not self.quaternion:
            raise ValueError(f'{STATED} must say "quaternion": "xyzw" or "wxyz": the poses are quaternions')
        if len(numbers) != 7:
            raise ValueError(f"a pose must be tx ty tz and a quaternion, 7 numbers, got {len(numbers)}")
        values = torch.tensor(numbers, dtype=torch.float64)
        return from_tum(values if self.quaternion == "xyzw" else torch.cat([values[:3], values[3:].roll(-1)]))


def _one_of(value: Any, where: str, *known: str) -> str:
    if value not in known:
        raise ValueError(f"{where} must be one of {', '.join(filter(None, known))}, got {value!r}")
    return value


def read_rgbd(folder: Path) -> Source:
    """Read one scene of one clip; frames that are damaged are counted and left out.

    Raises:
        ValueError: if camera.json is missing or wrong, or fewer than 2 frames can be read.
    """
    stated, left_out = Stated.read(folder), Counter[str]()
    layout = _tum if _is_tum(folder) else _seven_scenes if any(folder.glob("*.pose.txt")) else _numbered
    frames = []
    for name, found in layout(folder, stated, left_out):
        try:
            frames.append(_frame(stated, *found))
        except ValueError as error:
            left_out[f"frame {name}: {error}"] += 1
    if len(frames) < 2:
        cause = next(iter(left_out), "no more are there")
        raise ValueError(f"{folder} must give at least 2 frames that can be read, got {len(frames)}: {cause}")
    notes = (f"quaternions are {stated.quaternion}",) if stated.quaternion else ()
    clip = Clip("all", tuple(frames), _SCALE, notes=notes)
    return Source("rgbd", [SourceScene(folder.resolve().name, (clip,), frames[0].picture)], left_out)


Found = tuple[Path, Path, SE3]
"""Colour, depth, pose."""


def _frame(stated: Stated, picture: Path, z_depth: Path, pose: SE3) -> Frame:
    size = picture_size(picture)
    if picture_size(z_depth) != size:
        raise ValueError(f"depth of {picture_size(z_depth)} pixels is not registered to colour of {size}")
    return Frame(picture, PinholeCamera(stated.K, *size), pose, z_depth, stated.units_per_m)


def _seven_scenes(folder: Path, stated: Stated, left_out: Counter[str]) -> Iterator[tuple[str, Found]]:
    pictures = _pictures(folder)
    names = sorted(path.name.removesuffix(".pose.txt") for path in folder.glob("*.pose.txt"))
    left_out.update(f"frame {name}: its pose is missing" for name in sorted(pictures.keys() - set(names)))
    for name in names:
        path = folder / f"{name}.pose.txt"
        try:
            pose = matrix([_numbers(line, path) for line in _lines(path)], path.name, (4, 4), (3, 4))
            yield name, (*_pair(folder, name, pictures), from_c2w(pose, tolerance=_POSE_TOLERANCE))
        except ValueError as error:
            left_out[f"frame {name}: {error}"] += 1


def _numbered(folder: Path, stated: Stated, left_out: Counter[str]) -> Iterator[tuple[str, Found]]:
    # A damaged line keeps its place, or all later frames would get the pose of another.
    lines, pictures = list(_lines(folder / "pose.txt")), _pictures(folder)
    names = sorted(pictures, key=lambda n: (len(n), n))
    if len(lines) != len(names):
        raise ValueError(f"pose.txt must have a line for each colour picture, got {len(lines)} lines for {len(names)}")
    for name, line in zip(names, lines, strict=True):
        try:
            yield name, (*_pair(folder, name, pictures), stated.pose(_numbers(line, folder / "pose.txt")))
        except ValueError as error:
            left_out[f"frame {name}: {error}"] += 1


def _pictures(folder: Path) -> dict[str, Path]:
    """Colour pictures by the names of their frames; of several with one name the first."""
    return {frame_name(path): path for path in sorted(folder.glob("*.color.*"), reverse=True)}


def _pair(folder: Path, name: str, pictures: dict[str, Path]) -> tuple[Path, Path]:
    if name not in pictures:
        raise ValueError("its colour picture is missing")
    return inside(folder, pictures[name].name), inside(folder, f"{name}.depth.png")


def _tum(folder: Path, stated: Stated, left_out: Counter[str]) -> Iterator[tuple[str, Found]]:
    z_depths = _listed(folder / "depth.txt", left_out)
    poses = {row[0]: row[1:] for row in _rows(folder / "groundtruth.txt", left_out) if len(row) > 1}
    for stamp, name in sorted(_listed(folder / "rgb.txt", left_out).items()):
        try:
            z_stamp, pose_stamp = _nearest(stamp, sorted(z_depths), "depth"), _nearest(stamp, sorted(poses), "pose")
            pair = inside(folder, name), inside(folder, z_depths[z_stamp])
            yield f"{stamp:.6f}", (*pair, stated.pose(poses[pose_stamp]))
        except ValueError as error:
            left_out[f"frame {stamp:.6f}: {error}"] += 1


def _listed(path: Path, left_out: Counter[str]) -> dict[float, str]:
    """Time stamp to file name of a TUM list."""
    found = {}
    for line in _lines(path):
        words = line.split(maxsplit=1)
        stamp = _float(words[0])
        if len(words) == 2 and stamp is not None and math.isfinite(stamp):
            if stamp in found:
                left_out[f"{path.name}: the time stamp {words[0]} is there twice, and the first counts"] += 1
            found.setdefault(stamp, words[1].strip())
        else:
            left_out[f"{path.name}: a line must hold a time stamp and a file, got {line[:40]!r}"] += 1
    return found


def _nearest(stamp: float, others: list[float], what: str) -> float:
    i = bisect_left(others, stamp)
    near = min(others[max(i - 1, 0) : i + 1], key=lambda other: abs(other - stamp), default=None)
    if near is None or abs(near - stamp) > _MAX_APART_S:
        raise ValueError(f"no {what} within {_MAX_APART_S} s")
    return near


def _rows(path: Path, left_out: Counter[str]) -> Iterator[list[float]]:
    """Numbers of each line; lines that hold anything else are counted."""
    for line in _lines(path):
        try:
            yield _numbers(line, path)
        except ValueError as error:
            left_out[str(error)] += 1


def _numbers(line: str, path: Path) -> list[float]:
    numbers = [_float(word) for word in line.split()]
    if None in numbers:
        raise ValueError(f"{path.name}: a line must hold numbers, got {line[:40]!r}")
    return [value for value in numbers if value is not None]


def _float(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from (line.strip() for line in file if line.strip() and not line.startswith("#"))
