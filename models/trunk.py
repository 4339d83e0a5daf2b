"""What both models share: a look at one view by itself, and cells of two views that have looked at each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from geom.camera import PinholeCamera
from geom.resection import Sightings
from models.attention import Block, RayEncoding
from models.matching import MONOMIALS, Descriptors, Matcher, Matching

_USUAL_Z_M = 3.0
_SD_RANGE = math.log(1e-3), math.log(2.0)
_OF_MATCHES = 5
_SAMPLES = 4
"""Points each way at which a box is looked at."""


Known = Literal["nothing", "level", "move", "turn"]
"""Of a motion: it is level (along x and z and about y), and then only moves, or only turns."""


@dataclass(frozen=True, eq=False)
class Look:
    """One view by itself.

    Args:
        cells: what was understood of each cell, row by row.
        camera: with one pixel for each cell; of batch (b,).
        log_z, log_z_sd: natural logarithm of the z-depth in metres at the cells' centres, and its standard deviation.
        places: camera with one pixel for each place that can be matched; of batch (b,).
        descriptors: of the places, row by row.
    """

    cells: Float[Tensor, "b n width"]
    camera: PinholeCamera
    log_z: Float[Tensor, "b gh gw"]
    log_z_sd: Float[Tensor, "b gh gw"]
    places: PinholeCamera
    descriptors: Float[Tensor, "b places channels"]

    def z_at(self, ray: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n two"]:
        """log_z and its standard deviation where rays (x and y at z = 1) meet the picture."""
        size = ray.new_tensor([self.camera.width, self.camera.height])
        uv = ray * self.camera.focal[:, None] + self.camera.principal_point[:, None]
        both = torch.stack([self.log_z, self.log_z_sd], 1)
        return sampled(both, (uv / size * 2 - 1)[:, :, None])[:, :, 0]


@dataclass(frozen=True, eq=False)
class Compared:
    """Two views after they have looked at each other.

    Args:
        cells_a, cells_b: what was understood of each cell.
        there: where b shows the places of a. back: where a shows those of b.
    """

    cells_a: Float[Tensor, "b n width"]
    cells_b: Float[Tensor, "b n width"]
    there: Matching
    back: Matching

    def reversed_(self) -> Compared:
        """The same with a and b swapped."""
        return Compared(self.cells_b, self.cells_a, self.back, self.there)

    def summary(self) -> Float[Tensor, "b summary"]:
        """In so many numbers, whatever the size of the pictures."""
        cells = [fold for x in (self.cells_a, self.cells_b) for fold in (x.mean(1), x.amax(1))]
        return torch.cat([self.there.moments, self.back.moments, *cells], -1)


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
        match_stride: pixels along each side of a place that can be matched, 4 or 8.
    """

    def __init__(
        self, channels: int, width: int, heads: int, blocks: int, cross_blocks: int, match_stride: int
    ) -> None:
        super().__init__()
        self.enter, self.where = nn.Linear(channels, width), RayEncoding(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.distance = net(width, width, 2)
        self.describe, self.match = Descriptors(match_stride), Matcher()
        self.matched = nn.Linear(_OF_MATCHES, width)
        self.cross = nn.ModuleList(Block(width, heads) for _ in range(2 * cross_blocks))
        self.corners = RayEncoding(width)
        self.summary_size = 2 * MONOMIALS**2 + 4 * width

    def look(
        self, image: UInt8[Tensor, "b 3 h w"], features: Float[Tensor, "b channels gh gw"], camera: PinholeCamera
    ) -> Look:
        """Look at one view.

        Args:
            features: of the picture.
            camera: of the picture, batch (b,).
        """
        gh, gw = features.shape[-2:]
        own = camera.resize(gw, gh)
        cells = self.enter(features.flatten(2).mT) + self.where(rays_of(own))
        for block in self.blocks:
            cells = block(cells)
        log_z, log_sd = self.distance(cells).float().unflatten(1, (gh, gw)).unbind(-1)
        described = self.describe(image)
        places = camera.resize(described.shape[-1], described.shape[-2])
        return Look(cells, own, log_z + math.log(_USUAL_Z_M), sd_of(log_sd), places, described.flatten(2).mT)

    def compare(self, a: Look, b: Look) -> Compared:
        """Let two views look at each other; what is a and what is b makes no difference."""
        spacing = 1 / b.places.focal[..., 0]
        ray_a, ray_b = rays_of(a.places), rays_of(b.places)
        there = self.match(a.descriptors, b.descriptors, ray_a, ray_b, spacing)
        back = self.match(b.descriptors, a.descriptors, ray_b, ray_a, spacing)
        cells_a = a.cells + self.matched(_of_matches(a, b, there))
        cells_b = b.cells + self.matched(_of_matches(b, a, back))
        for own, cross in zip(self.cross[::2], self.cross[1::2], strict=True):
            cells_a, cells_b = own(cells_a), own(cells_b)
            cells_a, cells_b = cross(cells_a, cells_b), cross(cells_b, cells_a)
        return Compared(cells_a, cells_b, there, back)

    def boxed(
        self, look: Look, box: Float[Tensor, "b n 4"]
    ) -> tuple[Float[Tensor, "b n four_width"], Float[Tensor, "b n s"]]:
        """What a view shows in boxes, as one vector each, and log z at points spread over each.

        Args:
            box: x1, y1, x2, y2 as shares of the picture's width and height.
        """
        gh, gw = look.log_z.shape[-2:]
        steps = (torch.arange(_SAMPLES, device=box.device) + 0.5) / _SAMPLES
        # No product of matrices, which mixed precision would round.
        x, y = (torch.lerp(box[..., k, None], box[..., k + 2, None], steps) for k in (0, 1))
        grid = torch.stack(torch.broadcast_tensors(x[..., None, :], y[..., :, None]), -1).flatten(2, 3) * 2 - 1
        shown = sampled(look.cells.mT.unflatten(-1, (gh, gw)), grid)
        size = box.new_tensor([gw, gh])
        corner = self.corners(look.camera[..., None].rays(torch.cat([box[..., :2], box[..., 2:]], 1) * size))
        told = torch.cat([shown.mean(2), shown.amax(2), *corner.chunk(2, 1)], -1)
        return told, sampled(look.log_z[:, None], grid)[..., 0]


def _of_matches(a: Look, b: Look, matching: Matching) -> Float[Tensor, "b n five"]:
    """What matches tell each cell of a: how far they went, how far away things are here and there, how sure that is."""
    places, seen = a.places, matching.seen[..., None]
    log_z = [look.z_at(ray)[..., 0] for look, ray in ((a, rays_of(places)[..., :2]), (b, matching.ray))]
    rows = torch.cat([matching.ray - rays_of(places)[..., :2], torch.stack(log_z, -1)], -1)
    raster = torch.cat([rows * seen, seen], -1).mT.unflatten(-1, (places.height, places.width))
    return nn.functional.adaptive_avg_pool2d(raster, (a.camera.height, a.camera.width)).flatten(2).mT


def sightings(a: Look, b: Look, matching: Matching, sd: Float[Tensor, ""], power: Float[Tensor, ""]) -> Sightings:
    """The places of a, and where b shows them.

    Args:
        sd: of where a sure match is, in places.
        power: of how sure it is, by which its weight falls.
    """
    ray = rays_of(a.places)
    (log_z, own_sd), (log_z_b, other_sd) = (x.unbind(-1) for x in (a.z_at(ray[..., :2]), b.z_at(matching.ray)))
    sure = matching.seen.clamp_min(1e-4).pow(power)
    weight = sure * (a.places.focal[:, :1] / sd).square()
    return Sightings(
        ray * log_z.exp()[..., None], matching.ray, log_z_b, weight, sure / (own_sd.square() + other_sd.square())
    )


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
