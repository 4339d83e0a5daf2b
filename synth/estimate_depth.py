"""Depth of a photograph by a model's guess, from transformers in a local folder (extra `vision`).

Only models that guess metres are taken: most others give inverse depth up to a factor and a shift, which is no z-depth.
What they guess is `estimated`, never `metric`.
"""

from __future__ import annotations

from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from geom.scale import Scale
from synth.vision_extra import load

_METRIC_TYPES = ("zoedepth", "depth_pro")


class DepthModel:
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
        if kind not in _METRIC_TYPES and says != "metric":
            raise ValueError(
                f"{self.folder} must hold a model that guesses metres, but its {kind} gives inverse depth up to a"
                " factor and a shift; use one with metric heads"
            )
        return model, processor

    def ready(self) -> None:
        """Load the model now, so that a folder without one is refused before any work; raises as `estimate`."""
        _ = self._loaded

    def __getstate__(self) -> dict[str, Any]:
        """Without the model: another process reads its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_loaded"}

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
        # Some pad the picture before the model sees it; the processor takes that off again if it knows the size.
        undo = processor.post_process_depth_estimation
        sizes = {name: [size] for name in ("source_sizes", "target_sizes") if name in signature(undo).parameters}
        z_depth = undo(outputs, **sizes)[0]["predicted_depth"].float().numpy()
        return np.where(np.isfinite(z_depth) & (z_depth > 0), z_depth, np.nan).astype(np.float32)
