"""Scenes repeat exactly through JSON, become the right solids, and refuse what no scene can hold."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from synth.catalogue import build
from synth.scene import Light, Material, ObjectInstance, Part, Scene, _vec3, bounds_of

WHITE = Material((1, 1, 1))
CUBE = Part("box", (0, 0, 0.5), (0.5, 0.5, 0.5), material=WHITE)


def make_scene(*items: ObjectInstance) -> Scene:
    floor = Part("box", (2, 2, -0.1), (2, 2, 0.1), material=Material((0.5, 0.4, 0.3), "planks"))
    return Scene("test", 7, (4, 4, 2.5), items, (floor,), Light((2, 2, 2.4)))


def item(item_id: str = "cube_0", rests_on: str = "floor", yaw: float = 0.0, parts=(CUBE,)) -> ObjectInstance:
    return ObjectInstance(item_id, "cube", (1.0, 2.0, 0.0), yaw, parts, rests_on)


def test_json_gives_back_an_equal_scene():
    rng = np.random.default_rng(3)
    # Every shape, picture, pattern and rotation occurs in these.
    names = ("guitar", "potted plant", "television", "clock", "bottle", "sofa", "rug")
    places, turns = rng.uniform(0, 4, (len(names), 3)), rng.uniform(-4, 4, len(names))
    items = [
        ObjectInstance(f"{name}_0", name, tuple(at), turn, build(name, rng).parts)
        for name, at, turn in zip(names, places, turns, strict=True)
    ]
    scene = make_scene(*items)
    assert Scene.from_json(scene.to_json()) == scene
    assert Scene.from_json(scene.to_json()).to_json() == scene.to_json()


def test_floats_are_rounded_when_made_and_never_minus_zero():
    part = Part("box", (1 / 3, -1e-9, 0), (2 / 3, 1, 1))
    assert part.center == (0.333333, 0.0, 0.0)
    assert math.copysign(1, part.center[1]) == 1
    assert part.half_size[0] == 0.666667


def test_a_part_lands_where_yaw_and_position_take_it():
    # 90 degrees counter-clockwise takes item +x to world +y: (1, 2, 0) + (0, 0.3, 0.5).
    arm = Part("box", (0.3, 0, 0.5), (0.2, 0.1, 0.05), material=WHITE)
    prims = make_scene(item(yaw=math.pi / 2, parts=(arm,))).primitives()
    assert prims.T_world_prim.t[0].tolist() == pytest.approx([1.0, 2.3, 0.5], abs=1e-6)
    assert prims.T_world_prim.R[0, :, 0].tolist() == pytest.approx([0, 1, 0], abs=1e-6)


def test_a_part_turns_first_about_itself_then_with_its_item():
    tilted = Part("cylinder", (0, 0, 1), (0.1, 0.1, 0.5), (math.pi / 2, 0, 0), WHITE)
    prims = make_scene(item(yaw=math.pi / 2, parts=(tilted,))).primitives()
    # The cylinder's axis: z -> (about x) -y -> (about z) +x.
    assert prims.T_world_prim.R[0, :, 2].tolist() == pytest.approx([1, 0, 0], abs=1e-6)


def test_primitives_come_in_the_order_of_items_then_shell():
    disc = Part("disc", (0, 0, 1), (0.2, 0.3, 5), material=WHITE)
    prims = make_scene(item("a", parts=(CUBE, disc)), item("b")).primitives()
    assert prims.item_idx.tolist() == [0, 0, 1, -1]
    assert prims.shape_code.tolist() == [0, 3, 0, 0]
    assert prims.half_size[1].tolist() == [0.2, 0.3, 1.0]
    assert prims.half_size.dtype == torch.float64


@pytest.mark.parametrize("shape", ["box", "cylinder", "ellipsoid", "disc"])
def test_extent_bounds_the_shape_tightly(shape):
    part = Part(shape, (0.1, 0.2, 0.3), (0.5, 0.2, 0.4), (0.4, -0.9, 0.7), WHITE)
    rng = np.random.default_rng(0)
    s = rng.normal(size=(200_000, 3))
    if shape == "box":
        s = np.sign(s)
    elif shape == "ellipsoid":
        s /= np.linalg.norm(s, axis=1, keepdims=True)
    else:
        s[:, :2] /= np.linalg.norm(s[:, :2], axis=1, keepdims=True)
        s[:, 2] = np.sign(s[:, 2])
    prims = make_scene(item(parts=(part,))).primitives()
    half = np.array(part.half_size)
    points = (s * half) @ prims.T_world_prim.R[0].numpy().T
    assert np.abs(points).max(0) == pytest.approx(part.extent(), rel=2e-3)
    assert (np.abs(points).max(0) <= part.extent() + 1e-9).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Part("cone", (0, 0, 0), (1, 1, 1)), r"shape must be one of .*, got 'cone'"),
        (lambda: Part("box", (0, 0, 0), (1, -1, 1)), r"half_size must be > 0 m on every axis, got \(1.0, -1.0"),
        (lambda: Part("disc", (0, 0, 0), (1, 0, 1)), r"half_size must be > 0"),
        (lambda: _vec3((0, 0), "center"), r"center must hold 3 numbers, got 2"),
        (lambda: Part("box", (0, 0, math.nan), (1, 1, 1)), r"center must be finite, got nan"),
        (lambda: Part("box", (0.0, 0.0, math.inf), (1, 1, 1)), r"center must be finite, got inf"),
        (lambda: _vec3((0, 0, "1"), "center"), r"center must be a number, got '1'"),
        (lambda: Material((1, 1, 2)), r"color must be linear RGB in 0..1, got .*0..255"),
        (lambda: Material((1, 1, 1), "velvet"), r"texture must be one of .*, got 'velvet'"),
        (lambda: Material((1, 1, 1), texture_scale_m=0), r"texture_scale_m must be >= 0.001, got 0"),
        (lambda: Material((1, 1, 1), gloss=-1), r"gloss must be >= 0, got -1"),
        (lambda: Light((0, 0, 2), radius=-0.1), r"radius must be >= 0, got -0.1"),
        (lambda: item(parts=()), r"an item needs at least one part, 'cube_0' has none"),
        (lambda: item(item_id=""), r"item_id must be a non-empty string"),
        (lambda: make_scene(item("a"), item("a")), r"item_id must be unique, 'a' occurs more than once"),
        (lambda: make_scene(item("a", "b")), r"'a' rests on 'b', which is not in the scene"),
        (lambda: make_scene(item("a", "a")), r"'a' rests on 'a'"),
        (lambda: bounds_of([]), r"bounds need at least one part, got none"),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "harm", [lambda d: d.pop("light"), lambda d: d.update(mood="gloomy"), lambda d: d.update(items=[3])]
)
def test_a_damaged_scene_file_is_refused(harm):
    data = json.loads(make_scene(item()).to_json())
    harm(data)
    with pytest.raises(ValueError, match="a scene must hold the fields that to_dict writes"):
        Scene.from_dict(data)
