"""How fast does verify compute labels again, and does it find nothing in a right dataset?

    python benchmarks/verify.py [--scenes 20] [--workers 2] [--repeats 3] [--out benchmarks/results/verify.json]

Times the command itself, start-up and all, on a dataset with pictures; the peer of the second implementation is the
first one: seconds that `generate` spent on its labels alone (stage "label") for the same questions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generate import spread
from machine import machine, write_result

from synth.pipeline import GenerateConfig, generate


def main() -> None:
    """Generate once, verify several times, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "verify.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        made = generate(data, GenerateConfig(num_scenes=args.scenes, seed=100), workers=args.workers)
        walls, reports = [], []
        command = [sys.executable, "-m", "theodolite", "verify", str(data), "--json", "--workers", str(args.workers)]
        for _ in range(args.repeats):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            walls.append(time.perf_counter() - start)
            reports.append(json.loads(done.stdout))
    labels = made.questions.total()
    result = {
        "labels": labels,
        "scenes": args.scenes,
        "workers": args.workers,
        "mismatches": len(reports[-1]["mismatches"]),
        "wall_s": spread(walls),
        "s_per_1000_labels": spread([1000 * wall / labels for wall in walls]),
        "generate_label_stage_s_per_1000": round(1000 * made.stages.seconds["label"] / labels, 2),
    }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
