"""Verify recorded scenes by harm: one thing is damaged and all fingerprints made to fit, so only geometry tells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recordings import as_colmap, record_room, simulated_room

from geom.actions import parse_actions
from geom.se3 import SE3
from synth.dataset import PROOFS_FILE
from synth.files import depth_png, image_png, items_png, json_bytes, read_raster, sha256
from synth.label import LabelConfig
from synth.pipeline import generate
from synth.plans import plan
from synth.teachers import Job, write_svc_bundle
from synth.verify import verify

SUBSET = "Recorded-RealScene"


@pytest.fixture(scope="module")
def small(recorded_room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "data"
    generate(out, LabelConfig(recorded_room, pairs=5, seed=1))
    assert verify(out).mismatches == []
    return out


@pytest.fixture
def data(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "data"))


def scene_of(data: Path) -> Path:
    return next((data / SUBSET / "scenes").iterdir())


def change_scene(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change scene.json, and its fingerprint in every traj.json."""
    scene = json.loads((folder / "scene.json").read_bytes())
    change(scene)
    payload = json_bytes(scene)
    (folder / "scene.json").write_bytes(payload)
    change_trajectories(folder, lambda traj: traj.update(scene_sha256=sha256(payload)))


def change_trajectories(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    for path in sorted(folder.glob("traj_*/traj.json")):
        traj = json.loads(path.read_bytes())
        change(traj)
        path.write_bytes(json_bytes(traj))


def change_proofs(subset: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = subset / PROOFS_FILE
    proofs = [json.loads(line) for line in path.read_bytes().splitlines()]
    for proof in proofs:
        change(proof)
    path.write_bytes(b"".join(map(json_bytes, proofs)))


def change_raster(data: Path, part: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change a raster of every frame, and its fingerprints wherever they are kept."""
    folder = scene_of(data)
    new: dict[str, str] = {}
    scene = json.loads((folder / "scene.json").read_bytes())
    for frame in scene["frames"]:
        entry = frame["files"][part]
        raster = change(read_raster(folder / entry["file"]))
        z = np.where(raster > 0, raster / np.float32(1000), np.nan).astype(np.float32)
        bytes_ = depth_png(z) if part == "depth" else items_png((raster.astype(np.int32) - 1).astype(np.int16))
        new[entry["sha256"]] = sha256(bytes_)
        (folder / entry["file"]).unlink()
        (folder / entry["file"]).write_bytes(bytes_)
    for path in sorted(folder.glob("traj_*/traj.json")):
        traj = json.loads(path.read_bytes())
        for i, frame in enumerate(traj["frames"]):
            source = scene["frames"][traj["scene_frames"][i]]["files"][part]["file"]
            (path.parent / frame[part]["file"]).unlink()
            shutil.copy(folder / source, path.parent / frame[part]["file"])
            frame[part]["sha256"] = new[frame[part]["sha256"]]
        path.write_bytes(json_bytes(traj))
    change_scene(
        folder, lambda s: [f["files"][part].update(sha256=new[f["files"][part]["sha256"]]) for f in s["frames"]]
    )


def fields_found(data: Path) -> str:
    """What verify says, but for the fingerprints of whole files."""
    return "\n".join(str(m) for m in verify(data).mismatches if "contents.json" not in m.field)


def shift(matrix: list[list[float]]) -> None:
    matrix[0][3] += 0.05


def on_scene(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda data: change_scene(scene_of(data), change)


def on_trajectories(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda data: change_trajectories(scene_of(data), change)


def on_proofs(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda data: change_proofs(data / SUBSET, change)


def on_rasters(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda data: change_raster(data, part, change)


def move_first_frame_everywhere(data: Path) -> None:
    """The first frame stands elsewhere, in the scene and in every trajectory that uses it."""
    on_scene(lambda s: shift(s["frames"][0]["T_world_cam"]))(data)
    on_trajectories(lambda t: [shift(t["T_world_cam"][i]) for i in (0, 1) if t["scene_frames"][i] == 0])(data)


def claim_another_motion(proof: dict[str, Any]) -> None:
    if "claim" in proof["margins"]:
        proof["margins"].update(claim="move left 1.7 meters")


HARM: dict[str, tuple[Callable[[Path], None], str]] = {
    "a frame's pose": (on_scene(lambda s: shift(s["frames"][0]["T_world_cam"])), "T_world_cam"),
    "a frame's K": (on_scene(lambda s: s["frames"][0]["K"][0].__setitem__(0, 99.0)), "K is"),
    "all poses": (move_first_frame_everywhere, "residual"),
    "a kind": (on_scene(lambda s: [i.update(kind="sofa bed") for i in s["items"]]), "kind"),
    "the words": (
        on_trajectories(lambda t: t["actions"].update(shown="move forward 0.9 meters")),
        "residual.T_planar_after",
    ),
    "the residual": (on_trajectories(lambda t: t["residual"].update(lift=0.02)), "residual.lift"),
    "the scale": (on_trajectories(lambda t: t["scale"].update(source="a ruler")), "scale is"),
    "which frames": (on_trajectories(lambda t: t["scene_frames"].reverse()), "T_world_cam"),
    "a made-up execution": (
        on_trajectories(lambda t: t["actions"].update(executed=t["actions"]["shown"])),
        "actions.executed",
    ),
    "how the motion is known": (on_trajectories(lambda t: t["motion"].update(check="passed")), "motion"),
    "an unknown field": (on_trajectories(lambda t: t.update(extra=1)), "keys"),
    "the witness": (
        on_proofs(lambda p: [i.update(witness=0.6) for i in p["items"] if "witness" in i]),
        "witness",
    ),
    "no witness": (on_proofs(lambda p: [i.pop("witness", None) for i in p["items"]]), "witness"),
    "depth": (on_rasters("depth", lambda mm: (mm * 1.05).astype(np.uint16)), "amodal_box"),
    "outlines": (on_rasters("instances", lambda ids: np.roll(ids, 12, 1)), "visible_box"),
    "a claim": (on_proofs(claim_another_motion), "claim"),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_found_where_it_was_done(name: str, data: Path) -> None:
    harm, expected = HARM[name]
    harm(data)
    assert expected in fields_found(data)


def test_a_sequence_without_depth_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = record_room(tmp_path / "source")
    for path in source.glob("*.depth.png"):
        path.unlink()
    with pytest.raises(ValueError, match="at least 2 frames"):
        generate(tmp_path / "data", LabelConfig(source))
    assert not (tmp_path / "data").exists()


def imagined(folder: Path) -> Path:
    """A clip that turns, with the pictures of a room, as SVC's tree has it."""
    world = simulated_room()
    job = Job(folder / "anchor.png", "room", "TL_20", parse_actions("TL_20"))
    poses = plan(job.actions, "svc")["T_cam0_cam"]
    T_anchor_cam = SE3.from_matrix(torch.tensor(poses, dtype=torch.float64))
    images = [world.view(world.T_world_anchor @ T_anchor_cam[n]).image for n in range(len(poses))]
    bundle = folder / job.bundle
    (bundle / "samples-rgb").mkdir(parents=True)
    names = [f"samples-rgb/{n:03d}.png" for n in range(len(images))]
    for name, image in zip(names, images, strict=True):
        assert image is not None
        (bundle / name).write_bytes(image_png(image))
    K = world.camera.K.tolist()
    write_svc_bundle(job, bundle, names, poses, K, (160, 120), camera_scale=2.0)
    return folder


def test_metres_of_a_world_model_that_nobody_declared_are_found(tmp_path: Path) -> None:
    config = LabelConfig(imagined(tmp_path / "source"))
    generate(tmp_path / "data", config)
    report = verify(tmp_path / "data")
    assert report.mismatches == [] and report.labels >= 1
    metric = {"status": "metric", "source": "somebody says so"}
    folder = next((tmp_path / "data" / config.subset / "scenes").iterdir())
    change_scene(folder, lambda s: [clip.update(scale=metric) for clip in s["clips"].values()])
    change_trajectories(folder, lambda t: t.update(scale=metric))
    change_proofs(tmp_path / "data" / config.subset, lambda p: p.update(scale=metric))
    assert "a world model has a unit of its own" in fields_found(tmp_path / "data")


@pytest.fixture(scope="module")
def unscaled(recorded_room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The room without a scale: 1 m is 0.05 of its unit."""
    folder = tmp_path_factory.mktemp("unscaled")
    generate(folder / "data", LabelConfig(as_colmap(recorded_room, folder / "source", unit=0.05), pairs=8, seed=1))
    assert verify(folder / "data").mismatches == []
    return folder / "data"


def forget_small_moves(traj: dict[str, Any]) -> None:
    """Say the turn alone where the camera moved too, residual and all."""
    turns = [step for step in traj["actions"]["shown"].split("; ") if "turn" in step]
    if not turns or turns == traj["actions"]["shown"].split("; "):
        return
    T = np.array(traj["T_world_cam"])
    left = parse_actions("; ".join(turns)).pose().inverse().matrix().numpy() @ np.linalg.inv(T[0]) @ T[1]
    traj["actions"]["shown"] = "; ".join(turns)
    traj["residual"]["T_planar_after"] = left.tolist()


UNSCALED_HARM: dict[str, tuple[Callable[[Path], None], str]] = {
    "a move that is said to be none": (on_trajectories(forget_small_moves), "actions.shown"),
    "a clip that is said to be short": (
        on_scene(lambda s: [c.update(extent=1e-4) for c in s["clips"].values()]),
        "extent",
    ),
}


@pytest.mark.parametrize("name", UNSCALED_HARM)
def test_words_are_held_to_the_path_where_there_is_no_scale(name: str, unscaled: Path, tmp_path: Path) -> None:
    harm, expected = UNSCALED_HARM[name]
    data = Path(shutil.copytree(unscaled, tmp_path / "data"))
    harm(data)
    assert expected in fields_found(data)
