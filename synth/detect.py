"""Objects by their names, from a zero-shot detector of transformers in a local folder (extra `vision`)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from geom.boxes import box_iou
from synth.objects import Instance, Instances, Outline, SolidBox, box_polygon, paint
from synth.safe_read import read_picture
from synth.source import Frame
from synth.vision_extra import LocalModel, load

MIN_SCORE = 0.3
MAX_WORD_SCORE = 0.25
"""A word that scores above this is part of a box's label, with models that label by parts of the text."""
MAX_OVERLAP = 0.5
"""Of two boxes of one kind that overlap by more (intersection over union), the one of lower score is dropped."""


@dataclass(frozen=True)
class Detection:
    """A box (x1, y1, x2, y2) in pixels, clipped at the picture, with its kind and score."""

    kind: str
    score: float
    box_px: tuple[float, float, float, float]


class Detector(LocalModel):
    """A detector that is told what to look for; also the objects of frames (`synth.objects.Objects`).

    Args:
        folder: holds the model, its processor and config.json (OWL-ViT, OWLv2, Grounding DINO and the like).
        kinds: what to look for, in plain words.
        min_score: detections below are dropped.

    Raises:
        ValueError: if there is nothing to look for, a kind is blank, said twice or holds a full stop, or the score is
            not in 0..1.
    """

    def __init__(self, folder: Path, kinds: Sequence[str], min_score: float = MIN_SCORE) -> None:
        self.folder, self.min_score = folder, min_score
        self.kinds = tuple(" ".join(kind.lower().split()) for kind in kinds)
        if not self.kinds or not all(self.kinds) or len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds must be different words to look for, got {list(kinds)}")
        if stopped := [kind for kind in self.kinds if "." in kind]:
            raise ValueError(f"kinds must have no full stop, which parts them for some detectors, got {stopped}")
        if not 0 <= min_score <= 1:
            raise ValueError(f"min_score must be 0 to 1, got {min_score}")
        self.unmapped: Counter[str] = Counter()
        """Labels that meant none of the kinds, or several, and how often: their boxes are dropped."""

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load(self.folder, "AutoModelForZeroShotObjectDetection", "AutoProcessor", "a zero-shot detector")

    def detect(self, image: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Find the kinds in a picture, (h, w, 3), best first; the same picture gives the same boxes.

        Raises:
            ImportError, ValueError: as `synth.vision_extra.load`, or if the kinds are too long for the model.
        """
        model, processor = self._loaded
        height, width = image.shape[:2]
        inputs = self._inputs(image)
        with torch.inference_mode():
            outputs = model(**inputs)
        found = processor.post_process_grounded_object_detection(
            outputs, threshold=self.min_score, target_sizes=[(height, width)], **self._words(inputs)
        )[0]
        rows = zip(found["text_labels"], found["scores"].tolist(), found["boxes"].double(), strict=True)
        kept = [_clipped(self._kind(name), score, box, width, height) for name, score, box in rows]
        return _without_doubles([detection for detection in kept if detection])

    def _inputs(self, image: NDArray[np.uint8]) -> Any:
        """What the model takes; no kind is cut off."""
        model, processor = self._loaded
        too_long = f"kinds must be fewer or shorter, for {self.folder} cannot take all their text: {self.kinds}"
        try:
            # Some models take a list of words, others one text in which each ends with a full stop; lists suit both.
            inputs = processor(images=Image.fromarray(image), text=[list(self.kinds)], return_tensors="pt")
        except ValueError:  # texts padded to a length that one of them exceeds
            raise ValueError(too_long) from None
        longest = getattr(model.config.text_config, "max_position_embeddings", math.inf)
        if inputs["input_ids"].shape[-1] > getattr(model.config, "max_text_len", longest):
            raise ValueError(too_long)
        return inputs

    def _words(self, inputs: Any) -> dict[str, Any]:
        """What turns numbers of classes back into words: the text itself, or the list that was asked for."""
        known = signature(self._loaded[1].post_process_grounded_object_detection).parameters
        words: dict[str, Any] = {"text_labels": [list(self.kinds)], "input_ids": inputs.get("input_ids")}
        # A box above the score has at least one word above it.
        words["text_threshold"] = min(self.min_score, MAX_WORD_SCORE)
        return {name: value for name, value in words.items() if name in known}

    def _kind(self, name: str) -> str | None:
        """The kind that a label means: itself, or the only one whose words it shares; None if that is not one."""
        words = _words_of(name)
        fitting = [kind for kind in self.kinds if _words_of(kind) == words] or [
            kind for kind in self.kinds if words and set(words) <= set(_words_of(kind))
        ]
        if len(fitting) == 1:
            return fitting[0]
        self.unmapped[name] += 1
        return None

    def solids(self, scene_id: str) -> tuple[SolidBox, ...]:
        """None: pictures tell no boxes in space."""
        return ()

    def instances(self, frame: Frame, z_depth: NDArray[np.float32]) -> Instances:
        """What is found in a frame's picture; of each box what stands in front belongs to it."""
        before = self.unmapped.copy()
        found = self.detect(read_picture(frame.picture))
        outlines = tuple(Outline(Instance(d.kind, None), box_polygon(d.box_px), is_box=True) for d in found)
        dropped = tuple(
            f"a box labelled {name!r}, which means none of the kinds" for name in (self.unmapped - before).elements()
        )
        return replace(paint(outlines, z_depth), dropped=dropped)


def _words_of(text: str) -> list[str]:
    """Words without signs, around which tokenizers put spaces."""
    return re.findall(r"\w+", text.lower())


def _clipped(kind: str | None, score: float, box: torch.Tensor, width: int, height: int) -> Detection | None:
    x1, y1, x2, y2 = box.tolist()
    x1, x2 = max(0.0, x1), min(float(width), x2)
    y1, y2 = max(0.0, y1), min(float(height), y2)
    is_box = kind is not None and x1 < x2 and y1 < y2
    return Detection(kind, score, (x1, y1, x2, y2)) if is_box and kind else None


def _without_doubles(found: list[Detection]) -> tuple[Detection, ...]:
    kept: list[Detection] = []
    for one in sorted(found, key=lambda d: (-d.score, d.kind, d.box_px)):
        rivals = [d.box_px for d in kept if d.kind == one.kind]
        overlaps = box_iou(torch.tensor([one.box_px]), torch.tensor(rivals)) if rivals else torch.zeros(1)
        if float(overlaps.max()) <= MAX_OVERLAP:
            kept.append(one)
    return tuple(kept)
