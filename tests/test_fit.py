"""From the command line to answers: a tiny head is trained, answers a dataset and is scored; and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from head_cases import TINY

from geom.warp import z_residual
from models.answering import Sure, answers, sure_of
from models.confidence import Calibration
from models.config import SIZES
from models.files import DatasetPairs
from models.fit import FitConfig, fit
from models.model import camera_of
from models.questions import read_questions
from models.run_folder import SETTINGS
from models.weights import load_model
from synth.pipeline import GenerateConfig, generate
from synth.prompts import question_text
from theodolite.cli import main

HOW = FitConfig(epochs=1, batches_per_epoch=2, rooms_per_batch=1, held_out=1, accelerator="cpu", devices=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rooms, with pictures."""
    root = tmp_path_factory.mktemp("data")
    generate(root, GenerateConfig(num_scenes=2, seed=4, image_size=(128, 96)))
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that has seen two rooms."""
    out = tmp_path_factory.mktemp("head") / "model"
    fit(out, TINY, HOW, show=False)
    return out


def test_the_whole_way_from_training_to_scores(data: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained / "predictions.jsonl"
    assert main(["eval", str(trained), "--data", str(data), "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert report["n"] == len(rows) == len(read_questions(data)) and not report["unread"]
    assert set(report["tasks"]) == {"A1", "A2", "A3", "A4", "D1", "D2", "D3", "D4"}


def test_answers_do_not_depend_on_the_batch(data: Path, trained: Path) -> None:
    config, model = load_model(trained)
    questions = read_questions(data)[:40]
    few, many = (answers(model, questions, config.image_size, size) for size in (3, 32))
    said = [[one.response(answer) for one, answer in zip(questions, each, strict=True)] for each in (few, many)]
    assert said[0] == said[1]


def test_who_must_be_surer_answers_less(data: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions, (config, model) = read_questions(data), load_model(trained)
    undecided = []
    for least in (0.0, 0.6, 0.9, 1.0):
        said = answers(model, questions, config.image_size, sure=sure_of(trained, least))
        undecided.append(sum(answer is None for answer in said))
        assert all(answer is not None for one, answer in zip(questions, said, strict=True) if one.task_type == "D1")
    assert undecided[0] == 0 < undecided[2] and sorted(undecided) == undecided
    call = ["eval", str(trained), "--data", str(data), "--out", str(trained / "p.jsonl"), "--undecided-below"]
    assert main([*call, "0.9", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (trained / "p.jsonl").read_text().count('"undecided"') == undecided[2] == sum(report["unread"].values())
    assert main([*call, "1.5"]) == 2 and "--undecided-below must be a chance" in capsys.readouterr().err
    (trained / "calibration.json").rename(trained / "elsewhere.json")
    assert main([*call, "0.5"]) == 2 and "was it copied along?" in capsys.readouterr().err
    (trained / "elsewhere.json").rename(trained / "calibration.json")


def test_the_twin_does_not_say_how_sure_it_is_of_motions(data: Path) -> None:
    with pytest.raises(ValueError, match="only the geometric one does"):
        answers(
            replace(TINY, kind="black_box").build(),
            read_questions(data),
            TINY.image_size,
            sure=Sure(0.5, Calibration()),
        )


def test_one_question_is_answered_in_its_words(data: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = next(q for q in read_questions(data) if q.task_type == "A2" and q.variant == "open")
    words = question_text(one.task_type, one.variant, dict(one.asked))
    call = ["answer", str(trained), "--images", *map(str, one.paths), "--question", words, "--json"]
    assert main([*call, "--hfov-deg", "75"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["task_type"] == "A2" and told["answer"].startswith("turn ")
    assert main(call) == 2 and "missing: --hfov-deg" in capsys.readouterr().err
    assert main([*call[:4], *call[5:], "--hfov-deg", "75"]) == 2
    assert "comes with 2 pictures, got 1" in capsys.readouterr().err


def test_the_same_call_is_done_and_another_is_refused(trained: Path) -> None:
    weights = (trained / "model.safetensors").read_bytes()
    assert fit(trained, TINY, HOW, show=False) is not None
    assert (trained / "model.safetensors").read_bytes() == weights
    with pytest.raises(ValueError, match="was begun with epochs = 1, this call has 3"):
        fit(trained, TINY, replace(HOW, epochs=3), show=False)
    with pytest.raises(ValueError, match="was begun with width = 24, this call has 48"):
        fit(trained, replace(TINY, width=48), HOW, show=False)


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Each on rooms of its own; lightning starts the second one by the same command."""
    call = "--epochs 1 --batches-per-epoch 2 --rooms-per-batch 1 --size small --image-size 64 48 --accelerator cpu"
    call += " --devices 2 --strategy ddp --json"
    command = [sys.executable, "-m", "theodolite", "train", "head", "--out", str(tmp_path / "m"), *call.split()]
    ran = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert json.loads(ran.stdout)["metrics"]["epoch"] == 0
    assert load_model(tmp_path / "m")[0] == replace(SIZES["small"], image_size=(64, 48))
    state = torch.load(tmp_path / "m" / "state" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 2


def test_patience_ends_with_the_best_model_and_the_same_call_is_done(tmp_path: Path) -> None:
    """At so high a rate it only gets worse."""
    how = replace(HOW, epochs=4, patience=1, learning_rate=0.1)
    fit(tmp_path / "m", TINY, how, show=False)
    rows = [json.loads(line) for line in (tmp_path / "m" / "metrics.jsonl").read_text().splitlines()]
    best = min(range(len(rows)), key=lambda n: rows[n]["val/loss"])
    assert best == len(rows) - 2 and len(rows) < 4
    kept = torch.load(tmp_path / "m" / "state" / "best.ckpt", weights_only=True)
    assert kept["epoch"] == best
    _, model = load_model(tmp_path / "m")
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept["state_dict"][f"model.{name}"]), name
    assert fit(tmp_path / "m", TINY, how, show=False) == rows[-1]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="must be a new or empty folder"):
        fit(tmp_path, TINY, HOW, show=False)
    assert not (tmp_path / SETTINGS).exists()


def test_pairs_of_a_dataset_are_true(data: Path) -> None:
    pairs = DatasetPairs(data, TINY.image_size)
    shown = 0
    for one in (pairs[i] for i in range(len(pairs))):
        camera = camera_of(one)
        off = z_residual(one.z_depth[:, 0], camera, one.T_a_b.inverse(), one.z_depth[:, 1], camera)
        known = off[off.isfinite()].abs()
        if len(known) >= 300:
            assert float(known.median()) < 0.03
            shown += 1
    assert shown > len(pairs) / 3
    boxes = torch.cat([pairs[i].box.flatten(0, 2) for i in range(len(pairs))])
    known = boxes[boxes.isfinite().all(-1)]
    assert len(known) > 20 and float(known[:, 2].max()) <= 64 + 1e-3 and float(known[:, 3].max()) <= 48 + 1e-3


def test_a_dataset_is_trained_on_and_no_scene_is_on_both_sides(data: Path, tmp_path: Path) -> None:
    train, held_out = DatasetPairs(data, TINY.image_size).split()
    assert train.indices and held_out.indices and not set(train.indices) & set(held_out.indices)
    assert len(train) + len(held_out) == len(DatasetPairs(data, TINY.image_size))
    whole = torch.cat([train[i].image[:, 0].flatten(1) for i in range(len(train))])
    assert not any(bool((whole == other.image[0, 0].flatten()).all(1).any()) for other in held_out)
    call = "--epochs 1 --batches-per-epoch 2 --rooms-per-batch 1 --size small --image-size 64 48 --accelerator cpu"
    assert main(["train", "head", "--data", str(data), "--out", str(tmp_path / "m"), *call.split()]) == 0
    assert load_model(tmp_path / "m")[0] == replace(SIZES["small"], image_size=(64, 48))


def test_a_folder_without_a_model_is_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(tmp_path), "--data", str(data), "--out", str(tmp_path / "p.jsonl")]) == 2
    assert "holds no trained model" in capsys.readouterr().err
