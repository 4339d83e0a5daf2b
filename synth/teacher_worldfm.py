"""WorldFM: a meta.json for its run_pipeline.py, and the frames that it saves.

Read off inspatio/worldfm: run_pipeline.py at 1ae76c4 (meta.json, arguments, names of frames), modules/panogen.py at
38eae48 (the panorama), README.md at 1240b4c; modules/pano_postprocess.py (axes of the panorama) off an unnamed copy.

- It makes a panorama of the anchor, gives it a z-depth of its own, and renders any poses in it: camera-to-world, OpenCV
  axes. The middle of the panorama, where the anchor is, lies along +x of a world whose y points down, so an identity
  looks 90 degrees to the left of the anchor. Our first camera is turned to +x before it is written; the bundle keeps
  the poses from the first camera, which is what questions are about.
- It takes every anchor to cover 80 degrees along its longer side. The anchor is cropped to a square, so K of the
  512 x 512 frames is that of 80 degrees both ways and a field of view cannot be told.
- Its unit is that of its z-depth, which nobody has measured: the bundle has no camera_scale, and reads as `unknown`.

It makes a panorama of its own for each trajectory of a scene. Not confirmed by running it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from geom.conventions import to_c2w
from geom.se3 import SE3
from synth.files import json_bytes, write_whole
from synth.plans import plan
from synth.teachers import Job, Teacher, copy_frames, write_covered, write_svc_bundle

SIZE = (512, 512)
FOV = math.radians(80.0)
"""What it takes an anchor to cover, both ways of a square one."""


@dataclass(frozen=True, kw_only=True)
class WorldFM(Teacher):
    """WorldFM, at its own run_pipeline.py."""

    name: ClassVar[str] = "worldfm"
    scripts: ClassVar[tuple[str, ...]] = ("run_pipeline.py",)
    ours: ClassVar[tuple[str, ...]] = (
        "--meta",
        "--output_dir",
        "--save_mode",
        "--render_size",
        "--image_size",
        "--image_height",
        "--image_width",
    )
    install: ClassVar[str] = "git clone --recursive https://github.com/inspatio/worldfm and run its setup.sh"

    def check(self) -> None:
        """As any teacher; a field of view cannot be told."""
        super().check()
        if self.hfov is not None:
            raise ValueError("--hfov-deg must be left out: worldfm takes every picture to cover 80 degrees")

    def planned(self, job: Job) -> dict[str, Any]:
        """A pose for every frame and K of the frames, as `synth.plans.plan`."""
        return plan(job.actions, per_frame=True, image_size=SIZE, hfov=FOV)

    def write_inputs(self, job: Job, staging: Path) -> None:
        """Write meta.json and the anchor beside it."""
        planned = self.planned(job)
        write_covered(job.anchor, staging / "anchor.png", SIZE)
        T_cam0_cam = SE3.from_matrix(torch.tensor(planned["T_cam0_cam"], dtype=torch.float64))
        T_pano_cam = SE3.yaw_right(math.pi / 2) @ T_cam0_cam
        meta = {"name": "scene", "image": "anchor.png", "K": planned["K"], "c2w": to_c2w(T_pano_cam).tolist()}
        write_whole(staging / "meta.json", json_bytes(meta))

    def command(self, job: Job, staging: Path) -> list[str]:
        """run_pipeline.py, in its own folder, with pictures for frames."""
        here = staging.absolute()
        told = ["--meta", str(here / "meta.json"), "--output_dir", str(here / "output"), "--save_mode", "image"]
        sizes = ["--render_size", str(SIZE[0]), "--image_size", str(SIZE[0])]
        return [*self.starter(), *told, *sizes, *self.extra]

    def folder(self, staging: Path) -> Path:
        """Its own folder."""
        return self.root or staging

    def collect(self, job: Job, staging: Path, bundle: Path) -> None:
        """Frames by number; one that is missing leaves nothing of the clip."""
        planned = self.planned(job)
        wanted = len(planned["T_cam0_cam"])
        sources = [staging / "output" / "scene" / f"output_{i:04d}.png" for i in range(wanted)]
        if (there := sum(path.is_file() for path in sources)) < wanted:
            raise ValueError(f"worldfm wrote {there} of {wanted} frames; did it stop early?")
        names = copy_frames(sources, bundle, 4, SIZE)
        write_svc_bundle(job, bundle, names, planned["T_cam0_cam"], planned["K"], SIZE)
