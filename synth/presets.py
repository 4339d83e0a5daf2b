"""Which motions are asked about: the public trajectory configs, and our own set, whose text tells nothing.

A preset is a uniform choice of family (a list of kinds, each with its grid of sizes), then uniform sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

import numpy as np

from geom.actions import Action, ActionKind, ActionSequence

PHOTO_PRESET_NAME = "photo"
"""Of the small motions around a photograph (`synth.depthwarp`)."""

SIZE_TOLERANCE = 1e-6
"""How near a size must be to its grid to count as on it, metres or degrees."""

_HY_GRID_M, _HY_GRID_DEG = 0.1, 10.0


@dataclass(frozen=True)
class Sizes:
    """The sizes an action may have: least, least + unit, ..., most (metres or degrees)."""

    least: float
    most: float
    unit: float

    @property
    def count(self) -> int:
        """How many sizes there are."""
        return round((self.most - self.least) / self.unit) + 1

    def __getitem__(self, index: int) -> float:
        return round(self.least + index * self.unit, 6)

    def index(self, amount: float) -> int | None:
        """Return the place of a size on the grid, or None if it is not there."""
        place = round((amount - self.least) / self.unit)
        is_there = 0 <= place < self.count and abs(self[place] - amount) <= SIZE_TOLERANCE
        return place if is_there else None


def sample_magnitude(rng: np.random.Generator, least: float, most: float, unit: float) -> float:
    """Draw a size as the public SVC sampler does: least + k unit, k uniform, both ends included.

    >>> sample_magnitude(np.random.default_rng(0), 0.1, 6.0, 0.1)
    5.2
    """
    sizes = Sizes(least, most, unit)
    return sizes[int(rng.integers(0, sizes.count))]


def quantise_hy(kind: ActionKind, amount: float) -> float:
    """Round a size half up to the HY grid, 0.1 m or 10 degrees; the sign is dropped, as there. May be 0.

    >>> quantise_hy(ActionKind.FORWARD, 0.25), quantise_hy(ActionKind.TURN_LEFT, 24.99)
    (0.3, 20.0)
    """
    unit = _HY_GRID_DEG if kind.is_turn else _HY_GRID_M
    # The small term lifts 0.15 / 0.1, which is 1.4999..., to the half that is meant.
    return round(math.floor(abs(amount) / unit + 0.5 + 1e-12) * unit, 6)


@dataclass(frozen=True)
class Family:
    """Motions that differ in their sizes only."""

    kinds: tuple[ActionKind, ...]
    sizes: tuple[Sizes, ...]
    weight: float = 1.0
    """Relative probability within its list of families."""

    @property
    def name(self) -> str:
        """`turn_right_then_forward`."""
        return "_then_".join(kind.value for kind in self.kinds)

    def sample(self, rng: np.random.Generator) -> ActionSequence:
        """Draw every size uniformly, in order."""
        amounts = (sample_magnitude(rng, s.least, s.most, s.unit) for s in self.sizes)
        return ActionSequence(tuple(Action(k, a) for k, a in zip(self.kinds, amounts, strict=True)))

    def contains(self, actions: ActionSequence) -> bool:
        """Return whether a sequence is of these kinds and its sizes are on the grids."""
        if tuple(a.kind for a in actions) != self.kinds:
            return False
        return all(s.index(a.amount) is not None for a, s in zip(actions, self.sizes, strict=True))


@dataclass(frozen=True)
class Preset:
    """A distribution of motions.

    False claims about a motion come from `propose`, which picks one of four ways with equal chance: one
    direction flipped; one size replaced by another of its grid, larger or smaller; the order reversed; one
    move's axis changed (ahead to sideways or back, with a random sign). A way that a motion does not have is
    replaced by a new size: a single action, axes that read the same in both orders, and two moves without a
    turn (whose order nobody can see) have no other order; a turn, and a move beside a move, no other axis.

    Each way is symmetric: from B it leads back to A with the probability with which it led from A to B, and
    what replaces what is the same for both. So with truths uniform on a support that no way leaves
    (`theodolite`, within one number of actions), the pairs (A, B) and (B, A) are equally likely: a claim's
    text says nothing about whether it is true. Where a proposal can be refused (it shows too little
    difference, the room is too small for it) this holds only if the refusal does not depend on which of the
    two is the truth, and if a motion whose one proposal is refused is asked neither way. Drawing again until
    one is accepted favours, slightly, claims that have many acceptable neighbours.
    """

    name: str
    single: tuple[Family, ...]
    multi: tuple[Family, ...]
    """No two families of a preset have the same kinds."""

    def families(self, kind: str) -> tuple[Family, ...]:
        """Return the families of `single` or `multi` motions.

        Raises:
            ValueError: if kind is another word.
        """
        if kind not in ("single", "multi"):
            raise ValueError(f"kind must be 'single' or 'multi', got {kind!r}")
        return self.single if kind == "single" else self.multi

    def sample(self, rng: np.random.Generator, kind: str = "single") -> tuple[str, ActionSequence]:
        """Draw a motion, and name its family."""
        families = self.families(kind)
        edges = np.cumsum([f.weight for f in families])
        family = families[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
        return family.name, family.sample(rng)

    def clips(self, rng: np.random.Generator) -> tuple[tuple[str, ActionSequence], ...]:
        """Draw one motion of every family, as the public pipelines do for each scene, in their order."""
        return tuple((family.name, family.sample(rng)) for family in self.single + self.multi)

    def contains(self, actions: ActionSequence) -> bool:
        """Return whether a motion can be drawn; within one number of actions all are equally likely."""
        return self._family(actions) is not None

    def propose(self, actions: ActionSequence, rng: np.random.Generator) -> tuple[str, ActionSequence] | None:
        """Draw a false claim and its reason (`direction`, `size`, `order`, `axis`); None if out of support.

        Raises:
            ValueError: if the motion itself is not in the support.
        """
        if not self.contains(actions):
            raise ValueError(f"the motion must be in preset {self.name!r}, got {actions.text()!r}; was it rescaled?")
        reason = ("direction", "size", "order", "axis")[int(rng.integers(4))]
        if (reason == "order" and not _order_shows(actions)) or (reason == "axis" and not _axis_changes(actions)):
            reason = "size"
        claim = self._change(reason, actions, rng)
        return (reason, claim) if claim is not None and self.contains(claim) else None

    def neighbours(
        self, actions: ActionSequence, rng: np.random.Generator, *, max_draws: int = 1000
    ) -> Iterator[tuple[str, ActionSequence]]:
        """Yield independent draws of `propose`, without those that left the support; repeats are possible."""
        for _ in range(max_draws):
            proposal = self.propose(actions, rng)
            if proposal is not None:
                yield proposal

    @cached_property
    def _by_kinds(self) -> dict[tuple[ActionKind, ...], Family]:
        return {family.kinds: family for family in self.single + self.multi}

    def _family(self, actions: ActionSequence) -> Family | None:
        family = self._by_kinds.get(tuple(a.kind for a in actions))
        return family if family is not None and family.contains(actions) else None

    def _change(self, reason: str, actions: ActionSequence, rng: np.random.Generator) -> ActionSequence | None:
        if reason == "order":
            return ActionSequence(actions.actions[::-1])
        if reason == "axis":
            return _change_axis(actions, rng)
        place = int(rng.integers(len(actions)))
        if reason == "direction":
            return _replace(actions, place, actions[place].undone())
        return self._change_size(actions, place, rng)

    def _change_size(self, actions: ActionSequence, place: int, rng: np.random.Generator) -> ActionSequence | None:
        family = self._family(actions)
        if family is None or family.sizes[place].count < 2:
            return None
        sizes, action = family.sizes[place], actions[place]
        # One of the count - 1 others: step over the size that it has.
        other = (sizes.index(action.amount) or 0) + 1 + int(rng.integers(sizes.count - 1))
        return _replace(actions, place, Action(action.kind, sizes[other % sizes.count]))


def _replace(actions: ActionSequence, place: int, action: Action) -> ActionSequence:
    return ActionSequence((*actions.actions[:place], action, *actions.actions[place + 1 :]))


def _axes(actions: ActionSequence) -> tuple[str, ...]:
    return tuple(a.kind.axis for a in actions)


def _order_shows(actions: ActionSequence) -> bool:
    """Whether the reversed order is another pattern of axes, with another end."""
    axes = _axes(actions)
    return axes != axes[::-1] and "turn" in axes


def _axis_changes(actions: ActionSequence) -> bool:
    """Whether some move can change its axis, none of the moves standing beside another."""
    is_move = [not a.kind.is_turn for a in actions]
    return any(is_move) and not any(a and b for a, b in pairwise(is_move))


def _change_axis(actions: ActionSequence, rng: np.random.Generator) -> ActionSequence:
    moves = [i for i, a in enumerate(actions) if not a.kind.is_turn]
    place = moves[int(rng.integers(len(moves)))]
    axis = "x" if actions[place].kind.axis == "z" else "z"
    sign = 1 if rng.integers(2) else -1
    return _replace(actions, place, Action.of(axis, sign * actions[place].amount))


def _family(weight: float = 1.0, /, **sizes: tuple[float, float]) -> Family:
    """Return a family from `kind=(least, most)`, on the public grid of 0.1 m and 10 degrees."""
    kinds = tuple(ActionKind(name.rstrip("_")) for name in sizes)
    units = (10.0 if kind.is_turn else 0.1 for kind in kinds)
    grids = tuple(Sizes(*least_most, unit) for least_most, unit in zip(sizes.values(), units, strict=True))
    return Family(kinds, grids, weight)


def _all_single(move: tuple[float, float], turn: tuple[float, float], shift: tuple[float, float]) -> tuple[Family, ...]:
    """Return the six single actions in the public order."""
    of_axis = {"z": move, "x": shift, "turn": turn}
    return tuple(_family(**{kind.value: of_axis[kind.axis]}) for kind in ActionKind)


def _hy() -> Preset:
    fwd, turn, shift = (0.4, 0.8), (20.0, 40.0), (0.2, 0.6)
    multi = (
        _family(forward=fwd, turn_left=turn),
        _family(forward=fwd, turn_right=turn),
        _family(shift_left=shift, forward=fwd),
        _family(shift_right=shift, forward=fwd),
        _family(forward=fwd, turn_left=turn, forward_=fwd),
        _family(forward=fwd, turn_right=turn, forward_=fwd),
    )
    return Preset("hy", _all_single((0.2, 1.0), (10.0, 40.0), (0.2, 0.8)), multi)


def _theodolite() -> Preset:
    """Every direction of every pattern of axes, one grid for all: closed under mirror, order and sign."""
    grids = {"z": Sizes(0.2, 2.0, 0.1), "x": Sizes(0.2, 2.0, 0.1), "turn": Sizes(10.0, 90.0, 10.0)}
    multi = []
    for length in (2, 3):
        words = [w for w in product(grids, repeat=length) if all(a != b for a, b in pairwise(w))]
        # Three actions without a turn could be two: forward a, left b, forward c is forward a + c, left b.
        words = [w for w in words if length == 2 or "turn" in w]
        kinds = [tuple(map(ActionKind.of, w, signs)) for w in words for signs in product((1, -1), repeat=length)]
        multi += [Family(ks, tuple(grids[k.axis] for k in ks), 1 / len(kinds)) for ks in kinds]
    return Preset("theodolite", _all_single((0.2, 2.0), (10.0, 90.0), (0.2, 2.0)), tuple(multi))


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "svc",
            _all_single((0.3, 2.0), (10.0, 90.0), (0.3, 2.0)),
            (
                _family(forward=(0.5, 1.5), turn_left=(20.0, 60.0)),
                _family(turn_right=(20.0, 60.0), forward=(0.3, 1.0)),
                _family(shift_left=(0.3, 1.0), forward=(0.5, 1.5), turn_right=(20.0, 60.0)),
            ),
        ),
        Preset(
            "svc_teacher",
            _all_single((0.1, 6.0), (10.0, 100.0), (0.1, 6.0)),
            (
                _family(forward=(0.5, 3.5), turn_left=(20.0, 80.0)),
                _family(turn_right=(20.0, 80.0), forward=(0.3, 3.0)),
                _family(shift_left=(0.3, 3.0), forward=(0.5, 3.5), turn_right=(20.0, 60.0)),
            ),
        ),
        _hy(),
        _theodolite(),
    )
}
"""`svc`, `svc_teacher` and `hy` as published; `theodolite`, our default."""
