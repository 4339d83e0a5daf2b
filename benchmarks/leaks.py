"""Can the questions be answered without looking? Blind baselines on a generated dataset.

    python benchmarks/leaks.py [--scenes 110] [--seed 0] [--workers 2] [--out benchmarks/results/leaks.json]

Makes a dataset (labels only: no pictures are needed), then scores, per task:
- constant: the most frequent answer;
- text: a classifier trained on the prompts (TF-IDF of words and word pairs + logistic regression), cross-validated
  with whole scenes held out;
- text_numbers: a stronger one (gradient-boosted trees on every number of the prompt and the words' counts): it may
  use the stated boxes and motion as geometry, which is reasoning and no leak, and is published beside the others;
- copy_box: for D1 the question's box as the answer; for D4 "same" when the two boxes overlap enough.
Accuracies are chance-corrected: (accuracy - chance) / (1 - chance), chance 1/2 for yes-no tasks.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, write_result
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from synth.dataset import find_subsets, read_rows
from synth.pipeline import GenerateConfig, generate
from synth.verify_record import iou

BINARY = {"A4": "is_true", "D2": "is_gone", "D4": "is_same"}
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def main() -> None:
    """Make the data, score the baselines, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=110)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, help="a dataset that is there already")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "leaks.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = args.data or Path(scratch) / "data"
        if args.data is None:
            config = GenerateConfig(num_scenes=args.scenes, seed=args.seed, labels_only=True)
            generate(data, config, workers=args.workers)
        rows = [row for subset in find_subsets(data) for row in read_rows(subset)]
    result = {"questions": len(rows), "scenes": args.scenes, "seed": args.seed, "tasks": measure(rows)}
    write_result(args.out, result | {"machine": machine()})
    print(json.dumps(result, indent=2))


def measure(rows: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """All baselines for each task."""
    by_task = defaultdict(list)
    for task, proof in rows:
        by_task[task["task_type"]].append((task, proof))
    return {name: _measure_task(name, by_task[name]) for name in sorted(by_task)}


def _measure_task(name: str, rows: list[Any]) -> dict[str, Any]:
    answers = np.array([_answer_key(name, task, proof) for task, proof in rows])
    prompts = [task["messages"][0]["content"] for task, _ in rows]
    scenes = [proof["transition"]["scene_id"] for _, proof in rows]
    chance = 0.5 if name in BINARY else 0.0
    counts = Counter(answers.tolist())
    found: dict[str, Any] = {"questions": len(rows), "answers": len(counts)}
    found["constant"] = corrected(max(counts.values()) / len(rows), chance)
    if name == "D1":
        found |= copied_boxes(rows)
    elif len(counts) > 1:
        found["text"] = corrected(_accuracy(_text_model(), prompts, answers, scenes), chance)
    if name in BINARY:
        numbers = _number_table(prompts)
        found["text_numbers"] = corrected(
            _accuracy(HistGradientBoostingClassifier(random_state=0), numbers, answers, scenes), chance
        )
    if name == "D4":
        overlap = np.array([[iou(*(np.array(b["box_px"]) for b in proof["boxes"]))] for _, proof in rows])
        stump = HistGradientBoostingClassifier(max_depth=1, max_iter=1, random_state=0)
        found["copy_box"] = corrected(_accuracy(stump, overlap, answers, scenes), chance)
    return found


def corrected(accuracy: float, chance: float) -> float:
    """Accuracy on a scale where guessing is 0 and the truth 1."""
    return round((accuracy - chance) / (1 - chance), 4)


def copied_boxes(rows: list[Any]) -> dict[str, float]:
    """How well the question's own box would do as the answer."""
    overlap = [iou(*(np.array(b["box_px"]) for b in proof["boxes"])) for _, proof in rows]
    return {
        "copy_box_mean_iou": round(float(np.mean(overlap)), 4),
        "copy_box_iou_above_half": round(float(np.mean(np.array(overlap) > 0.5)), 4),
    }


def _answer_key(name: str, task: dict[str, Any], proof: dict[str, Any]) -> Any:
    return bool(proof["answer"][BINARY[name]]) if name in BINARY else task["messages"][1]["content"]


def _text_model() -> Any:
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"[A-Za-z]+|\d+(?:\.\d+)?"),
        LogisticRegression(max_iter=1000),
    )


def _accuracy(model: Any, features: Any, answers: Any, groups: list[str]) -> float:
    folds = GroupKFold(n_splits=min(5, len(set(groups))))
    return float((cross_val_predict(model, features, answers, groups=groups, cv=folds) == answers).mean())


def _number_table(prompts: list[str]) -> Any:
    words = TfidfVectorizer(max_features=60, use_idf=False).fit_transform(prompts).toarray()
    numbers = [[float(n) for n in NUMBER.findall(prompt)][:16] for prompt in prompts]
    table = np.full((len(prompts), 16), -1.0)
    for row, values in zip(table, numbers, strict=True):
        row[: len(values)] = values
    return np.hstack([table, words])


if __name__ == "__main__":
    main()
