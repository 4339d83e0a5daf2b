"""What a dataset is made from, scene by scene: a simulated room, or a photograph with depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from synth.case import Claims
from synth.evidence import Evidence
from synth.stages import Stages
from synth.transition import Trajectory, View

if TYPE_CHECKING:
    from synth.pipeline import GenerateConfig

SUBSETS = {"render": "Render-SimulatedScene", "depthwarp": "DepthWarp-RealScene"}
"""Teacher to name of its subset."""

TEACHERS = {"room": "render", "photo": "depthwarp"}
"""Type of a scene to the teacher that shows it."""

MOTION = {"executed": "as commanded", "check": "not needed: the camera is simulated"}
"""How a simulated camera's executed motion is known."""

ROOM_SCALE = Scale("metric", "simulated room, sizes in metres")


def motion_kind(num_actions: int) -> str:
    """What traj.json calls a motion of so many actions."""
    return "single_step" if num_actions == 1 else "multi_step"


@runtime_checkable
class World(Protocol):
    """One scene with its teacher: where the camera starts, where it goes, and what it sees there."""

    teacher: str
    scene_id: str
    camera: PinholeCamera
    T_world_anchor: SE3

    @property
    def evidence(self) -> Evidence:
        """What decides the questions here."""
        ...

    def scene_json(self) -> dict[str, Any]:
        """The scene as scene.json keeps it: enough to rebuild its geometry."""
        ...

    def trajectories(self, left_out: Counter[str]) -> Iterator[tuple[Trajectory, dict[str, Any]]]:
        """Trajectories from the anchor, each with what traj.json says about it; those dropped are counted."""
        ...

    def view(self, T_world_cam: SE3) -> View:
        """What the teacher shows from a pose."""
        ...

    def claims(self, traj: Trajectory) -> Claims:
        """Other motions that might have been made instead, from the same distribution."""
        ...


def scene_id(config: GenerateConfig, index: int) -> str:
    """Name of the scene with this index, unique over seeds."""
    return f"room_{config.seed}_{index:06d}" if config.teacher == "render" else f"motorcycle_{config.seed}_{index:03d}"


def open_world(config: GenerateConfig, index: int, stages: Stages) -> World:
    """Build the scene with this index."""
    if config.teacher == "render":
        from synth.room_world import RoomWorld

        return RoomWorld(config, index, stages)
    from synth.photo_world import PhotoWorld

    return PhotoWorld(config, index, stages)
