"""The depthwarp teacher: a photograph seen from near by, and what can honestly be said about its objects there.

The world frame is the photo camera's: x right, y down, z forward, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter
from torch import Tensor

from geom.actions import ActionKind, ActionSequence
from geom.boxes import clip_box
from geom.camera import PinholeCamera
from geom.se3 import SE3
from geom.splat import forward_warp
from geom.visibility import Partition, in_view, partition
from synth.photo import Photo
from synth.presets import PHOTO_PRESET_NAME, Family, Preset, Sizes
from synth.transition import UNKNOWN, View

HOLE_COLOUR = (255, 0, 255)
"""What a pixel shows that nothing is known about: magenta, which the photograph does not contain."""

MAX_HOLES = 0.35
"""A view with a larger share of holes is no use for a question."""

MAX_PARALLAX = 0.1
"""Radians by which the line of sight to an object may turn before its unseen side could matter (5.7 degrees)."""

MAX_UNKNOWN = 0.02
"""Share of an object's lines of sight that may run through space that nobody has measured."""

Z_TOLERANCE = 0.01
"""Relative: a surface this much nearer than a point hides it; less is the step of one pixel on a slanted surface."""

_SHADOW_TOLERANCE = 0.02
_SHADOW_FILL_PX = 7
_SIGHT_STEPS = 24
_MAX_POINTS = 4000
_KEPT_VIEWS = 4
_FREE_SHARE_OF_NEAREST = 0.9


def warp_photo(photo: Photo, T_world_cam: SE3, camera: PinholeCamera | None = None) -> View:
    """Return what a camera at another pose sees of a photograph; holes are HOLE_COLOUR, NaN and UNKNOWN.

    A turn in place needs no depth: there the picture also shows the pixels whose depth is unknown, and standing still
    it is the photograph itself, though their z_depth and item stay unknown.

    Args:
        photo: after a move, its pixels without depth are drawn nowhere.
        T_world_cam: pose of the camera in the photo camera's frame, float64.
        camera: intrinsics; the photo camera's own unless given.
    """
    camera, T_cam_world = camera or photo.camera, T_world_cam.inverse()
    image = torch.from_numpy(photo.image).movedim(-1, 0)
    item_idx, z_depth = torch.from_numpy(photo.item_idx), torch.from_numpy(photo.z_depth)
    warped = forward_warp(image, z_depth, photo.camera, T_cam_world, camera, extra=item_idx)
    assert warped.extra is not None
    ids = torch.where(warped.is_hole, UNKNOWN, warped.extra).to(torch.int16)
    shown = warped
    if not bool(T_world_cam.t.any()):
        shown = forward_warp(image, torch.ones_like(z_depth), photo.camera, T_cam_world, camera)
    colour = shown.image.movedim(0, -1).numpy()
    picture = np.where(shown.is_hole[..., None].numpy(), np.array(HOLE_COLOUR, np.uint8), colour)
    return View(warped.z_depth.numpy(), ids.numpy(), picture)


def hole_share(view: View) -> float:
    """Return the share of the picture that shows HOLE_COLOUR.

    Raises:
        ValueError: if the view has no picture.
    """
    if view.image is None:
        raise ValueError("a view needs its picture for holes to be counted, got none; was it made for labels only?")
    return float((view.image == HOLE_COLOUR).all(-1).mean())


@dataclass(frozen=True)
class LiftedObject:
    """The visible side of an object: its pixels as small squares in space, facing the photo camera."""

    item_id: str
    kind: str
    points: Float[Tensor, "n 3"]
    """Centres, photo camera frame, metres."""
    half_width: Float[Tensor, " n"]
    """Half a side of each square, metres."""
    solid_angle: Float[Tensor, " n"]
    """Steradians that each covers, seen from the photo camera."""

    def corners(self) -> Float[Tensor, "m 3"]:
        """Return the corners of all squares."""
        signs = torch.tensor([(*s, 0) for s in product((-1, 1), repeat=2)], dtype=self.points.dtype)
        return (self.points[:, None] + signs * self.half_width[:, None, None]).reshape(-1, 3)

    def thinned(self, most: int) -> LiftedObject:
        """Return every k-th square, such that at most `most` are left."""
        step = slice(None, None, -(-len(self.points) // most))
        return replace(
            self, points=self.points[step], half_width=self.half_width[step], solid_angle=self.solid_angle[step]
        )

    def solid_angle_from(self, center: Float[Tensor, " 3"]) -> Float[Tensor, " n"]:
        """Return the steradians from another place, as if each square faced it: they shrink with squared distance."""
        distance = (self.points - center).square().sum(-1)
        return self.solid_angle * self.points.square().sum(-1) / distance


def lift_objects(photo: Photo) -> tuple[LiftedObject, ...]:
    """Return the visible side of every object of a photograph, in order."""
    centers = photo.camera.pixel_centers()
    z_depth = torch.from_numpy(photo.z_depth).double()
    points, owner = photo.camera.unproject(centers, z_depth), torch.from_numpy(photo.item_idx)
    focal = photo.camera.focal.mean()
    # A pixel covers cos^3 / f^2 steradians, where cos = z / distance.
    angle = (z_depth / points.norm(dim=-1)) ** 3 / focal**2
    return tuple(
        LiftedObject(item.item_id, item.kind, points[own], z_depth[own] / focal / 2, angle[own])
        for item, own in ((item, owner == i) for i, item in enumerate(photo.objects))
    )


def photo_box(
    lifted: LiftedObject, T_cam_world: SE3, camera: PinholeCamera
) -> tuple[Float[Tensor, " 4"], Bool[Tensor, ""]]:
    """Return the image box (x1, y1, x2, y2) of an object's visible side, clipped at the image, in pixels.

    Each source pixel counts with its corners, not only its centre. What lies behind the camera is left out.

    Returns:
        box: NaN where nothing lies in front.
        valid: True where some of it lies in the image.
    """
    uv, in_front = camera.project(T_cam_world.act(lifted.corners()))
    uv = uv[in_front]
    if len(uv) == 0:
        return uv.new_full((4,), torch.nan), torch.tensor(False)
    return clip_box(torch.cat([uv.amin(0), uv.amax(0)]), camera.width, camera.height)


def parallax(lifted: LiftedObject, center: Float[Tensor, " 3"]) -> float:
    """Return the largest angle, radians, by which the line of sight to a point of the object turns.

    Args:
        center: the second camera's centre in the photo camera's frame, metres.
    """
    old, new = lifted.points, lifted.points - center
    return float(torch.atan2(torch.linalg.cross(old, new).norm(dim=-1), (old * new).sum(-1)).max())


class FreeSpace:
    """Which space a photograph has shown to be empty: between its camera and the surface in each pixel.

    Space nearer than 0.9 of the least measured z_depth is taken to be empty too, also beside the picture: that is
    where the photographer stood and where the camera moves. Everything else that was outside the picture or behind a
    surface is unknown. A pixel without depth counts as the nearest surface within 3 pixels, or else as unknown.
    Behind a surface the first 2 % of its z_depth are not told from the surface itself.
    """

    def __init__(self, photo: Photo) -> None:
        self.camera = photo.camera
        filled = np.where(np.isnan(photo.z_depth), np.inf, photo.z_depth)
        nearest = minimum_filter(filled, _SHADOW_FILL_PX, mode="nearest")
        z_free = np.where(np.isnan(photo.z_depth), nearest, photo.z_depth)
        self.z_free = torch.from_numpy(np.where(np.isfinite(z_free), z_free, 0)).double()
        self.z_always = _FREE_SHARE_OF_NEAREST * float(np.nanmin(photo.z_depth))

    def is_free(self, p_world: Float[Tensor, "*n 3"]) -> Bool[Tensor, "*n"]:
        """Return which points lie in space that is known to be empty."""
        uv, in_front = self.camera.project(p_world)
        seen = in_front & (uv >= 0).all(-1) & (uv[..., 0] < self.camera.width) & (uv[..., 1] < self.camera.height)
        col, row = uv.where(seen[..., None], 0).long().unbind(-1)
        before_surface = p_world[..., 2] <= self.z_free[row, col] * (1 + _SHADOW_TOLERANCE)
        return (p_world[..., 2] < self.z_always) | (seen & before_surface)

    def sees(self, p_world: Float[Tensor, "n 3"], center: Float[Tensor, " 3"]) -> Bool[Tensor, " n"]:
        """Return which points are joined to a camera centre by a line through empty space only (24 samples)."""
        along = (torch.arange(_SIGHT_STEPS, dtype=p_world.dtype) + 0.5) / _SIGHT_STEPS
        return self.is_free(center + along[:, None, None] * (p_world - center)).all(0)


class PhotoEvidence:
    """Evidence of a photograph's objects from places near its camera, in the photo camera's frame.

    Only the side that faced the photo camera is known, so a box is exact for that side. An object no deeper than it
    is wide sticks out of it by less than the parallax angle times its own width, so with at most MAX_PARALLAX = 0.1
    the box of the whole object overlaps the given one by at least 0.9 (intersection over union) in its width. Boxes
    are given only of objects that are complete in the photograph, at no more parallax than that, and where at most
    MAX_UNKNOWN of their lines of sight run through space that the photograph does not show to be empty (`FreeSpace`):
    elsewhere something never seen might stand in between. Turns in place keep all this exactly.
    """

    def __init__(self, photo: Photo) -> None:
        self.photo = photo
        self.item_ids = tuple(item.item_id for item in photo.objects)
        self.kinds = tuple(item.kind for item in photo.objects)
        self._views: dict[tuple[bytes, bytes, int, int], View] = {}
        self._partitions: dict[tuple[int, bytes, bytes], Partition | None] = {}

    @cached_property
    def lifted(self) -> tuple[LiftedObject, ...]:
        """The objects' visible sides."""
        return lift_objects(self.photo)

    @cached_property
    def free_space(self) -> FreeSpace:
        """The space that the photograph shows to be empty."""
        return FreeSpace(self.photo)

    def boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        """Boxes of the items' visible sides, pixels, clipped; NaN out of view or where not known. (items, 4)"""
        boxes = np.full((len(self.kinds), 4), np.nan)
        for i, item in enumerate(self.photo.objects):
            box, valid = photo_box(self.lifted[i], T_world_cam.inverse(), camera)
            if bool(valid) and item.complete and self.is_known(i, T_world_cam, camera):
                boxes[i] = box.numpy()
        return boxes

    def is_known(self, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> bool:
        """Whether an item's unseen side and the unseen space before it are too small to matter from a pose."""
        if parallax(self.lifted[item_idx], T_world_cam.t) > MAX_PARALLAX:
            return False
        return self.partition(item_idx, T_world_cam, camera) is not None

    def partition(self, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> Partition | None:
        """Shares of an item's visible side; None where more than MAX_UNKNOWN of it may be hidden by what was not seen.

        A point is hidden where the whole photograph, warped into this camera, shows another object or the room nearer
        by more than Z_TOLERANCE. A point that its own object hides counts as visible, as a part of the silhouette.
        """
        key = (item_idx, *_key(T_world_cam, camera))
        if key not in self._partitions:
            self._partitions[key] = self._partition(item_idx, T_world_cam, camera)
        return self._partitions[key]

    def _partition(self, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> Partition | None:
        lifted = self.lifted[item_idx].thinned(_MAX_POINTS)
        p_cam, weight = T_world_cam.inverse().act(lifted.points), lifted.solid_angle_from(T_world_cam.t)
        first = self._first_item(p_cam, item_idx, T_world_cam, camera)
        visible = in_view(p_cam, camera)[1] & (first == item_idx)
        doubtful = ~self.free_space.sees(lifted.points[visible], T_world_cam.t)
        if float(weight[visible][doubtful].sum() / weight.sum()) > MAX_UNKNOWN:
            return None
        return partition(p_cam, weight, first, item_idx, camera)

    def _first_item(self, p_cam: Tensor, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> Tensor:
        """Return what is met first on the way to points of an item: another item_idx, ROOM, or the item itself."""
        view = self.view(T_world_cam, camera)
        inside = in_view(p_cam, camera)[1]
        uv = camera.project(p_cam)[0].where(inside[:, None], 0).long()
        col, row = uv[:, 0].clamp_max(camera.width - 1), uv[:, 1].clamp_max(camera.height - 1)
        z_front, owner = (torch.from_numpy(layer)[row, col] for layer in (view.z_depth, view.item_idx))
        is_hidden = inside & (owner != item_idx) & (p_cam[:, 2] > z_front * (1 + Z_TOLERANCE))
        return torch.where(is_hidden, owner.long(), item_idx)

    def view(self, T_world_cam: SE3, camera: PinholeCamera) -> View:
        """Return the whole photograph from a pose; the last few are kept, as one pose is asked about many times."""
        key = (*_key(T_world_cam, camera), camera.width, camera.height)
        if key not in self._views:
            self._views = dict([*self._views.items()][1 - _KEPT_VIEWS :])
            self._views[key] = warp_photo(self.photo, T_world_cam, camera)
        return self._views[key]

    def is_seen(self, p_world: Tensor, T_world_cam: SE3) -> NDArray[np.bool_]:
        """Whether nothing stands between a camera centre and each point of a surface. (n, 3) -> (n,)"""
        return self.free_space.sees(p_world, T_world_cam.t).numpy()


def _key(T_world_cam: SE3, camera: PinholeCamera) -> tuple[bytes, bytes]:
    return T_world_cam.matrix().numpy().tobytes(), camera.K.numpy().tobytes()


def _photo_preset() -> Preset:
    """Every direction of one and of two actions, one grid for all moves, small enough to keep geometry known."""
    grids = {"z": Sizes(0.1, 0.6, 0.1), "x": Sizes(0.1, 0.6, 0.1), "turn": Sizes(5.0, 15.0, 5.0)}
    words = [(a,) for a in grids] + [(a, b) for a, b in product(grids, repeat=2) if a != b]
    families: dict[int, list[Family]] = {1: [], 2: []}
    for word in words:
        for signs in product((1, -1), repeat=len(word)):
            kinds = tuple(map(ActionKind.of, word, signs))
            families[len(word)].append(Family(kinds, tuple(grids[k.axis] for k in kinds)))
    return Preset(PHOTO_PRESET_NAME, tuple(families[1]), tuple(families[2]))


PHOTO_PRESET = _photo_preset()
"""Moves of 0.1 to 0.6 m, turns of 5 to 15 degrees, alone or two in a row; left and right alike."""


def photo_transitions(rng: np.random.Generator, n: int) -> list[ActionSequence]:
    """Draw motions from PHOTO_PRESET, one or two actions with equal chance.

    Not every one is of use: views with more than MAX_HOLES are the caller's to leave out, and to count.

    >>> [m.text() for m in photo_transitions(np.random.default_rng(0), 2)]
    ['move backward 0.4 meters; turn right 5 degrees', 'move forward 0.2 meters']
    """
    kinds = ("single", "multi")
    return [PHOTO_PRESET.sample(rng, kinds[int(rng.integers(2))])[1] for _ in range(n)]
