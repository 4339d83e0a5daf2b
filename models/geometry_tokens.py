"""Soft tokens that tell a language model what the geometry head sees in the pictures of a question.

A question names its row of a table of findings in a few special tokens, the digits of its number. Where these are
looked up, each is replaced by a soft token made from the row. So a row stays with its question whatever batches,
shuffles, repeats and caches it, as trainers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from geom.camera import PinholeCamera
from models.answering import resized
from models.model import Model

DIGITS, BASE = 4, 16
"""Soft tokens of a question, and values of each digit."""
MOST = BASE**DIGITS
"""Rows of a table."""
TOKENS = tuple(f"<|geometry_{digit:x}|>" for digit in range(BASE))
_GRID = 4
"""Distances told of each picture, along each side."""
FINDINGS = 9 + 3 + 1 + 2 * _GRID**2
"""Numbers of a row: pose, its uncertainties, whether there are two pictures, log distances in both."""
_INNER = 128


def named(row: int) -> str:
    """The tokens that name a row.

    Raises:
        ValueError: if no table has such a row.

    >>> named(18)
    '<|geometry_0|><|geometry_0|><|geometry_1|><|geometry_2|>'
    """
    if not 0 <= row < MOST:
        raise ValueError(f"a table of findings has rows 0 to {MOST - 1}, got {row}; use fewer questions")
    return "".join(TOKENS[row // BASE**place % BASE] for place in reversed(range(DIGITS)))


@dataclass(frozen=True, eq=False)
class Shown:
    """The one or two pictures of a question, as a geometry head looks at them.

    Args:
        image: sRGB.
        K: intrinsics of these pictures.
    """

    image: UInt8[Tensor, "v 3 h w"]
    K: Float[Tensor, "3 3"]

    @staticmethod
    def of(
        pictures: Sequence[UInt8[np.ndarray, "h w 3"]], K: Float[np.ndarray, "3 3"], image_size: tuple[int, int]
    ) -> Shown:
        """Pictures in the size that a head looks at.

        Args:
            K: of the pictures as they are.
            image_size: width and height.
        """
        small = torch.from_numpy(np.stack([resized(picture, image_size) for picture in pictures]))
        height, width = pictures[0].shape[:2]
        camera = PinholeCamera(torch.from_numpy(K), width, height).resize(*image_size)
        return Shown(small.permute(0, 3, 1, 2), camera.K.float())


def at_once(width: int, height: int) -> int:
    """Sets of pictures of a size that are looked at in one batch: about a million pixels."""
    return max(2**20 // (width * height), 1)


@torch.no_grad()
def findings(model: Model, shown: Sequence[Shown]) -> Float[Tensor, "n findings"]:
    """What a geometry head tells of the pictures of each question."""
    device = next(model.parameters()).device
    table = torch.zeros(len(shown), FINDINGS, device=device)
    for count in {len(one.image) for one in shown}:
        alike = [row for row, one in enumerate(shown) if len(one.image) == count]
        height, width = shown[alike[0]].image.shape[-2:]
        size = at_once(width, height)
        for start in range(0, len(alike), size):
            rows = alike[start : start + size]
            image = torch.stack([shown[row].image for row in rows]).to(device)
            K = torch.stack([shown[row].K for row in rows]).to(device)
            table[rows] = _found(model, image, PinholeCamera(K, image.shape[-1], image.shape[-2]))
    return table


def _found(model: Model, image: UInt8[Tensor, "b v 3 h w"], camera: PinholeCamera) -> Float[Tensor, "b findings"]:
    views = model.views(image, camera)
    distances = [nn.functional.adaptive_avg_pool2d(view.log_z[:, None], _GRID).flatten(1) for view in views]
    if len(views) == 1:
        return torch.cat([distances[0].new_zeros(len(image), 13), distances[0], torch.zeros_like(distances[0])], -1)
    found = model.motion(views[0], views[1])
    sds = torch.stack([found.rotation_sd, found.direction_sd, found.log_length_sd], -1).nan_to_num(0.0)
    T = found.T_a_b
    return torch.cat([T.R[..., :2].flatten(1), T.t, sds, torch.ones_like(sds[:, :1]), *distances], -1)


class GeometryTokens(nn.Module):
    """Looks rows of findings up and makes soft tokens of them.

    Args:
        hidden: width of the language model.
        first_id: id of the first of TOKENS in its tokenizer; the others follow.
    """

    table: Float[Tensor, "rows findings"]

    def __init__(self, hidden: int, first_id: int) -> None:
        super().__init__()
        self.first_id = first_id
        self.enter = nn.Sequential(nn.Linear(FINDINGS, _INNER), nn.GELU(), nn.LayerNorm(_INNER))
        self.out = nn.Linear(_INNER, DIGITS * hidden)
        # They start about as small as embeddings do.
        nn.init.normal_(self.out.weight, std=0.02 / _INNER**0.5)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("table", torch.zeros(1, FINDINGS), persistent=False)

    def attach(self, embedding: nn.Module) -> None:
        """Let a language model's embedding give soft tokens where a question names a row."""
        asked: list[Tensor] = []

        def before(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            asked.append(given[0])
            # The embedding has no such rows, and need not get any.
            return given[0].masked_fill(self._is_mine(given[0]), 0), *given[1:]

        def after(_: nn.Module, __: tuple[Any, ...], found: Tensor) -> Tensor:
            return self(asked.pop(), found)

        embedding.register_forward_pre_hook(before)
        embedding.register_forward_hook(after)

    def _is_mine(self, ids: Tensor) -> Tensor:
        return (ids >= self.first_id) & (ids < self.first_id + BASE)

    def forward(self, ids: Int[Tensor, "b n"], found: Float[Tensor, "b n hidden"]) -> Float[Tensor, "b n hidden"]:
        """Put soft tokens in the place of those that name a row.

        Raises:
            ValueError: if a question names no whole row, or one that the table has not.
        """
        is_mine = self._is_mine(ids)
        count = is_mine.sum(1)
        if not bool(count.any()):
            return found
        if not bool(((count == 0) | (count == DIGITS)).all()):
            raise ValueError(f"a question names its findings in {DIGITS} tokens, got {count.tolist()}; was it cut off?")
        digits = (ids - self.first_id)[is_mine].unflatten(0, (-1, DIGITS))
        rows = (digits * BASE ** torch.arange(DIGITS - 1, -1, -1, device=ids.device)).sum(1)
        if int(rows.max()) >= len(self.table):
            raise ValueError(f"row {int(rows.max())} is asked for, but the table has {len(self.table)} rows")
        soft = self.out(self.enter(self.table[rows])).unflatten(-1, (DIGITS, -1)).flatten(0, 1)
        return found.masked_scatter(is_mine[..., None], soft.to(found))
