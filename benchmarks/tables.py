"""Write benchmarks/README.md from the committed results, so that no figure in it is typed by hand.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markdown_tables import spread, table
from tables_check import calibrate, check, check_speed, executed, executed_path, focal
from tables_head import head, head_peers, train_demo, vlm

HERE = Path(__file__).parent


def main() -> None:
    """Rewrite the page."""
    (HERE / "README.md").write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page as text."""
    results = {path.stem: json.loads(path.read_bytes()) for path in sorted((HERE / "results").glob("*.json"))}
    parts = [_LEAD, *(SECTIONS[name](result) for name, result in results.items()), _machines(results)]
    return "\n".join(parts)


def generate(result: dict[str, Any]) -> str:
    """Section on the speed of generation."""
    rows, stages = [], []
    for name in ("pictures", "labels_only"):
        r = result[name]
        rows.append(
            [
                name.replace("_", " "),
                spread(r["samples_per_s"]),
                spread(r["samples_per_s_steady"]),
                spread(r["transitions_per_s"]),
                r["samples_per_transition"],
                r["minutes_for_100k_samples"],
                f"{r['bytes_per_transition'] / 1e6:.2f} MB",
            ]
        )
        stages.append([name.replace("_", " "), *(r["stage_ms_per_transition"].get(s, "-") for s in STAGES)])
    peer = result["peer_cast_and_encode"]
    width, height = result["image_size"]
    return "\n".join(
        [
            f"## Generation, {width}x{height}, {result['workers']} workers, {result['scenes']} rooms a run\n",
            "From an empty folder to written files, start-up included; `steady` leaves start-up out.\n",
            table(
                [
                    "what",
                    "samples/s",
                    "steady",
                    "transitions/s",
                    "samples a transition",
                    "min for 100k",
                    "disk a transition",
                ],
                rows,
            ),
            "Where the time goes, ms of one core a transition:\n",
            table(["what", *STAGES], stages),
            f"Peer, Open3D's own pinhole rays and OpenCV's PNG of two rasters, no shading, no labels: cast "
            f"{spread(peer['cast_ms_per_view'])} ms and encode {spread(peer['encode_ms_per_view'])} ms a view.\n",
            "`python benchmarks/generate.py` writes results/generate.json.\n",
        ]
    )


STAGES = ("room", "cast", "shade", "encode", "write", "label")


def verify(result: dict[str, Any]) -> str:
    """Section on the speed of verification."""
    return "\n".join(
        [
            "## Verification\n",
            table(
                ["labels", "mismatches", "wall s", "s per 1,000", "peer: `generate`'s label stage, core s per 1,000"],
                [
                    [
                        result["labels"],
                        result["mismatches"],
                        spread(result["wall_s"]),
                        spread(result["s_per_1000_labels"]),
                        result["generate_label_stage_s_per_1000"],
                    ]
                ],
            ),
            "`python benchmarks/verify.py` writes results/verify.json.\n",
        ]
    )


def leaks(result: dict[str, Any]) -> str:
    """Section on what can be answered without looking."""
    keys = ("questions", "answers", "constant", "text", "text_numbers", "copy_box", "copy_box_mean_iou")
    rows = [[task, *(found.get(key, "-") for key in keys)] for task, found in result["tasks"].items()]
    return "\n".join(
        [
            f"## What can be answered without looking ({result['questions']} questions)\n",
            "Accuracy on a scale where chance is 0 and the truth 1 (so 0.1 is 5 points of accuracy above chance for a "
            "yes-no task). `text_numbers` is free to use the boxes and motions that the prompt states as geometry, "
            "which is no leak: from them alone a turn's D2 can be computed, and often that D4's second box went the "
            "wrong way. It shows how much of a task can be reasoned out without the picture.\n",
            table(["task", *keys], rows),
            "`python benchmarks/leaks.py` writes results/leaks.json.\n",
        ]
    )


def mutants(result: dict[str, Any]) -> str:
    """Section on broken signs and comparisons that a test notices."""
    rows = [
        [name, found["tried"], found["tried"] - len(found["survivors"]), "; ".join(found["survivors"]) or "-"]
        for name, found in result["modules"].items()
    ]
    return "\n".join(
        [
            "## Signs and comparisons, broken one at a time\n",
            table(["module", "mutants", "noticed by a test", "not noticed"], rows),
            "`python benchmarks/mutants.py NAMES --write` writes results/mutants.json.\n",
        ]
    )


def score(result: dict[str, Any]) -> str:
    """Section on what guesses score, and how fast scoring is."""
    names = list(result["guesses"])
    tasks = list(result["guesses"]["truth"])
    corrected = [[t, *(f"{result['guesses'][name][t]['corrected']:.3f}" for name in names)] for t in tasks]
    published = [[t, *(f"{result['guesses'][name][t]['world2vlm']:.3f}" for name in names)] for t in tasks]
    rates = result["speed"]
    speeds = [[name.replace("_", " "), spread(rates[name])] for name in rates if name != "answers"]
    return "\n".join(
        [
            f"## What guesses score ({result['questions']} questions, {result['phrasings']} phrasings)\n",
            "`constant` is the best single answer to each phrasing in hindsight, `random` the right answers dealt out, "
            "`copy_box` the question's box (D1) or its overlap (D4), `listing` eight guesses in one answer to A1 and "
            "A2; elsewhere the last two are the constant. The `exact` metric, chance taken off:\n",
            table(["task", *names], corrected),
            "The published reward for the same answers; the truth is below 1 where it cannot read the phrasing:\n",
            table(["task", *names], published),
            f"Answers scored a second, {rates['answers']} answers of varied wording, one core unless said:\n",
            table(["what", "answers/s"], speeds),
            "`command` is the whole `theodolite score` with start-up, on two cores; the peer reads the same lines and "
            "compares texts.\n",
            "`python benchmarks/score.py` writes results/score.json.\n",
        ]
    )


def conventions(result: dict[str, Any]) -> str:
    """Section on planted mistakes of convention."""
    rows = []
    for name, m in result["mistakes"].items():
        where = ", ".join(f"{motion} {count}" for motion, count in m["cannot_be_seen_in"].items()) or "-"
        rows.append([name, m["can_be_seen"], m["caught"], m["named"], len(m["missed"]), where])
    absent = ", ".join(result["real_data_absent"]) or "none"
    short = result["three_frames_alone"].values()
    three = {key: sum(m[key] for m in short) for key in ("can_be_seen", "caught")}
    return "\n".join(
        [
            f"## Wrong conventions ({result['sequences']} sequences, {len(result['mistakes'])} mistakes each)\n",
            f"Caught where they can be seen: {100 * result['caught_share']:.1f} %. Right sequences, with windows of a "
            f"few frames and with drifting poses and biased depth: {result['right_sequences']}, alarms on them: "
            f"{len(result['false_alarms'])}. The most that undoing any mistake gained there was "
            f"{result['largest_gain_on_right_data']}, where an alarm needs 0.1, and "
            f"{result['largest_gain_on_windows']} in the "
            f"{result['right_windows_of_few_frames']} windows, where 2 or 3 frames need 0.25. "
            f"Of three frames alone: {three['caught']} of {three['can_be_seen']} mistakes caught. "
            f"{result['seconds_per_sequence']} s a sequence. Recorded data absent: {absent}.\n",
            table(["planted", "can be seen", "caught", "named rightly", "missed", "cannot be seen in"], rows),
            "Most that is missed is motion sideways alone, where depth of another camera, depth along rays or K of "
            "half the size differ by no more than drift does; one factor on all lengths can never be seen.\n",
            "`python benchmarks/conventions.py` writes results/conventions.json.\n",
        ]
    )


def recorded(result: dict[str, Any]) -> str:
    """Section on objects of recorded views."""
    same, boxes = result["identity"], result["boxes"]
    rows = [
        ["same or different object", f"{same['object_pairs']} pairs", same["agreement"], "-"],
        ["same", f"{same['same']['pairs']} pairs", same["same"]["agreement"], "-"],
        ["different", f"{same['different']['pairs']} pairs", same["different"]["agreement"], "-"],
        ["median IoU of boxes", f"{boxes['boxes']} boxes", boxes["median_iou"], boxes["peer_median_iou"]],
        ["boxes good enough to ask about", f"{boxes['boxes']} boxes", boxes["asked_about"], "-"],
    ]
    return "\n".join(
        [
            f"## Objects of a recorded shelf ({result['views']} RGB-D views, {result['objects']} objects)\n",
            "Geometry (lifted by depth, moved, held against the depth measured there) against the masks, which take no "
            "part in saying where an object is in their own view. The peer keeps the box of the view before:\n",
            table(["what", "of", "geometry", "peer"], rows),
            "`python benchmarks/recorded.py` writes results/recorded.json, where the views are at hand.\n",
        ]
    )


_ALLOCATORS = {"default_allocator": "default", "memory_kept": "keeps memory"}


def warp(result: dict[str, Any]) -> str:
    """Section on warping on a CPU."""
    rows = [
        [way, name, *(spread(times[batch]) if batch in times else "" for batch in ("1", "8", "64"))]
        for key, name in _ALLOCATORS.items()
        for way, times in result[key].items()
        if isinstance(times.get("8"), dict)
    ]
    (width, height), rays = result["image_size"], result["against_rays"]
    return "\n".join(
        [
            f"## Warps on a CPU (3 x {height} x {width}, float32, {result['threads']} threads, ms a frame)\n",
            "`warp_frame_depth` of kornia and `remap` of OpenCV (with a projection by numpy, pictures laid out as it "
            "wants them) test no occlusion; ours does where nothing else is said. The allocator either has its "
            "defaults or is told to keep memory mapped.\n",
            table(["way", "allocator", "batch of 1", "of 8", "of 64"], rows),
            _warp_ratios(result),
            f"Against float64 rays through {rays['rooms']} rooms, {rays['views']} views: what is hidden, IoU "
            f"{rays['hidden_iou']:g} over all pixels (aim: 0.98), and {rays['hidden_iou_where_pixels_can_tell']:g} "
            "where the nine pixels of the source around a point agree (elsewhere an edge runs between their centres). "
            f"Colour of what is seen: off by {rays['median_colour_off_of_255']:g} of 255 in the median (aim: 1).\n",
            "`python benchmarks/warp.py` writes results/warp.json.\n",
        ]
    )


def _warp_ratios(result: dict[str, Any]) -> str:
    def ratio(over: str, under: str, batch: str = "64") -> str:
        medians = ((result[key][over][batch]["median"], result[key][under][batch]["median"]) for key in _ALLOCATORS)
        return " and ".join(f"{above / below:.1f}" for above, below in medians)

    def many(way: str) -> str:
        found = result["default_allocator"]["microseconds_a_frame_of_80x60"][way]
        few, all_ = (found[n]["median"] for n in ("64", "4096"))
        return f"{all_:g} microseconds a frame in a batch of 4096 and {few:g} in one of 64 ({way})"

    peaks = result["default_allocator"]["peak_bytes_per_pixel_beyond_result"]
    return (
        "By default and where the allocator keeps memory: at 64 the backward warp is "
        f"{ratio('kornia', 'backward')} times as fast as kornia's (aim: 4), "
        f"{ratio('kornia, frame by frame', 'backward')} times as fast as kornia's frame by frame, and takes "
        f"{ratio('backward', 'OpenCV')} times OpenCV's time (aim: 1.5); at 1 {ratio('kornia', 'backward', '1')} "
        f"times as fast as kornia's, and {ratio('backward', 'OpenCV', '1')} times OpenCV's time. The forward warp "
        f"takes {ratio('forward', 'backward')} times the backward warp's time at 64 (aim: 3) and "
        f"{ratio('forward', 'backward', '1')} times at 1. Beyond their results a batch of 64 took "
        f"{peaks['backward']:g} (backward) and {peaks['forward']:g} (forward) bytes a pixel at its peak. Frames of "
        f"80 x 60 took {many('backward')}, {many('forward')}.\n"
    )


def warp_gpu(result: dict[str, Any]) -> str:
    """Section on warping on a CUDA device."""
    rows = [
        [
            row["way"],
            f"{row['batch']} x {row['height']} x {row['width']}",
            *(
                [row["failed"], "", "", ""]
                if "failed" in row
                else [
                    spread(row["call_ms"]),
                    f"{row['frames_per_s']:,}",
                    f"{row['call_share_of_copy']:.0%}",
                    f"{row['engine_share_of_copy']:.0%}" if "engine_share_of_copy" in row else "",
                ]
            ),
        ]
        for row in result["rows"]
        if row["batch"] > 1 or row["height"] == 480
    ]
    told = result["agreement"]
    return "\n".join(
        [
            f"## Warps on a CUDA device ({result['device']}, pictures of 3 channels)\n",
            f"A plain copy moves {result['copy_gb_per_s']:,.0f} GB/s here, read and written. Share of it: the bytes "
            "that must move (each input read once, each output written once) over the time of many calls after each "
            "other, and over that of the kernels alone (aims from 64 frames on: 60 % backward, 35 % forward). The "
            "peers do less: kornia's `warp_frame_depth` has no depth test and no masks.\n",
            table(["way", "batch", "call, ms", "frames/s", "share of copy", "kernels alone"], rows),
            f"Ten forward warps of the same input: {told['forward_runs_with_other_bits']} differed in a bit. Against "
            f"the CPU: {told['backward_seen_differs']:.1e} of the pixels differ in what is seen, "
            f"{told['forward_source_differs']:.1e} in the source shown (a float32 rounding away from an edge).\n",
            "`python benchmarks/warp_gpu.py` writes results/warp_gpu.json.\n",
        ]
    )


SECTIONS = {
    "generate": generate,
    "train_demo": train_demo,
    "verify": verify,
    "leaks": leaks,
    "score": score,
    "mutants": mutants,
    "conventions": conventions,
    "recorded": recorded,
    "warp": warp,
    "warp_gpu": warp_gpu,
    "calibrate": calibrate,
    "check": check,
    "check_speed": check_speed,
    "executed": executed,
    "executed_path": executed_path,
    "focal": focal,
    "head": head,
    "vlm": vlm,
    "head_peers": head_peers,
}


def _machines(results: dict[str, Any]) -> str:
    rows = []
    for name, result in results.items():
        m = result["machine"]
        packages = ", ".join(f"{package} {number}" for package, number in m["packages"].items() if number)
        rows.append([name, m["processor"], m["cores"], m["python"], packages, m["commit"]])
    return "## Machines\n\n" + table(["result", "processor", "cores", "Python", "packages", "commit"], rows)


_LEAD = """# Benchmarks

Each row comes from a script beside this page and its committed JSON in `results/`; this page is written by
`python benchmarks/tables.py`. Times are medians with their range over the repeats; losses are published beside wins.
"""

if __name__ == "__main__":
    main()
