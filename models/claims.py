"""Claims about pairs, true and false: which motion it was, which box is the same object's. For training alone."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geom.boxes import box_iou
from geom.se3 import SE3
from models.pairs import Pairs
from models.precision import exact
from synth.tasks_object import MAX_OTHER_IOU

_SIZES = 0.35, 0.75
"""Natural logarithm by which a false size differs, at least and at most."""
_SAME = 1e-5


@exact
def claimed_motions(pairs: Pairs, rng: torch.Generator) -> tuple[SE3, Bool[Tensor, " b"]]:
    """A claim about each pair's motion, and whether it is true: by a fair coin.

    False ones are those that questions propose too: another side, another size, another axis, or all else.

    Returns:
        T_a_b as claimed, and whether it is the true one.
    """
    T, b = pairs.T_a_b, len(pairs)
    way = torch.randint(3, (b,), generator=rng)
    others = [mirrored(T), _resized(T, rng), _of_another(T)]
    R, t = (torch.stack([getattr(one, name) for one in others])[way, torch.arange(b)] for name in ("R", "t"))
    is_true = torch.rand(b, generator=rng) < 0.5
    # Another pair may have made the same motion: a claim is true by what it says.
    is_same = ((R - T.R).abs().amax((1, 2)) < _SAME) & ((t - T.t).abs().amax(1) < _SAME)
    is_true = is_true.to(t.device)
    return SE3(T.R.where(is_true[:, None, None], R), T.t.where(is_true[:, None], t)), is_true | is_same


def mirrored(T: SE3) -> SE3:
    """Motions with left and right swapped; those straight ahead or back go the other way instead."""
    mirror = T.t.new_tensor([-1.0, 1.0, 1.0])
    is_same = (T.t[:, :1].abs() < 1e-6) & (T.R[:, 0, 2:].abs() < 1e-6)
    return SE3(mirror[:, None] * T.R * mirror, torch.where(is_same, -T.t, mirror * T.t))


def _resized(T: SE3, rng: torch.Generator) -> SE3:
    """All moves and turns longer or shorter by one factor."""
    low, high = _SIZES
    log = low + (high - low) * torch.rand(len(T.t), generator=rng)
    factor = (log * (torch.randint(2, log.shape, generator=rng) * 2 - 1)).exp().to(T.t)
    heading = torch.atan2(T.R[:, 0, 2], T.R[:, 2, 2])
    turned = (heading * factor).clamp(-math.pi, math.pi)
    return SE3(T.R @ SE3.yaw_right(turned - heading).R, T.t * factor[:, None])


def _of_another(T: SE3) -> SE3:
    return SE3(T.R.roll(1, 0), T.t.roll(1, 0))


def claimed_boxes(pairs: Pairs, rng: torch.Generator) -> tuple[Float[Tensor, "b n 4"], Bool[Tensor, "b n"]]:
    """For each item a box in view b that is said to be its, and whether it is.

    False ones are its decoy, where that is not nearly the true box, or the next item's box. What is not known, or not
    in view, is NaN.
    """
    box_b = pairs.box[:, :, 1]
    b, n = box_b.shape[:2]
    is_true, is_decoy = (torch.rand(b, n, generator=rng).to(box_b.device) < 0.5 for _ in range(2))
    is_decoy &= box_iou(pairs.decoy, box_b) <= MAX_OTHER_IOU
    other = pairs.decoy.where(is_decoy[..., None], box_b.roll(1, 1))
    # Where there is one item alone, the next one is itself.
    is_same = ((other - box_b).abs() < _SAME).all(-1)
    return box_b.where(is_true[..., None], other), is_true | is_same
