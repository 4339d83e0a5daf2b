"""Sections of the page of results about the check and what it rests on."""

from __future__ import annotations

from typing import Any

from markdown_tables import spread, table


def executed(result: dict[str, Any]) -> str:
    """Section on the motion that pictures show."""

    def error(found: dict[str, Any], key: str) -> str:
        return f"{found[key]['median']:.2g} ({found[key]['max']:.2g})" if key in found else ""

    rows = [
        [
            motion,
            ", ".join(f"{kind} {count}" for kind, count in found["pictures"]["kinds"].items()),
            error(found["pictures"], "turn_deg"),
            error(found["pictures"], "direction_deg"),
            error(found["depth"], "turn_deg"),
            error(found["depth"], "direction_deg"),
            error(found["depth"], "length_mm"),
        ]
        for motion, found in result["motions"].items()
    ]
    names = {"turn_in_sd": "turn", "direction_in_sd": "direction", "length_in_sd": "length"}
    shares = [
        f"{names[key]} {found['1']:.0%} and {found['2']:.0%}{' with depth' if way == 'depth' else ''}"
        for way, each in result["within"].items()
        for key, found in each.items()
    ]
    speed, (width, height) = result["frames_per_second"], result["film_size"]
    head = ["motion", "kinds without depth", "turn, deg", "direction, deg"]
    return "\n".join(
        [
            f"## Motion that two pictures show ({result['rooms']} simulated rooms, 640 x 480, some noise)\n",
            "SIFT matches alone, and with the depth of the first picture. Median error and the worst:\n",
            table([*head, *(f"{name} with depth" for name in ("turn, deg", "direction, deg", "length, mm"))], rows),
            f"Errors within one and two of their own standard deviations: {'; '.join(shares)}.\n",
            f"A film of {width} x {height} on {result['threads']} threads, every frame used: "
            + ", ".join(f"{name} {rate:g}" for name, rate in speed.items())
            + " frames per second (each stage decodes too; steps are tracks and a motion every 16 frames).\n",
            "`python benchmarks/executed.py` writes results/executed.json.\n",
        ]
    )


def executed_path(result: dict[str, Any]) -> str:
    """Section on the path that a whole clip shows."""
    rows = [
        [
            way,
            how,
            f"{r['whole']} of {r['paths']}",
            f"{r['last_turn_deg']['median']:.2f} ({r['last_turn_deg']['q90']:.2f}, {r['last_turn_deg']['max']:.1f})",
            f"{r['place_share_of_length']['median']:.2%} ({r['place_share_of_length']['q90']:.2%})",
            f"{r['turns_within']['1']:.0%} / {r['turns_within']['2']:.0%}",
            f"{r['places_within']['1']:.0%} / {r['places_within']['2']:.0%}",
            f"{r['seconds']['median']:.2f}",
        ]
        for way, both in result["all"].items()
        for how, r in both.items()
    ]
    head = [
        "from",
        "how",
        "known to the end",
        "last turn, deg: median (90 %, max)",
        "places, share of the length (90 %)",
    ]
    head += ["turns within 1 / 2 sd", "places within 1 / 2 sd", "seconds"]
    return "\n".join(
        [
            f"## The path that a clip shows, {result['rooms']} rooms that nothing was tuned on\n",
            "Arcs, zigzags, turns and sideways moves of 5 to 8 key frames, 480 x 360; chained or refined.\n",
            table(head, rows),
            "`python benchmarks/executed_path.py` writes results/executed_path.json.\n",
        ]
    )


def focal(result: dict[str, Any]) -> str:
    """Section on the focal length that pictures show."""
    rows = []
    for name, r in [*result["motions"].items(), ("all that turn in place", result["turns"])]:
        error, within = r.get("error"), r.get("within")
        errors = f"{error['median']:.2%} ({error['90 %']:.2%}, {error['max']:.2%})" if error else "-"
        rows.append(
            [name, r["films"], r["told"], errors, " / ".join(f"{v:.0%}" for v in within.values()) if within else "-"]
        )
    wrong = ", ".join(f"x{factor}: {share:.0%}" for factor, share in result["wrong_found"].items())
    seconds = result["seconds"]
    return "\n".join(
        [
            f"## The focal length that films show, {result['rooms']} rooms that nothing was tuned on\n",
            "Fields of view of 45 to 100 degrees, 480 x 360, corners followed through every frame. A motion that does"
            " not tell it is to say so.\n",
            table(["film", "films", "told", "error: median (90 %, max)", "within 1 / 2 / 3 of its own sd"], rows),
            f"A stated focal length that is wrong is found in films that tell it: {wrong}; right ones accused:"
            f" {result['right_accused']:.0%}. Seconds a film: {seconds['median']:g}, at most {seconds['max']:g}.\n",
            "`python benchmarks/focal.py` writes results/focal.json.\n",
        ]
    )


def calibrate(result: dict[str, Any]) -> str:
    """Section on the choice of the check's limits."""
    rows = []
    for name, limit in result["limits"].items():
        in_use = next(point for point in limit["curve"] if point["limit"] == _rounded(limit["in_use"]))
        found = ", ".join(f"{fault} {share:.1%}" for fault, share in in_use["found"].items())
        numbers = (limit[key] for key in ("correct_99.8", "smallest_fault_5", "chosen", "in_use"))
        rows.append([f"`{name}`", *(f"{number:g}" for number in numbers), f"{in_use['false_alarms']:.1%}", found])
    head = [
        "limit",
        "99.8 % of correct films below",
        "95 % of the first fault above",
        "between",
        "in use",
        "alarms",
        "found",
    ]
    return "\n".join(
        [
            f"## Limits of the check, {result['films']} simulated films, {result['sequences']} sequences\n",
            "How far what has a limit is surely off, in correct films and in those with the fault that it is to find."
            " Limits in use are the number between, rounded, and else, clear of correct films, what"
            " synth/verdict.py gives a reason for: what is far, repeated or painted anew is up to scenes and"
            " generators, drift adds up over longer films, and of films whose things move by themselves, or whose steps"
            " were swapped, some show it by other reasons. Curves are in the JSON.\n",
            table(head, rows),
            "`python benchmarks/calibrate.py` writes results/calibrate.json.\n",
        ]
    )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def check(result: dict[str, Any]) -> str:
    """Section on what the check finds."""
    return "\n".join(
        [
            f"## The check on {result['films']} other simulated films, {result['sequences']} sequences\n",
            "Films of 320 x 240, noise and JPEG; shares with 95 % intervals.\n",
            table(["correct films", "number", "false alarms", "undecided"], _correct(result)),
            "Faults of at least 0.2 m at 3 m depth, or 10 degrees:\n",
            table(["fault", "films", "AUROC", "fail", "undecided", "own reason"], _asked(result)),
            "All faults by size, down to those that nobody could see; what spoils pictures alone is to be noted, not to"
            " fail:\n",
            table(["fault", "size", "from", "films", "fail", "undecided", "own reason", "AUROC"], _faults(result)),
            "`python benchmarks/check.py` writes results/check.json.\n",
        ]
    )


def _correct(result: dict[str, Any]) -> list[list[Any]]:
    ways = result["correct"].items()
    return [[way, r["films"], _interval(r["false_alarms"]), _interval(r["undecided"])] for way, r in ways]


def _asked(result: dict[str, Any]) -> list[list[Any]]:
    return [[name, r["films"], f"{r['auroc']:.4f}", *_shares(r)] for name, r in result["asked"].items()]


def _faults(result: dict[str, Any]) -> list[list[Any]]:
    return [
        [r["fault"], r["size"], "depth" if r["depth"] else "pictures", r["films"], *_shares(r), f"{r['auroc']:.3f}"]
        for r in result["faults"]
    ]


def _shares(r: dict[str, Any]) -> list[str]:
    return [f"{r[key]:.1%}" for key in ("fail", "undecided", "own_reason")]


def check_speed(result: dict[str, Any]) -> str:
    """Section on the speed of the check."""
    peer, (width, height) = result["pycolmap"], result["size"]
    against = (
        f"a reconstruction of the same frames by pycolmap {peer['version']} (SIFT, sequential matching, incremental"
        f" mapping) {peer['frames_per_second']:g}, with {peer['registered']} of {result['frames']} frames placed"
        if peer
        else "pycolmap was not installed"
    )
    rate = spread(result["check_frames_per_second"])
    return "\n".join(
        [
            f"## Speed of the check, {width} x {height}, {result['frames']} frames\n",
            f"Every frame used, decoding included: {rate} frames/s; {against}.\n",
            "`python benchmarks/check_speed.py` writes results/check_speed.json.\n",
        ]
    )


def _interval(value: dict[str, Any]) -> str:
    low, high = value["interval"]
    return f"{value['share']:.1%} ({low:.1%} to {high:.1%})"
