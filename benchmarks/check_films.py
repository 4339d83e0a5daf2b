"""Simulated films of a camera that does as it is told: what `theodolite check` must not complain about.

    from check_films import correct
    from check_faults import FAULTS

A film is drawn from its seed alone. `check_faults` plants one fault at a time in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from geom import SE3, PinholeCamera
from geom.actions import Action, ActionSequence
from synth.free_space import path_is_free
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages

Picture = NDArray[np.uint8]
ZDepth = NDArray[np.float32]

HFOV_DEG = (55.0, 95.0)
NUM_STEPS, NUM_FRAMES = (2, 5), (6, 10)
MOVE_CM, TURN_DEG = (15, 60), (5, 35)
NOISE, QUALITY = (1.0, 3.0), (80, 95)
RETURNS = 0.3
"""Share of films that go back to where they started."""

WAYS = {"forward": 0.2, "backward": 0.12, "left": 0.12, "right": 0.12, "turn": 0.22, "arc": 0.22}
_MOVES = {"forward": ("z", 1), "backward": ("z", -1), "left": ("x", -1), "right": ("x", 1), "arc": ("z", 1)}
_PATHS, _ROOMS = 300, 5
_ROOMS_APART = 1_000_003
_LENS, _DRAWN, _SHOWN, FRESH, FAULT = range(5)
"""Streams of chance, so that what one draws changes nothing elsewhere."""

_EVERY = 8
"""Pixels apart are the points that sizes are measured on."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What the pictures really show, whatever was told.

    `camera` took them. `T_world_cam` (n,) are the poses shown, NaN where another room is. `clean` are the pictures
    before noise, whose standard deviation is `noise` grey levels, and before JPEG of this quality.
    """

    camera: PinholeCamera
    T_world_cam: SE3
    clean: tuple[Picture, ...]
    noise: float
    quality: int


@dataclass(frozen=True, eq=False)
class SimFilm:
    """A film, and what its camera was told; both agree unless a fault is planted.

    `pictures` are (h, w, 3) uint8; `z_depths` (h, w) float32, metres, of what is seen there. `camera` is as stated.
    Step i begins at frame `key_frames[i]`, ends at `key_frames[i + 1]`, and was commanded as `actions[i]`, all of it
    at once. `T_world_cam` (n,) holds the commanded pose of every frame. It is what counts: a step that moves and turns
    is an arc, whose end is not that of the move followed by the turn, as `actions[i].pose()` has it.
    """

    seed: int
    pictures: tuple[Picture, ...]
    z_depths: tuple[ZDepth, ...]
    camera: PinholeCamera
    key_frames: tuple[int, ...]
    actions: tuple[ActionSequence, ...]
    T_world_cam: SE3
    truth: Truth


@dataclass(frozen=True)
class Size:
    """How far what is shown is from what was told over the worst step; infinite where nothing can be compared."""

    metres: float
    degrees: float
    pixels: float
    """Median, over what both ends of the step see, from where a point is to where it should be."""


@lru_cache(4)
def room(seed: int, size: tuple[int, int], hfov_deg: float) -> RoomWorld:
    """The room of a seed seen through a lens; the next one of its row where no camera finds a place in it."""
    for number in range(seed, seed + _ROOMS * _ROOMS_APART, _ROOMS_APART):
        try:
            world = RoomWorld(GenerateConfig(num_scenes=1, seed=number, image_size=size), 0, Stages())
        except ValueError:
            continue
        world.camera = PinholeCamera.from_hfov(math.radians(hfov_deg), *size)
        return world
    raise ValueError(f"one of {_ROOMS} rooms must have a free place, but those of seed {seed} have none")


def lens_deg(seed: int) -> float:
    """Horizontal field of view of a film's camera, degrees."""
    return float(chance(seed, _LENS).uniform(*HFOV_DEG))


def correct(seed: int, size: tuple[int, int] = (320, 240)) -> SimFilm:
    """A film that shows what was told.

    It starts at the room's anchor and keeps clear of the furniture.

    Args:
        seed: of the room, the path, the lens and the noise.
        size: (width, height) of the pictures, pixels.

    Raises:
        ValueError: if the room leaves no space for any path.
    """
    rng, world = chance(seed, _DRAWN), room(seed, size, lens_deg(seed))
    noise, quality = rng.uniform(*NOISE), int(rng.integers(QUALITY[0], QUALITY[1] + 1))
    actions, key_frames, T_world_cam = _free_path(world, rng)
    clean, z_depths = render(world, T_world_cam)
    truth = Truth(world.camera, T_world_cam, clean, noise, quality)
    pictures = tuple(shown(seed, number, picture, truth) for number, picture in enumerate(clean))
    return SimFilm(seed, pictures, z_depths, world.camera, key_frames, actions, T_world_cam, truth)


def chance(seed: int, *stream: int) -> Generator:
    """Random numbers of a film, one stream for each purpose."""
    return np.random.default_rng((seed, *stream))


def _free_path(world: RoomWorld, rng: Generator) -> tuple[tuple[ActionSequence, ...], tuple[int, ...], SE3]:
    """Draw commands until nothing is in their way."""
    for _ in range(_PATHS):
        actions = _returning(rng) if rng.random() < RETURNS else _steps(rng)
        key_frames = (0, *np.cumsum([num_frames(rng) for _ in actions]).tolist())
        T_world_cam = path(world.T_world_anchor, actions, key_frames)
        if is_free(world, T_world_cam):
            return actions, key_frames, T_world_cam
    raise ValueError(f"a film needs a free path, but {_PATHS} draws found none in {world.scene_id}")


def is_free(world: RoomWorld, T_world_cam: SE3) -> bool:
    """Whether a camera can go through these poses, (n,)."""
    return bool(path_is_free(world.free_space, T_world_cam.t.numpy()))


def num_frames(rng: Generator) -> int:
    """Frames that a step takes."""
    return int(rng.integers(NUM_FRAMES[0], NUM_FRAMES[1] + 1))


def _steps(rng: Generator) -> tuple[ActionSequence, ...]:
    return tuple(draw_step(rng, tuple(WAYS)) for _ in range(int(rng.integers(NUM_STEPS[0], NUM_STEPS[1] + 1))))


def _returning(rng: Generator) -> tuple[ActionSequence, ...]:
    """Out and back. Without arcs: to move and turn at once does not undo having done so to the last centimetre."""
    out = [draw_step(rng, tuple(way for way in WAYS if way != "arc")) for _ in range(int(rng.integers(1, 3)))]
    return (*out, *(step.reversed_() for step in reversed(out)))


def draw_step(rng: Generator, ways: tuple[str, ...]) -> ActionSequence:
    """Draw one of these ways to go, and how far."""
    weight = np.array([WAYS[way] for way in ways])
    way = ways[int(rng.choice(len(ways), p=weight / weight.sum()))]
    amounts: dict[str, float] = {}
    if way in _MOVES:
        axis, sign = _MOVES[way]
        amounts[axis] = sign * int(rng.integers(MOVE_CM[0], MOVE_CM[1] + 1)) / 100
    if way in ("turn", "arc"):
        amounts["turn"] = float(rng.choice((-1, 1)) * rng.integers(TURN_DEG[0], TURN_DEG[1] + 1))
    return step_of(amounts)


def step_of(amounts: dict[str, float]) -> ActionSequence:
    """A step that does all this at once: signed metres of `z` and `x`, signed degrees of `turn`."""
    return ActionSequence(tuple(Action.of(axis, amount) for axis, amount in amounts.items() if abs(amount) > 1e-9))


def amounts_of(step: ActionSequence) -> dict[str, float]:
    """What `step_of` was given."""
    amounts = {"z": 0.0, "x": 0.0, "turn": 0.0}
    for action in step:
        amounts[action.kind.axis] += action.signed_amount
    return amounts


def path(T_world_start: SE3, actions: Sequence[ActionSequence], key_frames: Sequence[int]) -> SE3:
    """Pose of every frame, (n,): within a step each frame moves a little, then turns a little, always the same."""
    poses = [T_world_start]
    for step, (first, last) in zip(actions, pairwise(key_frames), strict=True):
        does, num = amounts_of(step), last - first
        t = torch.tensor([does["x"] / num, 0.0, does["z"] / num], dtype=torch.float64)
        T_before_after = SE3.from_translation(t) @ SE3.yaw_right(math.radians(does["turn"]) / num)
        for _ in range(num):
            poses.append(poses[-1] @ T_before_after)
    return SE3.stack(poses)


def render(world: RoomWorld, T_world_cam: SE3) -> tuple[tuple[Picture, ...], tuple[ZDepth, ...]]:
    """Pictures without noise, and their z-depth, from each of the poses (n,)."""
    views = [world.view(T_world_cam[number]) for number in range(len(T_world_cam.t))]
    return tuple(view.image for view in views if view.image is not None), tuple(view.z_depth for view in views)


def shown(seed: int, number: int, clean: Picture, truth: Truth, stream: int = _SHOWN) -> Picture:
    """A clean picture as frame `number` of a film: with noise, and out of a codec."""
    noise = chance(seed, stream, number).standard_normal(clean.shape, np.float32) * np.float32(truth.noise)
    noisy = np.rint(np.clip(clean + noise, 0, 255)).astype(np.uint8)
    quality = (cv2.IMWRITE_JPEG_QUALITY, truth.quality)
    written = cv2.imencode(".jpg", cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR), quality)[1]
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR_RGB), np.uint8)


def median_depth(film: SimFilm) -> float:
    """Median z-depth of all that the film shows, metres."""
    return float(np.median([z_depth[::_EVERY, ::_EVERY] for z_depth in film.z_depths]))


def size_of(film: SimFilm) -> Size:
    """How large the planted fault is at its worst step; zero for a correct film, and for spoilt pictures of it."""
    errors = [_errors(film, first, last) for first, last in pairwise(film.key_frames)]
    return Size(*np.max(errors, axis=0).tolist())


def _errors(film: SimFilm, first: int, last: int) -> tuple[float, float, float]:
    """Metres, degrees and pixels between told and shown over one step."""
    told = film.T_world_cam[last].inverse() @ film.T_world_cam[first]
    done = film.truth.T_world_cam[last].inverse() @ film.truth.T_world_cam[first]
    if not bool(done.t.isfinite().all()):
        return math.inf, math.inf, math.inf
    radians, _ = told.distance(done)
    metres = (told.inverse().t - done.inverse().t).norm()
    uv = film.camera.pixel_centers()[::_EVERY, ::_EVERY].reshape(-1, 2)
    z_depth = torch.from_numpy(film.z_depths[first])[::_EVERY, ::_EVERY].reshape(-1).double()
    uv_told, ahead_told = film.camera.project(told.act(film.camera.unproject(uv, z_depth)))
    uv_done, ahead_done = film.truth.camera.project(done.act(film.truth.camera.unproject(uv, z_depth)))
    both = ahead_told & ahead_done & film.camera.contains(uv_done)
    pixels = (uv_told - uv_done).norm(dim=-1)[both].median() if both.any() else math.inf
    return float(metres), math.degrees(radians), float(pixels)
