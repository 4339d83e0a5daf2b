"""Faults to plant in simulated films, one at a time, so that it is known what a check should find, and how large it is.

Many are faults of the command: the same pictures, told otherwise. They share the film's pictures and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import torch
from check_films import (
    FAULT,
    FRESH,
    Picture,
    SimFilm,
    amounts_of,
    chance,
    draw_step,
    is_free,
    lens_deg,
    median_depth,
    num_frames,
    path,
    render,
    room,
    shown,
    step_of,
)
from numpy.random import Generator
from numpy.typing import NDArray

from geom import SE3, PinholeCamera
from geom.actions import ActionSequence
from synth.free_space import sample_anchor
from synth.room_world import RoomWorld

_OTHER_ROOM = 500_000_003
_PLACES = 60
_FAR = np.radians(30.0), 0.5
"""A cut goes at least so many radians or metres away."""
_EDGE_PX = 1.5
_SPRITE_SPEED = 0.005, 0.02
"""Widths of the picture per frame."""


@dataclass(frozen=True)
class Fault:
    """One way for a film to be wrong.

    `size` says how much. `needs_depth`: pictures alone cannot tell, only lengths can. `is_told_shown`: what spoils the
    pictures leaves the motion as it was told. `plant` gives None where a film cannot have the fault.
    """

    name: str
    size: str
    plant: Callable[[SimFilm], SimFilm | None]
    needs_depth: bool = False
    is_told_shown: bool = False


def told(film: SimFilm, actions: Sequence[ActionSequence]) -> SimFilm:
    """The same pictures under another command."""
    return replace(film, actions=tuple(actions), T_world_cam=path(film.T_world_cam[0], actions, film.key_frames))


def times(film: SimFilm, factors: dict[str, float], *, in_one_step: bool = False) -> SimFilm | None:
    """Command so many times as much along some of the axes `z`, `x` and `turn`; None where nothing goes there."""
    suited = [i for i, step in enumerate(film.actions) if any(action.kind.axis in factors for action in step)]
    if not suited:
        return None
    changed = [chance(film.seed, FAULT).choice(suited)] if in_one_step else suited
    actions = list(film.actions)
    for i in changed:
        actions[i] = step_of({axis: by * factors.get(axis, 1.0) for axis, by in amounts_of(actions[i]).items()})
    return told(film, actions)


def swapped(film: SimFilm) -> SimFilm | None:
    """Command two steps that go different ways in the other order; each takes the other's frames."""
    kinds = [frozenset(action.kind for action in step) for step in film.actions]
    pairs = [(i, j) for j in range(len(kinds)) for i in range(j) if kinds[i] != kinds[j]]
    if not pairs:
        return None
    i, j = chance(film.seed, FAULT).choice(pairs)
    actions = list(film.actions)
    actions[i], actions[j] = actions[j], actions[i]
    return told(film, actions)


def drifting(film: SimFilm, degrees_per_frame: float) -> SimFilm:
    """Command what is shown without a turn of so much in each frame, to one side or the other."""
    drift = degrees_per_frame * chance(film.seed, FAULT).choice((-1, 1))
    actions = []
    for step, num in zip(film.actions, np.diff(film.key_frames).tolist(), strict=True):
        amounts = amounts_of(step)
        actions.append(step_of(amounts | {"turn": amounts["turn"] - drift * num}))
    return told(film, actions)


def focal_times(film: SimFilm, factor: float) -> SimFilm | None:
    """State another focal length; None without a turn, by which it would be seen."""
    if not any(amounts_of(step)["turn"] for step in film.actions):
        return None
    K = film.camera.K.clone()
    K[0, 0], K[1, 1] = K[0, 0] * factor, K[1, 1] * factor
    return replace(film, camera=PinholeCamera(K, film.camera.width, film.camera.height))


def dropped(film: SimFilm, ways: tuple[str, ...]) -> SimFilm:
    """Command one step more, during which the camera stands still."""
    rng = chance(film.seed, FAULT)
    at, more, step = int(rng.integers(len(film.key_frames))), num_frames(rng), draw_step(rng, ways)
    first = film.key_frames[at]
    still = _in_order(film, [*range(first + 1), *[first] * more, *range(first + 1, len(film.pictures))])
    still = _shown_anew(still, still.truth.clean, range(first + 1, first + 1 + more), FRESH)
    actions = (*film.actions[:at], step, *film.actions[at:])
    key_frames = (*film.key_frames[: at + 1], *(number + more for number in film.key_frames[at:]))
    return told(replace(still, key_frames=key_frames), actions)


def frozen(film: SimFilm, share: float, *, has_noise: bool = False) -> SimFilm:
    """From this share of the film on, show the same picture again, to the bit or with noise of its own."""
    num = len(film.pictures)
    start = round(share * num)
    still = _in_order(film, [*range(start), *[start - 1] * (num - start)])
    return _shown_anew(still, still.truth.clean, range(start, num), FRESH) if has_noise else still


def cut(film: SimFilm, *, to_another_room: bool) -> SimFilm | None:
    """Go on as told, but elsewhere; None where no other place has space for that."""
    num, rng = len(film.pictures), chance(film.seed, FAULT)
    start = int(rng.integers(num // 4, 3 * num // 4 + 1))
    found = _elsewhere(film, start, rng, to_another_room)
    if found is None:
        return None
    world, T_world_rest = found
    rest, z_depths = render(world, T_world_rest)
    if to_another_room:
        T_world_rest = SE3(T_world_rest.R, torch.full_like(T_world_rest.t, torch.nan))
    truth = replace(film.truth, T_world_cam=_joined(film.truth.T_world_cam[:start], T_world_rest))
    film = replace(film, truth=truth, z_depths=(*film.z_depths[:start], *z_depths))
    return _shown_anew(film, (*film.truth.clean[:start], *rest), range(start, num))


def _elsewhere(film: SimFilm, start: int, rng: Generator, to_another_room: bool) -> tuple[RoomWorld, SE3] | None:
    """A room, and poses in it, where a camera can go on like this, but not near where it is."""
    T_world_told = film.T_world_cam[start]
    T_start_rest = T_world_told.inverse() @ film.T_world_cam[start:]
    size, lens = (film.camera.width, film.camera.height), lens_deg(film.seed)
    for number in range(_PLACES):
        world = room(film.seed + to_another_room * (number + 1) * _OTHER_ROOM, size, lens)
        T_world_start = world.T_world_anchor if to_another_room else sample_anchor(world.free_space, rng)
        radians, metres = T_world_start.distance(T_world_told)
        is_far = to_another_room or max(float(radians) / _FAR[0], float(metres) / _FAR[1]) >= 1
        if is_far and is_free(world, T_world_start @ T_start_rest):
            return world, T_world_start @ T_start_rest
    return None


def short_of_return(film: SimFilm, share: float) -> SimFilm | None:
    """Do only this share of the last step of a film that is told to return; None for one that is not."""
    radians, metres = film.T_world_cam[0].distance(film.T_world_cam[-1])
    if max(float(radians), float(metres)) > 1e-6:
        return None
    first, last = film.key_frames[-2:]
    less = step_of({axis: share * by for axis, by in amounts_of(film.actions[-1]).items()})
    T_world_last = path(film.T_world_cam[first], [less], [0, last - first])[1:]
    world = room(film.seed, (film.camera.width, film.camera.height), lens_deg(film.seed))
    clean, z_depths = render(world, T_world_last)
    truth = replace(film.truth, T_world_cam=_joined(film.T_world_cam[: first + 1], T_world_last))
    film = replace(film, truth=truth, z_depths=(*film.z_depths[: first + 1], *z_depths))
    return _shown_anew(film, (*film.truth.clean[: first + 1], *clean), range(first + 1, last + 1))


def blurred(film: SimFilm, sigma_px: float, *, is_burst: bool) -> SimFilm:
    """Lose sharpness from some frame on, or for three to five frames."""
    num, rng = len(film.pictures), chance(film.seed, FAULT)
    start = int(rng.integers(num // 4, 3 * num // 4 + 1))
    frames = range(start, min(start + int(rng.integers(3, 6)), num) if is_burst else num)
    return _changed(film, frames, lambda _, clean: np.asarray(cv2.GaussianBlur(clean, (0, 0), sigma_px), np.uint8))


def compressed(film: SimFilm, quality: int) -> SimFilm:
    """Every picture as JPEG of this quality."""
    film = replace(film, truth=replace(film.truth, quality=quality))
    return _shown_anew(film, film.truth.clean, range(len(film.pictures)))


def faded(film: SimFilm, contrast: float) -> SimFilm:
    """So much of the contrast around the film's mean; the noise stays as it is."""
    mean = np.mean([clean.mean((0, 1)) for clean in film.truth.clean], axis=0)
    return _changed(film, range(len(film.pictures)), lambda _, clean: _whole(mean + contrast * (clean - mean)))


def flickering(film: SimFilm, levels: float) -> SimFilm:
    """One to three single frames are brighter or darker by so many grey levels."""
    num, rng = len(film.pictures), chance(film.seed, FAULT)
    frames = rng.choice(np.arange(1, num - 1, 2), int(rng.integers(1, 4)), replace=False).tolist()
    by = dict(zip(frames, rng.choice((-levels, levels), len(frames)), strict=True))
    return _changed(film, frames, lambda number, clean: _whole(clean.astype(np.float64) + by[number]))


def with_objects(film: SimFilm, share: float) -> SimFilm:
    """Things that move by themselves, in one to three pieces, cover this share of every picture."""
    rng = chance(film.seed, FAULT)
    height, width = film.pictures[0].shape[:2]
    other = room(film.seed + _OTHER_ROOM, (width, height), lens_deg(film.seed))
    looks, _ = render(other, other.T_world_anchor @ SE3.yaw_right(torch.tensor([0.0, 0.5, -0.5]).double()))
    num = int(rng.integers(1, 4))
    sprites = [_Sprite.draw(rng, looks[i], share, band=(i, num)) for i in range(num)]
    clean, z_depths, near = list(film.truth.clean), list(film.z_depths), np.float32(median_depth(film) / 2)
    for number in range(len(clean)):
        for sprite in sprites:
            clean[number], covers = sprite.over(clean[number], number)
            z_depths[number] = np.where(covers, near, z_depths[number])
    return _shown_anew(replace(film, z_depths=tuple(z_depths)), tuple(clean), range(len(clean)))


@dataclass(frozen=True, eq=False)
class _Sprite:
    """An ellipse cut out of another picture, that goes to and fro in a band of the picture."""

    look: Picture
    look_xy: tuple[float, float]
    """Where its middle is in the picture that it was cut out of."""
    semi_axes: tuple[float, float]
    middle_y: float
    start: float
    speed: float
    """Of the way from one side to the other, where the ellipse begins, and goes in each frame."""

    @staticmethod
    def draw(rng: Generator, look: Picture, share: float, band: tuple[int, int]) -> _Sprite:
        height, width = look.shape[:2]
        which, num = band
        area = share / num * width * height / np.pi
        semi_y = min(np.sqrt(area / rng.uniform(0.6, 1.6)), 0.45 * height / num)
        semi_y = max(semi_y, area / (0.45 * width))
        spare = height / num - 2 * semi_y
        middle_y = which * height / num + semi_y + rng.uniform(0, 1) * spare
        semi_x = area / semi_y
        way = rng.uniform(*_SPRITE_SPEED) * width / (width - 2 * semi_x)
        return _Sprite(look, _busiest(look, semi_x, semi_y), (semi_x, semi_y), middle_y, rng.uniform(0, 2), way)

    def over(self, picture: Picture, number: int) -> tuple[Picture, NDArray[np.bool_]]:
        """Draw it where it is in a frame, and say which pixels it covers."""
        height, width = picture.shape[:2]
        semi_x, semi_y = self.semi_axes
        way = abs((self.start + number * self.speed) % 2 - 1)
        x = semi_x + way * (width - 2 * semi_x)
        right, down = np.arange(width) + 0.5 - x, np.arange(height)[:, None] + 0.5 - self.middle_y
        inside = (1 - np.hypot(right / semi_x, down / semi_y)) * min(self.semi_axes)
        shift = np.array([[1, 0, x - self.look_xy[0]], [0, 1, self.middle_y - self.look_xy[1]]])
        look = cv2.warpAffine(self.look, shift, (width, height), borderMode=cv2.BORDER_REFLECT)
        alpha = np.clip(inside / _EDGE_PX + 0.5, 0, 1)[..., None]
        return _whole(picture + alpha * (look.astype(np.float64) - picture)), inside > 0


def _busiest(look: Picture, semi_x: float, semi_y: float) -> tuple[float, float]:
    """Middle of the window of this size with the most edges in it, pixels: things, not bare walls."""
    edges = np.abs(cv2.Laplacian(cv2.cvtColor(look, cv2.COLOR_RGB2GRAY), cv2.CV_32F))
    window = round(2 * semi_x), round(2 * semi_y)
    y, x = np.unravel_index(np.argmax(cv2.blur(edges, window, borderType=cv2.BORDER_CONSTANT)), edges.shape)
    return float(x) + 0.5, float(y) + 0.5


def _whole(picture: NDArray[np.float64]) -> Picture:
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


def _joined(a: SE3, b: SE3) -> SE3:
    return SE3(torch.cat([a.R, b.R]), torch.cat([a.t, b.t]))


def _in_order(film: SimFilm, order: list[int]) -> SimFilm:
    """Show these frames, one after the other."""
    truth = film.truth
    truth = replace(truth, T_world_cam=truth.T_world_cam[order], clean=tuple(truth.clean[i] for i in order))
    pictures, z_depths = (tuple(of[i] for i in order) for of in (film.pictures, film.z_depths))
    return replace(film, pictures=pictures, z_depths=z_depths, truth=truth)


def _changed(film: SimFilm, frames: Sequence[int], change: Callable[[int, Picture], Picture]) -> SimFilm:
    """With some of the clean pictures changed, and noise after that."""
    which = set(frames)
    clean = tuple(change(i, picture) if i in which else picture for i, picture in enumerate(film.truth.clean))
    return _shown_anew(film, clean, frames)


def _shown_anew(film: SimFilm, clean: tuple[Picture, ...], frames: Sequence[int], *stream: int) -> SimFilm:
    """With other clean pictures, of which these frames are shown anew; the others stay what they are."""
    truth, which = replace(film.truth, clean=clean), set(frames)
    pictures = tuple(
        shown(film.seed, i, clean[i], truth, *stream) if i in which else picture
        for i, picture in enumerate(film.pictures)
    )
    return replace(film, pictures=pictures, truth=truth)


def _motion_faults() -> list[Fault]:
    scaled = [
        Fault("moves", f"x{by:g}", partial(times, factors={"z": by, "x": by}), True) for by in (0.5, 0.8, 1.25, 2.0)
    ]
    turned = [Fault("turns", f"x{by:g}", partial(times, factors={"turn": by})) for by in (0.5, 0.8, 1.25)]
    mirrored = [
        Fault(f"mirrored {word}", how, partial(times, factors={axis: -1.0}, in_one_step=how == "one step"))
        for word, axis in (("turn", "turn"), ("shift", "x"))
        for how in ("all", "one step")
    ]
    moves = ("forward", "backward", "left", "right")
    lost = [
        Fault("dropped step", how, partial(dropped, ways=ways))
        for how, ways in (("a move", moves), ("a turn", ("turn",)), ("an arc", ("arc",)))
    ]
    drifts = [
        Fault("drift", f"{by:g} deg a frame", partial(drifting, degrees_per_frame=by)) for by in (0.1, 0.25, 0.5, 1)
    ]
    short = [Fault("no return", f"x{by:g}", partial(short_of_return, share=by)) for by in (0.5, 0.75)]
    return [*scaled, *turned, *mirrored, *lost, Fault("swapped steps", "two", swapped), *drifts, *short]


def _film_faults() -> list[Fault]:
    stops = [
        Fault(f"frozen{', with noise' if noise else ''}", f"from {k}/4", partial(frozen, share=k / 4, has_noise=noise))
        for noise in (False, True)
        for k in (1, 2, 3)
    ]
    cuts = [
        Fault("cut", how, partial(cut, to_another_room=how == "another room")) for how in ("another room", "same room")
    ]
    lenses = [Fault("focal length", f"x{by:g}", partial(focal_times, factor=by)) for by in (0.8, 0.9, 1.1, 1.25)]
    return [*stops, *cuts, *lenses]


def _spoilt_pictures() -> list[Fault]:
    plants = [
        *(("moving objects", f"{share} %", partial(with_objects, share=share / 100)) for share in (5, 15, 30, 50)),
        *(("blur", f"{px} px on", partial(blurred, sigma_px=px, is_burst=False)) for px in (2, 4)),
        *(("blur", f"{px} px burst", partial(blurred, sigma_px=px, is_burst=True)) for px in (2, 4)),
        *(("compression", f"quality {of}", partial(compressed, quality=of)) for of in (30, 10, 5)),
        *(("low texture", f"{share} %", partial(faded, contrast=share / 100)) for share in (20, 5)),
        *(("flicker", f"{by} levels", partial(flickering, levels=by)) for by in (6, 15)),
    ]
    return [Fault(*plant, is_told_shown=True) for plant in plants]


FAULTS: tuple[Fault, ...] = (*_motion_faults(), *_film_faults(), *_spoilt_pictures())
