"""Rooms: nothing touches what it should not, nothing floats, and the same seed gives the same room."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synth.catalogue import KINDS
from synth.layout import WALL_YAW
from synth.rooms import ROOM_TYPES, make_room, several_of_a_kind
from synth.scene import ObjectInstance, Part, Scene

NUM_ROOMS = 40
TOLERANCE_M = 1e-3


@cache
def room(seed: int) -> Scene:
    return make_room(seed)


def rooms() -> list[Scene]:
    return [room(seed) for seed in range(NUM_ROOMS)]


# A check that shares nothing with the layout: surfaces sampled densely, and a test for being inside.


def _unit_surface(shape: str, num: int = 9) -> np.ndarray:
    line = np.linspace(-1, 1, num)
    a, b = (g.ravel() for g in np.meshgrid(line, line))
    if shape == "box":
        return np.concatenate([np.insert(np.stack([a, b], 1), k, s, axis=1) for k in range(3) for s in (-1, 1)])
    turn = np.pi * (a + 1)
    if shape == "ellipsoid":
        polar = np.pi * (b + 1) / 2
        return np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], 1)
    caps = [np.stack([r * np.cos(turn), r * np.sin(turn), s + 0 * a], 1) for r in (1.0, 0.6, 0.2) for s in (-1, 1)]
    return np.concatenate([*caps, np.stack([np.cos(turn), np.sin(turn), b], 1)])


def _axes(item: ObjectInstance | None, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """R_world_part and the part's centre in the world."""
    R_world_item = Rotation.from_euler("z", item.yaw if item else 0.0)
    center = R_world_item.apply(part.center) + (item.position if item else 0.0)
    return (R_world_item * Rotation.from_rotvec(part.rotvec)).as_matrix(), center


def _surface(item: ObjectInstance | None, part: Part) -> np.ndarray:
    R_world_part, center = _axes(item, part)
    return (_unit_surface(part.shape) * part.half_size) @ R_world_part.T + center


def _is_inside(points: np.ndarray, item: ObjectInstance | None, part: Part, margin: float = TOLERANCE_M) -> np.ndarray:
    R_world_part, center = _axes(item, part)
    half = np.array(part.half_size) - margin
    if half.min() <= 0:
        return np.zeros(len(points), dtype=bool)
    unit = (points - center) @ R_world_part / half
    if part.shape == "box":
        return (np.abs(unit) < 1).all(1)
    if part.shape == "ellipsoid":
        return (unit**2).sum(1) < 1
    return ((unit[:, :2] ** 2).sum(1) < 1) & (np.abs(unit[:, 2]) < 1)


@cache
def _samples(seed: int) -> list[np.ndarray]:
    return [np.concatenate([_surface(item, p) for p in item.parts]) for item in room(seed).items]


def _enters(points: np.ndarray, item: ObjectInstance | None, parts: tuple[Part, ...]) -> bool:
    low, high = points.min(0), points.max(0)
    R_world_item, origin = (item.rotation(), item.position) if item else (np.eye(3), np.zeros(3))
    for part in parts:
        center, reach = R_world_item @ part.center + origin, np.linalg.norm(part.half_size)
        if (center - reach < high).all() and (low < center + reach).all() and _is_inside(points, item, part).any():
            return True
    return False


def penetrations(seed: int) -> list[tuple[str, str]]:
    scene, points = room(seed), _samples(seed)
    low, high = np.array([p.min(0) for p in points]), np.array([p.max(0) for p in points])
    found = []
    for i, j in combinations(range(len(points)), 2):
        if ((low[i] < high[j]) & (low[j] < high[i])).all():
            a, b = scene.items[i], scene.items[j]
            if _enters(points[i], b, b.parts) or _enters(points[j], a, a.parts):
                found.append((a.item_id, b.item_id))
    return found


@pytest.mark.parametrize("seed", range(NUM_ROOMS))
def test_no_object_enters_another(seed: int) -> None:
    assert penetrations(seed) == []


@pytest.mark.parametrize("seed", range(NUM_ROOMS))
def test_no_object_enters_the_shell_or_leaves_the_room(seed: int) -> None:
    scene = room(seed)
    for item, points in zip(scene.items, _samples(seed), strict=True):
        assert (points > -TOLERANCE_M).all() and (points < np.array(scene.room_size) + TOLERANCE_M).all(), item.item_id
        assert not _enters(points, None, scene.shell), item.item_id


def _is_carried(scene: Scene, item: ObjectInstance, points: np.ndarray) -> bool:
    """The bottom has something 2 mm below it; hung things touch what they hang from."""
    if item.rests_on == "floor":
        return abs(points[:, 2].min()) < 2 * TOLERANCE_M
    if item.rests_on == "ceiling":
        return abs(points[:, 2].max() - scene.room_size[2]) < 1e-5
    if item.rests_on == "wall":
        x, y, _ = scene.room_size
        gaps = [points[:, 1].min(), points[:, 0].min(), y - points[:, 1].max(), x - points[:, 0].max()]
        return abs(gaps[WALL_YAW.index(min(WALL_YAW, key=lambda w: abs(w - item.yaw)))]) < 1e-5
    carrier = next(i for i in scene.items if i.item_id == item.rests_on)
    below = points[points[:, 2] < points[:, 2].min() + TOLERANCE_M] - (0, 0, 2 * TOLERANCE_M)
    # A bench has slats: a bottle may stand on two of them.
    return np.any([_is_inside(below, carrier, p, 0.0) for p in carrier.parts], axis=0).mean() > 0.6


@pytest.mark.parametrize("seed", range(NUM_ROOMS))
def test_nothing_floats(seed: int) -> None:
    scene = room(seed)
    assert [i.item_id for i, p in zip(scene.items, _samples(seed), strict=True) if not _is_carried(scene, i, p)] == []


def test_rooms_hold_many_objects_and_several_of_a_kind() -> None:
    numbers = [len(scene.items) for scene in rooms()]
    assert min(numbers) >= 14 and max(numbers) <= 32 and np.median(numbers) >= 18
    assert np.mean([len(several_of_a_kind(scene)) >= 2 for scene in rooms()]) >= 0.9
    assert len({item.kind for scene in rooms() for item in scene.items}) >= 40


def test_instances_of_a_kind_look_alike_in_some_rooms_and_different_in_others() -> None:
    same = [len({i.parts for i in scene.items if i.kind == "mug"}) for scene in rooms()]
    count = [sum(i.kind == "mug" for i in scene.items) for scene in rooms()]
    assert any(c > 1 and s == 1 for c, s in zip(count, same, strict=True))
    assert any(s > 1 for s in same)


def test_most_cupboards_and_beds_have_their_back_to_a_wall() -> None:
    gaps = []
    for scene in rooms():
        for item in (i for i in scene.items if KINDS[i.kind].placement == "wall-side"):
            low, _ = item.bounds
            x, y, _ = np.array(item.position) + item.rotation() @ (0.0, low[1], 0.0)
            gaps.append(np.abs([x, y, scene.room_size[0] - x, scene.room_size[1] - y]).min())
    assert np.mean(np.array(gaps) < 0.06) > 0.7
    assert np.max(gaps) > 0.5, "some stand free, to hide what is behind them"


def test_floors_walls_and_sizes_vary() -> None:
    looks = {scene.shell[0].material.texture for scene in rooms()}, {scene.shell[2].material for scene in rooms()}
    assert len(looks[0]) >= 4 and len(looks[1]) >= 12
    size = np.array([scene.room_size for scene in rooms()])
    assert (size.min(0) >= (4, 4, 2.5)).all() and (size.max(0) <= (8, 8, 3)).all() and (size.std(0) > 0.1).all()


def test_the_light_is_inside_the_room_and_inside_nothing_else() -> None:
    for scene in rooms():
        lamp = np.array([scene.light.position])
        assert (lamp > 0).all() and (lamp < scene.room_size).all()
        assert not _enters(lamp, None, scene.shell)
        assert not any(_enters(lamp, item, item.parts) for item in scene.items)


def test_a_seed_gives_the_same_room_in_any_order_and_process() -> None:
    again = [make_room(seed).to_json() for seed in (3, 1, 2)]
    assert again == [room(seed).to_json() for seed in (3, 1, 2)]
    program = "from synth.rooms import make_room; print(make_room(1).to_json())"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    )
    assert answer.stdout.strip() == again[1]


def test_a_room_drawn_from_a_generator_can_be_made_again_from_its_seed() -> None:
    scene = make_room(np.random.default_rng(4), scene_id="a")
    assert make_room(scene.seed, scene_id="a") == scene
    assert make_room(np.random.SeedSequence(4), scene_id="a") != make_room(np.random.SeedSequence(5), scene_id="a")


def test_every_type_of_room_can_be_asked_for() -> None:
    for name, kind in {"bathroom": "toilet", "kitchen": "stove", "living room": "sofa", "bedroom": "bed"}.items():
        assert name in ROOM_TYPES
        assert any(kind in {i.kind for i in make_room(seed, room_type=name).items} for seed in range(2))


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="seed must be >= 0"):
        make_room(-1)
    with pytest.raises(ValueError, match="room_type must be one of"):
        make_room(0, room_type="cellar")
