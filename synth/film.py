"""The frames of a trajectory one after another, in constant memory: from pictures, a recorded clip, or a video file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from synth.safe_read import MAX_PIXELS, picture_size, read_picture
from synth.source import Clip

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Suffixes of the pictures in a folder; what else lies there is no frame."""

_MISSTATED = 0.02, 2
"""Share, and least number, of frames that containers state too many of though they are whole."""

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Film:
    """Frames in order, read anew by each call of `frames`.

    Args:
        name: how messages call it.
        size: (width, height) of every frame in pixels.
        read: starts from the first frame each time; sRGB, uint8, (h, w, 3).
        num_frames: how many frames `read` gives; None where only reading them all would tell.
    """

    name: str
    size: tuple[int, int]
    read: Callable[[], Iterator[Picture]]
    num_frames: int | None = None

    def __len__(self) -> int:
        if self.num_frames is None:
            raise TypeError(f"nobody knows how many frames {self.name} has before all are read")
        return self.num_frames

    def frames(self) -> Iterator[Picture]:
        """The frames, sRGB, uint8, (h, w, 3); none is kept once the next one is asked for.

        Raises:
            ValueError: if a frame cannot be read, has another size, or fewer come than were announced.
        """
        width, height = self.size
        count = 0
        for picture in self.read():
            if picture.shape != (height, width, 3) or picture.dtype != np.uint8:
                raise ValueError(
                    f"frames of {self.name} must be uint8 of shape {(height, width, 3)}, but frame {count} is"
                    f" {picture.dtype} of shape {picture.shape}"
                )
            yield picture
            count += 1
        if count != (self.num_frames or count):
            raise ValueError(f"{self.name} must have {self.num_frames} frames, but gave {count}; did it change?")

    def rows(self, first: int, end: int) -> Film:
        """The film without what lies above row `first`, or from row `end` on, such as keys drawn over the bottom.

        Pixel coordinates count from the first row that is left: they stay those of the whole only if `first` is 0.

        Raises:
            ValueError: if these are no rows of it.
        """
        width, height = self.size
        if not 0 <= first < end <= height:
            raise ValueError(f"rows must be 0 <= first < end <= {height} in {self.name}, got {first} to {end}")
        cut = partial(_rows, self.frames, first, end)
        return Film(self.name, (width, end - first), cut, self.num_frames)


def _rows(frames: Callable[[], Iterator[Picture]], first: int, end: int) -> Iterator[Picture]:
    return (picture[first:end] for picture in frames())


def open_film(path: Path) -> Film:
    """The film in a folder of pictures or in a video file.

    Raises:
        ValueError: as `film_of_folder` or `film_of_video`.
    """
    return film_of_folder(path) if path.is_dir() else film_of_video(path)


def film_of_clip(clip: Clip) -> Film:
    """The pictures of a clip that a reader found; raises as `film_of_pictures`."""
    return film_of_pictures([frame.picture for frame in clip.frames], clip.clip_id)


def film_of_folder(folder: Path) -> Film:
    """The pictures of a folder in the order of their names, with numbers as numbers: `f2.png` before `f10.png`.

    Raises:
        ValueError: as `film_of_pictures`.
    """
    paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file()]
    return film_of_pictures(sorted(paths, key=_by_number), str(folder))


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Order of names: what are digits compares as a number; names that differ in zeros alone compare as text."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def film_of_pictures(paths: Sequence[Path], name: str) -> Film:
    """Picture files as a film; only their headers are read before the frames are asked for.

    Raises:
        ValueError: if there are fewer than 2, one is missing or no picture, or their sizes differ.
    """
    if len(paths) < 2:
        raise ValueError(f"{name} must have at least 2 frames to show a motion; pictures found: {len(paths)}")
    size = picture_size(paths[0])
    for path in paths[1:]:
        if (other := picture_size(path)) != size:
            raise ValueError(
                f"frames must have one size, but {path} has {other[0]} x {other[1]} pixels and {paths[0].name}"
                f" {size[0]} x {size[1]}"
            )
    return Film(name, size, partial(map, read_picture, paths), len(paths))


def film_of_video(path: Path) -> Film:
    """A video file; it is decoded once to count its frames, because containers misstate how many they hold.

    Raises:
        ValueError: if it is missing, no video, truncated, larger than 64 million pixels, or has fewer than 2 frames.
    """
    if not path.is_file():
        raise ValueError(f"the video {path} is missing")
    with _capture(path) as capture:
        stated, size = _stated(capture)
        if size[0] * size[1] > MAX_PIXELS:
            raise ValueError(f"{path} has frames of {size[0]} x {size[1]} pixels; more than {MAX_PIXELS} are not read")
        count = sum(1 for _ in iter(capture.grab, False))
    share, least = _MISSTATED
    if count < stated - max(share * stated, least):
        raise ValueError(f"{path} states {stated} frames, but only {count} can be decoded; is it truncated?")
    if count < 2:
        raise ValueError(f"{path} must have at least 2 frames to show a motion; frames that can be decoded: {count}")
    first = next(islice(decoded(path), 1))
    return Film(str(path), (first.shape[1], first.shape[0]), partial(decoded, path), count)


def _stated(capture: Any) -> tuple[int, tuple[int, int]]:
    import cv2

    count, *size = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    return int(capture.get(count)), (int(capture.get(size[0])), int(capture.get(size[1])))


def decoded(path: Path) -> Iterator[Picture]:
    """The frames of a video file, sRGB, as many as can be decoded.

    Raises:
        ValueError: if it is no video.
    """
    import cv2

    with _capture(path) as capture:
        while (read := capture.read())[0]:
            yield np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def _capture(path: Path) -> Iterator[Any]:
    """An open video, closed again; OpenCV and its FFmpeg write nothing of their own, since one line says what is wrong.

    Raises:
        ValueError: if it is no video.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read when OpenCV opens its first video
    import cv2
    from cv2.utils import logging

    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise ValueError(f"{path} is no video that can be read; is it truncated, or another kind of file?")
        yield capture
    finally:
        capture.release()
