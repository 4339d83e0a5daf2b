"""Which places of two pictures show the same: attention between descriptors, and what it sums up to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.features import ChannelNorm, ConvBlock
from models.precision import exact

MONOMIALS = 6
"""Of a ray's x and y up to degree two."""
_WIDTH = 48
_BLOCKS = 3
_NEIGHBOURS = 1.6
"""Places nearer than this to the likeliest one count as it, in places: itself and the eight around it."""


class Descriptors(nn.Module):
    """Describes each place of a picture by itself and what is around it, so that it is known again in another view.

    Unlike the cells of the features, places are small and know nothing of where they are.

    Args:
        stride: pixels along each side of a place, 4 or 8.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, _WIDTH // 2, 4, 2, padding=1),
            nn.GELU(),
            nn.Conv2d(_WIDTH // 2, _WIDTH, stride // 2, stride // 2),
            ChannelNorm(_WIDTH),
        )
        self.blocks = nn.Sequential(*(ConvBlock(_WIDTH, 2) for _ in range(_BLOCKS)))
        self.out = nn.Conv2d(_WIDTH, _WIDTH + 1, 1)

    def forward(self, image: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n channels gh gw"]:
        """Unit vectors, and in the last channel a logit of being seen in no other view."""
        pixels = (image.to(self.out.weight.dtype) - 127.5) / 64
        found = self.out(self.blocks(self.stem(pixels.contiguous(memory_format=torch.channels_last))))
        return torch.cat([nn.functional.normalize(found[:, :-1], dim=1), found[:, -1:]], 1)


@dataclass(frozen=True, eq=False)
class Matching:
    """Where the places of a picture are seen in another one.

    Args:
        log_share: logarithm of how likely a place of a is seen in each place of b. log_none: in none of them.
        ray: where in b, x and y at z = 1: the mean near the likeliest place.
        seen: how likely there.
        moments: of the two rays of each match.
    """

    log_share: Float[Tensor, "b n m"]
    log_none: Float[Tensor, "b n"]
    ray: Float[Tensor, "b n 2"]
    seen: Float[Tensor, "b n"]
    moments: Float[Tensor, "b moments"]


class Matcher(nn.Module):
    """Attends from the places of one view to those of another.

    An essential matrix is found from sums over matches of products of both rays' coordinates. Rockwell, Johnson and
    Fouhey, "The 8-point algorithm as an inductive bias for relative pose prediction by ViTs" (3DV 2022), let attention
    A make such sums, Phi_a^T A Phi_b, of the rays' monomials up to degree two. So do we; but here it is told what to
    attend to, and places that are not seen in the other picture attend to nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_sharpness = nn.Parameter(torch.tensor(2.3))

    @exact
    def forward(
        self,
        a: Float[Tensor, "b n channels"],
        b: Float[Tensor, "b m channels"],
        ray_a: Float[Tensor, "b n 3"],
        ray_b: Float[Tensor, "b m 3"],
        spacing: Float[Tensor, " b"],
    ) -> Matching:
        """Match the places of a with those of b.

        Args:
            ray_a, ray_b: with z = 1.
            spacing: of the places in b, at z = 1.
        """
        a, b = a.float(), b.float()
        logits, none = a[..., :-1] @ b[..., :-1].mT * self.log_sharpness.exp(), a[..., -1]
        total = torch.logaddexp(logits.logsumexp(-1), none)
        log_share = logits - total[..., None]
        share = log_share.exp()
        moments = _monomials(ray_a).mT @ share @ _monomials(ray_b) / a.shape[1]
        # The mean over all places would lie between two that are alike.
        likeliest = ray_b[..., :2].gather(1, share.argmax(-1)[..., None].expand(-1, -1, 2))
        share = share * (torch.cdist(likeliest, ray_b[..., :2]) < _NEIGHBOURS * spacing[:, None, None])
        seen = share.sum(-1)
        ray = share @ ray_b[..., :2] / seen[..., None].clamp_min(1e-6)
        return Matching(log_share, none - total, ray, seen, moments.flatten(1))


def _monomials(ray: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 6"]:
    x, y, one = ray.unbind(-1)
    return torch.stack([one, x, y, x * x, x * y, y * y], -1)
