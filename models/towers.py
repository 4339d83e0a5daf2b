"""Frozen vision towers of transformers' models, from a local folder (extra `vision`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.features import Features
from synth.safe_read import mapping, number, read_json, sequence
from synth.vision_extra import load_model, load_part

WHAT = "a vision tower"
VERSION = 1
"""Part of the fingerprint: to be raised when the same tower gives other features than before."""

_QWEN = "Qwen2_5_VisionTransformerPretrainedModel"
_CLASSES = {
    "clip": "CLIPVisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "qwen2_5_vl": _QWEN,
    "qwen2_5_vl_vision": _QWEN,
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
}
"""Types of model, as config.json names them, and the class of their tower."""
_OUTSIDE = {"key_mapping": {r"^(?:model\.)?visual\.": ""}}
"""What Qwen's whole models call the weights of their tower."""


class FrozenTower(Features):
    """A vision tower that learns nothing: of CLIP, SigLIP, DINOv2 (with registers or not) or Qwen2.5-VL.

    The whole picture is resized to what the tower sees (bilinear, antialiased, nothing cut off, whatever the model's
    own processor cuts) and normalised by the model's own mean and deviation. Features are the last hidden states of
    patches; of Qwen2.5-VL those that its language model is given, one for 2 x 2 patches. They are rounded to what 16
    bits hold, as `models.feature_cache` keeps them, and computed in single precision also under autocast.

    Args:
        folder: holds config.json, preprocessor_config.json (or processor_config.json) and weights as safetensors, of
            the tower alone or of the whole model, whose other weights are not read.
        grid: rows and columns of cells. By default what the model's own processor makes: always one size, but for
            Qwen2.5-VL the size next to the picture's own.

    Raises:
        ImportError: if transformers is missing; the message says how to install it.
        ValueError: if the folder holds no such tower or not all of it, or the grid is not two positive numbers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, folder: Path, grid: tuple[int, int] | None = None) -> None:
        super().__init__()
        if grid is not None and min(grid) < 1:
            raise ValueError(f"grid must be rows and columns of cells, each at least 1, got {grid}")
        tower_class, config = _described(folder)
        self._is_qwen, self._grid = tower_class == _QWEN, grid
        where, said = _processing(folder)
        self._size = (_limits if self._is_qwen else _size)(said, where)
        for name, values in zip(("mean", "std"), _mean_std(said, where), strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        names = _OUTSIDE if self._is_qwen else {}
        self.tower = load_model(folder, tower_class, WHAT, config=config, **names).requires_grad_(False)
        self.channels = config.out_hidden_size if self._is_qwen else config.hidden_size
        self.cell_px = config.patch_size * getattr(config, "spatial_merge_size", 1)
        """Side of a cell in the picture as the tower sees it."""

    def train(self, mode: bool = True) -> FrozenTower:
        """Nothing: what is frozen stays in evaluation."""
        return super().train(False)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of cells for a picture of a size."""
        if self._grid:
            return self._grid
        h, w = self._dynamic_size(height, width) if self._is_qwen else self._size
        return max(1, h // self.cell_px), max(1, w // self.cell_px)

    def _dynamic_size(self, height: int, width: int) -> tuple[int, int]:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        fewest, most = self._size
        return smart_resize(height, width, factor=self.cell_px, min_pixels=fewest, max_pixels=most)

    @torch.no_grad()
    def forward(self, image: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n channels gh gw"]:
        """Features of sRGB pictures of any size, (n, channels, *self.grid(h, w)), without gradients.

        Raises:
            ValueError: if a feature is no number that 16 bits hold.
        """
        gh, gw = self.grid(*image.shape[-2:])
        with torch.autocast(image.device.type, enabled=False):
            seen = nn.functional.interpolate(
                image.float(), (gh * self.cell_px, gw * self.cell_px), mode="bilinear", antialias=True
            )
            pixels = (seen / 255 - self.mean) / self.std
            cells = (self._merged if self._is_qwen else self._patches)(pixels, gh, gw).half()
        if not cells.isfinite().all():
            raise ValueError("features of a tower must be numbers up to 65504; some are not: are its weights damaged?")
        return cells.float()

    def _patches(self, pixels: Float[Tensor, "n 3 h w"], gh: int, gw: int) -> Float[Tensor, "n channels gh gw"]:
        """Last hidden states; what stands before the patches (CLS, registers) is no place in the picture."""
        # DINOv2 stretches its table of positions unasked.
        asked = {} if "dinov2" in self.tower.config.model_type else {"interpolate_pos_encoding": True}
        tokens = self.tower(pixels, **asked).last_hidden_state
        return tokens[:, -gh * gw :].transpose(1, 2).unflatten(2, (gh, gw))

    def _merged(self, pixels: Float[Tensor, "n 3 h w"], gh: int, gw: int) -> Float[Tensor, "n channels gh gw"]:
        """What Qwen's language model is given: its tower takes patches cell by cell, and gives cells row by row."""
        n, config = len(pixels), self.tower.config
        merge, patch = config.spatial_merge_size, config.patch_size
        cells = pixels.reshape(n, 3, gh, merge, patch, gw, merge, patch).permute(0, 2, 5, 3, 6, 1, 4, 7)
        # A picture is a film of two equal frames.
        film = cells.unsqueeze(6).expand(*cells.shape[:6], config.temporal_patch_size, patch, patch)
        patches = film.reshape(n * gh * gw * merge**2, -1)
        grid_thw = torch.tensor([[1, gh * merge, gw * merge]] * n, device=pixels.device)
        merged = self.tower(patches, grid_thw=grid_thw).pooler_output
        return merged.reshape(n, gh, gw, -1).permute(0, 3, 1, 2)

    @cached_property
    def fingerprint(self) -> str:
        """Differs between towers that may give different features: of the weights as loaded, and of all settings."""
        config = {k: v for k, v in self.tower.config.to_dict().items() if k not in ("_name_or_path", "dtype")}
        said = {"version": VERSION, "grid": self._grid, "size": self._size, "config": config}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
        for name, weights in [("mean", self.mean), ("std", self.std), *sorted(self.tower.state_dict().items())]:
            digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
            digest.update(weights.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def _described(folder: Path) -> tuple[str, Any]:
    """The class of the folder's tower, and the configuration of it."""
    config = load_part(folder, "AutoConfig", WHAT)
    if config.model_type not in _CLASSES:
        known = ", ".join(_CLASSES)
        raise ValueError(f"{folder} must hold {WHAT} of a type among {known}, got {config.model_type!r}")
    return _CLASSES[config.model_type], getattr(config, "vision_config", config)


def _processing(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """What the folder says about its image processor, and in which file: the older of both, or the newer."""
    older, newer = folder / "preprocessor_config.json", folder / "processor_config.json"
    if older.is_file():
        return str(older), mapping(read_json(older), str(older))
    if not newer.is_file():
        raise ValueError(f"{folder} must have the preprocessor_config.json of {WHAT}: its mean, deviation and size")
    return str(newer), mapping(mapping(read_json(newer), str(newer), "image_processor")["image_processor"], str(newer))


def _mean_std(said: Mapping[str, Any], where: str) -> tuple[list[float], list[float]]:
    if not (said.get("do_rescale", True) and said.get("do_normalize", True)):
        raise ValueError(f"{where} must say do_rescale and do_normalize, for every tower here was trained so")
    mapping(said, where, "image_mean", "image_std")
    mean, std = ([number(v, where) for v in sequence(said[name], where)] for name in ("image_mean", "image_std"))
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(f"{where} must have image_mean and image_std of red, green and blue, got {mean} and {std}")
    return mean, std


def _size(said: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Height and width that the processor makes of every picture; one number, as older files have it, means both."""
    size = said.get("crop_size") if said.get("do_center_crop") else said.get("size")
    size = size if isinstance(size, Mapping) else {"shortest_edge": size}
    height, width = (size.get(side, size.get("shortest_edge")) for side in ("height", "width"))
    return int(number(height, f"the size in {where}")), int(number(width, f"the size in {where}"))


def _limits(said: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Fewest and most pixels that Qwen's processor makes of a picture; newer files name them as edges of its size."""
    size = said.get("size") or {}
    fewest = said.get("min_pixels") or size.get("shortest_edge")
    most = said.get("max_pixels") or size.get("longest_edge")
    return int(number(fewest, f"min_pixels in {where}")), int(number(most, f"max_pixels in {where}"))
