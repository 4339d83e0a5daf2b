"""`theodolite answer`: one question about one or two pictures, put to a trained model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from theodolite.console import Outcome, refuse_undecided
from theodolite.options import CommonOptions, in_words_of

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float64
    from numpy.typing import NDArray

EXAMPLE = 'theodolite answer head --images before.png after.png --hfov-deg 75 --question "..."'


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite answer`."""

    model: Path = field(metadata={"positional": True})
    """folder of the model, as `train head` or `train vlm` writes it"""
    images: tuple[Path, ...]
    """the picture before the motion and, where the question is about two, the one after it"""
    question: str
    """in the words of a dataset's questions (`theodolite generate` shows them); a vision-language model takes any, with
    boxes in its own unit"""
    hfov_deg: float | None = None
    """horizontal field of view of the pictures, degrees: without it no picture tells metres or degrees (needed but by a
    vision-language model that no head tells anything)"""
    undecided_below: float = 0.0
    """head: chance of being right, 0 to 1, below which the answer is undecided (boxes are always answered)"""
    preset: Literal["theodolite", "svc", "svc_teacher", "hy", "any"] = "any"
    """head: motions that are asked about, as for generate; any = whatever ends nearest to the measured pose"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.images) <= 2:
            raise ValueError(f"--images must be one or two pictures, got {len(self.images)}")
        if self.hfov_deg is not None and not 0 < self.hfov_deg < 180:
            raise ValueError(f"--hfov-deg must be above 0 and below 180 degrees, got {self.hfov_deg:g}")


def run(options: Options) -> Outcome:
    """Answer in the words that the question asks for."""
    from models.adapter import SETTINGS
    from synth.safe_read import read_picture

    pictures = tuple(read_picture(path) for path in options.images)
    if any(picture.shape != pictures[0].shape for picture in pictures):
        raise ValueError(f"--images must be of one size, got {' and '.join(str(p.shape[1::-1]) for p in pictures)}")
    if (options.model / SETTINGS).is_file():
        return _of_vlm(options, pictures[0])
    return _of_head(options, pictures)


def _of_head(options: Options, pictures: tuple[NDArray[np.uint8], ...]) -> Outcome:
    from models.answering import answered, sure_of
    from models.ask import understood
    from models.questions import UNDECIDED, Public
    from models.weights import load_model
    from synth.prompts import answer_text

    task, variant, asked = understood(options.question, len(options.images))
    config, model = load_model(options.model)
    height, width = pictures[0].shape[:2]
    public = Public(task, variant, asked, pictures, _K(options, pictures[0]), (width, height))
    with in_words_of(Options):
        sure = sure_of(options.model, options.undecided_below)
    (answer,) = answered(model, [public], config.image_size, sure, options.preset)
    text = UNDECIDED if answer is None else answer_text(task, variant, answer, asked)
    return Outcome(text, {"task_type": task, "variant": variant, "asked": asked, "answer": text})


def _of_vlm(options: Options, picture: NDArray[np.uint8]) -> Outcome:
    refuse_undecided(options.undecided_below)
    from models.adapter import Adapter

    adapter = Adapter.load(options.model)
    K = None if adapter.head is None else _K(options, picture)
    text = adapter.answer(options.question, options.images, K)
    return Outcome(text, {"answer": text})


def _K(options: Options, picture: NDArray[np.uint8]) -> Float64[NDArray, "3 3"]:
    from geom.camera import PinholeCamera

    if options.hfov_deg is None:
        raise ValueError("missing: --hfov-deg; without the field of view no picture tells metres or degrees")
    height, width = picture.shape[:2]
    return PinholeCamera.from_hfov(math.radians(options.hfov_deg), width, height).K.numpy()
