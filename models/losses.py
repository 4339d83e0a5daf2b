"""How far what a model tells is from the exact geometry of pairs: each part in its own unit, with its uncertainty."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from geom import so3
from geom.boxes import box_area
from geom.camera import PinholeCamera
from geom.pose_error import direction_error
from geom.se3 import SE3
from geom.warp import flow, overlap
from models.head import LEAST_M, Motion
from models.matching import Matching
from models.pairs import Pairs
from models.precision import exact
from models.trunk import Compared, Look
from synth.tasks_object import GONE, STILL_THERE

WEIGHTS = {
    "rotation": 4.0,
    "direction": 1.0,
    "length": 1.0,
    "z_depth": 1.0,
    "match": 0.5,
    "expected": 1.0,
    "box": 2.0,
    "gone": 0.5,
    "claim": 0.2,
    "same": 0.2,
}


def weighted(parts: dict[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
    """Each part times its weight."""
    return {name: WEIGHTS[name] * part for name, part in parts.items()}


# --- pose


@exact
def pose_losses(motion: Motion, pairs: Pairs) -> dict[str, Float[Tensor, ""]]:
    """The angles between rotations and between directions, the difference of log-lengths, and their uncertainty."""
    length = pairs.T_a_b.t.norm(dim=-1)
    moves = length > LEAST_M
    turned = so3.angle(motion.T_a_b.R.mT @ pairs.T_a_b.R)
    # Where nothing moves there is no direction to miss.
    ahead = torch.tensor([0.0, 0.0, 1.0]).to(length)
    aside = direction_error(*(t.where(moves[:, None], ahead) for t in (motion.T_a_b.t, pairs.T_a_b.t)))
    longer = (motion.T_a_b.t.norm(dim=-1).clamp_min(LEAST_M) / length.clamp_min(LEAST_M)).log().abs()
    return {
        "rotation": _laplace(turned, motion.rotation_sd).mean(),
        "direction": _mean(_laplace(aside, motion.direction_sd), moves),
        "length": _laplace(longer, motion.log_length_sd).mean(),
    }


@exact
def regressed_pose_loss(T_a_b: SE3, pairs: Pairs) -> Float[Tensor, ""]:
    """Radians between rotations and metres between translations."""
    turned = so3.angle(T_a_b.R.mT @ pairs.T_a_b.R)
    return (turned + (T_a_b.t - pairs.T_a_b.t).norm(dim=-1)).mean()


def _laplace(error: Tensor, sd: Tensor) -> Tensor:
    """The error, and how unlikely it is where it was said to be about sd (Laplace's law, but for a constant).

    The second part teaches sd alone. Errors weighed by their own sd would be let be where they are large: Seitzer et
    al., "On the pitfalls of heteroscedastic uncertainty estimation" (ICLR 2022).
    """
    return error + 0.1 * (error.detach() / sd + sd.log())


# --- cells


@exact
def cell_losses(a: Look, b: Look, pairs: Pairs) -> dict[str, Float[Tensor, ""]]:
    """The log z-depth at the cells' centres of both views, with its uncertainty."""
    gh, gw = a.log_z.shape[-2:]
    z_depth = at_cells(pairs.z_depth, gh, gw)
    known = z_depth.isfinite()
    off = torch.stack([a.log_z, b.log_z], 1) - z_depth.where(known, 1.0).log()
    return {"z_depth": _mean(_laplace(off.abs(), torch.stack([a.log_z_sd, b.log_z_sd], 1)), known)}


@exact
def match_losses(compared: Compared, places: PinholeCamera, pairs: Pairs) -> dict[str, Float[Tensor, ""]]:
    """Cross-entropy of where places of each view are seen in the other, against `geom.warp`.

    The truth lies between four places, in shares as bilinear interpolation has them, so that the mean over the told
    shares is exact; or nowhere, where a place is out of view or hidden.

    Args:
        places: the camera whose pixels are the places.
    """
    ways = (compared.there, pairs), (compared.back, pairs.reversed_())
    return {"match": torch.stack([_match_loss(matching, places, one) for matching, one in ways]).mean()}


def _match_loss(matching: Matching, places: PinholeCamera, pairs: Pairs) -> Float[Tensor, ""]:
    z_a, z_b = at_cells(pairs.z_depth, places.height, places.width).unbind(1)
    T_b_a = pairs.T_a_b.inverse()
    uv = (places.pixel_centers() + flow(z_a, places, T_b_a, places)).flatten(1, 2)
    known = z_a.isfinite().flatten(1, 2)
    is_seen = overlap(z_a, places, T_b_a, z_b, places).flatten(1, 2) & uv.isfinite().all(-1)
    size = uv.new_tensor([places.width, places.height])
    at = torch.minimum(uv.where(is_seen[..., None], 0.5).clamp_min(0.5), size - 0.5) - 0.5
    low = torch.minimum(at.floor(), size - 2)
    corner = at.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    part = (1 - ((at - low)[..., None, :] - corner).abs()).prod(-1)
    x, y = (low[..., None, :] + corner).long().unbind(-1)
    lost = -(part * matching.log_share.gather(-1, y * places.width + x)).sum(-1)
    return _mean(lost.where(is_seen, -matching.log_none), known)


def at_cells(raster: Float[Tensor, "*b h w"], gh: int, gw: int) -> Float[Tensor, "*b gh gw"]:
    """What a raster holds at the centres of cells: its pixel there, not a mean, which would lie between surfaces."""
    h, w = raster.shape[-2:]
    rows, cols = ((torch.arange(n, device=raster.device) * 2 + 1) * size // (2 * n) for n, size in ((gh, h), (gw, w)))
    return raster[..., rows, :][..., cols]


# --- objects and decisions


@exact
def box_loss(box: Float[Tensor, "b n 4"], pairs: Pairs) -> Float[Tensor, ""]:
    """1 less the generalised IoU with the true box after (Rezatofighi et al., CVPR 2019), and L1 in picture sizes."""
    true = pairs.box[:, :, 1]
    known = pairs.box.isfinite().all(-1).all(-1)
    true = true.where(known[..., None], 0.0)
    common = _area_between(torch.maximum(box, true)[..., :2], torch.minimum(box, true)[..., 2:])
    hull = _area_between(torch.minimum(box, true)[..., :2], torch.maximum(box, true)[..., 2:]).clamp_min(1e-6)
    union = (box_area(box) + box_area(true) - common).clamp_min(1e-6)
    size = box.new_tensor(pairs.image.shape[:-3:-1]).repeat(2)
    away = ((box - true) / size).abs().sum(-1)
    return _mean(1 - common / union + (hull - union) / hull + away, known)


def _area_between(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0).prod(-1)


def gone_loss(visible: Float[Tensor, "b n"], pairs: Pairs) -> Float[Tensor, ""]:
    """Cross-entropy of a logit, of items that are surely gone or surely still there, as questions have it."""
    known, seen = cleared(pairs)
    return _mean(binary_cross_entropy_with_logits(visible, seen.to(visible), reduction="none"), known)


def cleared(pairs: Pairs) -> tuple[Bool[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Of which items it is clear whether they are still seen after, and which are."""
    share = pairs.visible[..., 1]
    return (share <= GONE) | (share >= STILL_THERE), share > GONE


def decision_loss(
    logit: Float[Tensor, "*b"], is_true: Bool[Tensor, "*b"], asked: Float[Tensor, "*b four"] | None = None
) -> Float[Tensor, ""]:
    """Cross-entropy; of boxes, only of those that there are."""
    lost = binary_cross_entropy_with_logits(logit, is_true.to(logit), reduction="none")
    return _mean(lost, torch.ones_like(is_true) if asked is None else asked.isfinite().all(-1))


def _mean(values: Tensor, known: Tensor) -> Float[Tensor, ""]:
    """Over what is known; 0 where nothing is."""
    return values.where(known, 0.0).sum() / known.sum().clamp_min(1)
