"""Mesh files: the same scene from every format, names and parts as nodes say, and hostile files refused in one line."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mesh_scenes import ITEM_PIECES, KINDS, furnished
from PIL import Image

from synth import mesh_scene, read_mesh
from synth.mesh_scene import MeshScene
from synth.read_mesh import read_mesh_scene
from synth.transition import ROOM

trimesh = pytest.importorskip("trimesh", reason="the extra `mesh` is not installed")

TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4")


def exported(path: Path, **how: Any) -> Path:
    furnished(**how).export(path)
    return path


def by_item(scene: MeshScene) -> dict[str, np.ndarray]:
    """Corners of each item's triangles, and of the room's, in an order that no file decides."""
    names = [*(item.item_id for item in scene.items), "room"]
    found = {}
    for k, name in enumerate(names):
        corners = scene.corners[scene.item_idx == (ROOM if name == "room" else k)]
        # The same triangle may begin with any of its corners.
        rolled = np.stack([np.roll(corners, s, axis=1).reshape(-1, 9) for s in range(3)], 1).round(4) + 0.0
        least = np.array([sorted(map(tuple, three))[0] for three in rolled])
        found[name] = least[np.lexsort(least.T)]
    return found


def gltf(path: Path, nodes: list[dict[str, Any]], **changes: Any) -> Path:
    """A glTF file by hand: mesh 0 is a triangle, mesh 1 two primitives of it; node 0 is the root."""
    buffer = {
        "byteLength": 36,
        "uri": "data:application/octet-stream;base64," + base64.b64encode(TRIANGLE.tobytes()).decode(),
    }
    primitive = {"attributes": {"POSITION": 0}}
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": [{"primitives": [primitive]}, {"primitives": [primitive, primitive]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [buffer],
    }
    path.write_text(json.dumps(tree | changes))
    return path


def items_of(path: Path) -> list[tuple[str, int]]:
    """Kinds of the items with their numbers of triangles; the room's come last."""
    scene = read_mesh_scene(path)
    counts = np.bincount(scene.item_idx + 1, minlength=len(scene.items) + 1).tolist()
    return [*zip((i.kind for i in scene.items), counts[1:], strict=True), ("room", counts[0])]


def test_named_nodes_are_items_and_walls_are_the_room(tmp_path: Path) -> None:
    scene = read_mesh_scene(exported(tmp_path / "room.glb"))
    assert sorted(item.kind for item in scene.items) == sorted(KINDS)
    assert {item.item_id for item in scene.items} == {f"{kind.replace(' ', '_')}_1" for kind in KINDS}
    assert (scene.item_idx == ROOM).sum() == 6 * 12
    chair = next(i for i, item in enumerate(scene.items) if item.kind == "chair")
    assert (scene.colors[scene.item_idx == chair] == (60, 90, 160)).all()
    low, high = scene.corners[scene.item_idx == chair].reshape(-1, 3).min(0), scene.vertices.max(0)
    assert low[2] == 0 and np.allclose(high, (3.1, 2.6, 2.8))


@pytest.mark.parametrize(
    ("name", "up", "units"), [("a.gltf", None, 1.0), ("a.obj", "y", 1.0), ("a.obj", "z", 1.0), ("a.obj", "z", 100.0)]
)
def test_every_format_and_axis_gives_the_same_scene(tmp_path: Path, name: str, up: str, units: float) -> None:
    reference = by_item(read_mesh_scene(exported(tmp_path / "room.glb")))
    folder = tmp_path / "other"
    folder.mkdir()
    if name.endswith("gltf"):
        for file, data in furnished().export(file_type="gltf").items():
            (folder / file).write_bytes(data)
        name = "model.gltf"
    else:
        exported(folder / name, y_up=up == "y", scale=units)
    found = by_item(read_mesh_scene(folder / name, up, units))
    assert found.keys() == reference.keys()
    for item in reference:
        assert np.allclose(found[item], reference[item], atol=2e-4), item


def test_a_ply_file_is_all_room(tmp_path: Path) -> None:
    scene = read_mesh_scene(exported(tmp_path / "room.ply", y_up=False, scale=100.0), "z", 100.0)
    assert scene.items == () and (scene.item_idx == ROOM).all()
    assert np.allclose(scene.vertices.min(0), (-3.1, -2.6, -0.1), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Chair_02", "chair"),
        ("pottedPlant.001", "potted plant"),
        ("TVStand-3", "tv stand"),
        ("canapé", "canapé"),
        ("floor lamp", "floor lamp"),
        ("wall clock", "wall clock"),
        ("Office_chair", "office chair"),
        ("north_wall", None),
        ("Wall.012", None),
        ("GroundPlane", None),
        ("Living Room.fbx", None),
        ("Cube.003", None),
        ("Object_4", None),
        ("17", None),
    ],
)
def test_names_become_words(tmp_path: Path, name: str, kind: str | None) -> None:
    found = items_of(gltf(tmp_path / "a.gltf", [{"name": name, "mesh": 0}]))
    assert found == ([("room", 1)] if kind is None else [(kind, 1), ("room", 0)])


def test_parts_belong_to_the_node_that_they_are_called_after(tmp_path: Path) -> None:
    nodes = [
        {"name": "Living room", "children": [1, 4, 5, 7, 8]},
        {"name": "Chair", "children": [2, 3]},
        {"name": "Chair_leg", "mesh": 0},
        {"name": "Object_9", "mesh": 0, "translation": [3, 0, 0]},
        {"name": "sofa", "mesh": 1},
        {"name": "Table", "children": [6]},
        {"name": "vase", "mesh": 0},
        {"name": "Cube.001", "mesh": 0},
        {"name": "Living room_shelf", "mesh": 0},
    ]
    expected = [("chair", 2), ("living room shelf", 1), ("sofa", 2), ("vase", 1), ("room", 1)]
    assert items_of(gltf(tmp_path / "a.gltf", nodes)) == expected


def test_walls_of_several_materials_stay_walls(tmp_path: Path) -> None:
    found = items_of(gltf(tmp_path / "a.gltf", [{"name": "Wall_left", "mesh": 1}]))
    assert found == [("room", 2)]


def test_instances_are_numbered_and_a_mirrored_one_keeps_its_outside_outside(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    box = trimesh.creation.box((1, 1, 1))
    for name, sign, x in (("Box.001", 1, 0.0), ("Box.002", -1, 3.0)):
        T = np.diag([sign, 1, 1, 1.0])
        T[0, 3] = x
        scene.add_geometry(box, node_name=name, geom_name="box", transform=T)
    scene.export(tmp_path / "a.glb")
    read = read_mesh_scene(tmp_path / "a.glb")
    assert [item.item_id for item in read.items] == ["box_1", "box_2"]
    for item in (0, 1):
        a, b, c = read.corners[read.item_idx == item].transpose(1, 0, 2)
        assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(1)


def textured(folder: Path, texture: str = "wood.png") -> Path:
    """Two triangles, one on the lower left of a picture, which is red, one on the upper right."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4, 0], picture[:, 4:, 2], picture[:4, :, 1] = 200, 200, 100
    Image.fromarray(picture).save(folder / "wood.png")
    (folder / "a.mtl").write_text(f"newmtl wood\nKd 1 1 1\nmap_Kd {texture}\n")
    uv = "vt 0.0 0.0\nvt 0.4 0.0\nvt 0.0 0.4\nvt 0.6 1.0\nvt 1.0 1.0\nvt 1.0 0.6\n"
    v = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 0 1 1\n"
    (folder / "a.obj").write_text(f"mtllib a.mtl\no crate\n{v}{uv}usemtl wood\nf 1/1 2/2 3/3\nf 4/4 5/5 6/6\n")
    return folder / "a.obj"


def test_a_texture_gives_each_triangle_its_colour(tmp_path: Path) -> None:
    scene = read_mesh_scene(textured(tmp_path), "z", 1.0)
    order = np.argsort(scene.corners[..., 2].mean(1))
    assert scene.colors[order].tolist() == [[200, 0, 0], [0, 100, 200]] and scene.items[0].kind == "crate"


def test_scene_json_holds_the_exact_geometry(tmp_path: Path) -> None:
    scene = read_mesh_scene(exported(tmp_path / "room.glb"))
    again = MeshScene.from_dict(json.loads(json.dumps(scene.to_dict())))
    assert again.items == scene.items
    for name in ("vertices", "triangles", "item_idx", "colors"):
        assert np.array_equal(getattr(again, name), getattr(scene, name)), name
    grown = scene.vertices / mesh_scene.GRID_M
    assert np.abs(grown - grown.round()).max() < 1e-6


def test_triangles_without_area_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("o chair\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 2 0 0\nf 1 2 3\nf 1 2 4\nf 1 1 2\n")
    assert len(read_mesh_scene(tmp_path / "a.obj", "z", 1.0).triangles) == 1


OBJ = "o chair\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "that can be read|triangles with an area"),
        ("o chair\nv 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "triangles with an area, got none"),
        (OBJ.replace("v 1 0 0", "v nan 0 0"), "must be finite"),
        (OBJ.replace("v 1 0 0", "v 1e30 0 0"), "within 100 m"),
        (OBJ.replace("v 1 0 0", "v 101 0 0"), "is the unit stated right"),
        (OBJ.replace("f 1 2 3", "f 1 2 9"), "no OBJ that can be read"),
        (OBJ.replace("f 1 2 3", "f 1 2 -9"), "no OBJ that can be read|must name vertices"),
        ("mtllib ../secret.mtl\n" + OBJ, "leads out of its folder"),
        ("mtllib /etc/passwd\n" + OBJ, "leads out of its folder"),
        ("mtllib gone.mtl\n" + OBJ, "missing in its folder"),
    ],
)
def test_hostile_obj_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "secret.mtl").write_text("newmtl m\nKd 1 0 0\n")
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "a.obj").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_mesh_scene(folder / "a.obj", "z", 1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("texture", ["../wood.png", "gone.png"])
def test_textures_outside_the_folder_are_refused(tmp_path: Path, texture: str) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    with pytest.raises(ValueError, match="leads out of its folder|missing in its folder"):
        read_mesh_scene(textured(folder, texture), "z", 1.0)


@pytest.mark.parametrize("uri", ["../a.bin", "/etc/passwd", "%2e%2e/a.bin", "http://example.org/a.bin", "gone.bin"])
def test_gltf_buffers_outside_the_folder_are_refused(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    (tmp_path / "a.bin").write_bytes(TRIANGLE.tobytes())
    path = gltf(folder / "a.gltf", [{"name": "chair", "mesh": 0}], buffers=[{"byteLength": 36, "uri": uri}])
    with pytest.raises(ValueError, match="leads out of its folder|missing in its folder"):
        read_mesh_scene(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    (tmp_path / "a.bin").write_bytes(TRIANGLE.tobytes())
    (folder / "a.bin").symlink_to(tmp_path / "a.bin")
    path = gltf(folder / "a.gltf", [{"name": "chair", "mesh": 0}], buffers=[{"byteLength": 36, "uri": "a.bin"}])
    with pytest.raises(ValueError, match="leads out of its folder"):
        read_mesh_scene(path)


@pytest.mark.parametrize("name", ["a.glb", "a.ply", "a.gltf"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    if name == "a.gltf":
        gltf(path, [{"name": "chair", "mesh": 0}])
    else:
        exported(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="that can be read"):
        read_mesh_scene(path, *(("z", 1.0) if name == "a.ply" else ()))


def test_a_small_file_that_places_one_mesh_too_often_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_mesh, "MAX_TRIANGLES", 20)
    nodes = [{"name": "all", "children": list(range(1, 30))}, *({"name": f"chair {i}", "mesh": 0} for i in range(29))]
    with pytest.raises(ValueError, match="has 29 triangles, more than 20"):
        read_mesh_scene(gltf(tmp_path / "a.gltf", nodes))


def test_nodes_that_contain_each_other_are_refused(tmp_path: Path) -> None:
    nodes = [{"name": "chair", "mesh": 0, "children": [1]}, {"name": "table", "mesh": 0, "children": [0]}]
    with pytest.raises(ValueError, match="no GLTF that can be read"):
        read_mesh_scene(gltf(tmp_path / "a.gltf", nodes))


@pytest.mark.parametrize(
    ("name", "up", "units", "message"),
    [
        ("a.obj", None, 1.0, "^up must be stated, y or z: .*a.obj does not say it, as no OBJ does"),
        ("a.ply", "z", None, "^units_per_m must be stated, 1 for metres.* no PLY does"),
        ("a.ply", "x", 1.0, "up must be 'y' or 'z', got 'x'"),
        ("a.obj", "z", 0.0, "units_per_m must be a number > 0"),
        ("a.obj", "z", float("nan"), "units_per_m must be a finite number"),
        ("a.stl", "z", 1.0, "one of .glb, .gltf, .obj, .ply"),
        ("gone.obj", "z", 1.0, "missing"),
    ],
)
def test_requests_that_cannot_be_met_say_why(
    tmp_path: Path, name: str, up: str | None, units: float | None, message: str
) -> None:
    if not name.startswith("gone"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=message):
        read_mesh_scene(tmp_path / name, up, units)


def test_without_trimesh_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gltf(tmp_path / "a.gltf", [{"name": "chair", "mesh": 0}])
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ValueError, match=r"pip install 'theodolite\[mesh\]'"):
        read_mesh_scene(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices": "AAAA"}, "rows of 3"),
        ({"triangles": 7}, "base64"),
        ({"triangles": base64.b64encode(np.array([0, 1, 9999], "<u4").tobytes()).decode()}, "as many owners"),
        ({"grid_m": 1.0}, "grid_m must be"),
        ({"items": []}, "items must own triangles"),
        ({"items": [{"item_id": "a", "kind": "chair"}] * len(ITEM_PIECES)}, "must be its own"),
    ],
)
def test_a_changed_scene_json_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    written = read_mesh_scene(exported(tmp_path / "room.glb")).to_dict()
    with pytest.raises(ValueError, match=message):
        MeshScene.from_dict(written | change)
