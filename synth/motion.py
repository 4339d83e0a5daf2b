"""Which motion of a clip is labelled, what a check must say for that, and how the proofs tell how it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geom.scale import Scale
from synth.worlds import WORLD_MODELS, motion_known

MOTIONS = ("commanded", "executed")

WITH_DEPTH = Scale("metric", "measured from the pictures with depth")
WITHOUT_DEPTH = Scale("up_to_scale", "measured from the pictures; no depth tells lengths")
"""Scales of an executed motion."""

PASSED = "the pictures show the commanded motion"

LENGTHS = ("seen", "unseen")
"""What the check could say of the lengths of moves; without moves there are none to be unseen."""


@dataclass(frozen=True)
class Asked:
    """What a user wants of the motions of a source.

    Args:
        teacher: who made the frames; the commanded motion of world models alone is checked.
        motion: `commanded`, that of the stored poses; or `executed`, as the pictures show it.
        unchecked: label the commanded motion without a check.
        keep_undecided: label the commanded motion also where the check cannot decide.

    Raises:
        ValueError: if these contradict each other; the field is named first.
    """

    teacher: str
    motion: str = "commanded"
    unchecked: bool = False
    keep_undecided: bool = False

    def __post_init__(self) -> None:
        if self.motion not in MOTIONS:
            raise ValueError(f"motion must be one of {', '.join(MOTIONS)}, got {self.motion!r}")
        if self.is_executed and self.teacher == "depthwarp":
            raise ValueError("motion must be commanded of photographs, which show none; got executed")
        if self.unchecked and self.is_executed:
            raise ValueError("unchecked must not go with motion executed, which the check measures")
        if self.unchecked and self.keep_undecided:
            raise ValueError("keep_undecided is about what the check says, but with unchecked there is none")

    @staticmethod
    def of_settings(config: Mapping[str, Any]) -> Asked:
        """As the settings of a labelled subset have it."""
        return Asked(*(config[name] for name in ("teacher", "motion", "unchecked", "keep_undecided")))

    @property
    def is_executed(self) -> bool:
        """Whether what the pictures show is labelled."""
        return self.motion == "executed"

    @property
    def is_checked(self) -> bool:
        """Whether clips are checked."""
        return self.is_executed or (self.teacher in WORLD_MODELS and not self.unchecked)

    def known(self, check: Mapping[str, Any] | None) -> dict[str, str] | None:
        """How the proofs say that the motion of a clip is known; None where it may not be labelled.

        Args:
            check: `verdict`, `reasons` and `lengths` as scene.json has them; None where nothing was checked.
        """
        if check is None:
            return motion_known(self.teacher)
        verdict = check["verdict"]
        said = f"{verdict}: {_passed(check) if verdict == 'pass' else '; '.join(check['reasons'])}"
        if self.is_executed:
            return {"executed": "measured in the pictures", "check": said}
        if verdict == "pass":
            return {"executed": "as commanded", "check": said}
        is_kept = verdict == "undecided" and self.keep_undecided
        return {"executed": "undecided", "check": said} if is_kept else None


def _passed(check: Mapping[str, Any]) -> str:
    return PASSED if check["lengths"] == "seen" else f"{PASSED}; how far it moved is not seen"
