"""What both models share: a look at one view by itself, and cells of two views that have looked at each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geom.camera import PinholeCamera
from models.attention import Block, RayEncoding

_USUAL_Z_M = 3.0
_SD_RANGE = math.log(1e-3), math.log(2.0)
_SAMPLES = 4
"""Points each way at which a box is looked at."""


@dataclass(frozen=True, eq=False)
class Look:
    """One view by itself.

    Args:
        cells: what was understood of each cell, row by row.
        camera: with one pixel for each cell; of batch (b,).
        log_z, log_z_sd: natural logarithm of the z-depth in metres at the cells' centres, and its standard deviation.
    """

    cells: Float[Tensor, "b n width"]
    camera: PinholeCamera
    log_z: Float[Tensor, "b gh gw"]
    log_z_sd: Float[Tensor, "b gh gw"]

    @property
    def rays(self) -> Float[Tensor, "b n 3"]:
        """Of the cells' centres, with z = 1."""
        return rays_of(self.camera)


def rays_of(camera: PinholeCamera) -> Float[Tensor, "b n 3"]:
    """Rays with z = 1 through the pixel centres of cameras of batch (b,), row by row."""
    return camera[..., None, None].rays(camera.pixel_centers()).flatten(1, 2)


class Trunk(nn.Module):
    """Looks at views.

    Args:
        channels: of the features.
        width: of everything inside.
        blocks: layers in which a view looks at itself.
        cross_blocks: layers in which two views look at each other.
    """

    def __init__(self, channels: int, width: int, heads: int, blocks: int, cross_blocks: int) -> None:
        super().__init__()
        self.enter, self.where = nn.Linear(channels, width), RayEncoding(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.distance = net(width, width, 2)
        self.cross = nn.ModuleList(Block(width, heads) for _ in range(2 * cross_blocks))
        self.corners = RayEncoding(width)

    def look(self, features: Float[Tensor, "b channels gh gw"], camera: PinholeCamera) -> Look:
        """Look at one view.

        Args:
            camera: of the pictures, batch (b,); of any size.
        """
        gh, gw = features.shape[-2:]
        own = camera.resize(gw, gh)
        cells = self.enter(features.flatten(2).mT) + self.where(rays_of(own))
        for block in self.blocks:
            cells = block(cells)
        log_z, log_sd = self.distance(cells).float().unflatten(1, (gh, gw)).unbind(-1)
        return Look(cells, own, log_z + math.log(_USUAL_Z_M), sd_of(log_sd))

    def compare(self, a: Look, b: Look) -> tuple[Float[Tensor, "b n width"], Float[Tensor, "b n width"]]:
        """The cells of two views after they have looked at each other; what is a and what is b makes no difference."""
        cells_a, cells_b = a.cells, b.cells
        for own, cross in zip(self.cross[::2], self.cross[1::2], strict=True):
            cells_a, cells_b = own(cells_a), own(cells_b)
            cells_a, cells_b = cross(cells_a, cells_b), cross(cells_b, cells_a)
        return cells_a, cells_b

    def boxed(
        self, look: Look, box: Float[Tensor, "b n 4"]
    ) -> tuple[Float[Tensor, "b n four_width"], Float[Tensor, "b n s"]]:
        """What a view shows in boxes, as one vector each, and log z at points spread over each.

        Args:
            box: x1, y1, x2, y2 as shares of the picture's width and height.
        """
        gh, gw = look.log_z.shape[-2:]
        steps = (torch.arange(_SAMPLES, device=box.device) + 0.5) / _SAMPLES
        x, y = (box[..., k::2] @ torch.stack([1 - steps, steps]) for k in (0, 1))
        grid = torch.stack(torch.broadcast_tensors(x[..., None, :], y[..., :, None]), -1).flatten(2, 3) * 2 - 1
        shown = sampled(look.cells.mT.unflatten(-1, (gh, gw)), grid)
        size = box.new_tensor([gw, gh])
        corner = self.corners(look.camera[..., None].rays(torch.cat([box[..., :2], box[..., 2:]], 1) * size))
        told = torch.cat([shown.mean(2), shown.amax(2), *corner.chunk(2, 1)], -1)
        return told, sampled(look.log_z[:, None], grid)[..., 0]


def net(inner: int, hidden: int, out: int) -> nn.Sequential:
    """A small network of one hidden layer."""
    return nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, hidden), nn.GELU(), nn.Linear(hidden, out))


def sd_of(told: Tensor) -> Tensor:
    """A standard deviation out of any number; no loss drives it to nothing."""
    low, high = _SD_RANGE
    return (low + (high - low) * torch.sigmoid(told + 2)).exp()


def sampled(raster: Float[Tensor, "b c gh gw"], grid: Float[Tensor, "b n s 2"]) -> Float[Tensor, "b n s c"]:
    """Between the cells' centres; -1 and 1 are the borders of the picture."""
    found = nn.functional.grid_sample(raster, grid.to(raster), padding_mode="border", align_corners=False)
    return found.permute(0, 2, 3, 1)
