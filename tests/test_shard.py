"""Weights shared out over two processes: the same model as where each has all of them, also after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from vlm_cases import tiny_folder

from models.adapter import Adapter, AdapterConfig
from models.sft import SftConfig

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
    """Tiny models, a tiny head and a dataset of two rooms."""
    root = tiny_folder(tmp_path_factory.mktemp("vlm"))
    (root / "run.py").write_text(RUN)
    return root


def tuned(folder: Path, out: Path, strategy: str, family: str, *, rank: int, stop_in: int = -1) -> str:
    """What a run of two processes says on stderr."""
    call = f"train vlm --stage sft --base {folder / family} --head {folder / 'head'} --data {folder / 'data'}"
    call += f" --rank {rank} --accelerator cpu --devices 2 --strategy {strategy} --batch-size 4 --epochs 2"
    call += f" --learning-rate 1e-3 --json --out {out} {stop_in}"
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
    assert "cut off" in tuned(folder, tmp_path / "cut", "fsdp", "qwen2_5", rank=4, stop_in=6)
    assert not (tmp_path / "cut" / "adapter.json").exists()
    for name, strategy in (("cut", "fsdp"), ("whole", "ddp")):
        tuned(folder, tmp_path / name, strategy, "qwen2_5", rank=4)
    mine, theirs = (learned(tmp_path / name) for name in ("cut", "whole"))
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)
    assert max(float(p.detach().abs().max()) for name, p in mine.items() if "lora_B" in name) > 1e-3
    state = torch.load(tmp_path / "cut" / "state" / "last.ckpt", weights_only=True)["state_dict"]
    assert {name.removeprefix("adapter.") for name in state} == mine.keys()


def test_a_head_that_learns_is_not_shared_out() -> None:
    with pytest.raises(ValueError, match="geometry_weight must be 0 with strategy fsdp, .* got 0.5"):
        SftConfig("d", strategy="fsdp", geometry_weight=0.5)
