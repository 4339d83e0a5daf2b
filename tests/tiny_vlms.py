"""Tiny vision-language models of three families, made from their own config classes and saved like real ones."""

from __future__ import annotations

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


def qwen2_5(folder: Path) -> None:
    vision = {"fullatt_block_indexes": [1], "window_size": 56, "patch_size": 14}
    _qwen(folder, "Qwen2_5_VL", {}, vision, size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})


def qwen3(folder: Path) -> None:
    vision = {"deepstack_visual_indexes": [0], "patch_size": 16, "num_position_embeddings": 64}
    size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    _qwen(folder, "Qwen3VL", {"head_dim": 16}, vision, size=size, patch_size=16)


def smol(folder: Path) -> None:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    words = tokenizer_of(TEXT, 400, SPECIAL, TEMPLATE, END, PAD, splits_digits=False)
    config = SmolVLMConfig(
        text_config=_text(len(words)) | {"model_type": "llama", "pad_token_id": words.pad_token_id},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=words.pad_token_id,
    )
    SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    words.save_pretrained(folder)
    SmolVLMImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 64}, do_image_splitting=False
    ).save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"image_seq_len": 4, "processor_class": "SmolVLMProcessor"}')
