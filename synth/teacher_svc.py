"""Stable Virtual Camera (`seva`): a folder with transforms.json for the task img2trajvid of its demo.py.

Read off Stability-AI/stable-virtual-camera at 3629451: demo.py (arguments, task, where it writes), seva/eval.py
(chunks, normaliser, crops); the parser of the input folder (`ReconfusionParser`, seva/data_io.py) off an unnamed copy.

- Poses go in as OpenGL camera-to-world, one a video frame; it turns the axes back. K is in pixels of the picture.
- It would crop the anchor to 576 x 576 and round on the way; it gets the crop ready-made, with K of the crop.
- It subtracts a centre from all cameras and rescales the first to lie at `camera_scale` from it, so metres survive only
  at one value for each path: `svc_camera_scale`. The published pipeline uses others.
- One forward pass: T is at least the number of frames, `chunk_strategy` is `gt` and there is no trajectory prior. Two
  passes, or chunks that do not start with the anchor, have another first camera and so another scale. T is at least the
  21 that the model was trained with; beyond that memory grows with it.
- `samples-rgb` holds the targets alone; the transforms.json that it writes names every frame in order.

Not confirmed by running it: how good clips longer than 21 frames look.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from geom.conventions import from_nerfstudio, to_nerfstudio
from geom.se3 import SE3
from synth.files import json_bytes, write_whole
from synth.plans import SVC_FRAME_SIZE, plan
from synth.safe_read import inside, mapping, matrix, read_json, sequence
from synth.teachers import Job, Teacher, copy_frames, upright_size, write_covered, write_svc_bundle

TRAINED_FRAMES = 21
_SIZE = (SVC_FRAME_SIZE, SVC_FRAME_SIZE)
_OUTPUT = Path("work_dirs", "demo", "img2trajvid", "scene")
_POSE_TOLERANCE = 1e-4
"""It keeps poses in float32."""


@dataclass(frozen=True, kw_only=True)
class Svc(Teacher):
    """SVC, at its own demo.py."""

    name: ClassVar[str] = "svc"
    scripts: ClassVar[tuple[str, ...]] = ("demo.py",)
    ours: ClassVar[tuple[str, ...]] = (
        "--data_path",
        "--data_items",
        "--task",
        "--num_inputs",
        "--T",
        "--chunk_strategy",
        "--use_traj_prior",
        "--camera_scale",
        "--seed",
    )
    install: ClassVar[str] = (
        "git clone https://github.com/Stability-AI/stable-virtual-camera and pip install -e . in it (package seva)"
    )

    def located(self) -> Svc:
        """The folder above the package seva where none was named, if our Python knows it."""
        found = None if self.root else importlib.util.find_spec("seva")
        return replace(self, root=Path(found.origin).parents[1]) if found and found.origin else self

    def planned(self, job: Job) -> dict[str, Any]:
        """Poses, K of the anchor (`K`) and of the frames (`K_frame`), and `camera_scale`, as `synth.plans.plan`."""
        return plan(job.actions, "svc", image_size=upright_size(job.anchor), hfov=self.hfov)

    def write_inputs(self, job: Job, staging: Path) -> None:
        """Write inputs/scene: the crop, transforms.json and the split of one input view."""
        planned, scene = self.planned(job), staging / "inputs" / "scene"
        write_covered(job.anchor, scene / "images" / "000.png", _SIZE)
        T_cam0_cam = SE3.from_matrix(torch.tensor(planned["T_cam0_cam"], dtype=torch.float64))
        (fx, _, cx), (_, fy, cy), _ = planned["K_frame"]
        lens = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": _SIZE[0], "h": _SIZE[1]}
        rows = [lens | {"file_path": None, "transform_matrix": T} for T in to_nerfstudio(T_cam0_cam).tolist()]
        rows[0]["file_path"] = "images/000.png"
        split = {"train_ids": [0], "test_ids": list(range(1, len(rows)))}
        write_whole(scene / "transforms.json", json_bytes({"orientation_override": "none", "frames": rows}))
        write_whole(scene / "train_test_split_1.json", json_bytes(split))

    def command(self, job: Job, staging: Path) -> list[str]:
        """demo.py, in the staging folder: it writes below its working folder."""
        planned = self.planned(job)
        told = {
            "data_path": "inputs",
            "data_items": "scene",
            "task": "img2trajvid",
            "num_inputs": 1,
            "T": max(planned["num_frames"], TRAINED_FRAMES),
            "chunk_strategy": "gt",
            "use_traj_prior": False,
            "camera_scale": _camera_scale(planned),
            "seed": self.seed,
        }
        words = [word for key, value in told.items() for word in (f"--{key}", str(value))]
        return [*self.starter(), *words, *self.extra]

    def collect(self, job: Job, staging: Path, bundle: Path) -> None:
        """Frames in the order of the transforms.json that it wrote, whose poses must be those it was given."""
        planned, output = self.planned(job), staging / _OUTPUT
        written = mapping(read_json(output / "transforms.json"), "its transforms.json", "frames")
        rows = [
            mapping(row, "its frame", "file_path", "transform_matrix") for row in sequence(written["frames"], "frames")
        ]
        if len(rows) != planned["num_frames"]:
            raise ValueError(f"svc wrote {len(rows)} of {planned['num_frames']} frames; did it stop early?")
        for i, (row, wanted) in enumerate(zip(rows, planned["T_cam0_cam"], strict=True)):
            _check_pose(row["transform_matrix"], wanted, i)
        names = copy_frames([inside(output, row["file_path"]) for row in rows], bundle, 3, _SIZE)
        T_cam0_cam, K = planned["T_cam0_cam"], planned["K"]
        write_svc_bundle(job, bundle, names, T_cam0_cam, K, _SIZE, camera_scale=_camera_scale(planned))


def _camera_scale(planned: dict[str, Any]) -> float:
    """The value that keeps metres; any will do for a camera that only turns."""
    return 1.0 if planned["camera_scale"] is None else planned["camera_scale"]


def _check_pose(value: Any, wanted: Any, index: int) -> None:
    where = f"its frame {index}: transform_matrix"
    T = from_nerfstudio(matrix(value, where, (3, 4), (4, 4)), tolerance=_POSE_TOLERANCE).matrix()
    if float((T - torch.tensor(wanted, dtype=T.dtype)).abs().max()) > _POSE_TOLERANCE:
        raise ValueError(f"{where} is not the pose that svc was given; is the output of another run in the way?")
