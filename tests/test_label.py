"""Labels for what exists already: against the truth of simulated rooms, true boxes, and what was told."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recordings import as_nerfstudio, as_numbered, as_svc_opengl, as_tum, poses, record_room, simulated_room

from geom.actions import parse_actions, same_motion
from geom.boxes import box_iou
from geom.se3 import SE3
from synth.card import CARD_FILE
from synth.dataset import LEFT_OUT_FILE, read_rows
from synth.files import read_raster
from synth.label import LabelConfig
from synth.pipeline import generate
from synth.sources import read_source
from synth.verify import verify

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
REAL = Path(__file__).parents[2] / "shared" / "real_data"
TREES = {"svc": ("scenes_svc", "svc_teacher_generation", "room_a"), "hy": ("scenes_hy", "hy_demo", "hall_a")}

PLACEHOLDERS: dict[str, Any] = {"unchecked": True}
"""For bundles whose pictures show nothing, or whose frames are too few to follow: their poses are what is tested."""

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="../shared/golden is absent")


def labelled(out: Path, source: Path, **options: Any) -> tuple[list[Any], dict[str, int], Path]:
    """Label a source; its rows, what was left out, and the subset's folder."""
    config = LabelConfig(source, **options)
    generate(out, config)
    subset = out / config.subset
    return list(read_rows(subset)), json.loads((subset / LEFT_OUT_FILE).read_bytes()), subset


def by_task(rows: list[Any]) -> Counter[str]:
    return Counter(task["task_type"] for task, _ in rows)


def test_a_recorded_room_is_labelled_and_verified(labelled_room: Path) -> None:
    report = verify(labelled_room)
    assert report.mismatches == []
    rows = list(read_rows(labelled_room / "Recorded-RealScene"))
    assert report.labels == len(rows) > 60
    assert set(by_task(rows)) == {"A1", "A2", "A3", "A4", "D1", "D2", "D3", "D4"}


def test_boxes_of_a_recorded_room_are_those_of_its_true_objects(labelled_room: Path) -> None:
    """The evidence knows pixels alone; the room's own solids say where the objects truly are."""
    world, overlaps = simulated_room(), []
    for _, proof in read_rows(labelled_room / "Recorded-RealScene"):
        for item in proof["items"]:
            index = int(item["item_id"].rsplit("_", 1)[1]) - 1
            for when, T in zip(("before", "after"), proof["transition"]["T_world_cam"], strict=True):
                if item[when]["amodal_box"] and (item[when]["visible"] or 0) > 0.9:
                    true = world.evidence.boxes(SE3.from_matrix(torch.tensor(T).double()), world.camera)[index]
                    overlaps.append(float(box_iou(torch.tensor(item[when]["amodal_box"]), torch.tensor(true).float())))
    assert len(overlaps) > 50
    assert np.median(overlaps) > 0.9


def test_gone_and_visible_in_a_recorded_room_are_true(labelled_room: Path) -> None:
    world, answers = simulated_room(), Counter()
    for _, proof in read_rows(labelled_room / "Recorded-RealScene"):
        if proof["task_type"] == "D2":
            index = int(proof["items"][0]["item_id"].rsplit("_", 1)[1]) - 1
            T = SE3.from_matrix(torch.tensor(proof["transition"]["T_world_cam"][1]).double())
            shares = world.evidence.partition(index, T, world.camera)
            assert shares is not None
            assert (shares.visible < 0.1) == proof["answer"]["is_gone"]
            answers[proof["answer"]["is_gone"]] += 1
    assert min(answers.values()) >= 1


def test_motions_of_a_recorded_room_are_those_it_was_recorded_with(labelled_room: Path) -> None:
    at = poses(simulated_room())
    true = {parse_actions("turn left 5 degrees").text(), parse_actions("move forward 0.3 meters").text()}
    said = set()
    for path in (labelled_room / "Recorded-RealScene").glob("scenes/*/traj_*/traj.json"):
        traj = json.loads(path.read_bytes())
        i, j = traj["clip"]["frames"]
        relative = at[i].inverse() @ at[j]
        spoken = parse_actions(traj["actions"]["shown"]).pose()
        assert float((spoken.t - relative.t).norm()) < 0.03
        assert traj["actions"]["commanded"] is None
        assert traj["motion"]["executed"] == "as the stored poses say"
        said.add(traj["actions"]["shown"])
    assert true <= said


def test_the_same_call_makes_the_same_bytes_with_any_number_of_workers(recorded_room: Path, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        generate(tmp_path / name, LabelConfig(recorded_room, pairs=6), workers=workers)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) > 20
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_no_path_of_the_source_is_kept(labelled_room: Path, recorded_room: Path) -> None:
    text = b"".join(p.read_bytes() for p in labelled_room.rglob("*.json*"))
    assert str(recorded_room.parent).encode() not in text


def test_another_scale_is_another_dataset(recorded_room: Path, tmp_path: Path) -> None:
    generate(tmp_path / "data", LabelConfig(recorded_room, pairs=2))
    with pytest.raises(ValueError, match="scale = 'as_read'"):
        generate(tmp_path / "data", LabelConfig(recorded_room, pairs=2, scale="metric"))


def test_without_objects_the_motion_is_asked_and_the_lack_counted(recorded_room: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded_room, source)
    (source / "objects.json").unlink()
    rows, left_out, _ = labelled(tmp_path / "data", source, pairs=8)
    assert set(by_task(rows)) <= {"A1", "A2", "A3", "A4"}
    assert rows
    assert left_out["scene: no objects are known"] == 1


def test_a_damaged_frame_is_left_out_and_counted(recorded_room: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded_room, source)
    for name in ("frame-000001.color.png", "frame-000003.depth.png"):
        data = (source / name).read_bytes()
        (source / name).write_bytes(data[: len(data) // 2])
    rows, left_out, subset = labelled(tmp_path / "data", source, pairs=8)
    assert rows
    causes = [cause for cause in left_out if cause.startswith("frame: ")]
    assert len(causes) == 2, left_out
    assert not any(str(tmp_path) in cause for cause in left_out), "no cause says where the source lies"
    assert not any(
        "frame-000001" in p.read_text() for p in subset.rglob("scene.json") if '"frames": []' in p.read_text()
    )


def test_a_mask_on_the_wrong_frame_disagrees_with_geometry(recorded_room: Path, tmp_path: Path) -> None:
    """Two objects change names in one frame: geometry says where they are, and the mask there says otherwise."""
    from PIL import Image

    source = tmp_path / "source"
    shutil.copytree(recorded_room, source)
    path = source / "frame-000002.segm.png"
    mask = np.array(Image.open(path))
    big = [int(v) for v in np.argsort(-np.bincount(mask.ravel())[1:]) + 1][:2]
    swapped = mask.copy()
    swapped[mask == big[0]], swapped[mask == big[1]] = big[1], big[0]
    Image.fromarray(swapped).save(path)
    rows, left_out, _ = labelled(tmp_path / "data", source, pairs=48)
    assert left_out["object: its outline in the second view is not where geometry puts it"] >= 2
    ids = {item["item_id"].rsplit("_", 1)[1] for _, p in rows for item in p["items"] if 2 in frames_of(p)}
    assert not ids & {str(v) for v in big}
    assert verify(tmp_path / "data").mismatches == []


def frames_of(proof: Any) -> list[int]:
    match = re.search(r"_(\d{3})_(\d{3})$", proof["transition"]["traj_id"])
    return [int(n) for n in match.groups()] if match else [0, 7]


@pytest.mark.parametrize("name", TREES)
@needs_golden
def test_a_bundle_without_a_scale_is_asked_about_turns_alone(name: str, tmp_path: Path) -> None:
    place, version, _ = TREES[name]
    rows, left_out, subset = labelled(tmp_path / "data", GOLDEN / place / version, **PLACEHOLDERS)
    assert by_task(rows) == {"A2": 2, "A4": 2}
    assert not any("meters" in proof["answer"].get("actions", "") for _, proof in rows)
    assert all(proof["motion"]["executed"] == "unchecked" for _, proof in rows)
    assert all(proof["scale"]["status"] in ("up_to_scale", "unknown") for _, proof in rows)
    assert sum(count for cause, count in left_out.items() if "holds metres" in cause) > 0
    assert verify(tmp_path / "data").mismatches == []
    assert "unchecked" in (tmp_path / "data" / CARD_FILE).read_text()
    assert subset.name in ("SVC-RealScene", "HY-WorldPlay-RealScene")


@pytest.mark.parametrize("name", TREES)
@needs_golden
def test_every_question_of_the_reference_is_asked_or_counted(name: str, tmp_path: Path) -> None:
    """Of each clip, task by task: a question there, or as many causes as clips without one."""
    place, version, scene = TREES[name]
    rows, left_out, _ = labelled(tmp_path / "data", GOLDEN / place / version, **PLACEHOLDERS)
    clips = {clip.clip_id for _, clip in read_source(GOLDEN / place / version).clips()}
    asked = {(task["task_type"], proof["transition"]["traj_id"]) for task, proof in rows}
    for task in ("A1", "A2", "A3", "A4", "D1", "D2", "D3", "D4"):
        silent = sum((task, clip) not in asked for clip in clips)
        counted = sum(count for cause, count in left_out.items() if cause.startswith(f"{task}: "))
        assert silent == counted, f"{task}: {silent} clips without a question, {counted} causes"
    reference = [
        json.loads(line)
        for file in ("tasks_motion", "tasks_object")
        for line in (GOLDEN / place / version / f"{file}.jsonl").read_text().splitlines()
    ]
    assert {row["images"][0].split("/traj_")[1].split("/")[0] for row in reference} <= clips


@pytest.mark.parametrize("name", TREES)
@needs_golden
def test_with_true_boxes_and_declared_metres_every_task_is_asked_rightly(name: str, tmp_path: Path) -> None:
    place, version, scene = TREES[name]
    boxes = GOLDEN / place / "gt_boxes.json"
    asked = PLACEHOLDERS | {"objects": boxes, "scale": "metric", "pairs": 12, "frames": 40}
    rows, _, _ = labelled(tmp_path / "data", GOLDEN / place / version, **asked)
    assert set(by_task(rows)) == {"A1", "A2", "A3", "A4", "D1", "D2", "D3", "D4"}
    assert verify(tmp_path / "data").mismatches == []
    whole = json.loads(boxes.read_text())
    true = {f"class_{b['class']}_{b['id']}": b for b in whole.get(version, whole)[scene]}
    compared = 0
    for _, proof in rows:
        if proof["task_type"] == "D1":
            item = true[proof["items"][0]["item_id"]]
            expected = true_box(item, proof["transition"])
            assert proof["answer"]["box_1000"] == pytest.approx(expected, abs=1)
            compared += 1
    assert compared >= 15


def true_box(item: Any, transition: Any) -> list[float]:
    """Thousandths of the box around a true box's corners; by hand, for boxes that lie wholly in front of the camera."""
    corners = np.array(np.meshgrid(*zip(item["min"], item["max"], strict=True))).reshape(3, -1)
    T_cam_world = np.linalg.inv(np.array(transition["T_world_cam"][1]))
    p_cam = T_cam_world[:3, :3] @ corners + T_cam_world[:3, 3:]
    assert (p_cam[2] > 0).all()
    uv = (np.array(transition["K"]) @ p_cam)[:2] / p_cam[2]
    size = np.array(transition["image_size"])[:, None]
    uv = np.clip(uv / size, 0, 1) * 1000
    return [*uv.min(1), *uv.max(1)]


@needs_golden
def test_turns_of_a_mirrored_bundle_are_labelled_as_its_poses_show(tmp_path: Path) -> None:
    _, _, subset = labelled(tmp_path / "data", GOLDEN / "scenes_hy" / "hy_demo", scale="metric", **PLACEHOLDERS)
    mirrored = 0
    for path in subset.glob("scenes/*/traj_*/traj.json"):
        said = json.loads(path.read_bytes())["actions"]
        told, shown = parse_actions(said["commanded"]), parse_actions(said["shown"])
        has_turn = any(action.kind.is_turn for action in told)
        assert same_motion(told, shown) != has_turn
        mirrored += has_turn
    assert mirrored == 6
    scene = json.loads(next(subset.glob("scenes/*/scene.json")).read_bytes())
    assert sum(clip["disagreement"] is not None for clip in scene["clips"].values()) == 6


def test_a_sequence_that_tilts_is_left_out_as_not_planar(tmp_path: Path) -> None:
    world = simulated_room()
    pitch = SE3.exp(torch.tensor([0.0, 0.0, 0.0, 0.1, 0.0, 0.0]).double())
    record_room(tmp_path / "source", world, [world.T_world_anchor, world.T_world_anchor @ pitch])
    rows, left_out, _ = labelled(tmp_path / "data", tmp_path / "source")
    assert rows == []
    assert left_out["pair: not_planar: too much pitch"] == 2
    assert verify(tmp_path / "data").mismatches == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scale": "cm"}, "scale must be"),
        ({"frames": 1}, "frames must be 2"),
        ({"pairs": 0}, "pairs must be 1"),
        ({"seed": -1}, "seed must be"),
        ({"max_tilt_deg": 50.0}, "max_tilt_deg must be"),
        ({"max_lift_m": float("nan")}, "max_lift_m must be"),
        ({"kinds": ("cup",)}, "there is no detector: cup"),
        ({"depth_model": Path("guess")}, "photographs alone, but this is rgbd"),
    ],
)
def test_options_out_of_bounds_are_refused(options: dict[str, Any], text: str, recorded_room: Path) -> None:
    with pytest.raises(ValueError, match=text):
        LabelConfig(recorded_room, **options)


def test_poses_of_few_digits_are_made_rigid_and_it_is_said(recorded_room: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(recorded_room, source)
    for path in source.glob("*.pose.txt"):
        np.savetxt(path, np.loadtxt(path), fmt="%.4f")
    generate(tmp_path / "data", LabelConfig(source, pairs=4))
    assert verify(tmp_path / "data").mismatches == []
    scene = json.loads(next((tmp_path / "data").rglob("scene.json")).read_bytes())
    assert any("rotations were rounded" in note for note in scene["clips"]["all"]["notes"])


@pytest.mark.parametrize(("write", "scale"), [(as_nerfstudio, "metric"), (as_tum, "as_read"), (as_numbered, "as_read")])
def test_the_format_changes_no_label(write: Any, scale: str, recorded_room: Path, tmp_path: Path) -> None:
    """One recording in the conventions of another program asks the same and answers the same."""
    here, _, _ = labelled(tmp_path / "here", recorded_room, pairs=10, scale=scale)
    there, _, _ = labelled(tmp_path / "there", write(recorded_room, tmp_path / "source"), pairs=10, scale=scale)
    assert [task["messages"] for task, _ in here] == [task["messages"] for task, _ in there]
    assert len(here) > 20


def test_nerfstudio_without_declared_metres_asks_no_distance(recorded_room: Path, tmp_path: Path) -> None:
    rows, left_out, _ = labelled(tmp_path / "data", as_nerfstudio(recorded_room, tmp_path / "source"), pairs=48)
    assert rows and not any("meters" in proof["transition"]["actions"] for _, proof in rows)
    assert any("holds metres, but the scale is unknown" in cause for cause in left_out)
    assert verify(tmp_path / "data").mismatches == []


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two photographs of one folder are two scenes: the second fails once."""
    from synth import label as label_module

    source = tmp_path / "photos"
    world = simulated_room()
    for n, T in enumerate(poses(world)[:2]):
        record_room(tmp_path / f"one{n}", world, [T])
        for part in ("color", "depth", "segm"):
            source.mkdir(exist_ok=True)
            shutil.copy(tmp_path / f"one{n}" / f"frame-000000.{part}.png", source / f"p{n}.{part}.png")
    for name in ("camera.json", "objects.json"):
        shutil.copy(tmp_path / "one0" / name, source)
    generate(tmp_path / "whole", LabelConfig(source, tasks=("A2", "D2")))
    made = label_module.user_photo

    def fails(clip: Any, *rest: Any) -> Any:
        if clip.clip_id == "p1":
            raise KeyboardInterrupt
        return made(clip, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(label_module, "user_photo", fails)
        generate(tmp_path / "parts", LabelConfig(source, tasks=("A2", "D2")))
    assert not (tmp_path / "parts" / "DepthWarp-RealScene" / "tasks.jsonl").exists()
    generate(tmp_path / "parts", LabelConfig(source, tasks=("A2", "D2")))
    files = sorted(p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file())
    assert all((tmp_path / "whole" / f).read_bytes() == (tmp_path / "parts" / f).read_bytes() for f in files)


def without_depth(source: Path) -> Path:
    whole = json.loads((source / "transforms.json").read_text())
    for row in whole["frames"]:
        del row["depth_file_path"]
    (source / "transforms.json").write_text(json.dumps(whole))
    return source


def test_where_metres_are_said_no_sphere_stands_in_for_depth(recorded_room: Path, tmp_path: Path) -> None:
    """Moves may then be asked about, of which directions alone tell nothing about objects."""
    source = without_depth(as_nerfstudio(recorded_room, tmp_path / "source"))
    rows, _, subset = labelled(tmp_path / "data", source, scale="metric", pairs=20)
    assert {"A1", "A3"} & set(by_task(rows)) and not any(task.startswith("D") for task in by_task(rows))
    assert "unit sphere" not in json.loads(next(subset.rglob("scene.json")).read_bytes())["depth"]


def test_without_depth_only_frames_of_one_place_have_objects(recorded_room: Path, tmp_path: Path) -> None:
    source = without_depth(as_nerfstudio(recorded_room, tmp_path / "source"))
    _, _, subset = labelled(tmp_path / "data", source, pairs=48, tasks=("A2",))
    folder = next((subset / "scenes").iterdir())
    frames = json.loads((folder / "scene.json").read_bytes())["frames"]
    start = np.array(frames[0]["T_world_cam"])[:3, 3]
    knows = [
        (bool(np.allclose(np.array(frame["T_world_cam"])[:3, 3], start)), bool(((ids > 0) & (ids < 65535)).any()))
        for frame in frames
        for ids in [read_raster(folder / frame["files"]["instances"]["file"])]
    ]
    assert {here for here, _ in knows} == {True, False}
    assert all(here == has_objects for here, has_objects in knows)


def test_without_depth_outlines_still_tell_what_turns_in_place_do(recorded_room: Path, tmp_path: Path) -> None:
    """Directions need no depth: objects are asked about where the camera only turns, and the boxes are right."""
    source = without_depth(as_nerfstudio(recorded_room, tmp_path / "source"))
    rows, left_out, subset = labelled(tmp_path / "data", source, pairs=48)
    assert verify(tmp_path / "data").mismatches == []
    assert by_task(rows)["D1"] >= 4 and by_task(rows)["D3"] >= 2
    assert all("meters" not in proof["transition"]["actions"] for _, proof in rows)
    world, overlaps = simulated_room(), []
    for _, proof in rows:
        for item in proof["items"]:
            index = int(item["item_id"].rsplit("_", 1)[1]) - 1
            T = SE3.from_matrix(torch.tensor(proof["transition"]["T_world_cam"][1]).double())
            true = world.evidence.partition(index, T, world.camera)
            if item["after"]["amodal_box"] and true is not None and true.visible > 0.9:
                box = torch.tensor(world.evidence.boxes(T, world.camera)[index]).float()
                overlaps.append(float(box_iou(torch.tensor(item["after"]["amodal_box"]), box)))
    assert np.median(overlaps) > 0.9
    assert "unit sphere" in json.loads(next(subset.rglob("scene.json")).read_bytes())["depth"]


def test_a_job_carries_what_was_asked_for_and_not_the_source(recorded_room: Path) -> None:
    import pickle

    config = LabelConfig(recorded_room)
    sent = pickle.dumps(config)
    assert len(sent) < 2000
    assert pickle.loads(sent).scene_ids() == config.scene_ids()


def test_boxes_are_found_by_the_name_that_the_source_gives_its_scene(recorded_room: Path, tmp_path: Path) -> None:
    """A folder's name may hold spaces and any letters; the dataset's may not."""
    source = tmp_path / "Büro eins"
    shutil.copytree(recorded_room, source)
    box = {"kind": "crate", "min": [-0.5, 2.0, 0.0], "max": [0.5, 3.0, 1.0]}
    (source / "objects.json").write_text(json.dumps({"Büro eins": [box]}))
    _, left_out, subset = labelled(tmp_path / "data", source, pairs=2, tasks=("A2",))
    assert "scene: no objects are known" not in left_out
    assert [path.name for path in (subset / "scenes").iterdir()] == ["B_ro_eins"]


def test_scenes_get_different_folders_whatever_they_are_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from synth import sources
    from synth.source import Source, SourceScene
    from synth.sources import read_rigid

    scenes = [SourceScene(name, ()) for name in ("a b", "a_b", "a_b_2", "...", "a b")]
    monkeypatch.setattr(sources, "read_source", lambda *_: Source("svc", scenes))
    read_rigid.cache_clear()
    found = read_rigid(tmp_path, "auto").scenes
    read_rigid.cache_clear()
    assert [scene.scene_id for scene in found] == ["a_b", "a_b_2", "a_b_2_2", "scene", "a_b_3"]
    assert [scene.called for scene in found] == ["a b", "a_b", "a_b_2", "...", "a b"]


@needs_golden
def test_outlines_of_pictures_with_one_name_are_refused(tmp_path: Path) -> None:
    """All clips of a tree have a picture 000: whose outlines are these?"""
    square = {"kind": "cup", "polygon": [[5, 5], [20, 5], [20, 20]]}
    (tmp_path / "objects.json").write_text(json.dumps({"outlines": {"000": [square]}}))
    with pytest.raises(ValueError, match="names, which must differ, but 000 is"):
        LabelConfig(GOLDEN / "scenes_svc" / "svc_teacher_generation", objects=tmp_path / "objects.json")


def test_declared_metres_hold_for_the_limits_too(recorded_room: Path, tmp_path: Path) -> None:
    """A lift of 8 cm is too much in metres, however long the path is."""
    source = as_nerfstudio(recorded_room, tmp_path / "source")
    whole = json.loads((source / "transforms.json").read_text())
    whole["frames"] = whole["frames"][:3]
    for row, (ahead, up) in zip(whole["frames"], ((0, 0), (1, 0.08), (4, 0)), strict=True):
        row["transform_matrix"] = [[1, 0, 0, 0], [0, 1, 0, up], [0, 0, 1, -ahead], [0, 0, 0, 1]]
        del row["depth_file_path"]
    (source / "transforms.json").write_text(json.dumps(whole))
    _, left_out, _ = labelled(tmp_path / "data", source, scale="metric")
    assert left_out["pair: not_planar: too much lift"] == 4
    assert verify(tmp_path / "data").mismatches == []


def test_a_tree_of_damaged_clips_is_refused_with_the_cause(recorded_room: Path, tmp_path: Path) -> None:
    path = next(as_svc_opengl(recorded_room, tmp_path / "tree").rglob("traj.json"))
    whole = json.loads(path.read_text())
    whole["transforms"]["frames"][0]["transform_matrix"][0][0] = 5
    path.write_text(json.dumps(whole))
    assert read_source(tmp_path / "tree").source_format == "svc"
    with pytest.raises(ValueError, match="at least one clip to label: room/traj_T4_all: rotation must be orthonormal"):
        LabelConfig(tmp_path / "tree")


def test_another_legend_is_another_dataset(recorded_room: Path, tmp_path: Path) -> None:
    whole = json.loads((recorded_room / "objects.json").read_text())
    shas = set()
    for name in ("cup", "mug"):
        whole["legend"]["1"] = name
        shutil.copytree(recorded_room, tmp_path / name / "room")
        (tmp_path / name / "room" / "objects.json").write_text(json.dumps(whole))
        shas.add(LabelConfig(tmp_path / name / "room", trust_source=True).settings()["source_sha256"])
    assert len(shas) == 2


def test_what_a_clip_was_told_is_said_of_the_whole_of_it_alone(recorded_room: Path, tmp_path: Path) -> None:
    source = as_svc_opengl(recorded_room, tmp_path / "tree")
    _, _, subset = labelled(tmp_path / "data", source, pairs=8, tasks=("A2",), **PLACEHOLDERS)
    told = {}
    for path in subset.glob("scenes/*/traj_*/traj.json"):
        traj = json.loads(path.read_bytes())
        told[tuple(traj["clip"]["frames"])] = traj["actions"]["commanded"]
    assert told.pop((0, 7)) == "turn right 7 degrees"
    assert len(told) >= 5 and set(told.values()) == {None}


@pytest.mark.parametrize("part", ["segm", "depth"])
def test_other_masks_or_depth_are_another_dataset(part: str, recorded_room: Path, tmp_path: Path) -> None:
    """Who mends them and runs the same command again must not be given the old labels."""
    from PIL import Image

    source = tmp_path / "source"
    shutil.copytree(recorded_room, source)
    before = LabelConfig(source, trust_source=True).settings()["source_sha256"]
    path = source / f"frame-000002.{part}.png"
    raster = np.array(Image.open(path))
    raster[:60] = 0
    Image.fromarray(raster).save(path)
    assert LabelConfig(source, trust_source=True).settings()["source_sha256"] != before
