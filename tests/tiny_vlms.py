"""Tiny vision-language models of many families, made from their own config classes and saved like real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm import END, PAD, SPECIAL, TEMPLATE, tokenizer_of

TEXT = [
    "move forward 1.4 meters; turn right 40 degrees",
    "How far does the camera move to the left between the two images? [120, 33, 410, 600] in thousandths",
    "yes no A B the camera turns left by degrees and moves backward right up down; visible object box",
]
QWEN = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _text(vocab: int, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": vocab,
        "bos_token_id": None,
        "eos_token_id": None,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
    } | more


def _qwen(folder: Path, family: str, text: dict[str, Any], vision: dict[str, Any], **pictures: Any) -> None:
    import transformers
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    words = tokenizer_of(TEXT, 400, QWEN, QWEN_TEMPLATE, "<|im_end|>", "<|endoftext|>", splits_digits=False)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    whole = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    config = getattr(transformers, f"{family}Config")(
        text_config=_text(len(words), rope_parameters=rope, **text),
        vision_config=whole | {"spatial_merge_size": 2} | vision,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    getattr(transformers, f"{family}ForConditionalGeneration")(config).save_pretrained(folder)
    words.save_pretrained(folder)
    Qwen2VLImageProcessorPil(**pictures).save_pretrained(folder)


def qwen2(folder: Path) -> None:
    vision = {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2, "patch_size": 14}
    _qwen(folder, "Qwen2VL", {}, vision, size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})


def qwen2_5(folder: Path) -> None:
    vision = {"fullatt_block_indexes": [1], "window_size": 56, "patch_size": 14}
    _qwen(folder, "Qwen2_5_VL", {}, vision, size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})


def qwen3(folder: Path) -> None:
    vision = {"deepstack_visual_indexes": [0], "patch_size": 16, "num_position_embeddings": 64}
    size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    _qwen(folder, "Qwen3VL", {"head_dim": 16}, vision, size=size, patch_size=16)


VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
}
SIGLIP = VISION | {"model_type": "siglip_vision_model", "vision_use_head": False}


def _words(place: str, marks: dict[str, str]) -> Any:
    """A tokenizer that names its marks, as those of these families do; `place` stands for a picture in its template."""
    template = QWEN_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", place)
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *marks.values())
    made = tokenizer_of(TEXT, 400, special, template, "<|im_end|>", "<|endoftext|>", splits_digits=False)
    return type(made)(
        tokenizer_object=made.backend_tokenizer,
        eos_token=made.eos_token,
        pad_token=made.pad_token,
        chat_template=template,
        extra_special_tokens=marks,
    )


def _saved(folder: Path, family: str, words: Any, config: Any, reader: dict[str, Any], **processor: Any) -> None:
    import transformers

    getattr(transformers, f"{family}ForConditionalGeneration")(config).save_pretrained(folder)
    words.save_pretrained(folder)
    whose = {"processor_class": f"{family}Processor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(reader | whose))
    (folder / "processor_config.json").write_text(json.dumps(processor | whose))


def gemma3(folder: Path) -> None:
    from transformers import Gemma3Config

    marks = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    words = _words("<start_of_image>", marks)
    begins, ends, image = words.convert_tokens_to_ids(list(marks.values()))
    config = Gemma3Config(
        text_config=_text(len(words)) | {"model_type": "gemma3_text", "head_dim": 16},
        vision_config=SIGLIP,
        mm_tokens_per_image=4,
        boi_token_index=begins,
        eoi_token_index=ends,
        image_token_index=image,
    )
    reader = {
        "image_processor_type": "Gemma3ImageProcessor",
        "size": {"height": 64, "width": 64},
        "image_seq_length": 4,
    }
    _saved(folder, "Gemma3", words, config, reader, image_seq_length=4)


def internvl(folder: Path) -> None:
    from transformers import InternVLConfig

    marks = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = _words("<IMG_CONTEXT>\n", marks)
    config = InternVLConfig(
        text_config=_text(len(words)) | {"model_type": "qwen2"},
        vision_config=VISION | {"image_size": [64, 64], "patch_size": [16, 16]},
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    reader = {"image_processor_type": "GotOcr2ImageProcessor", "size": {"height": 64, "width": 64}}
    _saved(folder, "InternVL", words, config, reader | {"crop_to_patches": False}, image_seq_length=4)


def llava_onevision(folder: Path) -> None:
    from transformers import LlavaOnevisionConfig

    words = _words("<image>\n", {"image_token": "<image>", "video_token": "<video>"})
    pinpoints = [[64, 64], [64, 128], [128, 64]]
    config = LlavaOnevisionConfig(
        text_config=_text(len(words)) | {"model_type": "qwen2"},
        vision_config=SIGLIP,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        video_token_id=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy="full",
    )
    reader = {"image_processor_type": "LlavaOnevisionImageProcessor", "size": {"height": 64, "width": 64}}
    processor = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    _saved(folder, "LlavaOnevision", words, config, reader | {"image_grid_pinpoints": pinpoints}, **processor)


def _scaled(folder: Path, family: str) -> None:
    import transformers

    words = tokenizer_of(TEXT, 400, SPECIAL, TEMPLATE, END, PAD, splits_digits=False)
    config = getattr(transformers, f"{family}Config")(
        text_config=_text(len(words)) | {"model_type": "llama", "pad_token_id": words.pad_token_id},
        vision_config=VISION,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=words.pad_token_id,
    )
    edge = {"longest_edge": 64}
    reader = {"image_processor_type": f"{family}ImageProcessor", "size": edge, "max_image_size": edge}
    _saved(folder, family, words, config, reader | {"do_image_splitting": False}, image_seq_len=4)


def smol(folder: Path) -> None:
    _scaled(folder, "SmolVLM")


def idefics3(folder: Path) -> None:
    _scaled(folder, "Idefics3")
