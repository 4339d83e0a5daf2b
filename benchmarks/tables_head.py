"""Sections of the page of results about the geometry head."""

from __future__ import annotations

from typing import Any

from markdown_tables import table


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
