"""Damage to the files of a dataset: lines, folders, settings, card, pictures and rasters that are lost or replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from synth.files import UNKNOWN_PIXEL, json_bytes, sha256
from synth.pipeline import GenerateConfig, generate
from synth.verify import verify

CONFIG = GenerateConfig(num_scenes=2, seed=5, image_size=(64, 64), tasks=("A1", "A2", "A3"))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("small") / "data"
    generate(out, CONFIG)
    return out


@pytest.fixture
def damaged(small, tmp_path) -> Path:
    """A copy whose files may be replaced."""
    return Path(shutil.copytree(small, tmp_path / "copy"))


def replace_file(path: Path, data: bytes) -> None:
    """Write a new file: the old one may be linked from elsewhere."""
    path.unlink()
    path.write_bytes(data)


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_bytes())
    change(data)
    replace_file(path, json_bytes(data))


def cut_lines(path: Path, keep: slice) -> None:
    replace_file(path, b"".join(path.read_bytes().splitlines(keepends=True)[keep]))


def subset_of(root: Path) -> Path:
    return root / CONFIG.subset


def scene_of(root: Path) -> Path:
    return sorted((subset_of(root) / "scenes").iterdir())[0]


def traj_of(root: Path) -> Path:
    return sorted(scene_of(root).glob("traj_*"))[1]


def drop_scene(root: Path) -> None:
    scene = scene_of(root)
    shutil.rmtree(scene)
    for name in ("tasks.jsonl", "proofs.jsonl"):
        path = subset_of(root) / name
        lines = path.read_bytes().splitlines(keepends=True)
        replace_file(path, b"".join(line for line in lines if scene.name.encode() not in line))


def in_both(keep: slice) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for name in ("tasks.jsonl", "proofs.jsonl"):
            cut_lines(subset_of(root) / name, keep)

    return change


def without(name: str) -> Callable[[Path], None]:
    return lambda root: (subset_of(root) / name).unlink()


def settings(key: str, value: Any) -> Callable[[Path], None]:
    return lambda root: change_json(
        subset_of(root) / "generation.json", lambda data: data["config"].update({key: value})
    )


def card(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / "README.md").read_bytes()
        assert old in text
        replace_file(root / "README.md", text.replace(old, new))

    return change


WHOLE_FILES = {
    "questions and proofs emptied": in_both(slice(0)),
    "a line lost from both": in_both(slice(1, None)),
    "the last line lost from both": in_both(slice(-1)),
    "a line lost from the questions": lambda root: cut_lines(subset_of(root) / "tasks.jsonl", slice(1, None)),
    "a line lost from the proofs": lambda root: cut_lines(subset_of(root) / "proofs.jsonl", slice(-1)),
    "a scene lost with its lines": drop_scene,
    "a scene's folder lost": lambda root: shutil.rmtree(scene_of(root)),
    "no questions": without("tasks.jsonl"),
    "no proofs": without("proofs.jsonl"),
    "no left_out.json": without("left_out.json"),
    "no generation.json": without("generation.json"),
    "no contents.json": without("contents.json"),
    "left_out.json edited": lambda root: change_json(subset_of(root) / "left_out.json", lambda d: d.update(x=1)),
    "seed edited": settings("seed", 6),
    "number of scenes edited": settings("num_scenes", 3),
    "no card": lambda root: (root / "README.md").unlink(),
    "a count of the card edited": card(b"| Render-SimulatedScene | ", b"| Render-SimulatedScene | 9"),
    "a subset of the card invented": card(b"\n\n**Render", b"\n| Other | 1 | 1 | 1 | 3 |\n\n**Render"),
    "a folder of no trajectory": lambda root: (scene_of(root) / "traj_x").mkdir(),
    "a trajectory without poses": lambda root: (traj_of(root) / "traj.json").unlink(),
}


def test_the_small_dataset_is_right_before_it_is_damaged(small: Path) -> None:
    assert verify(small).mismatches == []


@pytest.mark.parametrize("damage", WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_lost_and_edited_files_are_found(damaged: Path, damage: Callable[[Path], Any]) -> None:
    damage(damaged)
    assert verify(damaged).mismatches


def test_a_number_of_scenes_that_fits_its_fingerprint_is_held_to_the_folders(damaged: Path) -> None:
    settings("num_scenes", 3)(damaged)
    data = (subset_of(damaged) / "generation.json").read_bytes()
    change_json(
        subset_of(damaged) / "contents.json",
        lambda said: said["files"]["generation.json"].update(sha256=sha256(data)),
    )
    assert [mismatch.field for mismatch in verify(damaged).mismatches] == ["num_scenes"]


def test_words_that_a_user_adds_to_the_card_are_no_damage(damaged: Path) -> None:
    (damaged / "README.md").write_text((damaged / "README.md").read_text() + "\n## Notes\n\n| a | b |\n|---|---|\n")
    assert verify(damaged).mismatches == []


@pytest.mark.parametrize(
    "name, line, reason",
    [
        ("tasks.jsonl", b"not json", "tasks.jsonl line 3 is no JSON"),
        ("proofs.jsonl", b'{"id": "\xff"}', "proofs.jsonl line 3 is no UTF-8"),
        ("proofs.jsonl", b'{"transition": []}', "[]"),
        ("tasks.jsonl", b'{"id": null, "task_type": {}}', "None"),
    ],
)
def test_a_damaged_line_is_a_mismatch_and_no_crash(damaged: Path, name: str, line: bytes, reason: str) -> None:
    path = subset_of(damaged) / name
    lines = path.read_bytes().splitlines()
    replace_file(path, b"\n".join([*lines[:2], line, *lines[3:], b""]))
    assert reason in " ".join(map(str, verify(damaged).mismatches))


def test_a_path_out_of_the_subset_is_not_followed(damaged: Path) -> None:
    path = subset_of(damaged) / "proofs.jsonl"
    scene = scene_of(damaged).name
    replace_file(path, path.read_bytes().replace(f'"scene_id": "{scene}"'.encode(), b'"scene_id": "../../x"'))
    found = verify(damaged).mismatches
    assert {m.field for m in found if m.found == "../../x"} == {"transition.scene_id"}


def frames(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Change the frames that traj.json lists."""

    def damage(root: Path) -> None:
        change_json(traj_of(root) / "traj.json", lambda traj: traj.update(frames=change(traj["frames"])))

    return damage


def no_picture(root: Path) -> None:
    (traj_of(root) / "samples-rgb" / "001.png").unlink()
    frames(lambda f: [f[0], {k: v for k, v in f[1].items() if k != "samples-rgb"}])(root)


def no_pictures_at_all(root: Path) -> None:
    for path in root.rglob("*.png"):
        path.unlink()
    for path in root.rglob("traj.json"):
        change_json(path, lambda traj: traj.update(frames=[{}, {}]))


def fitted(name: str, data: Callable[[Path], bytes]) -> Callable[[Path], None]:
    """Replace a file of the second view, and its fingerprint."""

    def damage(root: Path) -> None:
        payload = data(traj_of(root))
        replace_file(traj_of(root) / name / "001.png", payload)
        frames(lambda f: [f[0], f[1] | {name: f[1][name] | {"sha256": sha256(payload)}}])(root)

    return damage


def png(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


def own(name: str) -> Callable[[Path], bytes]:
    return lambda folder: (folder / name).read_bytes()


def anchor(name: str, data: bytes | None) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = scene_of(root) / "input" / name
        path.unlink()
        if data is not None:
            path.write_bytes(data)

    return damage


PICTURES = {
    "one frame": frames(lambda f: f[:1]),
    "no frames": frames(lambda f: []),
    "three frames": frames(lambda f: [*f, f[1]]),
    "a picture not listed": frames(lambda f: [f[0], {k: v for k, v in f[1].items() if k != "samples-rgb"}]),
    "a part too many": frames(lambda f: [f[0], f[1] | {"flow": f[1]["depth"]}]),
    "an entry with more": frames(lambda f: [f[0], f[1] | {"depth": f[1]["depth"] | {"unit": "m"}}]),
    "a picture gone with its entry": no_picture,
    "all pictures gone": no_pictures_at_all,
    "no anchor": anchor("000.png", None),
    "another anchor": anchor("000.png", png(np.zeros((64, 64, 3), np.uint8))),
    "no depth of the anchor": anchor("000_depth.png", None),
    "garbage for depth of the anchor": anchor("000_depth.png", b"hello"),
    "garbage for ids of the anchor": anchor("000_instances.png", b"hello"),
    "a text for a picture": fitted("samples-rgb", lambda folder: b"hello"),
    "half a picture": fitted("samples-rgb", lambda folder: own("samples-rgb/001.png")(folder)[:-200]),
    "a smaller picture": fitted("samples-rgb", lambda folder: png(np.zeros((32, 64, 3), np.uint8))),
    "a grey picture": fitted("samples-rgb", lambda folder: png(np.zeros((64, 64), np.uint8))),
    "the picture of another view": fitted("samples-rgb", own("samples-rgb/000.png")),
    "ids all unknown": fitted("instances", lambda folder: png(np.full((64, 64), UNKNOWN_PIXEL, np.uint16))),
    "ids of nothing": fitted("instances", lambda folder: png(np.full((64, 64), 999, np.uint16))),
    "no depth known": fitted("depth", lambda folder: png(np.zeros((64, 64), np.uint16))),
}


@pytest.mark.parametrize("damage", PICTURES.values(), ids=PICTURES.keys())
def test_lost_and_replaced_pictures_are_found(damaged: Path, damage: Callable[[Path], Any]) -> None:
    damage(damaged)
    assert verify(damaged).mismatches


def test_one_unknown_pixel_in_a_room_is_found(damaged: Path) -> None:
    ids = cv2.imread(str(traj_of(damaged) / "instances" / "001.png"), cv2.IMREAD_UNCHANGED)
    assert ids is not None
    ids[5, 5] = UNKNOWN_PIXEL
    fitted("instances", lambda folder: png(ids))(damaged)
    assert any(mismatch.field == "instances of frame 1" for mismatch in verify(damaged).mismatches)


def test_labels_alone_need_no_pictures(tmp_path: Path) -> None:
    generate(tmp_path, GenerateConfig(num_scenes=1, seed=5, image_size=(64, 64), labels_only=True))
    assert verify(tmp_path).mismatches == []


TRAJ_FIELDS = {
    "commanded": lambda traj: traj["actions"].update(commanded="move forward 9.9 meters"),
    "commanded, unreadable": lambda traj: traj["actions"].update(commanded="wander about"),
    "executed, null": lambda traj: traj["actions"].update(executed=None),
    "kind": lambda traj: traj.update(kind="double_step"),
    "preset": lambda traj: traj.update(preset="svc"),
    "convention": lambda traj: traj.update(convention="OpenGL"),
    "motion": lambda traj: traj.update(motion={"executed": "as commanded", "check": "none"}),
    "a field too many": lambda traj: traj.update(note="checked"),
    "a field too few": lambda traj: traj.pop("convention"),
}


@pytest.mark.parametrize("change", TRAJ_FIELDS.values(), ids=TRAJ_FIELDS.keys())
def test_edited_fields_of_a_trajectory_are_found(damaged: Path, change: Callable[[Any], Any]) -> None:
    change_json(traj_of(damaged) / "traj.json", change)
    found = [mismatch for mismatch in verify(damaged).mismatches if traj_of(damaged).name in mismatch.where]
    assert found or "unreadable" in str(verify(damaged).mismatches)


def pictures(root: Path) -> list[Path]:
    return sorted(root.glob("*/scenes/*/traj_*/samples-rgb/001.png"))


def test_swapped_pictures_are_found(damaged: Path) -> None:
    a, b = pictures(damaged)[:2]
    data_a, data_b = a.read_bytes(), b.read_bytes()
    replace_file(a, data_b)
    replace_file(b, data_a)
    assert len(verify(damaged).mismatches) == 2


def test_a_missing_picture_is_found(damaged: Path) -> None:
    pictures(damaged)[0].unlink()
    assert "no such file" in str(verify(damaged).mismatches[0])


def test_a_depth_raster_that_fits_its_fingerprint_and_not_the_scene_is_found(damaged: Path) -> None:
    path = next(damaged.glob("*/scenes/*/traj_*"))
    traj = json.loads((path / "traj.json").read_bytes())
    other = (path / "depth" / "000.png").read_bytes()
    replace_file(path / "depth" / "001.png", other)
    traj["frames"][1]["depth"]["sha256"] = sha256(other)
    replace_file(path / "traj.json", json_bytes(traj))
    assert any(mismatch.field.startswith("depth at") for mismatch in verify(damaged).mismatches)


def test_lines_that_are_swapped_or_doubled_are_found(damaged: Path) -> None:
    path = next(damaged.glob("*/tasks.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    replace_file(path, b"".join([lines[1], lines[0], *lines[2:]]))
    assert {mismatch.field for mismatch in verify(damaged).mismatches} >= {"id"}
