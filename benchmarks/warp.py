"""The warps on a CPU: how fast beside kornia's and OpenCV's, how much memory, and how right against rays.

    python benchmarks/warp.py [--repeats N] [--out FILE]

Every peer is timed in the same run, once under the allocator's defaults and once with settings that keep memory mapped
(the C library else gives it back after every call, and asking for it again costs page faults). Each batch is of
different pictures, depths and poses. kornia's `warp_frame_depth` and OpenCV's `remap` test no occlusion; `plain torch`
is the engine that gradients flow through, here without them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from kornia.geometry.depth import warp_frame_depth
from machine import machine, write_result

from geom import SE3, PinholeCamera, backward_warp, cast, engine_torch, forward_warp, soft_splat
from geom.actions import parse_actions
from geom.transfer import Transfer
from geom.warp import OCCLUSION_TOLERANCE
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages

WIDTH, HEIGHT = 640, 480
BATCHES = (1, 8, 64)
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456"}
ROOMS = 10
MOTIONS = ("move right 0.4 meters", "move forward 0.6 meters; turn left 15 degrees")


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "warp.json")
    parser.add_argument("--part", action="store_true", help="time alone, and print JSON; used by the script itself")
    args = parser.parse_args()
    if args.part:
        print(json.dumps(timed(args.repeats)))
        return
    result = {
        "image_size": [WIDTH, HEIGHT],
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        "default_allocator": child(args.repeats, {}),
        "memory_kept": child(args.repeats, KEPT),
        "against_rays": against_rays(),
    }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=2))


def child(repeats: int, settings: dict[str, str]) -> dict[str, Any]:
    """Time in a process of its own, because the allocator reads its settings at the start."""
    words = [sys.executable, __file__, "--part", "--repeats", str(repeats)]
    done = subprocess.run(words, env=os.environ | settings, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def timed(repeats: int) -> dict[str, Any]:
    """Milliseconds a frame of each way and batch size, and the memory of the largest batch of ours."""
    ways = [(name, way, BATCHES) for name, way in WAYS.items()]
    ways += [(name, way, BATCHES[:-1]) for name, way in SLOW_WAYS.items()]
    times = {
        name: {str(batch): milliseconds(way(batch), batch, repeats) for batch in batches} for name, way, batches in ways
    }
    many = {name: {str(n): per_small_frame(warp, n, repeats) for n in (64, 4096)} for name, warp in SMALL_WAYS.items()}
    return times | {
        "microseconds_a_frame_of_80x60": many,
        "peak_bytes_per_pixel_beyond_result": {name: peak_bytes_per_pixel(*PEAKS[name]) for name in PEAKS},
    }


def milliseconds(call: Callable[[], Any], batch: int, repeats: int, digits: int = 2) -> dict[str, float]:
    """Median and range over calls, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3 / batch)
    told = {"median": statistics.median(times), "min": min(times), "max": max(times)}
    return {key: round(value, digits) for key, value in told.items()}


def per_small_frame(way: Callable[..., Callable[[], Any]], batch: int, repeats: int) -> dict[str, float]:
    """Microseconds a frame of 80 x 60, to see what a large batch costs beyond its frames."""
    found = milliseconds(way(batch, 8), batch, repeats, digits=5)
    return {key: round(value * 1e3, 1) for key, value in found.items()}


def inputs(batch: int, smaller: int = 1) -> tuple[torch.Tensor, torch.Tensor, SE3, PinholeCamera]:
    """Pictures, depths of a slanted wall, and small motions, all different."""
    gen, height, width = torch.Generator().manual_seed(0), HEIGHT // smaller, WIDTH // smaller
    image = torch.rand(batch, 3, height, width, generator=gen)
    slant = torch.linspace(0.5, 1.5, batch)[:, None] * torch.linspace(0, 1, width)
    z = (2 + slant)[:, None].expand(-1, height, -1).contiguous()
    poses = SE3.exp(torch.linspace(0.02, 0.06, 6 * batch, dtype=torch.float64).reshape(batch, 6))
    camera = PinholeCamera(torch.tensor([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]).double(), WIDTH, HEIGHT)
    return image, z, poses, camera.resize(width, height)


def ours(batch: int, smaller: int = 1) -> Callable[[], Any]:
    """With the depth test."""
    image, z, poses, camera = inputs(batch, smaller)
    return lambda: backward_warp(image, camera, poses, z, camera, z_depth_src=z)


def ours_without_test(batch: int) -> Callable[[], Any]:
    """What the peers do: sampling alone."""
    image, z, poses, camera = inputs(batch)
    return lambda: backward_warp(image, camera, poses, z, camera)


def forward(batch: int, smaller: int = 1) -> Callable[[], Any]:
    """The z-buffered splat of colours, depth and source pixels."""
    image, z, poses, camera = inputs(batch, smaller)
    return lambda: forward_warp(image, z, camera, poses, camera)


def plain_torch(batch: int) -> Callable[[], Any]:
    """Ours with the depth test, by the engine that gradients use."""
    image, z, poses, camera = inputs(batch)
    transfer = Transfer.between(camera, poses, camera, z)
    return lambda: engine_torch.gather(image, z, z, transfer, OCCLUSION_TOLERANCE)


def plain_torch_forward(batch: int) -> Callable[[], Any]:
    """The splat by that engine."""
    image, z, poses, camera = inputs(batch)
    transfer = Transfer.between(camera, poses, camera, z)
    return lambda: engine_torch.splat([(image, 0)], z, transfer, (HEIGHT, WIDTH))


def soft(batch: int) -> Callable[[], Any]:
    """The splat that gradients flow through, without them."""
    image, z, poses, camera = inputs(batch)
    return lambda: soft_splat(image, z, camera, poses, camera)


def kornias(batch: int) -> Callable[[], Any]:
    """`warp_frame_depth`, in float32."""
    image, z, poses, camera = inputs(batch)
    T, K = poses.matrix().float(), camera.K.float().expand(batch, 3, 3)
    return lambda: warp_frame_depth(image, z[:, None], T, K)


def kornias_one_by_one(batch: int) -> Callable[[], Any]:
    """The same, frame by frame."""
    image, z, poses, camera = inputs(batch)
    T, K = poses.matrix().float(), camera.K.float().expand(batch, 3, 3)
    frames = [slice(n, n + 1) for n in range(batch)]
    return lambda: torch.cat([warp_frame_depth(image[n], z[n, None], T[n], K[n]) for n in frames])


def opencvs(batch: int) -> Callable[[], Any]:
    """Projection by numpy and `remap`, frame by frame, on pictures that lie as OpenCV wants them."""
    image, z, poses, camera = inputs(batch)
    K = camera.K.numpy()
    H = (K @ poses.R.numpy() @ np.linalg.inv(K)).astype(np.float32)
    e = (poses.t.numpy() @ K.T).astype(np.float32)
    images = [np.ascontiguousarray(frame.movedim(0, -1).numpy()) for frame in image]
    depths = [frame.numpy() for frame in z]
    u, v = np.meshgrid(*(np.arange(n, dtype=np.float32) + np.float32(0.5) for n in (WIDTH, HEIGHT)))

    def one(n: int) -> np.ndarray:
        x, y, w = ((row[0] * u + row[1] * v + row[2]) * depths[n] + e[n, i] for i, row in enumerate(H[n]))
        half = np.float32(0.5)
        return cv2.remap(images[n], x / w - half, y / w - half, cv2.INTER_LINEAR)

    return lambda: [one(n) for n in range(batch)]


WAYS = {
    "backward": ours,
    "backward, no depth test": ours_without_test,
    "forward": forward,
    "plain torch backward": plain_torch,
    "kornia": kornias,
    "kornia, frame by frame": kornias_one_by_one,
    "OpenCV": opencvs,
}
SMALL_WAYS = {"backward": ours, "forward": forward}
SLOW_WAYS = {"plain torch forward": plain_torch_forward, "soft_splat": soft}
"""Not timed at the largest batch."""


PEAKS = {
    "backward": ("backward_warp(image[{}], camera, poses[{}], z[{}], camera, z_depth_src=z[{}])", 3 * 4 + 2),
    "forward": ("forward_warp(image[{}], z[{}], camera, poses[{}], camera)", 3 * 4 + 4 + 1 + 8),
}
"""A call, and the bytes of its result for each pixel."""


def peak_bytes_per_pixel(call: str, result: int) -> float:
    """How far the resident memory of a process rises above what it holds before and the result, in a batch of 64.

    Linux alone, from /proc; the resource usage would carry over what the parent held.
    """
    code = (
        "import pathlib, warp\n"
        "def kib(key):\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith(key))\n"
        "image, z, poses, camera = warp.inputs(64)\n"
        f"warp.{call.replace('{}', ':1')}\n"
        "held = kib('VmRSS')\n"
        f"found = warp.{call.replace('{}', ':')}\n"
        "print((kib('VmHWM') - held) * 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    return round(int(done.stdout) / (64 * HEIGHT * WIDTH) - result, 2)


def against_rays() -> dict[str, Any]:
    """Pool what rays say of simulated rooms: hidden or not, and the colour of what is seen."""
    every, told, colours = [0, 0], [0, 0], []
    for seed in range(ROOMS):
        room = RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=(WIDTH, HEIGHT)), 0, Stages())
        for motion in MOTIONS:
            hidden, truly, can_tell, off = one_view(room, motion)
            for counts, where in ((every, torch.ones_like(hidden)), (told, can_tell)):
                counts[0] += int((hidden & truly & where).sum())
                counts[1] += int(((hidden | truly) & where).sum())
            colours.append(off)
    return {
        "rooms": ROOMS,
        "views": len(colours),
        "hidden_iou": round(every[0] / every[1], 4),
        "hidden_iou_where_pixels_can_tell": round(told[0] / told[1], 4),
        "median_colour_off_of_255": round(float(torch.cat(colours).median()) * 255, 3),
    }


def one_view(room: RoomWorld, motion: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return where we say hidden, where rays do, where the nine pixels around agree, and colours off where seen."""
    T_world_src, camera = room.T_world_anchor, room.camera
    T_world_dst = T_world_src @ parse_actions(motion).pose()
    src, dst = room.view(T_world_src), room.view(T_world_dst)
    assert src.image is not None and dst.image is not None
    images = [torch.from_numpy(view.image).movedim(-1, 0).double() / 255 for view in (src, dst)]
    z_src, z_dst = (torch.from_numpy(view.z_depth).double() for view in (src, dst))
    T_src_dst = T_world_src.inverse() @ T_world_dst
    found = backward_warp(images[0], camera, T_src_dst, z_dst, camera, z_depth_src=z_src)
    p_dst = camera.unproject(camera.pixel_centers(), z_dst)
    hit = cast(room.evidence.primitives, T_world_src.t, T_world_dst.act(p_dst) - T_world_src.t)
    truly = found.is_inside & (hit.prim_idx >= 0) & (hit.t < 1 / (1 + OCCLUSION_TOLERANCE))
    off = (found.image - images[1]).abs().amax(0)[found.is_seen]
    return found.is_inside & ~found.is_seen, truly, pixels_can_tell(z_src, camera, T_src_dst.act(p_dst)), off


def pixels_can_tell(z_src: torch.Tensor, camera: PinholeCamera, p_src: torch.Tensor) -> torch.Tensor:
    """Whether the nine pixels of the source around a point agree that it is hidden, or that it is not."""
    uv, _ = camera.project(p_src)
    col, row = uv.nan_to_num(0).floor().long().unbind(-1)
    col, row = col.clamp(0, camera.width - 1), row.clamp(0, camera.height - 1)
    near, far = (sign * torch.nn.functional.max_pool2d(sign * z_src[None, None], 3, 1, 1)[0, 0] for sign in (-1, 1))
    limit = p_src[..., 2] / (1 + OCCLUSION_TOLERANCE)
    return (near[row, col] < limit) == (far[row, col] < limit)


if __name__ == "__main__":
    main()
