"""How far an executed camera path is from the commanded one: exact angles and lengths, and three published metrics.

A path is an SE3 of batch shape (*b, n): T_world_cam of n frames in order, along the last dimension. Each path may have
a world of its own; nothing here depends on it. A pose that is unknown is NaN, and so is what it is compared to.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from geom import so3
from geom.se3 import SE3

WORLD_SCORE_MAX_DEG = 15.0
"""Mean rotation error from which WorldScore's camera controllability is 0, degrees."""

WORLD_SCORE_MAX_TRANSLATION = 0.5
"""Mean translation error from which it is 0, in units of WorldScore's scenes."""

_BISECTIONS = 80


class MotionError(NamedTuple):
    """What two rigid motions differ by."""

    rotation: Float[Tensor, "*out"]
    """Angle between the rotations, radians, 0 to pi."""
    direction: Float[Tensor, "*out"]
    """Angle between the directions of translation, radians, 0 to pi; NaN where either has no length."""
    translation: Float[Tensor, "*out"]
    """Distance between the translations, metres."""


class PathError(NamedTuple):
    """What two paths of n frames differ by, from frame to frame and since the first."""

    step: MotionError
    """(*b, n - 1): of the motion from each frame to the next, in axes of the former."""
    total: MotionError
    """(*b, n): of the pose of each frame in the first one, so 0 at first (and no direction); this is what adds up."""


class CameraCtrlError(NamedTuple):
    """CameraCtrl's two errors."""

    rot_err: Float[Tensor, "*out"]
    """Sum over the frames, radians."""
    trans_err: Float[Tensor, "*out"]
    """Sum over the frames, in squares of the distance of the furthest frame."""


class WorldPlayError(NamedTuple):
    """WorldPlay's two distances."""

    r_dist: Float[Tensor, "*out"]
    """Mean over the frames, radians."""
    t_dist: Float[Tensor, "*out"]
    """Mean over the frames, in squares of the distance of the furthest frame: 0 to 4."""


class WorldScoreError(NamedTuple):
    """WorldScore's camera controllability and what it is made of."""

    rotation_deg: Float[Tensor, "*out"]
    """Mean over the frames, degrees."""
    translation: Float[Tensor, "*out"]
    """Mean over the frames after the scale is fitted, in units of the scene."""
    score: Float[Tensor, "*out"]
    """0 (worst) to 1; the published tables hold 100 times that."""


def rotation_error(T_x: SE3, T_y: SE3) -> Float[Tensor, "*out"]:
    """Return the angle between the rotations of two transforms, radians, 0 to pi; exact near both ends.

    >>> rotation_error(SE3.yaw_right(0.5), SE3.yaw_right(1.0)).round(decimals=12).item()
    0.5
    """
    return so3.angle(T_x.R.mT @ T_y.R)


def direction_error(t_x: Float[Tensor, "*#b 3"], t_y: Float[Tensor, "*#b 3"]) -> Float[Tensor, "*out"]:
    """Return the angle between two translations, radians, 0 to pi; exact near both ends, whatever their lengths.

    NaN where either has no length. 2 atan2(|x - y|, |x + y|) of the unit vectors: Kahan, How Futile are Mindless
    Assessments of Roundoff (2006), section 12. Gradients are finite.

    >>> right, ahead = torch.tensor([3.0, 0, 0], dtype=torch.float64), torch.tensor([0, 0, 0.1], dtype=torch.float64)
    >>> math.degrees(direction_error(right, ahead))
    90.0
    """
    (x, has_x), (y, has_y) = _unit(t_x), _unit(t_y)
    apart, together = (torch.linalg.vector_norm(v, dim=-1) for v in (x - y, x + y))
    return (2 * torch.atan2(apart, together)).where(has_x & has_y, math.nan)


def motion_error(T_x: SE3, T_y: SE3) -> MotionError:
    """Return what two motions differ by; their batches broadcast."""
    length = torch.linalg.vector_norm(T_x.t - T_y.t, dim=-1)
    return MotionError(rotation_error(T_x, T_y), direction_error(T_x.t, T_y.t), length)


def pose_auc(error: Float[Tensor, " n"], limit: float | int) -> float:
    """Area under the curve of how many errors are below a threshold, from 0 up to a limit, as a share of the limit.

    As Sarlin et al. have it, "SuperGlue" (CVPR 2020), where an error is the larger of the angles between rotations and
    between directions of translation, degrees.

    Args:
        error: NaN and inf count as above any limit.

    Raises:
        ValueError: if there is no error, or the limit is not above 0.

    >>> pose_auc(torch.tensor([0.0, 5.0, 90.0, 90.0]), 10)
    0.375
    """
    if not len(error) or not limit > 0:
        raise ValueError(f"an area needs errors and a limit above 0, got {len(error)} errors and {limit}")
    return float((1 - error.double().nan_to_num(torch.inf).clamp(0, limit) / limit).mean())


def accumulated(executed: SE3, commanded: SE3) -> PathError:
    """Return what two paths differ by from frame to frame, and since the first frame.

    Aligned at the first frame, which counts as the origin of both; lengths as they are. Where those of `executed` have
    a scale of their own, divide them by `path_scale` first, or leave `translation` alone.

    Raises:
        ValueError: if the paths have not equally many frames, or fewer than two.
    """
    _check_paths(executed, commanded)
    step = motion_error(_steps(executed), _steps(commanded))
    return PathError(step, motion_error(_from_first(executed), _from_first(commanded)))


def path_scale(executed: SE3, commanded: SE3) -> Float[Tensor, "*out"]:
    """Return how long the executed path is over the commanded one: 0.5 for a camera that went half as far.

    The s with the least sum over the steps of (|executed step| - s |commanded step|)^2, that is, sum(e c) / sum(c^2):
    steps that were to be long count for more, and directions not at all. Noise makes steps longer: positions off by a
    fifth of a step along each axis make s too large by 8 %. NaN where no step was commanded.

    Raises:
        ValueError: if the paths have not equally many frames, or fewer than two.

    >>> t = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 3]])
    >>> path_scale(SE3.from_translation(t * 0.5), SE3.from_translation(t)).item()
    0.5
    """
    _check_paths(executed, commanded)
    e, c = (torch.linalg.vector_norm(_steps(path).t, dim=-1) for path in (executed, commanded))
    squares = (c * c).sum(-1)
    return ((e * c).sum(-1) / squares.where(squares != 0, 1)).where(squares != 0, math.nan)


def camera_ctrl(executed: SE3, commanded: SE3, *, squared: bool = True) -> CameraCtrlError:
    """Return RotErr and TransErr of CameraCtrl (He et al., arXiv 2404.02101, eq. 4 and 5): sums over the frames.

    Aligned at the first frame, each path divided by the distance of its own furthest frame from the first, as in the
    evaluation that others use for these metrics (ZGCTroy/CamI2V, evaluation/glomap_evaluation.py); CameraCtrl says
    nothing of scale, and its own evaluation is not public. Its TransErr is thus not to be compared with its tables.

    Eq. 5 squares the distances; with `squared=False` they are not, as in CamI2V and most papers after it.

    Scale-blind: `path_scale` says how far the camera went. A path that only turns stays at 0, and then however little
    the other one moves counts as 1: nothing is to be read from trans_err.

    Raises:
        ValueError: if the paths have not equally many frames, or fewer than two.
    """
    rotation, distance = _by_furthest(executed, commanded)
    return CameraCtrlError(rotation.sum(-1), (distance**2 if squared else distance).sum(-1))


def worldplay(executed: SE3, commanded: SE3) -> WorldPlayError:
    """Return R_dist and T_dist of WorldPlay (Sun et al., arXiv 2512.14614v2, eq. 6 and 7).

    As described in the paper; no code was at hand. Aligned at the first frame, each path divided by the distance of its
    own furthest frame from the first. Eq. 7 squares the distance of the translations, and the published values, up to
    3.05, are beyond what it can be without (2). That they are means over all frames, the first one included, is not
    said; their size speaks for it.

    Scale-blind, and without meaning for translations where a path only turns, as `camera_ctrl`.

    Raises:
        ValueError: if the paths have not equally many frames, or fewer than two.
    """
    rotation, distance = _by_furthest(executed, commanded)
    return WorldPlayError(rotation.mean(-1), (distance**2).mean(-1))


def world_score(executed: SE3, commanded: SE3, *, unit_m: float | int = 1.0) -> WorldScoreError:
    """Return the camera controllability of WorldScore (Duan et al., arXiv 2504.00983) as its code has it.

    Aligned at the first frame; executed translations times the factor, of either sign, that makes the sum of their
    distances from the commanded ones least (the paper says least squares, the code sums what is not squared). Each mean
    error is cut off at its worst, 15 degrees or 0.5 units, and counted as 1 - error / worst; the score is the geometric
    mean of the two. Eq. 3 of the paper is another: the root of the product of the errors, by which a path that turns
    rightly would be forgiven any translation. Source: camera_error_metrics.py, evaluator.py and utils.py of
    haoyi-duan/WorldScore, in copies that others publish.

    Scale-blind, also to the sign of the scale: a camera that goes back instead of forward scores 1.

    Args:
        unit_m: the length by which commanded translations are divided, WorldScore's `scale` of a scene, metres.

    Raises:
        ValueError: if the paths have not equally many frames, or fewer than two, or unit_m is not positive.
    """
    _check_paths(executed, commanded)
    if not unit_m > 0:
        raise ValueError(f"unit_m must be > 0 m, got {unit_m}; it is the length of one unit of the scene")
    T_first_e, T_first_c = _from_first(executed), _from_first(commanded)
    rotation_deg = rotation_error(T_first_e, T_first_c).mean(-1).rad2deg()
    t_e, t_c = torch.broadcast_tensors(T_first_e.t, T_first_c.t / unit_m)
    # The scale is where the mean is least, so that moving it does not change the mean: no gradient is lost.
    scale = _least_distance_scale(t_e.detach(), t_c.detach())
    translation = torch.linalg.vector_norm(scale[..., None, None] * t_e - t_c, dim=-1).mean(-1)
    worst = (rotation_deg / WORLD_SCORE_MAX_DEG, translation / WORLD_SCORE_MAX_TRANSLATION)
    product = (1 - worst[0].clamp(max=1)) * (1 - worst[1].clamp(max=1))
    # The root of 0 has no finite gradient.
    score = product.where(product != 0, 1).sqrt().where(product != 0, 0)
    return WorldScoreError(rotation_deg, translation, score)


def _least_distance_scale(t_e: Tensor, t_c: Tensor) -> Tensor:
    """Return s (*b) with the least sum of |s t_e - t_c|, by halving; 0 where nothing was executed.

    The sum is convex in s, and least between the least and the largest of what each frame alone would take.
    """
    squares = (t_e * t_e).sum(-1)
    alone = (t_e * t_c).sum(-1) / squares.where(squares != 0, 1)
    low, high = alone.amin(-1), alone.amax(-1)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        off = middle[..., None, None] * t_e - t_c
        length = torch.linalg.vector_norm(off, dim=-1)
        slope = ((t_e * off).sum(-1) / length.where(length != 0, 1)).sum(-1)
        low, high = middle.where(slope < 0, low), middle.where(slope >= 0, high)
    return (low + high) / 2


def _by_furthest(executed: SE3, commanded: SE3) -> tuple[Tensor, Tensor]:
    """Return rotation errors and distances (*b, n), from the first frame, the furthest of each path at distance 1."""
    _check_paths(executed, commanded)
    T_first_e, T_first_c = _from_first(executed), _from_first(commanded)
    t_e, t_c = (_over_furthest(T.t) for T in (T_first_e, T_first_c))
    return rotation_error(T_first_e, T_first_c), torch.linalg.vector_norm(t_e - t_c, dim=-1)


def _over_furthest(t: Tensor) -> Tensor:
    furthest = torch.linalg.vector_norm(t, dim=-1).amax(-1)[..., None, None]
    return t / furthest.where(furthest != 0, 1)


def _unit(t: Tensor) -> tuple[Tensor, Tensor]:
    length = torch.linalg.vector_norm(t, dim=-1)
    has_length = length != 0
    return t / length.where(has_length, 1)[..., None], has_length


def _steps(path: SE3) -> SE3:
    return path[..., :-1].inverse() @ path[..., 1:]


def _from_first(path: SE3) -> SE3:
    return path[..., :1].inverse() @ path


def _check_paths(executed: SE3, commanded: SE3) -> None:
    counts = [path.shape[-1] if path.shape else 0 for path in (executed, commanded)]
    if counts[0] != counts[1]:
        both = f"{counts[0]} executed and {counts[1]} commanded"
        raise ValueError(f"paths must have equally many frames, got {both}; was the video cut or sampled?")
    if counts[0] < 2:
        raise ValueError(f"a path must have at least 2 frames in its last dimension, got shape {tuple(executed.shape)}")
    if executed.dtype != commanded.dtype:
        raise ValueError(f"paths must share a dtype, got {executed.dtype} and {commanded.dtype}; use .to() on one")
