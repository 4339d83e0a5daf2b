"""Conversions that are JSON lines beside a folder of pictures: LLaMA-Factory's ShareGPT, ms-swift, EasyR1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synth.export import ConvertConfig, Example, copy_pictures
from synth.files import json_bytes, write_whole
from synth.prompts import BoxWords

SWIFT_WORDS = BoxWords(are="Boxes are given by two corners.", form="a box", mark="<bbox>")
"""ms-swift writes boxes itself, in the unit and form of the model that it trains."""


def write_sharegpt(out: Path, splits: Mapping[str, list[Example]], config: ConvertConfig) -> list[str]:
    """LLaMA-Factory: one file a split and dataset_info.json, `dataset_dir` and `media_dir` being this folder."""
    _write_lines(out, splits, _sharegpt_row)
    write_whole(out / "dataset_info.json", json_bytes({f"theodolite_{name}": _dataset_info(name) for name in splits}))
    largest = max((e.image_size[0] * e.image_size[1] for some in splits.values() for e in some), default=0)
    names = ",".join(f"theodolite_{name}" for name in splits)
    advice = [f"LLaMA-Factory: dataset_dir is this folder, dataset one of {names}"]
    if config.unit.resize is not None:
        advice.append(
            f"LLaMA-Factory shrinks pictures above image_max_pixels first: set it to {largest} or more, or the boxes,"
            " which count pixels, will not fit"
        )
    return advice


def _dataset_info(split: str) -> dict[str, Any]:
    # Once columns or tags are given, LLaMA-Factory takes a missing key as absent, not as its default.
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    return {
        "file_name": f"{split}.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": tags,
    }


def _sharegpt_row(example: Example) -> dict[str, Any]:
    return _about(example) | {"messages": _messages(example), "images": list(example.picture_names)}


def write_swift(out: Path, splits: Mapping[str, list[Example]], config: ConvertConfig) -> list[str]:
    """ms-swift: boxes as placeholders, with true pixels in `objects`; it scales them for the model it trains."""
    _write_lines(out, splits, _swift_row)
    return [
        "ms-swift: set ROOT_IMAGE_DIR to this folder; --dataset <split>.jsonl. It writes boxes in the model's own unit;"
        " with QWENVL_BBOX_FORMAT=new they read [x1, y1, x2, y2]"
    ]


def _swift_row(example: Example) -> dict[str, Any]:
    row = _about(example) | {"messages": _messages(example), "images": list(example.picture_names)}
    if not example.boxes_px:
        return row
    # A box in a view that is not shown (D1 from one picture) is in the pixels of the picture that is: one size.
    shown = len(example.pictures) - 1
    return row | {
        "objects": {
            "ref": [],
            "bbox": [list(box) for _, box in example.boxes_px],
            "bbox_type": "real",
            "image_id": [min(image, shown) for image, _ in example.boxes_px],
        }
    }


def write_easyr1(out: Path, splits: Mapping[str, list[Example]], config: ConvertConfig) -> list[str]:
    """EasyR1: `problem`, `answer` (what the reward reads) and `images`."""
    _write_lines(out, splits, _easyr1_row)
    return [
        "EasyR1: data.prompt_key=problem data.answer_key=answer data.image_key=images data.image_dir=<this folder>",
        "reward: worker.reward.reward_function=<synth/rewards.py>:compute_score, with metric exact or world2vlm",
    ]


def _easyr1_row(example: Example) -> dict[str, Any]:
    words = {"problem": example.prompt, "answer": example.ground_truth, "images": list(example.picture_names)}
    return _about(example) | words


def _about(example: Example) -> dict[str, Any]:
    return {"id": example.example_id, "task_type": example.task_type}


def _messages(example: Example) -> list[dict[str, str]]:
    return [{"role": "user", "content": example.prompt}, {"role": "assistant", "content": example.answer}]


def _write_lines(out: Path, splits: Mapping[str, list[Example]], row: Callable[[Example], dict[str, Any]]) -> None:
    """One file of lines for each split, the proofs beside it line by line, and the pictures."""
    (out / "proofs").mkdir()
    for name, examples in splits.items():
        write_whole(out / f"{name}.jsonl", (json_bytes(row(example)) for example in examples))
        write_whole(out / "proofs" / f"{name}.jsonl", (json_bytes(example.row[1]) for example in examples))
        copy_pictures(out, examples)
