"""Actions: text in every public spelling, strict refusals, and where the camera ends."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geom.actions import (
    MOST_STEPS,
    REFERENCE_MIN_DEG,
    REFERENCE_MIN_M,
    Action,
    ActionKind,
    ActionSequence,
    canonicalise,
    format_number,
    micro_steps,
    parse_actions,
    same_motion,
)
from geom.se3 import SE3

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "actions_text.jsonl"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the golden data is not beside the repository")

amounts = st.integers(1, 5_000_000).map(lambda k: k / 1e4)
# Plain pairs: the type checker draws random numbers in our constructors, which strategies must not.
pairs = st.lists(st.tuples(st.sampled_from(ActionKind), amounts), min_size=1, max_size=4)


def make(items: list[tuple[ActionKind, float]]) -> ActionSequence:
    return ActionSequence(tuple(Action(kind, amount) for kind, amount in items))


def golden(kind: str) -> list[dict]:
    rows = [row for row in map(json.loads, GOLDEN.read_text().splitlines()) if row["kind"] == kind]
    assert rows
    return rows


def is_close(a: SE3, b: SE3, tolerance: float = 1e-9) -> bool:
    return torch.allclose(a.matrix(), b.matrix(), rtol=0, atol=tolerance)


# Text against the public pipelines.


@needs_golden
def test_numbers_are_written_as_published():
    for row in golden("format_value"):
        value = float(row["input"])
        assert format_number(value) == row["token6"] == row["text_stage1_6dp"] == row["detect_stage1_6dp"], row
        assert format_number(value, 3) == row["text_stage2_3dp"] == row["detect_stage2_3dp"], row


@needs_golden
def test_one_action_is_written_and_read_as_published():
    for row in golden("token_to_text"):
        action = Action(ActionKind(row["act"]), row["magnitude"])
        assert action.token() == row["token"]
        assert (action.text(), action.text(3)) == (row["text_stage1"], row["text_stage2"])
        for text in (row["token"], row["text_stage1"], row["tools"], f"{row['act']} {row['magnitude']}"):
            assert parse_actions(text) == ActionSequence((action,)), text


@needs_golden
def test_their_axis_signs_are_ours_ahead_and_the_opposite_sideways_and_turning():
    axes = {"z": ("z", 1), "x": ("x", -1), "yaw": ("turn", -1)}
    for row in golden("token_to_text"):
        name, signed = row["signed_axis"]
        axis, flip = axes[name]
        assert Action.of(axis, flip * signed) == parse_actions(row["token"])[0]


@needs_golden
def test_canonical_sequences_are_as_published():
    for row in golden("canonicalize"):
        tokens = "; ".join(row["input"])
        read = parse_actions(tokens) if tokens else ActionSequence()
        merged = canonicalise(read, min_m=REFERENCE_MIN_M, min_deg=REFERENCE_MIN_DEG)
        assert list(merged.tokens()) == row["output"], row
        if "note" not in row:  # hand-picked rows have tokens only
            assert merged.text(3) == row["seq_text_stage2"]
            assert merged.claim(3) == row["claim_text"]
            assert merged.natural(3) == row["natural_text"] == row["detect_natural"]


# Spellings.


SPELLINGS = {
    ActionKind.FORWARD: "FWD_2|FWD 2|forward 2|GO_FORWARD 2|move forward 2 meters|forward 2.0 meters|go forward 2 m",
    ActionKind.BACKWARD: "BACK_2|BACK 2|backward 2|GO_BACK 2|move backward 2 meters|backward 2.0 meters",
    ActionKind.TURN_LEFT: "TL_2|TL 2|turn_left 2|TURN_LEFT 2|turn left 2 degrees|turn left 2.0 degrees|turn left 2°",
    ActionKind.TURN_RIGHT: "TR_2|TR 2|turn_right 2|TURN_RIGHT 2|turn right 2 degrees|Turn right 2 deg",
    ActionKind.LEFT: "LEFT_2|LEFT 2|shift_left 2|GO_LEFT 2|move left 2 meters|shift left 2.0 meters|move left 2 m",
    ActionKind.RIGHT: "RIGHT_2|RIGHT 2|shift_right 2|GO_RIGHT 2|move right 2 metre|shift right 2 meters.",
}


@pytest.mark.parametrize(
    ("text", "kind"), [(text, kind) for kind, texts in SPELLINGS.items() for text in texts.split("|")]
)
def test_every_spelling_is_read(text, kind):
    assert parse_actions(text) == ActionSequence((Action(kind, 2.0),))
    assert parse_actions(f"  {text.swapcase()}  ") == ActionSequence((Action(kind, 2.0),))


@pytest.mark.parametrize(
    "text",
    [
        "move forward 0.5 meters; turn left 30 degrees; move right 1 meters",
        "move forward 0.5 meters, turn left 30 degrees and move right 1 meters",
        "move forward 0.5 meters, turn left 30 degrees, and move right 1 meter",
        "First move forward 0.5 meters, Then turn left 30 degrees, Next move right 1 meters.",
        "first move forward .5 m, then turn left 30 deg, finally move right 1. m",
        "3 steps | move forward 0.5 meters; turn left 30 degrees; shift right 1.0 meters",
        "FWD_0.5; TL_30; RIGHT_1",
        "FWD_0.5,TL_30,RIGHT_1",
        "forward 5e-1; turn_left 3e1; shift_right 1",
    ],
)
def test_every_way_of_joining_is_read(text):
    assert parse_actions(text).tokens() == ("FWD_0.5", "TL_30", "RIGHT_1")


def test_one_step_may_be_counted_in_either_number():
    assert parse_actions("1 steps | TL_30") == parse_actions("1 step | TL_30") == parse_actions("TL_30")


@given(pairs)
def test_what_is_written_is_read_back(items):
    sequence = make(items)
    counted = f"{len(sequence)} steps | {sequence.text()}"
    for text in (sequence.text(), "; ".join(sequence.tokens()), sequence.claim(), sequence.natural(), counted):
        assert parse_actions(text) == sequence


@given(pairs)
def test_three_decimals_are_read_back_to_half_a_thousandth(items):
    sequence = make(items)
    rounded = ActionSequence(tuple(a for a in sequence if a.amount >= 0.0005001))
    if rounded:
        again = parse_actions(rounded.text(3))
        assert [a.kind for a in again] == [a.kind for a in rounded]
        assert all(abs(a.amount - b.amount) <= 0.000501 for a, b in zip(again, rounded, strict=True))


def test_five_actions_have_one_first_and_one_finally():
    text = parse_actions("FWD_1; TL_30; FWD_2; TL_40; FWD_3").natural()
    assert [part.split()[0] for part in text.split(", ")] == ["First", "Then", "Next", "Next", "Finally"]


# Refusals.


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "between separators, got nothing there"),
        ("   ", "between separators, got nothing there"),
        ("move forward 0.5 meters;", "between separators"),
        ("FWD_1;;TL_30", "between separators"),
        ("2 steps | ", "between separators"),
        ("jump 3", "unknown action 'jump'"),
        ("move forwrd 0.5 meters", "nearest valid spelling is 'move forward 0.5 meters'"),
        ("turn lft 30 degrees", "nearest valid spelling is 'turn left 30 degrees'"),
        ("shift forward 0.5 meters", "unknown action 'shift forward'"),
        ("move forward by 0.5 meters", "unknown action 'move forward by'"),
        ("do not move forward 0.5 meters", "unknown action"),
        ("move forward", "must have a size, got 'move forward'; write for example 'move forward 0.5 meters'"),
        ("turn left degrees", "must have a size, got 'turn left degrees'; write for example 'turn left 30 degrees'"),
        ("FWD_", "must have a size"),
        ("0.5 meters", "words, one number, a unit"),
        ("move forward 0.5 meters 3", "words, one number, a unit"),
        ("FWD_1 TL_30", "words, one number, a unit"),
        ("move forward ０.5 meters", "words, one number, a unit"),
        ("move forward nan meters", "must be finite, got nan"),
        ("FWD_nan", "must be finite, got nan"),
        ("TL_inf", "must be finite, got inf"),
        ("turn left 1e999 degrees", "must be finite"),
        ("FWD_-0.5", "must be > 0, got -0.5 in 'FWD_-0.5'; write backward for the other way"),
        ("left-10", "must be > 0, got -10 .*write shift_right"),
        ("move forward 0 meters", "must be > 0, got 0 .*leave out"),
        ("TL_0", "must be > 0"),
        ("move forward 0.5", "must name its unit.*write meters"),
        ("turn left 30", "must name its unit.*write degrees"),
        ("move forward 0,5 meters", "must name its unit, got 'move forward 0'"),
        ("move forward 50 cm", "unit of forward must be meters, got 'cm'"),
        ("move left 30 degrees", "unit of shift_left must be meters, got 'degrees'"),
        ("turn left 0.5 radians", "unit of turn_left must be degrees, got 'radians'"),
        ("turn left 0.5 meters", "unit of turn_left must be degrees, got 'meters'"),
        ("3 steps | FWD_1; TL_30", "step count must equal the number of actions, got 3 for 2"),
    ],
)
def test_bad_text_is_refused_with_the_reason(text, match):
    with pytest.raises(ValueError, match=match) as error:
        parse_actions(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("amount", [0.0, -1.0, math.nan, math.inf])
def test_an_action_without_a_positive_finite_size_is_refused(amount):
    with pytest.raises(ValueError, match="finite and > 0"):
        Action(ActionKind.FORWARD, amount)


# Where they lead.


@pytest.mark.parametrize(
    ("text", "end", "axis_ahead"),
    [
        ("FWD_2", (0, 0, 2), (0, 0, 1)),
        ("BACK_2", (0, 0, -2), (0, 0, 1)),
        ("RIGHT_2", (2, 0, 0), (0, 0, 1)),
        ("LEFT_2", (-2, 0, 0), (0, 0, 1)),
        ("TR_90", (0, 0, 0), (1, 0, 0)),
        ("TL_90", (0, 0, 0), (-1, 0, 0)),
        ("TR_90; FWD_2", (2, 0, 0), (1, 0, 0)),  # ahead is now the old right
        ("TR_90; RIGHT_2", (0, 0, -2), (1, 0, 0)),  # right is now the old back
        ("TL_90; FWD_2", (-2, 0, 0), (-1, 0, 0)),
        ("FWD_1; TL_30; FWD_1", (-0.5, 0, 1 + math.sqrt(0.75)), (-0.5, 0, math.sqrt(0.75))),
    ],
)
def test_actions_lead_where_the_words_say(text, end, axis_ahead):
    T_first_last = parse_actions(text).pose()
    assert T_first_last.t.tolist() == pytest.approx(end)
    assert T_first_last.R[:, 2].tolist() == pytest.approx(axis_ahead)


@given(pairs, pairs)
def test_poses_compose(first, second):
    a, b = make(first), make(second)
    assert is_close((a + b).pose(), a.pose() @ b.pose(), 1e-6)


@given(pairs)
def test_poses_start_at_the_identity_and_end_at_the_pose(items):
    sequence = make(items)
    poses = sequence.poses()
    assert poses.shape == (len(sequence) + 1,)
    assert is_close(poses[0], SE3.identity()) and is_close(poses[-1], sequence.pose())
    steps = poses[:-1].inverse() @ poses[1:]
    assert all(is_close(steps[i], a.pose(), 1e-6) for i, a in enumerate(sequence))


@given(pairs)
def test_plain_numbers_agree_with_the_matrices(items):
    sequence = make(items)
    planar, pose = sequence.planar(), sequence.pose()
    assert (planar.x, 0.0, planar.z) == pytest.approx(tuple(pose.t.tolist()), abs=1e-6)
    turn = math.radians(planar.turn_deg)
    assert (math.sin(turn), math.cos(turn)) == pytest.approx((float(pose.R[0, 2]), float(pose.R[2, 2])), abs=1e-9)


@given(pairs)
def test_undoing_leads_back(items):
    sequence = make(items)
    assert is_close((sequence + sequence.reversed_()).pose(), SE3.identity(), 1e-6)
    assert sequence.reversed_().reversed_() == sequence


@given(pairs)
def test_a_mirror_swaps_left_and_right_and_nothing_else(items):
    sequence = make(items)
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    mirrored = flip @ sequence.pose().matrix() @ flip
    assert torch.allclose(sequence.mirrored().pose().matrix(), mirrored, atol=1e-6)
    assert sequence.mirrored().mirrored() == sequence
    assert [a.amount for a in sequence.mirrored()] == [a.amount for a in sequence]


@given(pairs)
def test_merging_changes_no_end(items):
    sequence = make(items)
    merged = canonicalise(sequence)
    assert same_motion(merged, sequence, tol_m=1e-6, tol_deg=1e-6)
    assert all(a.kind.axis != b.kind.axis for a, b in zip(merged, merged.actions[1:], strict=False))
    assert canonicalise(merged) == merged


def test_exact_cancellation_leaves_nothing_and_sums_stay_on_the_grid():
    # 0.1 + 0.2 - 0.3 is 5.6e-17 in floats.
    assert len(canonicalise(parse_actions("FWD_0.1; FWD_0.2; BACK_0.3"))) == 0
    assert canonicalise(parse_actions("FWD_0.1; FWD_0.2"))[0].amount == 0.3
    assert canonicalise(parse_actions("LEFT_1; TL_5; TR_5; RIGHT_0.4")).tokens() == ("LEFT_0.6",)


def test_merging_does_not_wrap_angles():
    assert canonicalise(parse_actions("TL_350; TL_20")).tokens() == ("TL_370",)


def test_the_reference_thresholds_delete_a_short_clip_and_ours_do_not():
    steps = ActionSequence(tuple(a for group in micro_steps(parse_actions("FWD_0.1"), min_num_frames=8) for a in group))
    assert len(steps) == 7
    assert len(canonicalise(steps, min_m=REFERENCE_MIN_M, min_deg=REFERENCE_MIN_DEG)) == 0
    assert canonicalise(steps).text() == "move forward 0.1 meters"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("LEFT_1; FWD_2", "FWD_2; LEFT_1", True),
        ("TL_20", "TR_340", True),
        ("TL_180", "TR_180", True),
        ("FWD_1; TL_90; RIGHT_1", "FWD_2; TL_90", True),
        ("TL_20", "TR_20", False),
        ("TL_20; FWD_1", "FWD_1; TL_20", False),
        ("FWD_1", "FWD_1.001", False),
        ("TL_20", "TL_20.001", False),
        ("LEFT_1", "RIGHT_1", False),
    ],
)
def test_motions_are_the_same_when_they_end_at_the_same_pose(a, b, expected):
    assert same_motion(parse_actions(a), parse_actions(b)) is expected


def test_tolerances_are_those_given():
    assert same_motion(parse_actions("FWD_1"), parse_actions("FWD_1.01"), tol_m=0.02)
    assert same_motion(parse_actions("TL_359"), parse_actions("TR_2"), tol_deg=1.5)
    assert not same_motion(parse_actions("TL_359"), parse_actions("TR_2"), tol_deg=0.5)


@pytest.mark.parametrize(
    ("text", "settings", "lengths"),
    [
        ("FWD_0.6", {}, [3]),  # 0.6 / 0.2 is 2.9999999999999996
        ("FWD_0.61", {}, [4]),
        ("TL_30; FWD_0.1", {}, [6, 1]),
        ("FWD_0.1; TL_50", {"min_num_frames": 8}, [7, 10]),
        ("FWD_1; TL_9", {"max_step_m": 0.25, "max_step_deg": 2.0}, [4, 5]),
    ],
)
def test_actions_split_into_equal_steps(text, settings, lengths):
    whole = parse_actions(text)
    groups = micro_steps(whole, **settings)
    assert [len(g) for g in groups] == lengths
    assert all(len({a.amount for a in g}) == 1 for g in groups)
    assert same_motion(sum(groups, ActionSequence()), whole)


def test_bad_steps_are_refused():
    for settings in ({"max_step_m": 0.0}, {"max_step_deg": -5.0}):
        with pytest.raises(ValueError, match="steps must be > 0"):
            micro_steps(parse_actions("FWD_1"), **settings)
    with pytest.raises(ValueError, match="min_num_frames must be >= 2, got 1"):
        micro_steps(parse_actions("FWD_1"), min_num_frames=1)


@pytest.mark.parametrize(
    ("text", "told"), [("FWD_20000.1", "100001"), ("FWD_15000; TL_300000", "135000"), ("FWD_1e308", "inf")]
)
def test_steps_without_end_are_refused_before_they_are_built(text, told):
    with pytest.raises(ValueError, match=f"at most 100000 steps, got {told};"):
        micro_steps(parse_actions(text))


def test_as_many_steps_as_allowed_are_built():
    assert sum(map(len, micro_steps(parse_actions("FWD_10000; TL_250000")))) == MOST_STEPS
