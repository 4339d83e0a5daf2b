"""Two views and the motion between them: what every question is asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geom.actions import ActionSequence
from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3

ROOM = -1
"""item_idx of floor, walls and ceiling: known, but no object."""
UNKNOWN = -2
"""item_idx of a pixel that nothing is known about (a hole of a warped photograph)."""


@dataclass(frozen=True)
class View:
    """What a camera sees, pixel by pixel.

    `z_depth` is in metres along the optical axis, NaN where unknown. `item_idx` indexes the scene's items, or is
    ROOM or UNKNOWN. `image` is 8-bit sRGB, or None where only the geometry was asked for.
    """

    z_depth: NDArray[np.float32]
    item_idx: NDArray[np.int16]
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Trajectory:
    """Where a camera goes: its intrinsics, its poses, what it was told, and what the metres mean.

    `T_world_cam` holds the poses at the start and after the whole motion (batch of 2). `commanded` is what the
    camera was told to do, None where nobody says; `executed` what it did, None where nobody has measured it;
    `shown` what the stored poses say. A simulated camera does as told, and its poses need not be asked.
    `frames` are the places of the two views among those that the scene keeps, None where it keeps them not.
    """

    traj_id: str
    camera: PinholeCamera
    T_world_cam: SE3
    commanded: ActionSequence | None
    executed: ActionSequence | None
    scale: Scale
    shown: ActionSequence | None = None
    frames: tuple[int, int | None] = (0, None)

    @property
    def actions(self) -> ActionSequence:
        """The motion that questions are about: executed where that is known, else what the poses show.

        Raises:
            ValueError: if nobody says anything about it.
        """
        for actions in (self.executed, self.shown, self.commanded):
            if actions is not None:
                return actions
        raise ValueError(f"trajectory {self.traj_id} must say how the camera moved, got no actions at all")

    @property
    def T_before_after(self) -> SE3:
        """Pose of the second camera in the first camera's frame."""
        return self.T_world_cam[0].inverse() @ self.T_world_cam[1]


@dataclass(frozen=True)
class Transition:
    """One trajectory of one scene with its two views, before and after."""

    scene_id: str
    traj: Trajectory
    before: View
    after: View
