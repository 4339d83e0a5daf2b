"""Which outlines of different frames are one object: told by their names, or else by geometry.

Outlines without a name are lifted by depth, moved into each other frame, and held against the depth measured there.
Two belong together where at least half of what the other frame sees of each lands on the other, both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.objects import NO_OBJECT, Instance, Instances
from synth.pixels import PixelFrame, lift, share_of
from synth.transition import View

MIN_LANDING = 0.5
"""Share of an outline's seen points that must land on another for the two to be one object."""


@dataclass(frozen=True)
class Labelled:
    """A frame with depth, and what was outlined in it; None where nobody looked."""

    camera: PinholeCamera
    T_world_cam: SE3
    z_depth: NDArray[np.float32]
    found: Instances | None

    @property
    def instances(self) -> tuple[Instance, ...]:
        """What was outlined."""
        return self.found.found if self.found else ()

    def pixel_frame(self) -> PixelFrame:
        """The frame with its own outlines as items."""
        index = self.found.index if self.found else np.full(self.z_depth.shape, NO_OBJECT, np.int16)
        return PixelFrame(self.camera, self.T_world_cam, View(self.z_depth, index))


def same_objects(frames: list[Labelled]) -> tuple[tuple[str, ...], tuple[str, ...], list[NDArray[np.int16]]]:
    """Give every outline its object.

    Returns:
        ids of the objects, their kinds, and for each frame the object of each pixel, NO_OBJECT elsewhere. (h, w)
    """
    outlines = [(f, n) for f, frame in enumerate(frames) for n in range(len(frame.instances))]
    parts = _components(outlines, _named_links(frames, outlines) + _seen_links(frames, outlines))
    names = [_item_id(frames, outlines, parts, part) for part in range(max(parts, default=-1) + 1)]
    kinds = tuple(kind for _, kind in names)
    object_of = dict(zip(outlines, parts, strict=True))
    owners = [_owner(frame, [object_of[f, n] for n in range(len(frame.instances))]) for f, frame in enumerate(frames)]
    return _unique([name for name, _ in names]), kinds, owners


def _named_links(frames: list[Labelled], outlines: list[tuple[int, int]]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    links = []
    for place, (f, n) in enumerate(outlines):
        name = frames[f].instances[n].name
        if name is not None:
            links.append((first.setdefault(name, place), place))
    return links


def _seen_links(frames: list[Labelled], outlines: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Links between nameless outlines of one kind by where their points land."""
    bare = [p for p, (f, n) in enumerate(outlines) if frames[f].instances[n].name is None]
    pixel_frames = [frame.pixel_frame() for frame in frames] if bare else []
    points = {p: lift(pixel_frames[outlines[p][0]], outlines[p][1]) for p in bare}
    links = []
    for a, b in combinations(bare, 2):
        (f, n), (g, m) = outlines[a], outlines[b]
        if f != g and frames[f].instances[n].kind == frames[g].instances[m].kind:
            there, back = share_of(pixel_frames[g], points[a], m), share_of(pixel_frames[f], points[b], n)
            if min(there or 0.0, back or 0.0) >= MIN_LANDING:
                links.append((a, b))
    return links


def _components(outlines: list[tuple[int, int]], links: list[tuple[int, int]]) -> list[int]:
    """Object of each outline, counted in the order of their first outlines."""
    if not outlines:
        return []
    rows, cols = zip(*links, strict=True) if links else ((), ())
    graph = coo_array((np.ones(len(rows)), (np.array(rows, int), np.array(cols, int))), shape=(len(outlines),) * 2)
    labels = connected_components(graph, directed=False)[1].tolist()
    order = {label: n for n, label in enumerate(dict.fromkeys(labels))}
    return [order[label] for label in labels]


def _item_id(frames: list[Labelled], outlines: list[tuple[int, int]], parts: list[int], part: int) -> tuple[str, str]:
    f, n = outlines[parts.index(part)]
    instance = frames[f].instances[n]
    return instance.name or f"{instance.kind.replace(' ', '_')}_{part + 1}", instance.kind


def _unique(names: list[str]) -> tuple[str, ...]:
    """Names told apart where a given one happens to be that of a nameless object too."""
    return tuple(name if names.index(name) == n else f"{name}_{n + 1}b" for n, name in enumerate(names))


def _owner(frame: Labelled, objects: list[int]) -> NDArray[np.int16]:
    if frame.found is None:
        return np.full(frame.z_depth.shape, NO_OBJECT, np.int16)
    # The last entry stands for NO_OBJECT, -1.
    return np.array([*objects, NO_OBJECT], np.int16)[frame.found.index]
