"""Supervised fine-tuning of a vision-language model on exact answers, with the geometry head's own losses beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from models.adapter import SETTINGS, Adapter, AdapterConfig
from models.chat import encoded
from models.files import DatasetPairs
from models.geometry_tokens import Shown, findings
from models.pairs import Pairs
from models.run_folder import check_claim, claim, go_on, held, last_metrics, rank, trainer_of
from models.shard import FSDP, gathered, layers_of, shard, strategy_of
from models.stream import Onward
from synth.export import Example, read_examples
from synth.splits import assign_splits


@dataclass(frozen=True)
class SftConfig:
    """How a vision-language model is fine-tuned. Rate, batches and schedule are those of World2VLM (arXiv 2604.26934);
    models/world2vlm_sft.yaml is its whole recipe.

    Args:
        data: folder of the dataset; a tenth of its scenes is held out.
        batch_size: questions, on each device. accumulate: batches that make a step.
        geometry_weight: of the head's own losses, on transitions of the same dataset; 0 keeps the head as it is.
        loader_workers: processes that read pictures.
        devices, precision, accelerator: lightning's own.
        strategy: lightning's own too, but for fsdp, which is `models.shard`'s.
    """

    data: str
    epochs: int = 1
    batch_size: int = 8
    accumulate: int = 2
    learning_rate: float = 1e-5
    geometry_weight: float = 0.0
    loader_workers: int = 0
    seed: int = 0
    accelerator: str = "auto"
    devices: int | str = "auto"
    strategy: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.learning_rate <= 0 or self.geometry_weight < 0:
            raise ValueError(
                "learning_rate must be above 0 and geometry_weight 0 or more, got"
                f" {self.learning_rate:g} and {self.geometry_weight:g}"
            )
        if self.strategy == FSDP and self.geometry_weight:
            raise ValueError(
                f"geometry_weight must be 0 with strategy fsdp, where the head stays as it is, got"
                f" {self.geometry_weight:g}"
            )
        if self.strategy == FSDP and self.precision not in ("32-true", "bf16-mixed"):
            raise ValueError(f"precision must be 32-true or bf16-mixed with strategy fsdp, got {self.precision!r}")


WATCHED = "val/answer"
_FREE = ("accelerator", "devices", "strategy", "loader_workers")


def _settings(config: AdapterConfig, how: SftConfig) -> dict[str, Any]:
    """What a run keeps to, also whether weights are shared out: Adam's moments have other names then."""
    kept = {name: value for name, value in asdict(how).items() if name not in _FREE}
    kept["strategy"] = FSDP if how.strategy == FSDP else "whole weights"
    return {"adapter": asdict(config), "sft": kept}


@dataclass(eq=False)
class Batch:
    """Questions with their answers.

    Args:
        inputs: of the language model, with labels.
        found: what a head that stays as it is finds in the pictures of each question.
        shown: these pictures, for a head that goes on learning.
        pairs: transitions for the head's own losses.
    """

    inputs: dict[str, Tensor]
    found: Tensor | None
    shown: list[Shown]
    pairs: Pairs | None

    def to(self, device: torch.device) -> Batch:
        """The same on another device; the head moves what it is shown."""
        inputs = {name: value.to(device) for name, value in self.inputs.items()}
        found = None if self.found is None else self.found.to(device)
        return Batch(inputs, found, self.shown, None if self.pairs is None else self.pairs.to(device))


_Lesson = tuple[Example, Tensor | None, Pairs | None]


class Lessons(Dataset[_Lesson]):
    """Examples by number, each with what the head finds in its pictures, or with a transition that it learns from."""

    def __init__(self, adapter: Adapter, examples: Sequence[Example], pairs: Subset[Pairs] | None) -> None:
        self.adapter, self.examples, self.pairs = adapter, examples, pairs
        self.found: Tensor | None = None

    def look(self, workers: int, show: bool) -> None:
        """Let a head that stays as it is look at all pictures, once for the whole training."""
        found = self.adapter.found(self.examples, workers, show=show)
        self.found = None if found is None else found.cpu()

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> _Lesson:
        found = None if self.found is None else self.found[index]
        return self.examples[index], found, None if self.pairs is None else self.pairs[index % len(self.pairs)]

    def collated(self, parts: Sequence[_Lesson]) -> Batch:
        """A batch."""
        examples = [example for example, _, _ in parts]
        answers = [one.answer for one in examples]
        inputs = encoded(self.adapter.processor, self.adapter.questions(examples), answers)
        found = [row for _, row, _ in parts if row is not None]
        pairs = [pair for _, _, pair in parts if pair is not None]
        return Batch(
            inputs,
            torch.stack(found) if found else None,
            [] if found else self.adapter.shown(examples),
            Pairs.collate(pairs) if pairs else None,
        )


class SftModule(lightning.LightningModule):
    """An adapter with its optimiser: AdamW, and a cosine after a twentieth of the steps, as in the paper's recipe."""

    def __init__(self, adapter: Adapter, how: SftConfig) -> None:
        super().__init__()
        self.adapter, self.how = adapter, how
        # A state holds what is trained; the rest is read from where it was.
        self.strict_loading = False
        self._still: list[torch.nn.Parameter] = []

    def setup(self, stage: str) -> None:
        """Let no process wait for gradients of a head that no loss reaches."""
        if self.adapter.head is not None and not self.how.geometry_weight:
            self._still = [p for p in self.adapter.head.parameters() if p.requires_grad]
        for p in self._still:
            p.requires_grad_(False)

    def configure_model(self) -> None:
        """Share the weights out, where that is the strategy."""
        if self.how.strategy == FSDP:
            shard(self.adapter, self.trainer.strategy.root_device.type, self.trainer.world_size)

    def teardown(self, stage: str) -> None:
        """Leave the head as it was."""
        for p in self._still:
            p.requires_grad_(True)

    @property
    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return self.adapter.trained(with_head=self.how.geometry_weight > 0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch."""
        parts = self._parts(batch)
        loss = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss must be finite, but in step {self.global_step} it is {parts}")
        size = len(batch.inputs["input_ids"])
        self.log_dict({f"loss/{name}": part for name, part in parts.items()}, batch_size=size)
        self.log("loss", loss, prog_bar=True, batch_size=size)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The loss of answers to held-out questions."""
        size = len(batch.inputs["input_ids"])
        self.log("val/answer", self._parts(batch)["answer"], prog_bar=True, batch_size=size, sync_dist=True)

    def _parts(self, batch: Batch) -> dict[str, Tensor]:
        adapter, parts = self.adapter, {}
        if adapter.head is not None and batch.pairs is not None:
            own = adapter.head.losses(batch.pairs, torch.Generator().manual_seed(self.global_step)).values()
            parts["geometry"] = self.how.geometry_weight * torch.stack(list(own)).sum()
        if adapter.head is not None:
            adapter.tell(findings(adapter.head, batch.shown) if batch.found is None else batch.found)
        return {"answer": adapter.loss(batch.inputs)} | parts

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained alone."""
        mine = {f"adapter.{name}" for name in self._trained}
        checkpoint["state_dict"] = {name: part for name, part in checkpoint["state_dict"].items() if name in mine}

    def configure_optimizers(self) -> Any:
        """As the class says."""
        rate = self.how.learning_rate
        optimizer = torch.optim.AdamW(self._trained.values(), rate, betas=(0.9, 0.95), weight_decay=0.1)
        steps = max(int(self.trainer.estimated_stepping_batches), 4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=steps, pct_start=max(0.05, 2 / steps), cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def sft(out: Path, config: AdapterConfig, how: SftConfig, *, show: bool = True) -> Mapping[str, Any]:
    """Fine-tune, or go on with what was interrupted; the folder then holds the adapter (`models.adapter`).

    Returns:
        What was measured in the last epoch, by lightning's names.

    Raises:
        ImportError, ValueError: if there is no model, head or dataset, or the folder is another run's.
    """
    settings = _settings(config, how)
    check_claim(out, settings)
    if how.geometry_weight and config.head is None:
        raise ValueError(f"geometry_weight must be 0 where there is no head, got {how.geometry_weight:g}")
    if (out / SETTINGS).is_file():
        return last_metrics(out)
    adapter = _new(config, how)
    if how.strategy == FSDP:
        layers_of(adapter)
    data = _Data(*_lessons(adapter.train(), how), how, show)
    trainer = trainer_of(
        out,
        how,
        WATCHED,
        show,
        strategy=strategy_of(how.strategy),
        accumulate_grad_batches=how.accumulate,
        log_every_n_steps=1,
        # Shares are put together in validation as in training.
        inference_mode=how.strategy != FSDP,
    )
    # What is refused is refused before anything is written.
    claim(out, settings)
    with held(out):
        go_on(trainer, SftModule(adapter, how), data, out)
        learned = gathered(adapter.trained(with_head=False)) if how.strategy == FSDP else {}
        if trainer.is_global_zero:
            (_new(config, how, learned) if learned else adapter).save(out)
        return last_metrics(out)


def _new(config: AdapterConfig, how: SftConfig, learned: Mapping[str, Tensor] | None = None) -> Adapter:
    """As training begins with it, or with what was learned in it."""
    with torch.random.fork_rng():
        torch.manual_seed(how.seed)
        adapter = Adapter.new(config)
    adapter.load_state_dict(learned or {}, strict=False)
    return adapter


def _lessons(adapter: Adapter, how: SftConfig) -> tuple[Lessons, Lessons]:
    train, held_out = train_and_held_out(read_examples(Path(how.data), adapter.unit))
    pairs = None
    if adapter.head_config is not None and how.geometry_weight:
        pairs = DatasetPairs(Path(how.data), adapter.head_config.image_size).split()[0]
    return Lessons(adapter, train, pairs), Lessons(adapter, held_out, None)


def train_and_held_out(examples: Iterable[Example]) -> tuple[list[Example], list[Example]]:
    """Whole scenes, the same as `DatasetPairs` splits into; a tenth is held out."""
    every = list(examples)
    split = assign_splits((one.scene for one in every), {"train": 0.9, "held_out": 0.1})
    train, held_out = ([one for one in every if split[one.scene] == name] for name in ("train", "held_out"))
    return train, held_out


class _Data(lightning.LightningDataModule):
    """Batches of lessons; each process has its own, the same whether the run was interrupted or not."""

    def __init__(self, train: Lessons, held_out: Lessons, how: SftConfig, show: bool) -> None:
        super().__init__()
        self.train, self.held_out, self.how, self.show = train, held_out, how, show

    def train_dataloader(self) -> DataLoader[Any]:
        """Each question once an epoch, but for those that make no whole batch."""
        trainer = self.trainer
        place, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        step = self.how.batch_size * world_size
        per_epoch = max(len(self.train) // step, 1) * step
        return self._loader(self.train, Onward(per_epoch, len(self.train), self.how.seed, place, world_size))

    def val_dataloader(self) -> DataLoader[Any]:
        """The same each time."""
        return self._loader(self.held_out, None)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Batches know how to move."""
        return batch.to(device)

    def _loader(self, lessons: Lessons, sampler: Onward | None) -> DataLoader[Any]:
        if not self.how.geometry_weight:
            lessons.look(self.how.loader_workers, self.show and not rank())
        return DataLoader(
            lessons,
            self.how.batch_size,
            sampler=sampler,
            collate_fn=lessons.collated,
            num_workers=self.how.loader_workers,
            persistent_workers=self.how.loader_workers > 0,
            # The model goes along as it is; its hooks could not be sent.
            multiprocessing_context="fork" if self.how.loader_workers else None,
        )
