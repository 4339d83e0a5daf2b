"""How a model is trained: lightning's loop around its losses, the same bits whether interrupted or not."""

from __future__ import annotations

import statistics
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from geom import so3
from geom.boxes import box_iou
from models.config import ModelConfig
from models.head import LEAST_M
from models.model import Model, camera_of
from models.pairs import Pairs
from models.precision import exact


class HeadModule(lightning.LightningModule):
    """A model with its optimiser.

    Args:
        seed: of the weights, and of the claims and mirrors of each step.
        learning_rate: the highest; it rises over the first twentieth of the steps and falls as a cosine.
    """

    def __init__(
        self, config: ModelConfig, *, seed: int = 0, learning_rate: float = 1e-3, weight_decay: float = 0.02
    ) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model: Model = config.build()
        self._seen: list[dict[str, list[float]]] = []

    def training_step(self, batch: Pairs, batch_idx: int) -> Tensor:
        """One step; what is drawn in it depends on its number and on the process, not on what was before."""
        rng = _drawn_by(self.seed, self.global_step, self.global_rank)
        parts = self.model.losses(augmented(batch, rng), rng)
        loss = torch.stack(list(parts.values())).sum()
        # A step that goes wrong must not look like one that goes well.
        if not torch.isfinite(loss):
            odd = {name: float(part.detach()) for name, part in parts.items() if not torch.isfinite(part)}
            raise FloatingPointError(f"the loss must be finite, but in step {self.global_step} it is {odd}")
        self.log_dict({f"loss/{name}": part for name, part in parts.items()}, batch_size=len(batch))
        self.log("loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Pairs, batch_idx: int) -> None:
        """Collect errors, and the loss, by the same claims each time."""
        loss = torch.stack(list(self.model.losses(batch, _drawn_by(self.seed, batch_idx, self.global_rank)).values()))
        self.log("val/loss", loss.sum(), batch_size=len(batch), sync_dist=True)
        self._seen.append(errors(self.model, batch))

    def on_validation_epoch_end(self) -> None:
        """Log medians over all pairs of this process, and of these the mean over all processes."""
        names = sorted({name for one in self._seen for name in one})
        for name in names:
            values = [value for one in self._seen for value in one[name]]
            if values:
                self.log(f"val/{name}", statistics.median(values), prog_bar=name == "rotation_deg", sync_dist=True)
        self._seen.clear()

    def configure_optimizers(self) -> Any:
        """AdamW; norms, biases and thresholds do not decay."""
        plain = [p for p in self.model.parameters() if p.requires_grad and p.ndim < 2]
        heavy = [p for p in self.model.parameters() if p.requires_grad and p.ndim >= 2]
        groups = [{"params": heavy, "weight_decay": self.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, self.learning_rate, betas=(0.9, 0.98))
        # The schedule divides by the steps that it rises in, less one.
        steps = max(int(self.trainer.estimated_stepping_batches), 4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=steps, pct_start=max(0.05, 2 / steps), cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _drawn_by(*numbers: int) -> torch.Generator:
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(seed)


@exact
def augmented(batch: Pairs, rng: torch.Generator) -> Pairs:
    """Half of the batches as seen in a mirror, half the other way round: both are as true."""
    mirror, back = (torch.rand(2, generator=rng) < 0.5).tolist()
    batch = batch.mirrored() if mirror else batch
    return batch.reversed_() if back else batch


@torch.no_grad()
@exact
def errors(model: Model, pairs: Pairs) -> dict[str, list[float]]:
    """Of each pair the angle between rotations and the miss of the translation as a share of its length; of each item
    1 less the IoU of its box after."""
    camera = camera_of(pairs)
    a, b = model.views(pairs.image, camera)
    T_a_b, length = model.motion(a, b).T_a_b, pairs.T_a_b.t.norm(dim=-1)
    turned = torch.rad2deg(so3.angle(T_a_b.R.mT @ pairs.T_a_b.R))
    miss = ((T_a_b.t - pairs.T_a_b.t).norm(dim=-1) / length)[length > LEAST_M]
    known = pairs.box.isfinite().all(-1).all(-1)
    there = model.box_after(a, pairs.box[:, :, 0].nan_to_num(0.0), camera, pairs.T_a_b)
    off = 1 - box_iou(there, pairs.box[:, :, 1])[known]
    return {"rotation_deg": turned.tolist(), "translation_share": miss.tolist(), "box": off.tolist()}
