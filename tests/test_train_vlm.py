"""The commands for vision-language models: train, eval, answer, view; recipes; what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from vlm_cases import tiny_folder

import theodolite.train_vlm as command
from models import vlm_answers
from models.adapter import Adapter, AdapterConfig
from models.vlm_answers import of_benchmark, of_dataset, write_vlm_answers
from models.vlm_folder import load_vlm
from synth.drawings import num
from synth.predictions import read_said
from theodolite.cli import main
from theodolite.options import read_options

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning")
ON_CPU = ["--accelerator", "cpu", "--devices", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, a tiny head, a dataset of two rooms, and an adapter of all weights with geometry tokens."""
    root = tiny_folder(tmp_path_factory.mktemp("vlm"))
    torch.manual_seed(0)
    Adapter.new(AdapterConfig(str(root / "smol"), rank=0, head=str(root / "head"))).save(root / "adapter")
    return root


def test_the_whole_way(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Generate, fine-tune, reinforce, answer, score, look: by the commands alone."""

    def run(*words: Any) -> dict[str, Any]:
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    data, said = tmp_path / "data", tmp_path / "said.jsonl"
    run("generate", "--out", data, "--num-scenes", 2, "--image-size", 64, 64, "--workers", 1)
    tune = ["train", "vlm", "--data", data, "--accelerator", "cpu"]
    tuned = run(
        *(*tune, "--stage", "sft", "--base", folder / "smol", "--head", folder / "head", "--out", tmp_path / "sft"),
        *("--rank", 0, "--epochs", 2, "--accumulate", 1, "--learning-rate", 3e-3, "--devices", 1),
    )
    assert tuned["metrics"]["val/answer"] < 5.5, "less than one of all words alike"
    run(
        *(*tune, "--stage", "grpo", "--start", tmp_path / "sft", "--out", tmp_path / "grpo", "--kl", 0),
        *("--per-task", 1, "--most-tokens", 8, "--merged", tmp_path / "merged"),
    )
    assert load_vlm(str(tmp_path / "merged"))[0].config.model_type == "smolvlm"
    report = run("eval", tmp_path / "grpo", "--data", data, "--out", said, "--most-tokens", 12)
    assert report["n"] == len((data / "Render-SimulatedScene" / "tasks.jsonl").read_text().splitlines())
    assert run("score", said, "--data", data)["scores"] == report["scores"]
    page = run("view", data, "--predictions", said, "--limit", 20, "--out", tmp_path / "view.html")
    assert page["shown"] == 20 and (tmp_path / "view.html").read_text().count("What the model says") == 20


def test_boxes_of_predictions_are_drawn_where_their_unit_puts_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In pixels of the picture as Qwen2.5-VL resizes it, 64 to 56."""
    rows = [json.loads(line) for line in (folder / "data/Render-SimulatedScene/tasks.jsonl").read_text().splitlines()]
    box, other = (next(row["id"] for row in rows if row["task_type"] == task) for task in ("D1", "A1"))
    said = [{"id": box, "response": "[14, 28, 42, 56]"}, {"id": other, "response": "no idea"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    call = ["view", str(folder / "data"), "--predictions", str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "v.html")]
    assert main([*call, "--model-family", "qwen2.5-vl"]) == 0
    capsys.readouterr()
    page = (tmp_path / "v.html").read_text()
    assert f'x="{num(16)}" y="{num(32)}" width="{num(32)}" height="{num(32)}"' in page
    assert (
        page.count('<article class="card"') == 2
        and "score 0.00: no action found" in page
        and "box that the model says" in page
    )
    found = read_said(tmp_path / "p.jsonl", folder / "data")
    assert found[box].box_px == pytest.approx((0.896, 1.792, 2.688, 3.584)) and found[other].box_px is None


def test_answers_that_were_cut_off_go_on_where_they_were(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, place = Adapter.load(folder / "adapter"), folder / "adapter"
    out, begun = tmp_path / "said.jsonl", tmp_path / ".said.jsonl.begun"
    asking, answers, asked = of_dataset(adapter, folder / "data"), Adapter.answers, []
    whole = tmp_path / "whole.jsonl"
    write_vlm_answers(adapter, place, asking, whole, most_tokens=4)

    def cut_off(self: Adapter, questions: Any, most_tokens: int) -> list[str]:
        asked.append(len(questions))
        if len(asked) == 3:
            raise RuntimeError("cut off")
        return answers(self, questions, most_tokens)

    with monkeypatch.context() as during, pytest.raises(RuntimeError, match="cut off"):
        during.setattr(Adapter, "answers", cut_off)
        write_vlm_answers(adapter, place, asking, out, batch_size=5, most_tokens=4)
    assert not out.exists() and len(begun.read_text().splitlines()) == 11
    with begun.open("a") as file:
        file.write('{"id": "half a li')
    with pytest.raises(ValueError, match="was begun with most_tokens = 4, this call has 5"):
        write_vlm_answers(adapter, place, asking, out, most_tokens=5)
    again = shutil.copytree(place, tmp_path / "again")
    with pytest.raises(ValueError, match="was begun with model = "):
        write_vlm_answers(adapter, again, asking, out, most_tokens=4)
    weights, written = place / "head" / "model.safetensors", (place / "head" / "model.safetensors").stat().st_mtime_ns
    os.utime(weights, ns=(written, written + 10**12))
    with pytest.raises(ValueError, match="was begun with written_ns = "):
        write_vlm_answers(adapter, place, asking, out, most_tokens=4)
    os.utime(weights, ns=(written, written))
    told: list[tuple[int, int]] = []
    write_vlm_answers(
        adapter, place, asking, out, batch_size=7, most_tokens=4, progress=lambda *counts: told.append(counts)
    )
    assert out.read_bytes() == whole.read_bytes() and not begun.exists()
    assert told[0][0] == 17 and told[-1] == (len(asking.ids), len(asking.ids))


def test_a_published_benchmark_is_answered_and_scored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next((folder / "data").rglob("samples-rgb/*.png")).read_bytes()
    row = {"image_bytes": [picture, picture], "question": "How?", "answers": ["left", "right"]}
    row |= {"question_type": "ego_movement", "correct_answer": "right"}
    (tmp_path / "sat").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "sat" / "SAT_test.parquet")
    call = ["eval", str(folder / "adapter"), "--benchmark", "sat", "--data", str(tmp_path / "sat")]
    assert main([*call, "--out", str(tmp_path / "p.jsonl"), "--most-tokens", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["benchmark"] == "sat" and report["n"] == 2 and report["unanswered"] == 0
    # A head knows nothing of such questions, and pictures without intrinsics tell the model's head nothing.
    assert main(["eval", str(folder / "head"), *call[2:], "--out", str(tmp_path / "q.jsonl")]) == 2
    assert "--benchmark is for vision-language models" in capsys.readouterr().err
    asking = of_benchmark("sat", tmp_path / "sat", frames=8)
    assert all(not one.geometry and len(one.opened()) == 2 for one in asking.ask([0, 1]))


def test_pictures_of_mindcube_are_shown(folder: Path, tmp_path: Path) -> None:
    picture = next((folder / "data").rglob("samples-rgb/*.png"))
    row = {"id": "among_1", "question": "What is left? A. Door B. Lamp", "images": ["x/1.png"] * 4, "gt_answer": "A"}
    for place in ("raw", "x"):
        (tmp_path / place).mkdir()
    (tmp_path / "raw" / "MindCube_tinybench.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "x" / "1.png").write_bytes(picture.read_bytes())
    (asked,) = of_benchmark("mindcube", tmp_path, frames=8).ask([0])
    assert [shown.size for shown in asked.opened()] == [(64, 64)] * 4 and asked.text.endswith("A. Door B. Lamp")


def test_frames_of_a_video_are_taken_evenly_from_first_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from synth.film import Film

    def film(path: Path) -> Film:
        frames = [np.full((4, 6, 3), n, np.uint8) for n in range(11)]
        return Film(str(path), (6, 4), lambda: iter(frames), 11)

    monkeypatch.setattr(vlm_answers, "film_of_video", film)
    row = {
        "id": 3,
        "dataset": "scannet",
        "scene_name": "s",
        "question_type": "object_counting",
        "question": "How many?",
    }
    (tmp_path / "test.jsonl").write_text(json.dumps(row | {"ground_truth": "4", "options": None}) + "\n")
    shown = {n: of_benchmark("vsi-bench", tmp_path, n).ask([0])[0].opened() for n in (3, 20)}
    assert [int(np.asarray(picture).max()) for picture in shown[3]] == [0, 5, 10] and len(shown[20]) == 11


def test_one_question_is_answered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = list(map(str, sorted((folder / "data").rglob("samples-rgb/*.png"))[:2]))
    call = ["answer", str(folder / "adapter"), "--images", *pictures, "--question", "What moved?"]
    assert main([*call, "--hfov-deg", "70", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"answer"}
    assert main(call) == 2 and "missing: --hfov-deg" in capsys.readouterr().err
    assert main([*call, "--hfov-deg", "70", "--undecided-below", "0.5"]) == 2
    assert "does not say how sure it is" in capsys.readouterr().err


def test_two_processes_tune_one_model(folder: Path, tmp_path: Path) -> None:
    """With a head that does not learn, for which no process may wait."""
    call = f"--stage sft --base {folder / 'smol'} --head {folder / 'head'} --data {folder / 'data'} --rank 4 --json"
    call += f" --out {tmp_path / 'm'} --accelerator cpu --devices 2 --strategy ddp --batch-size 4 --loader-workers 1"
    words = [sys.executable, "-m", "theodolite", "train", "vlm", *call.split()]
    ran = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert json.loads(ran.stdout)["metrics"]["epoch"] == 0 and Adapter.load(tmp_path / "m").config.rank == 4
    state = torch.load(tmp_path / "m" / "state" / "last.ckpt", weights_only=True)
    assert not any(name.startswith("adapter.head.") for name in state["state_dict"])


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("sft", ["--base", "b"], {"rank": 256, "alpha": 512, "learning_rate": 1e-5, "batch_size": 8, "devices": "8"}),
        ("grpo", [], {"per_task": 125, "generations": 4, "learning_rate": 1e-6, "kl": 0.01}),
    ],
)
def test_recipes_are_options_of_the_command(name: str, more: list[str], expected: dict[str, Any]) -> None:
    path = Path(__file__).parents[1] / "models" / f"world2vlm_{name}.yaml"
    words = ["--config", str(path), "--data", "d", "--out", "o", *more]
    options = read_options(command.Options, words, prog="p", description="d", example="e")
    assert {key: getattr(options, key) for key in expected} == expected
    said = yaml.safe_load(path.read_text())
    assert {key: str(getattr(options, key)) for key in said} == {key: str(value) for key, value in said.items()}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--stage", "sft"], "--stage sft needs --base"),
        (["--stage", "grpo"], "--stage grpo needs --start"),
        (["--stage", "grpo", "--start", "s", "--rank", "8"], "--rank is of --stage sft, got --stage grpo"),
        (["--stage", "sft", "--base", "b", "--per-task", "8"], "--per-task is of --stage grpo, got --stage sft"),
        (["--stage", "sft", "--base", "b", "--rank", "-1"], "--rank must be 0 or more"),
        (["--stage", "sft", "--base", "b", "--batch-size", "0"], "--batch-size must be 1 or more, got 0"),
        (["--stage", "grpo", "--start", "s", "--generations", "1"], "--generations must be 2 or more"),
        (["--stage", "sft", "--base", "b", "--geometry-weight", "1"], "--geometry-weight must be 0 where there is no"),
        (["--stage", "sft", "--base", "b", "--merged", "o"], "--merged must be another folder than --out"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    assert main(["train", "vlm", "--data", "d", "--out", "o", *words]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"theodolite: error: {line}")


def test_a_folder_without_a_model_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["train", "vlm", "--stage", "sft", "--data", str(folder / "data"), "--out", str(tmp_path / "o")]
    assert main([*call, "--base", str(folder / "head")]) == 2
    assert f"{folder / 'head'} must be the folder of an image-text model" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--strategy", "fsdp_cpu_offload"], "--strategy must be one that clips gradients over all weights"),
        (["--accelerator", "cpu", "--devices", "many"], "accelerator, devices, strategy and precision must be some"),
    ],
)
def test_devices_that_are_not_there_leave_no_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    call = ["train", "vlm", "--stage", "sft", "--base", str(folder / "smol"), "--data", str(folder / "data")]
    assert main([*call, "--out", str(tmp_path / "o"), *words]) == 2
    assert f"theodolite: error: {line}" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_what_cannot_be_scored_is_not_asked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Adapter.new(AdapterConfig(str(folder / "qwen2_5"), rank=0)).save(tmp_path / "pixels")
    call = ["eval", str(tmp_path / "pixels"), "--data", str(folder / "data"), "--out", str(tmp_path / "p.jsonl")]
    assert main([*call, "--metric", "world2vlm"]) == 2 and "this model writes pixels" in capsys.readouterr().err
    assert main([*call, "--device", "abacus"]) == 2 and "--device must be one that torch" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pixels"]


def test_a_merged_model_goes_into_a_new_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    call = [
        "train",
        "vlm",
        "--stage",
        "sft",
        "--base",
        "b",
        "--data",
        str(folder / "data"),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*call, "--merged", str(tmp_path)]) == 2
    assert "--merged must be a new or empty folder" in capsys.readouterr().err and not (tmp_path / "o").exists()
