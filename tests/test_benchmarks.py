"""SAT, VSI-Bench and MindCube: small files in their formats, read and scored as their authors do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth import bench_mindcube, bench_sat, bench_vsi
from synth.bench_question import BenchQuestion
from synth.benchmarks import score_benchmark
from theodolite.cli import main

PNG = b"\x89PNG\r\n\x1a\n"


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(tmp_path: Path, responses: dict[str, str]) -> Path:
    return write_lines(tmp_path / "answers.jsonl", [{"id": k, "response": v} for k, v in responses.items()])


SAT_ROWS = [
    {
        "image_bytes": [PNG, PNG],
        "question": "How did the camera rotate?",
        "answers": ["rotated left", "rotated right"],
        "question_type": "ego_movement",
        "correct_answer": "rotated right",
    },
    {
        "image_bytes": [PNG],
        "question": "What is nearest?",
        "answers": ["chair", "lamp", "bed"],
        "question_type": "perspective",
        "correct_answer": "chair",
    },
]


@pytest.fixture
def sat(tmp_path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(SAT_ROWS), tmp_path / "SAT_test.parquet")
    return tmp_path


def test_sat_is_asked_once_for_every_place_of_the_right_answer(sat: Path) -> None:
    asked = list(bench_sat.read(sat))
    assert [(q.question_id, q.gold) for q in asked] == [
        ("sat-000000-0", "B"),
        ("sat-000000-1", "A"),
        ("sat-000001-0", "A"),
        ("sat-000001-1", "C"),
        ("sat-000001-2", "B"),
    ]
    assert "\n(A) rotated right\n(B) rotated left\n" in asked[1].prompt
    assert asked[0].pictures == (PNG, PNG) and asked[0].prompt.endswith("within the <answer> </answer> tags.")


def test_sat_counts_all_orders_alike_and_the_unanswered_as_wrong(sat: Path, tmp_path: Path) -> None:
    said = {"sat-000000-0": "<answer>B</answer>", "sat-000000-1": "The answer is B", "sat-000001-0": "(A)"}
    report = score_benchmark("sat", sat, answers(tmp_path, said))
    assert report["categories"] == {"ego_movement": 0.5, "perspective": pytest.approx(1 / 3)}
    assert report["overall"] == pytest.approx(2 / 5) and report["unanswered"] == 2
    assert report["counts"] == {"ego_movement": 2, "perspective": 3}


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("The answer is B", "B"),
        ("<think>A or B</think><answer>(A)</answer>", "A"),
        ("I pick A over B", "B"),
        ("The answer is rotated left", "rotated"),
        ("<answer> c </answer>", "c"),
        ("", ""),
        ("none", ""),
    ],
)
def test_sat_letters_are_found_as_the_authors_find_them(response: str, letter: str) -> None:
    assert bench_sat.letter_of(response) == letter


def test_sat_of_the_second_release_embeds_structs(tmp_path: Path) -> None:
    row = {"images": [{"bytes": PNG, "path": None}]} | {k: v for k, v in SAT_ROWS[0].items() if k != "image_bytes"}
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data" / "test-00000-of-00001.parquet")
    assert [q.pictures for q in bench_sat.read(tmp_path)] == [(PNG,), (PNG,)]


VSI_ROWS = [
    {
        "id": i,
        "dataset": "arkitscenes",
        "scene_name": f"4106902{i}",
        "question_type": kind,
        "question": "How many tables are in this room?",
        "ground_truth": gold,
        "options": options,
        "pruned": False,
    }
    for i, (kind, gold, options) in enumerate(
        [
            ("object_counting", "4", None),
            ("object_rel_direction_easy", "A", ["A. left", "B. right"]),
            ("object_rel_direction_hard", "B", ["A. left", "B. right"]),
            ("route_planning", "C", ["A. a", "B. b", "C. c"]),
        ]
    )
]


def test_vsi_prompts_and_videos_are_the_authors(tmp_path: Path) -> None:
    write_lines(tmp_path / "test.jsonl", VSI_ROWS)
    counting, direction, *_ = bench_vsi.read(tmp_path)
    assert counting.video == tmp_path / "arkitscenes" / "41069020.mp4"
    assert counting.prompt.startswith("These are frames of a video.\nHow many")
    assert counting.prompt.endswith("Please answer the question using a single word or phrase.")
    assert direction.prompt.endswith(
        "Options:\nA. left\nB. right\nAnswer with the option's letter from the given choices directly."
    )


@pytest.mark.parametrize("name", ["test.jsonl", "test-00000-of-00001.parquet"])
def test_vsi_averages_types_with_the_levels_of_direction_as_one(tmp_path: Path, name: str) -> None:
    if name.endswith("jsonl"):
        write_lines(tmp_path / name, VSI_ROWS)
    else:
        pq.write_table(pa.Table.from_pylist(VSI_ROWS), tmp_path / name)
    said = {"0": "3", "1": "A. left", "2": "A", "3": "c."}
    report = score_benchmark("vsi-bench", tmp_path, answers(tmp_path, said))
    assert report["categories"] == {
        "object_counting": pytest.approx(0.6),  # off by a quarter: within .5, .45, .4, .35, .3 and .25
        "route_planning": 1.0,
        "object_rel_direction": 0.5,
    }
    assert report["overall"] == pytest.approx((0.6 + 1 + 0.5) / 3)


@given(st.integers(0, 40), st.integers(1, 20), st.sampled_from([1.0, 10.0]))
def test_mean_relative_accuracy_is_the_authors_formula(said: int, true: int, tenth: float) -> None:
    bounds = 1 - np.linspace(0.5, 0.95, int((0.95 - 0.5) / 0.05 + 2))
    expected = float((abs(said / tenth - true / tenth) / (true / tenth) <= bounds).mean())
    assert bench_vsi.mean_relative_accuracy(said / tenth, true / tenth) == expected


@pytest.mark.parametrize(
    ("kind", "gold", "response", "score"),
    [
        ("object_counting", "4", "4", 1.0),
        ("object_counting", "5", "4", 0.6),  # a fifth off: in float64 not within 1 - 0.8
        ("object_counting", "4", "four", 0.0),
        ("object_counting", "4", "nan", 0.0),
        ("object_counting", "4", "inf", 0.0),
        ("object_counting", "4", "", 0.0),
        ("object_abs_distance", "9.5", "9.5 meters", 1.0),
        ("obj_appearance_order", "B", "b", 1.0),
        ("obj_appearance_order", "B", "(B)", 0.0),
        ("obj_appearance_order", "B", " B", 0.0),
    ],
)
def test_vsi_reads_the_first_word(kind: str, gold: str, response: str, score: float) -> None:
    question = BenchQuestion("1", kind, "?", gold)
    assert bench_vsi.score(question, response) == pytest.approx(score)


MINDCUBE_ROWS = [
    {"id": name, "question": "What is left? A. Door B. Lamp", "images": ["other_all_image/x/1.png"], "gt_answer": "A"}
    for name in ("rotation_group000_q3_6", "among_group693_q1_5_2", "around_ab12_q2_7", "translation_1", "among_2")
]


def test_mindcube_groups_by_setting_and_leaves_translation_out_of_the_whole(tmp_path: Path) -> None:
    write_lines(tmp_path / "data" / "raw" / "MindCube_tinybench.jsonl", MINDCUBE_ROWS)
    first = next(iter(bench_mindcube.read(tmp_path)))
    assert first.pictures == (tmp_path / "data" / "other_all_image" / "x" / "1.png",)
    assert first.prompt.startswith("[Task]\nYour task") and first.prompt.endswith("What is left? A. Door B. Lamp")
    said = {row["id"]: "<answer>A. Door</answer>" for row in MINDCUBE_ROWS[:2]} | {"among_2": "B. Lamp"}
    report = score_benchmark("mindcube", tmp_path, answers(tmp_path, said))
    assert report["categories"] == {"rotation": 1.0, "among": 0.5, "around": 0.0, "translation": 0.0}
    assert report["overall"] == pytest.approx(2 / 4) and report["unanswered"] == 2


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("<answer>A. Above</answer>", "A"),
        ("<answer>B</answer>", "B"),
        ("(B)", "B"),
        ("c", None),
        ("<answer>Above</answer>", None),
        ("The answer is B, since A is wrong", "A"),
        ("A. first, then B. second", "B"),
        ("<Answer>My answer is D</Answer>", "D"),
        ("Answer: C", "C"),
        ("", None),
    ],
)
def test_mindcube_letters_are_found_as_the_authors_find_them(response: str, letter: str | None) -> None:
    assert bench_mindcube.extract_letter(response) == letter


def test_the_command_shows_the_figures(capsys: pytest.CaptureFixture[str], sat: Path, tmp_path: Path) -> None:
    file = answers(tmp_path, {"sat-000000-0": "B"})
    assert main(["score", str(file), "--benchmark", "sat", "--data", str(sat)]) == 0
    text = capsys.readouterr().out
    assert "ego_movement  0.500" in text and "4 questions have no answer and count as wrong" in text


def refusal(capsys: pytest.CaptureFixture[str], name: str, data: Path, file: Path) -> str:
    assert main(["score", str(file), "--benchmark", name, "--data", str(data)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("name", ["sat", "vsi-bench", "mindcube"])
def test_a_place_without_the_benchmark_is_refused(capsys, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    file = answers(tmp_path, {"x": "A"})
    assert "must hold" in refusal(capsys, name, tmp_path / "empty", file)
    assert "it is not there" in refusal(capsys, name, tmp_path / "none", file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question_type": "colour"}, "question_type 'colour'"),
        ({"question_type": "route_planning"}, "must have options"),
        ({"ground_truth": "0"}, "must not be 0"),
        ({"ground_truth": "some"}, "must not be 0"),
        ({"question": None}, "row 1 has a field of the wrong kind"),
        ({"options": 5}, "row 1 has a field of the wrong kind"),
        ({"options": "[1"}, "row 1 has a field of the wrong kind"),
    ],
)
def test_vsi_rows_that_break_the_format_are_refused(capsys, tmp_path: Path, change: dict, message: str) -> None:
    write_lines(tmp_path / "test.jsonl", [VSI_ROWS[0] | change])
    assert message in refusal(capsys, "vsi-bench", tmp_path, answers(tmp_path, {}))


def test_fields_that_are_missing_are_named(capsys, tmp_path: Path) -> None:
    write_lines(tmp_path / "v" / "test.jsonl", [{k: v for k, v in VSI_ROWS[0].items() if k != "options"}])
    assert "options not among" in refusal(capsys, "vsi-bench", tmp_path / "v", answers(tmp_path, {}))
    pq.write_table(pa.Table.from_pylist([{"question": "?"}]), tmp_path / "SAT_test.parquet")
    assert "image_bytes" in refusal(capsys, "sat", tmp_path, answers(tmp_path, {}))
    (tmp_path / "SAT_test.parquet").write_bytes(b"no table")
    assert "is no Parquet file" in refusal(capsys, "sat", tmp_path, answers(tmp_path, {}))


def test_rows_that_cannot_be_scored_are_refused(capsys, tmp_path: Path) -> None:
    twice = SAT_ROWS[0] | {"answers": ["rotated right", "rotated right"]}
    pq.write_table(pa.Table.from_pylist([twice]), tmp_path / "SAT_test.parquet")
    assert "must stand once among the answers" in refusal(capsys, "sat", tmp_path, answers(tmp_path, {}))
    pathless = SAT_ROWS[0] | {"image_bytes": ["a.png"]}
    pq.write_table(pa.Table.from_pylist([pathless]), tmp_path / "SAT_test.parquet")
    assert "must embed its pictures" in refusal(capsys, "sat", tmp_path, answers(tmp_path, {}))
    write_lines(tmp_path / "MindCube.jsonl", [MINDCUBE_ROWS[0] | {"images": None}])
    assert "row 1 has a field of the wrong kind" in refusal(capsys, "mindcube", tmp_path, answers(tmp_path, {}))
    write_lines(tmp_path / "MindCube.jsonl", [MINDCUBE_ROWS[0] | {"gt_answer": "Door"}])
    assert "must be a letter A to E" in refusal(capsys, "mindcube", tmp_path, answers(tmp_path, {}))


def test_predictions_that_fit_no_question_are_refused(capsys, sat: Path, tmp_path: Path) -> None:
    assert "are not in sat, the first 'x'" in refusal(capsys, "sat", sat, answers(tmp_path, {"x": "A"}))
    file = write_lines(tmp_path / "p.jsonl", [{"id": "sat-000000-0", "response": "A"}] * 2)
    assert "line 2 answers sat-000000-0 again" in refusal(capsys, "sat", sat, file)
    file = write_lines(tmp_path / "p.jsonl", [{"id": "sat-000000-0", "response": None}])
    assert "a response that is text" in refusal(capsys, "sat", sat, file)
    assert "it is not there" in refusal(capsys, "sat", sat, tmp_path / "none.jsonl")
