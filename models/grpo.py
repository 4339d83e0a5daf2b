"""Group-relative policy optimisation of a fine-tuned vision-language model, rewarded by the exact metric, by trl.

World2VLM's second stage (arXiv 2604.26934): the model answers each question several times, and learns from which of
its answers are better than the others (Shao et al., "DeepSeekMath", arXiv 2402.03300).
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.adapter import SETTINGS, Adapter
from models.chat import Question, encoded
from models.run_folder import METRICS, check_claim, claim, held, last_metrics
from models.sft import train_and_held_out
from synth.export import read_examples
from synth.files import write_whole
from synth.rewards import exact_reward, world2vlm_reward
from synth.splits import pick_per_task

_REWARDS: dict[str, Any] = {"exact": exact_reward, "world2vlm": world2vlm_reward}
_STATE = "state"
_WARMUP = 0.05
"""Share of the steps in which the rate rises."""


@dataclass(frozen=True)
class GrpoConfig:
    """How a fine-tuned model goes on. Rates and weights are World2VLM's; models/world2vlm_grpo.yaml is its recipe.

    The rate rises over the first twentieth of the steps, which theirs does not, and then falls to 0.

    Args:
        data: folder of the dataset; the scenes that `models.sft` holds out are held out here too.
        start: folder of an adapter, as `models.sft` writes it.
        per_task: at most so many questions of each task; None for all.
        questions: of a step, on each device. generations: answers to each.
        kl: weight of the divergence from the model that it started from; 0 for none.
        most_tokens: of an answer.
        reward: exact or world2vlm.
        save_every: steps between two states to go on from.
        accelerator: "cpu", or "auto" for what there is, such as a GPU. Several processes by torchrun or accelerate.
    """

    data: str
    start: str
    per_task: int | None = None
    epochs: int = 1
    questions: int = 2
    generations: int = 4
    learning_rate: float = 1e-6
    kl: float = 0.01
    temperature: float = 1.0
    most_tokens: int = 256
    reward: str = "exact"
    seed: int = 0
    save_every: int = 100
    accelerator: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        if self.generations < 2:
            raise ValueError(f"generations must be 2 or more, of which some are better, got {self.generations}")
        for name in ("per_task", "epochs", "questions", "most_tokens", "save_every"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        for name in ("learning_rate", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name):g}")
        if self.kl < 0:
            raise ValueError(f"kl must be 0 or more, got {self.kl:g}")
        for name, known in (("precision", _PRECISIONS), ("reward", _REWARDS), ("accelerator", ("auto", "cpu"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


_PRECISIONS: dict[str, dict[str, Any]] = {
    "32-true": {"bf16": False},
    "bf16-mixed": {"bf16": True},
    "16-mixed": {"bf16": False, "fp16": True},
}


def grpo(out: Path, how: GrpoConfig, *, show: bool = True) -> Mapping[str, Any]:
    """Go on with a fine-tuned model, or with what was interrupted; the folder then holds the adapter.

    Returns:
        What trl measured in the last step, by its names: `reward` is the mean over all answers.

    Raises:
        ImportError, ValueError: if there is no adapter, dataset or trl, or the folder is another run's.
    """
    settings = {"grpo": {k: v for k, v in asdict(how).items() if k != "accelerator"}}
    check_claim(out, settings)
    if (out / SETTINGS).is_file():
        return last_metrics(out)
    state = _processes(how)
    adapter = Adapter.load(Path(how.start))
    if how.kl and not adapter.config.rank:
        raise ValueError(
            f"kl must be 0 where all weights are trained, got {how.kl:g}: only LoRA (rank above 0) leaves the weights"
            " in place that the model is held to"
        )
    if how.reward == "world2vlm" and adapter.unit.resize is not None:
        raise ValueError("the published reward reads boxes in thousandths alone; this model writes pixels: use exact")
    prompts = _prompts(adapter.to(state.device), how)
    if len(prompts) < how.questions * state.num_processes:
        raise ValueError(
            f"questions must be at most those that there are to train on, {len(prompts)} on {state.num_processes}"
            f" devices, got {how.questions}"
        )
    # What is refused is refused before anything is written.
    claim(out, settings)
    with held(out), warnings.catch_warnings():
        # trl and peft still use old names of transformers'.
        warnings.filterwarnings("ignore", ".*is deprecated and will be removed in v6", FutureWarning)
        trainer = _trainer(adapter, prompts, how, out, show)
        trainer.train(resume_from_checkpoint=_last_state(out / _STATE))
        if trainer.is_world_process_zero():
            lines = (json.dumps(row) + "\n" for row in trainer.state.log_history if "reward" in row)
            write_whole(out / METRICS, (line.encode() for line in lines))
            adapter.save(out)
        # The first process alone writes what all of them read.
        trainer.accelerator.wait_for_everyone()
        return last_metrics(out)


def _processes(how: GrpoConfig) -> Any:
    """The processes of this run and the device of each, as trl will have them.

    Raises:
        ImportError: if trl is missing.
        ValueError: if they are to share the weights out, which answering many times has no use for.
    """
    try:
        import trl  # noqa: F401
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env
    except ImportError:
        raise ImportError("reinforcement learning needs trl: pip install -e '.[vlm]'") from None
    for kind in ("FSDP", "DEEPSPEED"):
        if parse_flag_from_env(f"ACCELERATE_USE_{kind}"):
            raise ValueError(
                f"each process must have the whole model where it answers, but accelerate is told to use {kind}: start"
                " the processes by torchrun, or by accelerate without it"
            )
    return PartialState(cpu=how.accelerator == "cpu")


def _last_state(states: Path) -> str | None:
    """The newest state that is whole: trl writes what says how far it came at the end."""
    whole = [path.parent for path in states.glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _prompts(adapter: Adapter, how: GrpoConfig) -> Any:
    """Questions as trl takes them; pictures are opened as they are asked for."""
    from datasets import Dataset

    some, _ = train_and_held_out(read_examples(Path(how.data), adapter.unit))
    if how.per_task is not None:
        some = pick_per_task(
            some, how.per_task, lambda one: (one.example_id, one.task_type, one.answer_class), how.seed
        )
    _check_inputs(adapter, Question.of(some[0]))
    questions = adapter.asked(some)

    def opened(rows: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        """The columns that trl and the reward read, of some rows."""
        asked = [questions[row] for row in rows["row"]]
        return {
            "prompt": [one.messages() for one in asked],
            "images": [one.opened() for one in asked],
            "ground_truth": [some[row].ground_truth for row in rows["row"]],
        }

    return Dataset.from_dict({"row": list(range(len(some)))}).with_transform(opened)


def _check_inputs(adapter: Adapter, question: Question) -> None:
    """See that trl hands on all that the processor makes for the model.

    Raises:
        ValueError: if it would not.
    """
    from trl.trainer.grpo_trainer import GRPOTrainer

    known = inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters
    for name in encoded(adapter.processor, [question]):
        if name not in known:
            raise ValueError(
                f"trl has no place for {name}, which the processor of {adapter.vlm.config.model_type} makes: such a"
                " model can be fine-tuned, but not reinforced"
            )


def _trainer(adapter: Adapter, prompts: Any, how: GrpoConfig, out: Path, show: bool) -> Any:
    from transformers import PrinterCallback
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    # trl pads ids on the left itself, and kinds of tokens by the tokenizer (its issue 5785).
    adapter.processor.tokenizer.padding_side = "left"
    settings = GRPOConfig(
        output_dir=str(out / _STATE),
        num_train_epochs=how.epochs,
        per_device_train_batch_size=how.questions * how.generations,
        num_generations=how.generations,
        learning_rate=how.learning_rate,
        weight_decay=0.01,
        # Adam's first steps are as long as its rate, however little they know.
        warmup_steps=_WARMUP,
        beta=how.kl,
        temperature=how.temperature,
        max_completion_length=how.most_tokens,
        # What is drawn is words: no pictures, and no rows of findings.
        generation_kwargs={"suppress_tokens": adapter.unspoken},
        seed=how.seed,
        save_steps=how.save_every,
        save_total_limit=1,
        logging_steps=1,
        disable_tqdm=not show,
        use_cpu=how.accelerator == "cpu",
        **_PRECISIONS[how.precision],
    )
    trainer = GRPOTrainer(
        model=adapter.vlm,
        reward_funcs=_REWARDS[how.reward],
        args=settings,
        train_dataset=prompts,
        processing_class=adapter.processor,
    )
    # Its printer tells every number of every step.
    trainer.remove_callback(PrinterCallback)
    return trainer
