"""Questions of a dataset as conversations of a vision-language model: its template, and loss on answers alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from synth.export import Example

IGNORED = -100
"""Label of a token whose loss is not counted."""
_PICTURE = "<image>"
"""Stands for a picture in the words of a dataset."""

Picture = Path | bytes | Image.Image
"""The file of a picture, what such a file holds, or the picture."""


@dataclass(frozen=True)
class Question:
    """A question to a vision-language model.

    Args:
        text: in words, without marks for the pictures: these come first.
        pictures: in the order in which they are shown.
        geometry: tokens that name what a geometry head finds in them (`models.geometry_tokens.named`), or nothing.
    """

    text: str
    pictures: tuple[Picture, ...]
    geometry: str = ""

    @staticmethod
    def of(example: Example, geometry: str = "") -> Question:
        """The question of an example."""
        return Question(example.prompt.replace(_PICTURE, "").strip(), example.pictures, geometry)

    def messages(self) -> list[dict[str, Any]]:
        """As chat templates of transformers take it; the pictures are given beside."""
        shown: list[dict[str, Any]] = [{"type": "image"} for _ in self.pictures]
        return [{"role": "user", "content": [*shown, _said(self.geometry + self.text)]}]

    def opened(self) -> list[Image.Image]:
        """The pictures."""
        return [_opened(picture).convert("RGB") for picture in self.pictures]


def _opened(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    return Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture)


def prompt(processor: Any, question: Question) -> str:
    """The words up to where the model answers, in its own template."""
    return processor.apply_chat_template(question.messages(), add_generation_prompt=True, tokenize=False)


def ending(processor: Any, answer: str) -> str:
    """The answer as the model's template ends it, by which it learns to stop.

    Raises:
        ValueError: if the template does not write an answer where it prompts for one.
    """
    asked = [{"role": "user", "content": [_said("?")]}]
    told = [*asked, {"role": "assistant", "content": [_said(answer)]}]
    before = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    whole = processor.apply_chat_template(told, tokenize=False)
    if not whole.startswith(before):
        raise ValueError(f"the chat template must write an answer where it prompts for one, {before!r}, got {whole!r}")
    return whole.removeprefix(before)


def _said(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def encoded(processor: Any, questions: Sequence[Question], answers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """A batch as the model takes it.

    Args:
        answers: to be learned: the batch gets labels, which leave out all but the answers, and is padded on the right;
            None for a model that answers: it is padded on the left.
    """
    words, opened = [prompt(processor, one) for one in questions], [one.opened() for one in questions]
    found = processor(text=words, images=opened)
    rows = [list(row) for row in found.pop("input_ids")]
    found.pop("attention_mask")
    ends: list[list[int]] = [[] for _ in rows]
    if answers is not None:
        texts = [ending(processor, answer) for answer in answers]
        ends = [list(row) for row in processor.tokenizer(texts, add_special_tokens=False)["input_ids"]]
    on_left = answers is None
    made = {
        "input_ids": _raster(rows, ends, processor.tokenizer.pad_token_id, on_left),
        "attention_mask": _raster([[1] * len(row) for row in rows], [[1] * len(end) for end in ends], 0, on_left),
    }
    if answers is not None:
        made["labels"] = _raster([[IGNORED] * len(row) for row in rows], ends, IGNORED, on_left)
    for name, value in found.items():
        if name.endswith("token_type_ids"):
            kinds = [list(row) for row in value]
            made[name] = _raster(kinds, [[0] * len(end) for end in ends], 0, on_left)
        else:
            made[name] = value if isinstance(value, Tensor) else _stacked(value)
    return made


def _raster(rows: list[list[int]], ends: list[list[int]], filling: int, on_left: bool) -> Tensor:
    whole = [row + end for row, end in zip(rows, ends, strict=True)]
    length = max(map(len, whole))
    gaps = [[filling] * (length - len(row)) for row in whole]
    return torch.tensor([gap + row if on_left else row + gap for row, gap in zip(whole, gaps, strict=True)])


def _stacked(values: Any) -> Tensor:
    """Of pictures or rows of numbers, arrays alike."""
    return torch.stack([torch.as_tensor(value) for value in values])
