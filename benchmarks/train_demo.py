"""What does `make train-demo` learn, and how long does it take? Beside it, the constant answer.

    python benchmarks/train_demo.py [--out benchmarks/results/train_demo.json]

Runs `make train-demo` as it stands, from nothing, and scores its answers by the `exact` metric, chance taken off. The
constant is chosen on rooms of its own (`head_peers.py`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from head_peers import answer_all, constant_peer, scored
from machine import machine, write_result

from models.questions import read_questions
from synth.pipeline import GenerateConfig, generate
from synth.predictions import score_file

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "head-demo"
CONSTANT_ROOMS, CONSTANT_SEED = 12, 2


def main() -> None:
    """Run, score, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "train_demo.json")
    args = parser.parse_args()
    shutil.rmtree(DEMO, ignore_errors=True)
    start = time.perf_counter()
    subprocess.run(["make", "train-demo"], cwd=ROOT, check=True)
    seconds = time.perf_counter() - start
    questions = read_questions(DEMO / "data")
    with tempfile.TemporaryDirectory() as scratch:
        training = Path(scratch) / "training"
        generate(training, GenerateConfig(num_scenes=CONSTANT_ROOMS, seed=CONSTANT_SEED, image_size=(256, 256)))
        said = answer_all(questions, constant_peer(read_questions(training)))
        constant = scored(questions, said, DEMO / "data", Path(scratch) / "constant.jsonl")
    report = score_file(DEMO / "predictions.jsonl", DEMO / "data", "exact")
    head = {
        task: {"n": row["n"], "corrected": round(row["corrected"], 4), "interval": row["corrected_interval"]}
        for task, row in (*report["tasks"].items(), ("all", report["all"]))
    }
    metrics = json.loads((DEMO / "model" / "metrics.jsonl").read_text().splitlines()[-1])
    result = {"seconds": round(seconds, 1), "head": head, "constant": constant, "last_epoch": metrics}
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
