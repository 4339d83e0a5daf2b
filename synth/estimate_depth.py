"""Depth of a photograph by a model's guess, from transformers in a local folder (extra `vision`).

Only models that guess metres are taken: most others give inverse depth up to a factor and a shift, which is no z-depth.
What they guess is `estimated`, never `metric`.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from geom.scale import Scale
from synth.vision_extra import LocalModel, load

_METRIC_TYPES = ("zoedepth", "depth_pro")
_NEEDS_MORE = "prompt_depth_anything"
"""Its metres come from a coarse measured depth, which a photograph lacks, whatever its config.json says."""


class DepthModel(LocalModel):
    """A monocular depth model that guesses metres.

    Args:
        folder: holds the model, its processor and config.json (ZoeDepth, DepthPro, Depth Anything with metric heads).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        model, processor = load(self.folder, "AutoModelForDepthEstimation", "AutoImageProcessor", "a depth model")
        kind, says = model.config.model_type, getattr(model.config, "depth_estimation_type", "relative")
        if kind not in _METRIC_TYPES and (says != "metric" or kind == _NEEDS_MORE):
            raise ValueError(
                f"{self.folder} must hold a model that guesses metres, but its {kind} does not say so; most give"
                " inverse depth up to a factor and a shift; use one with metric heads"
            )
        if kind != "zoedepth" and getattr(processor, "do_pad", False):
            raise ValueError(f"{self.folder} must have a processor that does not pad, for its {kind} is not cut back")
        return model, processor

    @property
    def scale(self) -> Scale:
        """What its depth is worth: a guess, and whose."""
        kind = self._loaded[0].config.model_type
        return Scale("estimated", f"z-depth guessed by {kind} of folder {self.folder.name}")

    def estimate(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """z-depth of a picture, (h, w, 3) -> (h, w), metres by a guess; NaN where the guess is no length.

        Raises:
            ImportError, ValueError: as `synth.vision_extra.load`, or if the model guesses no metres.
        """
        model, processor = self._loaded
        size = image.shape[0], image.shape[1]
        with torch.inference_mode():
            outputs = model(**processor(images=Image.fromarray(image), return_tensors="pt"))
        if model.config.model_type == "zoedepth":
            z_depth = _unpadded(outputs.predicted_depth, size, processor.do_pad)
        else:
            z_depth = processor.post_process_depth_estimation(outputs, target_sizes=[size])[0]["predicted_depth"]
        z_depth = z_depth.float().numpy()
        return np.where(np.isfinite(z_depth) & (z_depth > 0), z_depth, np.nan).astype(np.float32)


def _unpadded(guess: Tensor, size: tuple[int, int], is_padded: bool) -> Tensor:
    """What ZoeDepth guesses, (1, rows, cols), on the picture, (h, w): its processor's steps, undone.

    The processor pads each side by 3 sqrt(side / 2) pixels and then stretches from the first pixel's centre to the
    last's (`ZoeDepthImageProcessor.pad_image`, `resize`). Its own way back needs torchvision and stretches from edge to
    edge instead.
    """
    pads = [math.floor(math.sqrt(side / 2) * 3) if is_padded else 0 for side in size]
    padded = [side + 2 * pad for side, pad in zip(size, pads, strict=True)]
    stretched = torch.nn.functional.interpolate(guess[:, None], padded, mode="bilinear", align_corners=True)[0, 0]
    return stretched[pads[0] : pads[0] + size[0], pads[1] : pads[1] + size[1]]
