"""The warps on one CUDA device: bytes that must move over the time taken, beside a plain copy, kornia and plain torch.

    python benchmarks/warp_gpu.py [--out FILE] [--most-pixels N] [--commit HASH]

Compulsory bytes are each input read once and each output written once. `call` is the time of the public function, many
calls after each other; `engine` that of its kernels alone, without checks and matrices. Pictures are float32 unless
`half` is said; every frame has its own picture, depths and pose.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from kornia.geometry.depth import warp_frame_depth
from machine import machine, write_result

from geom import SE3, PinholeCamera, backward_warp, engine_torch, forward_warp
from geom.engine import engine_for
from geom.transfer import Transfer

SIZES = ((480, 640), (1080, 1920))
BATCHES = (1, 8, 64, 512)
SECONDS, RUNS = 0.3, 7
DEVICE = torch.device("cuda")


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "warp_gpu.json")
    parser.add_argument("--most-pixels", type=int, default=2**31, help="leave out larger batches")
    parser.add_argument("--commit", help="what is measured, where there is a copy without its history")
    args = parser.parse_args()
    copy = copy_bandwidth()
    rows = [
        row
        for height, width in SIZES
        for batch in BATCHES
        if batch * height * width <= args.most_pixels
        for row in measured(batch, height, width, copy)
    ]
    result = {
        "device": torch.cuda.get_device_name(),
        "engine": engine_for(torch.empty(1, device=DEVICE)).__name__,
        "cuda": torch.version.cuda,
        "copy_gb_per_s": round(copy / 1e9, 1),
        "agreement": agreement(),
        "rows": rows,
    }
    told = {"commit": args.commit, "uncommitted_changes": False} if args.commit else {}
    write_result(args.out, result | {"machine": machine() | told})
    for row in rows:
        print(json.dumps(row))
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=1))


def copy_bandwidth() -> float:
    """Bytes read and written a second by a copy of 4 GiB on the device."""
    source = torch.rand(2**30, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / seconds(lambda: target.copy_(source), on_device)["median"]


def seconds(call: Callable[[], Any], clock: Callable[[], Callable[[], float]]) -> dict[str, float]:
    """Median and range of a call's time by a clock, in runs of calls that follow each other."""
    call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    calls = max(1, min(100, int(SECONDS / RUNS / max(1e-5, time.perf_counter() - start))))
    times = []
    for _ in range(RUNS):
        stop = clock()
        for _ in range(calls):
            call()
        times.append(stop() / calls)
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def on_device() -> Callable[[], float]:
    """Start a clock of the device's own."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()

    def stop() -> float:
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3

    return stop


def by_the_wall() -> Callable[[], float]:
    """Start a clock that stops when the device has done all it was given."""
    start = time.perf_counter()

    def stop() -> float:
        torch.cuda.synchronize()
        return time.perf_counter() - start

    return stop


def inputs(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, SE3, PinholeCamera]:
    """Pictures, depths of slanted walls for either view, and small motions, all different; cameras on the CPU."""
    gen = torch.Generator(DEVICE).manual_seed(0)
    image = torch.rand(batch, 3, height, width, generator=gen, device=DEVICE)
    slant = torch.linspace(0.5, 1.5, batch)[:, None] * torch.linspace(0, 1, width)
    z = (2 + slant)[:, None].expand(-1, height, -1).to(DEVICE).contiguous()
    poses = SE3.exp(torch.linspace(0.02, 0.06, 6 * batch, dtype=torch.float64).reshape(batch, 6))
    focal = 500 * width / 640
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return image, z, z.clone(), poses, PinholeCamera(K, width, height)


def measured(batch: int, height: int, width: int, copy: float) -> list[dict[str, Any]]:
    """One row for each way."""
    image, z, z_src, poses, camera = inputs(batch, height, width)
    half, pixels = image.half(), batch * height * width
    transfer = Transfer.between(camera, poses, camera, z)
    fast, size = engine_for(transfer.coefficients), (height, width)
    T, K = poses.matrix().float().to(DEVICE), camera.K.float().to(DEVICE).expand(batch, 3, 3)

    def back(picture: torch.Tensor, hiding: torch.Tensor | None) -> Callable[[], Any]:
        return lambda: backward_warp(picture, camera, poses, z, camera, z_depth_src=hiding)

    def forth(picture: torch.Tensor) -> Callable[[], Any]:
        return lambda: forward_warp(picture, z, camera, poses, camera)

    # Bytes a pixel: colours in and out, depths, masks, and of the forward warp z and the source pixel.
    ways: dict[str, tuple[int, Callable[[], Any], Callable[[], Any] | None]] = {
        "backward": (34, back(image, z_src), lambda: fast.gather(image, z, z_src, transfer, 0.01)),
        "backward, no depth test": (30, back(image, None), lambda: fast.gather(image, z, None, transfer, 0.01)),
        "backward, half": (22, back(half, z_src), lambda: fast.gather(half, z, z_src, transfer, 0.01)),
        "forward": (41, forth(image), lambda: fast.splat([(image, 0)], z, transfer, size)),
        "forward, half": (29, forth(half), lambda: fast.splat([(half, 0)], z, transfer, size)),
        "plain torch backward": (34, lambda: engine_torch.gather(image, z, z_src, transfer, 0.01), None),
        "plain torch forward": (41, lambda: engine_torch.splat([(image, 0)], z, transfer, size), None),
        "kornia": (28, lambda: warp_frame_depth(image, z[:, None], T, K), None),
    }
    rows = []
    for name, (bytes_per_pixel, call, engine) in ways.items():
        row: dict[str, Any] = {"way": name, "batch": batch, "height": height, "width": width}
        try:
            rows.append(row | numbers(bytes_per_pixel * pixels, batch, call, engine, copy))
        except torch.OutOfMemoryError:
            rows.append(row | {"failed": "out of memory"})
        torch.cuda.empty_cache()
    return rows


def numbers(
    compulsory: int, batch: int, call: Callable[[], Any], engine: Callable[[], Any] | None, copy: float
) -> dict[str, Any]:
    """Times, rates, and the peak of memory beyond what was there."""
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    peak = torch.cuda.max_memory_allocated() - held
    whole = seconds(call, by_the_wall)
    found = {
        "call_ms": {key: round(value * 1e3, 4) for key, value in whole.items()},
        "frames_per_s": round(batch / whole["median"]),
        "call_share_of_copy": round(compulsory / whole["median"] / copy, 3),
        "peak_bytes_per_compulsory_byte": round(peak / compulsory, 2),
    }
    if engine is None:
        return found
    alone = seconds(engine, on_device)
    return found | {
        "engine_ms": {key: round(value * 1e3, 4) for key, value in alone.items()},
        "engine_gb_per_s": round(compulsory / alone["median"] / 1e9),
        "engine_share_of_copy": round(compulsory / alone["median"] / copy, 3),
    }


def agreement() -> dict[str, Any]:
    """How far the device's answers are from those of the CPU, on depths with steps, and whether runs repeat."""
    image, z, z_src, poses, camera = inputs(4, 480, 640)
    z[:, 100:200, 100:300] *= 0.5
    z_src[:, 150:250, 200:400] *= 0.7
    here = [x.cpu() for x in (image, z, z_src)]
    there = backward_warp(image, camera, poses, z, camera, z_depth_src=z_src)
    peer = backward_warp(here[0], camera, poses, here[1], camera, z_depth_src=here[2])
    both = there.is_seen.cpu() & peer.is_seen
    runs = [forward_warp(image, z, camera, poses, camera) for _ in range(10)]
    splat = forward_warp(here[0], here[1], camera, poses, camera)
    still = backward_warp(image, camera, SE3.identity(), z, camera, z_depth_src=z)
    return {
        "backward_seen_differs": float((there.is_seen.cpu() != peer.is_seen).float().mean()),
        "backward_colour_off_at_most": float((there.image.cpu() - peer.image).abs().amax(1)[both].max()),
        "forward_source_differs": float((runs[0].source_idx.cpu() != splat.source_idx).float().mean()),
        "forward_runs_with_other_bits": sum(not same_bits(runs[0], run) for run in runs[1:]),
        "standing_still_is_exact": bool(torch.equal(still.image, image) and still.is_seen.all()),
    }


def same_bits(a: Any, b: Any) -> bool:
    """Whether two results are equal in every bit."""
    pairs = ((x, y) for x, y in zip(a, b, strict=True) if x is not None)
    return all(torch.equal(x.nan_to_num(-1), y.nan_to_num(-1)) for x, y in pairs)


if __name__ == "__main__":
    main()
