"""The geometry head: what geometry cannot know of two views, with uncertainties; all answers are computed from it.

It tells where a place of one view is seen in the other, the distance of what is seen in one, and how far and how thick
an object in a box is. The relative pose of two views is computed from the matches and the distances; what the head
expects of it at first sight only helps where these leave it open. One view is looked at alone, so that questions about
one picture have what they need.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geom import so3
from geom.resection import Resection, Sightings, align, energy, resect
from geom.se3 import SE3
from models.precision import exact
from models.trunk import Compared, Known, Look, Trunk, net, sightings

LEAST_M = 0.05
"""Moves up to this are none: their direction is not learned, and their length is taken to be this."""
_USUAL_WEIGHT = 12.0
"""1 / variance (m^2 or rad^2) of what departs from the pose that is expected at first sight."""
_LEVEL, _STILL = (0.0, 1e3, 0.0, 1e3, 0.0, 1e3), 1e5
_HELD = {
    "nothing": torch.zeros(6),
    "level": torch.tensor(_LEVEL),
    "move": torch.tensor([*_LEVEL[:3], _STILL, _STILL, _STILL]),
    "turn": torch.tensor([_STILL, _STILL, _STILL, *_LEVEL[3:]]),
}
"""By what is known of a motion, how much its parts are held to nothing: level ones to 3 cm and 2 degrees."""
_ROBUST_PLACES = 2.0
"""Places by which a match may be off until it counts for a quarter."""


_Way = tuple[SE3, Tensor, Sightings, Sightings]


@dataclass(frozen=True, eq=False)
class Motion:
    """The relative pose of two views. Standard deviations are those of Laplace's law: the mean size of errors.

    Args:
        T_a_b: pose of b in a, metres.
        expected: the same at first sight, regressed.
        rotation_sd, direction_sd: radians; of the turn, and of where the translation points.
        log_length_sd: of the logarithm of its length, which is LEAST_M or more.
        compared: the two views.
        ways: what T_b_a and T_a_b were solved from: a prior pose, its weight, the places of one view as the other sees
            them, and the other's.
        robust: miss at z = 1 at which a place counts for a quarter.
    """

    T_a_b: SE3
    expected: SE3
    rotation_sd: Float[Tensor, " b"]
    direction_sd: Float[Tensor, " b"]
    log_length_sd: Float[Tensor, " b"]
    compared: Compared
    ways: tuple[_Way, _Way]
    robust: Float[Tensor, "b 1"]

    @exact
    def odds(self, T_a_b: SE3) -> Float[Tensor, " b"]:
        """By how much less likely another pose is than the one found: the ratio's logarithm, twice, about."""
        return _energy(T_a_b.inverse(), self.ways, self.robust) - _energy(self.T_a_b.inverse(), self.ways, self.robust)


@dataclass(frozen=True, eq=False)
class Extent:
    """Objects in boxes, each as an upright elliptic cylinder.

    Args:
        z: distance of its axis along the optical axis, metres.
        half_depth: half of its size away from the camera, metres.
        beyond: how far the object reaches over each side of its box, as shares of the box's size; left, top, right,
            bottom.
    """

    z: Float[Tensor, "b n"]
    half_depth: Float[Tensor, "b n"]
    beyond: Float[Tensor, "b n 4"]


class GeometryHead(Trunk):
    """See the module."""

    def __init__(
        self,
        channels: int,
        width: int = 128,
        heads: int = 4,
        blocks: int = 2,
        cross_blocks: int = 2,
        match_stride: int = 4,
    ) -> None:
        super().__init__(channels, width, heads, blocks, cross_blocks, match_stride)
        self.pose = net(self.summary_size, 2 * width, 9 + 6)
        self.object = net(4 * width, width, 6)
        self.log_sd, self.log_power = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(3.0).log())
        self.log_doubt = nn.Parameter(torch.full((3,), -1.0))

    def relate(self, a: Look, b: Look, known: Known = "nothing") -> Motion:
        """Tell the relative pose. The other way round it is the inverse, by construction.

        It is solved for in each direction, and the two are averaged in a way that inversion passes through.

        Args:
            known: of the motion; what it rules out is not looked for.
        """
        compared = self.compare(a, b)
        ahead, behind = (self.pose(one.summary()).float() for one in (compared, compared.reversed_()))
        return self._solved(a, b, compared, ahead, behind, _HELD[known])

    @exact
    def _solved(self, a: Look, b: Look, compared: Compared, ahead: Tensor, behind: Tensor, held: Tensor) -> Motion:
        """The motion, from what is told from a to b and from b to a: six numbers of a turn, a shift, six of trust."""
        expected = _between(pose_of(ahead[:, :9]), pose_of(behind[:, :9]).inverse())
        ahead_weight, back_weight = (_USUAL_WEIGHT * told[:, 9:].clamp(-4, 4).exp() for told in (ahead, behind))
        told = self.log_sd.exp(), self.log_power.exp()
        in_a, in_b = sightings(a, b, compared.there, *told), sightings(b, a, compared.back, *told)
        robust = _ROBUST_PLACES / a.places.focal[:, :1]
        ways = (expected.inverse(), back_weight, in_a, in_b), (expected, ahead_weight, in_b, in_a)
        start = _likelier(align(in_a, in_b), expected.inverse(), ways, robust)
        there, back = (
            resect(one, *way, robust=robust, held=held) for one, way in zip((start, start.inverse()), ways, strict=True)
        )
        T_a_b = _between(back.T_b_a, there.T_b_a.inverse())
        sds = (_sds(back) + _sds(there)) / 2 * self.log_doubt.exp()
        return Motion(T_a_b, expected, sds[:, 0], sds[:, 1], sds[:, 2], compared, ways, robust)

    def extents(self, look: Look, box: Float[Tensor, "b n 4"]) -> Extent:
        """Tell how far and thick the objects in boxes are.

        Args:
            box: x1, y1, x2, y2 as shares of the picture's width and height.
        """
        shown, log_z = self.boxed(look, box)
        told = self.object(shown).float()
        z = (log_z.median(-1).values + told[..., 0]).exp()
        return Extent(z, z * (told[..., 1] - 2).exp(), nn.functional.softplus(told[..., 2:] - 2))


def pose_of(told: Float[Tensor, "b 9"]) -> SE3:
    """A pose from any numbers; from zeros it is none."""
    return SE3(so3.from_six(told[:, :6] + told.new_tensor([1.0, 0, 0, 0, 1, 0])), told[:, 6:])


def _between(T: SE3, other: SE3) -> SE3:
    """Half-way between two poses; of their inverses it is the inverse."""
    R = so3.midpoint(T.R, other.R)
    back = [(R @ one.inverse().t[..., None])[..., 0] for one in (T, other)]
    return SE3(R, (T.t + other.t - back[0] - back[1]) / 4)


def _energy(T_b_a: SE3, ways: tuple[_Way, _Way], robust: Tensor) -> Float[Tensor, " b"]:
    """Of both directions: with the views swapped it is the same."""
    return (energy(T_b_a, *ways[0], robust=robust) + energy(T_b_a.inverse(), *ways[1], robust=robust)) / 2


def _likelier(T_b_a: SE3, other: SE3, ways: tuple[_Way, _Way], robust: Tensor) -> SE3:
    is_first = _energy(T_b_a, ways, robust) < _energy(other, ways, robust)
    R = T_b_a.R.where(is_first[:, None, None], other.R.detach())
    return SE3(R, T_b_a.t.where(is_first[:, None], other.t.detach()))


def _sds(found: Resection) -> Float[Tensor, "b 3"]:
    """Standard deviations of turn, direction and log-length, as the information has them."""
    T = found.T_b_a
    cov = torch.linalg.inv(found.information)
    # A motion (v, w) on the left of T moves its translation by v + w x t.
    by = torch.cat([torch.eye(3).expand_as(T.R).to(T.R), -so3.hat(T.t)], -1)
    cov_t = by @ cov @ by.mT
    length = T.t.norm(dim=-1).clamp_min(LEAST_M)
    ahead = T.t / length[:, None]
    along = torch.einsum("bi,bij,bj->b", ahead, cov_t, ahead)
    total, turned = (x.diagonal(dim1=-2, dim2=-1).sum(-1) for x in (cov_t, cov[:, 3:, 3:]))
    aside = (total - along).clamp_min(0)
    return torch.stack([turned, aside / length**2, along.clamp_min(0) / length**2], -1).clamp_min(1e-8).sqrt()
