"""Pictures and rasters of a trajectory: all there, as fingerprinted, whole, and showing what rays cast anew meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from synth.files import UNKNOWN_PIXEL, png_shape, read_raster, sha256
from synth.transition import UNKNOWN
from synth.twin import TwinCamera
from synth.writer import FRAME_FILES

if TYPE_CHECKING:
    from synth.verify_scene import SceneFiles

_LATTICE = 8
_CURVED_M = 0.003
"""Triangles stand in for curved surfaces when views are rendered; their sagitta stays below this."""

_AROUND = np.array([(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)])

Fault = tuple[str, Any, Any]
Pixels = NDArray[np.intp]


def picture_faults(files: SceneFiles, traj_id: str, traj: Any, first: Any) -> Iterator[Fault]:
    """Compare a trajectory's pictures with their fingerprints and with the scene.

    Args:
        first: the trajectory whose first view stands for all: they start from one, so it is looked at once.
    """
    frames = traj["frames"]
    if files.settings["config"]["labels_only"] and frames == [{}, {}]:
        return
    parts = [sorted(frame) for frame in frames]
    if parts != (expected := [sorted(FRAME_FILES)] * 2):
        yield "frames", parts, expected
        return
    for i, frame in enumerate(frames):
        yield from _fingerprint_faults(files, f"traj_{traj_id}", i, frame)
    if files.is_recorded:
        yield from _recorded_faults(files, traj_id)
        return
    if frames[0] != first["frames"][0]:
        yield "frames[0]", frames[0], first["frames"][0]
    if traj is first:
        for name, file in FRAME_FILES.items():
            yield from _digest_faults(files, f"input/{file.format(0)}", frames[0][name]["sha256"])
    for i in (0, 1) if traj is first else (1,):
        yield from _view_faults(files, traj_id, i)


def _recorded_faults(files: SceneFiles, traj_id: str) -> Iterator[Fault]:
    """The frames in `input/` are those of scene.json; what rays can tell of them is looked at once for each frame."""
    for i, n in enumerate(files.trajectories[traj_id]["scene_frames"]):
        if files.cache.setdefault(("frame", n), traj_id) == traj_id:
            for entry in files.scene["frames"][n]["files"].values():
                yield from _digest_faults(files, entry["file"], entry["sha256"])
            yield from _view_faults(files, traj_id, i)


def _fingerprint_faults(files: SceneFiles, folder: str, i: int, frame: Any) -> Iterator[Fault]:
    for name, entry in frame.items():
        if entry.keys() != {"file", "sha256"} or entry["file"] != f"{name}/{i:03d}.png":
            yield f"frames[{i}].{name}", entry, f"file {name}/{i:03d}.png and its sha256"
        yield from _digest_faults(files, f"{folder}/{name}/{i:03d}.png", entry["sha256"])


def _digest_faults(files: SceneFiles, place: str, expected: str) -> Iterator[Fault]:
    path = files.folder / place
    digest = sha256(path.read_bytes()) if path.is_file() else "no such file"
    if digest != expected:
        yield place, digest, expected


def repeated_pictures(trajectories: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fingerprints of pictures that stand for views of different depth, and what has them: one view's is in another."""
    views = defaultdict(dict)
    for traj_id, traj in trajectories.items():
        for i, frame in enumerate(traj["frames"]):
            if frame:
                views[frame["samples-rgb"]["sha256"]].setdefault(frame["depth"]["sha256"], f"traj_{traj_id}[{i}]")
    yield from ((digest, sorted(of.values())) for digest, of in views.items() if len(of) > 1)


def _view_faults(files: SceneFiles, traj_id: str, frame: int) -> Iterator[Fault]:
    """Read the files of a view, and hold depth and instances to rays cast anew."""
    cam = files.camera(traj_id, frame)
    folder, file = files.folder / f"traj_{traj_id}", f"{frame:03d}.png"
    try:
        size = png_shape(folder / "samples-rgb" / file)
        ids = read_raster(folder / "instances" / file)
        mm = read_raster(folder / "depth" / file)
    except (OSError, ValueError) as error:
        yield f"pictures of frame {frame}", str(error), "a picture and two 16-bit rasters"
        return
    sizes = [size, ids.shape, mm.shape]
    if sizes != [(cam.height, cam.width)] * 3:
        yield f"sizes of frame {frame}", sizes, (cam.height, cam.width)
        return
    yield from _id_faults(files, ids, frame)
    yield from _pixel_faults(files, cam, ids, mm, frame)


def _id_faults(files: SceneFiles, ids: NDArray[np.uint16], frame: int) -> Iterator[Fault]:
    """Ids of nothing; in a room nothing is unknown either."""
    used = np.flatnonzero(np.bincount(ids.ravel()))
    strange = used[(used > len(files.twin.item_ids)) & ~((used == UNKNOWN_PIXEL) & (files.scene["type"] != "room"))]
    if len(strange):
        yield f"instances of frame {frame}", strange.tolist(), f"at most {len(files.twin.item_ids)}"


def _pixel_faults(
    files: SceneFiles, cam: TwinCamera, ids: NDArray[np.uint16], mm: NDArray[np.uint16], frame: int
) -> Iterator[Fault]:
    """Compare at chosen pixels; at edges the rasters may differ from the rays by a pixel."""
    rows, cols = _probes(files, cam, ids)
    z, owner = files.twin.surface(cam, cols + 0.5, rows + 0.5)
    z_mm, expected = 1000 * np.nan_to_num(z), np.where(owner == UNKNOWN, UNKNOWN_PIXEL, owner + 1)
    near = rows + _AROUND[:, :1], cols + _AROUND[:, 1:]
    ids_near, mm_near = ids[near].astype(int), mm[near].astype(float)
    own_id, own_mm = ids[rows, cols], mm[rows, cols].astype(float)
    is_right = (ids_near == expected).any(0)
    # Across the 3 x 3 pixels depth may change by as much as its neighbours show; the rest is rounding.
    slack = 1.0 + 1000 * _CURVED_M + np.abs(mm_near - own_mm).max(0)
    is_deep = is_right & (ids_near == own_id).all(0) & ~(np.abs(own_mm - z_mm) <= slack)
    for n in np.flatnonzero(~is_right).tolist():
        yield f"instances at frame {frame}, row {rows[n]}, column {cols[n]}", int(own_id[n]), int(expected[n])
    for n in np.flatnonzero(is_deep).tolist():
        place = f"depth at frame {frame}, row {rows[n]}, column {cols[n]}"
        yield place, f"{own_mm[n]:.0f} mm", f"{z_mm[n]:.1f} mm"


def _probes(files: SceneFiles, cam: TwinCamera, ids: NDArray[np.uint16]) -> tuple[Pixels, Pixels]:
    """Rows and columns to look at: a lattice, where the scene has something, and where the raster has something."""
    height, width = ids.shape
    lattice = np.meshgrid(*(np.linspace(2, size - 3, _LATTICE).astype(int) for size in ids.shape), indexing="ij")
    landmarks = files.twin.landmarks(cam)[:, ::-1].astype(int)
    pixels = np.concatenate([np.stack(lattice, -1).reshape(-1, 2), landmarks, _extremes(ids)])
    rows, cols = np.clip(pixels, 1, [height - 2, width - 2]).T
    return rows, cols


def _extremes(ids: NDArray[np.uint16]) -> Pixels:
    """The highest, lowest, leftmost and rightmost pixel of each item that has none but its own around it, (n, 2)."""
    middle = ids[:, 1:-1]
    across = (ids[:, :-2] == middle) & (ids[:, 2:] == middle)
    inner = across[:-2] & across[1:-1] & across[2:] & (middle[:-2] == middle[1:-1]) & (middle[2:] == middle[1:-1])
    inner &= middle[1:-1] != UNKNOWN_PIXEL
    found = [np.empty((0, 2), int)]
    for k, box in enumerate(find_objects((middle[1:-1] * inner).astype(np.int32)), start=1):
        if box is not None:
            own = inner[box] & (middle[1:-1][box] == k)
            found.append(_border(own) + [box[0].start + 1, box[1].start + 1])
    return np.concatenate(found)


def _border(own: NDArray[np.bool_]) -> Pixels:
    """One pixel on each side of the box that a mask fills."""
    bottom, right = own.shape[0] - 1, own.shape[1] - 1
    return np.array(
        [(0, own[0].argmax()), (bottom, own[-1].argmax()), (own[:, 0].argmax(), 0), (own[:, -1].argmax(), right)]
    )
