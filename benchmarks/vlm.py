"""What does a tiny vision-language model learn from exact answers, with and without a geometry head's findings?

    python benchmarks/vlm.py --head FOLDER [--size cpu|gpu] [--told yes no] [--rows FILE] [--data FOLDER]
                             [--out FILE] [--commit HASH]
    python benchmarks/vlm.py --only-rooms --data FOLDER [--size cpu|gpu] [--room-workers 1]

A SmolVLM of a million drawn weights (--size gpu: about 30, on a GPU) is fine-tuned on rooms, and then rewarded by the
`exact` metric; once it is told what a geometry head finds in the pictures (--head, as `theodolite train head` writes
it), once not. After each stage it answers questions about rooms of another seed; after the first also with the findings
of other questions in the place of its own. --rows keeps what is finished, so that both can run at once, each with its
--told. --data has the rooms already, as --only-rooms makes them: where there is a GPU there may be no Open3D.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from machine import machine, write_result

from models.adapter import Adapter, AdapterConfig
from models.grpo import GrpoConfig, grpo
from models.sft import SftConfig, sft
from models.vlm_answers import Asking, of_dataset, write_vlm_answers
from models.weights import WEIGHTS, load_model
from synth.box_units import THOUSANDTHS
from synth.dataset import SETTINGS_FILE
from synth.export import read_examples
from synth.pipeline import GenerateConfig, generate
from synth.predictions import score_file

SEEDS = {"train": 21, "test": 22}
GENERATIONS, MOST_TOKENS = 8, 40


@dataclass(frozen=True)
class Size:
    """What is trained, and how.

    Args:
        width, layers: of the language model; vision_width, vision_layers: of the vision tower.
        image, patch: pixels of a side.
        rooms: to learn from. test_rooms: that are asked about. epochs: of fine-tuning.
        grpo_per_task: questions that are rewarded.
        batch: questions of a step, of fine-tuning; questions: of a step that is rewarded.
        rate: the highest; grpo_rates: of what is rewarded, once for each. at_once: of these.
        workers: that read pictures. device: that trains and answers.
    """

    width: int = 128
    layers: int = 4
    vision_width: int = 64
    vision_layers: int = 3
    image: int = 128
    patch: int = 16
    rooms: int = 60
    test_rooms: int = 12
    epochs: int = 10
    grpo_per_task: int = 40
    batch: int = 16
    questions: int = 2
    rate: float = 1e-3
    grpo_rates: tuple[float, ...] = (1e-5,)
    at_once: int = 1
    workers: int = 0
    precision: str = "32-true"
    device: str = "cpu"


SIZES = {
    "cpu": Size(),
    "gpu": Size(
        width=512,
        layers=8,
        vision_width=256,
        vision_layers=6,
        image=64,
        patch=8,
        rooms=640,
        test_rooms=40,
        epochs=4,
        grpo_per_task=320,
        batch=64,
        questions=32,
        rate=6e-4,
        grpo_rates=(5e-6, 2e-5),
        at_once=2,
        workers=5,
        precision="bf16-mixed",
        device="cuda",
    ),
}
SPECIAL = (
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    "<image>",
    "<video>",
    "<pad>",
)
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:{% if message['content'] is string %}"
    " {{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% else %} {{ part['text'] }}{% endif %}{% endfor %}{% endif %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
END, PAD = "<end_of_utterance>", "<pad>"


def main() -> None:
    """Make the rooms and the model, train what is not there yet, write the result when all is there."""
    args = options()
    size = SIZES[args.size]
    if args.only_rooms:
        return make_rooms(args.data, args, size)
    with tempfile.TemporaryDirectory() as scratch:
        root, rows_file = Path(scratch), args.rows or Path(scratch) / "rows.jsonl"
        data = args.data or root / "data"
        if args.data is None:
            make_rooms(data, args, size)
        torch.manual_seed(0)
        texts = [one.prompt + one.answer for one in read_examples(data / "train", THOUSANDTHS)]
        parameters = tiny_smolvlm(root / "base", texts, size)
        about = _about(args, data) | {"questions": len(texts), "parameters": parameters}
        for told in args.told:
            if told not in _rows(rows_file, about):
                found = Run(root, data, size, args.head if told == "yes" else None).stages()
                with rows_file.open("a") as file:
                    file.write(json.dumps({"told": told, "about": about, **found}) + "\n")
        rows = _rows(rows_file, about)
        if rows.keys() == {"yes", "no"}:
            runs = [{name: rows[told][name] for name in ("told", "sft", "grpo")} for told in ("yes", "no")]
            write_result(args.out, about | {"runs": runs})


def _about(args: argparse.Namespace, data: Path) -> dict[str, Any]:
    """All that the figures depend on; rows of something else are not taken for ours."""
    size = SIZES[args.size]
    rooms = {name: json.loads(next((data / name).glob(f"*/{SETTINGS_FILE}")).read_text()) for name in SEEDS}
    for name, made in rooms.items():
        if made["config"] != json.loads(json.dumps(_recipe(name, size).settings())):
            raise ValueError(f"{data / name} must have the rooms of --size {args.size}, as --only-rooms makes them")
    weights = hashlib.sha256((args.head / WEIGHTS).read_bytes()).hexdigest()
    commit = {"commit": args.commit, "uncommitted_changes": False} if args.commit else {}
    gpu = {"gpu": torch.cuda.get_device_name()} if size.device == "cuda" else {}
    return {
        "settings": {"size": args.size, **asdict(size)},
        "rooms": rooms,
        "head": load_model(args.head)[0].to_dict() | {"sha256": weights},
        "machine": machine() | commit | gpu,
    }


def _recipe(name: str, size: Size) -> GenerateConfig:
    rooms = {"train": size.rooms, "test": size.test_rooms}[name]
    return GenerateConfig(rooms, SEEDS[name], (size.image, size.image), phrasing="open")


def make_rooms(data: Path, args: argparse.Namespace, size: Size) -> None:
    """To train on, and to ask about."""
    for name in SEEDS:
        generate(data / name, _recipe(name, size), workers=args.room_workers)


def options() -> argparse.Namespace:
    """What can be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", type=Path)
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--told", nargs="+", choices=("yes", "no"), default=["yes", "no"])
    parser.add_argument("--rows", type=Path, help="JSON lines of runs that are done")
    parser.add_argument("--data", type=Path, help="folder where the rooms are, or are put")
    parser.add_argument("--only-rooms", action="store_true", help="make these and nothing else")
    parser.add_argument("--room-workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "vlm.json")
    parser.add_argument("--commit", help="what is measured, where there is a copy without its history")
    args = parser.parse_args()
    if args.only_rooms and args.data is None:
        parser.error("--only-rooms needs --data, where they are put")
    if not args.only_rooms and args.head is None:
        parser.error("--head is needed")
    return args


def _rows(path: Path, about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    lines = path.read_text().splitlines() if path.is_file() else []
    about = json.loads(json.dumps(about))
    return {row["told"]: row for row in map(json.loads, lines) if row["about"] == about}


@dataclass(frozen=True)
class Run:
    """A model that is told what a head finds, or is not.

    Args:
        root: folder of the models. data: of the rooms.
    """

    root: Path
    data: Path
    size: Size
    head: Path | None

    def stages(self) -> dict[str, Any]:
        """Both, and what is answered after each."""
        name = "told" if self.head else "alone"
        tuned = self.root / f"{name}-sft"
        first = _timed(lambda: {"loss": self._fine_tuned(tuned)}) | {"exact": self.answered(tuned)}
        if self.head is not None:
            first["exact_with_findings_of_others"] = self.answered(tuned, is_shuffled=True)
        print(json.dumps({name: {"sft": first}}), flush=True)
        # On a GPU a small model leaves room for others; on a CPU one waits for the other.
        with ProcessPoolExecutor(self.size.at_once, get_context("spawn")) as pool:
            second = list(pool.map(partial(self.rewarded, tuned), self.size.grpo_rates))
        return {"sft": first, "grpo": second}

    @property
    def _common(self) -> dict[str, str]:
        return {"accelerator": "cpu" if self.size.device == "cpu" else "auto", "precision": self.size.precision}

    def _fine_tuned(self, tuned: Path) -> Mapping[str, Any]:
        how = SftConfig(
            str(self.data / "train"),
            epochs=self.size.epochs,
            batch_size=self.size.batch,
            accumulate=1,
            learning_rate=self.size.rate,
            loader_workers=self.size.workers,
            devices=1,
            **self._common,
        )
        head = None if self.head is None else str(self.head)
        return sft(tuned, AdapterConfig(str(self.root / "base"), rank=0, head=head), how, show=False)

    def rewarded(self, tuned: Path, rate: float) -> dict[str, Any]:
        """The second stage, at a learning rate."""
        better = self.root / f"{tuned.name}-grpo-{rate:g}"
        found = (
            {"rate": rate} | _timed(lambda: self._reinforced(tuned, better, rate)) | {"exact": self.answered(better)}
        )
        print(json.dumps({better.name: found}), flush=True)
        return found

    def _reinforced(self, tuned: Path, better: Path, rate: float) -> dict[str, Any]:
        how = GrpoConfig(
            str(self.data / "train"),
            str(tuned),
            per_task=self.size.grpo_per_task,
            questions=self.size.questions,
            generations=GENERATIONS,
            learning_rate=rate,
            kl=0.0,
            most_tokens=MOST_TOKENS,
            **self._common,
        )
        grpo(better, how, show=False)
        reward = [json.loads(line)["reward"] for line in (better / "metrics.jsonl").read_text().splitlines()]
        tenth = max(len(reward) // 10, 1)
        return {
            "steps": len(reward),
            "reward_of_first_and_last_tenth": [_mean(reward[:tenth]), _mean(reward[-tenth:])],
        }

    def answered(self, model: Path, *, is_shuffled: bool = False) -> dict[str, Any]:
        """Exact scores on rooms of another seed, as they are and with chance taken off, by task."""
        adapter = Adapter.load(model).to(self.size.device)
        asking = of_dataset(adapter, self.data / "test")
        out = self.root / f"{model.name}{'-others' if is_shuffled else ''}.jsonl"
        asking = _of_others(adapter, asking) if is_shuffled else asking
        write_vlm_answers(adapter, model, asking, out, batch_size=4 * self.size.batch, most_tokens=MOST_TOKENS)
        report = score_file(out, self.data / "test", "exact")
        rows = {**report["tasks"], "all": report["all"]}
        return {
            task: {
                "n": row["n"],
                "mean": round(row["mean"], 4),
                "corrected": round(row["corrected"], 4),
                "interval": [round(v, 4) for v in row["corrected_interval"]],
            }
            for task, row in rows.items()
        }


def _timed(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    start = time.perf_counter()
    return call() | {"seconds": round(time.perf_counter() - start)}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _of_others(adapter: Adapter, asking: Asking) -> Asking:
    """The same questions, each told what the head found for the one half a batch further on."""

    def ask(places: Sequence[int]) -> list[Any]:
        questions = asking.ask(places)
        if adapter.geometry is not None:
            adapter.geometry.table = adapter.geometry.table.roll(len(places) // 2, 0)
        return questions

    return replace(asking, ask=ask)


def tokenizer_of(
    texts: Sequence[str],
    vocab_size: int,
    special: tuple[str, ...],
    template: str,
    end: str,
    pad: str,
    *,
    splits_digits: bool,
) -> Any:
    """A byte-level tokenizer with the words of these texts, digits by themselves or not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    digits = [pre_tokenizers.Digits(True)] if splits_digits else []
    made.pre_tokenizer = pre_tokenizers.Sequence([*digits, pre_tokenizers.ByteLevel(False)])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end, pad_token=pad, chat_template=template)


def tiny_smolvlm(folder: Path, texts: Sequence[str], size: Size) -> int:
    """Make a SmolVLM with drawn weights, and words of its own; returns how many parameters it has."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    # Numbers are what is learned.
    words, side = tokenizer_of(texts, 1200, SPECIAL, TEMPLATE, END, PAD, splits_digits=True), size.image
    made_of: dict[str, Any] = {
        "text_config": {
            "model_type": "llama",
            "vocab_size": len(words),
            "hidden_size": size.width,
            "intermediate_size": 3 * size.width,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.width // 32,
            "num_key_value_heads": size.width // 32,
            "max_position_embeddings": 1024,
            "bos_token_id": None,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
        },
        "vision_config": {
            "hidden_size": size.vision_width,
            "intermediate_size": 3 * size.vision_width,
            "num_hidden_layers": size.vision_layers,
            "num_attention_heads": size.vision_width // 32,
            "image_size": side,
            "patch_size": size.patch,
        },
        "image_token_id": words.convert_tokens_to_ids("<image>"),
        "scale_factor": 2,
        "pad_token_id": words.pad_token_id,
    }
    model = SmolVLMForConditionalGeneration(SmolVLMConfig(**made_of))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    edge = {"longest_edge": side}
    SmolVLMImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False).save_pretrained(folder)
    said = {"image_seq_len": (side // size.patch // 2) ** 2, "processor_class": "SmolVLMProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(said))
    return sum(p.numel() for p in model.parameters())


if __name__ == "__main__":
    main()
