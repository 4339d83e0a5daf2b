"""Shared by every test: reproducible hypothesis draws and one table of tolerances."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("theodolite", deadline=None, derandomize=True, max_examples=30, database=None)
settings.load_profile("theodolite")

# Relative to values of order 1 to 10; loosening one of these needs a reason where it is done.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """Each floating type that the engine supports."""
    return request.param


@pytest.fixture
def tolerance(dtype: torch.dtype) -> float:
    """The tolerance that belongs to `dtype`."""
    return TOLERANCES[dtype]


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device that the engine supports; CUDA is skipped where there is none."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rooms with small pictures, for tests of what is done with a dataset; nobody writes into it."""
    from synth.pipeline import GenerateConfig, generate

    out = tmp_path_factory.mktemp("dataset") / "data"
    generate(out, GenerateConfig(num_scenes=4, seed=2, image_size=(96, 80)))
    return out


@pytest.fixture(scope="session")
def recorded_room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated room as an RGB-D sequence with masks (7-Scenes layout), for tests of what is recorded; read only."""
    from recordings import record_room

    return record_room(tmp_path_factory.mktemp("recorded") / "room")


@pytest.fixture(scope="session")
def labelled_room(recorded_room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labelled dataset of that sequence; nobody writes into it."""
    from synth.label import LabelConfig
    from synth.pipeline import generate

    out = tmp_path_factory.mktemp("labelled") / "data"
    generate(out, LabelConfig(recorded_room))
    return out
