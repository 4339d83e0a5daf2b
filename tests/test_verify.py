"""Verify by harm: damage one thing in a right dataset and demand that it is found; find nothing in a right one."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synth.dataset import read_rows
from synth.files import json_bytes, sha256
from synth.pipeline import GenerateConfig, generate
from synth.verify import check_rows, check_scene, verify
from synth.verify_scene import SceneFiles

NUM_CORRUPTIONS = 500


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "data"
    generate(out, GenerateConfig(num_scenes=2, seed=5, image_size=(128, 128)))
    return out


@pytest.fixture(scope="module")
def subset(dataset: Path) -> Path:
    return dataset / "Render-SimulatedScene"


@pytest.fixture(scope="module")
def rows(subset: Path):
    return list(read_rows(subset))


@pytest.fixture(scope="module")
def scenes(subset: Path) -> dict[str, SceneFiles]:
    return {folder.name: SceneFiles.read(folder) for folder in sorted((subset / "scenes").iterdir())}


def test_a_right_dataset_has_no_mismatch(dataset):
    report = verify(dataset)
    assert report.mismatches == []
    assert report.labels > 60


def other_number(rng, value: float, beyond: float) -> float:
    return value + float(rng.choice([-1, 1]) * rng.uniform(1, 3) * beyond)


def damage_answer(rng, task, proof):
    answer = proof["answer"]
    key = sorted(k for k in answer if k != "type")[0]
    if isinstance(answer[key], bool):
        answer[key] = not answer[key]
    elif isinstance(answer[key], str):
        answer[key] = answer[key].replace("left", "LEFT").replace("right", "left").replace("LEFT", "right") + " "
    else:
        answer[key][int(rng.integers(4))] += 7
    return f"answer.{key}"


def damage_words(rng, task, proof):
    message = task["messages"][int(rng.integers(2))]
    message["content"] = message["content"][:-1] + "?!"
    return "message"


def damage_box(rng, task, proof):
    boxes = [b["box_px"] for b in proof["boxes"]]
    boxes += [i[w][k] for i in proof["items"] for w in ("before", "after") for k in ("amodal_box", "visible_box")]
    boxes = [b for b in boxes if b]
    if boxes:
        box = boxes[int(rng.integers(len(boxes)))]
        place = int(rng.integers(4))
        box[place] = other_number(rng, box[place], 2.0)
        return "box"
    return None


def damage_share(rng, task, proof):
    views = [i[w] for i in proof["items"] for w in ("before", "after") if i[w]["visible"] is not None]
    if not views:
        return None
    view = views[int(rng.integers(len(views)))]
    key = str(rng.choice(["visible", "hidden", "outside", "behind"]))
    view[key] = other_number(rng, view[key], 0.025)
    return key


def damage_pose(rng, task, proof):
    T = proof["transition"]["T_world_cam"][int(rng.integers(2))]
    row, col = int(rng.integers(3)), int(rng.integers(4))
    T[row][col] = other_number(rng, T[row][col], 1e-5)
    return "pose"


def damage_intrinsics(rng, task, proof):
    K = proof["transition"]["K"]
    row, col = [(0, 0), (1, 1), (0, 2), (1, 2)][int(rng.integers(4))]
    K[row][col] = other_number(rng, K[row][col], 1e-4)
    return "K"


def damage_item_id(rng, task, proof):
    if not proof["items"]:
        return None
    item = proof["items"][int(rng.integers(len(proof["items"])))]
    item["item_id"] = str(rng.choice([item["item_id"] + "0", "nothing_0"]))
    return "item_id"


def damage_images(rng, task, proof):
    task["images"] = task["images"][::-1] if len(task["images"]) == 2 else [task["images"][0].replace("000", "001")]
    return "images"


PROOF_DAMAGES = (
    damage_answer,
    damage_words,
    damage_box,
    damage_share,
    damage_pose,
    damage_intrinsics,
    damage_item_id,
    damage_images,
)


def damage_scene(rng, scene):
    item = scene["items"][int(rng.integers(len(scene["items"])))]
    part = item["parts"][int(rng.integers(len(item["parts"])))]
    target, key = [(item, "position"), (part, "half_size"), (part, "center")][int(rng.integers(3))]
    axis = int(rng.integers(2))
    target[key][axis] = abs(other_number(rng, target[key][axis], 0.002))


def damage_traj(rng, traj):
    key = str(rng.choice(["T_world_cam", "K", "actions"]))
    if key == "actions":
        traj[key]["executed"] = re.sub(r"[\d.]+", lambda m: str(float(m[0]) + 1), traj[key]["executed"], count=1)
    elif key == "K":
        traj[key][0][0] = other_number(rng, traj[key][0][0], 1e-3)
    else:
        traj[key][1][0][3] = other_number(rng, traj[key][1][0][3], 1e-5)


def test_every_single_corruption_of_a_question_or_its_proof_is_found(rows, scenes):
    rng = np.random.default_rng(0)
    missed, made = [], 0
    while made < NUM_CORRUPTIONS - 100:
        task, proof = copy.deepcopy(rows[int(rng.integers(len(rows)))])
        files = scenes[proof["transition"]["scene_id"]]
        what = PROOF_DAMAGES[made % len(PROOF_DAMAGES)](rng, task, proof)
        if what is None:
            continue
        made += 1
        if not check_rows(files, [(task, proof)]):
            missed.append((what, proof["id"]))
    assert missed == []


def without_pictures(files: SceneFiles) -> SceneFiles:
    """A scene with labels only: not reading its pictures again and again keeps this quick."""
    trajectories = copy.deepcopy(files.trajectories)
    for traj in trajectories.values():
        traj["frames"] = [{}, {}]
    settings = files.settings | {"config": files.settings["config"] | {"labels_only": True}}
    return replace(files, trajectories=trajectories, settings=settings)


def test_a_scene_without_pictures_is_right_before_it_is_damaged(scenes):
    assert [check_scene(without_pictures(files), []) for files in scenes.values()] == [[], []]


def test_every_single_corruption_of_a_scene_or_trajectory_is_found(scenes):
    rng = np.random.default_rng(1)
    missed = []
    for n in range(100):
        files = without_pictures(list(scenes.values())[n % len(scenes)])
        scene = copy.deepcopy(files.scene)
        if n % 2:
            damage_scene(rng, scene)
        else:
            damage_traj(rng, files.trajectories[list(files.trajectories)[int(rng.integers(2))]])
        damaged = replace(files, scene=scene, scene_sha256=sha256(json_bytes(scene)))
        if not check_scene(damaged, []):
            missed.append(n)
    assert missed == []


def test_a_scene_must_hold_what_scenes_hold_where_no_ray_tells(scenes):
    files = without_pictures(next(iter(scenes.values())))
    for change in ({"color": "red"}, {"gloss": None}, {"weight": 1}):
        scene = copy.deepcopy(files.scene)
        scene["items"][0]["parts"][0]["material"] |= change
        assert {mismatch.field for mismatch in check_scene(with_scene(files, scene), [])} == {"scene.json"}


def with_scene(files: SceneFiles, scene: dict) -> SceneFiles:
    """Another scene.json, with all fingerprints made to fit."""
    digest = sha256(json_bytes(scene))
    trajectories = {name: traj | {"scene_sha256": digest} for name, traj in files.trajectories.items()}
    return replace(files, scene=scene, scene_sha256=digest, trajectories=trajectories)


def test_a_moved_target_is_found_by_geometry_even_when_fingerprints_are_made_to_fit(rows, scenes):
    task, proof = next(row for row in rows if row[1]["task_type"] == "D1")
    files = scenes[proof["transition"]["scene_id"]]
    scene = copy.deepcopy(files.scene)
    item = next(i for i in scene["items"] if i["item_id"] == proof["items"][0]["item_id"])
    item["position"][0] += 0.1
    found = check_rows(with_scene(files, scene), [(task, proof)])
    assert any("amodal_box" in mismatch.field for mismatch in found)


def test_a_damaged_proof_is_a_mismatch_and_no_crash(rows, scenes):
    task, proof = copy.deepcopy(rows[0])
    del proof["answer"]
    files = scenes[proof["transition"]["scene_id"]]
    assert "unreadable" in str(check_rows(files, [(task, proof)])[0])


def test_refuses_a_folder_without_a_dataset(tmp_path):
    with pytest.raises(ValueError, match="holds no dataset"):
        verify(tmp_path)
    with pytest.raises(ValueError, match="not there"):
        verify(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="a file"):
        verify(tmp_path / "file")
