"""The camera path that a clip shows against the path that was made, before and after all of it is refined.

    python benchmarks/executed_path.py [--rooms N] [--out FILE]

Simulated rooms are seen from the key frames of each path that they have room for, with noise. Neighbouring key frames
are matched by the look of points, by corners followed straight from one to the next, and by looks with depths of the
former. Standard deviations are held against the errors; rooms start at a seed that nothing was tuned on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, write_result

from geom import SE3, rotation_error
from geom.actions import parse_actions
from synth.executed_path import ExecutedPath, Link, executed_path
from synth.matches import matches
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.tracks import grey_of, tracks_between
from synth.transition import View
from synth.two_view import relative_motion

FIRST_SEED = 2000
SIZE = (480, 360)
NOISE = 2
"""Standard deviation of brightness, of 255."""
PATHS = {
    "arc": ("move forward 0.2 meters; turn right 8 degrees",) * 6,
    "zigzag": (
        "move right 0.2 meters; turn left 6 degrees",
        "move forward 0.2 meters; turn right 6 degrees",
    )
    * 3,
    "forward, turn": (
        "move forward 0.25 meters",
        "turn left 10 degrees",
        "move forward 0.25 meters",
        "turn right 8 degrees",
        "move forward 0.25 meters",
    ),
    "sideways": tuple(f"move left {length} meters" for length in (0.15, 0.3, 0.2, 0.1, 0.25)),
    "orbit": ("move right 0.2 meters; turn left 5 degrees",) * 7,
}
WAYS = ("pictures", "corners", "depth")


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "executed_path.json")
    args = parser.parse_args()
    found: dict[tuple[str, str, bool], list[dict[str, Any]]] = defaultdict(list)
    for seed in range(FIRST_SEED, FIRST_SEED + args.rooms):
        for key, row in in_room(seed):
            found[key].append(row)
    result = {
        "rooms": args.rooms,
        "paths": {
            f"{name}, {way}": {called(refined): told(found[name, way, refined]) for refined in (False, True)}
            for name in PATHS
            for way in WAYS
            if found[name, way, True]
        },
        "all": {
            way: {
                called(refined): told([row for name in PATHS for row in found[name, way, refined]])
                for refined in (False, True)
            }
            for way in WAYS
        },
        "threads": torch.get_num_threads(),
    }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result["all"], indent=1))


def called(refined: bool) -> str:
    """Name of a column."""
    return "refined" if refined else "chained"


def in_room(seed: int) -> list[tuple[tuple[str, str, bool], dict[str, Any]]]:
    """Errors along each path that a room has the space for, keyed by (path, way, whether refined)."""
    world = RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=SIZE), 0, Stages())
    rng, rows = np.random.default_rng(seed), []
    for name, steps in PATHS.items():
        if not world.allows(parse_actions("; ".join(steps))):
            continue
        made = poses(steps)
        views = [world.view(world.T_world_anchor @ T) for T in made]
        greys = [noisy_grey(view, rng) for view in views]
        z_depths = [np.asarray(view.z_depth, np.float64) for view in views]
        for way, shown in links(world, greys, z_depths).items():
            rows += [((name, way, refined), errors(world, shown, made, refined)) for refined in (False, True)]
    return rows


def noisy_grey(view: View, rng: np.random.Generator) -> np.ndarray:
    """Brightness of what is seen, with noise."""
    assert view.image is not None
    return grey_of(np.clip(view.image + rng.normal(0, NOISE, view.image.shape), 0, 255).astype(np.uint8))


def poses(steps: Sequence[str]) -> SE3:
    """T_first_cam of each key frame."""
    path = [SE3.identity(dtype=torch.float64)]
    for words in steps:
        path.append(path[-1] @ parse_actions(words).pose().to(torch.float64))
    return SE3.stack(path)


def links(world: RoomWorld, greys: list[np.ndarray], z_depths: list[np.ndarray]) -> dict[str, list[Link]]:
    """What neighbouring key frames show, each way."""
    shown: dict[str, list[Link]] = {way: [] for way in WAYS}
    for k, (before, after) in enumerate(pairwise(greys)):
        followed, looks = tracks_between(before, after), matches(before, after)
        corners = followed.matches
        for way, pair in zip(WAYS, (looks, corners, looks), strict=True):
            z_depth_a = z_depths[k] if way == "depth" else None
            view = relative_motion(pair, world.camera, world.camera, z_depth_a=z_depth_a)
            shown[way].append(Link(k, k + 1, view, pair))
    return shown


def errors(world: RoomWorld, shown: list[Link], made: SE3, refine: bool) -> dict[str, Any]:
    """Degrees, and shares of the path's length, off; and in own standard deviations, of each key frame after the first.

    The scale of a path without metres is fitted first (least squares); against its own deviations, which are those of
    a path of length 1, it is held with both lengths 1.
    """
    start = time.perf_counter()
    found = executed_path(shown, world.camera, refine=refine)
    row: dict[str, Any] = {"seconds": time.perf_counter() - start, "scale": found.scale, "refined": found.is_refined}
    turn_deg = rotation_error(found.T_first_cam, made).rad2deg().numpy()
    turned = np.flatnonzero(np.isfinite(turn_deg))[1:]
    placed = np.flatnonzero(found.T_first_cam.t.isfinite().all(-1).numpy())[1:]
    row |= {"whole": len(placed) == len(shown), "turn_deg": turn_deg[turned].tolist()}
    row["turn_in_sd"] = (turn_deg[turned] / found.rotation_sd_deg[turned]).tolist()
    if found.scale != "none" and len(placed):
        row |= places(found, made, placed)
    return row


def places(found: ExecutedPath, made: SE3, placed: np.ndarray) -> dict[str, Any]:
    """Errors of positions."""
    e, m = (path.t.numpy()[placed] for path in (found.T_first_cam, made))
    length = float(np.linalg.norm(np.diff(m, axis=0, prepend=0), axis=1).sum())
    is_metric = found.scale == "metric"
    fitted = 1.0 if is_metric else float((e * m).sum() / (e * e).sum())
    off = np.linalg.norm(fitted * e - m, axis=1) / length
    own_off = np.linalg.norm(e - (m if is_metric else m / length), axis=1)
    in_sd = own_off / found.position_sd[placed]
    return {"place": float(np.sqrt((off**2).mean())), "place_in_sd": in_sd[np.isfinite(in_sd)].tolist()}


def told(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Kinds, errors at the last known frame, and the share of errors within one and two standard deviations."""
    last_deg = [row["turn_deg"][-1] for row in rows if row["turn_deg"]]
    return {
        "paths": len(rows),
        "whole": sum(row["whole"] for row in rows),
        "refined": sum(row["refined"] for row in rows),
        "scale": dict(Counter(row["scale"] for row in rows)),
        "last_turn_deg": summary(last_deg),
        "place_share_of_length": summary([row["place"] for row in rows if "place" in row]),
        "turns_within": within([value for row in rows for value in row["turn_in_sd"]]),
        "places_within": within([value for row in rows for value in row.get("place_in_sd", [])]),
        "seconds": summary([row["seconds"] for row in rows]),
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median, mean, 90 % quantile and worst."""
    if not values:
        return {}
    numbers = (statistics.median(values), statistics.fmean(values), float(np.quantile(values, 0.9)), max(values))
    return dict(zip(("median", "mean", "q90", "max"), (round(number, 4) for number in numbers), strict=True))


def within(values: list[float]) -> dict[str, float]:
    """Share of errors within one and two of their own standard deviations."""
    return {str(n): round(sum(value <= n for value in values) / max(len(values), 1), 3) for n in (1, 2)}


if __name__ == "__main__":
    main()
