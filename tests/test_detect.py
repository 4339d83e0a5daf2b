"""The detector of the extra `vision`, on a tiny model made here; the code path is the one that real weights take."""

from __future__ import annotations

import json
import shutil
import socket
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

transformers = pytest.importorskip("transformers", reason="the extra `vision` is not installed")

SIZE = (80, 48)
IMAGE = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Letters alone, as CLIP's tokenizer has them."""
    letters = [chr(i) for i in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    return transformers.CLIPTokenizer(vocab={word: n for n, word in enumerate(words)}, merges=[], model_max_length=16)


def tiny(folder: Path, tokenizer: Any, family: str) -> Path:
    """A tiny untrained OWL-ViT or OWLv2 with its processor, saved as its authors save theirs."""
    torch.manual_seed(0)
    text = {"vocab_size": 600, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "max_position_embeddings": 16, "eos_token_id": 1, "pad_token_id": 1}
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


def says(detector: Detector, *rows: tuple[int, float, tuple[float, ...]]) -> None:
    """Make the loaded model answer (class, score, (cx, cy, w, h) in shares of what it sees) whatever it is shown."""
    logits = torch.full((1, len(rows), len(detector.kinds)), -20.0)
    for n, (kind, score, _) in enumerate(rows):
        logits[0, n, kind] = float(np.log(score / (1 - score)))
    answer = SimpleNamespace(logits=logits, pred_boxes=torch.tensor([[box for *_, box in rows]]))
    detector.__dict__["_loaded"] = (lambda **inputs: answer, detector._loaded[1])


def test_a_tiny_model_is_loaded_and_asked_without_the_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    detector = Detector(folder, ["cat", "potted plant"], min_score=0.0)
    found = detector.detect(IMAGE)
    assert found == detector.detect(IMAGE), "the same picture, the same boxes"
    for one in found:
        x1, y1, x2, y2 = one.box_px
        assert 0 <= x1 < x2 <= SIZE[0] and 0 <= y1 < y2 <= SIZE[1] and one.kind in detector.kinds


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


@pytest.mark.parametrize("kinds", [[], [""], ["cat", " "], ["cat", "Cat"]])
def test_kinds_that_say_nothing_are_refused(kinds: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different words"):
        Detector(tmp_path, kinds)


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (lambda f: shutil.rmtree(f), "is not there"),
        (lambda f: (f / "config.json").unlink(), "must have the config.json"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "weights as safetensors"),
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


def test_a_detection_says_what_where_and_how_sure() -> None:
    assert Detection("cat", 0.5, (0, 0, 1, 1)).kind == "cat"
