"""The typed answers, and their JSON; the words of an answer are made from them (`synth.prompts`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class MotionAnswer:
    """What the camera did (A1, A2, A3, D3), with every sequence of the same grammar that ends at the same pose."""

    type: ClassVar[str] = "motion"
    actions: str
    equivalents: tuple[str, ...]


@dataclass(frozen=True)
class BoxAnswer:
    """Where the object is after the motion (D1): 0..1000 of the image, x1 y1 x2 y2; true pixels beside it."""

    type: ClassVar[str] = "box"
    box_1000: tuple[int, int, int, int]
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True)
class ClaimAnswer:
    """Whether a claimed motion is the true one (A4)."""

    type: ClassVar[str] = "claim"
    is_true: bool


@dataclass(frozen=True)
class VisibilityAnswer:
    """Whether the object is gone from view after the motion (D2)."""

    type: ClassVar[str] = "visibility"
    is_gone: bool


@dataclass(frozen=True)
class IdentityAnswer:
    """Whether two boxes show one physical object (D4)."""

    type: ClassVar[str] = "identity"
    is_same: bool


Answer = MotionAnswer | BoxAnswer | ClaimAnswer | VisibilityAnswer | IdentityAnswer


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The answer as a JSON object, its `type` first."""
    return {"type": answer.type} | asdict(answer)
