"""Pairs from simulated rooms, made on the fly: exact poses, depths, boxes and shares, at the cost of a few rays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from geom.actions import ActionSequence
from geom.se3 import SE3
from models.answering import resized
from models.pairs import Pairs
from synth.evidence import Sight
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages

ITEMS = 4
"""Of each pair, whose boxes and shares are told."""
MIN_SEEN = 0.5
"""Items are told of which at least this share is seen before: others are not asked about either."""


@dataclass(frozen=True)
class RoomConfig:
    """All that pairs of rooms depend on, but for the number of the room.

    Args:
        image_size: width and height of the pictures, pixels.
        samples: rays each way of a pixel, odd, so that one goes through its centre; more than one soften edges, as
            pictures have them that were made larger.
        without_kinds: of objects, kept for a test.
    """

    seed: int
    image_size: tuple[int, int]
    samples: int = 1
    without_kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.samples < 1 or self.samples % 2 == 0:
            raise ValueError(f"samples of a pixel must be an odd number, got {self.samples}: 1 or 3")


def room_pairs(config: RoomConfig, index: int) -> Pairs | None:
    """All pairs of a room: from its anchor by each motion that there is space for.

    The same seed and index give the same pairs, and different ones never the same room.

    Returns:
        None for a room in which no camera finds a place.
    """
    own_seed = int(np.random.SeedSequence([config.seed, index]).generate_state(1, np.uint64)[0] >> 1)
    width, height = (side * config.samples for side in config.image_size)
    kinds = config.without_kinds
    try:
        made = GenerateConfig(num_scenes=1, seed=own_seed, image_size=(width, height), without_kinds=kinds)
        world = RoomWorld(made, 0, Stages())
    except ValueError:
        return None
    before = _sight(world, world.T_world_anchor)
    order = np.random.default_rng([config.seed, index]).permutation(len(world.evidence.kinds))
    shown = [i for i in order.tolist() if before.is_clean[i] and _share(before, i) >= MIN_SEEN]
    parts = [
        _pair(before, _sight(world, traj.T_world_cam[1]), traj.actions, _turns(shown, n), config)
        for n, (traj, _) in enumerate(world.trajectories(Counter()))
    ]
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


def _pair(before: Sight, after: Sight, actions: ActionSequence, items: list[int], config: RoomConfig) -> Pairs:
    T_a_b = before.T_world_cam.inverse() @ after.T_world_cam
    views = [before.view, after.view]
    boxes = np.stack([before.amodal[items], after.amodal[items]], 1)
    decoys = before.evidence.boxes(before.T_world_cam @ actions.mirrored().pose(), before.camera)[items]
    visible = np.array([[_share(sight, i) for sight in (before, after)] for i in items]).reshape(-1, 2)
    pictures = [resized(cast(NDArray[np.uint8], view.image), config.image_size) for view in views]
    middle = slice(config.samples // 2, None, config.samples)
    return Pairs(
        torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures])[None],
        before.camera.resize(*config.image_size).K.float()[None],
        SE3(T_a_b.R.float()[None], T_a_b.t.float()[None]),
        torch.stack([_known(view.z_depth[middle, middle]) for view in views])[None],
        torch.from_numpy(boxes / config.samples).float()[None],
        torch.from_numpy(visible).float()[None],
        torch.from_numpy(decoys / config.samples).float()[None],
    )


def _known(raster: NDArray[np.float32]) -> torch.Tensor:
    z_depth = torch.from_numpy(raster.copy())
    return z_depth.where(z_depth.isfinite(), torch.nan)
