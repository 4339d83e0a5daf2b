"""What tests of vision-language models share: tiny models of three families, a tiny head, a dataset of two rooms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tiny_vlms
import torch
from head_cases import TINY

from models.weights import save_model
from synth.pipeline import GenerateConfig, generate

FAMILIES = ("qwen2_5", "qwen3", "smol")


def tiny_folder(root: Path, families: Sequence[str] = FAMILIES) -> Path:
    """A folder with a model of each family, `head` and `data`."""
    torch.manual_seed(0)
    for family in families:
        getattr(tiny_vlms, family)(root / family)
    save_model(root / "head", TINY, TINY.build())
    generate(root / "data", GenerateConfig(num_scenes=2, seed=5, image_size=(64, 64)))
    return root
