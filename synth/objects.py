"""The objects of scenes that exist already, from a JSON file: solid boxes, instance masks, or outlines in pictures.

One of three forms, told by its keys:
- boxes in space, `{"<scene>": [{"kind": "chair", "min": [x, y, z], "max": [x, y, z]}, ...]}`, in the frame of the
  scene's poses and in their unit; a level between, as a version's name, is looked through; `kind` may be called
  `label` or `class`, and a number of a class stays "class 3";
- masks, `{"masks": "{frame}.segm.png", "legend": {"48": "book", "0": null}}`: a picture for each frame, whose values
  the legend names; `{frame}` is the picture's name without `.color` and the suffix, and null is no object. Equal values
  mean one object in all frames, unless `"shared": false` says that they count in each frame alone;
- outlines, `{"outlines": {"<frame>": [{"kind": "chair", "polygon": [[u, v], ...]}, {"kind": "cup", "box": [x1, y1, x2,
  y2]}]}}`, pixels with the first pixel's centre at (0.5, 0.5); an `item_id` that occurs in several frames means one
  object, without it each outline counts in its frame alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.safe_read import inside, mapping, number, picture_size, read_json, sequence
from synth.source import Frame, frame_name

FILE = "objects.json"
"""Read where it lies in a source's folder, unless another file is named."""

NO_OBJECT = -1
_FRONT = 0.15
"""A pixel in a box is the object's if its z-depth lies within this share of the median around the box's middle."""


@dataclass(frozen=True)
class SolidBox:
    """An object as a box along the axes of the scene's frame, in the unit of its poses.

    Raises:
        ValueError: if it has no extent, naming it.
    """

    item_id: str
    kind: str
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"box {self.item_id} must have min below max on every axis, got {self.low}, {self.high}")


@dataclass(frozen=True)
class Instance:
    """An object in one picture. One that has a name is the same object in every frame that has it."""

    kind: str
    name: str | None


@dataclass(frozen=True)
class Instances:
    """The objects of one picture: which pixels they own."""

    index: NDArray[np.int16]
    """(h, w), place in `found`; NO_OBJECT elsewhere."""
    found: tuple[Instance, ...]
    dropped: tuple[str, ...] = ()
    """What was found and could not be used, each with the reason."""


@runtime_checkable
class Objects(Protocol):
    """What a file says about the objects of a source."""

    def solids(self, scene_id: str) -> tuple[SolidBox, ...]:
        """Boxes in space of a scene."""
        ...

    def instances(self, frame: Frame, z_depth: NDArray[np.float32]) -> Instances | None:
        """The objects that own pixels of a frame; None where nobody looked for any.

        Raises:
            ValueError: if what the file says of the frame cannot be read.
        """
        ...


def found_in(
    objects: Objects | None, frame: Frame, z_depth: NDArray[np.float32], left_out: Counter[str]
) -> Instances | None:
    """The objects of a frame; None, and the reason counted, where they cannot be read. What is dropped is counted."""
    if objects is None:
        return None
    try:
        found = objects.instances(frame, z_depth)
    except ValueError as error:
        left_out[f"objects: {error}"] += 1
        return None
    left_out.update(f"objects: {reason}" for reason in (found.dropped if found else ()))
    return found


def read_objects(path: Path) -> Objects:
    """Read a file of objects.

    Raises:
        ValueError: if it has none of the three forms, or what it holds is not valid.
    """
    whole = mapping(read_json(path), str(path))
    if "masks" in whole:
        return Masks.of(path, whole)
    if "outlines" in whole:
        return Outlines.of(path, whole)
    return Solids.of(path, whole)


class _Nothing:
    """What a form of objects does not tell."""

    def solids(self, scene_id: str) -> tuple[SolidBox, ...]:
        """None."""
        return ()

    def instances(self, frame: Frame, z_depth: NDArray[np.float32]) -> Instances | None:
        """Nobody looked for any."""
        return None


@dataclass(frozen=True)
class Solids(_Nothing):
    """Boxes in space, by scene."""

    of_scene: Mapping[str, tuple[SolidBox, ...]]

    @staticmethod
    def of(path: Path, whole: Mapping[str, Any]) -> Solids:
        """Read them; raises as `read_objects`."""
        lists = dict(_lists(whole))
        if not lists:
            raise ValueError(f"{path} must hold masks, outlines, or lists of boxes by scene, got {sorted(whole)[:8]}")
        return Solids({scene: _solids(rows, f"{path}: {scene}") for scene, rows in lists.items()})

    def solids(self, scene_id: str) -> tuple[SolidBox, ...]:
        """Those of the scene's name."""
        return self.of_scene.get(scene_id, ())


def _lists(value: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Lists by name, one level of names looked through."""
    for name, inner in value.items():
        if isinstance(inner, list):
            yield name, inner
        elif isinstance(inner, Mapping):
            yield from ((key, rows) for key, rows in inner.items() if isinstance(rows, list))


def _solids(rows: list[Any], where: str) -> tuple[SolidBox, ...]:
    boxes = []
    for n, row in enumerate(rows):
        fields = mapping(row, f"{where}: box {n}", "min", "max")
        kind = _kind(fields, f"{where}: box {n}")
        item_id = str(fields.get("item_id", f"{kind.replace(' ', '_')}_{fields.get('id', n)}"))
        boxes.append(SolidBox(item_id, kind, _vec3(fields["min"], where), _vec3(fields["max"], where)))
    _check_unique([box.item_id for box in boxes], where)
    return tuple(boxes)


def _kind(fields: Mapping[str, Any], where: str) -> str:
    value = next((fields[key] for key in ("kind", "label", "class") if key in fields), None)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"class {value}"
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where} must name its kind, got {value!r}")
    return " ".join(value.replace("_", " ").split())


def _vec3(value: Any, where: str) -> tuple[float, float, float]:
    numbers = [number(v, where) for v in sequence(value, where)]
    if len(numbers) != 3:
        raise ValueError(f"{where} must have 3 numbers to a corner, got {len(numbers)}")
    return numbers[0], numbers[1], numbers[2]


def _check_unique(ids: list[str], where: str) -> None:
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"{where}: every item_id must occur once, got twice: {', '.join(twice[:5])}")


@dataclass(frozen=True)
class Masks(_Nothing):
    """A picture of ids for each frame, and a legend."""

    folder: Path
    pattern: str
    legend: Mapping[int, str | None]
    shared: bool

    @staticmethod
    def of(path: Path, whole: Mapping[str, Any]) -> Masks:
        """Read them; raises as `read_objects`."""
        fields = mapping(whole, str(path), "masks", "legend")
        pattern, shared = fields["masks"], fields.get("shared", True)
        if not isinstance(pattern, str) or "{frame}" not in pattern:
            raise ValueError(f"{path}: masks must be a file name with {{frame}} in it, got {pattern!r}")
        if not isinstance(shared, bool):
            raise ValueError(f"{path}: shared must be true or false, got {shared!r}")
        legend: dict[int, str | None] = {}
        for value, kind in mapping(fields["legend"], f"{path}: legend").items():
            if not value.isascii() or not value.isdigit():
                raise ValueError(f"{path}: the legend must have values of pixels as keys, got {value!r}")
            legend[int(value)] = None if kind is None else _kind({"kind": kind}, f"{path}: legend {value}")
        return Masks(path.parent, pattern, legend, shared)

    def path(self, frame: Frame) -> Path:
        """The mask of a frame.

        Raises:
            ValueError: if it would lie outside the file's folder.
        """
        return inside(self.folder, self.pattern.replace("{frame}", frame_name(frame.picture)))

    def instances(self, frame: Frame, z_depth: NDArray[np.float32]) -> Instances:
        """What the legend names in the frame's mask."""
        path = self.path(frame)
        raster = read_mask(path)
        if raster.shape != z_depth.shape:
            raise ValueError(f"{path} must be as large as its picture, {z_depth.shape}, got {raster.shape}")
        found: list[Instance] = []
        index = np.full(raster.shape, NO_OBJECT, np.int16)
        for value in np.unique(raster).tolist():
            if value not in self.legend:
                raise ValueError(f"{path} has the value {value}, which the legend does not name")
            if (kind := self.legend[value]) is not None:
                index[raster == value] = len(found)
                found.append(Instance(kind, f"{kind.replace(' ', '_')}_{value}" if self.shared else None))
        return Instances(index, tuple(found))


def read_mask(path: Path) -> NDArray[np.int64]:
    """A picture of ids, 8 or 16 bits, one channel.

    Raises:
        ValueError: if it is missing or is no such picture.
    """
    picture_size(path)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    raster = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if raster is None or raster.ndim != 2 or raster.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} must be a whole picture of ids with one channel of 8 or 16 bits")
    return np.asarray(raster, np.int64)


@dataclass(frozen=True)
class Outline:
    """A polygon, or a box, around an object in one picture."""

    instance: Instance
    polygon: tuple[tuple[float, float], ...]
    is_box: bool


@dataclass(frozen=True)
class Outlines(_Nothing):
    """Polygons and boxes, by frame."""

    of_frame: Mapping[str, tuple[Outline, ...]]

    @staticmethod
    def of(path: Path, whole: Mapping[str, Any]) -> Outlines:
        """Read them; raises as `read_objects`."""
        frames = mapping(whole["outlines"], f"{path}: outlines")
        return Outlines({name: _outlines(rows, f"{path}: {name}") for name, rows in frames.items()})

    def instances(self, frame: Frame, z_depth: NDArray[np.float32]) -> Instances | None:
        """What is outlined under the frame's name."""
        outlines = self.of_frame.get(frame_name(frame.picture))
        return None if outlines is None else paint(outlines, z_depth)


def _outlines(rows: Any, where: str) -> tuple[Outline, ...]:
    outlines = []
    for n, row in enumerate(sequence(rows, where)):
        fields = mapping(row, f"{where}: outline {n}")
        if ("polygon" in fields) == ("box" in fields):
            raise ValueError(f"{where}: outline {n} must have a polygon or a box, got {sorted(fields)}")
        name = fields.get("item_id")
        if name is not None and not isinstance(name, str):
            raise ValueError(f"{where}: outline {n}: item_id must be text, got {name!r}")
        instance = Instance(_kind(fields, f"{where}: outline {n}"), name)
        polygon = _box_corners(fields["box"], where) if "box" in fields else _corners(fields["polygon"], where)
        outlines.append(Outline(instance, polygon, "box" in fields))
    _check_unique([o.instance.name for o in outlines if o.instance.name], where)
    return tuple(outlines)


def _corners(value: Any, where: str) -> tuple[tuple[float, float], ...]:
    corners = [[number(v, where) for v in sequence(corner, where)] for corner in sequence(value, where)]
    if len(corners) < 3 or any(len(corner) != 2 for corner in corners):
        raise ValueError(f"{where}: a polygon must have at least 3 corners (u, v), got {len(corners)}")
    return tuple((u, v) for u, v in corners)


def _box_corners(value: Any, where: str) -> tuple[tuple[float, float], ...]:
    numbers = [number(v, where) for v in sequence(value, where)]
    if len(numbers) != 4 or not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        raise ValueError(f"{where}: a box must be x1 < x2, y1 < y2 in pixels, got {numbers}")
    return box_polygon(numbers)


def box_polygon(box: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """The corners of a box (x1, y1, x2, y2), in order."""
    x1, y1, x2, y2 = box
    return (x1, y1), (x2, y1), (x2, y2), (x1, y2)


def paint(outlines: tuple[Outline, ...], z_depth: NDArray[np.float32]) -> Instances:
    """Give each pixel to the outline that holds it, the smallest first; in a box only to what stands in front there.

    A pixel in a polygon counts whether its depth is known or not. Of a box the object is what lies at about the z-depth
    of its middle, for the corners of a box mostly show what is behind.
    """
    from skimage.draw import polygon2mask

    index = np.full(z_depth.shape, NO_OBJECT, np.int16)
    masks = []
    for outline in outlines:
        # polygon2mask counts pixel centres as whole numbers, in (row, col).
        mask = polygon2mask(z_depth.shape, np.array(outline.polygon)[:, ::-1] - 0.5)
        masks.append(mask & _front_of(mask, z_depth) if outline.is_box else mask)
    for n in sorted(range(len(masks)), key=lambda n: -int(masks[n].sum())):
        index[masks[n]] = n
    return Instances(index, tuple(outline.instance for outline in outlines))


def _front_of(mask: NDArray[np.bool_], z_depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels at about the median z-depth of the middle third of a box."""
    rows, cols = np.nonzero(mask)
    if not len(rows):
        return mask
    height, width = np.ptp(rows) + 1, np.ptp(cols) + 1
    top, left = rows.min() + height // 3, cols.min() + width // 3
    middle = z_depth[top : top + max(1, height // 3), left : left + max(1, width // 3)]
    if not np.isfinite(middle).any():
        return np.zeros_like(mask)
    with np.errstate(invalid="ignore"):
        return np.abs(z_depth / np.nanmedian(middle) - 1) <= _FRONT
