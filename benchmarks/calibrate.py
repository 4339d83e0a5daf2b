"""The limits of the check, chosen on simulated films: what correct films reach, and what faulty ones do.

    python benchmarks/calibrate.py [--films N] [--workers K] [--rows FILE] [--out FILE]

For each limit its operating curve: the share of correct films beyond it, and of films with a fault of each size that it
is to find. A limit stays clear of both sides: it is the geometric mean of what 99.8 % of the correct films stay below
and of what 95 % of the smallest fault that must be found exceed; where these cross, the former.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from check_trials import run_trials, sequences
from machine import machine, write_result

from synth.verdict import Limits

FIRST_SEED = 10_000
CORRECT, FOUND = 0.998, 0.05
STEPS = 15
"""Points of an operating curve."""

FAULTS = {
    "turn_deg": ("mirrored turn one step", "turns x0.5", "turns x0.8", "turns x1.25", "dropped step a turn"),
    "direction_deg": ("mirrored shift one step", "swapped steps two"),
    "length_share": ("moves x0.8", "moves x1.25", "moves x0.5", "moves x2"),
    "stray_deg": ("swapped steps two", "moving objects 30 %"),
    "far": ("dropped step a move",),
    "drift_deg": ("drift 0.5 deg a frame", "drift 0.25 deg a frame", "drift 0.1 deg a frame", "drift 1 deg a frame"),
    "frozen_share": ("frozen from 2/4", "frozen, with noise from 2/4", "frozen from 3/4", "frozen from 1/4"),
    "others_share": ("moving objects 15 %", "moving objects 5 %", "moving objects 30 %", "moving objects 50 %"),
    "focal_share": ("focal length x0.8", "focal length x1.25", "focal length x0.9", "focal length x1.1"),
    "dissimilarity": ("no return x0.5", "no return x0.75"),
}
"""Limit to the faults that it is to find; the first one must be found."""


def main() -> None:
    """Run the trials, choose, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "calibrate.json")
    parser.add_argument("--rows", type=Path, help="kept here as they come; a run that was cut off goes on from them")
    args = parser.parse_args()
    rows = run_trials(FIRST_SEED, args.films, args.workers, args.rows)
    reached = reached_by(rows)
    result = {
        "films": args.films,
        "sequences": sequences(rows),
        "verdicts": len(rows),
        "limits": {name: curve_of(name, reached) for name in FAULTS},
    }
    write_result(args.out, result | {"machine": machine()})
    print(
        json.dumps(
            {name: {k: v for k, v in curve.items() if k != "curve"} for name, curve in result["limits"].items()},
            indent=1,
        )
    )


def reached_by(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], np.ndarray]:
    """(limit, fault with size, `none` for correct films) to the measures reached, sorted, where there are any."""
    reached: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        name = f"{row['fault']} {row['size']}".strip()
        for limit in FAULTS:
            value = row["measures"].get(limit)
            if value is not None and (limit != "length_share" or row["depth"]):
                reached[limit, name].append(value)
    return {key: np.sort(values) for key, values in reached.items()}


def curve_of(limit: str, reached: dict[tuple[str, str], np.ndarray]) -> dict[str, Any]:
    """What correct and faulty films reach, the choice between them, and the operating curve."""
    correct, first = reached.get((limit, "none"), np.zeros(1)), reached[limit, FAULTS[limit][0]]
    below, above = (float(np.quantile(v, q, method="higher")) for v, q in ((correct, CORRECT), (first, FOUND)))
    chosen = math.sqrt(max(below, 1e-3) * above) if above > below else below
    top = float(min(max(np.quantile(first[np.isfinite(first)], 0.9), chosen * 2), chosen * 1e3))
    thresholds = np.geomspace(max(below, top / 1e3, 1e-4) / 2, top, STEPS)
    return {
        "correct_99.8": _short(below),
        "smallest_fault_5": _short(above),
        "chosen": _short(chosen),
        "in_use": getattr(Limits(), limit),
        "curve": [
            {
                "limit": _short(t),
                "false_alarms": _share(correct, t),
                "found": {name: _share(reached[limit, name], t) for name in FAULTS[limit] if (limit, name) in reached},
            }
            for t in [*thresholds, getattr(Limits(), limit)]
        ],
    }


def _share(values: np.ndarray, limit: float) -> float:
    return round(float((values > limit).mean()), 4)


def _short(value: float) -> float:
    return float(f"{value:.3g}")


if __name__ == "__main__":
    main()
