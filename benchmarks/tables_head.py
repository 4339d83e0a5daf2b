"""Sections of the page of results about the geometry head."""

from __future__ import annotations

from typing import Any

from markdown_tables import table

_HEADER = ("model", "transitions", "steps", "CPU minutes")


def head_peers(result: dict[str, Any]) -> str:
    """Section on what the head is to be compared with."""
    tasks = sorted(result["peers"]["truth"]["tasks"])
    rows = [
        [
            name.replace("_", " "),
            *(f"{peer['tasks'][task]['corrected']:.2f}" for task in tasks),
            f"{peer['all']['corrected']:.3f} ({peer['all']['interval'][0]:.3f} to {peer['all']['interval'][1]:.3f})",
        ]
        for name, peer in result["peers"].items()
    ]
    counts = ", ".join(f"{task} {result['peers']['truth']['tasks'][task]['n']}" for task in tasks)
    return "\n".join(
        [
            f"## The geometry head's peers, {result['questions']} questions about rooms that nothing was chosen on\n",
            "The `exact` metric with chance taken off. Classical is SIFT and MAGSAC with K; with depth it also gets "
            "the true z-depth of the first view, which the questions do not show. Undecided answers score 0, which for "
            f"yes and no is less than chance; the constant may stand in for them. Questions: {counts}.\n",
            table(["peer", *tasks, "all (95 %)"], rows),
            "`python benchmarks/head_peers.py` writes results/head_peers.json.\n",
        ]
    )


def head(result: dict[str, Any]) -> str:
    """Section on what the head and its twin learn from so many transitions."""
    runs = result["runs"]
    tasks = sorted(runs[0]["exact"]["tasks"])
    small = result["model"]["image_size"]
    return "\n".join(
        [
            f"## The geometry head and its twin, {result['questions']} questions about rooms never trained on\n",
            "Encoder, trunk, matches, dense supervision and, about, the time on one core are the same (size `small`, "
            f"pictures of {small[0]} x {small[1]}); the twin regresses and classifies what the head computes. "
            "The `exact` metric with chance taken off; their peers are in the next section. No training room holds "
            f"{', '.join(result['held_out_kinds'])}.\n",
            table([*_HEADER, *tasks, "all (95 %)"], [_run(r, tasks) for r in runs]),
            "By how much the head's plain exact score is ahead of its twin's (95 % of bootstrap samples of rooms):\n",
            table(
                ["transitions", *tasks, "all"],
                [
                    [f"{int(size):,}", *(_gain(by_task[task]) for task in (*tasks, "all"))]
                    for size, by_task in result["ahead"].items()
                ],
            ),
            *_details(runs, tasks),
            "`python benchmarks/head.py --kept-in DIR` writes results/head.json.\n",
        ]
    )


def _details(runs: list[dict[str, Any]], tasks: list[str]) -> list[str]:
    return [
        f"On {runs[0]['pairs']['pairs']} pairs of views of other rooms, all motions alike, also those after which "
        "hardly anything is seen twice; AUC of the larger of both angles within 5, 10 and 20 degrees:\n",
        table(
            ["model", "transitions", "turn", "direction", "miss / length", "AUC", "box IoU", "gone", "claims"],
            [_pairs(r) for r in runs],
        ),
        "Of kinds never trained on, plain exact scores, and the published reward (open phrasing):\n",
        table(
            ["model", "transitions", *(f"{t}, unseen kinds" for t in runs[0]["unseen_kinds"]), *tasks],
            [
                [
                    *_name(r),
                    *(f"{v:.2f}" for v in r["unseen_kinds"].values()),
                    *(f"{r['world2vlm_open'][t]:.2f}" for t in tasks),
                ]
                for r in runs
            ],
        ),
    ]


def _name(run: dict[str, Any]) -> list[str]:
    return [{"geometric": "head", "black_box": "twin"}[run["kind"]], f"{run['transitions']:,}"]


def _run(run: dict[str, Any], tasks: list[str]) -> list[str]:
    of, low, high = run["exact"]["all"]["corrected"], *run["exact"]["all"]["interval"]
    scores = (f"{run['exact']['tasks'][task]['corrected']:.2f}" for task in tasks)
    return [
        *_name(run),
        str(run["steps"]),
        f"{run['cpu_seconds'] / 60:.0f}",
        *scores,
        f"{of:.3f} ({low:.3f} to {high:.3f})",
    ]


def _gain(found: dict[str, Any]) -> str:
    return f"{found['mean']:+.2f} ({found['interval'][0]:+.2f} to {found['interval'][1]:+.2f})"


def _pairs(run: dict[str, Any]) -> list[str]:
    p = run["pairs"]
    return [
        *_name(run),
        f"{p['rotation_deg_median']:.1f} deg",
        f"{p['direction_deg_median']:.1f} deg",
        f"{p['translation_share_median']:.2f}",
        " / ".join(f"{v:.2f}" for v in p["auc_5_10_20"]),
        f"{p['box_iou_mean']:.2f}",
        f"{p['gone_balanced']:.2f}",
        f"{p['claims_right']:.2f}",
    ]


def train_demo(result: dict[str, Any]) -> str:
    """Section on `make train-demo`."""
    tasks = sorted(task for task in result["head"] if task != "all")
    constant = {**result["constant"]["tasks"], "all": result["constant"]["all"]}
    rows = [
        [name, *(f"{found[task]['corrected']:.2f}" for task in (*tasks, "all"))]
        for name, found in (("head", result["head"]), ("constant", constant))
    ]
    return "\n".join(
        [
            "## `make train-demo`\n",
            f"From nothing to scored answers in {result['seconds'] / 60:.1f} minutes: rooms, training, a test set of "
            f"{result['head']['all']['n']} questions, answers. The `exact` metric, chance taken off:\n",
            table(["answers", *tasks, "all"], rows),
            "`python benchmarks/train_demo.py` writes results/train_demo.json.\n",
        ]
    )


def vlm(result: dict[str, Any]) -> str:
    """Section on what a tiny vision-language model learns."""
    said, (told, alone) = result["settings"], result["runs"]
    tasks = sorted(told["sft"]["exact"])
    rows = [
        ["told, fine-tuned", told["sft"]["exact"]],
        ["the same with findings of others", told["sft"]["exact_with_findings_of_others"]],
        *([f"told, then rewarded (rate {one['rate']:g})", one["exact"]] for one in told["grpo"]),
        ["not told, fine-tuned", alone["sft"]["exact"]],
        *([f"not told, then rewarded (rate {one['rate']:g})", one["exact"]] for one in alone["grpo"]),
    ]
    rewarded = [*told["grpo"], *alone["grpo"]]
    rewards = ", ".join("from {:.3f} to {:.3f}".format(*one["reward_of_first_and_last_tenth"]) for one in rewarded)
    tuning = " and ".join(_minutes(run["sft"]) for run in (told, alone))
    rewarding = ", ".join(_minutes(one) for one in rewarded)
    side = " x ".join(map(str, result["head"]["image_size"]))
    where, rooms = result["machine"].get("gpu", "CPU"), result["rooms"]["train"]["config"]["num_scenes"]
    asked = told["sft"]["exact"]["all"]["n"]
    return "\n".join(
        [
            "## A tiny vision-language model, with and without a head's findings\n",
            f"A SmolVLM of {result['parameters'] / 1e6:.1f} million drawn weights on one {where}: "
            f"{said['epochs']} epochs of {result['questions']} questions, a tenth held out, about {rooms} rooms "
            f"({tuning}), then {rewarded[0]['steps']} steps of GRPO by the `exact` metric ({rewarding}). Told are the "
            f"findings of a geometry head (pictures of {side}). Questions: {asked}, about rooms of another seed; "
            "`exact`, chance taken off (95 % interval of all):\n",
            table(
                ["model", *tasks],
                [[name, *(_told(of[task], task) for task in tasks)] for name, of in rows],
            ),
            f"Mean reward of GRPO's first and last tenth of steps, plain, in this order: {rewards}.\n",
            "Runs may share the machine.\n",
            f"`python benchmarks/vlm.py --head FOLDER --size {said['size']}` writes results/vlm.json.\n",
        ]
    )


def _told(row: dict[str, Any], task: str) -> str:
    span = " ({:.2f} to {:.2f})".format(*row["interval"]) if task == "all" else ""
    return f"{row['corrected']:.2f}{span}"


def _minutes(stage: dict[str, Any]) -> str:
    return f"{stage['seconds'] / 60:.1f} minutes"
