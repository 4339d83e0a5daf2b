"""Pairs from simulated rooms, made on the fly: exact poses, depths, boxes and shares, at the cost of a few rays."""

from __future__ import annotations

from collections import Counter
from typing import cast

import numpy as np
import torch

from geom.se3 import SE3
from models.pairs import Pairs
from synth.evidence import Sight
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.transition import View

ITEMS = 4
"""Of each pair, whose boxes and shares are told."""
MIN_SEEN = 0.5
"""Items are told of which at least this share is seen before: others are not asked about either."""


def room_pairs(seed: int, index: int, image_size: tuple[int, int]) -> Pairs | None:
    """All pairs of a room: from its anchor by each motion that there is space for.

    The same seed and index give the same pairs, and different ones never the same room.

    Args:
        image_size: width and height, pixels.

    Returns:
        None for a room in which no camera finds a place.
    """
    own_seed = int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> 1)
    try:
        world = RoomWorld(GenerateConfig(num_scenes=1, seed=own_seed, image_size=image_size), 0, Stages())
    except ValueError:
        return None
    before = _sight(world, world.T_world_anchor)
    poses = [traj.T_world_cam[1] for traj, _ in world.trajectories(Counter())]
    order = np.random.default_rng([seed, index]).permutation(len(world.evidence.kinds))
    shown = [i for i in order.tolist() if before.is_clean[i] and _share(before, i) >= MIN_SEEN]
    parts = [_pair(before, _sight(world, T), _turns(shown, n)) for n, T in enumerate(poses)]
    return Pairs.collate(parts) if parts else None


def _turns(shown: list[int], n: int) -> list[int]:
    """Which items the nth pair tells of: all come round."""
    start = n * ITEMS % max(len(shown), 1)
    return (shown[start:] + shown[:start])[:ITEMS]


def _sight(world: RoomWorld, T_world_cam: SE3) -> Sight:
    return Sight(world.evidence, T_world_cam, world.camera, world.view(T_world_cam))


def _share(sight: Sight, item_idx: int) -> float:
    shares = sight.partition(item_idx)
    return float("nan") if shares is None else shares.visible


def _pair(before: Sight, after: Sight, items: list[int]) -> Pairs:
    T_a_b = before.T_world_cam.inverse() @ after.T_world_cam
    views = [before.view, after.view]
    boxes = np.stack([before.amodal[items], after.amodal[items]], 1)
    visible = np.array([[_share(sight, i) for sight in (before, after)] for i in items]).reshape(-1, 2)
    return Pairs(
        torch.stack([torch.from_numpy(_image(view)).permute(2, 0, 1) for view in views])[None],
        before.camera.K.float()[None],
        SE3(T_a_b.R.float()[None], T_a_b.t.float()[None]),
        torch.stack([_known(view) for view in views])[None],
        torch.from_numpy(boxes).float()[None],
        torch.from_numpy(visible).float()[None],
    )


def _image(view: View) -> np.ndarray:
    return cast(np.ndarray, view.image)


def _known(view: View) -> torch.Tensor:
    z_depth = torch.from_numpy(view.z_depth)
    return z_depth.where(z_depth.isfinite(), torch.nan)
