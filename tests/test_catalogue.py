"""Every kind of object stands, holds together and fits the sizes that the layout relies on."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from synth.catalogue import KINDS, build
from synth.kinds_base import Built, box, post, ring, rod, settle
from synth.scene import Material, Part, bounds_of

WHITE = Material((1, 1, 1))
PLACEMENTS = {"floor", "wall-side", "surface", "wall", "ceiling"}


@cache
def draw(name: str, seed: int) -> Built:
    return build(name, np.random.default_rng(seed))


def draws(name: str, num: int) -> list[Built]:
    return [draw(name, seed) for seed in range(num)]


def test_there_are_enough_kinds_of_every_placement():
    assert len(KINDS) >= 24
    assert {kind.placement for kind in KINDS.values()} == PLACEMENTS


@pytest.mark.parametrize("name", KINDS)
def test_draws_stand_on_the_ground_within_the_declared_size(name):
    # Shape checks at run time make kinds of many parts slow to build.
    for built in draws(name, 50 if len(draw(name, 0).parts) <= 40 else 15):
        low, high = bounds_of(built.parts)
        assert abs(low[2]) < 1e-6
        assert np.abs(low[:2] + high[:2]).max() < 3e-6, "footprint not centred"
        assert (built.size <= KINDS[name].max_size).all()
        assert (built.size > 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_draws_differ_and_repeat(name):
    first, again, other = (build(name, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again
    assert first.parts != other.parts


def surface_points(part: Part, spacing: float = 0.012) -> np.ndarray:
    """Points inside a part, in the item frame."""
    counts = np.clip(2 * np.array(part.half_size) / spacing, 3, 40).astype(int)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in counts), indexing="ij"), -1).reshape(-1, 3)
    grid = grid[inside_unit(part.shape, grid, 1e-9)]
    return Rotation.from_rotvec(part.rotvec).apply(grid * part.half_size) + part.center


def inside_unit(shape: str, s: np.ndarray, slack: np.ndarray | float) -> np.ndarray:
    if shape == "box":
        return (np.abs(s) <= 1 + slack).all(-1)
    if shape == "ellipsoid":
        return np.linalg.norm(s, axis=-1) <= 1 + np.max(slack)
    return (np.linalg.norm(s[:, :2], axis=-1) <= 1 + np.max(slack)) & (np.abs(s[:, 2]) <= 1 + np.max(slack))


def holds(part: Part, points: np.ndarray, tolerance: float = 0.002) -> bool:
    half = np.array(part.half_size)
    s = Rotation.from_rotvec(part.rotvec).inv().apply(points - part.center) / half
    slack = tolerance / half if part.shape == "box" else tolerance / half.min()
    return bool(inside_unit(part.shape, s, slack).any())


def islands(parts: tuple[Part, ...]) -> int:
    """Number of groups of parts that touch each other."""
    group = list(range(len(parts)))
    bounds = [(np.array(p.center) - p.extent(), np.array(p.center) + p.extent()) for p in parts]
    points: dict[int, np.ndarray] = {}
    for i, j in combinations(range(len(parts)), 2):
        apart = (bounds[i][0] > bounds[j][1] + 0.002).any() or (bounds[j][0] > bounds[i][1] + 0.002).any()
        if group[i] == group[j] or apart:
            continue
        for k in (i, j):
            if k not in points:
                points[k] = surface_points(parts[k])
        if holds(parts[i], points[j]) or holds(parts[j], points[i]):
            group = [group[i] if g == group[j] else g for g in group]
    return len(set(group))


def test_a_floating_part_is_noticed():
    table = [box(0, 0, 0, 0.1, 0.1, 0.5, WHITE), box(0, 0, 0.5, 1, 1, 0.05, WHITE)]
    assert islands(tuple(table)) == 1
    assert islands((*table, box(0, 0, 0.56, 0.1, 0.1, 0.1, WHITE))) == 2


@pytest.mark.parametrize("name", KINDS)
def test_no_part_floats(name):
    for built in draws(name, 2):
        assert islands(built.parts) == 1


def flat_faces(parts: tuple[Part, ...], axis: int, side: int) -> tuple[np.ndarray, ...]:
    """Axis-aligned faces that look one way: their parts, places, low and high corners across the axis."""
    straight = [i for i, p in enumerate(parts) if not any(p.rotvec) and p.shape in ("box", "cylinder")]
    # Of a cylinder only the caps are flat; the square inside a cap stands for it.
    used = [i for i in straight if parts[i].shape == "box" or axis == 2]
    center = np.array([parts[i].center for i in used]).reshape(-1, 3)
    half = np.array([parts[i].half_size for i in used]).reshape(-1, 3)
    reach = half * np.array([1.0 if parts[i].shape == "box" else 0.7 for i in used])[:, None]
    across = [k for k in range(3) if k != axis]
    place = center[:, axis] + side * half[:, axis]
    return np.array(used), place, (center - reach)[:, across], (center + reach)[:, across]


def fighting_faces(parts: tuple[Part, ...]) -> list[tuple[int, int]]:
    """Pairs of parts with faces in one plane that face the same way and overlap."""
    found = []
    for axis in range(3):
        for side in (-1, 1):
            used, place, low, high = flat_faces(parts, axis, side)
            shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
            clash = (np.abs(place[:, None] - place) < 4e-4) & (shared.min(-1, initial=9) > 5e-3)
            if (axis, side) == (2, -1):
                clash &= np.abs(place) > 1e-6  # nobody sees the soles
            found += [(int(used[i]), int(used[j])) for i, j in np.argwhere(np.triu(clash, 1))]
    return found


def test_coincident_faces_are_noticed():
    assert fighting_faces((box(0, 0, 0.1, 1, 1, 0.5, WHITE), box(0.2, 0, 0.3, 1, 1, 0.3, WHITE))) == [(0, 1)] * 3
    assert fighting_faces((box(0, 0, 0.1, 1, 1, 0.5, WHITE), box(0, 0, 0.3, 0.9, 0.9, 0.31, WHITE))) == []


@pytest.mark.parametrize("name", KINDS)
def test_no_two_faces_of_an_object_coincide(name):
    for built in draws(name, 6):
        assert fighting_faces(built.parts) == []


def test_supports_lie_on_top_of_something_and_nothing_stands_on_them():
    num = 0
    for name in KINDS:
        for built in draws(name, 5):
            for support in built.supports:
                num += 1
                spot = np.array([*support.center, support.height])
                assert min(support.half_size) > 0.05
                assert any(holds(part, spot[None], 1e-4) for part in built.parts), name
                above = spot[None] + np.array([[x * support.half_size[0], y * support.half_size[1], 0.01]
                                               for x in (-1, 0, 1) for y in (-1, 0, 1)])  # fmt: skip
                assert not any(holds(part, above, 0) for part in built.parts), name
    assert num >= 40


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of .*'sofa'.*, got 'dragon'"):
        build("dragon", np.random.default_rng(0))


def test_settling_moves_parts_and_supports_alike():
    plain = settle([box(1, 2, 3, 0.4, 0.6, 0.5, WHITE)])
    assert plain.parts[0].center == (0.0, 0.0, 0.25)
    assert plain.size == pytest.approx([0.4, 0.6, 0.5])


def test_a_rod_joins_its_ends():
    bar = rod((0, 0, 0), (0.3, -0.4, 1.2), 0.02, WHITE)
    tip = Rotation.from_rotvec(bar.rotvec).apply([0, 0, bar.half_size[2]]) + bar.center
    assert tip == pytest.approx([0.3, -0.4, 1.2], abs=2e-6)
    assert rod((0, 0, 1), (0, 0, 0), 0.02, WHITE).half_size[2] == 0.5


def test_staves_of_a_ring_leave_no_gap():
    staves = ring((0, 0, 0), (0.3, 0.2), 0.1, 0.01, WHITE, 16)
    t = np.linspace(0, 2 * np.pi, 200)
    rim = np.stack([0.3 * np.cos(t), 0.2 * np.sin(t), 0 * t + 0.05], 1)
    assert all(any(holds(stave, p[None], 0.004) for stave in staves) for p in rim)
    assert not any(holds(stave, np.array([[0.0, 0.0, 0.05]])) for stave in staves)


def test_a_post_stands_where_it_is_put():
    low, high = bounds_of([post(1, 2, 0.5, 0.1, 0.4, WHITE, 0.2)])
    assert low == pytest.approx([0.9, 1.8, 0.5])
    assert high == pytest.approx([1.1, 2.2, 0.9])
