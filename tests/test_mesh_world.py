"""A scene from a file is labelled as the same scene from primitives, and its camera stays over floor, off furniture."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mesh_scenes import ITEM_PIECES, KINDS, ROOM_PIECES, Piece, furnished, solids

from geom.camera import PinholeCamera
from geom.primitives import BOX
from geom.se3 import SE3
from synth.evidence import Evidence, SolidsEvidence
from synth.free_space import CLEARANCE_M, level_pose
from synth.mesh_evidence import MeshEvidence, winding
from synth.mesh_scene import MeshScene
from synth.mesh_space import HEIGHT_M, MeshSpace
from synth.mesh_world import MeshWorld
from synth.presets import PRESETS
from synth.read_mesh import read_mesh_scene
from synth.stages import Stages
from synth.transition import ROOM, UNKNOWN
from synth.worlds import World

pytest.importorskip("trimesh", reason="the extra `mesh` is not installed")

CAMERA = PinholeCamera.from_hfov(math.radians(75), 160, 120)
ALL = ROOM_PIECES + ITEM_PIECES


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> MeshScene:
    return scene_of(tmp_path_factory.mktemp("mesh"))


def scene_of(folder: Path, pieces: tuple[Piece, ...] = ALL) -> MeshScene:
    furnished(pieces=pieces).export(folder / "room.glb")
    return read_mesh_scene(folder / "room.glb")


def world_of(scene: MeshScene, seed: int = 0, *, preset: str = "theodolite", labels_only: bool = True) -> MeshWorld:
    return MeshWorld(
        scene,
        "room_0",
        image_size=(160, 120),
        seed=np.random.SeedSequence(seed),
        preset=PRESETS[preset],
        labels_only=labels_only,
        stages=Stages(),
    )


@cache
def poses(count: int = 12) -> list[SE3]:
    """Cameras anywhere in the room, some of them inside of furniture or right before it."""
    rng = np.random.default_rng(4)
    return [
        level_pose(*rng.uniform([-2.9, -2.4, 0.3], [2.9, 2.4, 2.5]).tolist(), rng.uniform(-3, 3)) for _ in range(count)
    ]


def test_boxes_and_shares_are_those_of_the_same_scene_in_primitives(scene: MeshScene) -> None:
    mesh, oracle = MeshEvidence(scene), solids()
    place = {kind: oracle.kinds.index(kind) for kind in mesh.kinds}
    compared = 0
    for T in poses():
        found, expected = mesh.boxes(T, CAMERA), oracle.boxes(T, CAMERA)
        for i, kind in enumerate(mesh.kinds):
            assert np.allclose(found[i], expected[place[kind]], atol=1e-3 * CAMERA.width, equal_nan=True), kind
            ours, theirs = mesh.partition(i, T, CAMERA), oracle.partition(place[kind], T, CAMERA)
            assert (ours is None) == (theirs is None)
            if ours is None or theirs is None:
                continue
            compared += 1
            for name in ("visible", "hidden", "outside", "behind"):
                assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=0.01), (kind, name)
            by = {oracle.kinds[j] if j >= 0 else "room": share for j, share in theirs.hidden_by if share > 0.02}
            mine = {mesh.kinds[j] if j >= 0 else "room": share for j, share in ours.hidden_by}
            assert all(mine[name] == pytest.approx(share, abs=0.01) for name, share in by.items())
    assert compared > 60


def test_an_item_across_the_near_plane_has_the_box_of_what_is_before_it(scene: MeshScene) -> None:
    mesh, oracle = MeshEvidence(scene), solids()
    table = Piece(*ITEM_PIECES[0])
    for heading in np.linspace(-3, 3, 7).tolist():
        # Above the table, so that it goes on behind the camera.
        T = level_pose(table.center[0], table.center[1], 0.95, heading)
        found = mesh.boxes(T, CAMERA)[mesh.kinds.index("dining table")]
        expected = oracle.boxes(T, CAMERA)[oracle.kinds.index("dining table")]
        assert np.isfinite(found).all() and np.allclose(found, expected, atol=1e-6)


def test_inside_of_an_item_shares_are_undefined(scene: MeshScene) -> None:
    evidence = MeshEvidence(scene)
    cabinet = evidence.kinds.index("cabinet")
    T_in, T_beside = level_pose(2.6, -0.8, 0.7, 0.3), level_pose(2.0, -0.8, 0.7, 0.3)
    assert evidence.partition(cabinet, T_in, CAMERA) is None
    assert evidence.partition(cabinet, T_beside, CAMERA) is not None
    corners = scene.corners[scene.item_idx == cabinet]
    assert winding(corners, T_in.t.numpy()) == pytest.approx(1)
    assert winding(corners, T_beside.t.numpy()) == pytest.approx(0, abs=1e-9)


def test_pictures_show_what_the_primitives_show(scene: MeshScene) -> None:
    world, oracle = world_of(scene, labels_only=False), solids()
    view = next(world.frames())
    direction = world.T_world_anchor.rotate(world.camera.rays(world.camera.pixel_centers()))
    hit = oracle.caster.cast(world.T_world_anchor.t, direction)
    kinds = np.array([*world.evidence.kinds, "room"])[view.item_idx]
    expected = np.array([*oracle.kinds, "room"])[oracle.owner.take(hit.prim_idx.numpy(), mode="wrap")]
    assert (kinds != expected).mean() < 2e-3
    same = kinds == expected
    assert np.abs(view.z_depth - hit.t.numpy())[same].max() < 5e-3
    assert view.image is not None and view.image.std() > 10 and len(np.unique(view.item_idx)) > 2
    assert next(world_of(scene).frames()).image is None


def test_it_is_a_world_with_evidence_and_a_scene_that_can_be_rebuilt(scene: MeshScene) -> None:
    world = world_of(scene)
    assert isinstance(world, World) and isinstance(world.evidence, Evidence)
    written = json.loads(json.dumps(world.scene_json([])))
    assert written["type"] == "mesh" and written["scene_id"] == "room_0"
    again = MeshScene.from_dict({k: v for k, v in written.items() if k not in ("type", "scene_id")})
    assert np.array_equal(again.corners, scene.corners) and again.items == scene.items


def told(world: MeshWorld) -> list:
    left = Counter()
    trajectories = [(t.traj_id, t.actions.text(), t.T_world_cam.matrix().tolist()) for t, _ in world.trajectories(left)]
    return [trajectories, left, world.camera.K.tolist(), next(world.frames()).item_idx.tolist()]


def test_the_same_seed_gives_the_same_world_and_another_seed_another(scene: MeshScene) -> None:
    seed = np.random.SeedSequence(3)
    how = {"image_size": (64, 48), "preset": PRESETS["svc"], "labels_only": True}
    first, again = (MeshWorld(scene, "a", seed=seed, stages=Stages(), **how) for _ in range(2))
    assert told(first) == told(again)
    assert told(world_of(scene, 1)) != told(world_of(scene, 2))


def gap(point: np.ndarray, piece: Piece) -> float:
    """Distance from a point to the box around a piece; a cylinder may be further."""
    offset = point - np.array(piece.center)
    c, s = math.cos(piece.yaw), math.sin(piece.yaw)
    local = np.array([c * offset[0] + s * offset[1], -s * offset[0] + c * offset[1], offset[2]])
    outside = np.maximum(np.abs(local) - piece.half, 0)
    if piece.code != BOX:
        outside[:2] = max(math.hypot(local[0], local[1]) - piece.half[0], 0), 0
    return float(np.linalg.norm(outside))


@pytest.mark.parametrize("preset", ["theodolite", "svc_teacher"])
def test_the_camera_stays_over_floor_and_off_furniture(scene: MeshScene, preset: str) -> None:
    count = 0
    for seed in range(4):
        world = world_of(scene, seed, preset=preset)
        assert HEIGHT_M[0] <= world.T_world_anchor.t[2] <= HEIGHT_M[1]
        for traj, about in world.trajectories(Counter()):
            count += 1
            assert about["teacher"] == "render" and about["preset"] == preset
            T = world.T_world_anchor @ traj.actions.poses()
            corners = T.t.numpy()
            path = np.concatenate([np.linspace(p, q, 60) for p, q in zip(corners[:-1], corners[1:], strict=True)])
            assert (np.abs(path[:, 0]) < 3).all() and (np.abs(path[:, 1]) < 2.5).all()
            assert min(gap(point, piece) for point in path for piece in ALL) >= CLEARANCE_M - 1e-4
            assert np.allclose(traj.T_world_cam.matrix()[1], T.matrix()[-1])
    assert count > 15


def test_motions_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    small = Piece("floor", BOX, (-1.7, 0.6, -0.05), (0.6, 0.6, 0.05))
    world, left = world_of(scene_of(tmp_path, (small, ITEM_PIECES[1])), preset="svc_teacher"), Counter()
    found = list(world.trajectories(left))
    assert sum(left.values()) > 0 and len(found) + sum(left.values()) == 9
    assert all(cause.startswith("trajectory: no free path in 40 draws of a ") for cause in left)


def test_claims_are_motions_that_there_is_space_for(scene: MeshScene) -> None:
    world, rng = world_of(scene), np.random.default_rng(0)
    traj = next(iter(world.trajectories(Counter())))[0]
    claims = [claim for claim in (world.claims(traj)(rng) for _ in range(100)) if claim]
    assert len(claims) > 10 and all(world.allows(actions) for _, actions in claims)
    assert all(actions != traj.actions for _, actions in claims)


def test_anchors_see_items(scene: MeshScene) -> None:
    for seed in range(5):
        shown = np.unique(next(world_of(scene, seed).frames()).item_idx)
        assert (shown >= 0).any()


def test_a_camera_does_not_stand_in_a_cupboard(tmp_path: Path) -> None:
    # A cupboard without a bottom over nearly all of the floor: inside of it there is floor below and clearance around.
    import trimesh

    # Most of what is worth seeing is in it.
    chairs = (ITEM_PIECES[1]._replace(node=f"chair {x}", center=(x, -1.8, 0.45)) for x in (-1.5, 0.0, 1.5))
    made = furnished(pieces=(*ROOM_PIECES, ITEM_PIECES[2], *chairs))
    shell = trimesh.creation.box((5.0, 3.2, 2.4))
    shell.update_faces(shell.face_normals[:, 2] > -0.5)
    made.add_geometry(
        shell,
        node_name="Cupboard",
        transform=np.array([[1, 0, 0, 0], [0, 0, 1, 1.21], [0, -1, 0, 0.8], [0, 0, 0, 1.0]]),
    )
    made.export(tmp_path / "room.glb")
    scene = read_mesh_scene(tmp_path / "room.glb")
    space = MeshSpace(MeshEvidence(scene))
    assert space.is_inside(np.array([0.0, -0.8, 1.3])) and not space.is_inside(np.array([0.0, 1.8, 1.3]))
    for seed in range(4):
        assert not space.is_inside(world_of(scene, seed).T_world_anchor.t.numpy())


def test_a_path_across_a_pit_or_onto_a_table_is_not_free(tmp_path: Path) -> None:
    floors = (
        Piece("floor left", BOX, (-2, 0, -0.05), (1, 2, 0.05)),
        Piece("floor right", BOX, (2, 0, -0.05), (1, 2, 0.05)),
        Piece("floor of the pit", BOX, (0, 0, -2), (1, 2, 0.05)),
    )
    space = MeshSpace(MeshEvidence(scene_of(tmp_path, (*floors, ITEM_PIECES[1]))))
    across = np.array([[-2, -1, 1.4], [2, -1, 1.4]])
    assert not space.path_is_free(across)
    assert space.path_is_free(across[:1] + [[0, 0, 0], [0.5, 0.5, 0]])
    assert not space.path_is_free(across[:1] + [[0, 0, 0], [-3, 0, 0]])


def test_beyond_an_open_scene_nothing_is_known(tmp_path: Path) -> None:
    world = world_of(scene_of(tmp_path, (ROOM_PIECES[0], *ITEM_PIECES)), labels_only=False)
    view = next(world.frames())
    beyond = view.item_idx == UNKNOWN
    assert 0.1 < beyond.mean() < 0.9 and (view.item_idx == ROOM).any()
    assert np.array_equal(np.isnan(view.z_depth), beyond)


def test_a_scene_without_items_still_has_an_anchor(tmp_path: Path) -> None:
    world = world_of(scene_of(tmp_path, ROOM_PIECES))
    assert world.evidence.kinds == () and world.evidence.boxes(world.T_world_anchor, CAMERA).shape == (0, 4)
    assert len(list(world.trajectories(Counter()))) > 3


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (ITEM_PIECES, "level floor that belongs to the room, there is none"),
        ((Piece("floor", BOX, (0, 0, 0), (0.1, 0.1, 0.01)), *ITEM_PIECES[:1]), "^a camera needs"),
        ((ROOM_PIECES[0], Piece("ceiling", BOX, (0, 0, 1.3), (4, 4, 0.1)), ITEM_PIECES[1]), "is the unit stated right"),
    ],
)
def test_where_no_camera_can_be_one_line_says_why(tmp_path: Path, pieces: tuple[Piece, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        world_of(scene_of(tmp_path, pieces))
    assert "\n" not in str(caught.value)


def test_surfaces_are_seen_until_something_stands_between(scene: MeshScene) -> None:
    evidence = MeshEvidence(scene)
    T = level_pose(1.0, -0.8, 0.7, 0.0)
    points = torch.tensor([[2.3, -0.8, 0.7], [2.95, -0.8, 0.7], [1.0, 0.5, 0.0]]).double()
    assert evidence.is_seen(points, T).tolist() == [True, False, True]
    assert isinstance(solids(), SolidsEvidence) and set(evidence.kinds) == set(KINDS)


def test_a_camera_does_not_stand_on_the_edge_of_a_wall(tmp_path: Path) -> None:
    # The floor on its side, as if y were up: 10 cm of it are level.
    edge = Piece("floor", BOX, (0, 0, 0), (3.0, 0.05, 2.0))
    with pytest.raises(ValueError, match="of 400 places over the floor 0 have both, 0 see anything; is the unit"):
        world_of(scene_of(tmp_path, (edge, Piece("chair", BOX, (0, 1.5, 2.5), (0.4, 0.4, 0.4)))))
