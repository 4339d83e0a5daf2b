"""Simulated films whose motion, and one planted fault, are known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from geom.actions import parse_actions
from synth.film import Film, Picture
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages

SIZE = (320, 240)
NUM = 30


@cache
def texture(seed: int, shift: tuple[float, float], size: tuple[int, int] = SIZE) -> Picture:
    """Waves of all sizes, moved right and down by so many pixels: exact, for it is computed anew and not resampled."""
    rng = np.random.default_rng(seed)
    wavelength = np.exp(rng.uniform(np.log(4), np.log(150), 160))
    angle = rng.uniform(0, 2 * np.pi, 160)
    k = 2 * np.pi / wavelength * np.exp(1j * angle)
    x, y = np.arange(size[0]) - shift[0], np.arange(size[1]) - shift[1]
    phase = np.exp(1j * (y[:, None] * k.imag + rng.uniform(0, 2 * np.pi, 160)))
    waves = ((phase * wavelength**0.7) @ np.exp(1j * k.real[:, None] * x)).real
    waves *= 36 / np.sqrt((wavelength**1.4).sum() / 2)
    return np.rint(np.clip(np.stack([waves + 130, 0.9 * waves + 120, 0.8 * waves + 105], -1), 0, 255)).astype(np.uint8)


def moving(seed: int, pixels_per_frame: tuple[float, float] = (2.3, -0.7), num: int = NUM) -> list[Picture]:
    """A texture that moves evenly."""
    return [texture(seed, (n * pixels_per_frame[0], n * pixels_per_frame[1])) for n in range(num)]


def film_of(pictures: Sequence[Picture], name: str = "a film") -> Film:
    """Pictures as a film."""
    height, width = pictures[0].shape[:2]
    return Film(name, (width, height), lambda: iter(pictures), len(pictures))


def noisy(pictures: Sequence[Picture], sigma: float = 3.0) -> list[Picture]:
    """With a camera's noise, another one in each frame."""
    rng = np.random.default_rng(0)
    return [np.clip(p + rng.normal(0, sigma, p.shape), 0, 255).astype(np.uint8) for p in pictures]


def jpeg(pictures: Sequence[Picture], quality: int = 75) -> list[Picture]:
    """Each written as JPEG and read again."""
    written = (cv2.imencode(".jpg", p[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for p in pictures)
    return [cv2.imdecode(p, cv2.IMREAD_COLOR)[:, :, ::-1].copy() for p in written]


def write_video(path: Path, pictures: Sequence[Picture], codec: str = "mp4v") -> Path:
    """A video file of them."""
    height, width = pictures[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 24, (width, height))
    for picture in pictures:
        video.write(picture[:, :, ::-1])
    video.release()
    return path


@cache
def room_film(seed: int, num: int = 16) -> list[Picture]:
    """A simulated room seen by a camera that goes forward and turns right, by 5 cm and 1 degree a frame."""
    world = RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=SIZE), 0, Stages())
    texts = (f"move forward {0.05 * n:.2f} meters; turn right {n} degrees" for n in range(1, num + 1))
    steps = (parse_actions(text).pose() for text in texts)
    views = (world.view(world.T_world_anchor @ step) for step in steps)
    return [view.image for view in views if view.image is not None]
