"""Attention between the cells of pictures."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

OCTAVES = 5
"""Of the waves that a place is written in."""


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
