"""`theodolite check`: does a video show the motion that it was told to make?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from theodolite.console import DOES_NOT_HOLD, DONE, Outcome, Progress, check_out_folder, worker_count
from theodolite.options import CommonOptions

if TYPE_CHECKING:
    from synth.check_jobs import Job

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
    """degrees by which the turn of a step may be off (default: 2, or a tenth of the turn where that is more)"""
    max_direction_deg: float | None = None
    """degrees by which the direction of a move may be off (default: 30)"""
    max_length_share: float | None = None
    """share by which lengths may be off, where depth tells them (default: 0.09)"""
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
        for name in ("max_turn_deg", "max_direction_deg", "max_length_share", "tsed_px", "tsed_matches", "most"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name.replace('_', '-')} must be above 0, got {value:g}")
        if not all(key.strip().isdecimal() for key in self.key_frames.split(",") if key.strip()):
            raise ValueError(f"--key-frames must be frame numbers separated by commas, got {self.key_frames!r}")
        if self.rows is not None and self.rows[0] != 0:
            raise ValueError(f"--rows must begin at 0, or the camera would look elsewhere; got {self.rows[0]}")
        if self.actions is None and (self.key_frames or self.rows or self.hfov_deg):
            raise ValueError("--key-frames, --rows and --hfov-deg are for videos, which need --actions")


def run(options: Options) -> Outcome:
    """Check every trajectory; exit status 1 if one fails, or with --strict is undecided."""
    if options.out is not None:
        check_out_folder(options.out)
    from synth.check_jobs import answers, write_report
    from synth.check_rows import summary_of

    jobs, left_out = _jobs(options)
    with Progress("check: trajectories") as progress:
        found = answers(jobs, worker_count(options.workers), options.out is not None, progress)
    rows = [answer.row for answer in found]
    summary = summary_of(rows, left_out)
    if options.out is not None:
        write_report(options.out, options.source.resolve().name, found, summary, options.most)
    payload = {"summary": summary, "trajectories": rows} | ({"out": str(options.out)} if options.out else {})
    return Outcome(check_text(payload), payload, status_of(summary, options.strict))


def _jobs(options: Options) -> tuple[Sequence[Job], Mapping[str, int]]:
    from synth.check_jobs import VideoJob, jobs_of, left_out
    from synth.verdict import Limits

    asked = {
        "turn_deg": options.max_turn_deg,
        "direction_deg": options.max_direction_deg,
        "length_share": options.max_length_share,
        "tsed_px": options.tsed_px,
        "tsed_matches": options.tsed_matches,
    }
    limits = Limits(**{name: value for name, value in asked.items() if value is not None})
    if options.actions is None:
        if options.source.is_file():
            raise ValueError(f"{options.source} is a file: say what its camera was told by --actions")
        return jobs_of(options.source, options.source_format, limits), left_out(options.source, options.source_format)
    keys = tuple(int(key) for key in options.key_frames.split(",") if key.strip())
    return [VideoJob(options.source, options.actions, keys, options.hfov_deg, options.rows, limits)], {}


def status_of(summary: Mapping[str, Any], strict: bool) -> int:
    """Exit status of a summary."""
    verdicts = summary["verdicts"]
    bad = verdicts["fail"] + (verdicts["undecided"] if strict else 0)
    return DOES_NOT_HOLD if bad else DONE


def check_text(payload: Mapping[str, Any]) -> str:
    """Verdicts for people, the failed ones first, each with its reasons."""
    rows = sorted(payload["trajectories"], key=lambda row: ("fail", "undecided", "pass").index(row["verdict"]))
    lines = [line for row in rows[:SHOWN] for line in _lines(row)]
    if len(rows) > SHOWN:
        lines.append(f"... and {len(rows) - SHOWN} more; --json and --out have them all")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in payload["summary"]["verdicts"].items())
    lines.append(f"{len(rows)} trajectories: {counts}")
    lines += [f"left out: {count} x {cause}" for cause, count in payload["summary"]["left_out"].items()]
    if "out" in payload:
        lines.append(f"report: {payload['out']}/check.html")
    return "\n".join(lines)


def _lines(row: Mapping[str, Any]) -> list[str]:
    said = [f"    {reason}" for reason in row["reasons"]]
    return [f"{row['verdict']:<10}{row['name']}", *said, *(f"    ({note})" for note in row["notes"])]
