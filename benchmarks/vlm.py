"""What does a tiny vision-language model learn from exact answers, with and without a geometry head's findings?

    python benchmarks/vlm.py --head FOLDER [--size cpu|gpu] [--rooms 60] [--epochs 10] [--grpo-per-task 40]
                             [--told yes no] [--rows FILE] [--device cpu] [--out benchmarks/results/vlm.json]

A SmolVLM of a million drawn weights (--size gpu: about 30) is fine-tuned on rooms, and then rewarded by the `exact`
metric; once it is told what a geometry head finds in the pictures (--head, as `theodolite train head` writes it), once
not. After each stage it answers questions about rooms of another seed; after the first also with the findings of other
questions in the place of its own. --rows keeps what is finished, so that both can run at once, each with its --told.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from machine import machine, write_result

from models.adapter import Adapter, AdapterConfig
from models.grpo import GrpoConfig, grpo
from models.sft import SftConfig, sft
from models.vlm_answers import Asking, of_dataset, write_vlm_answers
from models.weights import load_model
from synth.box_units import THOUSANDTHS
from synth.export import read_examples
from synth.pipeline import GenerateConfig, generate
from synth.predictions import score_file

TRAIN_SEED, TEST_SEED, TEST_ROOMS, IMAGE_SIZE = 21, 22, 12, (128, 128)
SIZES = {"cpu": (128, 4, 64, 3), "gpu": (512, 8, 256, 6)}
"""Width and layers of the language model, then of the vision tower."""
BATCH, GENERATIONS, MOST_TOKENS = 16, 8, 40
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--rooms", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--grpo-per-task", type=int, default=40)
    parser.add_argument("--told", nargs="+", choices=("yes", "no"), default=["yes", "no"])
    parser.add_argument("--rows", type=Path, help="JSON lines of runs that are done")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "vlm.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root, rows_file = Path(scratch), args.rows or Path(scratch) / "rows.jsonl"
        for name, rooms, seed in (("train", args.rooms, TRAIN_SEED), ("test", TEST_ROOMS, TEST_SEED)):
            settings = GenerateConfig(num_scenes=rooms, seed=seed, image_size=IMAGE_SIZE, phrasing="open")
            generate(root / name, settings)
        torch.manual_seed(0)
        parameters = tiny_smolvlm(root / "base", [one.prompt + one.answer for one in _examples(root)], args.size)
        for told in args.told:
            if told not in _rows(rows_file):
                row = {"told": told, "parameters": parameters, **run(root, args, args.head if told == "yes" else None)}
                with rows_file.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        rows = _rows(rows_file)
        if rows.keys() == {"yes", "no"}:
            config, _ = load_model(args.head)
            settings = {name: getattr(args, name) for name in ("size", "rooms", "epochs", "grpo_per_task", "device")}
            result = {"settings": settings, "head": config.to_dict(), "runs": [rows["yes"], rows["no"]]}
            write_result(args.out, result | {"machine": machine()})


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return {row["told"]: row for row in map(json.loads, lines)}


def _examples(root: Path) -> list[Any]:
    return list(read_examples(root / "train", THOUSANDTHS))


def run(root: Path, args: argparse.Namespace, head: Path | None) -> dict[str, Any]:
    """Both stages, and what is answered after each."""
    name, accelerator = "told" if head else "alone", "cpu" if args.device == "cpu" else "auto"
    tuned, better = root / f"{name}-sft", root / f"{name}-grpo"
    start = time.perf_counter()
    how = SftConfig(
        str(root / "train"),
        epochs=args.epochs,
        batch_size=BATCH,
        accumulate=1,
        learning_rate=1e-3,
        accelerator=accelerator,
        devices=1,
    )
    config = AdapterConfig(str(root / "base"), rank=0, head=None if head is None else str(head))
    first: dict[str, Any] = {"loss": sft(tuned, config, how, show=False), "seconds": round(time.perf_counter() - start)}
    first["exact"] = answered(tuned, root, args.device)
    if head is not None:
        first["exact_with_findings_of_others"] = answered(tuned, root, args.device, is_shuffled=True)
    start = time.perf_counter()
    rewarded = GrpoConfig(
        str(root / "train"),
        str(tuned),
        per_task=args.grpo_per_task,
        generations=GENERATIONS,
        learning_rate=1e-4,
        kl=0.0,
        most_tokens=MOST_TOKENS,
        seed=0,
        accelerator=accelerator,
        precision="bf16-mixed",
    )
    grpo(better, rewarded, show=False)
    reward = [json.loads(line)["reward"] for line in (better / "metrics.jsonl").read_text().splitlines()]
    tenth = max(len(reward) // 10, 1)
    second = {
        "steps": len(reward),
        "seconds": round(time.perf_counter() - start),
        "reward_of_first_and_last_tenth": [_mean(reward[:tenth]), _mean(reward[-tenth:])],
        "exact": answered(better, root, args.device),
    }
    return {"sft": first, "grpo": second}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def answered(model: Path, root: Path, device: str, *, is_shuffled: bool = False) -> dict[str, Any]:
    """Exact scores on rooms of another seed, chance taken off, by task."""
    adapter = Adapter.load(model).to(device)
    asking = of_dataset(adapter, root / "test")
    out = root / f"{model.name}{'-others' if is_shuffled else ''}.jsonl"
    asking = _of_others(adapter, asking) if is_shuffled else asking
    write_vlm_answers(adapter, model, asking, out, batch_size=32, most_tokens=MOST_TOKENS)
    report = score_file(out, root / "test", "exact")
    rows = {**report["tasks"], "all": report["all"]}
    return {
        task: {
            "n": row["n"],
            "corrected": round(row["corrected"], 4),
            "interval": [round(v, 4) for v in row["corrected_interval"]],
        }
        for task, row in rows.items()
    }


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


def tiny_smolvlm(folder: Path, texts: Sequence[str], size: str) -> int:
    """Make a SmolVLM with drawn weights, and words of its own; returns how many parameters it has."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    # Numbers are what is learned.
    words, side = tokenizer_of(texts, 1200, SPECIAL, TEMPLATE, END, PAD, splits_digits=True), IMAGE_SIZE[0]
    width, layers, vision_width, vision_layers = SIZES[size]
    made_of: dict[str, Any] = {
        "text_config": {
            "model_type": "llama",
            "vocab_size": len(words),
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 32,
            "num_key_value_heads": width // 32,
            "max_position_embeddings": 1024,
            "bos_token_id": None,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
        },
        "vision_config": {
            "hidden_size": vision_width,
            "intermediate_size": 3 * vision_width,
            "num_hidden_layers": vision_layers,
            "num_attention_heads": vision_width // 32,
            "image_size": side,
            "patch_size": 16,
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
    said = {"image_seq_len": (side // 16 // 2) ** 2, "processor_class": "SmolVLMProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(said))
    return sum(p.numel() for p in model.parameters())


if __name__ == "__main__":
    main()
