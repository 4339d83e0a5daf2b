"""HY-WorldPlay: a pose JSON for its generate.py, and the frames that have poses out of its video.

Read off Tencent-Hunyuan/HY-WorldPlay: generate.py at 2768b26 (arguments, poses, video), run.sh at 2e82791 (832 x 480,
no super-resolution). Later versions have it below hyvideo/ (so WanyueZhang-ai/World2VLM at 64febe1), from where it
finds its package only on the PYTHONPATH.

- One camera-to-world pose a latent (0.08 m or 3 degrees and a remainder), OpenCV axes, the first an identity, under
  `extrinsic`. It takes keys in the order of the file, so they are written in the order of the numbers; the published
  pipeline sorts them as text. A positive yaw is to the right, as ours: `left` is a turn to the left.
- The number of latents is a multiple of 4 (the last pose is repeated), the video has 4 k + 1 frames, and pose i belongs
  to frame 4 i. A pose string cannot pad or hold a remainder; where it says exactly the same it lies beside as text.
- K is the one that it was shown for every picture, of 1920 x 1080, so a field of view cannot be told.
- The anchor is cropped to 832 x 480 here, which leaves nothing to crop there.

torchrun's variables are set for one process, as run.sh does for several. Not confirmed by running it.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from synth.files import json_bytes, write_whole
from synth.film import decoded
from synth.plans import hy_latents, plan
from synth.read_hy import FRAMES_PER_POSE
from synth.teachers import Job, Teacher, check_size, write_covered, write_picture

SIZE = (832, 480)
_NEEDED = ("--model_path", "--action_ckpt")
PROMPT = "The camera moves through the scene in the picture. Nothing else moves."


@dataclass(frozen=True, kw_only=True)
class HyWorldPlay(Teacher):
    """HY-WorldPlay, at its own generate.py, autoregressive."""

    name: ClassVar[str] = "hy_worldplay"
    scripts: ClassVar[tuple[str, ...]] = ("hyvideo/generate.py", "generate.py")
    ours: ClassVar[tuple[str, ...]] = (
        "--pose",
        "--image_path",
        "--output_path",
        "--video_length",
        "--width",
        "--height",
        "--sr",
        "--seed",
    )
    install: ClassVar[str] = (
        "git clone https://github.com/Tencent-Hunyuan/HY-WorldPlay and install its requirements and weights"
    )

    def check(self) -> None:
        """As any teacher; its weights must be named too, and a field of view must not."""
        super().check()
        if self.hfov is not None:
            raise ValueError("--hfov-deg must be left out: hy_worldplay has one K for every picture")
        given = {word.partition("=")[0] for word in self.extra}
        if missing := [word for word in _NEEDED if word not in given]:
            raise ValueError(
                f"hy_worldplay needs {' and '.join(missing)}: name its weights by"
                ' --teacher-args "--model_path FOLDER --action_ckpt FILE"'
            )

    def planned(self, job: Job) -> dict[str, Any]:
        """Poses, `pose_json`, `pose_string`, `video_length` and K, as `synth.plans.plan`."""
        return plan(job.actions, "hy_worldplay")

    def write_inputs(self, job: Job, staging: Path) -> None:
        """Write anchor.png, pose.json and, where it says the same, pose.txt."""
        planned = self.planned(job)
        write_covered(job.anchor, staging / "anchor.png", SIZE)
        write_whole(staging / "pose.json", json_bytes(planned["pose_json"]))
        if planned["pose_string"] is not None and planned["num_padding_poses"] == 0:
            write_whole(staging / "pose.txt", f"{planned['pose_string']}\n".encode())

    def command(self, job: Job, staging: Path) -> list[str]:
        """generate.py, in its own folder, all paths absolute."""
        here = staging.absolute()
        told = {
            "pose": here / "pose.json",
            "image_path": here / "anchor.png",
            "output_path": here / "output",
            "video_length": self.planned(job)["video_length"],
            "prompt": PROMPT,
            "resolution": "480p",
            "aspect_ratio": "16:9",
            "width": SIZE[0],
            "height": SIZE[1],
            "model_type": "ar",
            "few_step": "false",
            "rewrite": "false",
            "sr": "false",
            "seed": self.seed,
        }
        words = [word for key, value in told.items() for word in (f"--{key}", str(value))]
        # The last of two equal arguments counts there, so the user's own come after ours.
        return [*self.starter(), *words, *self.extra]

    def prompt(self) -> str:
        """What it was told in words: ours, or the user's own."""
        own = [value for word, value in pairwise(self.extra) if word == "--prompt"]
        return own[-1] if own else PROMPT

    def folder(self, staging: Path) -> Path:
        """Its own folder."""
        return self.root or staging

    def environment(self) -> dict[str, str]:
        """What torchrun sets for one process, and where the package hyvideo is."""
        one = {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        paths = [str((self.root or Path()).absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
        return one | {
            "PYTHONPATH": os.pathsep.join(paths),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }

    def collect(self, job: Job, staging: Path, bundle: Path) -> None:
        """The frames that have a pose out of gen.mp4, which must have every frame; the video stays beside them."""
        planned = self.planned(job)
        (bundle / "samples-rgb").mkdir(parents=True)
        video, names, count = staging / "output" / "gen.mp4", [], 0
        if not video.is_file():
            raise ValueError(f"hy_worldplay wrote no {video.name}; did it stop early?")
        for count, frame in enumerate(decoded(video), start=1):
            check_size((frame.shape[1], frame.shape[0]), SIZE, f"frame {count - 1} of gen.mp4")
            if (count - 1) % FRAMES_PER_POSE == 0:
                names.append(f"samples-rgb/frame_{count - 1:04d}.png")
                write_picture(bundle / names[-1], frame)
        if count != planned["video_length"]:
            raise ValueError(f"hy_worldplay wrote {count} of {planned['video_length']} frames; did it stop early?")
        os.replace(video, bundle / "gen.mp4")
        write_whole(bundle / "pose.json", json_bytes(planned["pose_json"]))
        write_whole(bundle / "traj.json", json_bytes(_trajectory(job, planned, names, self.prompt())))


def _trajectory(job: Job, planned: dict[str, Any], names: list[str], prompt: str) -> dict[str, Any]:
    """traj.json: latent values are signed, ahead and to the right."""
    actions = [{"name": action.kind.value, "value": action.amount} for action in job.actions]
    latents = [[step.signed_amount for step in hy_latents(action)] for action in job.actions]
    return {
        "actions": actions,
        "latent_chunks": [{"action": a, "latent_values": v} for a, v in zip(actions, latents, strict=True)],
        "mp4_path": "gen.mp4",
        "pose_path": "pose.json",
        "prompt": prompt,
        "retained_frame_indices": [FRAMES_PER_POSE * i for i in range(len(names))],
        "sample_paths": names,
        "video_length": planned["video_length"],
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
