"""The motion that pictures show against the motion that was made: simulated rooms, and how fast films are read.

    python benchmarks/executed.py [--rooms N] [--out FILE]

Each room is seen before and after each motion, with noise. Standard deviations are held against the errors; rooms start
at a seed that nothing was tuned on. Frames per second are those of every stage by itself and of all together, with
every frame used.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from machine import machine, write_result

from geom import SE3, direction_error, rotation_error
from geom.actions import parse_actions
from synth.executed import executed_steps
from synth.film import open_film
from synth.matches import matches
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.still_checks import look
from synth.tracks import grey_of, tracks
from synth.two_view import TwoView, relative_motion

FIRST_SEED = 1000
MOTIONS = (
    "turn left 5 degrees",
    "turn right 10 degrees",
    "turn left 20 degrees",
    "move left 0.3 meters",
    "move forward 0.4 meters",
    "move right 0.3 meters; turn left 10 degrees",
    "move forward 0.4 meters; turn right 5 degrees",
    "move backward 0.2 meters",
)
WAYS = ("pictures", "depth")
FILM_SIZE, FILM_FRAMES = (832, 480), 96


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "executed.json")
    args = parser.parse_args()
    found = {motion: [one(seed, motion) for seed in range(FIRST_SEED, FIRST_SEED + args.rooms)] for motion in MOTIONS}
    result = {
        "rooms": args.rooms,
        "motions": {
            motion: {way: told(pairs, way) for way in ("pictures", "depth")} for motion, pairs in found.items()
        },
        "within": {
            way: within([pair[way] for pairs in found.values() for pair in pairs]) for way in ("pictures", "depth")
        },
        "frames_per_second": speeds(),
        "film_size": FILM_SIZE,
        "threads": torch.get_num_threads(),
    }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=1))


def room(seed: int, size: tuple[int, int] = (640, 480)) -> RoomWorld:
    """A simulated room."""
    return RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=size), 0, Stages())


def one(seed: int, motion: str) -> dict[str, dict[str, Any]]:
    """Errors of one pair, from pictures alone and with depth."""
    world, T_before_after = room(seed), parse_actions(motion).pose()
    views = [world.view(T) for T in (world.T_world_anchor, world.T_world_anchor @ T_before_after)]
    rng = np.random.default_rng(seed)
    greys = [
        grey_of(np.clip(view.image + rng.normal(0, 2, view.image.shape), 0, 255).astype(np.uint8)) for view in views
    ]
    pair, camera = matches(*greys), world.camera
    seen = {
        "pictures": relative_motion(pair, camera, camera),
        "depth": relative_motion(pair, camera, camera, z_depth_a=np.asarray(views[0].z_depth, np.float64)),
    }
    return {way: errors(view, T_before_after) for way, view in seen.items()}


def errors(view: TwoView, T_before_after: SE3) -> dict[str, Any]:
    """Degrees and millimetres off, and in own standard deviations; None where nothing is said or nothing is to be."""
    made, moved = view.T_b_a.inverse(), bool(T_before_after.t.norm() > 0)
    found: dict[str, Any] = {
        "kind": view.kind,
        "moved": moved,
        "turn_deg": None,
        "direction_deg": None,
        "length_mm": None,
    }
    if view.kind == "none":
        return found
    found["turn_deg"] = math.degrees(rotation_error(made, T_before_after))
    found["turn_in_sd"] = found["turn_deg"] / view.rotation_sd_deg
    if moved and view.kind in ("direction", "metric"):
        found["direction_deg"] = math.degrees(direction_error(made.t, T_before_after.t))
        found["direction_in_sd"] = found["direction_deg"] / view.direction_sd_deg
    if view.kind == "metric":
        found["length_mm"] = abs(float(made.t.norm() - T_before_after.t.norm())) * 1e3
        found["length_in_sd"] = found["length_mm"] / 1e3 / view.length_sd_m
    return found


def told(pairs: list[dict[str, Any]], way: str) -> dict[str, Any]:
    """Kinds, and median and worst error."""
    rows = [pair[way] for pair in pairs]
    summary: dict[str, Any] = {"kinds": dict(Counter(row["kind"] for row in rows))}
    for key in ("turn_deg", "direction_deg", "length_mm"):
        values = [row[key] for row in rows if row[key] is not None]
        if values:
            summary[key] = {"median": round(statistics.median(values), 4), "max": round(max(values), 3)}
    return summary


def within(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Share of errors within one and two of their own standard deviations."""
    found = {}
    for key in ("turn_in_sd", "direction_in_sd", "length_in_sd"):
        values = [row[key] for row in rows if row.get(key) is not None]
        if values:
            found[key] = {str(n): round(sum(value <= n for value in values) / len(values), 3) for n in (1, 2)}
            found[key]["pairs"] = len(values)
    return found


def speeds() -> dict[str, float]:
    """Frames per second of a video file of a room: decoded alone, looked at, followed, and turned into steps."""
    world = room(FIRST_SEED, FILM_SIZE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 24, FILM_SIZE)
        T_world_cam, step = (
            world.T_world_anchor,
            parse_actions("move forward 0.01 meters; turn right 0.5 degrees").pose(),
        )
        for _ in range(FILM_FRAMES):
            video.write(np.ascontiguousarray(np.asarray(world.view(T_world_cam).image)[:, :, ::-1]))
            T_world_cam = T_world_cam @ step
        video.release()
        film, keys = open_film(path), list(range(0, FILM_FRAMES, 16))
        stages: dict[str, Callable[[], Any]] = {
            "decoding": lambda: [None for _ in film.frames()],
            "looking": lambda: look(film.frames()),
            "tracks": lambda: list(tracks(film, keys)),
            "steps": lambda: list(executed_steps(film, world.camera, keys)),
        }
        return {name: round(FILM_FRAMES / median_of(call), 1) for name, call in stages.items()}


def median_of(call: Callable[[], Any], runs: int = 3) -> float:
    """Median seconds of a call."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
