"""Whether pictures and depths of two views agree with a motion between them, pixel by pixel where nothing is hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.warp import backward_warp, z_residual
from synth.executed import DepthOf
from synth.film import Film
from synth.tracks import grey_of

_HIDDEN = 0.1
"""A point this much behind what b measured, relative, may be hidden by it, and says nothing."""


@dataclass(frozen=True)
class DepthAgreement:
    """What is left between two views after one is warped into the other. NaN where nothing can be compared."""

    photometric: float
    """Median absolute difference of brightness, grey levels of 0 to 255, over what both see."""
    z_residual: float
    """Median absolute relative difference of z-depth, over what may not be hidden; NaN without b's depth."""
    overlap: float
    """Share of a's pixels that b sees too."""


def depth_agreement(
    gray_a: UInt8[NDArray, "h w"],
    z_depth_a: Float[NDArray, "h w"],
    gray_b: UInt8[NDArray, "hb wb"],
    camera_a: PinholeCamera,
    T_b_a: SE3,
    camera_b: PinholeCamera,
    z_depth_b: Float[NDArray, "hb wb"] | None = None,
) -> DepthAgreement:
    """Warp b into a by a's depth and the motion, and compare brightness and depth where nothing hides the point.

    The residual of direct methods (Kerl, Sturm and Cremers, "Robust odometry estimation for RGB-D cameras", ICRA 2013),
    with occlusion by b's own depth. Brightness differs for other reasons too: hold it against that of another motion.

    Args:
        z_depth_a, z_depth_b: metres along the axis, NaN or 0 where unknown; without b's nothing counts as hidden.

    Raises:
        ValueError: if a picture or depth is not of the size of its camera, or a camera or the motion is a batch.
    """
    z_a, z_b = _known(z_depth_a), None if z_depth_b is None else _known(z_depth_b)
    shown = torch.from_numpy(gray_b).to(z_a.dtype)[None]
    found = backward_warp(shown, camera_b, T_b_a, z_a, camera_a, z_depth_src=z_b)
    off = (found.image[0] - torch.from_numpy(gray_a).to(z_a.dtype)).abs()[found.is_seen]
    residual = torch.full((1,), torch.nan) if z_b is None else z_residual(z_a, camera_a, T_b_a, z_b, camera_b)
    residual = residual[residual.isfinite() & (residual < _HIDDEN)].abs()
    return DepthAgreement(_median(off), _median(residual), float(found.is_seen.double().mean()))


def _known(z_depth: Float[NDArray, "h w"]) -> Float[torch.Tensor, "h w"]:
    return torch.from_numpy(np.where(z_depth > 0, z_depth, np.nan).astype(np.float64))


def _median(values: torch.Tensor) -> float:
    return float(values.median()) if values.numel() else float("nan")


def depth_agreements(
    film: Film, camera: PinholeCamera, z_depth: DepthOf, motions: Mapping[tuple[int, int], Sequence[SE3]]
) -> Iterator[tuple[tuple[int, int], list[DepthAgreement]]]:
    """Compare frames of a film by motions between them, T_last_first by (first, last), as far as the first has depth.

    Reads the film once; only the frames that are still to be compared are held.
    """
    held: dict[int, UInt8[NDArray, "h w"]] = {}
    for n, picture in enumerate(film.frames()):
        if any(n in pair for pair in motions):
            held[n] = grey_of(picture)
        for first, last in [pair for pair in motions if pair[1] == n]:
            z_first, z_last = z_depth(first), z_depth(last)
            if z_first is not None:
                views = held[first], z_first, held[last]
                yield (
                    (first, last),
                    [depth_agreement(*views, camera, T, camera, z_last) for T in motions[first, last]],
                )
        held = {k: gray for k, gray in held.items() if any(k in pair and pair[1] > n for pair in motions)}
