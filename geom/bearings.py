"""Distances and headings in camera axes: bearing positive to the right, elevation positive upwards."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from geom.se3 import SE3


class Sighting(NamedTuple):
    """Where a camera sees a point: what a surveyor reads off the instrument."""

    bearing: Float[Tensor, "*batch"]
    """Horizontal angle from straight ahead, radians, -pi to pi, positive to the right."""
    elevation: Float[Tensor, "*batch"]
    """Angle above the camera's horizontal plane, radians, -pi/2 to pi/2, positive upwards."""
    distance: Float[Tensor, "*batch"]
    """Length of the straight line from the camera centre, metres."""


def bearing(p_cam: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Return the horizontal angle of camera-frame points, radians, positive to the right, pi straight behind.

    Exactly above, below or at the camera there is no bearing: NaN, with gradient 0.

    >>> math.degrees(bearing(torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)))
    45.0
    """
    right, forward = p_cam[..., 0], p_cam[..., 2]
    is_defined = (right != 0) | (forward != 0)
    angle = torch.atan2(right, forward.where(is_defined, torch.ones_like(forward)))
    return angle.where(is_defined, torch.full_like(angle, math.nan))


def elevation(p_cam: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Return the angle of camera-frame points above the plane y = 0, radians; for a level camera the horizon.

    At the camera there is no elevation: NaN, with gradient 0.

    >>> math.degrees(elevation(torch.tensor([0.0, -1.0, 1.0], dtype=torch.float64)))
    45.0
    """
    up, level = -p_cam[..., 1], torch.linalg.vector_norm(p_cam[..., ::2], dim=-1)
    is_defined = (up != 0) | (level != 0)
    angle = torch.atan2(up, level.where(is_defined, torch.ones_like(level)))
    return angle.where(is_defined, torch.full_like(angle, math.nan))


def distance(p_a: Float[Tensor, "*points 3"], q_a: Float[Tensor, "*others 3"]) -> Float[Tensor, "*out"]:
    """Return the distance, metres, between points of one frame; its gradient is 0 where they meet."""
    return torch.linalg.vector_norm(p_a - q_a, dim=-1)


def sight(p_cam: Float[Tensor, "*batch 3"]) -> Sighting:
    """Return bearing, elevation and distance of camera-frame points."""
    return Sighting(bearing(p_cam), elevation(p_cam), torch.linalg.vector_norm(p_cam, dim=-1))


def sight_before_and_after(p_before: Float[Tensor, "*points 3"], T_before_after: SE3) -> tuple[Sighting, Sighting]:
    """Return how fixed points are seen before and after the camera moved.

    Args:
        p_before: points in the camera frame before the motion, metres.
        T_before_after: pose of the camera after the motion, in its frame before; its batch broadcasts.
    """
    return sight(p_before), sight(T_before_after.inverse().act(p_before))
