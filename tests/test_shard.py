"""Weights shared out over two processes: the same model as where each has all of them, also after an interruption."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from vlm_cases import tiny_folder

from models.adapter import Adapter, AdapterConfig
from models.run_folder import claim
from models.sft import SftConfig, _settings, sft
from models.vlm_folder import load_vlm

# Each process says how much of the trained weights it holds; the last word of the call is the step to stop in.
RUN = """
import sys
from torch.distributed.tensor import DTensor
from models.sft import SftModule
from theodolite.cli import main

*words, last = sys.argv[1:]
step = SftModule.training_step


def watched(self, batch, number):
    if str(self.global_step) == last:
        raise RuntimeError("cut off")
    if not (number or self.current_epoch):
        held = [p.to_local() if isinstance(p, DTensor) else p for p in self._trained.values()]
        print("held", sum(p.numel() for p in held), file=sys.stderr, flush=True)
    return step(self, batch, number)


SftModule.training_step = watched
sys.exit(main(words))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, one with weights of half precision, a tiny head and a dataset of two rooms."""
    root = tiny_folder(tmp_path_factory.mktemp("vlm"))
    shutil.copytree(root / "qwen2_5", root / "half")
    load_vlm(str(root / "qwen2_5"))[0].to(torch.bfloat16).save_pretrained(root / "half")
    (root / "run.py").write_text(RUN)
    return root


def tuned(folder: Path, out: Path, strategy: str, family: str, *, rank: int, stop_in: int = -1) -> str:
    """What a run of two processes says on stderr."""
    call = f"train vlm --stage sft --base {folder / family} --head {folder / 'head'} --data {folder / 'data'}"
    call += f" --rank {rank} --accelerator cpu --devices 2 --strategy {strategy} --batch-size 4 --loader-workers 1"
    call += f" --epochs 2 --learning-rate 1e-3 --json --out {out} {stop_in}"
    repository = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, str(folder / "run.py"), *call.split()],
        cwd=repository,
        env={"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) == (stop_in < 0), ran.stderr[-3000:]
    return ran.stderr


def learned(out: Path) -> dict[str, Any]:
    adapter = Adapter.load(out)
    return adapter.trained(with_head=False)


def test_weights_that_are_shared_out_learn_what_whole_ones_do(folder: Path, tmp_path: Path) -> None:
    """All weights, with gradients clipped over them, and two batches to a step; each process holds half of them."""
    said = {name: tuned(folder, tmp_path / name, name, "smol", rank=0).splitlines() for name in ("ddp", "fsdp")}
    held = {name: [int(line.split()[1]) for line in lines if line[:5] == "held "] for name, lines in said.items()}
    assert held["ddp"] == [sum(held["fsdp"])] * 2 and max(held["fsdp"]) < 0.6 * sum(held["fsdp"]), held
    mine, theirs = (learned(tmp_path / name) for name in ("fsdp", "ddp"))
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)
    first = Adapter.new(AdapterConfig(str(folder / "smol"), rank=0)).trained(with_head=False)
    assert max(float((mine[name] - p).detach().abs().max()) for name, p in first.items()) > 1e-3
    metrics = [json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1]) for name in ("fsdp", "ddp")]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-5)


def test_an_interrupted_run_of_lora_goes_on_with_its_shares(folder: Path, tmp_path: Path) -> None:
    assert "cut off" in tuned(folder, tmp_path / "cut", "fsdp", "half", rank=4, stop_in=6)
    assert (tmp_path / "cut" / "state" / "last.ckpt").is_file() and not (tmp_path / "cut" / "adapter.json").exists()
    for name, strategy in (("cut", "fsdp"), ("whole", "ddp")):
        tuned(folder, tmp_path / name, strategy, "half", rank=4)
    mine, theirs = (learned(tmp_path / name) for name in ("cut", "whole"))
    # Frozen weights in half precision round what passes through them. These weights started from nothing.
    whole, found = (
        torch.cat([p.detach().flatten() for name, p in of.items() if "lora_B" in name]) for of in (theirs, mine)
    )
    ratio = float((found - whole).norm() / whole.norm())
    assert float(whole.norm()) > 0.1 and ratio < 0.1, ratio
    rows = [json.loads(line) for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1], "the first epoch was not run again"
    state = torch.load(tmp_path / "cut" / "state" / "last.ckpt", weights_only=True)["state_dict"]
    assert {name.removeprefix("adapter.") for name in state} == mine.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"geometry_weight": 0.5}, "geometry_weight must be 0 with strategy fsdp, .* got 0.5"),
        ({"precision": "16-mixed"}, "precision must be 32-true or bf16-mixed with strategy fsdp, got '16-mixed'"),
    ],
)
def test_what_shares_cannot_do_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SftConfig("d", strategy="fsdp", **options)


def test_shares_do_not_go_on_from_whole_weights(folder: Path, tmp_path: Path) -> None:
    """Adam's moments of whole weights have numbers, and shares would take them for other weights'; nor the reverse."""
    config, how = AdapterConfig(str(folder / "smol")), SftConfig(str(folder / "data"), accelerator="cpu")
    claim(tmp_path / "m", _settings(config, how))
    with pytest.raises(ValueError, match="was begun with strategy = 'whole weights', this call has 'fsdp'"):
        sft(tmp_path / "m", config, replace(how, strategy="fsdp"), show=False)
    claim(tmp_path / "s", _settings(config, replace(how, strategy="fsdp")))
    with pytest.raises(ValueError, match="was begun with strategy = 'fsdp', this call has 'whole weights'"):
        sft(tmp_path / "s", config, how, show=False)


def test_a_model_without_layers_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = AdapterConfig(str(folder / "smol"), rank=0)
    monkeypatch.setattr("transformers.PreTrainedModel.get_decoder", lambda self: self.get_input_embeddings())
    with pytest.raises(ValueError, match="strategy fsdp shares out layers, but smolvlm lists none: use ddp"):
        sft(tmp_path / "m", config, SftConfig(str(folder / "data"), strategy="fsdp"), show=False)
    assert not (tmp_path / "m").exists()
