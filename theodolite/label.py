"""`theodolite label`: questions about transitions that exist already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from theodolite.console import Outcome, check_out_folder, worker_count
from theodolite.generate import TASKS, make_subset, parse_tasks, subset_text
from theodolite.options import CommonOptions, in_words_of

if TYPE_CHECKING:
    from synth.label import LabelConfig

EXAMPLE = "theodolite label bundles/svc --out data --objects boxes.json --scale metric"


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite label`."""

    source: Path = field(metadata={"positional": True})
    """folder of photographs with depth, of an RGB-D sequence, or of what SVC, WorldFM, HY-WorldPlay, nerfstudio, COLMAP
    or RealEstate10K wrote"""
    out: Path
    """folder of the dataset; the same command goes on where an interrupted one stopped"""
    source_format: Literal["auto", "svc", "hy_worldplay", "nerfstudio", "colmap", "rgbd", "photo", "re10k"] = "auto"
    """how the source is read; auto = told by its files"""
    scale: Literal["as_read", "metric"] = "as_read"
    """as_read = what the format says of its lengths; metric = you declare that they are metres"""
    objects: Path | None = None
    """JSON file with boxes in space, masks or outlines (default: objects.json in the source, if it is there)"""
    detector: Path | None = None
    """folder of a zero-shot detector of transformers that finds the objects instead (extra `vision`)"""
    kinds: str = ""
    """what the detector looks for, separated by commas"""
    depth_model: Path | None = None
    """folder of a depth model of transformers that guesses the depth of photographs without; their scale is then
    `estimated`, so no metres are asked (extra `vision`)"""
    frames: int = 24
    """at most so many frames of each clip, evenly"""
    pairs: int | None = None
    """at most so many transitions of each clip (default: 48 of a recorded sequence; of a clip that was told what to do
    the whole of it)"""
    max_tilt_deg: float = 2.0
    """pitch and roll, degrees, up to which a motion is said in actions; beyond it is left out as not_planar"""
    max_lift_m: float = 0.03
    """the same for the height, metres"""
    motion: Literal["commanded", "executed"] = "commanded"
    """which motion is labelled: commanded = that of the stored poses, in clips of a world model only where the pictures
    show it (`theodolite check`); executed = as measured in the pictures, whatever was commanded;
    without depth nobody knows lengths, and turns alone are asked about"""
    unchecked: bool = False
    """label the commanded motion of a world model without a check; every proof then says `unchecked`"""
    keep_undecided: bool = False
    """label the commanded motion also where the check cannot decide; the proofs say so"""
    trust_source: bool = False
    """label it even if its depths show that poses, intrinsics or units are mistaken"""
    tasks: str = ",".join(TASKS)
    """tasks to ask, separated by commas: A1-A4 camera motion, D1-D4 objects"""
    phrasing: Literal["mixed", "open"] = "mixed"
    """mixed = open, multiple choice and sentence; open = only what the published reward can score"""
    workers: int = 0
    """worker processes; 0 = one for every core. The dataset does not depend on it"""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_tasks(self.tasks)
        worker_count(self.workers)


def run(options: Options) -> Outcome:
    """Label the source; exit status 0."""
    check_out_folder(options.out)
    from synth.label import said_of_clips

    config = _config(options)
    payload = make_subset(options.out, config, worker_count(options.workers))
    told = said_of_clips(options.out / config.subset)
    return Outcome("\n".join([subset_text(payload), *_notes(told)]), {"out": str(options.out), **payload, **told})


def _config(options: Options) -> LabelConfig:
    from synth.label import LabelConfig

    with in_words_of(Options):
        return LabelConfig(
            source=options.source,
            source_format=options.source_format,
            scale=options.scale,
            objects=options.objects,
            seed=options.seed,
            tasks=parse_tasks(options.tasks),
            phrasing=options.phrasing,
            frames=options.frames,
            pairs=options.pairs,
            max_tilt_deg=options.max_tilt_deg,
            max_lift_m=options.max_lift_m,
            trust_source=options.trust_source,
            detector=options.detector,
            kinds=tuple(kind for kind in options.kinds.split(",") if kind.strip()),
            depth_model=options.depth_model,
            motion=options.motion,
            unchecked=options.unchecked,
            keep_undecided=options.keep_undecided,
        )


def _notes(told: Mapping[str, Any]) -> list[str]:
    """Lines for people: verdicts, scales, and the first clips whose words their poses contradict."""
    lines = [f"scale: {scale}" for scale in told["scales"][:_MOST_NOTES]]
    if len(told["scales"]) > _MOST_NOTES:
        lines.append(f"  and {len(told['scales']) - _MOST_NOTES} other scales, in scene.json")
    if verdicts := told["verdicts"]:
        passed, failed, undecided = (verdicts.get(name, 0) for name in ("pass", "fail", "undecided"))
        lines.append(f"check: {passed} clips pass, {failed} fail, {undecided} undecided; reasons are in scene.json")
    if found := told["disagreements"]:
        lines.append(f"the words of {len(found)} clips are not what their poses show; the poses count:")
        lines += [f"  {name}: {text}" for name, text in list(found.items())[:_MOST_NOTES]]
    return lines


_MOST_NOTES = 4
