"""Are wrong conventions noticed by depth, and right data left alone?

    python benchmarks/conventions.py [--rooms 12] [--real FOLDER] [--out benchmarks/results/conventions.json]

Sequences of simulated rooms (hand-held in six degrees of freedom, level, sideways alone, turning alone) with noisy
depth (1.5 % noise, 8 % holes in patches, whole millimetres), and recorded ones where they are at hand, are given as
they are, with drifting poses and biased depth, which are no mistakes of convention, and with each of some mistakes
planted; windows of two to five of their frames are right too. A mistake counts as one that can be seen if the planted
data put the pixels of one frame elsewhere in another: by 2 % of the picture's width, or of their depth there, in the
median. That is decided from the right data, without the alarm. Where it cannot be seen is counted apart.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, write_result
from real_sources import apc_shelf, slambook
from scipy.ndimage import zoom
from scipy.spatial.transform import Rotation

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.mistakes import Diagnosis, diagnose, shots_of
from synth.pipeline import GenerateConfig
from synth.reproject import Shot
from synth.room_world import RoomWorld
from synth.sources import read_source
from synth.stages import Stages

SIZE = (160, 120)
FRAMES = 10
MOTIONS = ("hand-held", "level", "sideways", "turning")
REAL = {"apc_shelf_masks": apc_shelf, "slambook2_rgbd_5frames": slambook}
Shots = list[Shot]


def posed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Shots], Shots]:
    """Change every pose, as a matrix."""
    return lambda shots: [replace(s, T_world_cam=pose(change(s.T_world_cam.matrix().numpy()))) for s in shots]


def pose(T: np.ndarray) -> SE3:
    """A pose of its matrix."""
    return SE3.from_matrix(torch.from_numpy(T))


def moved(T: np.ndarray, factor: float) -> np.ndarray:
    """A pose with its translation in another unit."""
    T = T.copy()
    T[:3, 3] *= factor
    return T


def other_quaternion(T: np.ndarray) -> np.ndarray:
    """A pose whose quaternion was read in the other order."""
    T = T.copy()
    T[:3, :3] = Rotation.from_quat(np.roll(Rotation.from_matrix(T[:3, :3]).as_quat(), 1)).as_matrix()
    return T


def transposed(T: np.ndarray) -> np.ndarray:
    """A pose with its rotation transposed."""
    T = T.copy()
    T[:3, :3] = T[:3, :3].T
    return T


def along_rays(shots: Shots) -> Shots:
    """Distances along the rays in place of z-depth."""
    out = []
    for s in shots:
        v, u = np.mgrid[: s.z_depth.shape[0], : s.z_depth.shape[1]] + 0.5
        K = s.camera.K.numpy()
        x, y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
        out.append(replace(s, z_depth=s.z_depth * torch.from_numpy(np.sqrt(1 + x * x + y * y))))
    return out


def other_camera(shots: Shots) -> Shots:
    """Depth as a depth camera of 0.78 times the focal length sees it, given as registered to colour."""
    seen = [zoomed_out(s.z_depth.numpy(), s.camera.K.numpy(), 0.776) for s in shots]
    return [replace(s, z_depth=torch.from_numpy(z)) for s, z in zip(shots, seen, strict=True)]


def zoomed_out(z: np.ndarray, K: np.ndarray, factor: float) -> np.ndarray:
    """A depth picture as a wider camera at the same place has it."""
    v, u = np.mgrid[: z.shape[0], : z.shape[1]] + 0.5
    col = np.floor((u - K[0, 2]) / factor + K[0, 2]).astype(int)
    row = np.floor((v - K[1, 2]) / factor + K[1, 2]).astype(int)
    inside = (row >= 0) & (col >= 0) & (row < z.shape[0]) & (col < z.shape[1])
    return np.where(inside, z[np.where(inside, row, 0), np.where(inside, col, 0)], np.nan)


def lensed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Shots], Shots]:
    """Change every K."""

    def changed(camera: PinholeCamera) -> PinholeCamera:
        return replace(camera, K=torch.from_numpy(change(camera.K.numpy())))

    return lambda shots: [replace(s, camera=changed(s.camera)) for s in shots]


def swapped(K: np.ndarray) -> np.ndarray:
    """K with cx and cy swapped."""
    K = K.copy()
    K[0, 2], K[1, 2] = K[1, 2], K[0, 2]
    return K


def next_poses(shots: Shots) -> Shots:
    """Every frame with the pose of the next."""
    return [replace(a, T_world_cam=b.T_world_cam) for a, b in zip(shots, shots[1:], strict=False)]


def drifting(shots: Shots) -> Shots:
    """Poses as odometry has them: each step off by about 1 cm and 0.5 degrees, and depth 2 % too large."""
    rng, drift, out = np.random.default_rng(0), SE3.identity(), []
    for s in shots:
        out.append(replace(s, T_world_cam=s.T_world_cam @ drift, z_depth=s.z_depth * 1.02))
        R = Rotation.from_rotvec(rng.normal(size=3) * np.deg2rad(0.3)).as_matrix()
        drift = drift @ SE3(torch.from_numpy(R), torch.from_numpy(rng.normal(size=3) * 0.006))
    return out


MIRROR, GL = np.diag([-1.0, 1, 1, 1]), np.diag([1.0, -1, -1, 1])
PLANTED: dict[str, tuple[Callable[[Shots], Shots], str]] = {
    "world-to-camera as camera-to-world": (posed(np.linalg.inv), "world-to-camera"),
    "OpenGL axes as OpenCV": (posed(lambda T: T @ GL), "OpenGL"),
    "rotation transposed": (posed(transposed), "transposed"),
    "quaternion order": (posed(other_quaternion), "quaternions"),
    "mirrored poses": (posed(lambda T: MIRROR @ T @ MIRROR), "mirrored"),
    "pose of the next frame": (next_poses, "frame"),
    "translations in centimetres": (posed(lambda T: moved(T, 100)), "100 times"),
    "translations in millimetres": (posed(lambda T: moved(T, 1000)), "1000 times"),
    "depth of centimetres as metres": (lambda s: [replace(a, z_depth=a.z_depth * 100) for a in s], "100 times"),
    "depth unit 5000 for 1000": (lambda s: [replace(a, z_depth=a.z_depth / 5) for a in s], "5 times"),
    "distance along rays as z-depth": (along_rays, "along the rays"),
    "K of twice the size": (lensed(lambda K: np.diag([2.0, 2, 1]) @ K), "twice"),
    "K of half the size": (lensed(lambda K: np.diag([0.5, 0.5, 1]) @ K), "half"),
    "cx and cy swapped": (lensed(swapped), "cx and cy"),
    "depth of another camera": (other_camera, "another camera"),
}


def can_be_seen(right: Shots, wrong: Shots) -> bool:
    """Whether the planted data move the median pixel of the right ones by 2 % of the width, or of its depth."""
    worst = []
    for i, j in [(0, 1), (0, len(wrong) // 2), (len(wrong) // 2, len(wrong) - 1)]:
        true, said = landing(right[i], right[j]), landing(wrong[i], wrong[j], right[i].z_depth.numpy())
        width = right[i].z_depth.shape[1]
        off = np.abs(true - said) / np.array([width, width, 1.0])[:, None]
        known = np.isfinite(off).all(0)
        worst.append(np.median(off[:, known].max(0)) if known.any() else 1.0)
    return max(worst) > 0.02


def landing(a: Shot, b: Shot, at: np.ndarray | None = None) -> np.ndarray:
    """(u, v, log z) in b of the pixels of a, through the poses; NaN behind the camera."""
    own, measured = a.z_depth.numpy(), b.z_depth.numpy()
    z = np.where(np.isfinite(own if at is None else at), own, np.nan)
    v, u = np.mgrid[4 : z.shape[0] : 8, 4 : z.shape[1] : 8]
    pixels = np.stack([u + 0.5, v + 0.5, np.ones(u.shape)]).reshape(3, -1)
    T = np.linalg.inv(b.T_world_cam.matrix().numpy()) @ a.T_world_cam.matrix().numpy()
    p = T[:3, :3] @ (np.linalg.inv(a.camera.K.numpy()) @ pixels * z[v, u].ravel()) + T[:3, 3:]
    with np.errstate(invalid="ignore", divide="ignore"):
        uvw = b.camera.K.numpy() @ np.where(p[2] > 0, p, np.nan)
        # A right z-depth that is scaled everywhere lands elsewhere only if the camera moves: so it is beside b's own.
        unit = np.nanmedian(measured) if np.isfinite(measured).any() else 1.0
        return np.stack([uvw[0] / uvw[2], uvw[1] / uvw[2], np.log(p[2] / unit)])


def room_sequence(seed: int, motion: str) -> Shots:
    """Noisy depth of one simulated room along one kind of motion."""
    rng = np.random.default_rng([seed, MOTIONS.index(motion)])
    world = RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=SIZE, labels_only=True), 0, Stages())

    T, shots = world.T_world_anchor, []
    for _ in range(FRAMES):
        z = world.view(T).z_depth.astype(np.float64)
        shots.append(Shot(world.camera, T, torch.from_numpy(noisy(z, rng))))
        t, r = step(motion, rng)
        T = T @ SE3.exp(torch.from_numpy(np.concatenate([t, r])))
    return shots


def step(motion: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Metres and radians of one step, in the camera's axes."""
    if motion == "hand-held":
        return rng.normal(size=3) * [0.06, 0.04, 0.08], rng.normal(size=3) * np.deg2rad([3, 5, 2])
    if motion == "level":
        return np.array([0, 0, rng.uniform(0, 0.12)]), np.array([0, np.deg2rad(rng.uniform(-8, 8)), 0])
    if motion == "sideways":
        return np.array([rng.uniform(0.03, 0.1), 0, 0]), np.zeros(3)
    return np.zeros(3), np.array([0, np.deg2rad(rng.uniform(2, 8)), 0])


def noisy(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """1.5 % noise, holes in patches over 8 % of the picture, whole millimetres."""
    z = z * (1 + 0.015 * rng.normal(size=z.shape))
    patches = zoom(rng.normal(size=(12, 16)), (z.shape[0] / 12, z.shape[1] / 16), order=1)
    return np.where(patches > np.quantile(patches, 0.92), np.nan, np.rint(z * 1000) / 1000)


def recorded(real: Path) -> list[tuple[str, str, Shots]]:
    """The recorded sequences that are at hand, as their reader reads them."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, write in REAL.items():
            if (real / name).is_dir():
                clip = read_source(write(real, Path(scratch) / name)).scenes[0].clips[0]
                found.append((name, "recorded", shots_of(clip.frames)))
    return found


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=12)
    parser.add_argument("--real", type=Path, default=Path(__file__).parents[2] / "shared" / "real_data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "conventions.json")
    args = parser.parse_args()
    sequences = [(f"room {n}", motion, room_sequence(n, motion)) for n in range(args.rooms) for motion in MOTIONS]
    real = recorded(args.real)
    absent = [name for name in REAL if name not in {where for where, *_ in real}]
    sequences += real
    result = measure(sequences) | {"rooms": args.rooms, "real_data_absent": absent}
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=2))


def measure(sequences: list[tuple[str, str, Shots]]) -> dict[str, Any]:
    """Alarms on right data, and planted mistakes that were caught."""
    start = time.perf_counter()
    right = [(name, motion, diagnose(shots)) for name, motion, shots in sequences]
    seconds = (time.perf_counter() - start) / len(sequences)
    right += [(name, f"{motion}, drifting", diagnose(drifting(shots))) for name, motion, shots in sequences]
    windows = [(name, f"{motion}, frames {at}", diagnose(part)) for name, motion, at, part in short(sequences)]
    right += windows
    alarms = [f"{name}, {motion}: {d.sentence}" for name, motion, d in right if d.verdict == "contradicts"]
    mistakes = {name: planted(name, sequences) for name in PLANTED}
    seen = sum(m["can_be_seen"] for m in mistakes.values())
    thirds = [(name, motion, shots[:5:2]) for name, motion, shots in sequences[::3]]
    of_three = {name: planted(name, thirds) for name in PLANTED}
    return {
        "sequences": len(sequences),
        "right_sequences": len(right),
        "false_alarms": alarms,
        "largest_gain_on_right_data": largest_gain([d for *_, d in right[: -len(windows)]]),
        "right_windows_of_few_frames": len(windows),
        "largest_gain_on_windows": largest_gain([d for *_, d in windows]),
        "cannot_tell": sum(d.verdict == "cannot tell" for *_, d in right),
        "seconds_per_sequence": round(seconds, 3),
        "caught_share": round(sum(m["caught"] for m in mistakes.values()) / seen, 4),
        "mistakes": mistakes,
        "three_frames_alone": {
            name: {key: m[key] for key in ("can_be_seen", "caught", "named")} for name, m in of_three.items()
        },
    }


def short(sequences: list[tuple[str, str, Shots]]) -> Iterator[tuple[str, str, str, Shots]]:
    """Windows of a few frames: of every recorded sequence, near and apart, and the beginnings of every other one."""
    for name, motion, shots in sequences:
        recorded = motion == "recorded"
        for count, apart in [(2, 1), (2, 2), (3, 1), (3, 2), (5, 1)] if recorded else [(2, 1), (3, 2)]:
            last = len(shots) - (count - 1) * apart
            for first in range(last if recorded else 1):
                places = range(first, first + count * apart, apart)
                yield name, motion, " ".join(map(str, places)), [shots[n] for n in places]


def largest_gain(found: list[Diagnosis]) -> float:
    """The most that undoing a mistake gains where anything can be said."""
    return round(max(d.gain for d in found if d.verdict != "cannot tell"), 4)


def planted(name: str, sequences: list[tuple[str, str, Shots]]) -> dict[str, Any]:
    """How often one mistake can be seen, is caught, and is named rightly; where it is missed, and where unseen."""
    plant, word = PLANTED[name]
    counts = {"can_be_seen": 0, "caught": 0, "named": 0, "unseen_but_alarmed": 0}
    missed, unseen = [], defaultdict(int)
    for where, motion, shots in sequences:
        wrong = plant(shots)
        found = diagnose(wrong)
        is_caught = found.verdict == "contradicts"
        if not can_be_seen(shots, wrong):
            unseen[motion] += 1
            counts["unseen_but_alarmed"] += is_caught
            continue
        counts["can_be_seen"] += 1
        counts["caught"] += is_caught
        counts["named"] += is_caught and word in found.sentence
        if not is_caught:
            missed.append(
                f"{where}, {motion}: {found.verdict}, {found.explained:.2f} against {found.best_explained:.2f}"
            )
    return counts | {"missed": missed, "cannot_be_seen_in": dict(unseen)}


if __name__ == "__main__":
    main()
