"""What is known of the scale of a transition: a status with its source, never an assumption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

ScaleStatus = Literal["metric", "estimated", "up_to_scale", "unknown"]
SCALE_STATUSES: tuple[ScaleStatus, ...] = get_args(ScaleStatus)


@dataclass(frozen=True)
class Scale:
    """Whether lengths are metres, and who says so.

    Raises:
        ValueError: if the status is none of the four or the source is blank.

    >>> Scale("metric", "simulated").is_metric, Scale("estimated", "monocular depth").is_metric
    (True, False)
    """

    status: ScaleStatus
    """`metric`: true metres. `estimated`: metres by a guess. `up_to_scale`: one unknown factor. `unknown`."""
    source: str
    """What the status rests on, for people: "simulated", "stereo calibration", "structure from motion"."""

    def __post_init__(self) -> None:
        if self.status not in SCALE_STATUSES:
            raise ValueError(f"scale status must be one of {', '.join(SCALE_STATUSES)}, got {self.status!r}")
        if not self.source.strip():
            raise ValueError(f"scale needs a source, got {self.source!r}; say what {self.status!r} rests on")

    @property
    def is_metric(self) -> bool:
        """True only where lengths are true metres; an estimate is not."""
        return self.status == "metric"

    @property
    def has_metres(self) -> bool:
        """True where the unit of length is a metre, true or estimated."""
        return self.status in ("metric", "estimated")

    def to_dict(self) -> dict[str, str]:
        """Return the two fields as JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, str]) -> Scale:
        """Return the scale that `to_dict` wrote.

        Raises:
            ValueError: if the keys are not exactly status and source, or their values are refused.
        """
        if set(fields) != {"status", "source"}:
            raise ValueError(f"scale must have the keys status and source, got {sorted(fields)}")
        return Scale(**fields)  # pyright: ignore[reportArgumentType]  (the status is checked at run time)
