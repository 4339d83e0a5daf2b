from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geom.boxes import normalise_box
from models.questions import (
    UNDECIDED,
    Asked,
    exact_truth,
    read_questions,
    true_answer,
    true_z_depth,
    write_answers,
)
from synth.answers import BoxAnswer, MotionAnswer
from synth.exact import score
from synth.files import json_bytes
from synth.pipeline import GenerateConfig, generate
from synth.predictions import score_file
from synth.prompts import PHRASINGS


@pytest.fixture(scope="module")
def questions(small_dataset: Path) -> list[Asked]:
    return read_questions(small_dataset)


def of(questions: list[Asked], *tasks: str) -> list[Asked]:
    found = [one for one in questions if one.task_type in tasks]
    assert {one.task_type for one in found} == set(tasks)
    return found


@pytest.fixture
def edited(small_dataset: Path, tmp_path: Path) -> Any:
    """Makes a copy of the dataset in which the first proof or question is changed."""

    def edit(file: str, change: dict[str, Any]) -> Path:
        subset = next(path for path in small_dataset.iterdir() if path.is_dir())
        copy = tmp_path / "copy"
        shutil.copytree(subset, copy)
        first, *rest = (copy / file).read_text().splitlines(keepends=True)
        (copy / file).write_text(json_bytes(json.loads(first) | change).decode() + "".join(rest))
        return copy

    return edit


def test_every_question_is_read_in_order(small_dataset: Path, questions: list[Asked]) -> None:
    lines = [json.loads(line) for file in small_dataset.glob("*/tasks.jsonl") for line in file.read_text().splitlines()]
    assert [(one.id, one.task_type) for one in questions] == [(line["id"], line["task_type"]) for line in lines]
    assert {one.task_type for one in questions} == {"A1", "A2", "A3", "A4", "D1", "D2", "D3", "D4"}
    assert all(len(one.paths) == PHRASINGS[one.task_type, one.variant].num_images for one in questions)


def test_the_truth_scores_one_in_every_task(small_dataset: Path, questions: list[Asked], tmp_path: Path) -> None:
    write_answers(tmp_path / "answers.jsonl", [(one, true_answer(one)) for one in questions])
    report = score_file(tmp_path / "answers.jsonl", small_dataset, "exact")
    assert report["n"] == len(questions) and report["unread"] == {} and report["unanswered"] == {}
    assert {task: row["mean"] for task, row in report["tasks"].items()} == dict.fromkeys(report["tasks"], 1.0)


def test_undecided_scores_nothing(small_dataset: Path, questions: list[Asked], tmp_path: Path) -> None:
    write_answers(tmp_path / "answers.jsonl", [(one, None) for one in questions])
    report = score_file(tmp_path / "answers.jsonl", small_dataset, "exact")
    assert all(row["mean"] == 0 for row in report["tasks"].values())
    assert sum(report["unread"].values()) == len(questions)
    assert questions[0].response(None) == UNDECIDED


def test_the_truth_to_grade_by_is_that_of_the_score(questions: list[Asked]) -> None:
    assert all(score(exact_truth(one), one.response(true_answer(one)))["overall"] == 1 for one in questions)
    one = of(questions, "D1")[0]
    x1, y1, x2, y2 = one.asked["box"]
    assert score(exact_truth(one), f"[{x1}, {y1}, {x2}, {y2}]")["overall"] == 0


def said(one: Asked) -> str:
    """Everything public but the pictures, as JSON."""
    public = one.public()
    rest = {name: value for name, value in vars(public).items() if name != "pictures"}
    return json.dumps(rest | {"K": public.K.tolist(), "box": public.box_px, "box_after": public.box_after_px})


def test_the_public_part_tells_no_motion_that_the_words_do_not(questions: list[Asked]) -> None:
    for one in of(questions, "A1", "A2", "A3", "D3"):
        answer = true_answer(one)
        assert isinstance(answer, MotionAnswer)
        assert not re.search(r"forward|backward|left|right|turn|shift|move|meter|degree", said(one)), one.id
        assert one.public().actions is None
    for one in of(questions, "A4"):
        assert set(re.findall(r"(?:move|turn) \w+ [\d.]+", said(one))) == set(
            re.findall(r"(?:move|turn) \w+ [\d.]+", one.asked["claim"])
        )


def test_the_public_part_tells_no_answer_box_and_no_yes_or_no(questions: list[Asked]) -> None:
    for one in of(questions, "D1"):
        answer = true_answer(one)
        assert isinstance(answer, BoxAnswer)
        assert json.dumps(answer.box_1000) not in said(one)
        assert not any(str(edge) in said(one) for edge in answer.box_px if edge not in (0, *one.image_size))
        assert one.public().box_after_px is None
    for one in of(questions, "A4", "D2", "D4"):
        assert not re.search(r"true|false|same|gone|visib|hidden|reason", said(one)), one.id


def test_the_public_part_has_no_names_of_the_dataset(questions: list[Asked]) -> None:
    for one in questions:
        assert one.scene_id not in said(one) and "traj" not in said(one)


def test_only_the_pictures_of_the_question_are_shown(questions: list[Asked]) -> None:
    for one in questions:
        public = one.public()
        assert len(public.pictures) == (1 if (one.task_type, one.variant) == ("D1", "predict") else 2) or (
            one.task_type == "D2" and len(public.pictures) == 1
        )
        assert all(picture.shape == (80, 96, 3) for picture in public.pictures)
        assert (public.camera.width, public.camera.height) == public.image_size == (96, 80)


def test_boxes_in_pixels_are_no_finer_than_the_words(questions: list[Asked]) -> None:
    for one in of(questions, "D1", "D2", "D3", "D4"):
        public = one.public()
        assert public.box_px is not None
        assert normalise_box(public.box_px, *public.image_size) == tuple(one.asked["box"])
        assert np.allclose(public.box_px, one.truth["boxes"][0]["box_px"], atol=0.05)
        assert not np.array_equal(public.box_px, one.truth["boxes"][0]["box_px"])


def test_words_are_typed(questions: list[Asked]) -> None:
    for one in of(questions, "D1", "D4"):
        assert one.public().actions is not None
        assert one.public().actions.text() == one.truth["transition"]["actions"]  # pyright: ignore
    assert {one.public().num_actions for one in of(questions, "A1", "A2")} == {1}
    assert {one.public().num_actions for one in of(questions, "A3")} <= {2, 3}


def test_scenes_can_be_chosen(small_dataset: Path, questions: list[Asked]) -> None:
    first = questions[0].scene_id
    chosen = read_questions(small_dataset, scenes={first})
    assert [one.id for one in chosen] == [one.id for one in questions if one.scene_id == first] != []
    assert read_questions(small_dataset, scenes=()) == []


def test_the_depth_is_that_of_the_first_view(questions: list[Asked]) -> None:
    z_depth = true_z_depth(questions[0])
    assert z_depth.shape == (80, 96) and 0.2 < float(np.nanmin(z_depth)) < float(np.nanmax(z_depth)) < 20


def test_labels_without_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    generate(tmp_path / "labels", GenerateConfig(num_scenes=1, image_size=(96, 80), labels_only=True))
    with pytest.raises(ValueError, match="--labels-only") as refused:
        read_questions(tmp_path / "labels")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("proofs.jsonl", {"transition": {}}, "lacks 'image_size'"),
        ("proofs.jsonl", {"variant": "other"}, "lacks"),
        ("tasks.jsonl", {"task_type": "A9"}, "lacks 'A9'"),
        ("tasks.jsonl", {"images": ["../../elsewhere.png"]}, "leads out of its folder"),
        ("tasks.jsonl", {"images": ["scenes/none.png"]}, "is missing"),
    ],
)
def test_what_does_not_hold_is_refused(edited: Any, file: str, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_questions(edited(file, change))


def test_words_of_another_motion_are_refused(edited: Any, small_dataset: Path) -> None:
    task = json.loads(next(small_dataset.glob("*/tasks.jsonl")).read_text().splitlines()[0])
    task["messages"][0]["content"] += " Hurry."
    with pytest.raises(ValueError, match="must be those of its proof"):
        read_questions(edited("tasks.jsonl", {"messages": task["messages"]}))


def test_a_resized_picture_is_refused(edited: Any) -> None:
    from PIL import Image

    copy = edited("tasks.jsonl", {})
    one = read_questions(copy)[0]
    with Image.open(one.paths[0]) as picture:
        smaller = picture.resize((48, 40))
    one.paths[0].unlink()  # the scene's own picture is the same file
    smaller.save(one.paths[0])
    with pytest.raises(ValueError, match="must have the 96 x 80 pixels that K is for, got 48 x 40"):
        one.public()


def test_missing_depth_is_said(edited: Any) -> None:
    one = read_questions(edited("tasks.jsonl", {}))[0]
    shutil.rmtree(one.paths[0].parent.parent / "depth")
    with pytest.raises(ValueError, match="has no depth picture"):
        true_z_depth(one)
