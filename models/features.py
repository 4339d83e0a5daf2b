"""What is seen at each place of a picture: one interface for encoders that learn and towers that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

STRIDE = 8
COMPACT = "compact"


class Features(nn.Module):
    """Turns pictures into a raster of features.

    Cell (i, j) of a raster (gh, gw) stands for the area [j w/gw, (j+1) w/gw] x [i h/gh, (i+1) h/gh] of its picture
    (h, w), in pixels.
    """

    channels: int

    def forward(self, image: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n channels gh gw"]:
        """Features of sRGB pictures, each by itself: what else is in the batch does not matter."""
        raise NotImplementedError


class CompactEncoder(Features):
    """A small convolutional encoder, to be trained from scratch; a cell is 8 x 8 pixels.

    ConvNeXt blocks (arXiv 2201.03545) at strides 8 and 16, added as in a feature pyramid (arXiv 1612.03144). At stride
    16 a weight costs a quarter of the time and sees twice as far. The number of pictures in a batch and training or
    evaluation change nothing, for no layer looks at the batch.

    Args:
        channels: of the features, which have mean 0 and variance 1 in each cell at the start.
        width: channels inside, a multiple of 4; half as many more at stride 16.
        blocks: how many at stride 8 and at stride 16.

    Raises:
        ValueError: if a number is not positive, or the width no multiple of 4.
    """

    def __init__(self, channels: int = 128, width: int = 112, blocks: tuple[int, int] = (2, 4)) -> None:
        super().__init__()
        if min(channels, width, *blocks) < 1 or width % 4:
            raise ValueError(
                "channels, width and blocks must be positive and the width a multiple of 4,"
                f" got {channels}, {width} and {blocks}"
            )
        self.channels, wide = channels, width + width // 2
        # Kernels as wide as their stride, or wider by as much on both sides: cells lie where the interface says.
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 4, 4, 2, padding=1),
            nn.GELU(),
            nn.Conv2d(width // 4, width // 2, 2, 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 2, 2),
            ChannelNorm(width),
        )
        self.fine = nn.Sequential(*(ConvBlock(width) for _ in range(blocks[0])))
        self.down = nn.Sequential(ChannelNorm(width), nn.Conv2d(width, wide, 2, 2))
        self.coarse = nn.Sequential(*(ConvBlock(wide) for _ in range(blocks[1])))
        self.lateral = nn.Conv2d(wide, width, 1)
        self.out = nn.Sequential(nn.Conv2d(width, channels, 1), ChannelNorm(channels))
        self.apply(_keep_variance)
        for module in self.modules():
            if isinstance(module, ConvBlock):
                module.shrink(sum(blocks))

    def forward(self, image: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n channels gh gw"]:
        """Features of sRGB pictures, (n, channels, h / 8, w / 8).

        Raises:
            ValueError: if a side is no multiple of 8.
        """
        h, w = image.shape[-2:]
        if h % STRIDE or w % STRIDE or not h or not w:
            raise ValueError(
                f"sides of pictures must be multiples of {STRIDE} for the compact encoder, got {h} x {w} (height x"
                " width); make the pictures in such a size, or crop them"
            )
        # Grey is 0, and most pixels lie within -2 and 2.
        pixels = (image.to(self.lateral.weight.dtype) - 127.5) / 64
        fine = self.fine(self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        return self.out(fine + self._from_afar(fine))

    def _from_afar(self, fine: Float[Tensor, "n c gh gw"]) -> Float[Tensor, "n c gh gw"]:
        """What stride 16 has to say about each cell; where there are cells for half of one, the last are repeated."""
        gh, gw = fine.shape[-2:]
        even = nn.functional.pad(fine, (0, gw % 2, 0, gh % 2), mode="replicate")
        coarse = self.lateral(self.coarse(self.down(even)))
        return nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")[..., :gh, :gw]


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of each cell."""

    def forward(self, input: Float[Tensor, "n c gh gw"]) -> Float[Tensor, "n c gh gw"]:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    """Looks around with each channel by itself, then mixes the channels of each cell."""

    def __init__(self, width: int, widened: int = 4) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.widen = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, widened * width), nn.GELU())
        self.mix = nn.Linear(widened * width, width)

    def forward(self, x: Float[Tensor, "n c gh gw"]) -> Float[Tensor, "n c gh gw"]:
        around = self.around(x).permute(0, 2, 3, 1)
        return x + self.mix(self.widen(around)).permute(0, 3, 1, 2)

    def shrink(self, blocks: int) -> None:
        """Start so that all the blocks together add about as much as there was (GPT-2's rule)."""
        self.mix.weight.data /= blocks**0.5


def _keep_variance(module: nn.Module) -> None:
    """Start with weights that keep the variance of what they are given (LeCun)."""
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        nn.init.zeros_(module.bias)


def features_of(name_or_folder: str | Path, **options: Any) -> Features:
    """Features by their name: "compact" (`CompactEncoder`), or a local folder with a vision tower (`FrozenTower`).

    Raises:
        ImportError, ValueError: as these do, or if it is neither; nothing is ever downloaded.
    """
    if name_or_folder == COMPACT:
        return CompactEncoder(**options)
    from models.towers import FrozenTower

    if not Path(name_or_folder).is_dir():
        raise ValueError(
            f'features must be "{COMPACT}" or a local folder with a vision tower, got {str(name_or_folder)!r}, which is'
            " not there; nothing is downloaded"
        )
    return FrozenTower(Path(name_or_folder), **options)
