"""What a check says of a trajectory: pass, fail or undecided, with the findings that decide it, and their limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from synth.agreement import MAX_PX, MIN_MATCHES

Outcome = Literal["pass", "fail", "undecided"]
Effect = Literal["fails", "leaves open", "note"]

REASONS = {
    "mirrored turn": "a turn goes to the other side",
    "mirrored shift": "a sideways move goes to the other side",
    "order": "two steps were carried out in each other's place",
    "missing": "a commanded step was not carried out, or its move was not",
    "turn": "the camera turned by another amount, or about another axis",
    "direction": "the camera went another way",
    "stray": "the camera moved though it was to turn in place or stand still",
    "scale": "all lengths are too long or too short by one factor",
    "length": "a step has another length than commanded",
    "drift": "errors of turns add up over the steps",
    "no return": "a path that ends where it began does not show what it began with",
    "not rigid": "no motion of a camera in a scene at rest fits the pictures",
    "focal length": "the pictures fit another focal length than the intrinsics say",
    "frozen": "frames repeat though the camera is to move",
    "cut": "another shot begins",
    "others move": "much of the picture moves by itself",
    "flicker": "brightness jumps and comes back",
    "blur": "frames are much less sharp than the others",
    "compression": "pictures show the blocks of a codec",
    "unseen": "the pictures do not say how the camera moved",
    "unsure": "the pictures say it too roughly to decide",
    "far": "no parallax: the camera stood still, or all that is seen is far away",
    "lengths unseen": "without depth the lengths of moves cannot be seen",
    "unreadable": "the film cannot be read",
    "lens unknown": "the intrinsics are estimated from the pictures",
}
"""What each kind of finding means."""

NUISANCES = ("flicker", "blur", "compression")
"""What is said of pictures that may still show the motion."""


@dataclass(frozen=True)
class Limits:
    """What is still taken for the commanded motion. Chosen by benchmarks/calibrate.py, where no policy is named.

    Raises:
        ValueError: if one is not positive; it is named first.
    """

    turn_deg: float = 2.0
    """Angle between the commanded and the executed turn of a step, degrees."""
    turn_share: float = 0.1
    """The same as a share of the commanded turn; the larger counts (policy: generators are not exact)."""
    direction_deg: float = 30.0
    """Angle between the commanded and the executed direction of a step's move, degrees."""
    length_share: float = 0.09
    """Lengths may be longer by this share, or shorter by the inverse."""
    stray_deg: float = 1.2
    """Median parallax, degrees, of a step that is to turn in place."""
    far: float = 200.0
    """The scene is taken to be nearer than this many lengths of a commanded move (policy: a landscape is far)."""
    drift_deg: float = 2.5
    """Error of all turns so far, degrees; where it is more, `turn_share` of all that was to be turned."""
    frozen_share: float = 0.25
    """Longest run of frozen frames in a moving step, of its frames."""
    others_share: float = 0.1
    """Of the tracked points in two spans, or half of those in one."""
    focal_share: float = 0.05
    """By which the focal length may be longer, or shorter by the inverse."""
    dissimilarity: float = 0.3
    """1 less the structural similarity of a path's end to its start, where it returns (policy: as much as the smallest
    fault allows, because generators paint details anew)."""
    cuts: float = 0.5
    """Not one."""
    not_rigid: float = 0.5
    """Not one step."""
    sure_sd: float = 3.0
    """Standard deviations by which something must be beyond its limit to fail."""
    agree_sd: float = 0.8
    """Standard deviations by which it must stay within its limit to agree; what is between is undecided (policy)."""

    tsed_px: float = MAX_PX
    """Median epipolar distance below which a pair agrees, pixels (TSED's own)."""
    tsed_matches: int = MIN_MATCHES
    """Matches at least of such a pair (TSED's own)."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be > 0, got {value}")

    def turn_limit_deg(self, told_deg: float) -> float:
        """The limit of a step that is to turn by so much."""
        return max(self.turn_deg, self.turn_share * told_deg)

    def drift_limit_deg(self, told_deg: float) -> float:
        """The limit of all turns so far, where these were to be so much in all, whatever their sides."""
        return max(self.drift_deg, self.turn_share * told_deg)


DEFAULT = Limits()


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in words and numbers.

    Args:
        reason: a key of REASONS.
        effect: what it does to the verdict.
        text: a sentence for people.
        step: number of the commanded step, from 0; None of the whole trajectory.
        numbers: what the sentence rests on; units in the names.
    """

    reason: str
    effect: Effect
    text: str
    step: int | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"reason must be one of {', '.join(REASONS)}, got {self.reason!r}")


@dataclass(frozen=True)
class Verdict:
    """The outcome of a trajectory and what it rests on.

    Args:
        findings: what decides it first.
        measures: how far each thing that has a limit is off, in the unit of its limit, at its worst; also where all is
            well. NaN or absent where it cannot be said.
        score: the worst measure over its limit, to rank films by; 1 at least where it is undecided, so that what cannot
            be seen ranks above what is seen to be well.
    """

    outcome: Outcome
    findings: tuple[Finding, ...]
    measures: Mapping[str, float] = field(default_factory=dict)
    score: float = 0.0

    @property
    def reasons(self) -> list[str]:
        """The sentences that decide it: what fails, else what leaves it open."""
        effect = {"fail": "fails", "undecided": "leaves open"}.get(self.outcome)
        return [finding.text for finding in self.findings if finding.effect == effect]


def verdict_of(findings: Iterable[Finding], measures: Mapping[str, float], limits: Limits = DEFAULT) -> Verdict:
    """Whatever fails makes it fail, else whatever leaves it open makes it undecided.

    >>> verdict_of([Finding("blur", "note", "frame 3 is blurred")], {}).outcome
    'pass'
    """
    score = max((value / getattr(limits, name) for name, value in measures.items()), default=0.0)
    order: list[Effect] = ["fails", "leaves open", "note"]
    found = tuple(sorted(findings, key=lambda finding: order.index(finding.effect)))
    first = found[0].effect if found else "note"
    outcomes: dict[str, Outcome] = {"fails": "fail", "leaves open": "undecided", "note": "pass"}
    outcome = outcomes[first]
    return Verdict(outcome, found, dict(measures), max(score, 1.0) if outcome == "undecided" else score)
