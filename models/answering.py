"""Questions answered by a model of two views: what it tells, in the words that the question asks for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from geom.boxes import normalise_box
from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.model import Model
from models.nearest_actions import nearest_sequence
from models.questions import Asked, Public
from models.trunk import Known, Look
from synth.answers import Answer, BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.exact import MOTION_TASKS

BATCH = 32


@dataclass(frozen=True, eq=False)
class _Batch:
    """Questions of one task with equally many pictures, as a model looks at them."""

    asked: list[Public]
    looks: list[Look]
    camera: PinholeCamera

    @property
    def told(self) -> SE3:
        """The motions that the words say; poses of the second camera in the first."""
        poses = [one.actions.pose() for one in self.asked if one.actions is not None]
        return _to(SE3.stack(poses), self.camera.K)

    def boxes(self, name: str) -> Tensor:
        """The boxes that the words give, (b, 1, 4) pixels of the resized pictures."""
        thousandths = torch.tensor([one.asked[name] for one in self.asked], dtype=torch.float32)
        size = torch.tensor([self.camera.width, self.camera.height]).repeat(2)
        return (thousandths / 1000 * size).to(self.camera.K)[:, None]


def answers(
    model: Model, questions: Sequence[Asked], image_size: tuple[int, int], batch_size: int = BATCH
) -> list[Answer]:
    """Answer questions, in their order.

    Args:
        image_size: width and height of the pictures that the model looks at; those of the questions are resized.

    Raises:
        ValueError: if a picture cannot be read.
    """
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for place, one in enumerate(questions):
        groups[one.task_type, len(one.paths)].append(place)
    found: dict[int, Answer] = {}
    for places in groups.values():
        for start in range(0, len(places), batch_size):
            part = places[start : start + batch_size]
            said = answered(model, [questions[place].public() for place in part], image_size)
            found |= dict(zip(part, said, strict=True))
    return [found[place] for place in range(len(questions))]


@torch.no_grad()
def answered(model: Model, asked: Sequence[Public], image_size: tuple[int, int]) -> list[Answer]:
    """Answers to questions of one task, with equally many pictures each, all at once."""
    return list(_ANSWER[asked[0].task_type](model, _looked_at(model, asked, image_size)))


def _looked_at(model: Model, asked: Sequence[Public], image_size: tuple[int, int]) -> _Batch:
    device = next(model.parameters()).device
    pictures = np.stack([[resized(picture, image_size) for picture in one.pictures] for one in asked])
    K = torch.stack([one.camera.resize(*image_size).K for one in asked]).float().to(device)
    camera = PinholeCamera(K, *image_size)
    image = torch.from_numpy(pictures).permute(0, 1, 4, 2, 3).to(device)
    return _Batch(list(asked), model.views(image, camera), camera)


def resized(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "hs ws 3"]:
    """A picture in another size, (width, height): each pixel the mean of the area that it covers."""
    import cv2

    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


_KNOWN: dict[str, Known] = {"A1": "move", "A2": "turn", "A3": "level", "D3": "level"}
"""What the words of a task say of the motion."""


def _motions(model: Model, batch: _Batch) -> Iterator[Answer]:
    a, b = batch.looks
    T_a_b = model.motion(a, b, _KNOWN[batch.asked[0].task_type]).T_a_b.to("cpu", torch.float64)
    for place, one in enumerate(batch.asked):
        yield MotionAnswer(nearest_sequence(T_a_b[place], one.num_actions).text(), ())


def _claims(model: Model, batch: _Batch) -> Iterator[Answer]:
    a, b = batch.looks
    yield from map(ClaimAnswer, (model.is_motion(a, b, batch.told) > 0).tolist())


def _boxes(model: Model, batch: _Batch) -> Iterator[Answer]:
    box = model.box_after(batch.looks[0], batch.boxes("box"), batch.camera, batch.told)[:, 0]
    size = torch.tensor([batch.camera.width, batch.camera.height]).repeat(2).to(box)
    for share, one in zip((box / size).clamp(0, 1).tolist(), batch.asked, strict=True):
        width, height = one.image_size
        x1, y1, x2, y2 = (part * side for part, side in zip(share, (width, height) * 2, strict=True))
        # A box without area is no answer: the smallest that there is.
        x1, y1, x2, y2 = min(x1, width - 1), min(y1, height - 1), max(x2, x1 + 1), max(y2, y1 + 1)
        yield BoxAnswer(normalise_box((x1, y1, x2, y2), width, height), (x1, y1, x2, y2))


def _visibilities(model: Model, batch: _Batch) -> Iterator[Answer]:
    logit = model.is_visible(batch.looks[0], batch.boxes("box"), batch.camera, batch.told)[:, 0]
    yield from map(VisibilityAnswer, (logit <= 0).tolist())


def _identities(model: Model, batch: _Batch) -> Iterator[Answer]:
    a, b = batch.looks
    logit = model.is_same(a, b, batch.boxes("box"), batch.boxes("box_after"), batch.camera, batch.told)[:, 0]
    yield from map(IdentityAnswer, (logit > 0).tolist())


_ANSWER: dict[str, Callable[[Model, _Batch], Iterator[Answer]]] = {
    **dict.fromkeys(MOTION_TASKS, _motions),
    "A4": _claims,
    "D1": _boxes,
    "D2": _visibilities,
    "D4": _identities,
}


def _to(T: SE3, like: Tensor) -> SE3:
    return SE3(T.R.to(like), T.t.to(like))
