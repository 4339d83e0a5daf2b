"""Which scenes are for training and which for testing: whole scenes, told apart by what they show, always the same."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

DEFAULT = {"train": 0.8, "validation": 0.1, "test": 0.1}

Question = TypeVar("Question")


def parse_splits(text: str) -> dict[str, float]:
    """Names and shares of the splits, in the order given.

    Raises:
        ValueError: if a part is not name=share, a name occurs twice, or the shares are not above 0 and 1 in all.

    >>> parse_splits("train=0.7,grpo=0.1,validation=0.1,test=0.1")["grpo"]
    0.1
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if not (name.isidentifier() and name.islower()) or name in shares:
            raise ValueError(f"splits read name=share,... with each lower-case name once, got {part.strip()!r}")
        if name == "all":
            raise ValueError("a split cannot be called all: the datasets library keeps that name for itself")
        shares[name] = _number(number, part)
    if abs(sum(shares.values()) - 1.0) > 1e-6:
        raise ValueError(f"shares of the splits must add up to 1, got {sum(shares.values()):g} from {text!r}")
    return shares


def _number(text: str, part: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        raise ValueError(f"a share must be a number above 0 and at most 1, got {part.strip()!r}")
    return share


def scene_key(folder: Path) -> str:
    """What a scene shows: the fingerprint of its first picture, so that two clips of one photograph stay together.

    Of a mesh it is that of the triangles, so that all cameras in one file stay together too.
    """
    scene = json.loads((folder / "scene.json").read_bytes())
    if scene["type"] == "mesh":
        return hashlib.sha256((scene["vertices"] + scene["triangles"]).encode()).hexdigest()
    return hashlib.sha256((folder / "input" / "000.png").read_bytes()).hexdigest()


def assign_splits(scenes: Iterable[str], shares: Mapping[str, float], seed: int = 0) -> dict[str, str]:
    """Assign each scene to a split, in shares as near as whole scenes allow, and at least one scene to each.

    Args:
        scenes: keys of the scenes; questions of one scene never part.
        shares: split to share, adding up to 1.
        seed: another seed, another assignment; the same one, always the same.

    Raises:
        ValueError: if there are fewer scenes than splits.
    """
    order = sorted(set(scenes), key=lambda key: _rank(seed, key))
    if len(order) < len(shares):
        raise ValueError(
            f"{len(order)} different scenes cannot be split {len(shares)} ways ({', '.join(shares)}); questions of one"
            " scene stay together: make more scenes, or ask for fewer splits"
        )
    counts = _counts(len(order), shares)
    names = [name for name in shares for _ in range(counts[name])]
    return dict(zip(order, names, strict=True))


def _rank(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def _counts(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Largest remainders, but none without a scene."""
    counts = {name: max(1, int(share * total)) for name, share in shares.items()}
    while (missing := total - sum(counts.values())) != 0:
        step = 1 if missing > 0 else -1
        eligible = [name for name in shares if step > 0 or counts[name] > 1]
        counts[max(eligible, key=lambda name: step * (shares[name] * total - counts[name]))] += step
    return counts


def pick_per_task(
    questions: Sequence[Question], limit: int, about: Callable[[Question], tuple[str, str, str]], seed: int = 0
) -> list[Question]:
    """At most `limit` questions of each task, in the order given, the two answers of a yes-no task in equal parts.

    Args:
        questions: of one split.
        limit: questions of each task.
        about: a question's (id, task, answer class); the class is empty where there is nothing to balance.
        seed: as in `assign_splits`.
    """
    groups: dict[str, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    for i, question in enumerate(questions):
        name, task, answer = about(question)
        groups[task][answer].append((_rank(seed, name), i))
    taken: set[int] = set()
    for classes in groups.values():
        queues = [sorted(queue) for _, queue in sorted(classes.items())]
        room = limit
        for left, queue in enumerate(sorted(queues, key=len)):
            share = min(len(queue), room // (len(queues) - left))
            taken.update(i for _, i in queue[:share])
            room -= share
    return [question for i, question in enumerate(questions) if i in taken]
