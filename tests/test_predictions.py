"""`theodolite score`: files of answers, with and without a dataset, by both metrics; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.box_units import FAMILIES
from synth.dataset import Row, find_subsets, read_rows
from synth.exact import read_truth
from synth.export import read_examples
from synth.predictions import score_file
from synth.reward_world2vlm import pack
from synth.rewards import completion_text, compute_score, compute_score_verl, exact_reward, world2vlm_reward
from theodolite.cli import main

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "reward_public.jsonl"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def to_file(*rows: Any) -> Path:
        path = tmp_path / "predictions.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return to_file


def rows_of(dataset: Path) -> list[Row]:
    return [row for subset in find_subsets(dataset) for row in read_rows(subset)]


def truth_rows(dataset: Path) -> list[dict[str, str]]:
    return [{"id": task["id"], "response": task["messages"][1]["content"]} for task, _ in rows_of(dataset)]


def test_the_truth_scores_one_on_every_question_of_a_dataset(small_dataset: Path, write) -> None:
    report = score_file(write(*truth_rows(small_dataset)), small_dataset, "exact")
    assert all(row == {"overall": 1.0} for row in report["scores"])
    assert set(report["tasks"]) == {"A1", "A2", "A3", "A4", "D1", "D2", "D3", "D4"}
    assert report["all"]["mean"] == 1 and report["unread"] == report["unanswered"] == {}
    assert set(report["difficulty"]["D1"]) == {"moved", "turned", "visible after"}


def test_copying_the_box_of_the_question_earns_nothing(small_dataset: Path, write) -> None:
    copied = [
        {"id": task["id"], "response": str(proof["asked"]["box"])}
        for task, proof in rows_of(small_dataset)
        if task["task_type"] == "D1"
    ]
    report = score_file(write(*copied), small_dataset, "exact")
    assert report["tasks"]["D1"]["mean"] == 0
    assert report["tasks"]["D1"]["corrected"] < 0


def test_boxes_in_the_models_unit_are_scored_as_such(small_dataset: Path, write) -> None:
    unit = FAMILIES["qwen2.5-vl"]
    answers = [{"id": e.example_id, "response": e.answer} for e in read_examples(small_dataset, unit)]
    report = score_file(write(*answers), small_dataset, "exact", unit=unit)
    assert report["tasks"]["D1"]["mean"] == 1
    assert score_file(write(*answers), small_dataset, "exact")["tasks"]["D1"]["mean"] < 0.9


def test_questions_without_an_answer_are_counted_in_the_tasks_that_are_answered(small_dataset: Path, write) -> None:
    rows = truth_rows(small_dataset)
    of_a1 = [row for row in rows if "-A1-" in row["id"]]
    report = score_file(write(*of_a1[1:]), small_dataset, "exact")
    assert report["unanswered"] == {"A1": 1} and report["n"] == len(of_a1) - 1


@pytest.mark.skipif(not GOLDEN.exists(), reason="the rows made by the public code are not beside this checkout")
def test_the_published_rows_score_as_published_through_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(GOLDEN), "--metric", "world2vlm", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    for line, found in zip(GOLDEN.read_text().splitlines(), scores, strict=True):
        expected = json.loads(line)["scores"]
        if expected is None:
            assert found["format"] == 0 and "reason" in found
        else:
            assert found == pytest.approx(expected, abs=1e-9), line


def test_a_line_may_carry_its_task_and_bare_answer(write) -> None:
    file = write(
        {"task_type": "A1", "ground_truth": "move left 1 meters", "response": "move left 1.25 meters"},
        {"task_type": "D2", "ground_truth": "B", "response": "B"},
        {"task_type": "D1", "ground_truth": "[1, 2, 3, 4]", "response": "[1, 2, 3, 4]"},
        {"ground_truth": pack("A4", "true"), "response": "false"},
    )
    assert [row["overall"] for row in score_file(file, None, "exact")["scores"]] == [0, 1, 1, 0]
    published = score_file(file, None, "world2vlm")
    assert [row["overall"] for row in published["scores"]] == [1, 0, 1, pytest.approx(0.2)]
    assert set(published["tasks"]) == {"A1", "A4", "D1", "D2"} and "chance" not in published["tasks"]["A1"]


def test_the_published_reward_needs_no_proofs(small_dataset: Path, write) -> None:
    report = score_file(write(*truth_rows(small_dataset)), small_dataset, "world2vlm")
    assert report["tasks"]["A3"]["mean"] == pytest.approx(1)
    assert report["tasks"]["D2"]["mean"] < 1  # choice and sentence answers, which it cannot read


def test_an_answer_that_is_missing_or_no_text_scores_nothing_with_the_reason(write) -> None:
    file = write({"ground_truth": pack("A4", "true")}, {"ground_truth": pack("A4", "true"), "response": ["true"]})
    report = score_file(file, None, "exact")
    assert [row["overall"] for row in report["scores"]] == [0, 0]
    assert sum(report["unread"].values()) == 2


def test_blank_lines_and_a_mark_of_byte_order_are_no_matter(tmp_path: Path) -> None:
    row = json.dumps({"ground_truth": pack("A4", "true"), "response": "true"})
    (tmp_path / "p.jsonl").write_bytes(f"\ufeff{row}\n\n{row}\r\n\n".encode())
    assert score_file(tmp_path / "p.jsonl", None, "exact")["n"] == 2


def test_ground_truths_of_any_kind_score_nothing_with_the_reason(write) -> None:
    rows = [{"ground_truth": truth, "response": "true"} for truth in ({"answer": "true"}, 5, ["true"])]
    report = score_file(write(*rows, {"ground_truth": None, "response": "true"}), None, "world2vlm")
    assert [row["format"] for row in report["scores"]] == [0, 0, 0, 0]
    assert all("must be text" in row["reason"] for row in report["scores"][:3])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_handful_of_answers_is_scored_and_shown(capsys, small_dataset: Path, write, count: int) -> None:
    assert main(["score", str(write(*truth_rows(small_dataset)[:count])), "--data", str(small_dataset)]) == 0
    assert f"{count} answers" in capsys.readouterr().out


def test_long_answers_are_counted_as_shortened(write) -> None:
    file = write({"ground_truth": pack("A4", "true"), "response": "true" + " " * 10**6})
    report = score_file(file, None, "exact")
    assert report["shortened"] == 1 and report["scores"][0]["overall"] == 1


def test_scores_do_not_depend_on_the_number_of_workers(write, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"ground_truth": pack("A1", f"move left {k} meters"), "response": "move left 5 m"} for k in range(1, 11)]
    monkeypatch.setattr("synth.predictions._CHUNK", 2)
    file = write(*rows)
    reports = [score_file(file, None, "exact", workers=workers) for workers in (1, 2)]
    assert reports[0] == reports[1] and reports[0]["scores"][4] == {"overall": 1.0}
    file = write(*rows[:9], {"ground_truth": pack("A1", "away"), "response": ""})
    with pytest.raises(ValueError, match="line 10: an action"):
        score_file(file, None, "exact", workers=2)


def refusal(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main(["score", *map(str, argv)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (["{"], "line 1 is no JSON"),
        (["[" * 100_000], "nested too deeply"),
        (["[1]"], "line 1 must be a JSON object"),
        ([{"response": "yes"}], "must have a ground_truth where no dataset is named; it has no id either"),
        ([{"id": "a", "response": "yes"}], "name the dataset with --data"),
        ([{"ground_truth": "x", "answer": "y"}], "under 'response'"),
        ([{"ground_truth": "somewhere", "response": "y"}], "line 1: a ground truth must be JSON"),
        ([{"task_type": "A1", "ground_truth": "up", "response": "y"}], "line 1: a ground truth must be JSON"),
    ],
)
def test_a_file_that_is_no_predictions_is_refused(capsys, write, rows, message: str) -> None:
    assert message in refusal(capsys, write(*rows))


def test_ids_that_are_unknown_or_occur_twice_are_refused(capsys, small_dataset: Path, write) -> None:
    known = truth_rows(small_dataset)[0]
    data = ("--data", small_dataset)
    assert "1 of 2 ids" in refusal(capsys, write(known, {"id": "x", "response": ""}), *data)
    assert "in lines 1 and 2; only one answer counts" in refusal(capsys, write(known, known), *data)
    assert "line 1 must have the id" in refusal(capsys, write({"response": "", "ground_truth": "x"}), *data)


def test_options_that_contradict_are_refused(capsys, small_dataset: Path, write, tmp_path: Path) -> None:
    file = write(*truth_rows(small_dataset))
    assert "it is not there" in refusal(capsys, tmp_path / "none.jsonl")
    assert "it is a folder" in refusal(capsys, tmp_path)
    assert "no dataset at" in refusal(capsys, file, "--data", tmp_path / "none")
    assert "need --data" in refusal(capsys, file, "--model-family", "qwen2.5-vl")
    reward = ("--metric", "world2vlm", "--model-family", "qwen2.5-vl")
    assert "thousandths alone" in refusal(capsys, file, "--data", small_dataset, *reward)
    assert "needs --data" in refusal(capsys, file, "--benchmark", "sat")
    assert "metric" in refusal(capsys, file, "--metric", "f1")


def test_people_get_a_table(capsys, small_dataset: Path, write) -> None:
    rows = truth_rows(small_dataset)
    rows[0]["response"] = "no idea"
    assert main(["score", str(write(*rows[:-1])), "--data", str(small_dataset)]) == 0
    text = capsys.readouterr().out
    assert "metric exact" in text and "0 is guessing" in text
    assert "no action found" in text or "no answer found" in text
    assert "without an answer, not in the means" in text


def test_rewards_in_the_signatures_of_trainers() -> None:
    truth = pack("A1", "move left 1 meters")
    batch = [{"response": "move left 1 meters", "ground_truth": truth}, {"response": "?", "ground_truth": truth}]
    assert compute_score(batch) == [{"overall": 1, "format": 1}, {"overall": 0, "format": 0}]
    assert compute_score(batch, metric="world2vlm")[0] == {"overall": 1, "format": 1, "action": 1, "numeric": 1}
    assert compute_score([{"ground_truth": truth, "response": 5}], metric="world2vlm") == [{"overall": 0, "format": 0}]
    found = compute_score_verl(data_source="x", solution_str="move left 1 m", ground_truth=truth, extra_info={})
    assert found == {"score": 1, "overall": 1, "format": 1}
    exchange = [{"role": "assistant", "content": "move left 1.1 meters"}]
    arguments = {"prompts": ["", ""], "completions": ["move left 1 m", exchange], "ground_truth": [truth, truth]}
    assert exact_reward(**arguments, completion_ids=[[1], [2]]) == [1, pytest.approx(0.5)]
    assert world2vlm_reward(**arguments) == [0, 1]
    assert completion_text([{"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]) == "ab"
    with pytest.raises(ValueError, match="metric must be"):
        compute_score(batch, metric="bleu")
    with pytest.raises(ValueError, match="must be JSON text, got dict"):
        compute_score([{"ground_truth": {}, "response": ""}])


def test_the_reward_file_is_loaded_as_trainers_load_it() -> None:
    import importlib.util

    import synth.rewards

    spec = importlib.util.spec_from_file_location("custom_module", synth.rewards.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    row = {"response": "yes", "response_length": 1, "ground_truth": pack("D4", "yes")}
    assert module.compute_score([row]) == [{"overall": 1, "format": 1}] and module.REWARD_TYPE == "batch"
    assert read_truth(row["ground_truth"]).value is True
