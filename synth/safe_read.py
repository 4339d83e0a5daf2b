"""Reading what somebody else wrote: nothing outside the folder, nothing endless, and a clear line for what is wrong."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor

MAX_JSON_BYTES = 256 * 2**20
MAX_PIXELS = 64_000_000


def inside(root: Path, name: Any) -> Path:
    """The file of a folder that a name in one of its files means.

    Raises:
        ValueError: if the name is no text, is absolute, or leads out of the folder, also by a link.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"a file's name must be text, got {name!r}")
    path = root / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"the path {name!r} leads out of its folder {root}; only files inside are read")
    return path


def read_json(path: Path) -> Any:
    """The value in a JSON file; NaN and infinities, which JSON does not know, are refused.

    Raises:
        ValueError: if the file is missing, too large, no UTF-8, nested too deeply or no JSON.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} is larger than {MAX_JSON_BYTES // 2**20} MiB, which no such file should be")
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def mapping(value: Any, where: str, *keys: str) -> Mapping[str, Any]:
    """The value as an object that has some keys.

    Raises:
        ValueError: if it is none, or a key is missing.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be an object, got {type(value).__name__}")
    if missing := [key for key in keys if key not in value]:
        raise ValueError(f"{where} must have {', '.join(keys)}; {', '.join(missing)} missing of {sorted(value)[:12]}")
    return value


def sequence(value: Any, where: str) -> Sequence[Any]:
    """The value as a list.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, got {type(value).__name__}")
    return value


def number(value: Any, where: str) -> float:
    """The value as a finite number.

    Raises:
        ValueError: if it is none, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{where} must be a finite number, got {value!r}")
    return float(value)


def matrix(value: Any, where: str, *shapes: tuple[int, int]) -> Tensor:
    """The value as a float64 matrix of one of the shapes.

    Raises:
        ValueError: if it is none, or holds what is no finite number.
    """
    rows = [sequence(row, where) for row in sequence(value, where)]
    shape = (len(rows), len(rows[0]) if rows else 0)
    if shape not in shapes or any(len(row) != shape[1] for row in rows):
        wanted = " or ".join(f"{r} x {c}" for r, c in shapes)
        raise ValueError(f"{where} must be {wanted}, got rows of {[len(row) for row in rows][:6]}")
    return torch.tensor([[number(v, where) for v in row] for row in rows], dtype=torch.float64)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, from its header alone.

    Raises:
        ValueError: if the file is missing, no picture, or larger than 64 million pixels.
    """
    if not path.is_file():
        raise ValueError(f"the picture {path} is missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                width, height = picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path} is no picture that can be read: {error}") from None
    if width * height > MAX_PIXELS:
        raise ValueError(f"{path} has {width} x {height} pixels; more than {MAX_PIXELS} are not read")
    return width, height


def refuse_turned(path: Path) -> None:
    """Refuse a picture that is stored on its side, and turned by its EXIF when it is shown.

    Raises:
        ValueError: then, for nobody can tell which of both its intrinsics and depth belong to.
    """
    with Image.open(path) as picture:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation != 1:
        raise ValueError(
            f"{path} must be stored upright, but its EXIF turns it (orientation {orientation}), and K and depth may"
            " belong to either; store it turned, without that tag"
        )


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture as 8-bit sRGB, (h, w, 3), as it is stored: no program turns a picture that it has a K for.

    Raises:
        ValueError: as `picture_size`, or if the file is truncated, or has numbers that 8 bits do not hold.
    """
    picture_size(path)
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise ValueError(f"its mode {picture.mode} has more than 8 bits, which would be cut off; convert it")
            return np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path} is no whole picture: {error}") from None
