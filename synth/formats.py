"""The formats that trainers read, by the name that `theodolite convert --to` gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synth.export import Conversion, ConvertConfig, Writer, convert
from synth.formats_jsonl import SWIFT_WORDS, write_easyr1, write_sharegpt, write_swift
from synth.formats_lmms_eval import write_lmms_eval
from synth.formats_packed import write_parquet, write_webdataset

FORMATS: dict[str, Writer] = {
    "sharegpt": write_sharegpt,
    "ms-swift": write_swift,
    "easyr1": write_easyr1,
    "lmms-eval": write_lmms_eval,
    "webdataset": write_webdataset,
    "parquet": write_parquet,
}


def convert_to(
    source: Path, out: Path, config: ConvertConfig, *, progress: Callable[[int, int], None] | None = None
) -> Conversion:
    """Convert a dataset into the format that the configuration names; see `synth.export.convert`.

    Raises:
        ValueError: if the format is unknown, or gets boxes in a unit of its own; and as `convert`.
    """
    if config.to not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {config.to!r}")
    if config.to == "ms-swift" and config.model_family != "generic":
        raise ValueError("ms-swift scales boxes for the model that it trains; leave --model-family out")
    words = SWIFT_WORDS if config.to == "ms-swift" else None
    return convert(source, out, config, FORMATS[config.to], words=words, progress=progress)
