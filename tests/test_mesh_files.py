"""Datasets from mesh files: complete, verified, the same bytes always; and what is left out or refused is said."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mesh_scenes import ITEM_PIECES, ROOM_PIECES, Y_UP, Piece, furnished

from geom.camera import PinholeCamera
from geom.primitives import BOX
from geom.tessellate import tessellate
from synth import pipeline, writer
from synth.dataset import LEFT_OUT_FILE, read_rows
from synth.evidence import RoomEvidence
from synth.files import json_bytes, sha256, write_whole
from synth.free_space import sample_anchor
from synth.mesh_evidence import MeshEvidence
from synth.mesh_files import MeshConfig
from synth.pipeline import GenerateConfig, generate
from synth.read_mesh import read_mesh_scene
from synth.rooms import make_room
from synth.verify import verify
from theodolite.cli import main

trimesh = pytest.importorskip("trimesh", reason="the extra `mesh` is not installed")

SUBSET = "Render-SimulatedScene"


def config(scenes: Path, **changes: Any) -> MeshConfig:
    return MeshConfig(scenes=scenes, **{"num_scenes": 2, "seed": 4, "image_size": (96, 96), **changes})


def tree(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def mesh_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "furnished room.glb"
    furnished().export(path)
    return path


@pytest.fixture(scope="module")
def whole(mesh_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "data"
    generate(out, config(mesh_file))
    return out


def test_labels_of_scenes_from_files_are_verified(whole: Path) -> None:
    report = verify(whole)
    assert report.mismatches == [] and report.scenes == 2 and report.labels > 60
    asked = Counter(task["task_type"] for task, _ in read_rows(whole / SUBSET))
    assert asked.keys() >= {"A1", "A2", "A3", "A4", "D1", "D2", "D3"}
    assert "Simulated scenes from mesh files" in (whole / "README.md").read_text()


def test_a_dataset_stands_alone_and_says_what_was_taken_for_a_metre(whole: Path, mesh_file: Path) -> None:
    folders = sorted((whole / SUBSET / "scenes").iterdir())
    assert [folder.name for folder in folders] == ["furnished_room_4_000", "furnished_room_4_001"]
    scene = json.loads((folders[0] / "scene.json").read_bytes())
    assert scene["source"] == {"file": mesh_file.name, "up": "y", "units_per_m": 1.0, "stated": False}
    assert {proof["scale"]["source"] for _, proof in read_rows(whole / SUBSET)} == {
        "mesh file, in metres and y up, as glTF specifies"
    }
    told = [path.read_text() for path in whole.rglob("*") if path.suffix in (".json", ".jsonl", ".md")]
    assert not any(str(mesh_file.parent) in text for text in told)


def test_spawned_workers_write_the_same_bytes(whole: Path, mesh_file: Path, tmp_path: Path) -> None:
    generate(tmp_path / "data", config(mesh_file), workers=2)
    assert tree(tmp_path / "data") == tree(whole)


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(whole: Path, mesh_file: Path, tmp_path: Path, monkeypatch):
    writes = Counter()

    def dying(path, data):
        writes["n"] += 1
        if writes["n"] == 100:
            raise KeyboardInterrupt
        write_whole(path, data)

    for module in (pipeline, writer):
        monkeypatch.setattr(module, "write_whole", dying)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "data", config(mesh_file))
    monkeypatch.undo()
    assert len(list((tmp_path / "data" / SUBSET / "scenes").iterdir())) == 1
    generate(tmp_path / "data", config(mesh_file))
    assert tree(tmp_path / "data") == tree(whole)


def test_a_place_or_a_format_changes_no_label(whole: Path, mesh_file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / mesh_file.name
    moved.parent.mkdir()
    shutil.copy(mesh_file, moved)
    generate(tmp_path / "moved", config(moved))
    assert tree(tmp_path / "moved") == tree(whole)
    furnished(y_up=False, scale=100.0).export(tmp_path / "furnished room.obj")
    stated = config(tmp_path / "furnished room.obj", up="z", units_per_m=100.0, labels_only=True)
    generate(tmp_path / "stated", stated)
    rows, expected = (list(read_rows(out / SUBSET)) for out in (tmp_path / "stated", whole))
    assert {proof["scale"]["source"] for _, proof in rows} == {"mesh file, 100 units per metre and z up, as stated"}
    assert [task["id"] for task, _ in rows] == [task["id"] for task, _ in expected]
    assert sum(a != b for (a, _), (b, _) in zip(rows, expected, strict=True)) <= 0.02 * len(rows)


def edit_array(scene: dict[str, Any], name: str, dtype: str, change: Callable[[np.ndarray], None]) -> None:
    values = np.frombuffer(base64.b64decode(scene[name]), dtype).copy()
    change(values)
    scene[name] = base64.b64encode(values.tobytes()).decode()


def item_seen(scene: dict[str, Any], subset: Path) -> int:
    """An item that some question is about."""
    ids = [item["item_id"] for item in scene["items"]]
    scene_id = scene["scene_id"]
    proofs = (proof for _, proof in read_rows(subset) if proof["transition"]["scene_id"] == scene_id)
    return next(ids.index(proof["items"][0]["item_id"]) for proof in proofs if proof["items"])


def move_an_item(scene: dict[str, Any], subset: Path) -> None:
    owner = np.frombuffer(base64.b64decode(scene["item_idx"]), "<i2")
    rows = np.frombuffer(base64.b64decode(scene["triangles"]), "<u4").reshape(-1, 3)
    own = np.unique(rows[owner == item_seen(scene, subset)])

    def change(vertices: np.ndarray) -> None:
        vertices.reshape(-1, 3)[own] += [10_000, 0, 0]  # 10 cm

    edit_array(scene, "vertices", "<i4", change)


def move_a_vertex(scene: dict[str, Any], subset: Path) -> None:
    owner = np.frombuffer(base64.b64decode(scene["item_idx"]), "<i2")
    rows = np.frombuffer(base64.b64decode(scene["triangles"]), "<u4").reshape(-1, 3)
    vertex = rows[owner == item_seen(scene, subset)][0, 0]

    def change(vertices: np.ndarray) -> None:
        vertices.reshape(-1, 3)[vertex] += [0, 0, 30_000]

    edit_array(scene, "vertices", "<i4", change)


def rename_a_kind(scene: dict[str, Any], subset: Path) -> None:
    scene["items"][item_seen(scene, subset)]["kind"] = "piano"


def give_an_item_to_the_room(scene: dict[str, Any], subset: Path) -> None:
    item = item_seen(scene, subset)
    edit_array(scene, "item_idx", "<i2", lambda owner: owner.__setitem__(owner == item, -1))


def state_another_unit(scene: dict[str, Any], subset: Path) -> None:
    scene["source"]["units_per_m"] = 100.0


def state_what_was_not(scene: dict[str, Any], subset: Path) -> None:
    scene["source"]["stated"] = True


def cut_the_colours(scene: dict[str, Any], subset: Path) -> None:
    edit_array(scene, "colors", "u1", lambda colors: None)
    scene["colors"] = scene["colors"][:-4]


@pytest.mark.parametrize(
    "harm",
    [
        move_an_item,
        move_a_vertex,
        rename_a_kind,
        give_an_item_to_the_room,
        state_another_unit,
        state_what_was_not,
        cut_the_colours,
    ],
)
@pytest.mark.parametrize("labels_only", [False, True])
def test_a_changed_scene_is_found_though_all_fingerprints_fit(whole: Path, tmp_path: Path, harm, labels_only) -> None:
    out = tmp_path / "data"
    shutil.copytree(whole, out)
    folder = out / SUBSET / "scenes" / "furnished_room_4_000"
    scene = json.loads((folder / "scene.json").read_bytes())
    harm(scene, out / SUBSET)
    (folder / "scene.json").write_bytes(json_bytes(scene))
    for path in folder.glob("traj_*/traj.json"):
        traj = json.loads(path.read_bytes())
        traj["scene_sha256"] = sha256((folder / "scene.json").read_bytes())
        if labels_only:  # the labels alone must tell it
            traj["frames"] = [{}, {}]
        path.write_bytes(json_bytes(traj))
    if labels_only:
        settings = json.loads((out / SUBSET / "generation.json").read_bytes())
        settings["config"]["labels_only"] = True
        (out / SUBSET / "generation.json").write_bytes(json_bytes(settings))
    found = [m for m in verify(out).mismatches if "generation.json" not in m.where]
    assert found and any("furnished_room_4_000" in m.where for m in found)


def test_what_has_no_place_for_a_camera_is_counted(mesh_file: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    (scenes / "below").mkdir(parents=True)
    shutil.copy(mesh_file, scenes / "below" / "good.glb")
    shutil.copy(mesh_file, scenes / "good.glb")
    (scenes / "notes.txt").write_text("no mesh")
    (scenes / "broken.glb").write_bytes(b"glTF")
    (scenes / "a.obj").write_text("o chair\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    furnished(pieces=ITEM_PIECES).export(scenes / "nowhere.glb")
    one = config(scenes, num_scenes=1, tasks=("A1",), labels_only=True)
    summary = generate(tmp_path / "data", one)
    assert summary.scenes == 2 and one.scene_ids() == ["good_4_000", "good_2_4_000"]
    left_out = json.loads((tmp_path / "data" / SUBSET / LEFT_OUT_FILE).read_bytes())
    causes = [cause for cause in left_out if cause.startswith("source: ")]
    for name, cause in {
        "broken.glb": "is no GLB that can be read",
        "a.obj": "does not say it, as no OBJ does",
        "nowhere.glb": "a camera needs a level floor",
    }.items():
        assert sum(name in text and cause in text and str(tmp_path) not in text for text in causes) == 1, name
    assert len(causes) == 3 and verify(tmp_path / "data").mismatches == []


def test_cameras_in_one_file_stand_in_different_places(whole: Path) -> None:
    trajectories = (whole / SUBSET / "scenes").glob("*/traj_*/traj.json")
    starts = {str(json.loads(path.read_bytes())["T_world_cam"][0]) for path in trajectories}
    assert len(starts) == 2


@pytest.mark.parametrize(
    ("pieces", "name", "options", "message"),
    [
        (None, "gone.glb", {}, "gone.glb is missing"),
        (None, "empty", {}, "scenes must hold mesh files (.glb, .gltf, .obj, .ply), but"),
        (ITEM_PIECES, "a.glb", {}, "a level floor that belongs to the room"),
        ((Piece("floor", BOX, (0, 0, 0), (0.1, 0.1, 0.01)), ITEM_PIECES[0]), "a.glb", {}, "a camera needs 1.2 m above"),
        (ROOM_PIECES, "a.obj", {}, "up must be stated, y or z: a.obj does not say it"),
        (ROOM_PIECES, "a.ply", {"up": "z"}, "units_per_m must be stated, 1 for metres"),
        (ROOM_PIECES, "a.stl", {}, "a mesh scene is one of .glb"),
    ],
)
def test_files_without_a_scene_are_refused_before_a_folder_is_made(
    tmp_path: Path, pieces: Any, name: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    if pieces:
        furnished(pieces=pieces).export(tmp_path / name)
    with pytest.raises(ValueError) as caught:
        generate(tmp_path / "data", config(tmp_path / name, **options))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_gltf_beside_files_of_stated_units_is_refused(mesh_file: Path, tmp_path: Path) -> None:
    shutil.copy(mesh_file, tmp_path / "a.glb")
    furnished().export(tmp_path / "a.obj")
    with pytest.raises(ValueError, match="glTF, which says both itself, beside OBJ or PLY"):
        config(tmp_path, up="y", units_per_m=1.0)


def test_another_source_does_not_go_on_with_the_files_of_this_one(whole: Path, mesh_file: Path, tmp_path: Path) -> None:
    changed = tmp_path / mesh_file.name
    furnished(pieces=(*ROOM_PIECES, *ITEM_PIECES[1:])).export(changed)
    with pytest.raises(ValueError, match="was made with scenes_sha256 = "):
        generate(whole, config(changed))
    rooms = GenerateConfig(num_scenes=2, seed=4, image_size=(96, 96))
    with pytest.raises(ValueError, match=r"was made with scenes = 'furnished room.glb', this call has None"):
        generate(whole, rooms)
    with pytest.raises(ValueError, match="teacher must be render"):
        replace(config(mesh_file), teacher="depthwarp")


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_the_command_says_what_is_missing_in_its_own_words(capsys, mesh_file: Path, tmp_path: Path) -> None:
    furnished().export(tmp_path / "a.obj")
    words = ("generate", "--out", tmp_path / "data", "--num-scenes", 1)
    assert "--up must be stated, y or z: " in refusal(capsys, *words, "--scenes", tmp_path / "a.obj")
    given = refusal(capsys, *words, "--scenes", tmp_path / "a.obj", "--up", "y")
    assert "--units-per-m must be stated, 1 for metres" in given
    given = refusal(capsys, *words, "--scenes", mesh_file, "--units-per-m", 0)
    assert "--units-per-m must be a number > 0, got 0" in given
    assert "--up says how mesh files are read: it must go with --scenes" in refusal(capsys, *words, "--up", "z")
    for source in (mesh_file, mesh_file.parent):
        given = refusal(capsys, "label", source, "--out", tmp_path / "data")
        assert "questions about mesh files are made by theodolite generate --scenes" in given
    assert not (tmp_path / "data").exists()


def test_the_command_makes_a_dataset_of_a_file(capsys, mesh_file: Path, tmp_path: Path) -> None:
    words = ["generate", "--scenes", str(mesh_file), "--num-scenes", "1", "--out", str(tmp_path / "data"), "--json"]
    assert main([*words, "--image-size", "64", "64", "--tasks", "A1", "--workers", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scenes"] == 1 and told["questions"]["A1"] > 0
    assert main(["verify", str(tmp_path / "data"), "--workers", "1"]) == 0


def export_room(path: Path, room: RoomEvidence) -> None:
    """Write a built-in room as a file whose nodes are its items."""
    made, mesh = trimesh.Scene(), tessellate(room.primitives)
    owner = room.primitives.item_idx.numpy()[np.asarray(mesh.prim_idx)]
    for i in range(-1, len(room.kinds)):
        part = trimesh.Trimesh(np.asarray(mesh.vertices), np.asarray(mesh.triangles)[owner == i], process=False)
        part.remove_unreferenced_vertices()
        made.add_geometry(part, node_name=f"{room.kinds[i]}.{i}" if i >= 0 else "Room", transform=Y_UP)
    made.export(path)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_built_in_room_as_a_file_has_the_boxes_and_shares_that_it_has(tmp_path: Path, seed: int) -> None:
    scene = make_room(np.random.default_rng(seed), scene_id="room")
    room = RoomEvidence(scene)
    export_room(tmp_path / "room.glb", room)
    mesh = MeshEvidence(read_mesh_scene(tmp_path / "room.glb"))
    assert Counter(mesh.kinds) == Counter(room.kinds)
    camera = PinholeCamera.from_hfov(math.radians(80), 128, 128)
    T = sample_anchor(scene, np.random.default_rng(seed))
    expected, found = room.boxes(T, camera), mesh.boxes(T, camera)
    compared = 0
    for kind in set(room.kinds):
        mine, theirs = (
            sorted((tuple(boxes[i]), i) for i, k in enumerate(kinds) if k == kind and np.isfinite(boxes[i]).all())
            for boxes, kinds in ((found, mesh.kinds), (expected, room.kinds))
        )
        assert len(mine) == len(theirs)
        for (box, i), (true_box, j) in zip(mine, theirs, strict=True):
            assert np.allclose(box, true_box, atol=0.25), kind
            ours, true = mesh.partition(i, T, camera), room.partition(j, T, camera)
            assert ours is not None and true is not None
            for share in ("visible", "hidden", "outside", "behind"):
                assert getattr(ours, share) == pytest.approx(getattr(true, share), abs=0.01), (kind, share)
            compared += 1
    assert compared >= 5
