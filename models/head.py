"""The geometry head: what geometry cannot know of two views, with uncertainties; all answers are computed from it.

It tells the relative pose of two views, the distance of what is seen in one, and how far and how thick an object in a
box is. One view is looked at alone, so that questions about one picture have what they need.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geom import so3
from geom.se3 import SE3
from models.attention import MONOMIALS, EightPoint, Matching
from models.trunk import Look, Trunk, net, sd_of

LEAST_M = 0.05
"""Moves up to this are none: their direction is not learned, and their length is taken to be this."""


@dataclass(frozen=True, eq=False)
class Motion:
    """The relative pose of two views. Standard deviations are those of Laplace's law: the mean size of errors.

    Args:
        T_a_b: pose of b in a, metres.
        direction: of its translation, also where there is next to none.
        log_length: natural logarithm of metres, LEAST_M or more.
        rotation_sd, direction_sd: radians.
        log_length_sd: of log_length.
        matching: of a's cells with b's.
    """

    T_a_b: SE3
    direction: Float[Tensor, "b 3"]
    log_length: Float[Tensor, " b"]
    rotation_sd: Float[Tensor, " b"]
    direction_sd: Float[Tensor, " b"]
    log_length_sd: Float[Tensor, " b"]
    matching: Matching


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

    def __init__(self, channels: int, width: int = 128, heads: int = 4, blocks: int = 2, cross_blocks: int = 2) -> None:
        super().__init__(channels, width, heads, blocks, cross_blocks)
        self.match = EightPoint(width, heads)
        self.pose = net(2 * MONOMIALS**2 * heads + 2 * width, 2 * width, 6 + 3 + 1 + 3)
        self.object = net(4 * width, width, 6)

    def relate(self, a: Look, b: Look) -> Motion:
        """Tell the relative pose. The other way round it is the inverse, by construction.

        Each direction is told by itself, and the two are averaged in a way that inversion passes through.
        """
        cells_a, cells_b = self.compare(a, b)
        there = self.match(cells_a, cells_b, a.rays, b.rays)
        back = self.match(cells_b, cells_a, b.rays, a.rays)
        moments = [one.moments.flatten(1) for one in (there, back)]
        means = [cells.mean(1) for cells in (cells_a, cells_b)]
        ahead, behind = (self.pose(torch.cat([*moments[::way], *means[::way]], -1)).float() for way in (1, -1))
        return _averaged(ahead, behind, there)

    def extents(self, look: Look, box: Float[Tensor, "b n 4"]) -> Extent:
        """Tell how far and thick the objects in boxes are.

        Args:
            box: x1, y1, x2, y2 as shares of the picture's width and height.
        """
        shown, log_z = self.boxed(look, box)
        told = self.object(shown).float()
        z = (log_z.median(-1).values + told[..., 0]).exp()
        return Extent(z, z * (told[..., 1] - 2).exp(), nn.functional.softplus(told[..., 2:] - 2))


def _averaged(there: Float[Tensor, "b 13"], back: Float[Tensor, "b 13"], matching: Matching) -> Motion:
    """The motion of which one half was told from a to b, and the other from b to a."""
    upright = there.new_tensor([1.0, 0, 0, 0, 1, 0])
    R_there, R_back = (so3.from_six(one[:, :6] + upright) for one in (there, back))
    R = so3.midpoint(R_there, R_back.mT)
    ahead, behind = (nn.functional.normalize(one[:, 6:9], dim=-1) for one in (there, back))
    direction = nn.functional.normalize(ahead - (R @ behind[..., None])[..., 0], dim=-1)
    log_length = (there[:, 9] + back[:, 9]) / 2
    length = log_length.exp().where(log_length.exp() > 1.5 * LEAST_M, 0.0)
    turn_sd, way_sd, length_sd = sd_of((there[:, 10:] + back[:, 10:]) / 2).unbind(-1)
    return Motion(SE3(R, direction * length[:, None]), direction, log_length, turn_sd, way_sd, length_sd, matching)
