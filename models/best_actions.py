"""The words for an uncertain pose where it is known what may be asked about: those that score best on average.

Which motions are asked about is known to who asks (`synth.presets`), and how far off a measured pose may be is told by
the head. Both together give every motion a chance; the answer is the motion whose `exact` score is the highest in
expectation over these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Complex128, Float64
from numpy.typing import NDArray

from geom.actions import Action, ActionSequence
from geom.inversion import level_pose
from geom.se3 import SE3
from models.head import LEAST_M
from models.nearest_actions import DIRECTIONS, nearest_sequence
from models.trunk import Known
from synth.dataset import SETTINGS_FILE, find_subsets
from synth.exact import FREE_FALL, NOTHING
from synth.presets import PRESETS, Family
from synth.safe_read import mapping, read_json

_WEIGHED, _TRIED = 1500, 500
"""The likeliest motions: so many make the average, and of so many the best is said."""
_FAR = 8.0
"""Mean errors, of heading and of both parts of the place added up, from which on a motion is not meant."""

ANY = "any"
"""Instead of a preset: whatever motion; the answer is the one that ends nearest to the measured pose."""


def preset_of(data: Path) -> str:
    """The preset whose motions all questions of a dataset are about, as `generate` wrote it down; ANY if it is none.

    Raises:
        ValueError: if there is no dataset, or its settings cannot be read.
    """
    files = [subset / SETTINGS_FILE for subset in find_subsets(data)]
    settings = [mapping(read_json(file), str(file)) if file.is_file() else {} for file in files]
    found = {str(mapping(each.get("config", {}), str(data)).get("preset")) for each in settings}
    return found.pop() if len(found) == 1 and found <= PRESETS.keys() else ANY


@dataclass(frozen=True)
class Spread:
    """Mean sizes of the errors of a pose, by Laplace's law; what is usual where nobody says.

    Args:
        turn: radians. direction: of the translation, radians. log_length: of its length.
    """

    turn: float = math.radians(3)
    direction: float = 0.1
    log_length: float = 0.2

    def __post_init__(self) -> None:
        told = (self.turn, self.direction, self.log_length)
        if not all(math.isfinite(value) and value > 0 for value in told):
            raise ValueError(f"a spread must be three finite numbers above 0, got {told}")


@dataclass(frozen=True)
class Measured:
    """A level pose of the second camera in the first, with the mean size of its errors.

    Args:
        place: z + i x, metres. heading_deg: to the right.
        aside, along: of the place, across and along its own direction, metres. turn_deg: of the heading.
    """

    place: complex
    heading_deg: float
    aside: float
    along: float
    turn_deg: float

    @staticmethod
    def of(T_before_after: SE3, spread: Spread) -> Measured:
        """The level part of a pose, unbatched.

        Raises:
            ValueError: if it is a batch, or not finite.
        """
        pose = level_pose(T_before_after)
        place = complex(pose.z, pose.x)
        length = max(abs(place), LEAST_M)
        aside, along = spread.direction * length, spread.log_length * length
        return Measured(place, pose.turn_deg, aside, along, math.degrees(spread.turn))


def said_of(
    T_before_after: SE3, num_actions: int | None, known: Known, preset: str, spread: Spread | None = None
) -> tuple[ActionSequence, float | None]:
    """The words for a pose, and the chance that they score at all; None where they are what ends nearest.

    Args:
        T_before_after: unbatched pose of the second camera in the first, metres.
        num_actions: how many the question says there are; None if it does not.
        known: what it says of them.
        preset: of which motions are asked about, or ANY. Of those that end near the pose, the one with the highest
            expected score; where none does, what ends nearest (`models.nearest_actions`).
        spread: how far off the pose may be.

    Raises:
        ValueError: if there is no such preset, or the pose is a batch or not finite.
    """
    among = None if preset == ANY or num_actions is None else motions(preset, num_actions)
    measured = Measured.of(T_before_after, Spread() if spread is None else spread)
    said = None if among is None else best_actions(measured, among, known)
    return (nearest_sequence(T_before_after, num_actions), None) if said is None else said


@dataclass(frozen=True, eq=False)
class Motions:
    """All motions of a preset with a number of actions, and where they end.

    Args:
        families: with the sizes of each; motions follow their order, the sizes of the last action fastest.
        place: z + i x, metres. heading_deg: to the right.
        moved, turned: metres and degrees of all actions of a motion.
        log_chance: that it is asked about.
    """

    families: tuple[tuple[Family, int], ...]
    place: Complex128[NDArray, " n"]
    heading_deg: Float64[NDArray, " n"]
    moved: Float64[NDArray, " n"]
    turned: Float64[NDArray, " n"]
    log_chance: Float64[NDArray, " n"]

    def __getitem__(self, number: int) -> ActionSequence:
        for family, count in self.families:
            if number < count:
                places = np.unravel_index(number, [sizes.count for sizes in family.sizes])
                sizes = (sizes[int(place)] for sizes, place in zip(family.sizes, places, strict=True))
                return ActionSequence(tuple(Action(*each) for each in zip(family.kinds, sizes, strict=True)))
            number -= count
        raise IndexError(f"there are {len(self.place)} motions")

    def score(self, said: NDArray[np.int64], true: NDArray[np.int64]) -> Float64[NDArray, "said true"]:
        """`synth.exact.motion_score` of some motions, said where others are true."""
        miss_m = np.abs(self.place[said][:, None] - self.place[true])
        miss_deg = np.abs(_wrapped(self.heading_deg[said][:, None] - self.heading_deg[true]))
        return _falling(miss_m, self.moved[true]) * _falling(miss_deg, self.turned[true])


def _wrapped(deg: NDArray[np.float64]) -> NDArray[np.float64]:
    return (deg + 180) % 360 - 180


def _falling(miss: Float64[NDArray, "said true"], size: Float64[NDArray, " true"]) -> Float64[NDArray, "said true"]:
    some = np.maximum(FREE_FALL * size, NOTHING)
    return np.where(miss <= NOTHING, 1.0, np.maximum(0.0, 1 - miss / some))


@cache
def motions(preset: str, num_actions: int) -> Motions | None:
    """All motions of a preset with a number of actions; None if it has none.

    Raises:
        ValueError: if there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    both = (PRESETS[preset].single, PRESETS[preset].multi)
    # A preset draws a family among the single ones, or among the others; which is asked for is known.
    parts = [
        _of_family(family, family.weight / sum(f.weight for f in families))
        for families in both
        for family in families
        if len(family.kinds) == num_actions
    ]
    if not parts:
        return None
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    return Motions(tuple(part.families[0] for part in parts), **joined)


_COLUMNS = ("place", "heading_deg", "moved", "turned", "log_chance")


def _of_family(family: Family, share: float) -> Motions:
    """All motions of a family that is drawn with a chance."""
    grids = [[sizes[n] for n in range(sizes.count)] for sizes in family.sizes]
    amounts = np.array(list(product(*grids)))
    place = np.zeros(len(amounts), complex)
    heading, moved, turned = np.zeros((3, len(amounts)))
    for kind, amount in zip(family.kinds, amounts.T, strict=True):
        if kind.is_turn:
            heading, turned = heading + kind.sign * amount, turned + amount
        else:
            place = place + kind.sign * DIRECTIONS[kind.axis] * amount * np.exp(1j * np.radians(heading))
            moved = moved + amount
    log_chance = np.full(len(amounts), np.log(share / len(amounts)))
    return Motions(((family, len(amounts)),), place, heading, moved, turned, log_chance)


def best_actions(measured: Measured, among: Motions, known: Known) -> tuple[ActionSequence, float] | None:
    """Return the motion whose `exact` score is the highest on average, and the chance that it scores at all.

    None if no motion ends near.

    Args:
        among: what may be asked about.
        known: what the question says of the motion: "move" and "turn" leave those alone.
    """
    off = _off(measured, among)
    off = np.where(_fits(among, known), off, np.inf)
    if not len(off) or off.min() > _FAR:
        return None
    log_chance = among.log_chance - off
    likeliest = np.argsort(-log_chance, kind="stable")[:_WEIGHED]
    weight = np.exp(log_chance[likeliest] - log_chance[likeliest[0]])
    weight /= weight.sum()
    score = among.score(likeliest[:_TRIED], likeliest)
    best = int((score @ weight).argmax())
    return among[int(likeliest[best])], float(weight[score[best] > 0].sum())


def _off(measured: Measured, among: Motions) -> Float64[NDArray, " n"]:
    """How far each ends from the pose, in mean errors."""
    way = measured.place / abs(measured.place) if measured.place else 1
    miss = (among.place - measured.place) * np.conj(way)
    turn = np.abs(_wrapped(among.heading_deg - measured.heading_deg))
    return np.abs(miss.real) / measured.along + np.abs(miss.imag) / measured.aside + turn / measured.turn_deg


def _fits(among: Motions, known: Known) -> Bool[NDArray, " n"]:
    return {"move": among.turned == 0, "turn": among.moved == 0}.get(known, np.full(len(among.place), True))
