"""All that a film shows of its camera's motion and of itself, gathered before anything is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from geom.epipolar import epipolar_distance, fundamental, transfer_distance
from geom.homography import homography
from geom.se3 import SE3
from synth.agreement import Agreement, agreement
from synth.commanded import Commanded
from synth.executed import DepthOf, ExecutedStep, executed_steps
from synth.film import Film, Picture
from synth.matches import Matches
from synth.still_checks import Look, look, returns
from synth.two_view import MAX_ERROR_PX, TwoView

_NEIGHBOURS = 6
_MOST_OF = 0.7
"""Of a point's neighbours that must miss the camera's motion too for it to be part of something that moves."""


@dataclass(frozen=True, eq=False)
class Span:
    """What a film shows between two key frames, and how it agrees with what was commanded there."""

    step: ExecutedStep
    agreement: Agreement | None
    """Of SIFT features with the commanded motion; None where only directions were commanded."""
    others: float
    """Share of the tracked points that move together in another way than the camera makes them; NaN if unknown."""


@dataclass(frozen=True, eq=False)
class FilmEvidence:
    """What a film shows, span by span and frame by frame."""

    camera: PinholeCamera
    look: Look
    spans: tuple[Span, ...]
    similarity: float | None
    """Of the last frame to the first, where the commanded path returns; None where it does not."""


def gather(
    film: Film, camera: PinholeCamera, commanded: Commanded, z_depth: DepthOf | None = None, *, returns_to: bool = False
) -> FilmEvidence:
    """Read a film twice, in constant memory but for some hundred matches a step.

    Args:
        camera: of the film's pictures.
        z_depth: metres, of a frame; makes lengths known.
        returns_to: whether the commanded path ends where it begins.

    Raises:
        ValueError: as `executed_steps` and `look`.
    """
    seen = look(film.frames())
    spans = tuple(
        Span(step, _agreement(step, camera, commanded), others_share(step.tracked, step.view, camera))
        for step in executed_steps(film, camera, commanded.key_frames, z_depth)
    )
    return FilmEvidence(camera, seen, spans, _similarity(film, commanded.key_frames) if returns_to else None)


def _agreement(step: ExecutedStep, camera: PinholeCamera, commanded: Commanded) -> Agreement | None:
    T_first_last = commanded.between(step.first, step.last)
    return None if T_first_last is None else agreement(step.described, camera, T_first_last.inverse(), camera)


def _similarity(film: Film, key_frames: list[int]) -> float | None:
    ends: list[Picture] = []
    for n, picture in enumerate(film.frames()):
        if n in (key_frames[0], key_frames[-1]):
            ends.append(picture)
        if n == key_frames[-1]:
            return returns(ends[0], ends[-1]) if min(film.size) >= 16 else None
    return None


def others_share(tracked: Matches, view: TwoView, camera: PinholeCamera, max_px: float = MAX_ERROR_PX) -> float:
    """Share of tracked points that miss the camera's motion together with most of their neighbours.

    Single points that miss it were tracked wrongly; many beside each other show something that moves by itself. What
    moves along its epipolar lines is not seen.
    """
    if view.kind == "none" or len(tracked) <= _NEIGHBOURS:
        return float("nan")
    from scipy.spatial import KDTree

    missing = _misses(tracked, view.T_b_a, camera, max_px, turns=view.kind == "rotation")
    _, near = KDTree(tracked.uv_a).query(tracked.uv_a, k=_NEIGHBOURS + 1)
    together = float((missing & (missing[np.asarray(near)[:, 1:]].mean(1) >= _MOST_OF)).mean())
    # A move in an unknown direction is handed on as its turn alone, which its own inliers miss.
    return min(together, 1 - view.inliers / view.num_matches)


def _misses(tracked: Matches, T_b_a: SE3, camera: PinholeCamera, max_px: float, *, turns: bool) -> Bool[NDArray, " n"]:
    uv_a, uv_b = torch.from_numpy(tracked.uv_a), torch.from_numpy(tracked.uv_b)
    if turns:
        off = transfer_distance(uv_a, uv_b, homography(camera, T_b_a, camera))
    else:
        off = epipolar_distance(uv_a, uv_b, fundamental(camera, T_b_a, camera))
    return np.asarray(off.nan_to_num(float("inf")) > max_px)
