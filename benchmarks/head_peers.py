"""What do a constant and classical geometry score on the questions that the geometry head answers?

    python benchmarks/head_peers.py [--data DIR --train DIR] [--scenes 40] [--out benchmarks/results/head_peers.json]

By the `exact` metric, chance taken off; without --data, two datasets of rooms are made. Peers:
- constant: for each phrasing the one answer that scores best on the training dataset (D1: copying the question's box
  or the mean box);
- classical: SIFT matches, and from them the motion by MAGSAC with K (`synth.two_view`). It knows no lengths, so it
  answers turns, claims about turns and directions, and, for boxes, motions that only turn; else "undecided", scored 0;
- classical_with_depth: the same, given the true z-depth picture of the first view, which the questions do not show.
  Boxes are lifted by it, moved by the told motion and projected; what hides them is what the first view knows;
- classical_or_constant, classical_with_depth_or_constant: the constant where these are undecided;
- truth: the dataset's answers, which must score 1.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from classical_peer import ZDepth, classical
from machine import machine, write_result

from geom.boxes import denormalise_box
from models.questions import Asked, Public, exact_truth, read_questions, true_answer, true_z_depth, write_answers
from synth.answers import Answer, BoxAnswer
from synth.exact import score
from synth.pipeline import GenerateConfig, generate
from synth.predictions import score_file

IMAGE_SIZE, SCENES = (256, 256), 40
TRAIN_SEED, TEST_SEED = 8, 7
MOST_TRIED, MOST_GRADED = 100, 400
"""Constants that are tried for a phrasing, and training questions that they are tried on."""

Answerer = Callable[[Public, ZDepth | None], Answer | None]


def main() -> None:
    """Read or make the data, answer, score, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="dataset whose questions are answered")
    parser.add_argument("--train", type=Path, help="dataset that the constants are chosen on")
    parser.add_argument("--scenes", type=int, default=SCENES, help="rooms of each dataset, where none is given")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "head_peers.json")
    args = parser.parse_args()
    if (args.data is None) != (args.train is None):
        parser.error("--data and --train go together: constants are never chosen on the questions they answer")
    with tempfile.TemporaryDirectory() as scratch:
        data, train = args.data or Path(scratch) / "data", args.train or Path(scratch) / "train"
        if args.data is None:
            for out, seed in ((data, TEST_SEED), (train, TRAIN_SEED)):
                generate(out, GenerateConfig(num_scenes=args.scenes, seed=seed, image_size=IMAGE_SIZE))
        result = measure(read_questions(data), read_questions(train), data, Path(scratch))
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=1))


def measure(questions: Sequence[Asked], training: Sequence[Asked], data: Path, scratch: Path) -> dict[str, Any]:
    """Scores of every peer on the questions of a dataset."""
    answers: dict[str, list[Answer | None]] = {"constant": answer_all(questions, constant_peer(training))}
    seconds = {}
    for name, with_depth in (("classical", False), ("classical_with_depth", True)):
        start = time.perf_counter()
        answers[name] = answer_all(questions, classical, with_depth=with_depth)
        seconds[name] = round((time.perf_counter() - start) / len(questions), 4)
        either = zip(answers[name], answers["constant"], strict=True)
        answers[f"{name}_or_constant"] = [constant if said is None else said for said, constant in either]
    answers["truth"] = [true_answer(one) for one in questions]
    return {
        "questions": len(questions),
        "training_questions": len(training),
        "peers": {name: scored(questions, said, data, scratch / "answers.jsonl") for name, said in answers.items()},
        "seconds_per_question": seconds,
    }


def answer_all(questions: Sequence[Asked], peer: Answerer, *, with_depth: bool = False) -> list[Answer | None]:
    """The answers of one peer; only with_depth gets the true z-depth of the first view."""
    return [peer(one.public(), true_z_depth(one) if with_depth else None) for one in questions]


def scored(questions: Sequence[Asked], answers: Sequence[Answer | None], data: Path, path: Path) -> dict[str, Any]:
    """Per task: n, the exact score with chance taken off and its interval, and how many are undecided.

    `where_decided` is the plain mean of the exact score over the answers that were given.
    """
    write_answers(path, zip(questions, answers, strict=True))
    report = score_file(path, data, "exact")
    given: dict[str, list[float]] = defaultdict(list)
    for one, said, row in zip(questions, answers, report["scores"], strict=True):
        if said is not None:
            given[one.task_type].append(row["overall"])
    tasks = {task: _row(row) | _decided(row["n"], given[task]) for task, row in report["tasks"].items()}
    return {"tasks": tasks, "all": _row(report["all"])}


def _decided(n: int, given: Sequence[float]) -> dict[str, Any]:
    return {"undecided": n - len(given), "where_decided": round(float(np.mean(given)), 4) if given else None}


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    interval = [round(v, 4) for v in row["corrected_interval"]]
    return {"n": row["n"], "corrected": round(row["corrected"], 4), "interval": interval}


# --- the constant answer


def constant_peer(training: Sequence[Asked]) -> Answerer:
    """Answers each phrasing with what scores best on the training questions of that phrasing."""
    pool: dict[tuple[str, str], list[Asked]] = defaultdict(list)
    for one in training:
        pool[one.task_type, one.variant].append(one)
    table = {phrasing: best_constant(same[:: -(-len(same) // MOST_GRADED)]) for phrasing, same in pool.items()}

    def answer(asked: Public, z_depth: ZDepth | None) -> Answer:
        if (asked.task_type, asked.variant) not in table:
            raise ValueError(
                f"the training questions must have some of {asked.task_type} {asked.variant}, got"
                f" {len(training)} with none; take a larger training dataset"
            )
        return table[asked.task_type, asked.variant](asked)

    return answer


def best_constant(same: Sequence[Asked]) -> Callable[[Public], Answer]:
    """The best single answer to questions of one phrasing."""
    if same[0].task_type == "D1":
        return _best_box(same)
    tried = Counter(map(true_answer, same)).most_common(MOST_TRIED)
    best = max((answer for answer, _ in tried), key=lambda answer: mean_score(same, lambda one: answer))
    return lambda asked: best


def _best_box(same: Sequence[Asked]) -> Callable[[Public], Answer]:
    """The question's own box, or the mean of the true ones."""
    edges = np.mean([one.truth["answer"]["box_1000"] for one in same], 0)
    mean = _box_answer([round(edge) for edge in edges.tolist()], same[0].image_size)
    means, copies = (lambda asked: mean), (lambda asked: _box_answer(asked.asked["box"], asked.image_size))
    return max(means, copies, key=lambda answer: mean_score(same, answer))


def _box_answer(box_1000: Sequence[int], size: tuple[int, int]) -> BoxAnswer:
    x1, y1, x2, y2 = box_1000
    left, top, right, bottom = denormalise_box(box_1000, *size).tolist()
    return BoxAnswer((x1, y1, x2, y2), (left, top, right, bottom))


def mean_score(same: Sequence[Asked], answer: Callable[[Any], Answer]) -> float:
    """Mean exact score of answers, both true answers of a yes-no task weighing the same."""
    by_truth: dict[bool, list[float]] = defaultdict(list)
    for one in same:
        truth = exact_truth(one)
        by_truth[truth.value is True].append(score(truth, one.response(answer(one)))["overall"])
    return float(np.mean([np.mean(scores) for scores in by_truth.values()]))


if __name__ == "__main__":
    main()
