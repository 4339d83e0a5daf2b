"""How fast are labelled samples made, from an empty folder to written files, and where does the time go?

    python benchmarks/generate.py [--scenes 48] [--workers 2] [--repeats 3] [--out benchmarks/results/generate.json]

Each repeat runs in processes of its own, so start-up (imports, textures) counts. The peer is the least that anybody
could do with the same tools: Open3D's own pinhole rays cast into the same rooms and the two rasters written as PNG by
OpenCV, with no shading, no labels and no proofs. `steady` leaves start-up out: work seconds over the stages / workers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import machine, write_result

_RUN = """
import json, sys
from pathlib import Path
from synth.pipeline import GenerateConfig, generate
if __name__ == "__main__":
    out, scenes, seed, workers, labels_only = sys.argv[1], *map(int, sys.argv[2:])
    config = GenerateConfig(num_scenes=scenes, seed=seed, labels_only=bool(labels_only))
    made = generate(Path(out), config, workers=workers)
    print(json.dumps([made.questions.total(), made.transitions, made.stages.seconds]))
"""


def main() -> None:
    """Time generation with pictures, without them, and the peer; write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "generate.json")
    args = parser.parse_args()
    runs = {
        name: [run(args.scenes, seed, args.workers, labels_only) for seed in range(args.repeats)]
        for name, labels_only in (("pictures", False), ("labels_only", True))
    }
    result = {name: summary(found, args.workers) for name, found in runs.items()}
    result["peer_cast_and_encode"] = peer(views=24)
    write_result(
        args.out,
        {"scenes": args.scenes, "workers": args.workers, "image_size": [512, 512], **result, "machine": machine()},
    )
    print(json.dumps(result, indent=2))


def run(scenes: int, seed: int, workers: int, labels_only: bool) -> dict[str, Any]:
    """One dataset from an empty folder, in new processes."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "run.py"
        script.write_text(_RUN)
        words = [f"{folder}/data", str(scenes), str(seed), str(workers), str(int(labels_only))]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=True)
        wall = time.perf_counter() - start
        size = sum(
            path.stat().st_size
            for path in Path(folder, "data").rglob("*")
            if path.is_file() and path.stat().st_nlink == 1
        )
    samples, transitions, seconds = json.loads(done.stdout.splitlines()[-1])
    return {"samples": samples, "transitions": transitions, "wall_s": wall, "seconds": seconds, "bytes": size}


def summary(runs: list[dict[str, Any]], workers: int) -> dict[str, Any]:
    """Median and spread of samples per second, and the stages' shares."""
    rates = [r["samples"] / r["wall_s"] for r in runs]
    steady = [r["samples"] * workers / sum(r["seconds"].values()) for r in runs]
    stages = {name: sum(r["seconds"][name] for r in runs) for name in runs[0]["seconds"]}
    transitions = sum(r["transitions"] for r in runs)
    return {
        "samples_per_s": spread(rates),
        "samples_per_s_steady": spread(steady),
        "transitions_per_s": spread([r["transitions"] / r["wall_s"] for r in runs]),
        "samples_per_transition": round(sum(r["samples"] for r in runs) / transitions, 2),
        "stage_ms_per_transition": {name: round(1000 * s / transitions, 1) for name, s in stages.items()},
        "bytes_per_transition": round(sum(r["bytes"] for r in runs) / transitions),
        "minutes_for_100k_samples": round(100_000 / statistics.median(rates) / 60, 1),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


def peer(views: int) -> dict[str, Any]:
    """Open3D rays and casts, OpenCV PNGs, one thread: milliseconds per view of the same rooms."""
    import cv2
    import numpy as np
    import open3d as o3d

    from geom.tessellate import tessellate
    from synth.rooms import make_room

    cast, encode = [], []
    for seed in range(views):
        room = make_room(seed)
        mesh = tessellate(room.primitives())
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(mesh.vertices.astype(np.float32), mesh.triangles.astype(np.uint32))
        x, y, _ = room.room_size
        rays = scene.create_rays_pinhole(
            fov_deg=75, center=[x / 2, y, 1.4], eye=[x / 2, 0.3, 1.4], up=[0, 0, 1], width_px=512, height_px=512
        )
        start = time.perf_counter()
        hit = scene.cast_rays(rays, nthreads=1)
        middle = time.perf_counter()
        depth = np.clip(hit["t_hit"].numpy() * 1000, 0, 65535).astype(np.uint16)
        ids = (hit["primitive_ids"].numpy() % 65535).astype(np.uint16)
        for raster in (depth, ids):
            cv2.imencode(".png", raster)
        cast.append(1000 * (middle - start))
        encode.append(1000 * (time.perf_counter() - middle))
    return {"cast_ms_per_view": spread(cast), "encode_ms_per_view": spread(encode)}


if __name__ == "__main__":
    main()
