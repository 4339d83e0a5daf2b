"""A transition with the evidence around it, and what a task makes of it: a question, or a reason to ask none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from geom.actions import ActionSequence
from geom.se3 import SE3
from synth.answers import Answer
from synth.evidence import Sight
from synth.transition import Transition

GRID_M = 0.1
GRID_DEG = 5.0
"""Sizes in questions are whole multiples of these; equivalent answers are sought on the same grid."""

FINE_GRID_M = 0.01
FINE_GRID_DEG = 1.0
"""The grid of motions that were measured or cut short, and are not on the other."""

MIN_OVERLAP = 0.05
"""Below this share of the picture seen by both, two views have nothing in common to compare."""

LATTICE = 16
"""Displacements are averaged over about this many points each way."""

SAME_PLACE_M = 1e-6
"""Cameras no further apart differ by a turn alone."""

Claims = Callable[[np.random.Generator], tuple[str, ActionSequence] | None]


@dataclass(frozen=True)
class Case:
    """What the tasks look at.

    `claims` proposes one other motion that might have been made here instead, or none. `item_order` is the order in
    which the object tasks try the items: one for all, so that they tend to ask about the same object. `witness` is
    how well an independent outline in the second view agrees with the geometry of each item, where there is one.
    """

    transition: Transition
    before: Sight
    after: Sight
    claims: Claims
    item_order: tuple[int, ...]
    witness: Mapping[int, float] = field(default_factory=dict)

    @property
    def actions(self) -> ActionSequence:
        """What the camera did."""
        return self.transition.traj.actions

    def displacement(self, claimed: SE3) -> float:
        """How far a claimed motion puts the picture from where the true one puts it.

        Mean distance, as a share of the image width, between where a surface point is in the true view and where it
        would be in the claimed one, over points that both see; 1.0 where they have less than MIN_OVERLAP in common,
        0.0 where no surface is known. If both end at one place, no depth matters and every pixel counts.

        Args:
            claimed: pose of the claimed second camera in the first camera's frame.
        """
        sight = self.after
        uv = sight.camera.pixel_centers()[_lattice(sight.camera.height)][:, _lattice(sight.camera.width)].reshape(-1, 2)
        z = sight.view.z_depth[_lattice(sight.camera.height)][:, _lattice(sight.camera.width)].reshape(-1)
        T_world_claimed = self.before.T_world_cam @ claimed
        is_turn = float((T_world_claimed.t - sight.T_world_cam.t).abs().max()) <= SAME_PLACE_M
        z = np.ones_like(z) if is_turn else z
        known = np.isfinite(z)
        if not known.any():
            return 0.0
        uv, z = uv[known], torch.from_numpy(z[known]).double()
        p_world = sight.T_world_cam.act(sight.camera.unproject(uv, z))
        uv_claimed, in_front = sight.camera.project(T_world_claimed.inverse().act(p_world))
        both = (in_front & sight.camera.contains(uv_claimed)).numpy()
        if not is_turn:
            both[both] = sight.evidence.is_seen(p_world[both], T_world_claimed)
        if both.sum() < MIN_OVERLAP * len(both):
            return 1.0
        return float((uv_claimed - uv)[both].norm(dim=-1).mean()) / sight.camera.width


def _lattice(size: int) -> slice:
    step = max(1, size // LATTICE)
    return slice(step // 2, None, step)


@dataclass(frozen=True)
class Target:
    """An item that a question is about, and its part in it ("target", "other")."""

    item_idx: int
    role: str = "target"


@dataclass(frozen=True)
class Question:
    """A question and its answer, before they are put into words.

    `asked` holds what the words name; `boxes_px` the boxes that the question gives or asks for, by the image (0 or 1)
    that they lie in; `margins` the numbers that make the answer safe.
    """

    task_type: str
    variant: str
    asked: dict[str, Any]
    answer: Answer
    targets: tuple[Target, ...] = ()
    boxes_px: tuple[tuple[int, str, tuple[float, ...]], ...] = ()
    margins: dict[str, Any] = field(default_factory=dict)


class LeftOut(Exception):
    """Why a task asks nothing about a case; the text is the cause that `left_out.json` counts."""


class DoesNotApply(Exception):
    """The task asks nothing about motions of this kind, so nothing is left out; the text says what it asks about."""


def balanced(rng: np.random.Generator, yes: Any | None, no: Any | None, cause: str) -> tuple[bool, Any]:
    """Choose yes or no by a fair coin, and only where both could be asked: so nothing but the truth predicts it.

    Raises:
        LeftOut: `cause`, if one of the two is missing.
    """
    if yes is None or no is None:
        raise LeftOut(cause)
    is_yes = bool(rng.integers(2))
    return is_yes, yes if is_yes else no
