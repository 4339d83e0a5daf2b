"""The alarm for wrong conventions: silent on right data, loud on each planted mistake, and it names the mistake."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import real_sources
import torch
from recordings import simulated_room
from scipy.spatial.transform import Rotation

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.label import LabelConfig
from synth.mistakes import MISTAKES, check_frames, diagnose
from synth.reproject import Shot
from synth.source import Frame
from synth.sources import read_source

REAL = Path(__file__).parents[2] / "shared" / "real_data"
Shots = list[Shot]
GL = np.diag([1.0, -1, -1, 1])


@pytest.fixture(scope="module")
def shots() -> Shots:
    """Ten hand-held frames of a room, with noise and a hole."""
    world, rng, found = simulated_room(), np.random.default_rng(0), []
    T = world.T_world_anchor
    for _ in range(10):
        z = world.view(T).z_depth.astype(np.float64) * (1 + 0.01 * rng.normal(size=(120, 160)))
        z[30:50, 40:70] = np.nan
        found.append(Shot(world.camera, T, torch.from_numpy(z)))
        step = np.concatenate([rng.normal(size=3) * [0.06, 0.04, 0.08], rng.normal(size=3) * [0.05, 0.09, 0.04]])
        T = T @ SE3.exp(torch.from_numpy(step))
    return found


def posed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Shots], Shots]:
    """Change every pose, as a matrix."""
    return lambda shots: [replace(s, T_world_cam=pose(change(s.T_world_cam.matrix().numpy()))) for s in shots]


def pose(T: np.ndarray) -> SE3:
    return SE3.from_matrix(torch.from_numpy(T))


def deeper(factor: float) -> Callable[[Shots], Shots]:
    return lambda shots: [replace(s, z_depth=s.z_depth * factor) for s in shots]


def lensed(factor: float) -> Callable[[Shots], Shots]:
    def zoomed(camera: PinholeCamera) -> PinholeCamera:
        return replace(camera, K=torch.tensor([factor, factor, 1.0], dtype=torch.float64).diag() @ camera.K)

    return lambda shots: [replace(s, camera=zoomed(s.camera)) for s in shots]


def rotated(T: np.ndarray, change: Callable[[Rotation], Rotation]) -> np.ndarray:
    T = T.copy()
    T[:3, :3] = change(Rotation.from_matrix(T[:3, :3])).as_matrix()
    return T


def along_rays(shots: Shots) -> Shots:
    v, u = np.mgrid[:120, :160] + 0.5
    pixels = np.stack([u, v, u * 0 + 1]).reshape(3, -1)
    far = [np.linalg.norm(np.linalg.inv(s.camera.K.numpy()) @ pixels, axis=0).reshape(120, 160) for s in shots]
    return [replace(s, z_depth=s.z_depth * torch.from_numpy(d)) for s, d in zip(shots, far, strict=True)]


PLANTED: dict[str, Callable[[Shots], Shots]] = {
    "world-to-camera": posed(np.linalg.inv),
    "OpenGL axes": posed(lambda T: T @ GL),
    "transposed": posed(lambda T: rotated(T, Rotation.inv)),
    "quaternions": posed(lambda T: rotated(T, lambda r: Rotation.from_quat(np.roll(r.as_quat(), 1)))),
    "frame after": lambda s: [replace(a, T_world_cam=b.T_world_cam) for a, b in zip(s, s[1:], strict=False)],
    "100 times too large": deeper(100),
    "1000 times too large": deeper(1000),
    "10 times too small": deeper(0.1),
    "along the rays": along_rays,
    "twice the size": lensed(2.0),
    "half the size": lensed(0.5),
}


def test_right_data_agree(shots: Shots) -> None:
    found = diagnose(shots)
    assert found.verdict == "agrees" and found.explained > 0.3 and found.gain < 0.03


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught_and_named(name: str, shots: Shots) -> None:
    found = diagnose(PLANTED[name](shots))
    assert found.verdict == "contradicts"
    assert name in found.sentence


@pytest.mark.parametrize("name", ["right", "world-to-camera", "100 times too large"])
def test_where_the_world_lies_changes_nothing_but_for_inverted_poses(name: str, shots: Shots) -> None:
    move = SE3.exp(torch.tensor([1.0, -2.0, 0.5, 0.3, 0.2, -0.4]).double())
    plant = PLANTED.get(name, list)
    here, there = diagnose(plant(shots)), diagnose(plant([replace(s, T_world_cam=move @ s.T_world_cam) for s in shots]))
    assert here.verdict == there.verdict
    if name != "world-to-camera":
        assert here.explained == pytest.approx(there.explained, abs=1e-3)


def test_drift_and_bias_are_no_mistakes_of_convention(shots: Shots) -> None:
    rng, drift, drifted = np.random.default_rng(1), SE3.identity(), []
    for s in shots:
        drifted.append(replace(s, T_world_cam=s.T_world_cam @ drift, z_depth=s.z_depth * 1.02))
        drift = drift @ SE3.exp(torch.from_numpy(rng.normal(size=6) * 0.005))
    assert diagnose(drifted).verdict == "agrees"


def test_one_factor_on_all_lengths_cannot_be_seen(shots: Shots) -> None:
    def scaled(T: np.ndarray) -> np.ndarray:
        T = T.copy()
        T[:3, 3] *= 7
        return T

    found = diagnose(deeper(7)(posed(scaled)(shots)))
    assert found.verdict == "agrees"
    assert found.explained == pytest.approx(diagnose(shots).explained, abs=1e-9)


def test_the_other_way_round_two_views_say_the_same(shots: Shots) -> None:
    here, there = diagnose(shots[:2]), diagnose(shots[1::-1])
    assert (here.verdict, here.explained) == (there.verdict, pytest.approx(there.explained, abs=1e-12))


def test_what_is_said_is_borne_out_by_residuals(shots: Shots) -> None:
    right, wrong = diagnose(shots), diagnose(PLANTED["world-to-camera"](shots))
    assert right.residual < 0.02
    assert wrong.residual > 2 * right.residual


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real_data is absent")
@pytest.mark.parametrize("apart", [1, 2])
def test_two_hand_held_frames_with_a_pose_that_is_somewhat_off_raise_no_alarm(apart: int, tmp_path: Path) -> None:
    """Their residual is 3 % and a fifth of one lies in front of the other: bad odometry, no convention."""
    frames = read_source(real_sources.slambook(REAL, tmp_path / "slambook")).scenes[0].clips[0].frames
    found = check_frames(frames[: apart + 1 : apart])
    assert found.verdict != "contradicts"
    assert np.isfinite(found.residual)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_frames_tell_nothing(count: int, shots: Shots) -> None:
    assert diagnose(shots[:count]).verdict == "cannot tell"


def test_frames_that_have_nothing_in_common_tell_nothing(shots: Shots) -> None:
    far = SE3.from_translation(torch.tensor([1e4, 0, 0], dtype=torch.float64))
    apart = [shots[0], replace(shots[1], T_world_cam=far), replace(shots[2], T_world_cam=far @ far)]
    assert diagnose(apart).verdict == "cannot tell"


def test_frames_without_depth_tell_nothing(shots: Shots, recorded_room: Path) -> None:
    frames = read_source(recorded_room).scenes[0].clips[0].frames
    assert check_frames([replace(frame, z_depth=None) for frame in frames]).verdict == "cannot tell"
    assert check_frames(frames).verdict == "agrees"
    broken = [replace(frames[0], z_depth=frames[0].picture), *frames[1:]]
    assert isinstance(broken[0], Frame) and check_frames(broken).verdict == "agrees", (
        "one that is no depth is passed over"
    )


def test_every_mistake_undone_twice_or_by_its_opposite_is_undone(shots: Shots) -> None:
    """What is undone is a change indeed: no entry of the table leaves the data as they are."""
    for name, undo in MISTAKES.items():
        changed = undo(list(shots))
        assert any(
            not (
                torch.allclose(s.camera.K, t.camera.K)
                and torch.allclose(s.T_world_cam.matrix(), t.T_world_cam.matrix())
                and torch.allclose(s.z_depth, t.z_depth, equal_nan=True)
            )
            for s, t in zip(changed, shots, strict=True)
        ), name


def damaged(source: Path, out: Path, change: Callable[[Path], None]) -> Path:
    shutil.copytree(source, out)
    change(out)
    return out


def invert_poses(folder: Path) -> None:
    for path in folder.glob("*.pose.txt"):
        np.savetxt(path, np.linalg.inv(np.loadtxt(path)))


def state_centimetres(folder: Path) -> None:
    stated = json.loads((folder / "camera.json").read_text())
    (folder / "camera.json").write_text(json.dumps(stated | {"depth_units_per_m": 10}))


@pytest.mark.parametrize(
    ("change", "text"), [(invert_poses, "world-to-camera"), (state_centimetres, "100 times too large")]
)
def test_label_refuses_a_source_that_contradicts_itself(
    change: Callable[[Path], None], text: str, recorded_room: Path, tmp_path: Path
) -> None:
    source = damaged(recorded_room, tmp_path / "source", change)
    with pytest.raises(ValueError, match=f"{text}.*trust-source"):
        LabelConfig(source)
    assert LabelConfig(source, trust_source=True).scene_ids() == ["source"]
