"""Verify recorded scenes by harm: one thing is damaged and all fingerprints made to fit, so only geometry tells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import record_room

from synth.dataset import PROOFS_FILE, TASK_FILES
from synth.files import depth_png, items_png, json_bytes, read_raster, sha256
from synth.label import LabelConfig
from synth.pipeline import generate
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


def change_scene(data: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change scene.json, and its fingerprint in every traj.json."""
    folder = scene_of(data)
    scene = json.loads((folder / "scene.json").read_bytes())
    change(scene)
    payload = json_bytes(scene)
    (folder / "scene.json").write_bytes(payload)
    change_trajectories(data, lambda traj: traj.update(scene_sha256=sha256(payload)))


def change_trajectories(data: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    for path in sorted(scene_of(data).glob("traj_*/traj.json")):
        traj = json.loads(path.read_bytes())
        change(traj)
        path.write_bytes(json_bytes(traj))


def change_proofs(data: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = data / SUBSET / PROOFS_FILE
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
    change_scene(data, lambda s: [f["files"][part].update(sha256=new[f["files"][part]["sha256"]]) for f in s["frames"]])


def fields_found(data: Path) -> str:
    """What verify says, but for the fingerprints of whole files."""
    return "\n".join(str(m) for m in verify(data).mismatches if "contents.json" not in m.field)


def shift(matrix: list[list[float]]) -> None:
    matrix[0][3] += 0.05


HARM: dict[str, tuple[Callable[[Path], None], str]] = {
    "a frame's pose": (lambda d: change_scene(d, lambda s: shift(s["frames"][0]["T_world_cam"])), "T_world_cam"),
    "a frame's K": (lambda d: change_scene(d, lambda s: s["frames"][0]["K"][0].__setitem__(0, 99.0)), "K is"),
    "all poses": (
        lambda d: (
            change_scene(d, lambda s: [shift(f["T_world_cam"]) for f in s["frames"][:1]]),
            change_trajectories(d, lambda t: [shift(t["T_world_cam"][i]) for i in (0, 1) if t["scene_frames"][i] == 0]),
        ),
        "residual",
    ),
    "a kind": (lambda d: change_scene(d, lambda s: [i.update(kind="sofa bed") for i in s["items"]]), "kind"),
    "the words": (
        lambda d: change_trajectories(d, lambda t: t["actions"].update(shown="move forward 0.9 meters")),
        "residual.T_planar_after",
    ),
    "the residual": (lambda d: change_trajectories(d, lambda t: t["residual"].update(lift=0.02)), "residual.lift"),
    "the scale": (
        lambda d: change_trajectories(d, lambda t: t["scale"].update(source="a ruler")),
        "scale is",
    ),
    "which frames": (lambda d: change_trajectories(d, lambda t: t["scene_frames"].reverse()), "T_world_cam"),
    "a made-up execution": (
        lambda d: change_trajectories(d, lambda t: t["actions"].update(executed=t["actions"]["shown"])),
        "actions.executed",
    ),
    "how the motion is known": (
        lambda d: change_trajectories(d, lambda t: t["motion"].update(check="passed")),
        "motion",
    ),
    "an unknown field": (lambda d: change_trajectories(d, lambda t: t.update(extra=1)), "keys"),
    "the witness": (
        lambda d: change_proofs(d, lambda p: [i.update(witness=0.6) for i in p["items"] if "witness" in i]),
        "witness",
    ),
    "no witness": (lambda d: change_proofs(d, lambda p: [i.pop("witness", None) for i in p["items"]]), "witness"),
    "depth": (lambda d: change_raster(d, "depth", lambda mm: (mm * 1.05).astype(np.uint16)), "amodal_box"),
    "outlines": (lambda d: change_raster(d, "instances", lambda ids: np.roll(ids, 12, 1)), "visible_box"),
    "a claim": (
        lambda d: change_proofs(
            d, lambda p: p["margins"].update(claim="move left 1.7 meters") if "claim" in p["margins"] else None
        ),
        "claim",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_found_where_it_was_done(name: str, data: Path) -> None:
    harm, expected = HARM[name]
    harm(data)
    assert expected in fields_found(data)


def test_a_source_that_declares_nothing_may_not_become_metric(tmp_path: Path) -> None:
    """Metres that nobody declared are found, whatever the traj.json says."""
    source = record_room(tmp_path / "source")
    for path in source.glob("*.depth.png"):
        path.unlink()
    with pytest.raises(ValueError, match="at least 2 frames"):
        generate(tmp_path / "data", LabelConfig(source))
    assert not any((tmp_path / "data").rglob(TASK_FILES[0])), "nothing half-written"
