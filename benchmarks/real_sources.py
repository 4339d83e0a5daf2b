"""Recorded data with licences of their own, written as sources that `theodolite label` reads. None is shipped."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from synth.photo import load_objects


def apc_shelf(real: Path, out: Path) -> Path:
    """15 RGB-D views of a shelf with poses of a robot's arm and masks of four objects, in the layout of 7-Scenes.

    From andyzeng/apc-vision-toolbox at de8ac38 (Simplified BSD): depth in 0.1 mm registered to colour, camera-to-world
    poses; nearer than 0.2 m is the gripper.
    """
    folder = real / "apc_shelf_masks"
    numbers: dict[str, list[list[float]]] = defaultdict(list)
    head = ""
    for line in (folder / "cam.info.txt").read_text().splitlines():
        if line.startswith("#"):
            head = line
        elif line.strip():
            numbers[head].append([float(word) for word in line.split()])
    out.mkdir(parents=True)
    for n, pose in enumerate(rows for name, rows in numbers.items() if "frame-" in name):
        name = f"frame-{n:06d}"
        for part in ("color.jpg", "segm.png"):
            shutil.copy(folder / f"{name}.{part}", out)
        z = cv2.imread(str(folder / f"{name}.depth.png"), cv2.IMREAD_UNCHANGED)
        assert z is not None
        cv2.imwrite(str(out / f"{name}.depth.png"), np.where(z < 2000, 0, z).astype(np.uint16))
        np.savetxt(out / f"{name}.pose.txt", np.array(pose))
    stated(out, numbers["# Color camera intrinsic matrix"], 10000)
    names = json.loads((folder / "labels.json").read_text())
    legend = {value: None if kind == "background" else kind for value, kind in names.items()}
    (out / "objects.json").write_text(json.dumps({"masks": "{frame}.segm.png", "legend": legend}))
    return out


def slambook(real: Path, out: Path) -> Path:
    """Five hand-held RGB-D frames with poses of visual odometry (gaoxiang12/slambook2 at e62d9cd, MIT)."""
    shutil.copytree(real / "slambook2_rgbd_5frames", out)
    stated(out, [[518, 0, 325.5], [0, 519, 253.5], [0, 0, 1]], 1000, quaternion="xyzw")
    return out


def motorcycle(real: Path, out: Path) -> Path:
    """The left picture of Middlebury's Motorcycle with the depth of its disparity, and the project's own outlines.

    D. Scharstein et al., GCPR 2014, as scikit-image carries it.
    """
    folder = real / "middlebury_motorcycle"
    lens = json.loads((folder / "calib.json").read_text())
    raw = cv2.imread(str(folder / "disp_left_x256.png"), cv2.IMREAD_UNCHANGED)
    assert raw is not None
    disparity = raw / lens["disp_scale"]
    z = lens["f_px"] * lens["baseline_m"] / (np.where(raw > 0, disparity, 1) + lens["doffs_px"])
    out.mkdir(parents=True)
    cv2.imwrite(str(out / "motorcycle.depth.png"), np.where(raw > 0, np.rint(z * 10000), 0).astype(np.uint16))
    shutil.copy(folder / "motorcycle_left.png", out / "motorcycle.color.png")
    stated(out, [[lens["f_px"], 0, lens["cx_left"]], [0, lens["f_px"], lens["cy"]], [0, 0, 1]], 10000)
    outlines = [
        {"item_id": item.item_id, "kind": item.kind, "polygon": [list(corner) for corner in item.polygon]}
        for item in load_objects()
    ]
    (out / "objects.json").write_text(json.dumps({"outlines": {"motorcycle": outlines}}))
    return out


def stated(out: Path, K: list[list[float]], units_per_m: float, **more: str) -> None:
    """Write camera.json; all these count pixel centres as whole numbers."""
    fields = {"K": K, "depth_units_per_m": units_per_m, "pixel_centers": "whole"} | more
    (out / "camera.json").write_text(json.dumps(fields))
