"""What simulated rooms are drawn from: all that pairs of views of a room depend on, made without casting a ray.

A plan is cheap and can be made anywhere; what draws it, Embree (`models.rooms`) or torch (`models.room_views`), adds
pictures and what they show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.pairs import Pairs
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.scene import Scene
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


@dataclass(frozen=True, eq=False)
class RoomPlan:
    """A room, a camera, and n motions that there is space for, all from one pose.

    Numbers are numpy's: each tensor that a loader worker hands over would cost an open file.

    Args:
        samples: as `RoomConfig`.
        image_size: width and height of the pictures, pixels.
        K: intrinsics of these pictures, (3, 3).
        poses: camera to world, before the motions and after each, (n + 1, 4, 4).
        mirrored: camera to world where each motion would have led to the other side, (n, 4, 4).
        order: of the items, in which they are chosen to be told of.
    """

    scene: Scene
    samples: int
    image_size: tuple[int, int]
    K: NDArray[np.float64]
    poses: NDArray[np.float64]
    mirrored: NDArray[np.float64]
    order: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.mirrored)

    @cached_property
    def camera(self) -> PinholeCamera:
        """Of the pictures."""
        return PinholeCamera(torch.from_numpy(self.K), *self.image_size)

    @cached_property
    def fine_camera(self) -> PinholeCamera:
        """With `samples` pixels each way for one."""
        width, height = self.image_size
        return self.camera.resize(width * self.samples, height * self.samples)

    @cached_property
    def T_world_cam(self) -> SE3:
        """Before and after each motion, (n + 1,)."""
        return _poses(self.poses)

    @cached_property
    def T_world_mirrored(self) -> SE3:
        """Where decoys are seen from, (n,)."""
        return _poses(self.mirrored)

    def told(self, is_clean: Sequence[bool], share: Callable[[int], float]) -> list[list[int]]:
        """Which items each pair tells of, equally many for each: all that are well seen before come round.

        Args:
            is_clean: of each item, as `synth.evidence.are_clean` says of the view before.
            share: of an item that is clean, how much of it is seen before.
        """
        shown = [i for i in self.order if is_clean[i] and share(i) >= MIN_SEEN]
        starts = (n * ITEMS % max(len(shown), 1) for n in range(len(self)))
        return [(shown[start:] + shown[:start])[:ITEMS] for start in starts]

    def pairs(
        self,
        image: UInt8[Tensor, "views 3 h w"],
        z_depth: Float[Tensor, "views h w"],
        box: Float[Tensor, "views items 4"],
        decoy: Float[Tensor, "n items 4"],
        told: Int[Tensor, "n m"],
        visible: Float[Tensor, "n m 2"],
    ) -> Pairs:
        """What was drawn of all views, the one before first, as pairs, on the device of the pictures.

        Args:
            box, decoy: of all items, pixels of the pictures.
            told: which of them each pair tells of; `visible` are their shares.
        """
        n, row = len(self), torch.arange(len(self), device=told.device)[:, None]
        T_a_b = (self.T_world_cam[:1].inverse() @ self.T_world_cam[1:]).to(z_depth)
        return Pairs(
            torch.stack([image[:1].expand(n, -1, -1, -1), image[1:]], 1),
            self.camera.K.to(z_depth).repeat(n, 1, 1),
            T_a_b,
            torch.stack([z_depth[:1].expand(n, -1, -1), z_depth[1:]], 1),
            torch.stack([box[0][told], box[1:][row, told]], 2),
            visible,
            decoy[row, told],
        )


def _poses(matrices: NDArray[np.float64]) -> SE3:
    poses = torch.from_numpy(matrices)
    return SE3(poses[:, :3, :3], poses[:, :3, 3])


def room_plan(config: RoomConfig, index: int) -> RoomPlan | None:
    """The plan of a room by its number.

    The same seed and index give the same plan, and different ones never the same room.

    Returns:
        None for a room in which no camera finds a place, or a way to go.
    """
    opened = open_room(config, index)
    return None if opened is None else opened[1]


def open_room(config: RoomConfig, index: int) -> tuple[RoomWorld, RoomPlan] | None:
    """A plan and the room that it is of, whose pictures have `samples` pixels each way for one; else as `room_plan`."""
    own_seed = int(np.random.SeedSequence([config.seed, index]).generate_state(1, np.uint64)[0] >> 1)
    width, height = (side * config.samples for side in config.image_size)
    kinds = config.without_kinds
    try:
        made = GenerateConfig(num_scenes=1, seed=own_seed, image_size=(width, height), without_kinds=kinds)
        world = RoomWorld(made, 0, Stages())
    except ValueError:
        return None
    plan = _planned(world, config, np.random.default_rng([config.seed, index]))
    return None if plan is None else (world, plan)


def _planned(world: RoomWorld, config: RoomConfig, rng: np.random.Generator) -> RoomPlan | None:
    anchor, trajs = world.T_world_anchor, [traj for traj, _ in world.trajectories(Counter())]
    if not trajs:
        return None
    return RoomPlan(
        world.scene,
        config.samples,
        config.image_size,
        world.camera.resize(*config.image_size).K.numpy(),
        SE3.stack([anchor, *(traj.T_world_cam[1] for traj in trajs)]).matrix().numpy(),
        SE3.stack([anchor @ traj.actions.mirrored().pose() for traj in trajs]).matrix().numpy(),
        tuple(rng.permutation(len(world.scene.items)).tolist()),
    )
