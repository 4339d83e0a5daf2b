"""The detector of the extra `vision`, on a tiny model made here; the code path is the one that real weights take."""

from __future__ import annotations

import builtins
import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.detect import Detection, Detector
from synth.files import image_png
from synth.source import Frame
from synth.vision_extra import load

transformers = pytest.importorskip("transformers", reason="the extra `vision` is not installed")

SIZE = (80, 48)
IMAGE = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Letters alone, as CLIP's tokenizer has them; the end has the highest number, as there, for OWL looks for it."""
    letters = [chr(i) for i in range(33, 127)]
    words = ["!!", *letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(vocab={word: n for n, word in enumerate(words)}, merges=[], model_max_length=16)


def tiny(folder: Path, tokenizer: Any, family: str) -> Path:
    """A tiny untrained OWL-ViT or OWLv2 with its processor, saved as its authors save theirs."""
    torch.manual_seed(0)
    text = {"vocab_size": 600, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "max_position_embeddings": 16}
    text |= {"bos_token_id": 189, "eos_token_id": 190, "pad_token_id": 0}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 64, "patch_size": 16}
    config = getattr(transformers, f"{family}Config")(text_config=text, vision_config=vision, projection_dim=32)
    getattr(transformers, f"{family}ForObjectDetection")(config).save_pretrained(folder)
    images = getattr(transformers, f"{family}ImageProcessorPil")(size={"height": 64, "width": 64})
    getattr(transformers, f"{family}Processor")(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    transformers.utils.logging.disable_progress_bar()
    return tiny(tmp_path_factory.mktemp("owl") / "owl", tokenizer, "OwlViT")


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained Grounding DINO that knows a few words."""
    folder = tmp_path_factory.mktemp("dino") / "dino"
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "cat", "potted", "plant", "coffee", "table", "t", "-"]
    tokenizer = transformers.BertTokenizer(vocab={word: n for n, word in enumerate([*words, "shirt"])})
    swin = {"image_size": 64, "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4, "window_size": 2}
    backbone = transformers.SwinConfig(**swin, out_features=["stage2", "stage3", "stage4"])
    text = {"vocab_size": 14, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"d_model": 32, "num_queries": 10, "encoder_layers": 1, "decoder_layers": 2, "max_text_len": 32}
    for part in ("encoder", "decoder"):
        sizes |= {f"{part}_ffn_dim": 32, f"{part}_attention_heads": 2, f"{part}_n_points": 2}
    text_config = transformers.BertConfig(**text, intermediate_size=16)
    config = transformers.GroundingDinoConfig(backbone_config=backbone, text_config=text_config, **sizes)
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = transformers.GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    transformers.GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def says(detector: Detector, *rows: tuple[int, float, tuple[float, ...]]) -> None:
    """Make the loaded model answer (class, score, (cx, cy, w, h) in shares of what it sees) whatever it is shown."""
    logits = torch.full((1, len(rows), len(detector.kinds)), -20.0)
    for n, (kind, score, _) in enumerate(rows):
        logits[0, n, kind] = float(np.log(score / (1 - score)))
    answer = SimpleNamespace(logits=logits, pred_boxes=torch.tensor([[box for *_, box in rows]]))
    model, processor = detector._loaded
    detector.__dict__["_loaded"] = (Answers(model.config, answer), processor)


def reads(detector: Detector, *rows: tuple[set[int], float]) -> None:
    """Make the loaded model mark these places of the text, one whole-picture box for each row."""
    logits = torch.full((1, len(rows), 32), -20.0)
    for n, (places, score) in enumerate(rows):
        logits[0, n, list(places)] = float(np.log(score / (1 - score)))
    boxes = torch.tensor([[0.5, 0.5, 0.5 - 0.04 * n, 0.5] for n in range(len(rows))])
    answer = SimpleNamespace(logits=logits, pred_boxes=boxes[None])
    model, processor = detector._loaded
    detector.__dict__["_loaded"] = (Answers(model.config, answer), processor)


class Answers:
    """A model that answers one thing, whatever it is shown."""

    def __init__(self, config: Any, answer: Any) -> None:
        self.config, self.answer = config, answer

    def __call__(self, **inputs: Any) -> Any:
        return self.answer


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is in memory yet, and sockets fail."""

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a network was asked for")

    load.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("family", "score"), [("folder", 0.0), ("dino", 0.01)])
def test_a_tiny_model_is_loaded_and_asked_without_the_network(
    family: str, score: float, request: pytest.FixtureRequest
) -> None:
    detector = Detector(request.getfixturevalue(family), ["cat", "potted plant"], min_score=score)
    found = detector.detect(IMAGE)
    assert found or detector.unmapped, "a model that says nothing tests nothing"
    load.cache_clear()
    again = Detector(detector.folder, detector.kinds, min_score=score)
    assert found == again.detect(IMAGE), "the same picture, the same boxes"
    for one in found:
        x1, y1, x2, y2 = one.box_px
        assert 0 <= x1 < x2 <= SIZE[0] and 0 <= y1 < y2 <= SIZE[1] and one.kind in detector.kinds


@pytest.mark.parametrize(
    "form",
    [
        {"image_processor_type": "OwlViTImageProcessor"},
        {"image_processor_type": "OwlViTImageProcessorFast"},
        {"feature_extractor_type": "OwlViTFeatureExtractor", "size": [64, 64]},
    ],
)
def test_folders_as_they_were_saved_over_the_years_need_no_torchvision(
    form: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(folder, tmp_path / "older"))
    images = json.loads((older / "processor_config.json").read_text())["image_processor"]
    (older / "processor_config.json").unlink()
    del images["image_processor_type"]
    images |= {**form, "processor_class": "OwlViTProcessor"}
    (older / "preprocessor_config.json").write_text(json.dumps(images))
    assert Detector(older, ["cat", "dog"], 0.0).detect(IMAGE) == Detector(folder, ["cat", "dog"], 0.0).detect(IMAGE)


def test_half_precision_is_widened(folder: Path, tmp_path: Path) -> None:
    half = Path(shutil.copytree(folder, tmp_path / "half"))
    transformers.OwlViTForObjectDetection.from_pretrained(folder).half().save_pretrained(half)
    found, whole = (Detector(f, ["cat", "dog"], 0.0).detect(IMAGE) for f in (half, folder))
    assert found[0].kind == whole[0].kind and found[0].score == pytest.approx(whole[0].score, abs=1e-2)


def test_labels_read_from_the_text_are_kinds_again(dino: Path) -> None:
    """[CLS] cat . potted plant . coffee table . t - shirt . plant table . [SEP]"""
    detector = Detector(dino, ["Cat", "potted plant", "coffee table", "t-shirt"])
    reads(detector, ({1}, 0.9), ({3, 4}, 0.8), ({7}, 0.7), ({9, 10, 11}, 0.6), ({1, 3}, 0.5), ({2}, 0.4))
    found = detector.detect(IMAGE)
    assert [d.kind for d in found] == ["cat", "potted plant", "coffee table", "t-shirt"]
    assert found[0].box_px == pytest.approx((20, 12, 60, 36), abs=1e-3)
    assert detector.unmapped == {"cat potted": 1, ".": 1}


def test_a_word_of_two_kinds_is_neither(dino: Path) -> None:
    """[CLS] coffee table . table plant . [SEP]; words below the usual threshold count where boxes do."""
    detector = Detector(dino, ["coffee table", "table plant"], min_score=0.1)
    reads(detector, ({2}, 0.9), ({1}, 0.2), ({4}, 0.2))
    assert [(d.kind, round(d.score, 2)) for d in detector.detect(IMAGE)] == [("coffee table", 0.2)]
    assert detector.unmapped == {"table": 2}


@pytest.mark.parametrize(("family", "kind"), [("folder", "cat" * 20), ("dino", "cat " * 40)])
def test_kinds_longer_than_the_model_reads_are_refused(family: str, kind: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ValueError, match="fewer or shorter"):
        Detector(request.getfixturevalue(family), [kind]).detect(IMAGE)


def test_boxes_are_pixels_of_the_picture_and_kinds_are_those_asked_for(folder: Path) -> None:
    detector = Detector(folder, ["Cat", "potted  plant"])
    says(detector, (0, 0.9, (0.5, 0.5, 0.5, 0.5)), (1, 0.6, (0.25, 0.75, 0.5, 0.5)), (1, 0.1, (0.1, 0.1, 0.1, 0.1)))
    first, second = detector.detect(IMAGE)
    assert (first.kind, second.kind) == ("cat", "potted plant")
    assert first.box_px == pytest.approx((20, 12, 60, 36), abs=1e-3)
    assert second.box_px == pytest.approx((0, 24, 40, 48), abs=1e-3)
    assert first.score == pytest.approx(0.9, abs=1e-4)


def test_owlv2_boxes_are_those_of_the_picture_and_not_of_its_padding(tmp_path: Path, tokenizer: Any) -> None:
    """OWLv2 pads to a square at the right and below: shares are of the longer side."""
    detector = Detector(tiny(tmp_path / "owl2", tokenizer, "Owlv2"), ["cat", "dog"])
    says(detector, (1, 0.9, (0.5, 0.25, 0.5, 0.25)))
    (one,) = detector.detect(IMAGE)
    assert one.kind == "dog" and one.box_px == pytest.approx((20, 10, 60, 30), abs=1e-3)


def test_boxes_are_clipped_and_doubles_of_one_kind_dropped(folder: Path) -> None:
    detector = Detector(folder, ["cat", "dog"])
    whole, other = (0.5, 0.5, 1.5, 1.5), (0.5, 0.5, 1.0, 0.9)
    says(detector, (0, 0.7, other), (0, 0.9, whole), (1, 0.8, other))
    found = detector.detect(IMAGE)
    assert [(d.kind, round(d.score, 2)) for d in found] == [("cat", 0.9), ("dog", 0.8)]
    assert found[0].box_px == (0, 0, 80, 48)


def test_what_stands_in_front_in_a_box_is_the_object(folder: Path, tmp_path: Path) -> None:
    detector = Detector(folder, ["cat", "dog"])
    says(detector, (1, 0.9, (0.5, 0.5, 0.5, 0.5)))
    (tmp_path / "a.color.png").write_bytes(image_png(IMAGE))
    z = np.full(SIZE[::-1], 5.0, np.float32)
    z[16:32, 30:50] = 2.0
    frame = Frame(tmp_path / "a.color.png", PinholeCamera.from_hfov(1.0, *SIZE), SE3.identity())
    found = detector.instances(frame, z)
    assert [(i.kind, i.name) for i in found.found] == [("dog", None)]
    assert np.array_equal(found.index == 0, z == 2.0)
    assert detector.solids("room") == ()


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def widen(weights: dict[str, torch.Tensor]) -> None:
    weights["class_head.dense0.bias"] = torch.zeros(3, 3)


@pytest.mark.parametrize("kinds", [[], [""], ["cat", " "], ["cat", "Cat"], ["no. 5"]])
def test_kinds_that_say_nothing_are_refused(kinds: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different words|no full stop"):
        Detector(tmp_path, kinds)


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda f: shutil.rmtree(f), "is not there"),
        (lambda f: (f / "config.json").unlink(), "must have the config.json"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "as safetensors.*convert a .bin"),
        (lambda f: change_weights(f, lambda w: w.pop("class_head.dense0.bias")), "1 are missing or of another shape"),
        (lambda f: change_weights(f, widen), "1 are missing or of another shape: class_head.dense0.bias"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 50), "that transformers loads"),
        (lambda f: (f / "config.json").write_text(json.dumps({"model_type": "bert"})), "that transformers loads"),
        (lambda f: (f / "config.json").write_text("{"), "that transformers loads"),
    ],
)
def test_a_folder_without_a_whole_detector_is_refused_in_one_line(
    harm: Any, text: str, folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    harm(copy)
    with pytest.raises(ValueError, match=text) as refused:
        Detector(copy, ["cat"]).detect(IMAGE)
    assert "\n" not in str(refused.value)


def test_without_transformers_it_is_said_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *args, **options)

    load.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[vision\]'"):
        Detector(folder, ["cat"]).detect(IMAGE)


def test_a_detection_says_what_where_and_how_sure() -> None:
    assert Detection("cat", 0.5, (0, 0, 1, 1)).kind == "cat"
