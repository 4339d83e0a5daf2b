"""Bundles as world models write them, whose pictures are of a simulated room and show what we choose: the motion that
was told, or another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from geom.actions import parse_actions
from geom.se3 import SE3
from synth.files import image_png, json_bytes
from synth.pipeline import GenerateConfig
from synth.plans import hy_latents, plan
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.teachers import Job, write_svc_bundle

SIZE = (320, 240)
SCENE = "room"


def room(seed: int = 3) -> RoomWorld:
    """The room that is shown, through a lens of its own."""
    return RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=SIZE), 0, Stages())


@dataclass(frozen=True)
class Film:
    """A clip to write.

    Args:
        told: the actions, which the poses follow.
        shown: what the pictures follow, in as many frames; the same unless given.
        seen: so many frames are shown, and the others are fog; all unless given.
    """

    name: str
    told: str
    shown: str = ""
    seen: int | None = None
    scene: str = SCENE


def write_svc(folder: Path, world: RoomWorld, film: Film) -> Path:
    """A clip of SVC's tree: a frame for each of its poses; returns the tree."""
    actions = parse_actions(film.told)
    planned = plan(actions, "svc")
    job = Job(folder / "anchor.png", film.scene, film.name, actions)
    bundle = folder / job.bundle
    names = _write_pictures(bundle, world, film, "svc")
    K = world.camera.K.tolist()
    scale = planned["camera_scale"] or 2.0
    write_svc_bundle(job, bundle, names, planned["T_cam0_cam"], K, SIZE, camera_scale=scale)
    return folder


def write_hy(folder: Path, world: RoomWorld, film: Film) -> Path:
    """The same of HY-WorldPlay's tree: a frame for each latent, the last ones held still."""
    actions = parse_actions(film.told)
    planned = plan(actions, "hy_worldplay")
    bundle = folder / "scenes" / film.scene / f"traj_{film.name}"
    names = _write_pictures(bundle, world, film, "hy_worldplay")
    latents = [[step.signed_amount for step in hy_latents(action)] for action in actions]
    words = [{"name": action.kind.value, "value": action.amount} for action in actions]
    K = _hy_K(world)
    poses = {key: {"K": K, "extrinsic": row["extrinsic"]} for key, row in planned["pose_json"].items()}
    (bundle / "pose.json").write_bytes(json_bytes(poses))
    trajectory: dict[str, Any] = {
        "actions": words,
        "latent_chunks": [{"action": a, "latent_values": v} for a, v in zip(words, latents, strict=True)],
        "pose_path": "pose.json",
        "retained_frame_indices": [4 * i for i in range(len(names))],
        "sample_paths": names,
        "video_length": planned["video_length"],
    }
    (bundle / "traj.json").write_bytes(json_bytes(trajectory))
    return folder


def _hy_K(world: RoomWorld) -> list[list[float]]:
    """K as HY-WorldPlay keeps it, of 1920 x 1080 pixels, whatever the frame's shape."""
    return world.camera.resize(1920, 1080).K.tolist()


_NAMES = {"svc": ("{:03d}.png", 1), "hy_worldplay": ("frame_{:04d}.png", 4)}


def _write_pictures(bundle: Path, world: RoomWorld, film: Film, teacher: str) -> list[str]:
    (bundle / "samples-rgb").mkdir(parents=True)
    T_cam0_cam = plan(film.shown or film.told, teacher)["T_cam0_cam"]
    poses, (pattern, step) = SE3.from_matrix(torch.tensor(T_cam0_cam, dtype=torch.float64)), _NAMES[teacher]
    names = []
    for n in range(len(T_cam0_cam)):
        is_seen = film.seen is None or n < film.seen
        image = world.view(world.T_world_anchor @ poses[n]).image if is_seen else _fog(n)
        assert image is not None
        names.append(f"samples-rgb/{pattern.format(step * n)}")
        (bundle / names[-1]).write_bytes(image_png(image))
    return names


def _fog(n: int) -> NDArray[np.uint8]:
    """A picture that changes from frame to frame and has nothing to follow."""
    soft = cv2.resize(np.random.default_rng(n).normal(128, 6, (4, 4)), SIZE, interpolation=cv2.INTER_CUBIC)
    return np.repeat(np.clip(soft, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def boxes_of(world: RoomWorld) -> list[dict[str, Any]]:
    """Boxes around the room's items along the axes of the first camera, which are those of a bundle's poses."""
    parts = world.evidence.primitives
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    corners = parts.T_world_prim[:, None].act(parts.half_size[:, None] * signs)
    p_cam = world.T_world_anchor.inverse().act(corners)
    boxes = []
    for item, (item_id, kind) in enumerate(zip(world.evidence.item_ids, world.evidence.kinds, strict=True)):
        own = p_cam[parts.item_idx == item].reshape(-1, 3)
        boxes.append({"item_id": item_id, "kind": kind, "min": own.amin(0).tolist(), "max": own.amax(0).tolist()})
    return boxes
