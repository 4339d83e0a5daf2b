"""The second implementation of mesh scenes agrees with the first on boxes, pixels, shares and sight."""

from __future__ import annotations

import ast
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_scenes import ITEM_PIECES, furnished
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth import twin_mesh
from synth.evidence import Sight
from synth.free_space import level_pose
from synth.mesh_evidence import MeshEvidence
from synth.mesh_scene import MeshScene, MeshSource, build_scene
from synth.mesh_world import MeshWorld
from synth.presets import PRESETS
from synth.read_mesh import read_mesh_scene
from synth.stages import Stages
from synth.transition import ROOM, UNKNOWN
from synth.twin import TwinCamera
from synth.twin_mesh import TwinMesh
from synth.verify_scene import Twin

pytest.importorskip("trimesh", reason="the extra `mesh` is not installed")

KEYS = ("visible", "hidden", "outside", "behind")
SIZE = (120, 90)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> MeshWorld:
    """The furnished room with the sky above, so that some rays meet nothing."""
    path = tmp_path_factory.mktemp("mesh") / "room.glb"
    made = furnished()
    made.delete_geometry("Ceiling")
    made.export(path)
    how = {"image_size": SIZE, "preset": PRESETS["theodolite"], "labels_only": True, "stages": Stages()}
    return MeshWorld(read_mesh_scene(path), "room", seed=np.random.SeedSequence(0), **how)


@cache
def twin_of(world: MeshWorld) -> TwinMesh:
    return TwinMesh(json.loads(json.dumps(world.scene_json([]))))


def twin_camera(T_world_cam: SE3, camera: PinholeCamera) -> TwinCamera:
    return TwinCamera(camera.K.numpy(), camera.width, camera.height, T_world_cam.matrix().numpy())


def any_pose(seed: int) -> SE3:
    """A camera in the room, turned any way."""
    rng = np.random.default_rng(seed)
    xi = np.concatenate([np.zeros(3), rng.uniform(-2, 2, 3)])
    R = SE3.exp(torch.from_numpy(xi)).R
    return SE3(R, torch.from_numpy(rng.uniform([-2.9, -2.4, 0.1], [2.9, 2.4, 2.4])))


def test_it_is_a_twin(world: MeshWorld) -> None:
    twin = twin_of(world)
    assert isinstance(twin, Twin)
    assert twin.item_ids == list(world.evidence.item_ids) and twin.kinds == list(world.evidence.kinds)


def test_it_uses_nothing_of_the_engine() -> None:
    tree = ast.parse(Path(twin_mesh.__file__).read_text())
    used = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in used if name.split(".")[0] not in ("base64", "dataclasses", "functools", "typing")} == {
        "__future__",
        "numpy",
        "numpy.typing",
        "synth.twin",
        "synth.twin_shapes",
    }


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_boxes_agree_from_anywhere(world: MeshWorld, seed: int) -> None:
    T = any_pose(seed)
    found = [twin_of(world).amodal_box(i, twin_camera(T, world.camera)) for i in range(len(ITEM_PIECES))]
    assert np.allclose(found, world.evidence.boxes(T, world.camera), atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("heading", [-2.0, 0.0, 1.0, 3.0])
def test_boxes_agree_where_an_item_goes_on_behind_the_camera(world: MeshWorld, heading: float) -> None:
    table = ITEM_PIECES[0].center
    T, item = level_pose(table[0], table[1], 0.95, heading), world.evidence.kinds.index("dining table")
    found = twin_of(world).amodal_box(item, twin_camera(T, world.camera))
    assert np.allclose(found, world.evidence.boxes(T, world.camera)[item], atol=1e-6)
    assert found[3] == SIZE[1]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=12)
def test_pixels_and_visible_boxes_agree_from_anywhere(world: MeshWorld, seed: int) -> None:
    T = any_pose(seed)
    cam, view = twin_camera(T, world.camera), world.view(T)
    u, v = (grid.ravel() + 0.5 for grid in np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])))
    z, owner = twin_of(world).surface(cam, u, v)
    same = owner == view.item_idx.ravel()
    # Rays along an edge may fall on either side of it, in float32.
    assert same.mean() > 0.999
    assert np.array_equal(np.isnan(z[same]), (view.item_idx == UNKNOWN).ravel()[same])
    close = np.abs(z - view.z_depth.ravel())[same & (owner != UNKNOWN)] < 1e-3
    assert close.mean() > 0.999
    sight = Sight(world.evidence, T, world.camera, view)
    for item in range(len(ITEM_PIECES)):
        found = twin_of(world).visible_box(item, cam, sight.amodal[item])
        assert np.allclose(found, sight.visible[item], atol=1, equal_nan=True)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=12)
def test_shares_agree_from_anywhere(world: MeshWorld, seed: int) -> None:
    T = any_pose(seed)
    cam = twin_camera(T, world.camera)
    for item in range(len(ITEM_PIECES)):
        ours = world.evidence.partition(item, T, world.camera)
        if ours is None:
            continue
        theirs = twin_of(world).partition(item, cam)
        assert theirs is not None
        for key in KEYS:
            assert theirs[key] == pytest.approx(getattr(ours, key), abs=0.03), (item, key)
        for by, share in ours.hidden_by:
            assert theirs["hidden_by"].get(by, 0) == pytest.approx(share, abs=0.03)


def test_points_are_seen_by_both_or_neither(world: MeshWorld) -> None:
    rng, seen = np.random.default_rng(0), []
    for seed in range(6):
        T = any_pose(seed)
        points = rng.uniform([-3, -2.5, 0], [3, 2.5, 2.7], (300, 3))
        ours = world.evidence.is_seen(torch.from_numpy(points), T)
        assert (ours == twin_of(world).sees(points, T.t.numpy())).mean() > 0.99
        seen.append(ours.mean())
    assert 0.2 < np.mean(seen) < 0.98


def test_landmarks_are_on_items_in_view(world: MeshWorld) -> None:
    cam = twin_camera(world.T_world_anchor, world.camera)
    uv = twin_of(world).landmarks(cam)
    assert len(uv) >= 4 and (uv >= 0).all() and (uv < SIZE).all()
    assert (twin_of(world).surface(cam, *uv.T)[1] >= 0).mean() > 0.3


def ball(triangles: int, radius: float) -> NDArray[np.float64]:
    """Corners of a ball of strips of longitude."""
    n = round(math.sqrt(triangles / 4))
    lat, lon = np.meshgrid(np.linspace(0, np.pi, n + 1), np.linspace(0, 2 * np.pi, 2 * n + 1), indexing="ij")
    p = radius * np.stack([np.sin(lat) * np.cos(lon), np.sin(lat) * np.sin(lon), np.cos(lat)], -1)
    a, b, c, d = p[:-1, :-1], p[1:, :-1], p[1:, 1:], p[:-1, 1:]
    return np.concatenate([np.stack([a, b, c], -2).reshape(-1, 3, 3), np.stack([a, c, d], -2).reshape(-1, 3, 3)])


def ball_scene(triangles: int) -> MeshScene:
    from synth.mesh_scene import MeshItem

    item, around = ball(triangles, 0.5), ball(400, 4.0)[:, ::-1]
    owner = np.repeat([0, ROOM], [len(item), len(around)])
    colors = np.full((len(owner), 3), 100, np.uint8)
    return build_scene(
        MeshSource("ball.glb"), (MeshItem("ball_1", "ball"),), np.concatenate([item, around]), owner, colors
    )


@pytest.mark.parametrize("distance", [0.6, 1.0, 3.0])
def test_a_ball_of_many_triangles_covers_what_a_ball_does(distance: float) -> None:
    scene = ball_scene(20_000)
    twin, camera = TwinMesh(scene.to_dict()), PinholeCamera.from_hfov(math.radians(150), 200, 200)
    T = SE3(torch.eye(3).double(), torch.tensor([0.0, 0.0, -distance]).double())
    cam = twin_camera(T, camera)
    shares = twin.partition(0, cam)
    assert shares is not None and shares["visible"] == pytest.approx(1)
    focal, tangent = float(camera.K[0, 0]), math.tan(math.asin(0.5 / distance))
    expected = [100 - focal * tangent] * 2 + [100 + focal * tangent] * 2
    assert np.allclose(twin.amodal_box(0, cam), expected, atol=0.2)
    assert np.allclose(MeshEvidence(scene).boxes(T, camera)[0], twin.amodal_box(0, cam), atol=1e-6)
    z, owner = twin.surface(cam, np.array([100.0]), np.array([100.0]))
    assert z[0] == pytest.approx(distance - 0.5, abs=1e-3) and owner[0] == 0


def test_a_ray_meets_the_inside_of_a_closed_scene_everywhere() -> None:
    twin = TwinMesh(ball_scene(400).to_dict())
    direction = np.random.default_rng(0).normal(size=(20_000, 3))
    t, owner = twin.first(np.array([0.0, 0.0, 2.0]), direction)
    assert np.isfinite(t).all() and 0 < (owner == 0).mean() < 0.1
    t, owner = twin.first(np.array([0.0, 0.0, 2.0]), direction, twin.of_item(0))
    assert (np.isfinite(t) == (owner == 0)).all() and np.isinf(t).mean() > 0.9
