"""`theodolite check`: does a video show the motion that it was told to make?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from theodolite.console import worker_count
from theodolite.options import CommonOptions

if TYPE_CHECKING:
    pass

EXAMPLE = 'theodolite check film.mp4 --actions "move forward 0.5 meters; turn left 30 degrees" --out report'
SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite check`."""

    source: Path = field(metadata={"positional": True})
    """what `label` reads (SVC, WorldFM, HY-WorldPlay, nerfstudio, COLMAP, RGB-D, RealEstate10K); or, with --actions, a
    video file or a folder of pictures"""
    actions: str | None = None
    """what the camera was told: an action string, or a JSON file with a pose of every frame or with the keys pressed"""
    key_frames: str = ""
    """with an action string: frames where actions begin and end, separated by commas (default: equal shares)"""
    hfov_deg: float | None = None
    """horizontal field of view of the video, degrees (default: estimated from its pictures, and said so)"""
    rows: tuple[int, int] | None = field(default=None, metadata={"metavar": ("FIRST", "END")})
    """rows of the video that count, without what is drawn over it; FIRST must be 0"""
    source_format: Literal["auto", "svc", "hy_worldplay", "nerfstudio", "colmap", "rgbd", "re10k"] = "auto"
    """how the source is read; auto = told by its files"""
    out: Path | None = None
    """folder for the report: check.json, check.csv, check.html"""
    strict: bool = False
    """exit status 1 also where a trajectory is undecided"""
    max_turn_deg: float | None = None
    """degrees by which the turn of a step may be off"""
    max_direction_deg: float | None = None
    """degrees by which the direction of a move may be off"""
    max_length_share: float | None = None
    """share by which lengths may be off, where depth tells them"""
    tsed_px: float = 2.0
    """median epipolar distance, pixels, below which a pair of key frames agrees with the command (TSED)"""
    tsed_matches: int = 10
    """matches at least of such a pair"""
    most: int = 100
    """trajectories shown on the page, the worst ones; the tables have all"""
    workers: int = 0
    """worker processes; 0 = one for every core"""

    def __post_init__(self) -> None:
        super().__post_init__()
        worker_count(self.workers)
        if self.hfov_deg is not None and not 0 < self.hfov_deg < 180:
            raise ValueError(f"--hfov-deg must be above 0 and below 180 degrees, got {self.hfov_deg:g}")
        if self.actions is None and (self.key_frames or self.rows or self.hfov_deg):
            raise ValueError("--key-frames, --rows and --hfov-deg are for videos, which need --actions")
