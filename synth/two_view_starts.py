"""Motions that OpenCV finds among matches, to begin with, and depths at pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from geom import so3
from synth.two_view_fit import Array, Motion, Pair


def model_of(search: Callable[..., Any], *matches: Any, **options: Any) -> NDArray | None:
    """Return the model that a robust search of OpenCV finds, or None; on some poor matches it raises instead."""
    import cv2

    try:
        return search(*matches, **options)[0]
    except cv2.error:
        return None


def starts_of(pair: Pair, px: float) -> tuple[Array, list[Motion]]:
    """Return a turn, and motions of length 1, from an essential matrix, a homography, and a turn along each axis."""
    import cv2

    a, b, limit, eye = pair.rays_a[:, :2], pair.rays_b[:, :2], px * pair.pixel, np.eye(3)
    E = model_of(cv2.findEssentialMat, a, b, eye, method=cv2.USAC_MAGSAC, prob=0.9999, threshold=limit)
    H = model_of(cv2.findHomography, a, b, cv2.USAC_MAGSAC, limit, confidence=0.9999)
    motions: list[Motion] = []
    turn = eye
    if E is not None and E.shape == (3, 3):
        R1, R2, t = (np.asarray(part, float) for part in cv2.decomposeEssentialMat(E))
        motions += [(R, sign * R.T @ t.ravel()) for R in (R1, R2) for sign in (1, -1)]
        turn = max((R1, R2), key=np.trace)
    if H is not None and np.linalg.det(H) > 0:
        turn = so3.nearest(torch.from_numpy(np.asarray(H, float))).numpy()
        _, Rs, ts, _ = cv2.decomposeHomographyMat(H, eye)
        motions += [_inverse(R, t) for R, t in zip(Rs, ts, strict=True)]
    motions += [(turn, sign * axis) for axis in eye for sign in (1, -1)]
    lengths = [float(np.linalg.norm(c)) for _, c in motions]
    return turn, [(R, c / length) for (R, c), length in zip(motions, lengths, strict=True) if length > 1e-9]


def placed_by(pair: Pair, px: float) -> Motion | None:
    """Return the motion that places the points in picture b (PnP with RANSAC), or None."""
    import cv2

    assert pair.points_a is not None
    ok, rotvec, t, _ = cv2.solvePnPRansac(
        pair.points_a, pair.rays_b[:, :2], np.eye(3), None, iterationsCount=2000, reprojectionError=px * pair.pixel,
        confidence=0.9999, flags=cv2.SOLVEPNP_AP3P,
    )  # fmt: skip
    return _inverse(cv2.Rodrigues(rotvec)[0], t) if ok else None


def _inverse(R: NDArray, t: NDArray) -> Motion:
    R = np.asarray(R, float)
    return R, -R.T @ np.asarray(t, float).ravel()


def inverse_depths(z_depth: Float[NDArray, "h w"], uv: Float[NDArray, "n 2"]) -> Float[NDArray, " n"]:
    """Return 1 / z-depth at pixels, linear between pixel centres (exact on planes), NaN at steps and where unknown."""
    height, width = z_depth.shape
    known = np.isfinite(z_depth) & (z_depth > 0)
    inverse = np.where(known, 1 / np.where(known, z_depth, 1.0).astype(float), np.nan)
    x, y = np.clip(uv - 0.5, 0, np.array([width - 1, height - 1])).T
    col, row = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    right, below = np.minimum(col + 1, width - 1), np.minimum(row + 1, height - 1)
    corners = np.stack([inverse[row, col], inverse[row, right], inverse[below, col], inverse[below, right]])
    x, y = x - col, y - row
    value = (np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]) * corners).sum(0)
    inside = ((uv >= 0) & (uv <= [width, height])).all(1)
    with np.errstate(invalid="ignore"):
        flat = corners.max(0) <= 1.1 * corners.min(0)
    return np.where(inside & flat, value, np.nan)
