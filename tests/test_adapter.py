"""A vision-language model that learns from exact answers: the path of real weights, on tiny ones of three families."""

from __future__ import annotations

import filecmp
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from vlm_cases import FAMILIES, tiny_folder

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from models.adapter import Adapter, AdapterConfig
from models.chat import IGNORED, Question, encoded, ending, prompt
from models.geometry_tokens import DIGITS, FINDINGS, MOST, TOKENS, GeometryTokens, findings, named
from models.sft import Batch, SftConfig, SftModule, sft
from models.vlm_folder import load_processor, load_vlm, unit_of
from synth.export import Example, read_examples

TRAINING = {"accelerator": "cpu", "devices": 1, "accumulate": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, a tiny head and a dataset of two rooms."""
    return tiny_folder(tmp_path_factory.mktemp("vlm"))


def adapter_of(folder: Path, family: str, **options: Any) -> Adapter:
    torch.manual_seed(0)
    return Adapter.new(AdapterConfig(str(folder / family), head=str(folder / "head"), **({"rank": 4} | options)))


def examples(adapter: Adapter, folder: Path) -> list[Example]:
    """One of each task."""
    found = {one.task_type: one for one in read_examples(folder / "data", adapter.unit)}
    return [found[task] for task in sorted(found)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_the_answer_alone_and_of_the_end(folder: Path, family: str) -> None:
    adapter = adapter_of(folder, family)
    some = examples(adapter, folder)
    questions, tokenizer = adapter.asked(some), adapter.processor.tokenizer
    batch = encoded(adapter.processor, questions, [one.answer for one in some])
    for row, one in enumerate(some):
        label, ids = batch["labels"][row], batch["input_ids"][row]
        told = label != IGNORED
        assert tokenizer.decode(label[told]).strip().startswith(one.answer)
        assert tokenizer.decode(label[told]).rstrip().endswith(tokenizer.eos_token)
        assert torch.equal(ids[told], label[told]) and bool(batch["attention_mask"][row][told].all())
        before = tokenizer.decode(ids[: int(told.nonzero()[0])])
        assert before.endswith(prompt(adapter.processor, questions[row])[-12:])


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_stand_where_the_model_looks_for_them(folder: Path, family: str) -> None:
    """As many places as the model's own processor makes of each picture, and none of the words' marks is left."""
    adapter = adapter_of(folder, family)
    some = examples(adapter, folder)
    batch = encoded(adapter.processor, adapter.asked(some))
    count = (batch["input_ids"] == adapter.vlm.config.image_token_id).sum(1)
    pictures = torch.tensor([len(one.pictures) for one in some])
    assert (
        int(count.min()) > 0
        and torch.equal(count % pictures, torch.zeros_like(count))
        and len(set((count // pictures).tolist())) == 1
    )
    assert all("<image>" not in question.text for question in adapter.asked(some))


def test_boxes_are_written_in_the_unit_of_the_model(folder: Path) -> None:
    pixels, thousandths = (
        unit_of(load_processor(str(folder / family)), model_type)
        for family, model_type in (("qwen2_5", "qwen2_5_vl"), ("smol", "smolvlm"))
    )
    assert pixels.scale(64, 64) == (56, 56), "what its image processor makes of 64 x 64 pixels"
    assert pixels.scale(640, 640) == (112, 112) and thousandths.scale(64, 64) == (1000, 1000)
    assert unit_of(load_processor(str(folder / "qwen3")), "qwen3_vl") == thousandths


@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_is_answered_the_same_alone_and_among_others(folder: Path, family: str) -> None:
    adapter = adapter_of(folder, family).eval()
    some = examples(adapter, folder)
    among = adapter.answers(adapter.asked(some), 6)
    alone = [adapter.answers(adapter.asked([one]), 6)[0] for one in some]
    assert among == alone and len(among) == len(some) and any(among)


@pytest.mark.parametrize("family", FAMILIES)
def test_geometry_tokens_tell_the_model_what_the_head_finds(folder: Path, family: str) -> None:
    """Rows of other questions in their place change the loss."""
    adapter = adapter_of(folder, family)
    some = examples(adapter, folder)
    batch = encoded(adapter.processor, adapter.asked(some), [one.answer for one in some])
    assert adapter.geometry is not None
    with torch.no_grad():
        adapter.geometry.out.weight.mul_(50)
        right = adapter.loss(batch)
        adapter.geometry.table = adapter.geometry.table.roll(1, 0)
        assert not torch.isclose(adapter.loss(batch), right, rtol=1e-6)


def test_findings_are_what_the_head_tells_of_each_question(folder: Path) -> None:
    """Also where questions of one picture and of two stand in a batch."""
    adapter = adapter_of(folder, "smol")
    some = examples(adapter, folder)
    shown, head = adapter.shown(some), adapter.head
    assert head is not None and {len(one.image) for one in shown} == {1, 2}
    for one, row in zip(shown, findings(head, shown), strict=True):
        size = one.image.shape[-1], one.image.shape[-2]
        views = head.views(one.image[None], PinholeCamera(one.K[None], *size))
        if len(views) == 1:
            assert not row[:13].any() and not row[29:].any()
        else:
            T = head.motion(*views).T_a_b
            torch.testing.assert_close(row[:9], torch.cat([T.R[0, :, :2].flatten(), T.t[0]]), atol=1e-5, rtol=1e-4)
            assert row[12] == 1
        distances = torch.nn.functional.adaptive_avg_pool2d(views[0].log_z, 4).flatten()
        torch.testing.assert_close(row[13:29], distances, atol=1e-5, rtol=1e-4)


def test_a_head_that_stays_as_it_is_looks_at_all_pictures_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many questions are about them, and epochs; what it finds stays with each question."""
    adapter, looked = adapter_of(folder, "smol"), []
    every = list(read_examples(folder / "data", adapter.unit))
    assert adapter.head is not None
    alone = torch.cat([findings(adapter.head, adapter.shown([one])) for one in every])
    found = adapter.found(every)
    assert found is not None
    torch.testing.assert_close(found, alone, atol=1e-4, rtol=1e-3)

    def counted(head: Any, shown: Any) -> torch.Tensor:
        looked.extend(shown)
        return findings(head, shown)

    monkeypatch.setattr("models.adapter.findings", counted)
    config = AdapterConfig(str(folder / "smol"), head=str(folder / "head"))
    sft(tmp_path / "m", config, SftConfig(str(folder / "data"), epochs=2, **TRAINING), show=False)
    assert len(looked) == len({one.pictures for one in every}) < len(every)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux does")
def test_workers_read_pictures_with_few_open_files(folder: Path) -> None:
    """A tensor that comes from a worker is an open file; where there are too many of them, both wait for ever."""
    resource = pytest.importorskip("resource")
    adapter = adapter_of(folder, "smol")
    every = list(read_examples(folder / "data", adapter.unit))
    assert len({one.pictures for one in every}) > 30
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("workers and reader wait for each other"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 30, hard))
    signal.alarm(60)
    try:
        found = adapter.found(every, workers=1)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    alone = adapter.found(every)
    assert found is not None and alone is not None and torch.equal(found, alone)


def test_a_row_stays_with_its_question_however_a_batch_is_shuffled() -> None:
    geometry = GeometryTokens(8, first_id=100)
    geometry.table = torch.randn(300, FINDINGS)
    embedding = torch.nn.Embedding(100, 8)
    geometry.attach(embedding)
    digits = {token: 100 + n for n, token in enumerate(TOKENS)}
    rows = [7, 255, 16, 299]
    ids = torch.tensor([[3, *(digits[f"{part}>"] for part in named(row).split(">")[:-1]), 5] for row in rows])
    whole = embedding(ids)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(embedding(ids[order]), whole[order])
    assert torch.equal(whole[:, 0], embedding.weight[3].expand(4, -1)) and len(whole[:, 1].unique(dim=0)) == 4
    with pytest.raises(ValueError, match="was it cut off"):
        embedding(ids[:, 2:])
    with pytest.raises(ValueError, match="the table has 300 rows"):
        embedding(torch.tensor([[digits[f"{part}>"] for part in named(300).split(">")[:-1]]]))
    with pytest.raises(ValueError, match=f"rows 0 to {MOST - 1}"):
        named(MOST)
    assert len(named(0).split(">")) == DIGITS + 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rank", [0, 4])
def test_what_is_saved_answers_as_what_was_trained(folder: Path, tmp_path: Path, family: str, rank: int) -> None:
    adapter = adapter_of(folder, family, rank=rank)
    some = examples(adapter, folder)
    with torch.no_grad():
        for p in adapter.trained(with_head=False).values():
            p.add_(0.05 * torch.randn_like(p))
    adapter.save(tmp_path / "a")
    loaded = Adapter.load(tmp_path / "a")
    answers = [one.answer for one in some]
    with torch.no_grad():
        losses = [float(one.eval().loss(encoded(one.processor, one.asked(some), answers))) for one in (adapter, loaded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    adapter.save_merged(tmp_path / "merged")
    model, processor = load_vlm(str(tmp_path / "merged"))
    plain = [Question.of(one) for one in some]
    with torch.no_grad():
        batch = encoded(processor, plain, answers)
        assert float(model.eval()(**batch).loss) == pytest.approx(float(adapter.loss(batch)), rel=1e-4)


def test_lora_learns_in_the_language_part_alone(folder: Path) -> None:
    for family in FAMILIES:
        names = adapter_of(folder, family).trained(with_head=False)
        assert names and all("lora_" in name or name.startswith("geometry.") for name in names)
        assert not any("vis" in name for name in names)


def test_fine_tuning_lowers_the_loss_and_ends_at_the_same_bits_though_interrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AdapterConfig(str(folder / "smol"), rank=0, head=str(folder / "head"))
    how = SftConfig(str(folder / "data"), epochs=2, learning_rate=3e-3, geometry_weight=0.1, **TRAINING)
    done = sft(tmp_path / "a", config, how, show=False)
    first, last = map(json.loads, (tmp_path / "a" / "metrics.jsonl").read_text().splitlines())
    assert last["val/answer"] < first["val/answer"] - 0.2 and last["loss/geometry"] > 0
    assert sft(tmp_path / "a", config, how, show=False) == done, "a finished run is done"

    step = SftModule.training_step

    def cut_off(self: SftModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1:
            raise RuntimeError("cut off")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as during, pytest.raises(RuntimeError, match="cut off"):
        during.setattr(SftModule, "training_step", cut_off)
        sft(tmp_path / "b", config, how, show=False)
    assert sft(tmp_path / "b", config, how, show=False) == done
    assert filecmp.cmp(*(tmp_path / run / "model" / "model.safetensors" for run in "ab"), shallow=False)
    assert filecmp.cmp(*(tmp_path / run / "head" / "model.safetensors" for run in "ab"), shallow=False)


def test_geometry_tokens_carry_what_the_answers_need(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told the true turn, a model learns to say it; told that of another question, it says the wrong one."""
    adapter = adapter_of(folder, "smol", rank=0).train()
    some = [one for one in read_examples(folder / "data", adapter.unit) if one.task_type == "A2"]
    assert adapter.geometry is not None
    table = torch.zeros(len(some), FINDINGS)
    for row, one in enumerate(some):
        turn = parse_actions(one.row[1]["answer"]["actions"])[0]
        table[row, 0] = turn.signed_amount / 30
    adapter.geometry.table = table
    batch = encoded(adapter.processor, adapter.questions(some), [one.answer for one in some])
    optimizer = torch.optim.Adam(adapter.trained(with_head=False).values(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        adapter.loss(batch).backward()
        optimizer.step()
    with torch.no_grad():
        right = float(adapter.eval().loss(batch))
        adapter.geometry.table = table.roll(1, 0)
        wrong = float(adapter.loss(batch))
    assert wrong > right + 0.05


def test_no_answer_names_rows_or_pictures(folder: Path) -> None:
    """Also where the model has an output for these tokens, as real ones with a padded vocabulary do."""
    adapter = adapter_of(folder, "qwen2_5")
    names = adapter.processor.tokenizer.convert_ids_to_tokens(adapter.unspoken)
    assert set(names) == {"<|image_pad|>", *TOKENS}
    model = adapter.vlm.get_base_model()
    model.lm_head = torch.nn.Linear(model.lm_head.in_features, len(adapter.processor.tokenizer))
    with torch.no_grad():
        model.lm_head.bias[adapter.unspoken] = 1e4
    said = adapter.answers(adapter.asked(examples(adapter, folder)[:2]), 4)
    assert not any(name in text for name in names for text in said)


def test_an_answer_ends_where_the_template_ends_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the model's own settings name no end."""
    adapter = adapter_of(folder, "smol", rank=0)
    tokenizer, model = adapter.processor.tokenizer, adapter.vlm
    model.generation_config.eos_token_id = None
    model.lm_head = torch.nn.Linear(model.lm_head.in_features, model.lm_head.out_features)
    with torch.no_grad():
        model.lm_head.bias[tokenizer.eos_token_id] = 1e4
    made: list[int] = []
    decode = type(tokenizer).batch_decode
    monkeypatch.setattr(
        type(tokenizer), "batch_decode", lambda self, ids, **how: made.append(ids.shape[1]) or decode(self, ids, **how)
    )
    assert adapter.answers(adapter.asked(examples(adapter, folder)[:2]), 6) == ["", ""] and made == [1]


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be the folder of an image-text model"):
        load_vlm(str(tmp_path))
    with pytest.raises(ValueError, match=r"adapter\.json is needed"):
        Adapter.load(tmp_path)
    (tmp_path / "adapter.json").write_text('{"base": "x", "width": 3}')
    with pytest.raises(ValueError, match="must have the fields of this version.*width"):
        Adapter.load(tmp_path)


def template(with_answer: bool) -> str:
    return "{% for m in messages %}{{ m['role'] }}:{{ m['content'][0]['text'] }};{% endfor %}" + (
        "{% if add_generation_prompt %}assistant:{% endif %}"
        if with_answer
        else "{% if add_generation_prompt %}?{% endif %}"
    )


def test_a_template_that_answers_elsewhere_than_it_prompts_is_refused(folder: Path) -> None:
    processor = load_processor(str(folder / "smol"))
    processor.chat_template = template(with_answer=True)
    assert ending(processor, "yes") == "yes;"
    processor.chat_template = template(with_answer=False)
    with pytest.raises(ValueError, match="where it prompts for one"):
        ending(processor, "yes")
