"""The focal length that pictures show against the one that they were made with, in simulated rooms.

    python benchmarks/focal.py [--rooms N] [--out FILE]

Films of each motion, with noise, are followed from key frame to key frame, and each is asked for its focal length. The
rooms start at a seed that nothing was tuned on. A stated focal length that is wrong counts as found where it is more
than 3 standard deviations off; a right one, where it is not.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, write_result

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.film import Film
from synth.focal import Focal, focal_length
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.tracks import tracks

FIRST_SEED = 7000
SIZE = (480, 360)
HFOV_DEG = (45.0, 100.0)
NOISE = 2.0
"""Grey levels."""
FRAMES = 6
MOTIONS = {
    "turn 5 degrees": ("turn left 0.8333 degrees",),
    "turn 10 degrees": ("turn right 1.6667 degrees",),
    "turn 30 degrees": ("turn left 5 degrees",),
    "arc, forward 0.4 m and 20 degrees": ("move forward 0.0667 meters; turn left 3.3333 degrees",),
    "orbit, right 0.3 m and 10 degrees left": ("move right 0.05 meters; turn left 1.6667 degrees",),
    "right 0.2 m and 15 degrees right": ("move right 0.0333 meters; turn right 2.5 degrees",),
    "right 0.3 m": ("move right 0.05 meters",),
    "forward 0.4 m": ("move forward 0.0667 meters",),
    "forward 0.4 m, then turn 10 degrees": ("move forward 0.0667 meters", "turn right 1.6667 degrees"),
}
"""To the steps from frame to frame, one after the other."""
TELLING = tuple(name for name in MOTIONS if "turn" in name)
"""Those that turn on the spot, if only for a while."""
WRONG = (0.8, 1.25)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "focal.json")
    args = parser.parse_args()
    rows = [row for seed in range(FIRST_SEED, FIRST_SEED + args.rooms) for row in room(seed)]
    kinds = {name: [row for row in rows if row["motion"] == name] for name in MOTIONS}
    told = [row for row in rows if row["error"] is not None]
    result = {
        "rooms": args.rooms,
        "motions": {name: summary(some) for name, some in kinds.items()},
        "turns": summary([row for row in rows if row["motion"] in TELLING]),
        "others": summary([row for row in rows if row["motion"] not in TELLING]),
        "wrong_found": {str(factor): share(told, lambda row, f=factor: is_off(row, f)) for factor in WRONG},
        "right_accused": share(told, lambda row: is_off(row, 1.0)),
        "seconds": {
            key: round(rank([row["seconds"] for row in rows], q), 3) for key, q in (("median", 0.5), ("max", 1))
        },
    }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=1))


def room(seed: int) -> list[dict[str, Any]]:
    """What each motion tells in one room."""
    world = RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=SIZE), 0, Stages())
    rng = np.random.default_rng(seed)
    world.camera = PinholeCamera.from_hfov(math.radians(rng.uniform(*HFOV_DEG)), *SIZE)
    rows = []
    for name, parts in MOTIONS.items():
        film = filmed(world, [step for part in parts for step in [part] * FRAMES], rng)
        pairs = [followed.matches for followed in tracks(film)]
        start = time.perf_counter()
        found = focal_length(pairs, SIZE)
        rows.append(row(name, found, float(world.camera.focal[0]), time.perf_counter() - start))
    return rows


def filmed(world: RoomWorld, steps: list[str], rng: np.random.Generator) -> Film:
    """A film of a motion, step by step."""
    T, pictures = SE3.identity(), []
    for step in ["", *steps]:
        T = T @ parse_actions(step).pose() if step else T
        image = world.view(world.T_world_anchor @ T).image
        assert image is not None
        pictures.append(np.clip(image + rng.normal(0, NOISE, image.shape), 0, 255).astype(np.uint8))
    return Film("a simulated film", SIZE, lambda: iter(pictures), len(pictures))


def row(name: str, found: Focal, true_px: float, seconds: float) -> dict[str, Any]:
    """Logarithm of what was found over what is true; None where it is not told."""
    error = math.log(found.focal_px / true_px) if math.isfinite(found.focal_px) else None
    return {"motion": name, "error": error, "sd": found.sd_share, "seconds": seconds}


def is_off(row: dict[str, Any], factor: float) -> bool:
    """Whether a stated focal length of so many times the true one is called wrong."""
    return abs(math.log(factor) - row["error"]) > 3 * row["sd"]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How often it is told, how far off, and how honest the standard deviations are."""
    told = [row for row in rows if row["error"] is not None]
    found: dict[str, Any] = {"films": len(rows), "told": len(told)}
    if told:
        errors = [abs(row["error"]) for row in told]
        found["error"] = {key: round(rank(errors, q), 4) for key, q in (("median", 0.5), ("90 %", 0.9), ("max", 1))}
        found["sd_median"] = round(statistics.median(row["sd"] for row in told), 4)
        found["within"] = {
            str(times): share(told, lambda row, n=times: abs(row["error"]) < n * row["sd"]) for times in (1, 2, 3)
        }
    return found


def rank(values: list[float], q: float) -> float:
    """A quantile."""
    return float(np.quantile(values, q))


def share(rows: list[dict[str, Any]], is_so: Any) -> float | None:
    """Of rows; None without any."""
    return round(sum(map(is_so, rows)) / len(rows), 3) if rows else None


if __name__ == "__main__":
    main()
