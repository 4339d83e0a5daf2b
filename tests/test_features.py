"""Features of pictures: cells lie where the interface says, batches do not matter, and a cache changes nothing."""

from __future__ import annotations

import builtins
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.feature_cache import cached
from models.features import CompactEncoder, Features, features_of
from models.towers import FrozenTower

CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def pictures(n: int, h: int, w: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 255, (n, 3, h, w), dtype=np.uint8))


def cell_of_change(features: Features, corner: tuple[int, int], h: int, w: int) -> tuple[tuple[int, int], Tensor]:
    """The cell (row, column) that changes most when a corner cell of a grey picture turns bright; and all changes."""
    grey = torch.full((1, 3, h, w), 100, dtype=torch.uint8)
    with torch.no_grad():
        gh, gw = features(grey).shape[-2:]
        lit = grey.clone()
        rows, columns = h // gh, w // gw
        lit[..., corner[0] * (h - rows) :, corner[1] * (w - columns) :][..., :rows, :columns] = 255
        change = (features(lit) - features(grey))[0].norm(dim=0)
    return divmod(int(change.argmax()), gw), change


@pytest.fixture(scope="module")
def encoder() -> CompactEncoder:
    torch.manual_seed(0)
    return CompactEncoder()


@pytest.mark.parametrize(("h", "w"), [(64, 96), (128, 128), (40, 8)])
def test_a_compact_cell_is_eight_pixels(encoder: CompactEncoder, h: int, w: int) -> None:
    with torch.no_grad():
        found = encoder(pictures(2, h, w))
    assert found.shape == (2, 128, h // 8, w // 8) and found.dtype == torch.float32
    assert encoder.channels == 128 and CompactEncoder(24, width=8, blocks=(1, 1)).channels == 24


def test_the_compact_encoder_is_small_and_all_of_it_learns(encoder: CompactEncoder) -> None:
    assert 1e6 < sum(p.numel() for p in encoder.parameters()) < 2e6
    found = encoder(pictures(2, 32, 48))
    (found * torch.randn_like(found)).sum().backward()
    shares = {name: float(p.grad.norm()) for name, p in encoder.named_parameters() if p.grad is not None}
    encoder.zero_grad()
    assert len(shares) == len(list(encoder.parameters())) and min(shares.values()) > 1e-3
    torch.testing.assert_close(found.mean(1), torch.zeros(2, 4, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(1, correction=0), torch.ones(2, 4, 6), atol=1e-3, rtol=0)
    assert found.std((0, 2, 3)).mean() > 0.3, "cells must differ, or nothing is told"


def test_the_compact_encoder_starts_with_weights_that_keep_variances(encoder: CompactEncoder) -> None:
    layers = [m for m in encoder.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    gains = {float(m.weight.detach().std() * m.weight[0].numel() ** 0.5) for m in layers}
    assert min(gains) > 0.3 and max(gains) < 1.1 and not any(m.bias.any() for m in layers)


def test_neither_the_batch_nor_training_matters_to_the_compact_encoder(encoder: CompactEncoder) -> None:
    image = pictures(3, 48, 40)
    with torch.no_grad():
        together, alone = encoder.train()(image), torch.cat([encoder.eval()(one[None]) for one in image])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_compact_cells_are_centred_on_their_pixels() -> None:
    """With its kernels mirrored, the encoder sees a mirrored picture as the mirror image of what it saw before."""
    torch.manual_seed(1)
    encoder = CompactEncoder(16, width=16, blocks=(1, 1))
    image = pictures(1, 48, 64)
    with torch.no_grad():
        before = encoder(image)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(module.weight.flip(2, 3))
        torch.testing.assert_close(encoder(image.flip(2, 3)).flip(2, 3), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("corner", CORNERS)
def test_compact_cells_stand_for_their_place(encoder: CompactEncoder, corner: tuple[int, int]) -> None:
    found, change = cell_of_change(encoder, corner, 72, 104)
    near, far = (0, 1), (change.shape[0] - 2, change.shape[0] - 1)
    assert found[0] in (far if corner[0] else near)
    assert found[1] in ((change.shape[1] - 2, change.shape[1] - 1) if corner[1] else near)


@pytest.mark.parametrize(("h", "w"), [(60, 64), (64, 100), (4, 4)])
def test_sides_that_are_no_multiple_of_eight_are_refused(encoder: CompactEncoder, h: int, w: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 8.*got {h} x {w}"):
        encoder(pictures(1, h, w))


@pytest.mark.parametrize("options", [{"channels": 0}, {"width": 6}, {"width": 0}, {"blocks": (0, 1)}])
def test_compact_encoders_of_no_size_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="positive and the width a multiple of 4"):
        CompactEncoder(**options)


def test_features_by_name(tmp_path: Path) -> None:
    assert features_of("compact", channels=32).channels == 32
    with pytest.raises(ValueError, match="local folder.*'facebook/dinov2-base'.*nothing is downloaded"):
        features_of("facebook/dinov2-base")
    with pytest.raises(ValueError, match="must have the config.json of a vision tower"):
        features_of(str(tmp_path))


SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SMALL, "vocab_size": 100, "max_position_embeddings": 16}
EYES = {**SMALL, "image_size": 64, "patch_size": 16}
QWEN_EYES = {"depth": 2, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 24}
"""Windows of 2 x 2 cells, out of the order of rows, then one block that sees all."""
QWEN_EYES |= {"window_size": 112, "fullatt_block_indexes": [1]}
QWEN_TEXT = {"vocab_size": 100, "hidden_size": 24, "intermediate_size": 16, "num_hidden_layers": 1}
QWEN_TEXT |= {"num_attention_heads": 2, "num_key_value_heads": 1}
QWEN_TEXT |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2]}}


def vision() -> Any:
    return pytest.importorskip("transformers", reason="the extra `vision` is not installed")


def _clip(t: Any) -> tuple[Any, Any]:
    size = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    return t.CLIPModel(t.CLIPConfig(vision_config=EYES, text_config=TEXT)), t.CLIPImageProcessorPil(**size)


def _siglip(t: Any) -> tuple[Any, Any]:
    """Sides that the patches do not divide, as the largest SigLIP has them."""
    config = t.SiglipConfig(vision_config={**EYES, "image_size": 70}, text_config=TEXT)
    return t.SiglipModel(config), t.SiglipImageProcessorPil(size={"height": 70, "width": 70})


def _dino(t: Any, kind: str = "Dinov2") -> tuple[Any, Any]:
    """Its table of positions is for another size than its processor makes."""
    sizes = {"mlp_ratio": 1, "image_size": 70, "patch_size": 14, "hidden_size": 32}
    config = getattr(t, f"{kind}Config")(**sizes, num_hidden_layers=2, num_attention_heads=2)
    size = {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}}
    return getattr(t, f"{kind}Model")(config), t.BitImageProcessorPil(**size)


def _dino_with_registers(t: Any) -> tuple[Any, Any]:
    return _dino(t, "Dinov2WithRegisters")


def _qwen(t: Any) -> tuple[Any, Any]:
    config = t.Qwen2_5_VLConfig(vision_config=QWEN_EYES, text_config=QWEN_TEXT)
    return t.Qwen2_5_VLForConditionalGeneration(config), t.Qwen2VLImageProcessorPil()


FAMILIES: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "clip": _clip,
    "siglip": _siglip,
    "dinov2": _dino,
    "dinov2_with_registers": _dino_with_registers,
    "qwen2_5_vl": _qwen,
}
SHAPES = {"clip": (32, 4, 4), "siglip": (32, 4, 4), "dinov2": (32, 4, 4), "dinov2_with_registers": (32, 4, 4)}
SHAPES |= {"qwen2_5_vl": (24, 3, 5)}
"""Of pictures of 90 x 130."""


def make(folder: Path, family: str) -> Path:
    """A tiny untrained model of a family with its processor, saved as its authors save theirs."""
    transformers = vision()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    model, processor = FAMILIES[family](transformers)
    # As large as trained weights are: what transformers starts with leaves the tables of positions alone to be seen.
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, p[0].numel() ** -0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tower") / family, family)


@pytest.fixture(scope="module")
def tower(folder: Path) -> FrozenTower:
    return FrozenTower(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip", "clip")


def test_a_tower_gives_a_raster(tower: FrozenTower, family: str) -> None:
    found = tower(pictures(2, 90, 130))
    assert found.shape == (2, *SHAPES[family]) and found.dtype == torch.float32
    assert tower.channels == found.shape[1] and tower.grid(90, 130) == found.shape[2:]
    assert torch.equal(found, tower(pictures(2, 90, 130))), "the same picture, the same features"
    assert torch.equal(found, found.half().float()), "as 16 bits hold them"
    assert found.std() > 0.1 and not torch.equal(found[0], found[1])


@pytest.mark.parametrize("corner", CORNERS)
def test_cells_of_a_tower_stand_for_their_place(tower: FrozenTower, corner: tuple[int, int]) -> None:
    found, change = cell_of_change(tower, corner, 112, 224)
    rows, columns = change.shape
    assert found == (corner[0] * (rows - 1), corner[1] * (columns - 1))


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("grid", [(3, 5), (6, 7)])
def test_any_grid_may_be_asked_for(folder: Path, grid: tuple[int, int], corner: tuple[int, int]) -> None:
    tower = FrozenTower(folder, grid=grid)
    assert tower(pictures(1, 50, 61)).shape[2:] == grid
    found, _ = cell_of_change(tower, corner, 28 * grid[0], 28 * grid[1])
    assert found == (corner[0] * (grid[0] - 1), corner[1] * (grid[1] - 1))


def own_features(folder: Path, family: str, image: Tensor) -> Tensor:
    """What the whole model and its own processor make of a picture that needs no resizing, cell after cell."""
    transformers = vision()
    from PIL import Image

    model_class = "Qwen2_5_VLForConditionalGeneration" if family == "qwen2_5_vl" else "AutoModel"
    model = getattr(transformers, model_class).from_pretrained(folder).eval()
    shown, processor = Image.fromarray(image.permute(1, 2, 0).numpy()), FAMILIES[family](transformers)[1]
    with torch.no_grad():
        if family == "qwen2_5_vl":
            return torch.cat(model.model.get_image_features(**processor(shown, return_tensors="pt")).pooler_output)
        pixels = processor(shown, do_resize=False, do_center_crop=False, return_tensors="pt")["pixel_values"]
        if "dinov2" in family:
            return model(pixels).last_hidden_state[0]
        return model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state[0]


def test_features_are_those_of_the_whole_model_and_its_own_processor(
    folder: Path, tower: FrozenTower, family: str
) -> None:
    h, w = {"clip": (64, 64), "siglip": (64, 64), "qwen2_5_vl": (84, 140)}.get(family, (56, 56))
    image = pictures(1, h, w)
    gh, gw = tower.grid(h, w)
    own = own_features(folder, family, image[0])[-gh * gw :].T.unflatten(1, (gh, gw))
    torch.testing.assert_close(tower(image)[0], own, atol=2e-3, rtol=2e-3)


def test_a_larger_picture_is_resized_smoothly(folder: Path, tower: FrozenTower) -> None:
    """Each pixel four times is the same picture; stripes finer than what is seen are grey."""
    small = pictures(1, 56, 56)[:, :, ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3)
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    fixed = FrozenTower(folder, grid=(2, 2))
    assert (fixed(large) - fixed(small)).norm() < 0.25 * (fixed(pictures(1, 56, 56, 1)) - fixed(small)).norm()
    stripes, grey = torch.zeros(1, 3, 448, 448, dtype=torch.uint8), torch.full((1, 3, 448, 448), 127, dtype=torch.uint8)
    stripes[..., ::2] = 255
    dark = torch.zeros_like(grey)
    assert (fixed(stripes) - fixed(grey)).norm() < 0.1 * (fixed(dark) - fixed(grey)).norm()


def test_a_tower_learns_nothing_and_is_always_in_evaluation(tower: FrozenTower) -> None:
    head = nn.Sequential(tower, nn.Conv2d(tower.channels, 2, 1)).train()
    assert not any(module.training for module in tower.modules()) and head[1].training
    assert not any(p.requires_grad for p in tower.parameters())
    image = pictures(2, 56, 84)
    found = tower(image)
    assert not found.requires_grad
    head(image).sum().backward()
    assert head[1].weight.grad is not None, "features may be what a head is taught by"
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tower(image), found)


def test_a_tower_looks_at_each_picture_by_itself(tower: FrozenTower) -> None:
    image = pictures(3, 84, 112)
    alone = torch.cat([tower(one[None]) for one in image])
    torch.testing.assert_close(tower(image), alone, atol=4e-3, rtol=2e-3)


def rename(folder: Path, target: Path, renamed: Callable[[str], str | None]) -> Path:
    """A copy of a model with other names of weights."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    weights = {renamed(name): w for name, w in load_file(folder / "model.safetensors").items()}
    save_file({k: w for k, w in weights.items() if k}, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_qwen_is_read_with_the_names_of_its_authors_and_from_the_tower_alone(tmp_path: Path) -> None:
    transformers = vision()

    whole = make(tmp_path / "whole", "qwen2_5_vl")
    found, image = FrozenTower(whole), pictures(1, 60, 90)
    for name in ("visual.", "model.visual."):
        other = rename(whole, tmp_path / name, lambda k, name=name: re.sub(r"^(model\.)?visual\.", name, k))
        assert torch.equal(FrozenTower(other)(image), found(image))
    found.tower.config.save_pretrained(tmp_path / "tower")
    transformers.Qwen2VLImageProcessorPil().save_pretrained(tmp_path / "tower")
    lone = transformers.Qwen2_5_VisionTransformerPretrainedModel(found.tower.config)
    lone.load_state_dict(found.tower.state_dict())
    lone.save_pretrained(tmp_path / "tower")
    assert torch.equal(FrozenTower(tmp_path / "tower")(image), found(image))


@pytest.mark.parametrize(("kind", "name"), [("clip", "CLIPVisionModel"), ("siglip", "SiglipVisionModel")])
def test_towers_saved_alone_give_the_same(kind: str, name: str, tmp_path: Path) -> None:
    transformers = vision()

    whole, image = make(tmp_path / "whole", kind), pictures(1, 64, 64)
    getattr(transformers, name).from_pretrained(whole).save_pretrained(tmp_path / "alone")
    shutil.copy(whole / "preprocessor_config.json", tmp_path / "alone")
    assert json.loads((tmp_path / "alone" / "config.json").read_text())["model_type"] == f"{kind}_vision_model"
    assert torch.equal(FrozenTower(tmp_path / "alone")(image), FrozenTower(whole)(image))


def processing(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "preprocessor_config.json"
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


def test_files_as_they_were_saved_over_the_years_say_the_same(clip: Path, tmp_path: Path) -> None:
    image, known = pictures(1, 64, 64), FrozenTower(clip)(pictures(1, 64, 64))
    older, newer = (Path(shutil.copytree(clip, tmp_path / name)) for name in ("older", "newer"))
    processing(older, lambda said: said.update(size=64, crop_size=64))
    said = json.loads((newer / "preprocessor_config.json").read_text())
    (newer / "preprocessor_config.json").unlink()
    (newer / "processor_config.json").write_text(json.dumps({"image_processor": said}))
    assert torch.equal(FrozenTower(older)(image), known) and torch.equal(FrozenTower(newer)(image), known)
    processing(older, lambda said: said.update(do_center_crop=False, size={"height": 32, "width": 48}))
    assert FrozenTower(older)(image).shape[2:] == (2, 3)
    processing(older, lambda said: said.update(image_mean=[0.1, 0.5, 0.5]))
    assert not torch.equal(FrozenTower(older, grid=(4, 4))(image), known)


@pytest.mark.parametrize("size", [(20, 20), (60, 150), (500, 300)])
def test_qwens_own_size_follows_the_picture_within_limits(size: tuple[int, int], tmp_path: Path) -> None:
    """As its own processor has it, by either names of the limits."""
    transformers = vision()
    from PIL import Image

    folder = make(tmp_path / "qwen", "qwen2_5_vl")
    processor = transformers.Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 50176})
    _, rows, columns = processor(Image.new("RGB", size[::-1]), return_tensors="pt")["image_grid_thw"][0].tolist()
    processing(folder, lambda said: said.update(size={"shortest_edge": 3136, "longest_edge": 50176}))
    assert FrozenTower(folder).grid(*size) == (rows // 2, columns // 2)
    processing(folder, lambda said: (said.pop("size"), said.update(min_pixels=3136, max_pixels=50176)))
    assert FrozenTower(folder).grid(*size) == (rows // 2, columns // 2)


def drop_a_weight(folder: Path) -> None:
    scratch = rename(folder, folder.with_name("scratch"), lambda k: None if "patch_embedding" in k else k)
    shutil.copy(scratch / "model.safetensors", folder)


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (shutil.rmtree, "is not there"),
        (lambda f: (f / "config.json").unlink(), "must have the config.json"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "type among clip, .* got 'bert'"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "as safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 50), "that transformers loads"),
        (drop_a_weight, "1 are missing or of another shape"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "must have the preprocessor_config.json"),
        (lambda f: processing(f, lambda said: said.pop("image_mean")), "image_mean missing"),
        (lambda f: processing(f, lambda said: said.update(image_std=[1, 1, 0])), "red, green and blue"),
        (lambda f: processing(f, lambda said: said.update(image_mean=[1, 1])), "red, green and blue"),
        (lambda f: processing(f, lambda said: said.update(do_normalize=False)), "do_rescale and do_normalize"),
        (lambda f: processing(f, lambda said: said.update(do_rescale=False)), "do_rescale and do_normalize"),
        (lambda f: processing(f, lambda said: said.pop("crop_size")), "the size in .* finite number, got None"),
    ],
)
def test_a_folder_without_a_whole_tower_is_refused_in_one_line(
    harm: Callable[[Path], Any], text: str, clip: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(clip, tmp_path / "model"))
    harm(copy)
    with pytest.raises(ValueError, match=text) as refused:
        FrozenTower(copy)
    assert "\n" not in str(refused.value)


def test_grids_of_nothing_and_features_beyond_sixteen_bits_are_refused(clip: Path) -> None:
    with pytest.raises(ValueError, match="each at least 1, got"):
        FrozenTower(clip, grid=(0, 4))
    tower = features_of(str(clip), grid=(2, 2))
    assert isinstance(tower, FrozenTower)
    tower.tower.encoder.layers[1].mlp.fc2.weight.fill_(1e5)
    with pytest.raises(ValueError, match="numbers up to 65504"):
        tower(pictures(1, 32, 32))


def test_without_transformers_it_is_said_what_to_install(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"a vision tower needs transformers: pip install -e '\.\[vision\]'"):
        FrozenTower(clip)


def count(tower: FrozenTower, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the model is shown, call by call."""
    shown: list[int] = []
    real = tower.tower.forward
    monkeypatch.setattr(tower.tower, "forward", lambda *a, **k: (shown.append(1), real(*a, **k))[1])
    return shown


def test_a_cache_changes_nothing_and_looks_once(
    tower: FrozenTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, image = count(tower, monkeypatch), pictures(3, 84, 112)
    cold = cached(tower, tmp_path)(image)
    assert len(shown) == 3 and cold.dtype == torch.float32
    warm = cached(tower, tmp_path)
    assert torch.equal(warm(image.flip(0)), cold.flip(0)) and len(shown) == 3
    assert torch.equal(cold, torch.cat([tower(one[None]) for one in image])), "the bits of the tower itself"
    assert warm.channels == tower.channels and not warm.train().training
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3 and {path.parent for path in files} == {tmp_path / tower.fingerprint}


@pytest.mark.parametrize(
    "harm",
    [
        lambda f: f.write_bytes(f.read_bytes()[:-8]),
        lambda f: f.write_bytes(f.read_bytes()[:20]),
        lambda f: f.write_bytes(b""),
        lambda f: write_tensor(f, "other", torch.zeros(32, 4, 4).half()),
        lambda f: write_tensor(f, "features", torch.zeros(32, 4, 3).half()),
        lambda f: write_tensor(f, "features", torch.zeros(32, 4, 4)),
    ],
)
def test_damaged_files_of_a_cache_are_computed_again(harm: Callable[[Path], Any], clip: Path, tmp_path: Path) -> None:
    features, image = cached(FrozenTower(clip), tmp_path), pictures(1, 64, 64)
    known = features(image)
    (path,) = tmp_path.rglob("*.safetensors")
    whole = path.read_bytes()
    harm(path)
    assert torch.equal(features(image), known)
    assert path.read_bytes() == whole


def write_tensor(path: Path, name: str, tensor: Tensor) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor}, path)


def test_a_cache_tells_pictures_of_the_same_bytes_apart(clip: Path, tmp_path: Path) -> None:
    features, wide = cached(FrozenTower(clip), tmp_path), pictures(1, 32, 64)
    tall = wide.reshape(1, 3, 64, 32)
    assert not torch.equal(features(wide), features(tall))


def fingerprints(folder: Path) -> Iterator[str]:
    """Of a tower and of what is not the same: other settings, other words about pictures, another weight."""
    yield FrozenTower(folder).fingerprint
    yield FrozenTower(folder, grid=(4, 4)).fingerprint
    processing(folder, lambda said: said.update(image_mean=[0.5, 0.5, 0.5]))
    yield FrozenTower(folder).fingerprint
    processing(folder, lambda said: said.update(crop_size=48))
    yield FrozenTower(folder).fingerprint
    tower = FrozenTower(folder)
    tower.tower.embeddings.patch_embedding.weight[0, 0, 0, 0] += 1e-3
    yield tower.fingerprint
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_attention_heads"] = 4
    (folder / "config.json").write_text(json.dumps(config))
    yield FrozenTower(folder).fingerprint


def test_another_tower_has_another_fingerprint_wherever_it_lies(clip: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(clip, tmp_path / "elsewhere"))
    assert FrozenTower(copy).fingerprint == FrozenTower(clip).fingerprint
    found = list(fingerprints(copy))
    assert len(set(found)) == len(found) == 6


def test_processes_may_share_a_cache(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one finds, computes and writes the same picture's features while this one is about to put them there."""
    first, second = (cached(FrozenTower(clip), tmp_path) for _ in range(2))
    image, others = pictures(1, 32, 32), []
    real = os.replace

    def late(source: Path, target: Path) -> None:
        if not others:
            others.append(None)  # the other one also comes by here
            others.append(second(image))
        real(source, target)

    monkeypatch.setattr(os, "replace", late)
    assert torch.equal(first(image), others[1]) and torch.equal(second(image), others[1])
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"]
