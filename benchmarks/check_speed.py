"""Frames per second of the whole check of a video, every frame used, against a reconstruction by pycolmap.

python benchmarks/check_speed.py [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from executed import FILM_FRAMES, FILM_SIZE, FIRST_SEED, room
from machine import machine, write_result

from geom.actions import parse_actions
from synth.check_jobs import VideoJob
from synth.check_rows import row_of
from synth.verdict import Limits

STEPS, RUNS = 6, 5
METRES_PER_FRAME = 0.01


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "check_speed.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        hfov_deg = write_film(path)
        step = f"move forward {METRES_PER_FRAME * (FILM_FRAMES - 1) / STEPS:.4f} meters"
        job = VideoJob(path, "; ".join([step] * STEPS), (), hfov_deg, None, Limits())
        verdict = row_of(job.check())["verdict"]
        rates = sorted(FILM_FRAMES / seconds_of(lambda: row_of(job.check())) for _ in range(RUNS))
        result = {
            "size": FILM_SIZE,
            "frames": FILM_FRAMES,
            "verdict": verdict,
            "check_frames_per_second": {
                "median": round(median(rates), 1),
                "min": round(rates[0], 1),
                "max": round(rates[-1], 1),
            },
            "pycolmap": reconstruction(path, Path(folder), hfov_deg),
        }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=1))


def write_film(path: Path) -> float:
    """A video of a room that a camera goes forward in; returns the field of view, degrees."""
    world = room(FIRST_SEED, FILM_SIZE)
    T_world_cam, step = world.T_world_anchor, parse_actions(f"move forward {METRES_PER_FRAME} meters").pose()
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 24, FILM_SIZE)
    for _ in range(FILM_FRAMES):
        video.write(np.ascontiguousarray(np.asarray(world.view(T_world_cam).image)[:, :, ::-1]))
        T_world_cam = T_world_cam @ step
    video.release()
    return math.degrees(float(world.camera.hfov))


def reconstruction(path: Path, folder: Path, hfov_deg: float) -> dict[str, Any] | None:
    """Incremental mapping of all frames with sequential matching; None where pycolmap is not installed."""
    try:
        import pycolmap
    except ImportError:
        return None
    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    pictures, database = folder / "pictures", folder / "database.db"
    pictures.mkdir()
    (folder / "sparse").mkdir()
    capture = cv2.VideoCapture(str(path))
    for n in range(FILM_FRAMES):
        cv2.imwrite(str(pictures / f"{n:04d}.png"), capture.read()[1])
    focal = FILM_SIZE[0] / 2 / np.tan(np.radians(hfov_deg) / 2)
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_PINHOLE"
    reader.camera_params = f"{focal},{FILM_SIZE[0] / 2},{FILM_SIZE[1] / 2}"
    found: dict[int, Any] = {}

    def place_all() -> None:
        pycolmap.extract_features(database, pictures, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader)
        pycolmap.match_sequential(database)
        found.update(pycolmap.incremental_mapping(database, pictures, folder / "sparse"))

    rate = round(FILM_FRAMES / seconds_of(place_all), 2)
    registered = max((model.num_reg_images() for model in found.values()), default=0)
    return {"frames_per_second": rate, "registered": registered, "version": pycolmap.__version__}


def seconds_of(call: Callable[[], Any]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
