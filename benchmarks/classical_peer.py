"""Classical geometry as an answerer of questions: SIFT matches, MAGSAC, and, where it is given, the first view's depth.

Nothing is learned. What the pictures do not tell is None, undecided: without depth every length, and where a box goes
unless the camera only turns.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor

from geom import SE3, ActionSequence, PinholeCamera, direction_error, forward_warp, rotation_error
from geom.boxes import clip_box, normalise_box
from models.best_actions import said_of
from models.questions import Box, Public
from synth.answers import Answer, BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.case import GRID_DEG, GRID_M
from synth.exact import box_iou
from synth.matches import matches
from synth.tasks_object import GONE, STILL_THERE
from synth.tracks import grey_of
from synth.two_view import TwoView, relative_motion

MAX_TURN_DEG, MAX_LENGTH_M, MAX_DIRECTION_DEG = GRID_DEG / 2, GRID_M / 2, 5.0
"""A claim agrees with what is measured within half a step of the grid, and within this in direction."""
GONE_BELOW = (GONE + STILL_THERE) / 2
"""Visible share: the middle of the margin in which nothing is asked."""
SAME_FROM_IOU = 0.3
"""Other things overlap an object's own box by 0.2 at most; a box that was moved by depth is not exact."""
HIDDEN_BY = 0.03
"""What stands nearer by this share of the z-depth hides."""
FRONT, THICKNESS = 0.3, 0.7
"""The object of a box is what lies within THICKNESS times its larger side of the z-depth that FRONT of the box's pixels
are nearer than. Both were chosen on rooms of another seed than those that are measured."""

ZDepth = Float32[NDArray, "h w"]


def classical(asked: Public, z_depth: ZDepth | None) -> Answer | None:
    """Answer a question, or None.

    Args:
        z_depth: of the first view, metres, NaN where unknown; None where it is not given.
    """
    match asked.task_type:
        case "A1" | "A2" | "A3" | "D3":
            return motion(asked, measured(asked, z_depth))
        case "A4":
            assert asked.actions is not None
            is_true = agrees(measured(asked, z_depth), asked.actions)
            return None if is_true is None else ClaimAnswer(is_true)
        case _:
            return _object(asked, z_depth)


def measured(asked: Public, z_depth: ZDepth | None) -> TwoView:
    """What motion the two pictures show."""
    bytes_of = (array.tobytes() for array in (asked.K, *asked.pictures))
    return _measured(asked.image_size, *bytes_of, None if z_depth is None else z_depth.tobytes())


@lru_cache(maxsize=4)
def _measured(size: tuple[int, int], K: bytes, before: bytes, after: bytes, z_depth: bytes | None) -> TwoView:
    """The same, once for all questions about one motion, which follow each other in a dataset."""
    width, height = size
    camera = PinholeCamera(torch.from_numpy(np.frombuffer(K).reshape(3, 3).copy()), width, height)
    greys = (grey_of(np.frombuffer(picture, np.uint8).reshape(height, width, 3)) for picture in (before, after))
    z = None if z_depth is None else np.frombuffer(z_depth, np.float32).reshape(height, width)
    return relative_motion(matches(*greys), camera, camera, z_depth_a=z)


# --- the camera


def motion(asked: Public, seen: TwoView) -> Answer | None:
    """The actions that a measured motion says; None where it is not measured as far as the question needs it."""
    T_before_after = seen.T_b_a.inverse()
    if seen.kind == "none":
        return None
    if asked.task_type == "A2" or (seen.kind == "rotation" and asked.num_actions == 1 and asked.task_type == "D3"):
        T_before_after = SE3(T_before_after.R, torch.zeros_like(T_before_after.t))
    elif seen.kind != "metric":
        return None
    elif asked.task_type == "A1":
        T_before_after = SE3.from_translation(T_before_after.t)
    known = "turn" if asked.task_type == "A2" else "move" if asked.task_type == "A1" else "level"
    said, _ = said_of(T_before_after, asked.num_actions, known, "theodolite")
    text = said.text()
    return MotionAnswer(text, (text,))


def agrees(seen: TwoView, claim: ActionSequence) -> bool | None:
    """Whether a claimed motion is the one that was measured, as far as that tells; None where it tells nothing."""
    if seen.kind == "none":
        return None
    T, told = seen.T_b_a.inverse(), claim.pose()
    if math.degrees(rotation_error(T, told)) > MAX_TURN_DEG:
        return False
    moves = float(told.t.norm()) > 0
    if seen.kind == "metric":
        return float((T.t - told.t).norm()) <= MAX_LENGTH_M
    if not moves or seen.kind == "rotation":
        return moves == (seen.kind == "direction")
    return math.degrees(direction_error(T.t, told.t)) <= MAX_DIRECTION_DEG


# --- an object


def _object(asked: Public, z_depth: ZDepth | None) -> Answer | None:
    assert asked.actions is not None and asked.box_px is not None
    T_after_before = asked.actions.pose().inverse()
    turns_only = float(T_after_before.t.norm()) < 1e-9
    if z_depth is None and not turns_only:
        return None
    z = torch.ones(asked.camera.height, asked.camera.width) if z_depth is None else torch.from_numpy(z_depth)
    points = T_after_before.act(lifted(asked, z.double()))
    if asked.task_type == "D2":
        return VisibilityAnswer(visible_share(asked, points, z.double(), T_after_before) < GONE_BELOW)
    box = bounds(asked, points)
    if asked.task_type == "D1":
        return None if box is None else _box_answer(box, asked.image_size)
    assert asked.box_after_px is not None
    return IdentityAnswer(box is not None and box_iou(box, asked.box_after_px) >= SAME_FROM_IOU)


def lifted(asked: Public, z_depth: Float[Tensor, "h w"]) -> Float[Tensor, "n 3"]:
    """The points that the pixels of the question's box show, first camera, without what is not the object's."""
    assert asked.box_px is not None
    x1, y1, x2, y2 = asked.box_px
    uv = asked.camera.pixel_centers()
    u, v = uv.unbind(-1)
    is_inside = (u >= x1) & (u <= x2) & (v >= y1) & (v <= y2) & z_depth.isfinite()
    z, uv = z_depth[is_inside], uv[is_inside]
    if not len(z):
        return uv.new_zeros(0, 3)
    front = float(z.quantile(FRONT))
    size = max(x2 - x1, y2 - y1) / float(asked.camera.focal[0]) * front
    near = (z - front).abs() <= THICKNESS * size
    return asked.camera.unproject(uv[near], z[near])


def bounds(asked: Public, points: Float[Tensor, "n 3"]) -> Box | None:
    """The box around points of the second camera, pixels, cut at the picture; None if nothing is left."""
    uv, in_front = asked.camera.project(points)
    if not bool(in_front.any()):
        return None
    low, high = uv[in_front].amin(0), uv[in_front].amax(0)
    box, has_area = clip_box(torch.cat([low, high]), *asked.image_size)
    x1, y1, x2, y2 = box.tolist()
    return (x1, y1, x2, y2) if bool(has_area) else None


def visible_share(
    asked: Public, points: Float[Tensor, "n 3"], z_depth: Float[Tensor, "h w"], T_after_before: SE3
) -> float:
    """The share of points of the second camera that are in its picture, with nothing nearer that the first view saw."""
    uv, in_front = asked.camera.project(points)
    is_inside = in_front & asked.camera.contains(uv)
    if not bool(is_inside.any()):
        return 0.0
    nothing = torch.zeros(1, *z_depth.shape, dtype=torch.uint8)
    nearest = forward_warp(nothing, z_depth, asked.camera, T_after_before, asked.camera).z_depth
    columns, rows = uv[is_inside].long().unbind(-1)
    width, height = asked.image_size
    there = nearest[rows.clamp_max(height - 1), columns.clamp_max(width - 1)]
    hidden = there < points[is_inside, 2] * (1 - HIDDEN_BY)
    return float((~hidden).sum()) / len(points)


def _box_answer(box: Box, size: tuple[int, int]) -> BoxAnswer | None:
    x1, y1, x2, y2 = box_1000 = normalise_box(box, *size)
    return BoxAnswer(box_1000, box) if x1 < x2 and y1 < y2 else None
