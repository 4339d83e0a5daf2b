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

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.read_depth import raw_z_depth
from synth.reproject import Shot, compare, stacked
from synth.source import Frame

Verdict = Literal["agrees", "contradicts", "cannot tell"]
Array = NDArray[np.float64]
Undo = Callable[[list[Shot]], list[Shot]]

MIN_GAIN = 0.1
"""Undoing a mistake must explain more by this share of what either explains: above the 0.09 that undoing one gained
at most on right data with strong noise and drift, and below what nearly all planted mistakes gain."""

MIN_GAIN_OF_FEW = 0.25
"""The same for 2 or 3 frames: with one pose among them that odometry had badly, right data gained up to 0.16."""

MIN_EXPLAINED = 0.1
"""Share of the pixels that something must explain, or nothing is said."""

_MOST_PAIRS = 14
_STEPS = (1, 2, 4, 8)
_FEW = 3


@dataclass(frozen=True)
class Diagnosis:
    """What comparing depths says of a sequence.

    `explained` is the mean share of pixels that the data explain as given, `best` the mistake whose undoing explains
    most, `best_explained` how much, and `gain` what is gained by it (MIN_GAIN); None and 0 where nothing was compared.
    `residual` is the median relative difference of z-depth as given, without what may be hidden; NaN where nothing was.
    """

    verdict: Verdict
    sentence: str
    explained: float = 0.0
    best: str | None = None
    best_explained: float = 0.0
    gain: float = 0.0
    residual: float = float("nan")


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
            z_depth = torch.from_numpy(raw_z_depth(frame))
            shots.append(Shot(frame.camera.to(z_depth), frame.T_world_cam.to(z_depth), z_depth))
    return shots


def diagnose(shots: Sequence[Shot]) -> Diagnosis:
    """Compare the depths of a sequence as given, and with each likely mistake undone."""
    if len(shots) < 2:
        return Diagnosis("cannot tell", f"depth of at least 2 frames is needed, got {len(shots)}")
    pairs = _pairs(len(shots))
    given = [compare(shots[i], shots[j]) for i, j in pairs]
    explained = np.array([float(pair.explained) for pair in given])
    found = dict(zip(MISTAKES, _explained([undo(list(shots)) for undo in MISTAKES.values()], pairs), strict=True))
    best = max(found, key=lambda name: _mean(found[name] - explained))
    residual = _median(np.array([float(pair.residual) for pair in given]))
    return _judged(explained, best, found[best], residual, MIN_GAIN if len(shots) > _FEW else MIN_GAIN_OF_FEW)


def _judged(given: Array, best: str, undone: Array, residual: float, least_gain: float) -> Diagnosis:
    gain, share, best_share = _gain(given, undone), _mean(given), _mean(undone)
    numbers = (share, best, best_share, gain, residual)
    if max(share, best_share) < MIN_EXPLAINED:
        return Diagnosis("cannot tell", "the frames have too little in common", *numbers)
    if gain < least_gain or best_share < MIN_EXPLAINED:
        sentence = f"depths agree as given: {share:.0%} explained, median z-depth residual {residual:.1%}"
        return Diagnosis("agrees", sentence, *numbers)
    sentence = f"{best}: depths explain each other by {share:.0%} as given, by {best_share:.0%} with that undone"
    return Diagnosis("contradicts", sentence, *numbers)


def _mean(values: Array) -> float:
    """Over the pairs that have a value; 0 if none has."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _median(values: Array) -> float:
    """Of the pairs that can be compared; NaN if none can."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _gain(before: Array, after: Array) -> float:
    """How much more another reading explains, as a share of the larger of both, over the pairs that it has."""
    both = np.isfinite(after)
    larger = np.maximum(before[both], after[both]).sum()
    return float((after[both] - before[both]).sum() / larger) if larger > 0 else 0.0


def _pairs(count: int) -> list[tuple[int, int]]:
    """Pairs of places, near ones first: both ways where they are few, else one way in turn."""
    every = [(i, i + step) for step in _STEPS for i in range(count - step)]
    if 2 * len(every) <= _MOST_PAIRS:
        return every + [(j, i) for i, j in every]
    chosen = [every[n] for n in np.unique(np.linspace(0, len(every) - 1, _MOST_PAIRS).round().astype(int))]
    return [pair[::-1] if n % 2 else pair for n, pair in enumerate(chosen)]


def _explained(readings: list[list[Shot]], pairs: list[tuple[int, int]]) -> Array:
    """Share that each reading of the frames explains of each pair, NaN where it leaves one without a pose. (r, pairs)

    Readings with the same depth are compared at once.
    """
    found = []
    for _, group in groupby(readings, key=lambda shots: id(shots[0].z_depth)):
        frames = [stacked(shots) for shots in zip(*group, strict=True)]
        found.append(torch.stack([compare(frames[i], frames[j]).explained for i, j in pairs], -1))
    return torch.cat(found).numpy()


def _posed(change: Callable[[SE3], SE3]) -> Undo:
    return lambda shots: [replace(shot, T_world_cam=change(shot.T_world_cam)) for shot in shots]


def _lensed(change: Callable[[Tensor], Tensor]) -> Undo:
    return lambda shots: [replace(shot, camera=replace(shot.camera, K=change(shot.camera.K))) for shot in shots]


def _flip(T: SE3) -> SE3:
    return SE3(T.R * T.R.new_tensor([1, -1, -1]), T.t)


def _rolled(T: SE3, places: int) -> SE3:
    turned = Rotation.from_quat(np.roll(Rotation.from_matrix(T.R.numpy()).as_quat(), places))
    return SE3(torch.from_numpy(turned.as_matrix()), T.t)


def _mirrored(T: SE3) -> SE3:
    mirror = T.t.new_tensor([-1, 1, 1])
    return SE3(mirror[:, None] * T.R * mirror, mirror * T.t)


def _swapped(K: Tensor) -> Tensor:
    K = K.clone()
    K[:2, 2] = K[:2, 2].flip(0)
    return K


def _zoomed(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda K: K * K.new_tensor([factor, factor, 1])[:, None]


def _focal(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda K: K * K.new_tensor([factor, factor, 1])


def _deeper(factor: float) -> Undo:
    """As poses that are nearer to each other: one factor on all lengths changes nothing."""
    return _posed(lambda T: SE3(T.R, T.t / factor))


def _from_rays(shots: list[Shot]) -> list[Shot]:
    """z-depth from what was given, taken as the distance along each ray."""
    return [replace(shot, z_depth=shot.z_depth / _distance_per_z(shot.camera)) for shot in shots]


def _distance_per_z(camera: PinholeCamera) -> Tensor:
    """Length of each pixel's ray where z is 1, (h, w); a row and a column of rays give them all."""
    lens = zip((camera.width, camera.height), camera.principal_point, camera.focal, strict=True)
    across, down = ((torch.arange(size, dtype=center.dtype) + 0.5 - center) / focal for size, center, focal in lens)
    return (1 + across.square() + down.square()[:, None]).sqrt()


def _shifted(by: int) -> Undo:
    def undo(shots: list[Shot]) -> list[Shot]:
        """Give each frame the pose that stands so many frames later."""
        nowhere = SE3.identity(dtype=shots[0].z_depth.dtype)
        nowhere = SE3(nowhere.R * float("nan"), nowhere.t * float("nan"))
        poses = [shots[n].T_world_cam if n in range(len(shots)) else nowhere for n in range(by, len(shots) + by)]
        return [replace(shot, T_world_cam=T) for shot, T in zip(shots, poses, strict=True)]

    return undo


MISTAKES: dict[str, Undo] = {
    "the poses seem to be world-to-camera": _posed(SE3.inverse),
    "the poses seem to have OpenGL axes (y up, z back)": _posed(_flip),
    "the poses seem to be world-to-camera with OpenGL axes": _posed(lambda T: _flip(T.inverse())),
    "the rotations seem to be transposed": _posed(lambda T: SE3(T.R.mT, T.t)),
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
"""A mistake as people make it, to what undoes it; the pose of a frame that the undoing leaves without one is NaN."""
