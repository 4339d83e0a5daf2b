"""Frames that exist already as a world: recorded ones, or those that a world model made, with the poses they carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geom.actions import ActionSequence, parse_actions, same_motion
from geom.camera import PinholeCamera
from geom.embree import TriangleScene
from geom.primitives import BOX, Primitives
from geom.scale import Scale
from geom.se3 import SE3
from synth.case import Claims
from synth.clip_motion import Known, known_clip
from synth.evidence import Evidence, Sight, SolidsEvidence
from synth.identity import Labelled, same_objects
from synth.motion import Asked
from synth.objects import NO_OBJECT, Objects, SolidBox, found_in
from synth.pixels import PixelFrame, PixelsEvidence
from synth.read_depth import as_kept, read_z_depth
from synth.safe_read import read_picture
from synth.source import Clip, Frame, SourceScene
from synth.spoken import Limits, Spoken, Unspoken, chosen_frames, frame_pairs, path_extent, speak
from synth.stages import Stages
from synth.transition import ROOM, UNKNOWN, Trajectory, View
from synth.worlds import ANOTHER_MOTION, MIN_WITNESS, RECORDED_PRESET, Files, motion_kind

_SAME_K_PX = 1e-6
_SAME_PLACE = 1e-6
_BARE = "none: a unit sphere stands in for it around the first frame's place, which tells turns there and nothing else"
_KEPT_SIGHTS = 32

DEFAULT_PAIRS = 48


@dataclass(frozen=True)
class Plan:
    """A transition to be: which frames of which clip, and the motion between them."""

    traj_id: str
    known: Known
    before: int
    after: int
    spoken: Spoken

    @property
    def clip(self) -> Clip:
        """With the poses that count."""
        return self.known.clip


class RecordedWorld:
    """One scene of a source: its chosen frames, their objects, and the transitions between them.

    Args:
        scene: as a reader found it.
        without_root: a message without the place where the source lies, so that the labels do not depend on it.
        asked: who made the frames, and which motion of theirs is labelled.
        objects: what a file says about objects; None where there is none.
        scale: replaces what the reader knows of the scale, where the user declares it.
        limits: how far from planar a motion may be that is said in actions.
        most_frames: of each clip.
        most_pairs: transitions of each clip; unless given, one of a clip that was commanded, else DEFAULT_PAIRS.
        seed: of the choice among pairs.
    """

    def __init__(
        self,
        scene: SourceScene,
        without_root: Callable[[object], str],
        asked: Asked,
        objects: Objects | None,
        stages: Stages,
        *,
        scale: Scale | None,
        limits: Limits,
        most_frames: int,
        most_pairs: int | None,
        seed: tuple[int, ...],
    ) -> None:
        self.scene_id, self._scene, self._teacher = scene.scene_id, scene, asked.teacher
        self._without_root = without_root
        self._scale, self._stages, self._limits = scale, stages, limits
        self._left_out: Counter[str] = Counter()
        with stages("check"):
            self._clips = [known_clip(clip, asked, without_root, self._left_out) for clip in scene.clips]
        self._labelled_clips = [known for known in self._clips if known.motion is not None]
        self._plans = self._planned(most_frames, most_pairs, np.random.default_rng(seed))
        places = dict.fromkeys((p.clip.clip_id, n) for p in self._plans for n in (p.before, p.after))
        self._place = {place: n for n, place in enumerate(places)}
        clips = {known.clip.clip_id: known.clip for known in self._clips}
        self._frames = [clips[clip_id].frames[n] for clip_id, n in places]
        self._solids = objects.solids(scene.called or scene.scene_id) if objects else ()
        self._objects = None if self._solids else objects
        if self._solids and self._is_in_another_unit:
            self._solids = ()
            self._left_out["objects: boxes in space are in the unit of the source's poses, not in metres"] += 1
        self._view = lru_cache(maxsize=_KEPT_SIGHTS)(self._view_of)
        self._sight = lru_cache(maxsize=_KEPT_SIGHTS)(self._sight_of)

    def _planned(self, most_frames: int, most: int | None, rng: np.random.Generator) -> list[Plan]:
        plans: list[Plan] = []
        for known in self._labelled_clips:
            clip = known.clip
            most_pairs = most or (1 if clip.is_commanded else DEFAULT_PAIRS)
            # A commanded clip goes from its first frame: so many pairs need one frame more, and no others are read.
            wanted = min(most_frames, most_pairs + 1) if clip.is_commanded else most_frames
            frames = [n for n in chosen_frames(clip, wanted) if self._is_readable(clip.frames[n])]
            if len(clip.frames) > most_frames and wanted == most_frames:
                self._left_out["frame: more than were asked for"] += len(clip.frames) - most_frames
            found = [plan for i, j in frame_pairs(clip, frames, most_pairs) if (plan := self._plan(known, i, j))]
            if len(found) > most_pairs:
                self._left_out["pair: more than were asked for"] += len(found) - most_pairs
                found = [found[n] for n in sorted(rng.permutation(len(found))[:most_pairs].tolist())]
            plans += found
        return plans

    def _is_readable(self, frame: Frame) -> bool:
        try:
            read_picture(frame.picture)
            read_z_depth(frame)
        except ValueError as error:
            self._left_out[f"frame: {error}"] += 1
            return False
        return True

    def _plan(self, known: Known, before: int, after: int) -> Plan | None:
        clip = known.clip
        cameras = clip.frames[before].camera, clip.frames[after].camera
        name, i, j = clip.clip_id, known.numbers[before], known.numbers[after]
        traj_id = name if known.is_whole(before, after) else f"{name}_{i:03d}_{j:03d}"
        try:
            if not _same_camera(*cameras):
                raise Unspoken("the two pictures have different intrinsics")
            # What counts as small is told by the scale that holds, declared or read.
            said = speak(replace(clip, scale=self._scale or clip.scale), before, after, self._limits)
            return Plan(traj_id, known, before, after, said)
        except Unspoken as cause:
            self._left_out[f"pair: {cause}"] += 1
            return None

    @property
    def _is_in_another_unit(self) -> bool:
        """Whether motions were measured in metres where the source's own unit, which its boxes have, is none."""
        read = {clip.clip_id: clip.scale for clip in self._scene.clips}
        measured = [known.clip for known in self._labelled_clips if known.clip.is_measured]
        return any(clip.scale.is_metric and not read[clip.clip_id].is_metric for clip in measured)

    @property
    def evidence(self) -> Evidence:
        """Of boxes in space, or of outlines in the frames."""
        return self._evidence

    @cached_property
    def _evidence(self) -> SolidsEvidence | PixelsEvidence:
        if self._in_space is not None:
            return self._in_space
        frames = tuple(PixelFrame(f.camera, f.T_world_cam, self._view(n)) for n, f in enumerate(self._frames))
        return PixelsEvidence(*self._items, frames)

    @cached_property
    def _in_space(self) -> SolidsEvidence | None:
        """Evidence of boxes in space, where a file tells them."""
        if not self._solids:
            return None
        ids, kinds = (tuple(getattr(box, name) for box in self._solids) for name in ("item_id", "kind"))
        return SolidsEvidence(ids, kinds, _primitives(self._solids))

    @cached_property
    def _raw(self) -> list[Labelled]:
        """Depth and outlines of every frame; a frame whose outlines cannot be read has none, and is counted."""
        return [self._labelled(frame) for frame in self._frames]

    @cached_property
    def _is_bare(self) -> bool:
        """Whether no frame has depth, so that objects are known by directions from one place alone.

        Not where metres may be said: moves could then be asked about, of which a made-up sphere knows nothing.
        """
        is_metric = any((self._scale or known.clip.scale).is_metric for known in self._clips)
        return bool(self._objects) and not is_metric and all(frame.z_depth is None for frame in self._frames)

    def _labelled(self, frame: Frame) -> Labelled:
        z_depth = read_z_depth(frame)
        if self._is_bare:
            apart = (frame.T_world_cam.t - self._frames[0].T_world_cam.t).norm()
            if float(apart) > _SAME_PLACE * max(1.0, path_extent(self._clips[0].clip)):
                return Labelled(frame.camera, frame.T_world_cam, z_depth, None)
            z_depth = unit_sphere(frame.camera)
        found = found_in(self._objects, frame, z_depth, self._left_out)
        return Labelled(frame.camera, frame.T_world_cam, z_depth, found)

    @cached_property
    def _identity(self) -> tuple[tuple[str, ...], tuple[str, ...], list[NDArray[np.int16]]]:
        return same_objects(self._raw)

    @property
    def _items(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self._identity[0], self._identity[1]

    def _view_of(self, n: int) -> View:
        """A frame's picture, with the depth and the owners of its pixels as far as anybody knows them."""
        frame = self._frames[n]
        with self._stages("read"):
            image = read_picture(frame.picture)
        if self._in_space is not None:
            return View(*_cast(self._in_space.caster, frame.camera, frame.T_world_cam), image)
        z_depth, owner = self._raw[n].z_depth, self._identity[2][n]
        nobody = np.where(np.isfinite(z_depth), ROOM, UNKNOWN).astype(np.int16)
        return View(z_depth, np.where(owner == NO_OBJECT, nobody, owner).astype(np.int16), image)

    def frames(self) -> Iterator[View]:
        """Every frame that a transition begins or ends at."""
        return (self._view(n) for n in range(len(self._frames)))

    def scene_json(self, files: list[Files]) -> dict[str, Any]:
        """Frames with poses and fingerprints, objects, and what the source says of its clips."""
        frames = [
            {
                "picture": frame.picture.name,
                "K": frame.camera.K.tolist(),
                "width": frame.camera.width,
                "height": frame.camera.height,
                "T_world_cam": frame.T_world_cam.matrix().tolist(),
                "files": entry,
            }
            for frame, entry in zip(self._frames, files, strict=True)
        ]
        return {
            "type": "recorded",
            "scene_id": self.scene_id,
            "world": "the frame of the source's poses: camera x right, y down, z forward; up is not told",
            "objects": "solids" if self._solids else "pixels",
            "depth": _BARE if self._is_bare else "as recorded, or of the solids",
            "items": self._items_json(),
            "clips": {known.clip.clip_id: _clip_json(known) for known in self._clips},
            "frames": frames,
        }

    def _items_json(self) -> list[dict[str, Any]]:
        if not self._solids:
            return [{"item_id": i, "kind": k} for i, k in zip(*self._items, strict=True)]
        return [
            {"item_id": box.item_id, "kind": box.kind, "min": list(box.low), "max": list(box.high)}
            for box in self._solids
        ]

    def trajectories(self, left_out: Counter[str]) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
        """Those that were planned; what was left out on the way names files from the source's folder on."""
        left_out.update({self._without_root(cause): count for cause, count in self._left_out.items()})
        if not self.evidence.kinds:
            left_out["scene: no objects are known"] += 1
        for plan in self._plans:
            yield self._trajectory(plan), self._about(plan)

    def _trajectory(self, plan: Plan) -> Trajectory:
        before, after = (plan.clip.frames[n] for n in (plan.before, plan.after))
        poses = SE3.stack([before.T_world_cam, after.T_world_cam])
        is_whole = plan.known.is_whole(plan.before, plan.after)
        told = parse_actions(plan.clip.told) if plan.clip.told and is_whole else None
        shown = plan.spoken.actions
        executed = shown if plan.clip.is_measured else None
        places = self._place[plan.clip.clip_id, plan.before], self._place[plan.clip.clip_id, plan.after]
        scale = self._scale or plan.clip.scale
        return Trajectory(plan.traj_id, before.camera, poses, told, executed, scale, shown, places)

    def _about(self, plan: Plan) -> dict[str, Any]:
        return {
            "teacher": self._teacher,
            "kind": motion_kind(len(plan.spoken.actions)),
            "preset": RECORDED_PRESET,
            "motion": plan.known.motion,
            "clip": {
                "clip_id": plan.clip.clip_id,
                "frames": [plan.known.numbers[n] for n in (plan.before, plan.after)],
            },
            "scene_frames": [self._place[plan.clip.clip_id, n] for n in (plan.before, plan.after)],
            "residual": plan.spoken.residual,
        }

    def sights(self, traj: Trajectory) -> tuple[Sight, Sight]:
        """What the two frames see."""
        before, after = (self._sight(n) for n in traj.frames if n is not None)
        return before, after

    def _sight_of(self, n: int) -> Sight:
        frame = self._frames[n]
        return Sight(self.evidence, frame.T_world_cam, frame.camera, self._view(n))

    def witness(self, traj: Trajectory, left_out: Counter[str]) -> dict[int, float]:
        """Share of each item outlined in the first view that the second view's outline has where geometry puts it."""
        if not isinstance(self.evidence, PixelsEvidence) or traj.frames[1] is None:
            return {}
        shares = (
            (i, self.evidence.witness(i, traj.frames[0], traj.frames[1])) for i in range(len(self.evidence.kinds))
        )
        found = {i: share for i, share in shares if share is not None}
        if bad := sum(share < MIN_WITNESS for share in found.values()):
            left_out["object: its outline in the second view is not where geometry puts it"] += bad
        return found

    def claims(self, traj: Trajectory) -> Claims:
        """Claims that are true of another trajectory with as many actions; pure turns where metres may not be said."""
        others = {plan.spoken.actions for plan in self._plans}
        pool = sorted((a for a in others if self._may_claim(a, traj)), key=ActionSequence.text)

        def propose(rng: np.random.Generator) -> tuple[str, ActionSequence] | None:
            return (ANOTHER_MOTION, pool[int(rng.integers(len(pool)))]) if pool else None

        return propose

    def _may_claim(self, actions: ActionSequence, traj: Trajectory) -> bool:
        is_sayable = traj.scale.is_metric or all(action.kind.is_turn for action in actions)
        return is_sayable and len(actions) == len(traj.actions) and not same_motion(actions, traj.actions)


def unit_sphere(camera: PinholeCamera) -> NDArray[np.float32]:
    """z-depth of a sphere of radius 1 around the camera, as a dataset keeps it, (h, w): turning in place keeps it."""
    return as_kept(1 / camera.rays(camera.pixel_centers()).norm(dim=-1).numpy())


def _same_camera(a: PinholeCamera, b: PinholeCamera) -> bool:
    return (a.width, a.height) == (b.width, b.height) and float((a.K - b.K).abs().max()) <= _SAME_K_PX


def _clip_json(known: Known) -> dict[str, Any]:
    clip = known.clip
    return {
        "told": clip.told or None,
        "notes": list(clip.notes),
        "disagreement": known.disagreement(),
        "scale": clip.scale.to_dict(),
        "extent": path_extent(clip),
        "check": known.check,
    }


def _primitives(solids: tuple[SolidBox, ...]) -> Primitives:
    low, high = (torch.tensor([getattr(box, end) for box in solids], dtype=torch.float64) for end in ("low", "high"))
    poses = SE3.from_translation((low + high) / 2)
    return Primitives.build([BOX] * len(solids), poses, (high - low) / 2, list(range(len(solids))))


def _cast(caster: TriangleScene, camera: PinholeCamera, T_world_cam: SE3) -> tuple[NDArray[Any], NDArray[Any]]:
    """z-depth and owner of each pixel that shows a solid; NaN and UNKNOWN elsewhere."""
    direction = T_world_cam.rotate(camera.rays(camera.pixel_centers()))
    hit = caster.cast(T_world_cam.t, direction)
    met = (hit.prim_idx >= 0).numpy()
    z_depth = np.where(met, hit.t.numpy(), np.nan).astype(np.float32)
    return z_depth, np.where(met, hit.prim_idx.numpy(), UNKNOWN).astype(np.int16)
