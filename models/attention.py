"""Attention between the cells of pictures, and what it says of correspondence geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

OCTAVES = 5
"""Of the waves that a place is written in."""
MONOMIALS = 6
"""Of a ray's x and y up to degree two."""


class RayEncoding(nn.Module):
    """Where cells look, as vectors: sines and cosines of the slopes of their rays, which no intrinsics change."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(2 + 4 * OCTAVES, width)

    def forward(self, ray: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n width"]:
        """Encode rays with z = 1."""
        xy = ray[..., :2]
        waves = torch.cat([xy * math.pi / 2 * 2**octave for octave in range(OCTAVES)], -1)
        return self.mix(torch.cat([xy, waves.sin(), waves.cos()], -1))


class Block(nn.Module):
    """A transformer layer, normalised first: attention to some cells, then a small network for each.

    With `other` it looks at another picture (cross-attention), else at its own.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_from, self.norm_to, self.norm_net = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key_value, self.out = (nn.Linear(width, n) for n in (width, 2 * width, width))
        self.net = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(
        self, x: Float[Tensor, "b n width"], other: Float[Tensor, "b m width"] | None = None
    ) -> Float[Tensor, "b n width"]:
        """Update the cells x."""
        looked_at = self.norm_to(x if other is None else other)
        q = self._split(self.query(self.norm_from(x)))
        k, v = map(self._split, self.key_value(looked_at).chunk(2, -1))
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.net(self.norm_net(x))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@dataclass(frozen=True, eq=False)
class Matching:
    """Which cells of two pictures show the same, softly.

    Args:
        moments: of the two rays of each match, for each head: what the eight-point algorithm is made of, and more.
        ray_b: where in b the cells of a are seen, x and y at z = 1: the mean over the matches.
        seen: logit of whether a cell of a is seen in b at all.
    """

    moments: Float[Tensor, "b heads moments"]
    ray_b: Float[Tensor, "b n 2"]
    seen: Float[Tensor, "b n"]


class EightPoint(nn.Module):
    """Matches by attention, summed up as the eight-point algorithm sums them up.

    An essential matrix is found from sums over matches of products of both rays' coordinates. Rockwell, Johnson and
    Fouhey, "The 8-point algorithm as an inductive bias for relative pose prediction by ViTs" (3DV 2022), let attention
    A make such sums, Phi_a^T A Phi_b, of the rays' monomials up to degree two. Here cells that are not seen in the
    other picture may attend to nothing instead.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.nothing = nn.Linear(width, heads)

    def forward(
        self,
        a: Float[Tensor, "b n width"],
        b: Float[Tensor, "b m width"],
        ray_a: Float[Tensor, "b n 3"],
        ray_b: Float[Tensor, "b m 3"],
    ) -> Matching:
        """Match the cells of a with those of b; the rays have z = 1."""
        q, k = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.query(a), self.key(b)))
        logits = q @ k.mT / math.sqrt(q.shape[-1])
        nothing = self.nothing(a).mT
        weight = torch.cat([logits, nothing[..., None]], -1).softmax(-1)[..., :-1]
        moments = _monomials(ray_a)[:, None].mT @ weight @ _monomials(ray_b)[:, None] / a.shape[1]
        best = logits.mean(1)
        where = best.softmax(-1) @ ray_b[..., :2]
        return Matching(moments.flatten(2), where, best.logsumexp(-1) - nothing.mean(1))


def _monomials(ray: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 6"]:
    x, y, one = ray.unbind(-1)
    return torch.stack([one, x, y, x * x, x * y, y * y], -1)
