"""Vision-language models of transformers: any image-text model, by its name or from a local folder (extra `vlm`)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from synth.box_units import THOUSANDTHS, BoxUnit, box_unit
from synth.files import json_bytes, write_whole

_PIXELS = {"qwen2_5_vl": "qwen2.5-vl"}
"""Types of model, as config.json names them, that write boxes in pixels of the resized picture."""
_PARTS = ("image_processor", "tokenizer", "video_processor")


class Films:
    """Stands where a processor keeps what reads films: that needs torchvision, and nothing here shows a film."""

    num_frames = fps = 0
    model_input_names: tuple[str, ...] = ()


def load_vlm(source: str) -> tuple[Any, Any]:
    """A model, its weights in the precision in which they were saved, and its processor.

    Args:
        source: folder of a model, or its name, by which transformers fetches it.

    Raises:
        ImportError: if transformers is missing; the message says how to install it.
        ValueError: if it is no image-text model that transformers knows, or its weights are no safetensors.
    """
    transformers = _transformers()
    try:
        model = transformers.AutoModelForImageTextToText.from_pretrained(
            source, use_safetensors=True, trust_remote_code=False, dtype="auto"
        )
    except Exception as error:  # transformers raises whatever its many loaders do
        raise ValueError(_reason(source, error)) from None
    return model, load_processor(source)


def load_processor(source: str) -> Any:
    """What turns words and pictures into what the model is given, without the part that reads films.

    Raises:
        ImportError, ValueError: as `load_vlm`.
    """
    transformers = _transformers()
    from transformers.models.auto.processing_auto import (
        PROCESSOR_MAPPING_NAMES,  # pyright: ignore[reportPrivateImportUsage]
    )

    try:
        config = transformers.AutoConfig.from_pretrained(source)
        name = PROCESSOR_MAPPING_NAMES[config.model_type]
        cls = getattr(transformers, str(name))
        said, _ = cls.get_processor_dict(source)
        found = (part.from_pretrained(source) for part in (transformers.AutoImageProcessor, transformers.AutoTokenizer))
        parts: dict[str, Any] = dict(zip(_PARTS, (*found, Films()), strict=True))
        taken = inspect.signature(cls.__init__).parameters
        rest = {key: value for key, value in said.items() if key in taken}
        return _without_films(cls)(**rest | {key: part for key, part in parts.items() if key in taken})
    except Exception as error:  # as above
        raise ValueError(_reason(source, error)) from None


def _without_films(cls: type) -> type:
    class Processor(cls):
        """A processor that takes `Films` for what reads films."""

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if isinstance(argument, Films):
                return Films
            return super().check_argument_for_proper_class(argument_name, argument)

        def save_pretrained(self, save_directory: Any, **_: Any) -> None:
            """Write the parts that there are, as trainers do with each state."""
            _write(self, Path(save_directory))

    Processor.__name__ = cls.__name__
    return Processor


def save_processor(source: str, folder: Path) -> None:
    """Write what turns words and pictures into a model's inputs into its folder, as it is where the model came from."""
    _write(load_processor(source), folder)


def _write(processor: Any, folder: Path) -> None:
    for part in (processor.tokenizer, processor.image_processor):
        part.save_pretrained(folder)
    if processor.chat_template is not None:
        write_whole(folder / "chat_template.jinja", processor.chat_template.encode())
    taken = inspect.signature(type(processor).__init__).parameters.keys() - {"self", "kwargs", "chat_template", *_PARTS}
    said = {name: getattr(processor, name) for name in sorted(taken)} | {"processor_class": type(processor).__name__}
    write_whole(folder / "processor_config.json", json_bytes(said))


def unit_of(processor: Any, model_type: str) -> BoxUnit:
    """The unit in which this model writes boxes, with the bounds that its image processor is set to."""
    family = _PIXELS.get(model_type)
    if family is None:
        return THOUSANDTHS
    size = processor.image_processor.size
    return box_unit(family, int(size["shortest_edge"]), int(size["longest_edge"]))


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise ImportError("a vision-language model needs transformers: pip install -e '.[vlm]'") from None
    return transformers


def _reason(source: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    what = "the folder" if Path(source).is_dir() else "a folder or the published name"
    return f"{source} must be {what} of an image-text model that transformers loads: {said}"
