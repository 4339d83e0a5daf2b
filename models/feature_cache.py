"""Features of a frozen tower, kept on disk: a picture is looked at once."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import torch
from jaxtyping import Float, Float16, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.features import Features
from models.towers import FrozenTower
from synth.files import sha256, write_whole

_NAME = "features"


def cached(features: FrozenTower, folder: Path) -> Features:
    """The same features, each picture's read from a folder if they are there, else computed and written there.

    Files are `folder/<fingerprint of the tower>/<sha256 of the picture's size and bytes>.safetensors`, in 16 bits, as
    the tower rounds them. Pictures are looked at one by one, so that nothing depends on the batch that a picture first
    came with: a run on a cold cache gives the bits of one on a warm cache. Damaged files are computed again. Several
    processes may share a folder.
    """
    return _Cached(features, folder / features.fingerprint)


class _Cached(Features):
    def __init__(self, tower: FrozenTower, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self.source, self.folder, self.channels = tower, folder, tower.channels

    def train(self, mode: bool = True) -> _Cached:
        """Nothing: what is frozen stays in evaluation."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n channels gh gw"]:
        shape = (self.channels, *self.source.grid(*image.shape[-2:]))
        found = [self._one(picture, path, shape) for picture, path in zip(image, self._paths(image), strict=True)]
        return torch.stack(found).to(image.device).float()

    def _paths(self, image: UInt8[Tensor, "n 3 h w"]) -> list[Path]:
        size = f"{image.shape[-2]} x {image.shape[-1]} ".encode()
        return [self.folder / f"{sha256(size + picture.tobytes())}.safetensors" for picture in image.cpu().numpy()]

    def _one(self, picture: UInt8[Tensor, "3 h w"], path: Path, shape: tuple[int, ...]) -> Float16[Tensor, "c gh gw"]:
        kept = _read(path)
        if kept is None or kept.dtype != torch.float16 or kept.shape != shape:
            kept = self.source(picture[None])[0].half().cpu()
            _write(path, kept)
        return kept


def _read(path: Path) -> Tensor | None:
    """What a file holds; None if it is missing, truncated or another file."""
    try:
        return load(path.read_bytes())[_NAME]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None


def _write(path: Path, features: Float16[Tensor, "c gh gw"]) -> None:
    # A name of its own: of two processes that write one picture's features, the last one stays.
    own = path.with_name(f"{path.stem}.{uuid.uuid4().hex}")
    write_whole(own, save({_NAME: features.contiguous()}))
    os.replace(own, path)
