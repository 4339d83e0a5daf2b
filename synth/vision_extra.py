"""Loading models of the extra `vision` from a folder: nothing is downloaded, nothing in it is run or unpickled."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

WEIGHTS = "*.safetensors"
_NEVER_RUN = "fusion_stage.layers.0.residual_layer1."
"""Part of a layer of DPT and its kin that has nothing to add there; some of their folders leave its weights out."""


@lru_cache(maxsize=4)
def load(folder: Path, model_class: str, processor_class: str, what: str) -> tuple[Any, Any]:
    """The model and the processor of a folder, for inference; read once in a process.

    Args:
        model_class, processor_class: names of transformers' automatic classes.
        what: what the model must be, for the message.

    Raises:
        ImportError: if transformers is missing; the message says how to install it.
        ValueError: if the folder holds no such model, its weights are no whole safetensors, or its processor needs
            torchvision, which this project does without.
    """
    return load_model(folder, model_class, what), load_part(folder, processor_class, what)


def load_model(folder: Path, model_class: str, what: str, **options: Any) -> Any:
    """The model of a folder in single precision, for inference; `options` are those of transformers.

    Raises:
        ImportError, ValueError: as `load`.
    """
    # Half precision, in which some are saved, is for accelerators.
    whole: dict[str, Any] = {"use_safetensors": True, "dtype": "float32"}
    told: dict[str, Any] = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, loaded = load_part(folder, model_class, what, **whole, **told, **options)
    _check_whole(folder, {*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])})
    return model.eval()


def load_part(folder: Path, part_class: str, what: str, **options: Any) -> Any:
    """What a class of transformers reads from a model's folder: its configuration, its processor, itself.

    Raises:
        ImportError, ValueError: as `load`.
    """
    _check(folder, what)
    try:
        import transformers
    except ImportError:
        raise ImportError(f"{what} needs transformers: pip install -e '.[vision]'") from None
    # What it would print is said below, in one line.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        return getattr(transformers, part_class).from_pretrained(folder, **local, **options)
    except Exception as error:  # transformers raises whatever its many loaders do
        raise ValueError(_reason(folder, what, error)) from None


class LocalModel:
    """A model of a folder, read when it is first needed, and by every process for itself."""

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The model and its processor."""
        raise NotImplementedError

    def ready(self) -> None:
        """Load the model now, so that a folder without one is refused before any work.

        Raises:
            ImportError, ValueError: as `load`.
        """
        _ = self._loaded

    def __getstate__(self) -> dict[str, Any]:
        """Without the model: another process reads its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_loaded"}


def _reason(folder: Path, what: str, error: Exception) -> str:
    said = " ".join(str(error).split())
    if "torchvision" in said.replace(str(folder), "").lower():
        return (
            f"{folder} holds {what} whose processor needs torchvision, which is not installed;"
            " install the one that fits your torch, or take a model whose processor works with Pillow"
        )
    return f"{folder} must hold {what} that transformers loads: {said[:300]}"


def _check_whole(folder: Path, absent: set[str]) -> None:
    """Refuse weights that are absent, or of another shape: chance would fill their place."""
    if lacking := sorted(key for key in absent if _NEVER_RUN not in key):
        raise ValueError(
            f"{folder} must have the weights that its config.json asks for, but {len(lacking)} are missing or of"
            f" another shape: {', '.join(lacking[:3])}; a part of the model, or the weights of another?"
        )


def _check(folder: Path, what: str) -> None:
    if not folder.is_dir():
        raise ValueError(f"{what} is a folder with a model of transformers, but {folder} is not there")
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} must have the config.json of {what}; is it the folder above?")
    if not any(folder.glob(WEIGHTS)):
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise ValueError(
            f"{folder} must have its weights as safetensors, which run no code, got {there}; convert a .bin by"
            " save_pretrained where you trust it"
        )
