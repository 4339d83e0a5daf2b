"""COLMAP models, text or binary, read by pycolmap (extra `sfm`): world-to-camera poses, pinhole cameras.

Pixels are counted as here (first centre 0.5, 0.5). The model lies in the folder, or in `sparse` or `sparse/0` of it,
its pictures in `images`. Structure from motion leaves one factor of length unknown.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from geom.camera import PinholeCamera
from geom.conventions import from_w2c
from geom.scale import Scale
from synth.safe_read import inside, picture_size
from synth.source import Clip, Frame, Source, SourceScene, of_size

_MODELS = (".", "sparse/0", "sparse")
_PICTURES = ("images", ".")
_STRAIGHT = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
"""Camera models that are pinholes where nothing bends them; a fisheye is none even with all its numbers zero."""
_ENDS = (".png", ".jpg", ".jpeg")
_SCALE = Scale("up_to_scale", "structure from motion (COLMAP)")


def is_colmap(folder: Path) -> bool:
    """Whether a folder holds a model: cameras and images, as text or binary."""
    return _model(folder) is not None


def _model(folder: Path) -> Path | None:
    return next((folder / place for place in _MODELS if _has_model(folder / place)), None)


def _has_model(place: Path) -> bool:
    return any(all((place / f"{name}.{end}").is_file() for name in ("cameras", "images")) for end in ("txt", "bin"))


def read_colmap(folder: Path) -> Source:
    """Read one scene of one clip, its frames in the order of their names; frames that are damaged are left out.

    Raises:
        ValueError: if pycolmap is not installed, the model is damaged, or fewer than 2 frames can be read.
    """
    images = _images(folder)
    left_out = _not_in(folder, images)
    frames = []
    for image in sorted(images, key=lambda image: image.name):
        try:
            frames.append(_frame(folder, image))
        except ValueError as error:
            left_out[f"{image.name}: {error}"] += 1
    if len(frames) < 2:
        cause = next(iter(left_out), "the model has no more")
        raise ValueError(f"{folder} must give at least 2 frames that can be read, got {len(frames)}: {cause}")
    clip = Clip("all", tuple(frames), _SCALE, notes=("poses are world-to-camera, inverted",))
    return Source("colmap", [SourceScene(folder.resolve().name, (clip,), frames[0].picture)], left_out)


def _not_in(folder: Path, images: list[_Taken]) -> Counter[str]:
    """Count what lies beside the model that is read: pictures that it does not place, and further models."""
    left_out = Counter[str]()
    if (pictures := folder / "images").is_dir():
        names = {image.name for image in images}
        found = {path.relative_to(pictures).as_posix() for path in pictures.rglob("*") if path.suffix.lower() in _ENDS}
        if unplaced := len(found - names):
            left_out["picture without a pose in the model"] = unplaced
    more = [place for place in folder.glob("sparse/*") if _has_model(place) and place != _model(folder)]
    if more:
        left_out["further model, whose frame of reference is another"] = len(more)
    return left_out


def _images(folder: Path) -> list[_Taken]:
    try:
        import pycolmap
    except ImportError:
        raise ValueError("COLMAP models need pycolmap: pip install 'theodolite[sfm]'") from None
    model = _model(folder)
    if model is None:
        raise ValueError(f"{folder} holds no COLMAP model: cameras and images, as .txt or .bin")
    try:
        whole = pycolmap.Reconstruction(str(model))
    except (ValueError, RuntimeError, IndexError, MemoryError) as error:
        raise ValueError(f"{model} is no COLMAP model that can be read: {' '.join(str(error).split())}") from None
    # Cameras belong to the model, which must live as long as they are looked at: all is taken out here.
    return [_Taken(whole, image) for image in whole.images.values() if image.has_pose]


class _Taken:
    """Name, pose and camera of a registered image, without the model around it."""

    def __init__(self, whole: Any, image: Any) -> None:
        camera = whole.cameras[image.camera_id]
        self.name = str(image.name)
        self.rows = torch.from_numpy(image.cam_from_world().matrix()).double()
        self.size = int(camera.width), int(camera.height)
        is_straight = camera.model_name in _STRAIGHT and camera.is_undistorted()
        self.bent = "" if is_straight else camera.model_name
        self.K = torch.from_numpy(camera.calibration_matrix()).double() if is_straight else torch.eye(3).double()


def _frame(folder: Path, image: _Taken) -> Frame:
    if image.bent:
        raise ValueError(
            f"its camera {image.bent} bends lines; undistort the pictures first (colmap image_undistorter)"
        )
    picture = next((p for p in (inside(folder, f"{place}/{image.name}") for place in _PICTURES) if p.is_file()), None)
    if picture is None:
        raise ValueError("its picture is in neither images nor the folder")
    camera = of_size(PinholeCamera(image.K, *image.size), picture_size(picture))
    return Frame(picture, camera, from_w2c(image.rows))
