"""What do guesses score, and how many answers a second are scored?

    python benchmarks/score.py [--scenes 110] [--answers 200000] [--repeats 3] [--out benchmarks/results/score.json]

On a generated dataset (labels only), by the `exact` metric with chance taken off, and by the published reward:
- truth: the dataset's own answers;
- constant: one answer for each phrasing, the one that scores best in hindsight among the 40 most frequent;
- random: the right answers dealt out among the questions of a phrasing;
- copy_box: for D1 the question's own box, for D4 "same" where the question's two boxes overlap by half;
- listing: for A1 and A2 eight guesses in one answer.
Speed: answers with the wording and errors of a model, scored in this process by one core; `command` is the whole
`theodolite score` on a file of them by two workers, from start-up to printing every score, intervals and all; the peer
is the least anybody could do, reading the same lines and comparing texts.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from generate import spread
from machine import machine, write_result

from synth import exact, reward_world2vlm
from synth.dataset import Row, find_subsets, read_rows
from synth.pipeline import GenerateConfig, generate
from synth.scoring import Graded, summarise

LISTED = {
    "A1": "; ".join(f"move {way} {size} meters" for way in ("forward", "backward", "left", "right") for size in (1, 4)),
    "A2": "; ".join(f"turn {way} {size} degrees" for way in ("left", "right") for size in (15, 40, 65, 90)),
}
Answers = Callable[[Row], str]


def main() -> None:
    """Make the data, score the guesses, time the scorers, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=110)
    parser.add_argument("--answers", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, help="a dataset that is there already")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "score.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = args.data or Path(scratch) / "data"
        if args.data is None:
            generate(data, GenerateConfig(num_scenes=args.scenes, labels_only=True), workers=args.workers)
        rows = [row for subset in find_subsets(data) for row in read_rows(subset)]
        result = {
            "questions": len(rows),
            "phrasings": len({_phrasing(row) for row in rows}),
            "guesses": {name: measure(rows, answers) for name, answers in guesses(rows).items()},
            "speed": speed(rows, args.answers, args.repeats, Path(scratch)),
        }
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=2))


def guesses(rows: list[Row]) -> dict[str, Answers]:
    """Name to a function that answers without looking (the truth for comparison)."""
    pool = defaultdict(list)
    for row in rows:
        pool[_phrasing(row)].append(row)
    constant = {phrasing: best_constant(same) for phrasing, same in pool.items()}
    rng = random.Random(0)
    return {
        "truth": _truth,
        "constant": lambda row: constant[_phrasing(row)],
        "random": lambda row: _truth(rng.choice(pool[_phrasing(row)])),
        "copy_box": lambda row: copied(row) or constant[_phrasing(row)],
        "listing": lambda row: LISTED.get(row[0]["task_type"], constant[_phrasing(row)]),
    }


def _phrasing(row: Row) -> tuple[str, str]:
    return row[0]["task_type"], row[1]["variant"]


def _truth(row: Row) -> str:
    return row[0]["messages"][1]["content"]


def best_constant(rows: list[Row]) -> str:
    """The answer that would score best if it were given to every question."""
    tried = [answer for answer, _ in Counter(map(_truth, rows)).most_common(40)]
    truths = [exact.read_truth(exact.ground_truth(*row)) for row in rows]
    return max(tried, key=lambda answer: sum(exact.score(truth, answer)["overall"] for truth in truths))


def copied(row: Row) -> str | None:
    """The answer that the question's boxes suggest."""
    task, proof = row
    if task["task_type"] == "D1":
        return str(proof["asked"]["box"])
    if task["task_type"] != "D4":
        return None
    is_same = exact.box_iou(tuple(proof["asked"]["box"]), tuple(proof["asked"]["box_after"])) > 0.5
    yes, no = {
        "open": ("yes", "no"),
        "choice": ("A", "B"),
        "sentence": ("They are the same physical object instance.", "They are different object instances."),
    }[proof["variant"]]
    return yes if is_same else no


def measure(rows: list[Row], answers: Answers) -> dict[str, Any]:
    """Per task: the exact metric with chance taken off and its interval, and the published reward."""
    graded, published = [], defaultdict(list)
    for row in rows:
        task, proof = row
        truth, answer = exact.read_truth(exact.ground_truth(task, proof)), answers(row)
        scene = proof["transition"]["scene_id"]
        graded.append(Graded(task["task_type"], exact.score(truth, answer)["overall"], scene, truth))
        packed = reward_world2vlm.pack(task["task_type"], _truth(row))
        published[task["task_type"]].append(reward_world2vlm.score(answer, packed)["overall"])
    found = summarise(graded)["tasks"]
    return {
        task: {
            "exact": round(stats["mean"], 4),
            "corrected": round(stats["corrected"], 4),
            "interval": [round(v, 4) for v in stats["corrected_interval"]],
            "world2vlm": round(sum(published[task]) / len(published[task]), 4),
        }
        for task, stats in found.items()
    }


def speed(rows: list[Row], count: int, repeats: int, scratch: Path) -> dict[str, Any]:
    """Answers a second: each metric in this process, the command on a file, and the peer."""
    asked = [(exact.ground_truth(*row), wording(row, i)) for i, row in enumerate(islice(cycle(rows), count))]
    lines = [json.dumps({"ground_truth": truth, "response": response}) for truth, response in asked]
    file = scratch / "predictions.jsonl"
    file.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "theodolite", "score", str(file), "--json", "--metric"]
    runs = {
        "exact": lambda: [exact.score(exact.read_truth(truth), response) for truth, response in asked],
        "world2vlm": lambda: [reward_world2vlm.score(response, truth) for truth, response in asked],
        "command_exact": lambda: subprocess.run([*command, "exact"], capture_output=True, check=True),
        "command_world2vlm": lambda: subprocess.run([*command, "world2vlm"], capture_output=True, check=True),
        "peer_read_and_compare": lambda: [_compare(json.loads(line)) for line in file.open()],
    }
    return {"answers": count} | {
        name: spread([count / _seconds(run) for _ in range(repeats)]) for name, run in runs.items()
    }


def _compare(row: dict[str, str]) -> bool:
    return json.loads(row["ground_truth"])["answer"] == row["response"]


def _seconds(run: Callable[[], Any]) -> float:
    exact.read.cache_clear()
    exact.read_truth.cache_clear()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def wording(row: Row, number: int) -> str:
    """An answer as models give it: rarely the same twice, sometimes wrong, sometimes talkative."""
    rng = random.Random(number)
    words = _truth(row).split(" ")
    words = [str(round(float(w) * rng.uniform(0.8, 1.2), 3)) if w.replace(".", "").isdigit() else w for w in words]
    text = " ".join(words)
    return rng.choice(["{}", "{}.", "The answer is {}", "<think>let me see {}</think> {}"]).replace("{}", text)


if __name__ == "__main__":
    main()
