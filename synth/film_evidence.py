"""All that a film shows of its camera's motion and of itself, gathered before anything is judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from geom.camera import PinholeCamera
from synth.executed import MIN_LEFT, DepthOf, ExecutedStep, executed_steps
from synth.film import Film, Picture
from synth.focal import Focal, focal_length
from synth.matches import Matches
from synth.still_checks import Look, look, returns
from synth.tracks import tracks
from synth.two_view import MAX_ERROR_PX, TwoView

_LEAST_SIDE = 16
"""Pixels; smaller pictures cannot be compared by their structure."""
_NEIGHBOURS = 6
_MOST_OF = 0.7
"""Of a point's neighbours that must miss the camera's motion too for it to be part of something that moves."""


@dataclass(frozen=True, eq=False)
class Span:
    """What a film shows between two key frames."""

    step: ExecutedStep
    others: float
    """Share of the tracked points that move together in another way than the camera makes them; NaN if unknown."""


@dataclass(frozen=True, eq=False)
class FilmEvidence:
    """What a film shows, frame by frame and span by span; nothing here depends on what was commanded between them."""

    camera: PinholeCamera
    look: Look
    spans: tuple[Span, ...]
    focal: Focal
    """What the pictures themselves say of the lens."""
    lens_sd: float
    """Relative standard deviation of the camera's focal length: 0 where it was stated, infinite where it is a guess."""
    similarity: float
    """Of the last key frame to the first; NaN for pictures too small to say."""


def gather(
    film: Film,
    camera: PinholeCamera,
    key_frames: Sequence[int],
    z_depth: DepthOf | None = None,
    *,
    lens_sd: float = 0.0,
) -> FilmEvidence:
    """Read a film twice, in constant memory but for some hundred matches a step.

    Args:
        camera: of the film's pictures.
        key_frames: where commanded steps begin and end.
        z_depth: metres, of a frame; makes lengths known.
        lens_sd: of the camera's focal length, as a share of it.

    Raises:
        ValueError: as `executed_steps` and `look`.
    """
    ends: list[Picture] = []
    seen = look(_keeping(film.frames(), (key_frames[0], key_frames[-1]), ends))
    spans = tuple(
        Span(step, others_share(step.tracked, step.view, camera))
        for step in executed_steps(film, camera, key_frames, z_depth)
    )
    similarity = returns(ends[0], ends[-1]) if min(film.size) >= _LEAST_SIDE else float("nan")
    focal = focal_length([_centred(span.step.tracked, camera) for span in spans], film.size, around_px=_fx(camera))
    return FilmEvidence(camera, seen, spans, focal, lens_sd, similarity)


def _fx(camera: PinholeCamera) -> float:
    return float(camera.K[0, 0])


def _centred(tracked: Matches, camera: PinholeCamera) -> Matches:
    """Matches as a camera of the same focal length sees them that has square pixels and looks through the middle.

    Those that it does not see are left out.
    """
    middle = np.array([camera.width, camera.height]) / 2
    fx, fy = camera.focal.tolist()
    uv_a, uv_b = ((uv - camera.principal_point.numpy()) * [1, fx / fy] + middle for uv in (tracked.uv_a, tracked.uv_b))
    is_seen = ((uv_a >= 0) & (uv_a <= 2 * middle) & (uv_b >= 0) & (uv_b <= 2 * middle)).all(1)
    return Matches(uv_a[is_seen], uv_b[is_seen])


def shown_camera(film: Film, key_frames: Sequence[int], whole: tuple[int, int]) -> tuple[PinholeCamera | None, Focal]:
    """The camera that a film's pictures show, where nobody knows it: the middle of the picture, square pixels.

    Args:
        whole: (width, height) of the pictures before rows were left out.
    """
    pairs = [found.matches for found in tracks(film, key_frames, min_left=MIN_LEFT)]
    focal = focal_length(pairs, whole)
    return (focal.camera(*whole) if np.isfinite(focal.focal_px) else None), focal


def _keeping(frames: Iterable[Picture], numbers: tuple[int, int], kept: list[Picture]) -> Iterator[Picture]:
    """The frames, of which two are kept."""
    for n, picture in enumerate(frames):
        if n in numbers:
            kept.append(picture)
        yield picture


def others_share(tracked: Matches, view: TwoView, camera: PinholeCamera, max_px: float = MAX_ERROR_PX) -> float:
    """Share of tracked points that miss the camera's motion together with most of their neighbours.

    Single points that miss it were tracked wrongly; many beside each other show something that moves by itself. What
    moves along its epipolar lines is not seen.
    """
    view = next(iter(view.candidates), view)
    if view.kind == "none" or len(tracked) <= _NEIGHBOURS:
        return float("nan")
    from scipy.spatial import KDTree

    missing = tracked.missed_by(camera, view.T_b_a, camera) > max_px
    _, near = KDTree(tracked.uv_a).query(tracked.uv_a, k=_NEIGHBOURS + 1)
    together = float((missing & (missing[np.asarray(near)[:, 1:]].mean(1) >= _MOST_OF)).mean())
    # A move in an unknown direction is handed on as its turn alone, which its own inliers miss.
    return min(together, 1 - view.inliers / view.num_matches)
