"""The motion that a film shows, from key frame to key frame: what was executed, whatever was commanded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from synth.compliance import MIN_TURN_DEG, Way, way_of
from synth.film import Film
from synth.matches import Matches, matches
from synth.tracks import tracks
from synth.two_view import TwoView, relative_motion

STILL_PX = 0.25
"""Points that move by less in the median, pixels, say that the camera stood still: tracks are no better than that."""

SURE_SD = 2.0
"""A turn of less than so many of its own standard deviations is none."""

MAX_TURN_SD_DEG = 5.0
"""A turn less sure than this is unknown; what is judged by it is judged by its standard deviation too."""

MIN_LEFT = 0.35
"""Share of the corners below which a key frame is set between those that were given, lest the tracks be lost."""

_ENOUGH_TRACKS = 100
"""Of which a motion is told well."""

DepthOf = Callable[[int], Float[NDArray, "h w"] | None]
"""z-depth of a frame, metres, NaN or 0 where unknown; None where the frame has none."""


@dataclass(frozen=True, eq=False)
class ExecutedStep:
    """What a film shows between two of its frames."""

    first: int
    last: int
    view: TwoView
    """T_b_a takes coordinates of the first frame's camera to the last's."""
    way: Way | None
    """Where the camera went, in the words of commands; None where the pictures do not say."""
    tracked: Matches
    """Corners followed through every frame between."""
    described: Matches
    """SIFT features of the two pictures alone."""
    is_still: bool
    """Whether the tracked points stay where they are."""

    @property
    def matches(self) -> Matches:
        """Those that the motion was told from: the tracks, or the features where there are more of them."""
        return _better(self.tracked, self.described)


def executed_steps(
    film: Film, camera: PinholeCamera, key_frames: Sequence[int] | None = None, z_depth: DepthOf | None = None
) -> Iterator[ExecutedStep]:
    """Follow points through every frame, and say for each pair of neighbouring key frames which way the camera went.

    In constant memory. Without depth lengths are not seen: a step that moves says which way, not how far. Where points
    are lost on the way, further key frames are set between those given.

    Args:
        camera: of the film's pictures, all alike; rows cut off at the bottom do not change it.
        key_frames: numbers of frames, rising; chosen by how far points move if None.
        z_depth: asked for each step's first frame; motions from there on are in metres.

    Raises:
        ValueError: if the camera is a batch or narrower than the film, or as `synth.tracks.tracks`.
    """
    width, height = film.size
    if camera.width != width or camera.height < height:
        raise ValueError(
            f"camera must be that of the film's pictures, {width} pixels wide and at least {height} high, got"
            f" {camera.width} x {camera.height}; was the film resized?"
        )
    for followed in tracks(film, key_frames, min_left=MIN_LEFT):
        tracked = followed.matches
        described = matches(followed.grey_first, followed.grey_last)
        known = z_depth(followed.first) if z_depth else None
        found = _better(tracked, described)
        view = relative_motion(found, camera, camera, z_depth_a=known, max_turn_sd_deg=MAX_TURN_SD_DEG)
        is_still = len(tracked) > 0 and followed.median_move < STILL_PX
        way = Way(frozenset()) if is_still else _way(view)
        yield ExecutedStep(followed.first, followed.last, view, way, tracked, described, is_still)


def _better(tracked: Matches, described: Matches) -> Matches:
    """Features look alike wherever they are: only where tracks were lost are they the better witness."""
    is_lost = len(tracked) < _ENOUGH_TRACKS
    return described if is_lost and len(described) > 2 * len(tracked) else tracked


def _way(view: TwoView) -> Way | None:
    if view.kind == "none":
        return None
    least_turn = max(MIN_TURN_DEG, SURE_SD * view.rotation_sd_deg)
    # Where there is no telling a move from a turn alone, the translation is 0; without a turn nothing is told then.
    way = way_of(view.T_b_a.inverse(), min_turn_deg=least_turn)
    return way if way.kinds else None
