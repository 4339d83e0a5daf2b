"""A trained model on disk: its numbers in safetensors, its config in JSON. Nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path

from models.config import ModelConfig
from models.model import Model
from synth.files import write_whole
from synth.safe_read import read_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def save_model(folder: Path, config: ModelConfig, model: Model) -> None:
    """Write a model; frozen features are not written, since they are read from where they were."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    state = {name: value.contiguous().cpu() for name, value in model.state_dict().items() if name in trained}
    write_whole(folder / WEIGHTS, save(state))
    write_whole(folder / CONFIG, (json.dumps(config.to_dict(), indent=1) + "\n").encode())


def load_model(folder: Path) -> tuple[ModelConfig, Model]:
    """Read a model, ready to answer.

    Raises:
        ValueError: if the folder holds none, or its numbers are not those of its config.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        raise ValueError(
            f"{folder} holds no trained model: {WEIGHTS} and {CONFIG} are needed, as `train head` writes them"
        )
    try:
        config = ModelConfig.from_dict(read_json(folder / CONFIG))
        state = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"{folder}: {error}") from None
    model = config.build().eval()
    missing = {name for name, p in model.named_parameters() if p.requires_grad} ^ state.keys()
    shapes = model.state_dict()
    odd = sorted(missing | {n for n in state.keys() & shapes.keys() if state[n].shape != shapes[n].shape})
    if odd:
        raise ValueError(f"{folder / WEIGHTS} must hold the numbers that {CONFIG} asks for, but differs in {odd[0]}")
    model.load_state_dict(state, strict=False)
    return config, model
