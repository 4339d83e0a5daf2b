"""How well the check tells faulty films from correct ones, on simulated films that no limit was chosen on.

    python benchmarks/check.py [--films N] [--workers K] [--rows FILE] [--out FILE]

Films are judged by the limits in use. AUROC ranks each film by its verdict's score (how far the worst measure is beyond
its limit), faulty films against correct ones. Intervals are Clopper and Pearson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from check_trials import run_trials, sequences
from machine import machine, write_result
from scipy.stats import beta, rankdata

from synth.verdict import Limits

SEED = 7_000_000
LEAST_METRES, LEAST_DEG = 0.2, 10.0
"""At 3 m depth: the smallest fault that must be found."""

OWN = {
    "moves": ("scale",),
    "turns": ("turn",),
    "mirrored turn": ("mirrored turn",),
    "mirrored shift": ("mirrored shift",),
    "dropped step": ("missing",),
    "swapped steps": ("order",),
    "drift": ("drift",),
    "no return": ("no return", "turn", "missing"),
    "frozen": ("frozen",),
    "frozen, with noise": ("frozen", "missing"),
    "cut": ("cut",),
    "focal length": ("focal length",),
    "moving objects": ("others move",),
    "blur": ("blur",),
    "compression": ("compression",),
    "low texture": ("unseen",),
    "flicker": ("flicker",),
}
"""Fault to the reasons that are its own."""

Row = dict[str, Any]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=120)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "check.json")
    parser.add_argument("--rows", type=Path, help="kept here as they come; a run that was cut off goes on from them")
    args = parser.parse_args()
    rows = run_trials(SEED, args.films, args.workers, args.rows)
    result = {
        "films": args.films,
        "sequences": sequences(rows),
        "limits": vars(Limits()),
        "correct": {way: of_correct([r for r in rows if r["depth"] == with_depth]) for way, with_depth in WAYS.items()},
        "faults": of_faults(rows),
        "asked": of_asked(rows),
    }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=1))


WAYS = {"pictures": False, "depth": True}


def of_correct(rows: Sequence[Row]) -> dict[str, Any]:
    """False alarms and undecided among correct films."""
    correct = [row for row in rows if row["fault"] == "none"]
    counts = Counter(row["outcome"] for row in correct)
    return {
        "films": len(correct),
        "false_alarms": share(counts["fail"], len(correct)),
        "undecided": share(counts["undecided"], len(correct)),
        "reasons": dict(Counter(reason for row in correct for reason in (*row["fails"], *row["open"]))),
    }


def of_faults(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each fault and size: how many fail, are undecided, and show the fault's own reason; and the AUROC."""
    groups: dict[tuple[str, str, bool], list[Row]] = defaultdict(list)
    for row in rows:
        if row["fault"] != "none":
            groups[row["fault"], row["size"], row["depth"]].append(row)
    return [
        {"fault": fault, "size": size, "depth": depth, **of_group(found, rows)}
        for (fault, size, depth), found in sorted(groups.items())
    ]


def of_group(found: Sequence[Row], rows: Sequence[Row]) -> dict[str, Any]:
    """What becomes of films that share a fault."""
    own = [set(OWN[row["fault"]]) & {*row["fails"], *row["open"], *row["notes"]} for row in found]
    count = Counter(row["outcome"] for row in found)
    correct = [row["score"] for row in rows if row["fault"] == "none" and row["depth"] == found[0]["depth"]]
    return {
        "films": len(found),
        "fail": round(count["fail"] / len(found), 4),
        "undecided": round(count["undecided"] / len(found), 4),
        "own_reason": round(sum(map(bool, own)) / len(found), 4),
        "auroc": auroc([row["score"] for row in found], correct),
    }


def of_asked(rows: Sequence[Row]) -> dict[str, Any]:
    """The faults that the aim names, of the least size or more."""
    names = ("mirrored turn", "mirrored shift", "dropped step", "swapped steps", "frozen", "frozen, with noise")
    asked = {name: [r for r in rows if r["fault"] == name and not r["depth"] and is_large(r)] for name in names}
    asked["moves, with depth"] = [r for r in rows if r["fault"] == "moves" and r["depth"] and is_large(r)]
    return {name: of_group(found, rows) for name, found in asked.items() if found}


def is_large(row: Row) -> bool:
    """Whether a fault is of the least size; one that leads elsewhere altogether has none."""
    metres, degrees = row["metres_at_3_m"], row["degrees"]
    return metres is None or metres >= LEAST_METRES or degrees is None or degrees >= LEAST_DEG


def auroc(faulty: Sequence[float | None], correct: Sequence[float | None]) -> float:
    """Chance that a faulty film has a higher score than a correct one; a tie counts half (Mann and Whitney)."""
    scores = np.array([np.inf if s is None else s for s in (*faulty, *correct)])
    ranks, n, m = rankdata(scores), len(faulty), len(correct)
    return round(float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m)), 4)


def share(count: int, n: int) -> dict[str, Any]:
    """A share with its interval."""
    low = float(beta.ppf(0.025, count, n - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0
    return {"share": round(count / n, 4), "interval": [round(low, 4), round(high, 4)]}


if __name__ == "__main__":
    main()
