"""What a response says: fair to the wording, strict about there being one answer, and never slow or broken."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.responses import MAX_READ, Unread, final_answer, read_actions, read_box, read_yes_no


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("  yes ", "yes"),
        ("<think>first no, then</think>yes", "yes"),
        ("<THINKING>no</THINKING>\n<answer>yes</answer>", "yes"),
        ("<think>no end", ""),
        ("$\\text{move left } 1.2 \\text{ meters}$", "move left  1.2  meters"),
        ("so \\boxed{\\text{yes}}", "yes"),
        ("\\boxed{no} or rather \\boxed{yes}", "yes"),
        ("\\boxed{[1, {2}]", "[1, {2}]"),
        ("The answer is: **B**", "B"),
        ("Answer: no\nFinal answer: yes", "yes"),
        ("perhaps turned right 10 degrees?\n**Answer**\nmove left 1 meters", "move left 1 meters"),
        ("The answer is B. I am sure this answer is right.", "B. I am sure this answer is right."),
        ('{"reason": "because", "answer": "yes"}', "yes"),
        ('```json\n{"bbox_2d": [1, 2, 3, 4]}\n```', "[1, 2, 3, 4]"),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "chair"}]', "[1, 2, 3, 4]"),
        ('{"other": 1}', '{"other": 1}'),
        ('{"answer": ', '{"answer":'),
        ("[{" * 3000, "[{" * (MAX_READ // 2)),
        ("x" * MAX_READ + " yes", "x" * MAX_READ),
        ("", ""),
    ],
)
def test_the_final_answer_is_cut_out(response: str, answer: str) -> None:
    assert final_answer(response) == answer


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("move forward 0.5 meters", "move forward 0.5 meters"),
        ("The camera moved forward by about .5 m.", "move forward 0.5 meters"),
        ("MOVED FORWARDS 0.5 METRES", "move forward 0.5 meters"),
        ("move 0.5 meters to the left", "move left 0.5 meters"),
        ("move forward 0.5", "move forward 0.5 meters"),
        ("forward 1.5 meters; turn left 40 degrees", "move forward 1.5 meters; turn left 40 degrees"),
        ("shift left 0.4 meters", "move left 0.4 meters"),
        ("go back 2m and then rotate 30° right", "move backward 2 meters; turn right 30 degrees"),
        ("left 30 degrees", "turn left 30 degrees"),
        ("turn_left 30", "turn left 30 degrees"),
        ("FWD_0.5; TR_30", "move forward 0.5 meters; turn right 30 degrees"),
        ("2 steps | move left 1 meters; turn left 5 degrees", "move left 1 meters; turn left 5 degrees"),
        ("First move left 1 meters, Then turn left 5 degrees.", "move left 1 meters; turn left 5 degrees"),
        ("turned to the left 20 deg", "turn left 20 degrees"),
        ("Forward, 1.2 m", "move forward 1.2 meters"),
        ("1.2 meters forward", "move forward 1.2 meters"),
        ("turn left (30 degrees); move forward (1 meter)", "turn left 30 degrees; move forward 1 meters"),
        ("turn left by an angle of 30 degrees", "turn left 30 degrees"),
        ("left 0.5 meters forward 2 meters", "move left 0.5 meters; move forward 2 meters"),
    ],
)
def test_actions_are_read_in_many_wordings(text: str, actions: str) -> None:
    found = read_actions(text)
    assert not isinstance(found, Unread) and found.text() == actions


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no action found"),
        ("move forward", "no action found"),
        ("move forward three meters", "no action found"),
        ("move forward 3 steps", "no action found"),
        ("move forward 0.5 metersss", "no action found"),
        ("move forward -0.5 meters", "no action found"),
        ("move forward nan meters", "no action found"),
        ("move forward ５ meters", "no action found"),
        ("向前移动0.5米", "no action found"),
        ("not move forward 0.5 meters", "denied"),
        ("it didn't move left 2 meters", "denied"),
        ("turn left 30 meters", "a turn in meters"),
        ("move left 30 degrees", "a move in degrees"),
        ("turn forward 30 degrees", "a turn forward"),
        ("left 30", "neither a move nor a turn"),
        ("move left 0 meters", "a size of 0"),
        ("move left 9999999 meters", "a size of 9999999"),
        ("move left 1 meters or turn left 2 degrees", "several answers"),
        ("either move left 1 meters, or move left 2 meters", "several answers"),
        ("3 steps | move left 1 meters; turn left 2 degrees", "says 3 actions and lists 2"),
        ("move left 1 meters; turn around", "between semicolons"),
        ("turn left 30 degrees, move forward", "an action without a size"),
        ("- turn left 30 degrees\n- move forward one meter", "an action without a size"),
        ("move left or right 0.5 meters", "an action without a size"),
        ("turn left|right 30 degrees", "an action without a size"),
        ("turn left 30 degrees after moving forward 1 meter", "an order told by after or before"),
        ("between 0.5 and 0.6 meters left", "no action found"),
    ],
)
def test_what_names_no_single_sequence_is_unread(text: str, reason: str) -> None:
    found = read_actions(text)
    assert isinstance(found, Unread) and reason in found.reason


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("[100, 200, 300, 400]", (100, 200, 300, 400)),
        ("bbox: (1 2 3 4)", (1, 2, 3, 4)),
        ("<|box_start|>(1,2),(3,4)<|box_end|>", (1, 2, 3, 4)),
        ("1, 2, 3, 4", (1, 2, 3, 4)),
        ("[1.5, -2, 3e2, .5e1]", (1.5, -2, 300, 5)),
        ("[1, 2, 3, 4] that is [1, 2, 3, 4]", (1, 2, 3, 4)),
    ],
)
def test_a_box_is_read_in_many_forms(text: str, box: tuple) -> None:
    assert read_box(text) == box


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no box found"),
        ("[1, 2, 3]", "no box found"),
        ("[nan, 0, 1, 1]", "no box found"),
        ("[1, 2, 3, 4] or [1, 2, 3, 5]", "several answers"),
        ("[3, 2, 1, 4]", "without area"),
        ("[1, 4, 3, 4]", "without area"),
        ("[0, 0, 1, 1e99]", "without area"),
    ],
)
def test_what_names_no_single_box_is_unread(text: str, reason: str) -> None:
    found = read_box(text)
    assert isinstance(found, Unread) and reason in found.reason


@pytest.mark.parametrize(
    ("text", "task", "variant", "value"),
    [
        ("Yes, it does.", "D4", "open", True),
        ("FALSE", "A4", "open", False),
        ("The claim is not true.", "A4", "open", False),
        ("It does not match.", "A4", "open", False),
        ("The chair disappears from view.", "D2", "sentence", True),
        ("The chair remains visible.", "D2", "sentence", False),
        ("It does not disappear", "D2", "sentence", False),
        ("no longer visible", "D2", "open", True),
        ("No. It is not gone; it stays visible.", "D2", "open", False),
        ("it is not visible", "D2", "sentence", True),
        ("invisible", "D2", "open", True),
        ("It won't be visible.", "D2", "open", True),
        ("no longer in the frame", "D2", "choice", True),
        ("It has left the image.", "D2", "sentence", True),
        ("It can still be seen.", "D2", "sentence", False),
        ("it is still in the picture", "D2", "open", False),
        ("The second box marks another object.", "D4", "sentence", False),
        ("Yes, the same chair from another viewpoint.", "D4", "open", True),
        ("Yes. My answer is based on the fact that no other chair is there.", "D4", "open", True),
        ("It is a mismatch.", "A4", "open", False),
        ("It hasn\u2019t disappeared", "D2", "open", False),
        ("False. The true motion is another.", "A4", "open", False),
        ("The claim is true because the camera did not turn.", "A4", "open", True),
        ("No, it's still visible.", "D2", "open", False),
        ("identical", "D4", "choice", True),
        ("They are the same physical object instance.", "D4", "sentence", True),
        ("They are different object instances.", "D4", "sentence", False),
        ("No, only the same kind of thing", "D4", "open", False),
        ("not the same object", "D4", "open", False),
        ("A", "D4", "choice", True),
        ("(b)", "D2", "choice", False),
        ("Option B", "D2", "choice", False),
        ("B. still visible", "D2", "choice", False),
        ("A. gone from view (outside the image or fully hidden)", "D2", "choice", True),
        ("A chair remains visible", "D2", "choice", False),
    ],
)
def test_yes_and_no_are_read_in_words_letters_and_sentences(text, task, variant, value) -> None:
    assert read_yes_no(final_answer(text), task, variant) is value


@pytest.mark.parametrize(
    ("text", "task", "variant"),
    [
        ("", "A4", "open"),
        ("yes or no", "D4", "open"),
        ("It disappears, or it remains visible.", "D2", "sentence"),
        ("A. still visible", "D2", "choice"),
        ("A, B", "D4", "choice"),
        ("A or B", "D4", "choice"),
        ("(A) and (B)", "D4", "choice"),
        ("yes", "D4", "choice"),
        ("yes", "D2", "sentence"),
        ("A", "D2", "open"),
        ("perhaps", "A4", "open"),
        # A denial that no rule knows is no answer, rather than the opposite of what was said.
        ("It isn't true", "A4", "open"),
        ("I don't think the claim is true", "A4", "open"),
        ("does not seem to match", "A4", "open"),
        ("They aren't the same object", "D4", "sentence"),
        ("They cannot be the same", "D4", "open"),
        ("They are not different", "D4", "open"),
        ("does not remain visible", "D2", "sentence"),
        ("It is unlikely to disappear", "D2", "open"),
        ("It moves to the left frame edge.", "D2", "sentence"),
    ],
)
def test_what_claims_both_or_neither_is_unread(text: str, task: str, variant: str) -> None:
    assert isinstance(read_yes_no(final_answer(text), task, variant), Unread)


PIECES = [
    "move left 0.5 meters",
    "yes",
    "[1, 2, 3, 4]",
    "<think>",
    "</think>",
    "\\boxed{",
    "}",
    '{"answer": ',
    "or ",
    "A. ",
]
PIECES += [
    "not ",
    "no ",
    "turn ",
    "0" * 50,
    " " * 50,
    "left by by ",
    "1 2 3 ",
    "answer is ",
    "```",
    "<answer>",
    "move to the ",
]
RESPONSES = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(PIECES), max_size=400).map("".join),
    st.tuples(st.sampled_from(PIECES), st.integers(1, 6000)).map(lambda pair: pair[0] * pair[1]),
)


@settings(max_examples=300)
@given(RESPONSES)
def test_no_response_breaks_a_reader_or_takes_ten_milliseconds(response: str) -> None:
    def read_all() -> float:
        start = time.thread_time()  # of this thread alone: what else the processor does is no fault of ours
        text = final_answer(response)
        read_actions(text), read_box(text), read_yes_no(text, "D2", "choice")
        return time.thread_time() - start

    assert min(read_all() for _ in range(3)) < 0.010
