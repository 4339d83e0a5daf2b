"""Loading models of the extra `vision` from a folder: nothing is downloaded, nothing in it is run or unpickled."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

WEIGHTS = ("*.safetensors",)


@lru_cache(maxsize=4)
def load(folder: Path, model_class: str, processor_class: str, what: str) -> tuple[Any, Any]:
    """The model and the processor of a folder, for inference; read once in a process.

    Args:
        model_class, processor_class: names of transformers' automatic classes.
        what: what the model must be, for the message.

    Raises:
        ImportError: if transformers is missing; the message says how to install it.
        ValueError: if the folder holds no such model, or its weights are no whole safetensors.
    """
    _check(folder, what)
    try:
        import transformers
    except ImportError:
        raise ImportError(f"{what} needs transformers: pip install -e '.[vision]'") from None
    transformers.utils.logging.disable_progress_bar()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = getattr(transformers, model_class).from_pretrained(folder, use_safetensors=True, **local)
        processor = getattr(transformers, processor_class).from_pretrained(folder, **local)
    except Exception as error:  # transformers raises whatever its many loaders do
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{folder} must hold {what} that transformers loads: {reason}") from None
    return model.eval(), processor


def _check(folder: Path, what: str) -> None:
    if not folder.is_dir():
        raise ValueError(f"{what} is a folder with a model of transformers, but {folder} is not there")
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} must have the config.json of {what}; is it the folder above?")
    if not any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise ValueError(f"{folder} must have weights as safetensors, which run no code; found {there}")
