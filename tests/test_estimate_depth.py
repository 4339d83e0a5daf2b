"""Depth guessed by tiny models made here: metres only, aligned with the picture, and never called metric."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recordings import simulated_room

from synth import estimate_depth
from synth.dataset import read_rows
from synth.estimate_depth import DepthModel
from synth.label import LabelConfig
from synth.pipeline import generate
from synth.verify import verify
from synth.vision_extra import load

transformers = pytest.importorskip("transformers", reason="the extra `vision` is not installed")

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)


def tiny(folder: Path, kind: str) -> Path:
    """A tiny untrained Depth Anything with its processor."""
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=24,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=20,
    )
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    transformers.DPTImageProcessorPil(size={"height": 56, "width": 56}, ensure_multiple_of=14).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("depth") / "guess", "metric")


def test_a_metric_model_guesses_a_length_for_every_pixel(folder: Path) -> None:
    model = DepthModel(folder)
    z_depth = model.estimate(IMAGE)
    assert z_depth.shape == (48, 80) and z_depth.dtype == np.float32
    assert (z_depth[np.isfinite(z_depth)] > 0).all() and np.isfinite(z_depth).any()
    assert np.array_equal(z_depth, model.estimate(IMAGE), equal_nan=True)
    assert model.scale.status == "estimated" and not model.scale.is_metric
    assert "depth_anything" in model.scale.source and "guess" in model.scale.source


@pytest.fixture(scope="module")
def zoe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained ZoeDepth with its processor, which pads."""
    folder = tmp_path_factory.mktemp("zoe") / "zoe"
    torch.manual_seed(0)
    backbone = transformers.BeitConfig(
        image_size=64,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    sizes = {"fusion_hidden_size": 8, "bottleneck_features": 8, "bin_embedding_dim": 8, "num_attractors": [4, 2, 2, 1]}
    bins = [{"n_bins": 8, "min_depth": 0.1, "max_depth": 10.0, "name": "nyu"}]
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[8] * 4, bin_configurations=bins, **sizes
    )
    transformers.ZoeDepthForDepthEstimation(config).save_pretrained(folder)
    images = transformers.ZoeDepthImageProcessorPil(size={"height": 64, "width": 96}, ensure_multiple_of=32)
    images.save_pretrained(folder)
    return folder


def replace(model: DepthModel, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Make the loaded model answer a function of what it is shown, a raster of the same size."""
    network, processor = model._loaded

    class Replaced:
        config = network.config

        def __call__(self, pixel_values: torch.Tensor) -> Any:
            z = answer(pixel_values[:, 0] * processor.image_std[0] + processor.image_mean[0])
            assert network(pixel_values).predicted_depth.shape == z.shape
            return transformers.modeling_outputs.DepthEstimatorOutput(predicted_depth=z)

    model.__dict__["_loaded"] = (Replaced(), processor)


@pytest.mark.parametrize("name", ["folder", "zoe"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("size", [(48, 80), (80, 48), (97, 131)])
def test_a_guess_lies_where_the_picture_shows_it(
    name: str, axis: int, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    """A ramp through the processor and back is the same ramp, at centres of pixels: not shifted by a tenth of one."""
    model = DepthModel(request.getfixturevalue(name))
    replace(model, lambda red: red)
    step = 1.5
    ramp = np.moveaxis(np.broadcast_to(20 + step * np.arange(size[axis]), (size[1 - axis], size[axis])), 1, axis)
    image = np.repeat(np.rint(ramp)[..., None], 3, -1).astype(np.uint8)
    shift = (model.estimate(image) * 255 - image[..., 0]) / step
    inner = shift[5:-5, 5:-5]
    assert abs(float(inner.mean())) < 0.1 and abs(float(np.median(np.take(inner, range(5), axis)))) < 0.5
    slope = np.polyfit(np.arange(inner.shape[axis]), inner.mean(1 - axis), 1)[0]
    assert abs(slope) * inner.shape[axis] < 0.2, "stretched"


@pytest.mark.parametrize("name", ["folder", "zoe"])
def test_a_model_is_loaded_and_asked_without_the_network(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a network was asked for")

    load.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    folder = request.getfixturevalue(name)
    z_depth = DepthModel(folder).estimate(IMAGE)
    load.cache_clear()
    assert z_depth.shape == (48, 80) and np.isfinite(z_depth).any()
    assert np.array_equal(z_depth, DepthModel(folder).estimate(IMAGE), equal_nan=True)


@pytest.mark.parametrize("name", ["folder", "zoe"])
@pytest.mark.parametrize("wrong", [-1.0, 0.0, float("nan"), float("inf")])
def test_what_is_no_length_is_unknown(name: str, wrong: float, request: pytest.FixtureRequest) -> None:
    model = DepthModel(request.getfixturevalue(name))
    replace(model, lambda red: torch.full_like(red, wrong))
    assert np.isnan(model.estimate(IMAGE)).all()


def test_a_model_of_inverse_depth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="guesses metres.*up to a factor and a shift"):
        DepthModel(tiny(tmp_path / "relative", "relative")).estimate(IMAGE)


def test_a_model_that_wants_measured_depth_beside_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(model_type="prompt_depth_anything", depth_estimation_type="metric")
    monkeypatch.setattr(estimate_depth, "load", lambda *args: (SimpleNamespace(config=config), None))
    with pytest.raises(ValueError, match="guesses metres"):
        DepthModel(folder).estimate(IMAGE)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_processor_that_needs_torchvision_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    edit(copy / "preprocessor_config.json", image_processor_type="DepthProImageProcessor")
    with pytest.raises(ValueError, match="needs torchvision, which is not installed") as refused:
        DepthModel(copy).estimate(IMAGE)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda f: (f / "config.json").unlink(), "must have the config.json of a depth model"),
        (lambda f: (f / "model.safetensors").unlink(), "weights as safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 50), "that transformers loads"),
        (lambda f: edit(f / "config.json", model_type="bert"), "that transformers loads"),
        (lambda f: edit(f / "config.json", head_hidden_size=4), "are missing or of another shape: head"),
        (lambda f: edit(f / "preprocessor_config.json", do_pad=True), "does not pad"),
        (lambda f: (f / "preprocessor_config.json").write_text("{"), "that transformers loads"),
    ],
)
def test_a_folder_without_a_whole_model_is_refused(harm: Any, text: str, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    harm(copy)
    with pytest.raises(ValueError, match=text) as refused:
        DepthModel(copy).estimate(IMAGE)
    assert "\n" not in str(refused.value)


def photograph(folder: Path, *, has_z: bool) -> Path:
    """A view of a simulated room as somebody's photograph, outlines beside it."""
    world = simulated_room()
    view = world.view(world.T_world_anchor)
    assert view.image is not None
    folder.mkdir(parents=True)
    Image.fromarray(view.image).save(folder / "room.color.png")
    if has_z:
        Image.fromarray(np.rint(view.z_depth * 1000).astype(np.uint16)).save(folder / "room.depth.png")
    Image.fromarray((view.item_idx + 1).astype(np.uint16)).save(folder / "room.segm.png")
    stated = {"K": world.camera.K.tolist(), "depth_units_per_m": 1000, "pixel_centers": "half"}
    (folder / "camera.json").write_text(json.dumps(stated))
    legend = {"0": None} | {str(i + 1): kind for i, kind in enumerate(world.evidence.kinds)}
    (folder / "objects.json").write_text(json.dumps({"masks": "{frame}.segm.png", "legend": legend}))
    return folder


def test_a_photograph_with_depth_is_labelled_and_verified(tmp_path: Path) -> None:
    generate(tmp_path / "data", LabelConfig(photograph(tmp_path / "photo", has_z=True)))
    rows = list(read_rows(tmp_path / "data" / "DepthWarp-RealScene"))
    assert {task["task_type"] for task, _ in rows} >= {"A1", "A2", "A3", "A4", "D1", "D3"}
    assert all(proof["scale"]["status"] == "metric" for _, proof in rows)
    assert verify(tmp_path / "data").mismatches == []
    assert "Motorcycle" not in (tmp_path / "data" / "README.md").read_text()


def test_a_photograph_without_depth_is_left_out_unless_a_model_guesses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = photograph(tmp_path / "photo", has_z=False)
    summary = generate(tmp_path / "none", LabelConfig(photo))
    assert summary.scenes == 0
    assert summary.left_out["source: a photograph without depth, and no --depth-model to guess it"] == 1
    world = simulated_room()
    true = torch.from_numpy(world.view(world.T_world_anchor).z_depth)
    fake = SimpleNamespace(config=SimpleNamespace(model_type="zoedepth"))
    monkeypatch.setattr(DepthModel, "_loaded", (fake, None))
    monkeypatch.setattr(DepthModel, "estimate", lambda self, image: true.numpy() * np.float32(1.3))
    generate(tmp_path / "data", LabelConfig(photo, depth_model=tmp_path / "guess"))
    rows = list(read_rows(tmp_path / "data" / "DepthWarp-RealScene"))
    assert rows and all(proof["scale"]["status"] == "estimated" for _, proof in rows)
    assert not any(re.search(r"\d meters", m["content"]) for task, _ in rows for m in task["messages"])
    assert verify(tmp_path / "data").mismatches == []


def test_a_model_that_cannot_be_read_is_refused_before_any_work(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "photo", has_z=False)
    for options in ({"depth_model": tmp_path / "none"}, {"detector": tmp_path / "none", "kinds": ("cup",)}):
        with pytest.raises(ValueError, match="is not there"):
            LabelConfig(photo, **options)
    with pytest.raises(ValueError, match="objects must come from a file or from a detector"):
        LabelConfig(photo, detector=tmp_path, kinds=("cup",), objects=photo / "objects.json")


def test_models_stay_in_their_process(folder: Path) -> None:
    import pickle

    model = DepthModel(folder)
    model.ready()
    assert len(pickle.dumps(model)) < 1000
