"""Trajectories that exist already, whoever wrote them: frames with intrinsics and poses, and what is known of scale.

Readers of formats (`read_*.py`) turn a folder into scenes of clips. Everything that a reader had to decide (which
convention, whose intrinsics, which sign of a turn) is said in `Clip.notes` for people, and goes into the proofs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from geom.actions import ActionSequence, parse_actions, same_motion
from geom.camera import PinholeCamera
from geom.inversion import NotPlanarError, planar_decomposition
from geom.scale import Scale
from geom.se3 import SE3


@dataclass(frozen=True)
class Frame:
    """One picture, the camera that took it (intrinsics of this picture), and where from."""

    picture: Path
    camera: PinholeCamera
    T_world_cam: SE3
    z_depth: Path | None = None
    """16-bit picture of z-depth, registered to this one; None where there is none."""
    units_per_m: float = 1000.0
    """Units of the depth picture in a metre."""


def frame_name(picture: Path) -> str:
    """How files beside a picture call its frame: its name without `.color` and the suffix; other dots are its own.

    >>> [frame_name(Path(name)) for name in ("frame-000001.color.png", "rgb/1305031102.175304.png")]
    ['frame-000001', '1305031102.175304']
    """
    before, color, _ = picture.name.rpartition(".color.")
    return before if color else picture.stem


def of_size(camera: PinholeCamera, size: tuple[int, int]) -> PinholeCamera:
    """The camera of its picture made smaller or larger, (width, height): intrinsics are often those of the full one.

    Raises:
        ValueError: if the picture has another shape, by more than rounding to whole pixels gives.
    """
    whole = camera.width, camera.height
    if abs(size[0] * whole[1] - size[1] * whole[0]) > sum(whole):
        raise ValueError(
            f"its intrinsics are of {whole[0]} x {whole[1]} pixels, but its picture has {size[0]} x {size[1]}, which is"
            " another shape; was it turned or cropped after they were found?"
        )
    return camera if whole == size else camera.resize(*size)


@dataclass(frozen=True)
class Clip:
    """One trajectory: frames in order, and what the camera was told to do between them."""

    clip_id: str
    frames: tuple[Frame, ...]
    scale: Scale
    told: str = ""
    """The commanded actions in the words of the source; empty where it has none."""
    key_frames: tuple[int, ...] = ()
    """Frames at which an action begins or ends; first and last where the source does not say."""
    notes: tuple[str, ...] = ()
    is_measured: bool = False
    """Whether the poses were measured in the pictures, with noise that exact words need not follow."""

    @property
    def is_commanded(self) -> bool:
        """Whether somebody said what the camera should do, or at least where actions begin and end."""
        return bool(self.told or self.key_frames)

    def shown(self) -> ActionSequence:
        """The actions between key frames as the poses show them, which is what labels rest on.

        Raises:
            NotPlanarError: (a ValueError) if a step pitches, rolls or lifts too much to be spoken.
        """
        keys = self.key_frames or (0, len(self.frames) - 1)
        steps = []
        for before, after in zip(keys, keys[1:], strict=False):
            T_before_after = self.frames[before].T_world_cam.inverse() @ self.frames[after].T_world_cam
            steps += planar_decomposition(T_before_after).actions
        return ActionSequence(tuple(steps))

    def disagreement(self) -> str | None:
        """What the poses show against what the source says was commanded; None where they agree or nothing is said."""
        if not self.told:
            return None
        try:
            shown = self.shown()
        except NotPlanarError as error:
            return f"told {self.told!r}, but {error}"
        if same_steps(shown, parse_actions(self.told)):
            return None
        return f"told {self.told!r}, but the poses show {shown.text()!r}"


def same_steps(a: ActionSequence, b: ActionSequence) -> bool:
    """Whether two sequences do the same step by step, angles modulo 360: a half turn is one to either side."""
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(same_motion(ActionSequence((x,)), ActionSequence((y,))) for x, y in pairs)


@dataclass(frozen=True)
class SourceScene:
    """Clips that start from one picture."""

    scene_id: str
    clips: tuple[Clip, ...]
    anchor: Path | None = None
    called: str = ""
    """What the source calls it, where `scene_id` was changed to be a folder's name."""


@dataclass
class Source:
    """What a reader found in a folder."""

    source_format: str
    scenes: list[SourceScene]
    left_out: Counter[str] = field(default_factory=Counter)
    """Clips or frames that could not be read, by cause."""

    def clips(self) -> Iterator[tuple[SourceScene, Clip]]:
        """All clips with the scenes that they belong to."""
        return ((scene, clip) for scene in self.scenes for clip in scene.clips)


Reader = Callable[[Path], Source]
"""Reads a folder of its format.

Raises:
    ValueError: if the folder is damaged as a whole; a clip that is damaged alone is counted in `left_out`.
"""
