"""The motion that two pictures show, for each of many focal lengths: where its fit begins, and where it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from geom import so3
from synth.focal_fit import Guesses, Seen, best_of, explained, fitted
from synth.two_view_fit import Array
from synth.two_view_starts import model_of


def turns(seen: Seen, f: Float[NDArray, " g"], width: float) -> Guesses | None:
    """The turn alone that explains the matches best, for each focal length; None if nothing does."""
    H = _homography(seen, width)
    if H is None:
        return None
    scale = np.stack([f, f, np.ones_like(f)], -1)
    start = Guesses(f, _nearest_turns(H * scale[:, None, :] / scale[:, :, None]), np.tile([0.0, 0.0, 1.0], (len(f), 1)))
    return fitted(seen, "turn", start, width, free=False)


def motions(seen: Seen, f: Float[NDArray, " g"], around: Guesses | None, width: float) -> Guesses | None:
    """The motion that explains the matches best, for each focal length; None if nothing does.

    Args:
        seen: all matches.
        f: focal lengths, rising.
        around: turns of the same focal lengths, to begin with too.
        width: of the costs, pixels.
    """
    families = [*_from_fundamental(seen, f, width), *_from_homography(seen, f, width)]
    if around is not None:
        families += [replace(around, c=np.tile(axis, (len(f), 1))) for axis in np.eye(3)]
    if not families:
        return None
    first = families[0]
    rest = best_of(seen, "motion", families[1:], width) if len(families) > 1 else first
    found = [fitted(seen, "motion", start, width, free=False) for start in (first, rest)]
    best = best_of(seen, "motion", found, width)
    # What is right for one focal length is a good start for its neighbours.
    for shift in (1, -1):
        neighbour = replace(best[np.clip(np.arange(len(f)) + shift, 0, len(f) - 1)], f=f)
        best = best_of(seen, "motion", [best, fitted(seen, "motion", neighbour, width, free=False)], width)
    return _facing(seen, best, width)


def turn_deg(seen: Seen, f: float, width: float) -> float:
    """About how far the camera turns, if its focal length is f; 0 where nothing is found."""
    H = _homography(seen, width)
    if H is None:
        return 0.0
    scale = np.array([f, f, 1.0])
    R = _nearest_turns((H * scale[None, :] / scale[:, None])[None])[0]
    return float(np.degrees(np.arccos(np.clip((np.trace(R) - 1) / 2, -1, 1))))


def _facing(seen: Seen, guesses: Guesses, width: float) -> Guesses:
    """Of the four motions with the same residuals, those with most points in front of both cameras."""
    half = 2 * guesses.c[:, :, None] * guesses.c[:, None, :] - np.eye(3)
    families = [replace(guesses, R=R, c=c) for R in (guesses.R, guesses.R @ half) for c in (guesses.c, -guesses.c)]
    count = np.stack([explained(seen, "motion", family, width).sum(1) for family in families])
    return Guesses.join(families)[count.argmax(0) * len(guesses) + np.arange(len(guesses))]


def _homography(seen: Seen, width: float) -> Array | None:
    import cv2

    H = model_of(cv2.findHomography, seen.a, seen.b, cv2.USAC_MAGSAC, width, confidence=0.9999)
    return np.asarray(H, float) if H is not None and np.linalg.det(H) > 0 else None


def _from_fundamental(seen: Seen, f: Array, width: float) -> list[Guesses]:
    import cv2

    F = model_of(cv2.findFundamentalMat, seen.a, seen.b, cv2.USAC_MAGSAC, width, 0.9999)
    if F is None or np.shape(F) != (3, 3):
        return []
    scale = np.stack([f, f, np.ones_like(f)], -1)
    U, _, Vt = np.linalg.svd(scale[:, :, None] * np.asarray(F, float) * scale[:, None, :])
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    both = np.stack([U @ quarter @ Vt, U @ quarter.T @ Vt])
    both *= np.linalg.det(both)[..., None, None]
    R = both[np.trace(both, axis1=-2, axis2=-1).argmax(0), np.arange(len(f))]
    return [Guesses(f, R, Vt[:, 2])]


def _from_homography(seen: Seen, f: Array, width: float) -> list[Guesses]:
    """Both motions of a plane, for each focal length."""
    import cv2

    H = _homography(seen, width)
    if H is None:
        return []
    Rs, cs = np.tile(np.eye(3), (4, len(f), 1, 1)), np.tile([0.0, 0.0, 1.0], (4, len(f), 1))
    for i, one in enumerate(f):
        _, some_R, some_t, _ = cv2.decomposeHomographyMat(H, np.diag([one, one, 1.0]))
        for j, (R, t) in enumerate(zip(some_R, some_t, strict=True)):
            c = -np.asarray(R).T @ np.asarray(t).ravel()
            Rs[j, i] = R
            cs[j, i] = c / np.linalg.norm(c) if np.linalg.norm(c) > 1e-9 else cs[j, i]
    return [Guesses(f, R, c) for R, c in zip(Rs, cs, strict=True)]


def _nearest_turns(M: Float[NDArray, "g 3 3"]) -> Float[NDArray, "g 3 3"]:
    return so3.nearest(torch.from_numpy(M)).numpy()
