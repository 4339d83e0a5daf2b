"""`theodolite answer`: one question about one or two pictures, put to a trained head."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from theodolite.console import Outcome
from theodolite.options import CommonOptions, in_words_of

EXAMPLE = 'theodolite answer head --images before.png after.png --hfov-deg 75 --question "..."'


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Options of `theodolite answer`."""

    model: Path = field(metadata={"positional": True})
    """folder of the model, as `train head` writes it"""
    images: tuple[Path, ...]
    """the picture before the motion and, where the question is about two, the one after it"""
    question: str
    """in the words of a dataset's questions (`theodolite generate` shows them)"""
    hfov_deg: float
    """horizontal field of view of the pictures, degrees: without it no picture tells metres or degrees"""
    undecided_below: float = 0.0
    """chance of being right, 0 to 1, below which the answer is undecided (boxes are always answered)"""
    preset: Literal["theodolite", "svc", "svc_teacher", "hy", "any"] = "theodolite"
    """motions that questions are of, as for generate; any = whatever ends nearest to the measured pose"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.images) <= 2:
            raise ValueError(f"--images must be one or two pictures, got {len(self.images)}")
        if not 0 < self.hfov_deg < 180:
            raise ValueError(f"--hfov-deg must be above 0 and below 180 degrees, got {self.hfov_deg:g}")


def run(options: Options) -> Outcome:
    """Answer in the words that the question asks for."""
    from geom.camera import PinholeCamera
    from models.answering import answered, sure_of
    from models.ask import understood
    from models.questions import UNDECIDED, Public
    from models.weights import load_model
    from synth.prompts import answer_text
    from synth.safe_read import read_picture

    task, variant, asked = understood(options.question, len(options.images))
    pictures = tuple(read_picture(path) for path in options.images)
    height, width = pictures[0].shape[:2]
    if any(picture.shape != pictures[0].shape for picture in pictures):
        raise ValueError(f"--images must be of one size, got {' and '.join(str(p.shape[1::-1]) for p in pictures)}")
    config, model = load_model(options.model)
    camera = PinholeCamera.from_hfov(math.radians(options.hfov_deg), width, height)
    public = Public(task, variant, asked, pictures, camera.K.numpy(), (width, height))
    with in_words_of(Options):
        sure = sure_of(options.model, options.undecided_below)
    (answer,) = answered(model, [public], config.image_size, sure, options.preset)
    text = UNDECIDED if answer is None else answer_text(task, variant, answer, asked)
    return Outcome(text, {"task_type": task, "variant": variant, "asked": asked, "answer": text})
