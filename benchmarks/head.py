"""What does it bring to compute the answers? The geometry head and its black-box twin, by size of training data.

    python benchmarks/head.py --kept-in DIR [--kinds geometric black_box] [--transitions 1000 10000 100000]
                              [--rows FILE] [--out benchmarks/results/head.json]

Both have the same encoder, trunk, matches, dense supervision and about the same training time on one core; the twin
regresses and classifies what the head computes. Training rooms hold none of HELD_OUT_KINDS; the questions are those of
`head_peers.py` (other seeds, all kinds), so its constant and classical scores stand beside them.

--rows keeps what each finished run measured, so that runs can be spread over processes (give each its --kinds) and
taken up again; the result is written when all are there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head_peers import IMAGE_SIZE, SCENES, TEST_SEED, scored
from machine import machine, write_result

from geom.pose_error import direction_error, pose_auc
from models.answering import answers
from models.claims import claimed_motions
from models.config import SIZES, ModelConfig, count_head
from models.fit import FitConfig, fit
from models.head import LEAST_M
from models.losses import cleared
from models.model import Model, camera_of
from models.module import errors
from models.pairs import Pairs
from models.questions import Asked, read_questions, write_answers
from models.rooms import RoomConfig, room_pairs
from models.weights import load_model
from synth.pipeline import GenerateConfig, generate
from synth.predictions import score_file
from synth.prompts import PHRASINGS

HELD_OUT_KINDS = ("armchair", "basket", "floor lamp", "guitar", "refrigerator", "stool")
STEPS = {1_000: 600, 10_000: 1_500, 100_000: 4_000}
STEPS_OF_TWIN = 1.2
"""A step of the twin takes so much less time; it makes so many more."""
PARTS, ROOMS_PER_BATCH, OF_A_ROOM = 4, 3, 12
TEST_ROOMS = 40
RESAMPLES = 2000


def main() -> None:
    """Train what is not there yet, answer, score, write the result when all is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept-in", type=Path, required=True, help="folder of rooms that were made; others are added")
    parser.add_argument("--kinds", nargs="+", default=["geometric", "black_box"])
    parser.add_argument("--transitions", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--rows", type=Path, help="JSON lines of runs that are done")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "head.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        rows_file = args.rows or Path(scratch) / "rows.jsonl"
        data = Path(scratch) / "data"
        generate(data, GenerateConfig(num_scenes=SCENES, seed=TEST_SEED, image_size=IMAGE_SIZE))
        questions = read_questions(data)
        for transitions in args.transitions:
            for kind in args.kinds:
                if (kind, transitions) not in _rows(rows_file):
                    row = run(kind, transitions, args.kept_in, questions, data, Path(scratch))
                    with rows_file.open("a") as file:
                        file.write(json.dumps(row) + "\n")
        rows = _rows(rows_file)
    if {kind for kind, _ in rows} == {"geometric", "black_box"}:
        write_result(args.out, collected(rows, questions) | {"machine": machine()})


def _rows(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return {(row["kind"], row["transitions"]): row for row in map(json.loads, lines)}


def run(
    kind: str, transitions: int, kept_in: Path, questions: Sequence[Asked], data: Path, scratch: Path
) -> dict[str, Any]:
    """Train one model and measure it."""
    factor = STEPS_OF_TWIN if kind == "black_box" else 1
    steps = round(STEPS[transitions] * factor / 10)
    config = ModelConfig.from_dict(SIZES["small"].to_dict() | {"kind": kind})
    how = FitConfig(
        epochs=10,
        batches_per_epoch=steps,
        rooms=-(-transitions // OF_A_ROOM),
        parts=PARTS,
        rooms_per_batch=ROOMS_PER_BATCH,
        held_out=4,
        learning_rate=2e-3,
        without_kinds=HELD_OUT_KINDS,
        kept_in=str(kept_in),
        accelerator="cpu",
        devices=1,
    )
    out = scratch / f"{kind}-{transitions}"
    start = time.process_time()
    fit(out, config, how, show=False)
    seconds = time.process_time() - start
    _, model = load_model(out)
    head, whole = count_head(model), sum(p.numel() for p in model.parameters())
    said = answers(model, questions, config.image_size, preset="theodolite")
    return {
        "kind": kind,
        "transitions": transitions,
        "steps": steps * 10,
        "cpu_seconds": round(seconds),
        "parameters": {"head": head, "encoder": whole - head},
        **_scores(questions, said, data, scratch),
        "pairs": pair_errors(model, config.image_size),
    }


def _scores(questions: Sequence[Asked], said: Sequence[Any], data: Path, scratch: Path) -> dict[str, Any]:
    """By the exact metric, also of the kinds never trained on, and by the published reward where it reads the words."""
    path = scratch / "answers.jsonl"
    found = scored(questions, said, data, path)
    each = [row["overall"] for row in score_file(path, data, "exact")["scores"]]
    unseen = [n for n, one in enumerate(questions) if one.asked.get("label") in HELD_OUT_KINDS]
    open_ = [n for n, one in enumerate(questions) if PHRASINGS[one.task_type, one.variant].is_open]
    write_answers(path, [(questions[n], said[n]) for n in open_])
    reward = {t: round(row["mean"], 4) for t, row in score_file(path, data, "world2vlm")["tasks"].items()}
    of_unseen = {
        task: round(float(np.mean([each[n] for n in unseen if questions[n].task_type == task])), 4)
        for task in sorted({questions[n].task_type for n in unseen})
    }
    return {"exact": found, "unseen_kinds": of_unseen, "world2vlm_open": reward, "each": each}


@torch.no_grad()
def pair_errors(model: Model, image_size: tuple[int, int]) -> dict[str, Any]:
    """Errors on pairs of rooms with all kinds, none of which was trained on."""
    parts = (room_pairs(RoomConfig(TEST_SEED, image_size, 3), n) for n in range(TEST_ROOMS))
    rows = [_errors(model, part, n) for n, part in enumerate(parts) if part is not None]
    all_ = {name: torch.cat([row[name] for row in rows]).double().numpy() for name in rows[0]}
    moves = all_["length"] > LEAST_M
    worst = np.maximum(all_["rotation_deg"], np.where(moves, all_["direction_deg"], 0.0))
    gone, told = all_["gone"] > 0.5, all_["told_gone"] > 0.5
    return {
        "pairs": len(worst),
        "rotation_deg_median": _round(np.median(all_["rotation_deg"])),
        "direction_deg_median": _round(np.median(all_["direction_deg"][moves])),
        "translation_share_median": _round(np.median(all_["translation_share"])),
        "auc_5_10_20": [_round(pose_auc(torch.from_numpy(worst), limit)) for limit in (5.0, 10.0, 20.0)],
        "box_iou_mean": _round(np.mean(all_["box_iou"])),
        "gone_balanced": _round((np.mean(told[gone]) + np.mean(~told[~gone])) / 2),
        "claims_right": _round(np.mean(all_["claim_right"])),
        "rotation_within_told_sd": {
            str(times): _round(np.mean(all_["rotation_deg"] <= times * all_["rotation_sd_deg"]))
            for times in (0.693, 2.303)
        },
        "box_items": len(all_["box_iou"]),
    }


def _round(value: Any) -> float:
    return round(float(value), 4)


def _errors(model: Model, pairs: Pairs, number: int) -> dict[str, torch.Tensor]:
    camera, true = camera_of(pairs), pairs.T_a_b
    a, b = model.views(pairs.image, camera)
    guess = model.motion(a, b)
    told = {name: torch.tensor(values) for name, values in errors(model, pairs).items()}
    box = pairs.box[:, :, 0].nan_to_num(0.0)
    clear, seen = cleared(pairs)
    T_claimed, is_true = claimed_motions(pairs, torch.Generator().manual_seed(number))
    return {
        "rotation_deg": told["rotation_deg"],
        "rotation_sd_deg": torch.rad2deg(guess.rotation_sd),
        "direction_deg": torch.rad2deg(direction_error(guess.T_a_b.t, true.t)).nan_to_num(90.0),
        "translation_share": told["translation_share"],
        "length": true.t.norm(dim=-1),
        "box_iou": 1 - told["box"],
        "gone": ~seen[clear],
        "told_gone": (model.is_visible(a, box, camera, true) <= 0)[clear],
        "claim_right": (model.is_motion(a, b, T_claimed) > 0) == is_true,
    }


def collected(rows: dict[tuple[str, int], dict[str, Any]], questions: Sequence[Asked]) -> dict[str, Any]:
    """All runs, and how far the head is ahead of its twin at each size."""
    sizes = sorted({size for kind, size in rows if all((one, size) in rows for one in ("geometric", "black_box"))})
    return {
        "questions": len(questions),
        "held_out_kinds": HELD_OUT_KINDS,
        "model": SIZES["small"].to_dict(),
        "runs": [{k: v for k, v in row.items() if k != "each"} for _, row in sorted(rows.items())],
        "ahead": {
            str(size): ahead([rows[kind, size]["each"] for kind in ("geometric", "black_box")], questions)
            for size in sizes
        },
    }


def ahead(each: Sequence[Sequence[float]], questions: Sequence[Asked]) -> dict[str, Any]:
    """Difference of the plain exact scores, by task and over all, with 95 % of bootstrap samples of whole rooms."""
    rng, gain = np.random.default_rng(0), np.subtract(*map(np.asarray, each))
    groups = sorted({one.group for one in questions})
    place = np.array([groups.index(one.group) for one in questions])
    found = {}
    for task in (*sorted({one.task_type for one in questions}), "all"):
        mine = np.array([task in (one.task_type, "all") for one in questions])
        total = np.bincount(place[mine], gain[mine], len(groups))
        count = np.bincount(place[mine], minlength=len(groups))
        drawn = rng.integers(len(groups), size=(RESAMPLES, len(groups)))
        means = total[drawn].sum(1) / np.maximum(count[drawn].sum(1), 1)
        found[task] = {
            "mean": _round(gain[mine].mean()),
            "interval": [_round(v) for v in np.quantile(means, (0.025, 0.975))],
        }
    return found


if __name__ == "__main__":
    main()
