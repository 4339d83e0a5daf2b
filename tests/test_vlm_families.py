"""Other families of vision-language models than those of the other tests: each is told, learns, answers, is merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_vlms
import torch
from vlm_cases import tiny_folder

from models.adapter import Adapter, AdapterConfig
from models.chat import IGNORED, Question, encoded
from models.grpo import GrpoConfig, grpo
from models.sft import SftConfig, sft
from models.vlm_folder import load_vlm
from synth.box_units import THOUSANDTHS
from synth.export import read_examples

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny head and a dataset of two rooms."""
    return tiny_folder(tmp_path_factory.mktemp("vlm"), families=())


@pytest.mark.parametrize("family", ["gemma3", "idefics3", "internvl", "llava_onevision", "qwen2"])
def test_any_family_goes_the_whole_way(folder: Path, tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    getattr(tiny_vlms, family)(tmp_path / "base")
    adapter = Adapter.new(AdapterConfig(str(tmp_path / "base"), rank=4, head=str(folder / "head")))
    assert adapter.unit is THOUSANDTHS
    found = {one.task_type: one for one in read_examples(folder / "data", adapter.unit)}
    some, answers = list(found.values()), [one.answer for one in found.values()]
    batch = encoded(adapter.processor, adapter.asked(some), answers)
    adapter.loss(batch).backward()
    learned = adapter.trained(with_head=False)
    assert all(p.grad is not None for p in learned.values())
    assert any("lora_" in name for name in learned) and not any("vis" in name for name in learned)
    told = [
        adapter.processor.tokenizer.decode(row[row != IGNORED], skip_special_tokens=True) for row in batch["labels"]
    ]
    assert [text.strip() for text in told] == answers
    together = adapter.eval().answers(adapter.asked(some), 6)
    assert together == [adapter.answers(adapter.asked([one]), 6)[0] for one in some]
    sft(tmp_path / "sft", adapter.config, SftConfig(str(folder / "data"), accelerator="cpu", devices=1), show=False)
    adapter = Adapter.load(tmp_path / "sft")
    if family == "llava_onevision":
        with pytest.raises(ValueError, match="trl has no place for batch_num_images, which"):
            grpo(tmp_path / "grpo", how(folder, tmp_path), show=False)
        assert not (tmp_path / "grpo").exists()
    else:
        assert grpo(tmp_path / "grpo", how(folder, tmp_path), show=False)["epoch"] == 1
    adapter.save_merged(tmp_path / "merged")
    model, processor = load_vlm(str(tmp_path / "merged"))
    with torch.no_grad():
        plain = encoded(processor, [Question.of(one) for one in some], answers)
        assert float(model.eval()(**plain).loss) == pytest.approx(float(adapter.loss(plain)), rel=1e-4)


def how(folder: Path, tmp_path: Path) -> GrpoConfig:
    return GrpoConfig(str(folder / "data"), str(tmp_path / "sft"), per_task=1, most_tokens=6, accelerator="cpu", kl=0.1)
