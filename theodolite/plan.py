"""`theodolite plan`: camera poses for an action sequence, in the first camera's frame."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from theodolite.console import Outcome, check_out_file
from theodolite.options import CommonOptions

EXAMPLE = 'theodolite plan --actions "move forward 0.5 meters; turn left 30 degrees" --convention svc --json'


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite plan`."""

    actions: str
    """what the camera does, in any of the known spellings, separated by semicolons"""
    convention: Literal["theodolite", "svc", "hy_worldplay"] = "theodolite"
    """whose frames, intrinsics and scale: our own, or exactly what a teacher reads"""
    per_frame: bool = False
    """a pose for every small step, not only one after each action"""
    image_size: tuple[int, int] | None = field(default=None, metadata={"metavar": ("W", "H")})
    """size of the picture that K is for, pixels (default: the convention's own)"""
    hfov_deg: float | None = None
    """horizontal field of view, degrees (default: the convention's own)"""
    out: Path | None = None
    """file for the plan: what --json prints; with hy_worldplay its pose JSON alone"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is not None and min(self.image_size) < 1:
            width, height = self.image_size
            raise ValueError(f"--image-size must be at least 1 x 1 pixel, got {width} x {height}")
        if self.hfov_deg is not None and not 0 < self.hfov_deg < 180:
            raise ValueError(f"--hfov-deg must be above 0 and below 180 degrees, got {self.hfov_deg:g}")


def run(options: Options) -> Outcome:
    """Plan the poses, and write them where asked; exit status 0."""
    if options.out is not None:
        check_out_file(options.out)
    from synth.files import write_whole
    from synth.plans import plan

    payload = plan(
        options.actions,
        options.convention,
        per_frame=options.per_frame,
        image_size=options.image_size,
        hfov=None if options.hfov_deg is None else math.radians(options.hfov_deg),
    )
    if options.out is not None:
        content = payload.get("pose_json", payload)
        write_whole(options.out, f"{json.dumps(content, allow_nan=False)}\n".encode())
    return Outcome(plan_text(payload), payload)


def plan_text(payload: Mapping[str, Any]) -> str:
    """The plan as a table for people: each pose on the ground, with the action that it ends."""
    actions = [text.strip() for text in payload["actions"].split(";")]
    ends = dict(zip(payload["key_frame_indices"], ["start", *actions], strict=True))
    head = f"{'pose':>4}  {'right m':>9}  {'forward m':>9}  {'heading deg':>11}  after"
    rows = [_row(i, T, ends.get(i, "")) for i, T in enumerate(payload["T_cam0_cam"])]
    (fx, _, cx), (_, fy, cy), _ = payload["K"]
    width, height = payload["image_size"]
    camera = f"K of {width} x {height}: fx {fx:.6g}, fy {fy:.6g}, cx {cx:.6g}, cy {cy:.6g}"
    value = f" {payload['camera_scale']:g}" if payload.get("camera_scale") is not None else ""
    scale = f"scale: {payload['scale']}{value} ({payload['scale_note']})"
    return "\n".join([head, *rows, "right and heading are positive to the right", camera, scale])


def _row(index: int, T_cam0_cam: Sequence[Sequence[float]], after: str) -> str:
    heading = math.degrees(math.atan2(T_cam0_cam[0][2], T_cam0_cam[2][2]))
    right, forward = T_cam0_cam[0][3], T_cam0_cam[2][3]
    return f"{index:>4}  {right:>9.3f}  {forward:>9.3f}  {heading:>11.1f}  {after}".rstrip()
