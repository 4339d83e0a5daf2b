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
    camera was told to do; `executed` what it did, None where nobody has measured it. A simulated camera does as told.
    """

    traj_id: str
    camera: PinholeCamera
    T_world_cam: SE3
    commanded: ActionSequence
    executed: ActionSequence | None
    scale: Scale

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
