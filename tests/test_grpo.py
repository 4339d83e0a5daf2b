"""Reinforcement by exact rewards: reward rises on what can be learned, an interrupted run goes on, limits are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vlms
import torch
from vlm_cases import FAMILIES, tiny_folder

from models.adapter import Adapter, AdapterConfig
from models.chat import encoded
from models.grpo import _REWARDS, GrpoConfig, grpo
from synth.export import read_examples
from synth.pipeline import GenerateConfig, generate

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models with an adapter each, `start_FAMILY`, a tiny head and a dataset of two rooms."""
    root = tiny_folder(tmp_path_factory.mktemp("grpo"))
    for family in FAMILIES:
        torch.manual_seed(0)
        made = Adapter.new(AdapterConfig(str(root / family), rank=4, head=str(root / "head")))
        # What was learned before: held to the bare model it would be far off.
        with torch.no_grad():
            for name, p in made.trained(with_head=False).items():
                if "lora_B" in name:
                    p.normal_(std=0.3)
        made.save(root / f"start_{family}")
    return root


def config(folder: Path, start: str, **more: Any) -> GrpoConfig:
    how: dict[str, Any] = {"per_task": 1, "most_tokens": 6, "accelerator": "cpu", "data": str(folder / "data")}
    return GrpoConfig(start=str(folder / start), **how | more)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_goes_on_with_its_lora_and_is_held_to_where_it_started(
    folder: Path, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions of one picture and of two, with geometry tokens, in one batch."""
    # Models that know no word get nothing from the exact metric.
    monkeypatch.setitem(_REWARDS, "exact", lambda completions, **_: [float(len(str(one)) % 7) for one in completions])
    how = config(folder, f"start_{family}", kl=0.1, learning_rate=1e-2)
    found = grpo(tmp_path / "g", how, show=False)
    first = json.loads((tmp_path / "g" / "metrics.jsonl").read_text().splitlines()[0])
    assert abs(first["kl"]) < 1e-6 < found["kl"] and found["epoch"] == 1
    before, after = (Adapter.load(path) for path in (folder / f"start_{family}", tmp_path / "g"))
    theirs, mine = (one.trained(with_head=False) for one in (before, after))
    changed = {name for name, p in mine.items() if not torch.equal(p, theirs[name])}
    assert changed and all("lora_" in name for name in changed)
    assert {path.name for path in (tmp_path / "g" / "lora").iterdir()} == {
        path.name for path in (folder / f"start_{family}" / "lora").iterdir()
    }
    assert grpo(tmp_path / "g", how, show=False) == found


@pytest.mark.parametrize("family", ["qwen2_5", "qwen3"])
def test_kinds_of_tokens_stand_where_the_tokens_do(
    folder: Path, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions are of different lengths, and some have one picture, some two."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    prepared, seen = GRPOTrainer._prepare_inputs, []

    def looked_at(self: GRPOTrainer, batch: Any) -> Any:
        made = prepared(self, batch)
        is_picture = torch.cat([made["prompt_ids"], made["completion_ids"]], 1) == self.model.config.image_token_id
        seen.append(torch.equal(made["mm_token_type_ids"] == 1, is_picture) and bool(is_picture.any(1).all()))
        return made

    monkeypatch.setattr(GRPOTrainer, "_prepare_inputs", looked_at)
    grpo(tmp_path / "g", config(folder, f"start_{family}", questions=4), show=False)
    assert seen and all(seen)


def test_reward_rises_on_what_can_be_learned(tmp_path: Path) -> None:
    """True or false, for a model that knows the words alone: taught answers that belong to other questions."""
    torch.manual_seed(0)
    tiny_vlms.smol(tmp_path / "smol")
    settings = GenerateConfig(num_scenes=3, seed=5, image_size=(64, 64), tasks=("A4",), phrasing="open")
    generate(tmp_path / "data", settings)
    adapter = Adapter.new(AdapterConfig(str(tmp_path / "smol"), rank=0)).train()
    some = list(read_examples(tmp_path / "data", adapter.unit))
    answers = [one.answer for one in some]
    batch = encoded(adapter.processor, adapter.asked(some), answers[1:] + answers[:1])
    optimizer = torch.optim.Adam(adapter.trained(with_head=False).values(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        adapter.loss(batch).backward()
        optimizer.step()
    adapter.save(tmp_path / "start")
    how = config(tmp_path, "start", per_task=None, questions=4, generations=16, epochs=8, learning_rate=1e-3, kl=0)
    grpo(tmp_path / "g", how, show=False)
    reward = [json.loads(line)["reward"] for line in (tmp_path / "g" / "metrics.jsonl").read_text().splitlines()]
    assert np.mean(reward[-8:]) > np.mean(reward[:8]) + 0.08, reward


def test_an_interrupted_run_goes_on_from_its_last_state(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same weights, also where a later state was cut off while it was written."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    monkeypatch.setitem(_REWARDS, "exact", lambda completions, **_: [float(len(str(one)) % 7) for one in completions])
    how = config(folder, "start_smol", save_every=2, learning_rate=1e-2)
    grpo(tmp_path / "whole", how, show=False)
    step = GRPOTrainer.training_step
    begun = []

    def cut_off(self: GRPOTrainer, *args: Any) -> torch.Tensor:
        begun.append(self.state.global_step)
        if len(begun) == 4:
            raise RuntimeError("cut off")
        return step(self, *args)

    with monkeypatch.context() as during, pytest.raises(RuntimeError, match="cut off"):
        during.setattr(GRPOTrainer, "training_step", cut_off)
        grpo(tmp_path / "g", how, show=False)
    assert begun == [0, 1, 2, 3] and not (tmp_path / "g" / "adapter.json").exists()
    with pytest.raises(ValueError, match="was begun with generations = 4, this call has 2"):
        grpo(tmp_path / "g", config(folder, "start_smol", save_every=2, learning_rate=1e-2, generations=2), show=False)
    (tmp_path / "g" / "state" / "checkpoint-3").mkdir()

    def counted(self: GRPOTrainer, *args: Any) -> torch.Tensor:
        begun.append(self.state.global_step)
        return step(self, *args)

    monkeypatch.setattr(GRPOTrainer, "training_step", counted)
    grpo(tmp_path / "g", how, show=False)
    assert begun[4:] == [2, 3] and (tmp_path / "g" / "adapter.json").is_file()
    rows = [json.loads(line) for line in (tmp_path / "g" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    rates = [row["learning_rate"] for row in rows]
    assert rates[0] < rates[1] == how.learning_rate > rates[2] > rates[3], "rises, then falls"
    mine, whole = (Adapter.load(tmp_path / run).trained(with_head=False) for run in ("g", "whole"))
    for name, p in whole.items():
        torch.testing.assert_close(mine[name], p, atol=1e-4, rtol=1e-3)


def test_two_processes_share_the_questions_and_one_reports(folder: Path, tmp_path: Path) -> None:
    settings = {"stage": "grpo", "start": str(folder / "start_smol"), "questions": 1, "most_tokens": 6, "per_task": 1}
    (tmp_path / "c.yaml").write_text(json.dumps(settings | {"accelerator": "cpu", "json": True}))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "-m",
        "theodolite",
        "train",
        "vlm",
    ]
    words = ["--config", tmp_path / "c.yaml", "--data", folder / "data", "--out", tmp_path / "g"]
    root = Path(__file__).parents[1]
    ran = subprocess.run([*launch, *map(str, words)], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert json.loads(ran.stdout)["metrics"]["step"] == 4 and Adapter.load(tmp_path / "g").config.rank == 4


def test_all_weights_are_held_to_nothing(folder: Path, tmp_path: Path) -> None:
    Adapter.new(AdapterConfig(str(folder / "smol"), rank=0)).save(folder / "whole")
    with pytest.raises(ValueError, match=r"kl must be 0 where all weights are trained, got 0\.01"):
        grpo(tmp_path / "g", config(folder, "whole"), show=False)
    assert not (tmp_path / "g").exists()


def test_there_must_be_enough_questions_and_the_published_reward_reads_thousandths(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="questions must be at most those that there are to train on, 8 on 1 devices"):
        grpo(tmp_path / "g", config(folder, "start_smol", questions=9), show=False)
    with pytest.raises(ValueError, match="reads boxes in thousandths alone"):
        grpo(tmp_path / "g", config(folder, "start_qwen2_5", reward="world2vlm"), show=False)
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_weights_that_answer_are_not_shared_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(ValueError, match=f"must have the whole model where it answers, but accelerate .* use {kind}"):
        grpo(tmp_path / "g", config(folder, "start_smol"), show=False)
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": "tpu"}, "accelerator must be one of auto, cpu, got 'tpu'"),
        ({"generations": 1}, "generations must be 2 or more"),
        ({"questions": 0}, "questions must be 1 or more, got 0"),
        ({"per_task": 0}, "per_task must be 1 or more, got 0"),
        ({"precision": "64"}, "precision must be one of 32-true, bf16-mixed, 16-mixed, got '64'"),
        ({"reward": "own"}, "reward must be one of exact, world2vlm, got 'own'"),
        ({"kl": -1.0}, "kl must be 0 or more, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GrpoConfig("data", "start", **options)


def test_it_starts_from_an_adapter(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no adapter: adapter\.json is needed"):
        grpo(tmp_path / "g", config(folder, "smol"), show=False)
    assert not (tmp_path / "g").exists()
