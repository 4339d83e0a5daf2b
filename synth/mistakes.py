"""Does depth, moved by the poses, meet the depth measured elsewhere; and if not, which likely mistake would explain it?

Pixels of one frame are lifted, moved into another and compared with the z-depth measured there. Each says how well it
is explained: 1 where both depths are equal, falling off with their relative difference; what falls outside the other
picture, or behind its surface, where it may be hidden, explains nothing. The same is done for every mistake that people
make with such data, undone. An alarm is raised only if undoing one explains clearly more than the data as given, so
noise, drift and holes, which no such change mends, raise none (`benchmarks/conventions.py` measures both sides).

What no depth can tell: one factor on all lengths; where the world lies and which way is up; units of translation where
the camera only turns; a mirror or another sign that the motion at hand does not show, such as y up, z back under a move
along x alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from synth.read_depth import raw_z_depth
from synth.source import Frame

Array = NDArray[np.float64]
Verdict = Literal["agrees", "contradicts", "cannot tell"]

MIN_GAIN = 0.08
"""Undoing a mistake must explain more by this share of what either explains: above what any undoing gains on the right
sequences of `benchmarks/conventions.py`, noisy, drifting and recorded, and below what nearly all planted mistakes gain.
Two or three frames alone tell less, and right ones may gain more."""

MIN_EXPLAINED = 0.1
"""Share of the pixels that something must explain, or nothing is said."""

_FALL_OFF = 0.03
"""Relative difference of z-depth at which a pixel's explanation has fallen to 1 / e."""
_PIXELS = 2500
_MOST_PAIRS = 14
_STEPS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Shot:
    """What one frame says: intrinsics (3 x 3), camera to world (4 x 4), z-depth (h, w) with NaN where unknown."""

    K: Array
    T_world_cam: Array
    z_depth: Array


@dataclass(frozen=True)
class Diagnosis:
    """What comparing depths says of a sequence.

    `explained` is the mean share of pixels that the data explain as given, `best` the mistake whose undoing explains
    most, `best_explained` how much, and `gain` what is gained by it (MIN_GAIN); None and 0 where nothing was compared.
    """

    verdict: Verdict
    sentence: str
    explained: float = 0.0
    best: str | None = None
    best_explained: float = 0.0
    gain: float = 0.0


def check_frames(frames: Sequence[Frame]) -> Diagnosis:
    """Read the depth of some frames of a clip and compare it; a frame whose depth cannot be read takes no part.

    Args:
        frames: in order; those without depth take no part.
    """
    with_z = [frame for frame in frames if frame.z_depth is not None]
    chosen = [with_z[n] for n in np.unique(np.linspace(0, len(with_z) - 1, 9).round().astype(int))] if with_z else []
    # Neighbours tell frames that are shifted by one; far ones show motion.
    near = [frame for frame in with_z[: len(with_z) // 2][-4:] if frame not in chosen]
    return diagnose(shots_of(sorted([*chosen, *near], key=with_z.index)))


def shots_of(frames: Sequence[Frame]) -> list[Shot]:
    """What frames say, in the unit of their poses; one whose depth cannot be read is left out."""
    shots = []
    for frame in frames:
        with suppress(ValueError):
            z_depth = raw_z_depth(frame)
            shots.append(Shot(frame.camera.K.numpy(), frame.T_world_cam.matrix().numpy(), z_depth))
    return shots


def diagnose(shots: Sequence[Shot]) -> Diagnosis:
    """Compare the depths of a sequence as given, and with each likely mistake undone."""
    if len(shots) < 2:
        return Diagnosis("cannot tell", f"depth of at least 2 frames is needed, got {len(shots)}")
    pairs = list(_pairs(len(shots)))
    given = np.array([explained(shots[i], shots[j]) for i, j in pairs])
    found = {name: _explained(undo(list(shots)), pairs) for name, undo in MISTAKES.items()}
    best = max(found, key=lambda name: _mean(found[name] - given))
    gain, share, best_share = _gain(given, found[best]), float(given.mean()), _mean(found[best])
    if max(share, best_share) < MIN_EXPLAINED:
        return Diagnosis("cannot tell", "the frames have too little in common", share, best, best_share, gain)
    if gain < MIN_GAIN or best_share < MIN_EXPLAINED:
        return Diagnosis("agrees", f"depths agree as given: {share:.0%} explained", share, best, best_share, gain)
    sentence = f"{best}: depths explain each other by {share:.0%} as given, by {best_share:.0%} with that undone"
    return Diagnosis("contradicts", sentence, share, best, best_share, gain)


def _mean(values: Array) -> float:
    """Over the pairs that have a value; 0 if none has."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _gain(given: Array, other: Array) -> float:
    """How much more another reading explains, as a share of the larger of both, over the pairs that it has."""
    both = np.isfinite(other)
    larger = np.maximum(given[both], other[both]).sum()
    return float((other[both] - given[both]).sum() / larger) if larger > 0 else 0.0


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    """Pairs of places, near ones first, both ways in turn."""
    every = [(i, i + step) for step in _STEPS for i in range(count - step)]
    chosen = [every[n] for n in np.unique(np.linspace(0, len(every) - 1, _MOST_PAIRS).round().astype(int))]
    yield from (pair[::-1] if n % 2 else pair for n, pair in enumerate(chosen))


def _explained(shots: list[Shot | None], pairs: list[tuple[int, int]]) -> Array:
    """Per pair, how much is explained; NaN for a pair that the undoing leaves without a frame."""
    shares = []
    for i, j in pairs:
        a, b = shots[i], shots[j]
        shares.append(np.nan if a is None or b is None else explained(a, b))
    return np.array(shares)


def explained(a: Shot, b: Shot) -> float:
    """Mean over pixels of `a` with depth: how well the depth of `b` explains where they are (0..1)."""
    height, width = a.z_depth.shape
    step = max(1, int(np.sqrt(height * width / _PIXELS)))
    v, u = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    z = a.z_depth[v, u].ravel()
    known = np.isfinite(z)
    if not known.any():
        return 0.0
    pixels = np.stack([u.ravel() + 0.5, v.ravel() + 0.5, np.ones(u.size)])[:, known]
    T_b_a = np.linalg.inv(b.T_world_cam) @ a.T_world_cam
    p_b = T_b_a[:3, :3] @ (np.linalg.inv(a.K) @ pixels * z[known]) + T_b_a[:3, 3:]
    front = p_b[2] > 1e-6
    uvw = b.K @ np.where(front, p_b, [[0], [0], [1]])
    at = np.floor(uvw[:2] / uvw[2])
    inside = front & (at >= 0).all(0) & (at[0] < b.z_depth.shape[1]) & (at[1] < b.z_depth.shape[0])
    col, row = np.where(inside, at, 0).astype(int)
    with np.errstate(invalid="ignore"):
        off = np.abs(p_b[2] / b.z_depth[row, col] - 1)
    return float(np.where(inside & np.isfinite(off), np.exp(-np.nan_to_num(off) / _FALL_OFF), 0).mean())


def _posed(change: Callable[[Array], Array]) -> Callable[[list[Shot]], list[Shot | None]]:
    return lambda shots: [replace(shot, T_world_cam=change(shot.T_world_cam)) for shot in shots]


def _lensed(change: Callable[[Array], Array]) -> Callable[[list[Shot]], list[Shot | None]]:
    return lambda shots: [replace(shot, K=change(shot.K)) for shot in shots]


def _deeper(factor: float) -> Callable[[list[Shot]], list[Shot | None]]:
    return lambda shots: [replace(shot, z_depth=shot.z_depth * factor) for shot in shots]


def _inverted(T: Array) -> Array:
    return np.asarray(np.linalg.inv(T), np.float64)


def _flip(T: Array) -> Array:
    return T @ np.diag([1.0, -1.0, -1.0, 1.0])


def _turned(T: Array, R: Array) -> Array:
    T = T.copy()
    T[:3, :3] = R
    return T


def _rolled(T: Array, places: int) -> Array:
    return _turned(T, Rotation.from_quat(np.roll(Rotation.from_matrix(T[:3, :3]).as_quat(), places)).as_matrix())


def _mirrored(T: Array) -> Array:
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    return mirror @ T @ mirror


def _swapped(K: Array) -> Array:
    K = K.copy()
    K[0, 2], K[1, 2] = K[1, 2], K[0, 2]
    return K


def _zoomed(factor: float) -> Callable[[Array], Array]:
    return lambda K: np.diag([factor, factor, 1.0]) @ K


def _focal(factor: float) -> Callable[[Array], Array]:
    return lambda K: K @ np.diag([factor, factor, 1.0])


def _from_rays(shots: list[Shot]) -> list[Shot | None]:
    """z-depth from what was given, taken as the distance along each ray."""
    undone: list[Shot | None] = []
    for shot in shots:
        v, u = np.mgrid[: shot.z_depth.shape[0], : shot.z_depth.shape[1]] + 0.5
        rays = np.linalg.inv(shot.K) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
        undone.append(replace(shot, z_depth=shot.z_depth / np.linalg.norm(rays, axis=0).reshape(u.shape)))
    return undone


def _shifted(by: int) -> Callable[[list[Shot]], list[Shot | None]]:
    def undo(shots: list[Shot]) -> list[Shot | None]:
        places = range(len(shots))
        return [replace(shots[n], T_world_cam=shots[n + by].T_world_cam) if n + by in places else None for n in places]

    return undo


MISTAKES: dict[str, Callable[[list[Shot]], list[Shot | None]]] = {
    "the poses seem to be world-to-camera": _posed(_inverted),
    "the poses seem to have OpenGL axes (y up, z back)": _posed(_flip),
    "the poses seem to be world-to-camera with OpenGL axes": _posed(lambda T: _flip(_inverted(T))),
    "the rotations seem to be transposed": _posed(lambda T: _turned(T, T[:3, :3].T)),
    "the quaternions seem to be w x y z, not x y z w": _posed(lambda T: _rolled(T, -1)),
    "the quaternions seem to be x y z w, not w x y z": _posed(lambda T: _rolled(T, 1)),
    "the poses seem to be mirrored, left for right": _posed(_mirrored),
    "each pose seems to be that of the frame before": _shifted(1),
    "each pose seems to be that of the frame after": _shifted(-1),
    "the depth seems to be along the rays, not along the axis": _from_rays,
    "K seems to belong to a picture of twice the size": _lensed(_zoomed(0.5)),
    "K seems to belong to a picture of half the size": _lensed(_zoomed(2.0)),
    "cx and cy seem to be swapped": _lensed(_swapped),
    "the depth seems to be of another camera, of longer focal length": _lensed(_focal(1.25)),
    "the depth seems to be of another camera, of shorter focal length": _lensed(_focal(0.8)),
}
MISTAKES |= {
    f"the depth seems to be {times:g} times too {what} for the poses": _deeper(factor)
    for times in (2.0, 5.0, 10.0, 100.0, 1000.0)
    for what, factor in (("small", times), ("large", 1 / times))
}
"""A mistake as people make it, to what undoes it; a frame that the undoing leaves without a pose is None."""
