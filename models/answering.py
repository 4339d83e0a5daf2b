"""Questions answered by a model of two views: what it tells, in the words that the question asks for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from geom.boxes import normalise_box
from geom.camera import PinholeCamera
from geom.se3 import SE3
from models.best_actions import ANY, Spread, said_of
from models.confidence import Calibration, decision_chance, motion_chance
from models.model import Guess, Model
from models.questions import Asked, Public
from models.trunk import Known, Look
from synth.answers import Answer, BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.exact import MOTION_TASKS

BATCH = 32

_Said = tuple[Answer, float]
"""An answer, and the chance that it is right."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Questions of one task with equally many pictures, as a model looks at them, and the motions that they are of."""

    asked: list[Public]
    looks: list[Look]
    camera: PinholeCamera
    preset: str

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


@dataclass(frozen=True)
class Sure:
    """When a model answers: if its answer is right with at least this chance. Boxes (D1) are always answered.

    A motion answer counts as right where the `exact` metric gives it anything.

    Args:
        least: from 0 to 1.
        by: the model's calibration.
    """

    least: float
    by: Calibration


def sure_of(folder: Path, least: float) -> Sure | None:
    """How sure a trained model has to be; None if it need not.

    Raises:
        ValueError: if the chance is not 0 to 1, or the folder does not tell of the model's calibration.
    """
    if not 0 <= least <= 1:
        raise ValueError(f"undecided_below must be a chance from 0 to 1, got {least:g}")
    return Sure(least, Calibration.load(folder)) if least else None


def answers(
    model: Model,
    questions: Sequence[Asked],
    image_size: tuple[int, int],
    batch_size: int = BATCH,
    sure: Sure | None = None,
    preset: str = ANY,
) -> list[Answer | None]:
    """Answer questions, in their order; None where it is not sure enough.

    Args:
        image_size: width and height of the pictures that the model looks at; those of the questions are resized.
        sure: None to answer always.
        preset: of which motions are asked about, or ANY (`models.best_actions.said_of`).

    Raises:
        ValueError: if a picture cannot be read, the model does not say how sure it is of a motion, or there is no such
            preset.
    """
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for place, one in enumerate(questions):
        groups[one.task_type, len(one.paths)].append(place)
    found: dict[int, Answer | None] = {}
    for places in groups.values():
        for start in range(0, len(places), batch_size):
            part = places[start : start + batch_size]
            said = answered(model, [questions[place].public() for place in part], image_size, sure, preset)
            found |= dict(zip(part, said, strict=True))
    return [found[place] for place in range(len(questions))]


@torch.no_grad()
def answered(
    model: Model,
    asked: Sequence[Public],
    image_size: tuple[int, int],
    sure: Sure | None = None,
    preset: str = ANY,
) -> list[Answer | None]:
    """Answers to questions of one task, with equally many pictures each, all at once."""
    task = asked[0].task_type
    batch = _looked_at(model, asked, image_size, preset)
    said = list(_ANSWER[task](model, batch, Calibration() if sure is None else sure.by))
    if sure is None:
        return [answer for answer, _ in said]
    if any(math.isnan(chance) for _, chance in said):
        raise ValueError(f"this model does not say how sure it is of motions ({task}): only the geometric one does")
    return [answer if chance >= sure.least else None for answer, chance in said]


def _looked_at(model: Model, asked: Sequence[Public], image_size: tuple[int, int], preset: str) -> _Batch:
    device = next(model.parameters()).device
    pictures = np.stack([[resized(picture, image_size) for picture in one.pictures] for one in asked])
    K = torch.stack([one.camera.resize(*image_size).K for one in asked]).float().to(device)
    camera = PinholeCamera(K, *image_size)
    image = torch.from_numpy(pictures).permute(0, 1, 4, 2, 3).to(device)
    return _Batch(list(asked), model.views(image, camera), camera, preset)


def resized(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "hs ws 3"]:
    """A picture in another size, (width, height): each pixel the mean of the area that it covers."""
    import cv2

    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


_KNOWN: dict[str, Known] = {"A1": "move", "A2": "turn", "A3": "level", "D3": "level"}
"""What the words of a task say of the motion."""


def _motions(model: Model, batch: _Batch, by: Calibration) -> Iterator[_Said]:
    a, b = batch.looks
    known = _KNOWN[batch.asked[0].task_type]
    guess = model.motion(a, b, known)
    T_a_b = guess.T_a_b.to("cpu", torch.float64)
    for place, one in enumerate(batch.asked):
        spread = _spread(guess, place, by)
        said, chance = said_of(T_a_b[place], one.num_actions, known, batch.preset, spread)
        if chance is None or spread is None:
            chance = motion_chance(said, guess, place, by)
        yield MotionAnswer(said.text(), ()), chance


def _spread(guess: Guess, place: int, by: Calibration) -> Spread | None:
    """How far off the model says it may be; None if it does not say."""
    told = [float(sd[place]) for sd in (guess.rotation_sd, guess.direction_sd, guess.log_length_sd)]
    factors = (by.rotation, by.direction, by.log_length)
    if any(map(math.isnan, told)):
        return None
    return Spread(*(sd * factor for sd, factor in zip(told, factors, strict=True)))


def _claims(model: Model, batch: _Batch, by: Calibration) -> Iterator[_Said]:
    a, b = batch.looks
    for logit in model.is_motion(a, b, batch.told).tolist():
        yield ClaimAnswer(logit > 0), decision_chance(logit, by.claim)


def _boxes(model: Model, batch: _Batch, by: Calibration) -> Iterator[_Said]:
    box = model.box_after(batch.looks[0], batch.boxes("box"), batch.camera, batch.told)[:, 0]
    size = torch.tensor([batch.camera.width, batch.camera.height]).repeat(2).to(box)
    for share, one in zip((box / size).clamp(0, 1).tolist(), batch.asked, strict=True):
        width, height = one.image_size
        x1, y1, x2, y2 = (part * side for part, side in zip(share, (width, height) * 2, strict=True))
        # A box without area is no answer: the smallest that there is.
        x1, y1, x2, y2 = min(x1, width - 1), min(y1, height - 1), max(x2, x1 + 1), max(y2, y1 + 1)
        yield BoxAnswer(normalise_box((x1, y1, x2, y2), width, height), (x1, y1, x2, y2)), 1.0


def _visibilities(model: Model, batch: _Batch, by: Calibration) -> Iterator[_Said]:
    for logit in model.is_visible(batch.looks[0], batch.boxes("box"), batch.camera, batch.told)[:, 0].tolist():
        yield VisibilityAnswer(logit <= 0), decision_chance(logit, by.visible)


def _identities(model: Model, batch: _Batch, by: Calibration) -> Iterator[_Said]:
    a, b = batch.looks
    same = model.is_same(a, b, batch.boxes("box"), batch.boxes("box_after"), batch.camera, batch.told)
    for logit in same[:, 0].tolist():
        yield IdentityAnswer(logit > 0), decision_chance(logit, by.same)


_ANSWER: dict[str, Callable[[Model, _Batch, Calibration], Iterator[_Said]]] = {
    **dict.fromkeys(MOTION_TASKS, _motions),
    "A4": _claims,
    "D1": _boxes,
    "D2": _visibilities,
    "D4": _identities,
}


def _to(T: SE3, like: Tensor) -> SE3:
    return SE3(T.R.to(like), T.t.to(like))
