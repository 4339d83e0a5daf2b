"""Do objects lifted by depth land where the masks of other views say? On a recorded shelf, where it is at hand.

    python benchmarks/recorded.py [--real FOLDER] [--out benchmarks/results/recorded.json]

15 RGB-D views, four objects with masks. Every object of every view is lifted and moved into every other view:
- same or different: of the points that the other view sees, at least half lie on the mask of an object there, or not;
  compared with what the masks' names say, over all pairs of objects (same and different weigh as they occur, and are
  given apart);
- boxes: what all other views know of an object against the box of its mask, where at least 60 % of it is visible.
The peer takes an object's mask box as it was in the first view (no geometry): the figure to beat.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, write_result
from real_sources import apc_shelf

from geom.boxes import box_iou
from synth.evidence import Sight
from synth.identity import Labelled, same_objects
from synth.objects import read_objects
from synth.pixels import MIN_POINTS, PixelFrame, PixelsEvidence, lift, share_of
from synth.read_depth import read_z_depth
from synth.sources import read_source
from synth.transition import ROOM, UNKNOWN, View

MIN_SEEN, MIN_VISIBLE = 0.5, 0.6


def evidence_of(source: Path) -> PixelsEvidence:
    """All frames of a source's one clip, as the label command sees them."""
    objects = read_objects(source / "objects.json")
    labelled = []
    for frame in read_source(source).scenes[0].clips[0].frames:
        z_depth = read_z_depth(frame)
        labelled.append(Labelled(frame.camera, frame.T_world_cam, z_depth, objects.instances(frame, z_depth)))
    ids, kinds, owners = same_objects(labelled)
    frames = []
    for frame, owner in zip(labelled, owners, strict=True):
        nobody = np.where(np.isfinite(frame.z_depth), ROOM, UNKNOWN)
        view = View(frame.z_depth, np.where(owner < 0, nobody, owner).astype(np.int16))
        frames.append(PixelFrame(frame.camera, frame.T_world_cam, view))
    return PixelsEvidence(ids, kinds, tuple(frames))


def identity(evidence: PixelsEvidence) -> dict[str, Any]:
    """Agreement of geometry and masks on same and different objects over all ordered pairs of views."""
    right, count = {True: 0, False: 0}, {True: 0, False: 0}
    items = range(len(evidence.kinds))
    masked = [np.unique(f.view.item_idx, return_counts=True) for f in evidence.frames]
    shown = [{int(i) for i, n in zip(*m, strict=True) if i >= 0 and n >= MIN_POINTS} for m in masked]
    for before, after in permutations(range(len(evidence.frames)), 2):
        for a in items:
            points = lift(evidence.frames[before], a)
            if len(points) < MIN_POINTS:
                continue
            for b in shown[after]:
                if (share := share_of(evidence.frames[after], points, b)) is None:
                    break
                says_same = share >= MIN_SEEN
                count[a == b] += 1
                right[a == b] += says_same == (a == b)
    total = sum(count.values())
    return {
        "object_pairs": total,
        "agreement": round(sum(right.values()) / total, 4),
        "same": {"pairs": count[True], "agreement": round(right[True] / count[True], 4)},
        "different": {"pairs": count[False], "agreement": round(right[False] / count[False], 4)},
    }


def boxes(evidence: PixelsEvidence) -> dict[str, Any]:
    """IoU of predicted boxes with those of the masks, and of the masks' boxes of the view before."""
    ours, peer = [], []
    for n, frame in enumerate(evidence.frames):
        sight = Sight(evidence, frame.T_world_cam, frame.camera, frame.view)
        last = evidence.frames[n - 1]
        before = Sight(evidence, last.T_world_cam, last.camera, last.view).visible
        for i in range(len(evidence.kinds)):
            shares = sight.partition(i)
            if shares is not None and shares.visible >= MIN_VISIBLE and np.isfinite(sight.visible[i, 0]):
                ours.append(iou(sight.amodal[i], sight.visible[i]))
                if np.isfinite(before[i, 0]):
                    peer.append(iou(before[i], sight.visible[i]))
    quartiles = np.quantile(ours, [0.25, 0.5, 0.75]).round(4).tolist()
    return {
        "boxes": len(ours),
        "median_iou": quartiles[1],
        "quartiles": quartiles,
        "asked_about": round(float(np.mean(np.array(ours) >= 0.9)), 4),
        "peer_median_iou": round(float(np.median(peer)), 4),
    }


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    return float(box_iou(torch.from_numpy(a), torch.from_numpy(b)))


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, default=Path(__file__).parents[2] / "shared" / "real_data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "recorded.json")
    args = parser.parse_args()
    if not (args.real / "apc_shelf_masks").is_dir():
        print(f"{args.real} holds no apc_shelf_masks: nothing measured")
        return
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        evidence = evidence_of(apc_shelf(args.real, Path(scratch) / "apc"))
    result: dict[str, Any] = {"views": len(evidence.frames), "objects": len(evidence.kinds)}
    result |= {"identity": identity(evidence), "boxes": boxes(evidence)}
    result["seconds"] = round(time.perf_counter() - start, 2)
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
