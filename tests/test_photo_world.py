"""A photograph as a dataset: verified in every label, and damage to its outlines and depth found."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geom.scale import Scale
from synth import photo_world
from synth.dataset import read_rows
from synth.depthwarp import HOLE_COLOUR
from synth.files import UNKNOWN_PIXEL, depth_png, items_png, json_bytes, read_raster, sha256
from synth.photo import CITATION, motorcycle
from synth.pipeline import GenerateConfig, generate
from synth.read_photo import read_photo
from synth.tasks import MAX_QUESTIONS
from synth.transition import UNKNOWN
from synth.user_photo import user_photo
from synth.verify import verify

CONFIG = GenerateConfig(num_scenes=1, seed=3, teacher="depthwarp")


def make(out: Path, config: GenerateConfig, singles: int, multis: int) -> Path:
    """Few motions: each costs a warped view and its verification."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_world, "_SINGLES", singles)
        patch.setattr(photo_world, "_MULTIS", multis)
        generate(out, config)
    return out


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("photo") / "data", CONFIG, 2, 1)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("small") / "data", replace(CONFIG, seed=4, tasks=("D1",)), 1, 0)


@pytest.fixture(scope="module")
def rows(dataset):
    return list(read_rows(dataset / CONFIG.subset))


@pytest.fixture
def scene(small, tmp_path) -> Path:
    """The scene's folder in a copy that may be damaged."""
    copy = Path(shutil.copytree(small, tmp_path / "copy"))
    return next((copy / CONFIG.subset / "scenes").iterdir())


def rewrite_scene(scene: Path, change) -> None:
    """Change scene.json and make the fingerprints fit, so that only geometry can tell."""
    data = json.loads((scene / "scene.json").read_bytes())
    change(data)
    (scene / "scene.json").unlink()
    (scene / "scene.json").write_bytes(json_bytes(data))
    for path in scene.glob("traj_*/traj.json"):
        traj = json.loads(path.read_bytes()) | {"scene_sha256": sha256(json_bytes(data))}
        path.unlink()
        path.write_bytes(json_bytes(traj))


def found(scene: Path) -> list[str]:
    return [mismatch.field for mismatch in verify(scene.parents[1]).mismatches]


def test_every_label_is_confirmed_by_the_second_implementation(dataset, rows):
    report = verify(dataset)
    assert report.mismatches == []
    assert report.labels == len(rows) >= 8
    assert {proof["task_type"] for _, proof in rows} >= {"A1", "D1", "D2", "D3"}


def test_the_scene_says_whose_photograph_it_is(scene):
    data = json.loads((scene / "scene.json").read_bytes())
    assert data["source"] == CITATION and data["photo_id"] == "motorcycle"
    assert [item["item_id"] for item in data["items"]] == [item.item_id for item in motorcycle().objects]


def test_the_first_view_is_the_photograph_and_its_depth_to_the_millimetre(scene):
    first = next(scene.glob("traj_*"))
    assert (first / "samples-rgb" / "000.png").read_bytes() == (scene / "input" / "000.png").read_bytes()
    true = motorcycle().z_depth
    mm = read_raster(scene / "input" / "000_depth.png")
    assert ((mm == 0) == np.isnan(true)).all()
    assert np.nanmax(np.abs(mm[mm > 0] / 1000 - true[mm > 0])) <= 0.0005 + 1e-6


def test_holes_are_marked_in_every_raster_alike(scene):
    from PIL import Image

    moved = next(path for path in sorted(scene.glob("traj_*")) if "turn" not in path.name)
    magenta = (np.asarray(Image.open(moved / "samples-rgb" / "001.png")) == HOLE_COLOUR).all(-1)
    assert 0.001 < magenta.mean() < photo_world.MAX_HOLES
    assert (read_raster(moved / "depth" / "001.png")[magenta] == 0).all()
    assert (read_raster(moved / "instances" / "001.png")[magenta] == UNKNOWN_PIXEL).all()


def test_every_motion_is_asked_about_and_not_too_often(rows):
    asked = Counter(proof["transition"]["traj_id"] for _, proof in rows)
    assert len(asked) == 3 and max(asked.values()) <= MAX_QUESTIONS
    assert all(proof["scale"]["status"] == "metric" for _, proof in rows)


def test_a_shifted_outline_is_found(scene):
    assert found(scene) == []
    item_id = next(proof["items"][0]["item_id"] for _, proof in read_rows(scene.parents[1]))

    def shift(data) -> None:
        item = next(item for item in data["items"] if item["item_id"] == item_id)
        item["polygon"] = [[x + 6, y] for x, y in item["polygon"]]

    rewrite_scene(scene, shift)
    assert any("amodal_box" in field or "box_px" in field for field in found(scene))


def test_damaged_depth_is_found(scene):
    path = scene / "input" / "000_depth.png"
    z_depth = read_raster(path).astype(np.float32) / 1000
    z_depth[z_depth == 0] = np.nan
    path.unlink()
    path.write_bytes(depth_png(z_depth * np.float32(1.02)))
    assert any(field.startswith("depth at") for field in found(scene))


def test_a_view_said_to_be_unknown_is_found(scene):
    """Holes are lawful where the photograph shows nothing, and only there."""
    folder = next(scene.glob("traj_*"))
    ids = read_raster(folder / "instances" / "001.png")
    data = items_png(np.full(ids.shape, UNKNOWN, np.int16))
    traj = json.loads((folder / "traj.json").read_bytes())
    traj["frames"][1]["instances"]["sha256"] = sha256(data)
    for path, payload in ((folder / "instances" / "001.png", data), (folder / "traj.json", json_bytes(traj))):
        path.unlink()
        path.write_bytes(payload)
    assert any(field.startswith("instances at") for field in found(scene))


def test_metres_that_the_user_declares_are_those_of_the_photograph(recorded_room, tmp_path):
    for part in ("color", "depth"):
        shutil.copy(recorded_room / f"frame-000000.{part}.png", tmp_path)
    shutil.copy(recorded_room / "camera.json", tmp_path)
    clip = read_photo(tmp_path).scenes[0].clips[0]
    declared = Scale("metric", "declared by a test")
    assert user_photo(clip, None, declared, None, Counter()).scale == declared
    assert user_photo(clip, None, None, None, Counter()).scale == clip.scale
