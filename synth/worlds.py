"""What a dataset is made from, scene by scene: a simulated room, a mesh, a photograph with depth, recorded frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from geom.actions import ActionSequence
from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from synth.case import Claims
from synth.evidence import Evidence, Sight
from synth.presets import Preset
from synth.stages import Stages
from synth.transition import Trajectory, View

SUBSETS = {
    "render": "Render-SimulatedScene",
    "depthwarp": "DepthWarp-RealScene",
    "recorded": "Recorded-RealScene",
    "svc": "SVC-RealScene",
    "worldfm": "WorldFM-RealScene",
    "hy_worldplay": "HY-WorldPlay-RealScene",
}
"""Teacher to name of its subset."""

GENERATED = ("render", "depthwarp")
"""Teachers that show what was not there before; the others have frames that exist already."""

WORLD_MODELS = ("svc", "worldfm", "hy_worldplay")
"""Teachers whose frames may show another motion than that of their poses: told, and not measured."""

TEACHERS = {
    "room": ("render",),
    "mesh": ("render",),
    "photo": ("depthwarp",),
    "recorded": ("recorded", *WORLD_MODELS),
}
"""Type of a scene to the teachers that may show it."""

MOTION = {"executed": "as commanded", "check": "not needed: the camera is simulated"}
"""How a simulated camera's executed motion is known."""

UNCHECKED = {
    "executed": "unchecked",
    "check": "unchecked: the motion is that of the stored poses",
}
"""How the motion of a world model's frames is known where nobody has checked them."""

MEASURED = {"executed": "as the stored poses say", "check": "poses taken as they were recorded"}
"""How the motion of a recorded camera is known."""


def motion_known(teacher: str) -> dict[str, str]:
    """How the motion of a teacher's frames is known before anybody has looked at them (`synth.motion`)."""
    if teacher in WORLD_MODELS:
        return UNCHECKED
    return MEASURED if teacher == "recorded" else MOTION


RECORDED_PRESET = "recorded"
"""What traj.json calls the distribution of motions that nobody drew."""

ANOTHER_MOTION = "motion of another trajectory"
"""Why a claim is false: it is true of another trajectory of the scene, so its words tell nothing."""

ROOM_SCALE = Scale("metric", "simulated room, sizes in metres")


def motion_kind(num_actions: int) -> str:
    """What traj.json calls a motion of so many actions."""
    return "single_step" if num_actions == 1 else "multi_step"


Files = dict[str, dict[str, str]]
"""Parts of a view to file and fingerprint."""


@runtime_checkable
class World(Protocol):
    """One scene with its teacher: where the camera starts, where it goes, and what it sees there."""

    scene_id: str

    @property
    def evidence(self) -> Evidence:
        """What decides the questions here."""
        ...

    def frames(self) -> Iterator[View]:
        """The views that the scene keeps in `input/`, the anchor first."""
        ...

    def scene_json(self, files: list[Files]) -> dict[str, Any]:
        """The scene as scene.json keeps it: enough to rebuild its geometry.

        Args:
            files: of the frames, for a scene that is made of its pictures.
        """
        ...

    def trajectories(self, left_out: Counter[str]) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
        """Trajectories from the anchor, each with what traj.json says about it; those dropped are counted."""
        ...

    def sights(self, traj: Trajectory) -> tuple[Sight, Sight]:
        """What the two cameras of a trajectory see."""
        ...

    def witness(self, traj: Trajectory, left_out: Counter[str]) -> dict[int, float]:
        """Items whose place in the second view something else than geometry tells too: share of it that agrees.

        Those that disagree are counted: nothing may be asked about them.
        """
        ...

    def claims(self, traj: Trajectory) -> Claims:
        """Other motions that might have been made instead, from the same distribution."""
        ...


class AnchoredWorld(ABC):
    """What worlds have in common whose trajectories all start from one view, and whose teacher shows any pose."""

    teacher: str
    scene_id: str
    evidence: Evidence
    camera: PinholeCamera
    T_world_anchor: SE3
    preset: Preset
    """Distribution of the motions."""
    scale: Scale

    @abstractmethod
    def view(self, T_world_cam: SE3) -> View:
        """What the teacher shows from a pose."""

    @abstractmethod
    def allows(self, actions: ActionSequence) -> bool:
        """Whether the camera can do this from the anchor, and the teacher show what it sees then."""

    @cached_property
    def _before(self) -> Sight:
        return self._sight(self.T_world_anchor)

    def _sight(self, T_world_cam: SE3) -> Sight:
        return Sight(self.evidence, T_world_cam, self.camera, self.view(T_world_cam))

    def frames(self) -> Iterator[View]:
        """The anchor's view alone: what comes after is shown and not kept."""
        yield self._before.view

    def sights(self, traj: Trajectory) -> tuple[Sight, Sight]:
        """What the anchor's camera sees, found once, and what the second one does."""
        return self._before, self._sight(traj.T_world_cam[1])

    def witness(self, traj: Trajectory, left_out: Counter[str]) -> dict[int, float]:
        """Nothing: the teacher shows what the geometry says, and nobody else was there."""
        return {}

    def _trajectory(self, traj_id: str, actions: ActionSequence) -> Trajectory:
        T_world_after = self.T_world_anchor @ actions.pose()
        T_world_cam = SE3.stack([self.T_world_anchor, T_world_after])
        return Trajectory(traj_id, self.camera, T_world_cam, actions, actions, self.scale)

    def _about(self, kind: str) -> dict[str, Any]:
        return {"teacher": self.teacher, "kind": kind, "preset": self.preset.name, "motion": MOTION}

    def claims(self, traj: Trajectory) -> Claims:
        """Claims that are allowed too."""

        def propose(rng: np.random.Generator) -> tuple[str, ActionSequence] | None:
            claim = self.preset.propose(traj.actions, rng)
            return claim if claim and self.allows(claim[1]) else None

        return propose


@runtime_checkable
class Recipe(Protocol):
    """Everything that the bytes of a subset depend on, and how its scenes are come by."""

    @property
    def seed(self) -> int: ...
    @property
    def tasks(self) -> tuple[str, ...]: ...
    @property
    def phrasing(self) -> str: ...

    @property
    def subset(self) -> str:
        """Name of the subset's folder."""
        ...

    @property
    def tasks_file(self) -> str:
        """Name of the file that holds the questions."""
        ...

    @property
    def counts_unsuited(self) -> bool:
        """Whether it is counted that a task asks nothing about motions of a kind."""
        ...

    def settings(self) -> dict[str, Any]:
        """What generation.json keeps: a run with other settings does not go on with this one's files."""
        ...

    def scene_ids(self) -> list[str]:
        """Names of the scenes, in order."""
        ...

    def open(self, index: int, stages: Stages) -> World:
        """Build the scene with this index."""
        ...

    def left_out(self) -> Counter[str]:
        """What was left out before any scene was made, by cause."""
        ...


MIN_WITNESS = 0.5
"""An item is asked about only if at least so much of it is where its outline in the second view says."""
