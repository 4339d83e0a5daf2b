"""What a simulated room is: items made of convex parts, a shell around them, a light.

Lengths are metres, angles radians, colours linear RGB. World z is up and the floor's top is z = 0; the room
fills [0, X] x [0, Y] x [0, Z]. An item's frame has its origin at the centre of its footprint, z = 0 at its
lowest point, its front towards +y. Every float is rounded to 1e-6 when made, so JSON repeats it exactly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from geom.primitives import Primitives
from geom.se3 import SE3
from synth.textures import TEXTURE_NAMES

SHAPES = ("box", "cylinder", "ellipsoid", "disc")
"""Shape names in the order of `geom.primitives` codes."""

Vec3 = tuple[float, float, float]


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ValueError(f"{what} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{what} must be finite, got {value}; a division by zero upstream?")
    return round(float(value), 6) + 0.0  # + 0.0 turns -0.0 into 0.0


def _at_least(value: Any, low: float, what: str) -> float:
    number = _number(value, what)
    if number < low:
        raise ValueError(f"{what} must be >= {low:g}, got {number:g}")
    return number


def _vec3(values: Any, what: str) -> Vec3:
    if len(values) != 3:
        raise ValueError(f"{what} must hold 3 numbers, got {len(values)}")
    x, y, z = values
    if type(x) is type(y) is type(z) is float and math.isfinite(x + y + z):  # the common case, ten times as fast
        return round(x, 6) + 0.0, round(y, 6) + 0.0, round(z, 6) + 0.0
    return _number(x, what), _number(y, what), _number(z, what)


def _positive3(values: Sequence[float], what: str) -> Vec3:
    vec = _vec3(values, what)
    if min(vec) <= 0:
        raise ValueError(f"{what} must be > 0 m on every axis, got {vec}")
    return vec


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} must be a non-empty string, got {value!r}")
    return value


def _assign(target: object, **values: Any) -> None:
    """Write checked values into a frozen dataclass that is being made."""
    for key, value in values.items():
        object.__setattr__(target, key, value)


@dataclass(frozen=True)
class Material:
    """How a surface looks: linear colour times texture, a highlight, light of its own.

    Args:
        color: linear RGB, 0..1.
        texture: a name in `synth.textures.TEXTURE_NAMES`, or "" for plain colour.
        texture_scale_m: metres that one repeat of a pattern covers. Pictures are fitted to the face instead.
        gloss: strength of the highlight, 0 (cloth) to 1 (glazed).
        glow: light that the surface sends out by itself, as a multiple of its colour (lamp shades, screens).
    """

    color: Vec3
    texture: str = ""
    texture_scale_m: float = 1.0
    gloss: float = 0.0
    glow: float = 0.0

    def __post_init__(self) -> None:
        color = _vec3(self.color, "color")
        if min(color) < 0 or max(color) > 1:
            raise ValueError(f"color must be linear RGB in 0..1, got {color}; was it given as 0..255?")
        if self.texture and self.texture not in TEXTURE_NAMES:
            raise ValueError(f"texture must be one of {sorted(TEXTURE_NAMES)} or '', got {self.texture!r}")
        scale = _at_least(self.texture_scale_m, 1e-3, "texture_scale_m")
        _assign(self, color=color, texture_scale_m=scale)
        _assign(self, gloss=_at_least(self.gloss, 0, "gloss"), glow=_at_least(self.glow, 0, "glow"))


@dataclass(frozen=True)
class Part:
    """One convex solid of an item: the affine image of a unit shape.

    Args:
        shape: one of `SHAPES`.
        center: in the item frame, metres.
        half_size: half the extent along the part's own axes, metres. A disc's third is stored as 0.
        rotvec: axis times angle (radians) from part axes to item axes.
        material: what it looks like.

    >>> Part("disc", (0, 0, 1), (0.2, 0.2, 9), material=Material((1, 1, 1))).half_size
    (0.2, 0.2, 0.0)
    """

    shape: str
    center: Vec3
    half_size: Vec3
    rotvec: Vec3 = (0.0, 0.0, 0.0)
    material: Material = field(default=Material((0.7, 0.7, 0.7)))

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape must be one of {SHAPES}, got {self.shape!r}")
        is_disc = self.shape == "disc"
        size = _positive3((*self.half_size[:2], 1.0) if is_disc else self.half_size, "half_size")
        object.__setattr__(self, "half_size", (size[0], size[1], 0.0) if is_disc else size)
        object.__setattr__(self, "center", _vec3(self.center, "center"))
        if self.rotvec != (0.0, 0.0, 0.0):
            object.__setattr__(self, "rotvec", _vec3(self.rotvec, "rotvec"))

    def extent(self) -> np.ndarray:
        """Half the part's axis-aligned extent in the item frame, metres, shape (3,)."""
        return _extents([self])[0]


def _extents(parts: Sequence[Part]) -> np.ndarray:
    """(n, 3) half extents of parts along the item's axes, metres."""
    R_item_part = Rotation.from_rotvec([p.rotvec for p in parts]).as_matrix()
    arms = np.abs(R_item_part) * np.array([p.half_size for p in parts])[:, None]
    kind = np.array([p.shape for p in parts])[:, None]
    straight, round_ = arms.sum(2), np.sqrt((arms**2).sum(2))
    barrel = np.sqrt((arms[..., :2] ** 2).sum(2)) + arms[..., 2]
    return np.where(kind == "box", straight, np.where(kind == "ellipsoid", round_, barrel))


def bounds_of(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Smallest axis-aligned box around parts: (low, high), each (3,), in the frame the parts are given in.

    Raises:
        ValueError: if there are no parts.

    >>> low, high = bounds_of([Part("box", (0, 0, 1), (0.5, 0.5, 1))])
    >>> low.tolist(), high.tolist()
    ([-0.5, -0.5, 0.0], [0.5, 0.5, 2.0])
    """
    if not parts:
        raise ValueError("bounds need at least one part, got none")
    centers, extents = np.array([p.center for p in parts]), _extents(parts)
    return (centers - extents).min(0), (centers + extents).max(0)


@dataclass(frozen=True)
class ObjectInstance:
    """One object of a room.

    Args:
        item_id: unique in its scene, such as "chair_0".
        kind: plain word for the object, such as "potted plant".
        position: of the item frame's origin in the world, metres.
        yaw: of the item frame about world +z, radians, counter-clockwise seen from above.
        parts: at least one.
        rests_on: "floor", "wall", "ceiling" or the `item_id` that carries it.
    """

    item_id: str
    kind: str
    position: Vec3
    yaw: float
    parts: tuple[Part, ...]
    rests_on: str = "floor"

    def __post_init__(self) -> None:
        for name in ("item_id", "kind", "rests_on"):
            _name(getattr(self, name), name)
        if not self.parts:
            raise ValueError(f"an item needs at least one part, {self.item_id!r} has none")
        position, yaw = _vec3(self.position, "position"), _number(self.yaw, "yaw")
        _assign(self, position=position, yaw=yaw, parts=tuple(self.parts))

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of the parts in the item frame, metres."""
        return bounds_of(self.parts)

    def rotation(self) -> np.ndarray:
        """R_world_item, (3, 3)."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Light:
    """A round lamp that faces down, and the light that comes from everywhere.

    Args:
        position: of its centre in the world, metres.
        radius: of the lamp, metres; a larger one makes softer shadows.
        intensity: of the lamp; a white surface 2 m below it gets intensity / 4.3.
        ambient: light from everywhere on a level surface; upright ones and corners get less.
    """

    position: Vec3
    radius: float = 0.25
    intensity: float = 4.0
    ambient: float = 0.35

    def __post_init__(self) -> None:
        _assign(self, position=_vec3(self.position, "position"), radius=_at_least(self.radius, 0, "radius"))
        _assign(self, intensity=_at_least(self.intensity, 0, "intensity"))
        _assign(self, ambient=_at_least(self.ambient, 0, "ambient"))


@dataclass(frozen=True)
class Scene:
    """A whole room.

    Args:
        scene_id: opaque name.
        seed: that it was made from.
        room_size: (X, Y, Z), metres.
        items: the objects; labels refer to them by their place in this tuple.
        shell: floor, ceiling, walls, windows and skirting, in world coordinates.
        light: what lights it.

    Raises:
        ValueError: if two items share an id, or an item rests on one that is not there.
    """

    scene_id: str
    seed: int
    room_size: Vec3
    items: tuple[ObjectInstance, ...]
    shell: tuple[Part, ...]
    light: Light

    def __post_init__(self) -> None:
        _name(self.scene_id, "scene_id")
        _assign(self, room_size=_positive3(self.room_size, "room_size"))
        _assign(self, items=tuple(self.items), shell=tuple(self.shell))
        ids = [item.item_id for item in self.items]
        if len(set(ids)) < len(ids):
            raise ValueError(f"item_id must be unique, {max(ids, key=ids.count)!r} occurs more than once")
        for item in self.items:
            if item.rests_on not in {"floor", "wall", "ceiling", *ids} - {item.item_id}:
                raise ValueError(f"{item.item_id!r} rests on {item.rests_on!r}, which is not in the scene")

    def all_parts(self) -> list[tuple[int, Part]]:
        """Every part with the index of its item, -1 for the shell: items in order, then the shell."""
        owned = [(i, part) for i, item in enumerate(self.items) for part in item.parts]
        return owned + [(-1, part) for part in self.shell]

    def primitives(self) -> Primitives:
        """All parts as solids in the world, in the order of `all_parts`, float64 on the CPU."""
        owners, parts = zip(*self.all_parts(), strict=True)
        yaw = np.array([self.items[i].yaw if i >= 0 else 0.0 for i in owners])
        origin = np.array([self.items[i].position if i >= 0 else (0.0, 0.0, 0.0) for i in owners])
        R_world_item = Rotation.from_euler("z", yaw[:, None])
        R_world_part = R_world_item * Rotation.from_rotvec([p.rotvec for p in parts])
        t_world_part = origin + R_world_item.apply([p.center for p in parts])
        half = np.array([p.half_size for p in parts])
        half[:, 2] = np.where(half[:, 2] == 0, 1.0, half[:, 2])  # a disc's third axis only has to be invertible
        return Primitives(
            shape_code=torch.tensor([SHAPES.index(p.shape) for p in parts]),
            T_world_prim=SE3(torch.from_numpy(R_world_part.as_matrix()), torch.from_numpy(t_world_part)),
            half_size=torch.from_numpy(half),
            item_idx=torch.tensor(owners),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return asdict(self)

    def to_json(self) -> str:
        """One line of JSON that `from_json` turns back into an equal scene."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Scene:
        """Inverse of `to_dict`, checking everything again.

        Raises:
            ValueError: if a field is missing, unknown, or holds something that no scene can hold.
        """
        try:
            items = tuple(_item_from(d) for d in data["items"])
            shell = tuple(_part_from(d) for d in data["shell"])
            light = Light(**_tupled(data["light"]))
            scene = Scene(**{**_tupled(data), "items": items, "shell": shell, "light": light})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a scene must hold the fields that to_dict writes, but: {error!r}") from error
        return scene

    @staticmethod
    def from_json(text: str) -> Scene:
        """Inverse of `to_json`.

        Raises:
            ValueError: if the text is no JSON, or no scene.
        """
        return Scene.from_dict(json.loads(text))


def _tupled(data: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _part_from(data: dict[str, Any]) -> Part:
    return Part(**{**_tupled(data), "material": Material(**_tupled(data["material"]))})


def _item_from(data: dict[str, Any]) -> ObjectInstance:
    return ObjectInstance(**{**_tupled(data), "parts": tuple(_part_from(p) for p in data["parts"])})
