"""`theodolite check`: trajectories of a source, each film held against its command."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from jaxtyping import Float
from numpy.typing import NDArray

from geom.camera import PinholeCamera
from synth.agreement import tsed
from synth.commanded import Commanded, commanded_of_clip
from synth.compliance import Compliance, compliance
from synth.depth_agreement import DepthAgreement, depth_agreements
from synth.executed import DepthOf, ExecutedStep
from synth.executed_path import ExecutedPath, Link, executed_path
from synth.film import Film, film_of_clip
from synth.film_evidence import FilmEvidence, gather, shown_camera
from synth.judge import Judgement, judge
from synth.judge_steps import resolved
from synth.read_depth import raw_z_depth
from synth.source import Clip, Frame
from synth.verdict import DEFAULT, Finding, Limits, Verdict, verdict_of

_SAME_K_PX = 0.01
_ENOUGH_FEATURES = 50


@dataclass(frozen=True, eq=False)
class Checked:
    """One trajectory with its verdict and all that it rests on.

    Args:
        name: scene and clip, or the video's name.
        film: to draw from.
        notes: what had to be decided on the way, for people.
        depth_warp: of spans in metres, by their frames: how pictures and depths agree with the executed motion and,
            where it is in metres too, with the commanded one.
        evidence, judgement, path: None where the film could not be read; the verdict says why.
    """

    name: str
    verdict: Verdict
    film: Film | None = None
    commanded: Commanded | None = None
    evidence: FilmEvidence | None = None
    judgement: Judgement | None = None
    path: ExecutedPath | None = None
    depth_warp: Mapping[tuple[int, int], Sequence[DepthAgreement]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def tsed(self) -> float:
        """Share of the pairs of key frames that agree with the commanded motion; NaN without a commanded motion."""
        found = self.judgement.agreements if self.judgement else ()
        return tsed(pair for pair in found if pair is not None)

    @property
    def compliance(self) -> Compliance:
        """Commanded against executed ways, step by step."""
        if self.commanded is None or self.judgement is None:
            return compliance([], [])
        return compliance([step.way for step in self.commanded.steps], [step.way for step in self.judgement.steps])


GUESSED_HFOV_DEG = 60.0
"""Taken for a lens that nobody states and no turn shows."""


def check_film(
    name: str,
    film: Film,
    camera: PinholeCamera | None,
    commanded: Commanded,
    *,
    z_depth: DepthOf | None = None,
    whole: tuple[int, int] | None = None,
    limits: Limits = DEFAULT,
    notes: tuple[str, ...] = (),
) -> Checked:
    """Say whether a film shows the motion that was commanded.

    Args:
        camera: of the film's pictures; None to estimate it from them.
        z_depth: metres, of a frame by its number; without, lengths cannot be checked.
        whole: (width, height) of the pictures before rows were left out, for an estimate.

    Raises:
        ValueError: if the film cannot be read, or the camera or the commands are of another one.
    """
    lens_sd = 0.0
    if camera is None:
        camera, lens_sd, said = _estimated(film, commanded.key_frames, whole or film.size)
        notes = (*notes, said)
    evidence = gather(film, camera, commanded.key_frames, z_depth, lens_sd=lens_sd)
    judgement = judge(evidence, commanded, limits)
    path = executed_path([_link(span.step, commanded) for span in evidence.spans], evidence.camera)
    warped = _depth_warp(film, evidence, commanded, z_depth) if z_depth else {}
    notes = (*commanded.notes, *notes, *path.reasons)
    return Checked(name, judgement.verdict, film, commanded, evidence, judgement, path, warped, notes)


def _depth_warp(
    film: Film, evidence: FilmEvidence, commanded: Commanded, z_depth: DepthOf
) -> dict[tuple[int, int], list[DepthAgreement]]:
    steps = [span.step for span in evidence.spans if span.step.view.kind == "metric"]
    motions = {(step.first, step.last): [step.view.T_b_a] for step in steps}
    for pair, motion in motions.items():
        told = commanded.between(*pair) if commanded.scale.is_metric else None
        motion += [told.inverse()] if told is not None else []
    return dict(depth_agreements(film, evidence.camera, z_depth, motions))


def _link(step: ExecutedStep, commanded: Commanded) -> Link:
    """Features chain from pair to pair, since each is found once in a picture; tracks begin anew in key frames."""
    has_enough = len(step.described) >= _ENOUGH_FEATURES
    view = resolved(step, commanded)
    return Link(step.first, step.last, view, step.described if has_enough else step.tracked)


def _estimated(film: Film, key_frames: list[int], whole: tuple[int, int]) -> tuple[PinholeCamera, float, str]:
    """A camera, how unsure its focal length is, and how it is known."""
    camera, focal = shown_camera(film, key_frames, whole)
    if camera is None:
        guess = PinholeCamera.from_hfov(math.radians(GUESSED_HFOV_DEG), *whole)
        return (
            guess,
            math.inf,
            f"the lens is a guess, {GUESSED_HFOV_DEG:g} degrees across: {focal.reason}",
        )
    across = math.degrees(float(camera.hfov))
    said = f"the lens was estimated: {across:.1f} degrees across, focal length {focal.focal_px:.0f} pixels"
    return camera, focal.sd_share, f"{said} (sd {focal.sd_share:.1%}): {focal.reason}"


def check_clip(name: str, clip: Clip, limits: Limits = DEFAULT) -> Checked:
    """Say the same of a clip as a reader found it, with the depth of its frames where it has any.

    A clip that cannot be read is undecided, and says why: failures are counted, not dropped.
    """
    try:
        camera = _one_camera(clip)
        z_depth = partial(_z_depth, clip.frames) if any(frame.z_depth for frame in clip.frames) else None
        return check_film(
            name, film_of_clip(clip), camera, commanded_of_clip(clip), z_depth=z_depth, limits=limits, notes=clip.notes
        )
    except ValueError as error:
        return Checked(name, verdict_of([Finding("unreadable", "leaves open", str(error))], {}))


def _one_camera(clip: Clip) -> PinholeCamera:
    first = clip.frames[0].camera
    for frame in clip.frames:
        if float((frame.camera.K - first.K).abs().max()) > _SAME_K_PX:
            raise ValueError(
                f"all frames of a film must have one K, but {frame.picture.name} and {clip.frames[0].picture.name}"
                " differ; zooms are not checked"
            )
    return first


def _z_depth(frames: tuple[Frame, ...], n: int) -> Float[NDArray, "h w"] | None:
    return None if frames[n].z_depth is None else raw_z_depth(frames[n])
