"""How sure a model is of its answers, in chances that come true."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from geom import so3
from geom.actions import ActionSequence
from geom.pose_error import direction_error
from models.claims import claimed_boxes, claimed_motions
from models.head import LEAST_M
from models.losses import cleared
from models.model import Guess, Model, camera_of
from models.pairs import Pairs
from synth.exact import FREE_FALL
from synth.files import write_whole
from synth.safe_read import mapping, number, read_json

CALIBRATION = "calibration.json"
_TEMPERATURES = torch.logspace(-1, 1, 81)


@dataclass(frozen=True)
class Calibration:
    """What a model says of how sure it is, against what came true on pairs that it was not trained on.

    Args:
        rotation, direction, log_length: errors are so many times as large as they were said to be.
        claim, visible, same: logits are so many times too large.
    """

    rotation: float = 1.0
    direction: float = 1.0
    log_length: float = 1.0
    claim: float = 1.0
    visible: float = 1.0
    same: float = 1.0

    def save(self, folder: Path) -> None:
        """Write it beside the model's weights."""
        write_whole(folder / CALIBRATION, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @staticmethod
    def load(folder: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            ValueError: if it is missing, or not six numbers above 0.
        """
        path = folder / CALIBRATION
        if not path.is_file():
            raise ValueError(f"{path} is missing: without it nobody knows how sure the model is; was it copied along?")
        fields = mapping(read_json(path), str(path))
        values = {name: number(fields.get(name), f"{path}: {name}") for name in asdict(Calibration())}
        if fields.keys() != values.keys() or min(values.values()) <= 0:
            raise ValueError(f"{path} must hold {', '.join(values)}, each above 0, got {fields}")
        return Calibration(**values)


def motion_chance(said: ActionSequence, guess: Guess, place: int, by: Calibration) -> float:
    """How likely an answer about a motion scores at all: misses its metres and its degrees by less than a fifth.

    Errors follow Laplace's law, as the losses have it. NaN where the model does not say how sure it is.

    Args:
        place: in the batch of the guess.
    """
    turned = math.radians(sum(action.amount for action in said if action.kind.is_turn))
    moved = sum(action.amount for action in said if not action.kind.is_turn)
    aside, along = by.direction * float(guess.direction_sd[place]), by.log_length * float(guess.log_length_sd[place])
    length = max(float(guess.T_a_b.t[place].norm()), LEAST_M)
    chance = 1.0
    if turned:
        chance *= _within(FREE_FALL * turned, by.rotation * float(guess.rotation_sd[place]))
    if moved:
        chance *= _within(FREE_FALL * moved, length * math.hypot(aside, along))
    return chance


def _within(most: float, sd: float) -> float:
    return 1 - math.exp(-most / sd)


def decision_chance(logit: float, temperature: float) -> float:
    """How likely a yes or no is right, of which a logit tells."""
    return 1 / (1 + math.exp(-abs(logit) / temperature))


@torch.no_grad()
def calibrated(model: Model, batches: Iterable[Pairs]) -> Calibration:
    """Measure how sure a model may be, on pairs that it was not trained on."""
    rows = [_told(model, pairs, n) for n, pairs in enumerate(batches)]
    told = {name: torch.cat([row[name] for row in rows]) for name in rows[0]} if rows else {}
    sds = {name: _factor(told[name]) for name in ("rotation", "direction", "log_length") if name in told}
    logits = {name: _temperature(*told[name].T) for name in ("claim", "visible", "same") if name in told}
    return Calibration(**sds, **logits)


def _told(model: Model, pairs: Pairs, number: int) -> Mapping[str, Tensor]:
    """Errors in units of what they were said to be, and logits beside what is true."""
    camera, true, rng = camera_of(pairs), pairs.T_a_b, torch.Generator().manual_seed(number)
    a, b = model.views(pairs.image, camera)
    guess, length = model.motion(a, b, "level"), true.t.norm(dim=-1)
    moves = length > LEAST_M
    box = pairs.box[:, :, 0].nan_to_num(0.0)
    T_claimed, is_true = claimed_motions(pairs, rng)
    box_claimed, is_same = claimed_boxes(pairs, rng)
    known, seen = cleared(pairs)
    asked = box_claimed.isfinite().all(-1) & pairs.box[:, :, 0].isfinite().all(-1)
    same = model.is_same(a, b, box, box_claimed.nan_to_num(0.0), camera, true)
    found = guess.T_a_b.t.norm(dim=-1).clamp_min(LEAST_M)
    return {
        "rotation": so3.angle(guess.T_a_b.R.mT @ true.R) / guess.rotation_sd,
        "direction": (direction_error(guess.T_a_b.t, true.t) / guess.direction_sd)[moves],
        "log_length": ((found / length).log().abs() / guess.log_length_sd)[moves],
        "claim": torch.stack([model.is_motion(a, b, T_claimed), is_true], -1),
        "visible": torch.stack([model.is_visible(a, box, camera, true), seen], -1)[known],
        "same": torch.stack([same, is_same], -1)[asked],
    }


def _factor(ratio: Tensor) -> float:
    """So that half of the errors are below Laplace's median; that of few wild ones does not count."""
    ratio = ratio[ratio.isfinite()]
    return float(ratio.median().clamp_min(1e-3)) / math.log(2) if len(ratio) else 1.0


def _temperature(logit: Tensor, is_true: Tensor) -> float:
    """That with the least cross-entropy (Guo et al., "On calibration of modern neural networks", ICML 2017)."""
    if not len(logit):
        return 1.0
    tried = _TEMPERATURES.to(logit)[:, None]
    lost = binary_cross_entropy_with_logits(logit / tried, is_true.expand(len(tried), -1), reduction="none").mean(1)
    return float(tried[lost.argmin()])
