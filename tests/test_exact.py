"""The exact metric: the truth scores 1 in every wording, equal poses are equal answers, and guessing earns nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import RigidTransform, Rotation

from geom.action_text import ActionKind
from geom.actions import Action, ActionSequence
from geom.boxes import box_iou as tensor_iou
from synth.answers import BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.box_units import FAMILIES
from synth.exact import FREE_FALL, Truth, box_iou, box_score, ground_truth, motion_score, read_truth, score
from synth.prompts import PHRASINGS, answer_text


def truth(task: str, answer: str, **fields) -> Truth:
    return read_truth(json.dumps({"task_type": task, "answer": answer} | fields))


def points(task: str, answer: str, response, **fields) -> float:
    return score(truth(task, answer, **fields), response)["overall"]


def typed_answers(task: str) -> list:
    if task in ("A1", "A2", "A3", "D3"):
        text = {"A1": "move left 0.5 meters", "A2": "turn right 40 degrees"}.get(
            task, "turn left 30 degrees; move left 1 meters"
        )
        return [MotionAnswer(text, (text,))]
    if task == "D1":
        return [BoxAnswer((100, 200, 300, 400), (1.0, 2.0, 3.0, 4.0))]
    kind = {"A4": ClaimAnswer, "D2": VisibilityAnswer, "D4": IdentityAnswer}[task]
    return [kind(True), kind(False)]


@pytest.mark.parametrize(("task", "variant"), sorted(PHRASINGS))
def test_the_truth_scores_one_in_every_phrasing_and_the_other_answer_nothing(task: str, variant: str) -> None:
    asked = {"label": "green chair", "num_actions": 2}
    texts = [answer_text(task, variant, answer, asked) for answer in typed_answers(task)]
    for text in texts:
        for given_variant in ({"variant": variant}, {}):
            assert points(task, text, text, **given_variant) == 1, text
            assert all(points(task, text, other, **given_variant) == 0 for other in texts if other != text)


@given(data=st.data())
def test_motion_scores_are_those_of_rigid_transforms(data: st.DataObject) -> None:
    """Against scipy: the miss is the distance of the end points and the angle between the headings."""
    one = st.builds(
        lambda kind, size: Action(kind, round(size * (40 if kind.is_turn else 1), 2)),
        st.sampled_from(list(ActionKind)),
        st.floats(0.1, 3),
    )
    said, true = (ActionSequence(tuple(data.draw(st.lists(one, min_size=1, max_size=3)))) for _ in range(2))
    miss = _pose(true).inv() * _pose(said)
    moved = sum(a.amount for a in true if not a.kind.is_turn)
    turned = sum(a.amount for a in true if a.kind.is_turn)
    falls = [
        1.0 if error < 1e-6 else max(0.0, 1 - error / (FREE_FALL * size)) if size else 0.0
        for error, size in (
            (np.linalg.norm(miss.translation), moved),
            (math.degrees(miss.rotation.magnitude()), turned),
        )
    ]
    assert motion_score(true, said) == pytest.approx(falls[0] * falls[1], abs=1e-6)


def _pose(actions: ActionSequence) -> RigidTransform:
    T = RigidTransform.identity()
    for a in actions:
        step = a.signed_amount
        rotation = Rotation.from_rotvec([0, math.radians(step) if a.kind.is_turn else 0, 0])
        shift = [0, 0, 0] if a.kind.is_turn else [step, 0, 0] if a.kind.axis == "x" else [0, 0, step]
        T = T * RigidTransform.from_components(shift, rotation)
    return T


@pytest.mark.parametrize(
    ("task", "answer", "response"),
    [
        ("A3", "move left 1 meters; move forward 2 meters", "move forward 2 meters; move left 1 meters"),
        ("A3", "turn left 90 degrees; move forward 1 meters", "move left 1 meters; turn left 90 degrees"),
        ("A3", "turn left 90 degrees; move forward 1 meters", "turn right 270 degrees; move forward 1 meters"),
        ("A2", "turn left 20 degrees", "turn right 340 degrees"),
        ("A2", "turn left 180 degrees", "turn right 180 degrees"),
        ("D3", "move forward 1 meters", "1 steps | move forward 1 meters"),
    ],
)
def test_actions_that_reach_the_same_pose_are_the_same_answer(task: str, answer: str, response: str) -> None:
    assert points(task, answer, response) == 1


def test_a_miss_costs_in_proportion_to_the_size_asked() -> None:
    # A tenth off is half of the fifth that loses all, near and far alike.
    assert points("A1", "move forward 0.5 meters", "move forward 0.55 meters") == pytest.approx(0.5)
    assert points("A1", "move forward 5 meters", "move forward 5.5 meters") == pytest.approx(0.5)
    assert points("A2", "turn left 50 degrees", "turn left 45 degrees") == pytest.approx(0.5)
    assert points("A1", "move forward 5 meters", "move forward 6 meters") == 0
    assert points("A1", "move forward 0.5 meters", "move backward 0.5 meters") == 0
    assert points("A1", "move forward 1 meters", "turn left 1 degrees") == 0
    assert points("A2", "turn left 30 degrees", "turn left 30 degrees; move forward 0.1 meters") == 0
    assert points("A3", "turn left 30 degrees; move left 1 meters", "move left 0.87 meters") == 0


def test_a_list_of_guesses_is_no_answer() -> None:
    for guesses in ("move forward 0.5 meters; move forward 1 meters", "move left 1 meters, move forward 0.5 meters"):
        row = score(truth("A1", "move forward 0.5 meters"), guesses)
        assert row == {"overall": 0, "reason": "several answers"}
    assert points("A1", "move forward 0.5 meters", "It moved forward 0.5 m. So: move forward 0.5 meters") == 1


def test_copying_the_box_of_the_question_scores_nothing_and_the_truth_one() -> None:
    question, answer = [100, 100, 300, 300], "[150, 100, 350, 300]"
    assert points("D1", answer, str(question), question_box=question) == 0
    assert points("D1", answer, answer, question_box=question) == 1
    # Half way: IoU 150 / 250... the boxes overlap by 175 of 225; the question's own by 150 of 250.
    between = points("D1", answer, "[125, 100, 325, 300]", question_box=question)
    assert between == pytest.approx((175 / 225 - 0.6) / 0.4)
    assert points("D1", answer, str(question)) == pytest.approx(0.6)  # plain IoU where the question is not known


BOXES = st.tuples(*[st.integers(0, 900)] * 2, *[st.integers(1, 100)] * 2).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)


@given(BOXES, BOXES)
def test_overlap_is_that_of_the_engine(a, b) -> None:
    import torch

    assert box_iou(a, b) == pytest.approx(float(tensor_iou(torch.tensor(a).double(), torch.tensor(b).double())))
    assert 0 <= box_score(a, b, None) <= 1 and box_score(a, a, b) == pytest.approx(1 if a != b else 0)


def test_a_response_that_is_no_text_or_too_long_says_so() -> None:
    asked = truth("A4", "true")
    assert score(asked, None) == {"overall": 0.0, "reason": "the response must be text, got NoneType"}
    assert score(asked, 1.0)["overall"] == 0
    long = score(asked, "true" + " " * 1_000_000)
    assert long["overall"] == 1 and long["note"].startswith("1000004 characters")
    assert score(asked, " " * 5000 + "true")["overall"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yes", "must be JSON with task_type and answer"),
        ('["A1"]', "must be JSON with task_type and answer"),
        ('{"task_type": "A1", "answer": 5}', "must be JSON with task_type and answer"),
        ('{"task_type": "A9", "answer": "yes"}', "task_type must be one of"),
        ('{"task_type": "A1", "answer": "somewhere"}', "an action must"),
        ('{"task_type": "D1", "answer": "[3, 2, 1, 4]"}', "a true box must read"),
        ('{"task_type": "D1", "answer": "[1, 2, 3, 4]", "question_box": [1]}', "a true box must read"),
        ('{"task_type": "A4", "answer": "perhaps"}', "must say yes or no in one way"),
    ],
)
def test_a_truth_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_truth(text)


def test_the_ground_truth_of_a_box_is_in_the_unit_of_the_model() -> None:
    task = {"task_type": "D1", "messages": [{}, {"content": "[250, 500, 500, 750]"}]}
    proof = {
        "variant": "predict",
        "transition": {"image_size": [512, 512]},
        "boxes": [{"box_px": [0.0, 0.0, 256.0, 256.0]}, {"box_px": [128.0, 256.0, 256.0, 384.0]}],
    }
    assert json.loads(ground_truth(task, proof))["answer"] == "[250, 500, 500, 750]"
    in_pixels = json.loads(ground_truth(task, proof, FAMILIES["qwen2.5-vl"]))
    assert in_pixels == {
        "task_type": "D1",
        "answer": "[126, 252, 252, 378]",
        "variant": "predict",
        "question_box": [0, 0, 252, 252],
    }
