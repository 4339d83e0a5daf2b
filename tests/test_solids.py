"""Solids: distances and gaps against brute force."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from synth.rooms import make_room
from synth.scene import SHAPES
from synth.solids import Solids, come_within, distance, separation


def random_solids(rng: np.random.Generator, num: int, shape: int | None = None) -> Solids:
    code = rng.integers(len(SHAPES), size=num) if shape is None else np.full(num, shape)
    half = rng.uniform(0.05, 1.0, (num, 3))
    half[code == SHAPES.index("disc"), 2] = 0.0
    turn = Rotation.random(num, random_state=rng).as_matrix()
    return Solids(code, turn, rng.normal(size=(num, 3)), half, np.arange(num))


def filled(solid: Solids, num: int = 4000) -> np.ndarray:
    """Points in one solid, its surface included."""
    rng = np.random.default_rng(0)
    unit = rng.uniform(-1, 1, (num, 3))
    if solid.shape_code[0] == SHAPES.index("box"):
        unit[: num // 2] = np.sign(unit[: num // 2]) * np.maximum(
            np.abs(unit[: num // 2]), rng.integers(2, size=(num // 2, 3))
        )
    else:
        flat = 3 if solid.shape_code[0] == SHAPES.index("ellipsoid") else 2
        unit[:, :flat] /= np.maximum(
            np.linalg.norm(unit[:, :flat], axis=1, keepdims=True), 1.0 - 0.5 * rng.uniform(size=(num, 1))
        )
        unit[:, :flat] /= np.maximum(np.linalg.norm(unit[:, :flat], axis=1, keepdims=True), 1.0)
    return (unit * solid.half_size[0]) @ solid.R_world_part[0].T + solid.center[0]


def test_distance_is_never_more_than_to_a_sampled_point_and_close_to_the_least() -> None:
    rng = np.random.default_rng(1)
    solids, points = random_solids(rng, 60), rng.normal(size=(60, 7, 3)) * 2
    gap = distance(solids, points)
    for i in range(60):
        sampled = np.linalg.norm(points[i][:, None] - filled(solids[i : i + 1]), axis=-1).min(1)
        assert (gap[i] <= sampled + 1e-9).all()
        assert (sampled - gap[i] < 0.12).all()


def test_distance_from_a_box_by_hand() -> None:
    box = Solids(np.array([0]), np.eye(3)[None], np.array([[1.0, 0, 0]]), np.array([[1.0, 2, 3]]), np.array([0]))
    points = np.array([[[5.0, 6.0, 0.0], [1.5, 1.0, 1.0], [-1.0, 0.0, 0.0]]])
    # (5, 6): 3 beyond x = 2 and 4 beyond y = 2; then inside; then 1 beyond x = 0.
    assert np.allclose(distance(box, points), [[5.0, 0.0, 1.0]])


def test_distance_from_an_ellipsoid_equals_bisection() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        half, q = 10 ** rng.uniform(-2, 0.3, 3), np.abs(rng.normal(size=3)) * 3
        ball = Solids(np.array([2]), np.eye(3)[None], np.zeros((1, 3)), half[None], np.array([0]))
        low, high = 0.0, float(np.linalg.norm(half * q)) + 1
        for _ in range(80):
            middle = (low + high) / 2
            outside = ((half * q / (middle + half**2)) ** 2).sum() > 1
            low, high = (middle, high) if outside else (low, middle)
        exact = np.linalg.norm(low * q / (low + half**2))
        assert exact - 1e-5 < distance(ball, q[None, None])[0, 0] < exact + 1e-9


def test_separation_is_never_more_than_the_gap_between_boxes_and_positive_when_they_are_apart() -> None:
    rng = np.random.default_rng(3)
    a, b = random_solids(rng, 80, 0), random_solids(rng, 80, 0)
    gap = separation(a, b)
    assert (gap > 0).sum() > 10 and (gap < 0).sum() > 10
    for i in range(80):
        points_a, points_b = filled(a[i : i + 1]), filled(b[i : i + 1])
        b_from_a = distance(b[i : i + 1], points_a[None]).min()
        if gap[i] < 0:
            assert b_from_a < 0.1
        else:
            assert b_from_a >= gap[i] - 1e-9
            assert distance(a[i : i + 1], points_b[None]).min() >= gap[i] - 1e-9


def test_separation_of_aligned_boxes_by_hand() -> None:
    cube = Solids(np.array([0]), np.eye(3)[None], np.zeros((1, 3)), np.ones((1, 3)), np.array([0]))
    for away, expected in ((2.5, 0.5), (2.0, 0.0), (1.25, -0.75)):
        moved = cube.placed((away, 0.0, 0.0), 0.0, 0)
        assert np.isclose(separation(cube, moved)[0], expected)
        assert come_within(cube, moved, 0.6) and come_within(cube, moved, 0.4) == (expected < 0.4)


def test_solids_of_a_scene_are_those_of_the_engine() -> None:
    scene = make_room(11)
    ours, theirs = Solids.of_scene(scene), scene.primitives()
    assert np.allclose(ours.R_world_part, theirs.T_world_prim.R.numpy())
    assert np.allclose(ours.center, theirs.T_world_prim.t.numpy())
    assert np.array_equal(ours.item_idx, theirs.item_idx.numpy())
    assert np.array_equal(ours.shape_code, theirs.shape_code.numpy())


def test_bounds_hold_the_solids_and_touch_them() -> None:
    rng = np.random.default_rng(4)
    for i in range(12):
        solid = random_solids(rng, 1, i % 4)
        low, high = solid.bounds()
        points = filled(solid, 20000)
        assert (points >= low - 1e-9).all() and (points <= high + 1e-9).all()
        assert (points.min(0) - low < 0.1).all() and (high - points.max(0) < 0.1).all()
