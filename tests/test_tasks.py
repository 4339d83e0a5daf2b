"""What each task asks of a case made by hand: the right object, the right answer, and nothing beyond its margins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from geom.actions import ActionSequence, parse_actions
from geom.camera import PinholeCamera
from geom.scale import Scale
from geom.se3 import SE3
from geom.visibility import Partition
from synth import tasks_motion
from synth.answers import BoxAnswer, ClaimAnswer, IdentityAnswer, MotionAnswer, VisibilityAnswer
from synth.case import Case, DoesNotApply, LeftOut, Question, balanced
from synth.evidence import Sight
from synth.tasks import MAX_QUESTIONS, TASKS, ask
from synth.tasks_motion import ask_claim, ask_distance, ask_orientation, ask_sequence, motion_answer
from synth.tasks_object import ask_box, ask_cause, ask_identity, ask_visibility
from synth.transition import ROOM, Trajectory, Transition, View

# f = 100 px; a wall at 2 m fills the picture, so 0.1 m to the side is 5 px: 0.025 of the width.
WIDTH, HEIGHT, WALL_M = 200, 100, 2.0
CAMERA = PinholeCamera(torch.tensor([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]]).double(), WIDTH, HEIGHT)
FORWARD = "move forward 0.5 meters"
TURN = "turn left 30 degrees"
NOWHERE = (math.nan,) * 4
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Item:
    """An item and what the cameras make of it; boxes are (x1, y1, x2, y2) pixels, owned as far as `owned` says."""

    kind: str = "chair"
    before: Box = (20, 20, 60, 60)
    after: Box = (100, 20, 160, 80)
    mirrored: Box = NOWHERE
    seen_before: float = 1.0
    seen_after: float = 1.0
    hidden_after_by: tuple[tuple[int, float], ...] = ()
    owned_before: Box | None = None
    owned_after: Box | None = None

    def owned(self, when: str) -> Box:
        return (self.owned_before if when == "before" else self.owned_after) or getattr(self, when)


@dataclass
class FakeEvidence:
    """Says what the items say, at the three poses that a case looks from."""

    items: tuple[Item, ...]
    poses: Mapping[str, SE3]
    sees: bool = True
    item_ids: tuple[str, ...] = field(init=False)
    kinds: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.item_ids = tuple(f"{item.kind}_{n}" for n, item in enumerate(self.items))
        self.kinds = tuple(item.kind for item in self.items)

    def when(self, T_world_cam: SE3) -> str:
        return next(name for name, T in self.poses.items() if max(map(float, T.distance(T_world_cam))) < 1e-9)

    def boxes(self, T_world_cam: SE3, camera: PinholeCamera) -> NDArray[np.float64]:
        return np.array([getattr(item, self.when(T_world_cam)) for item in self.items], float)

    def partition(self, item_idx: int, T_world_cam: SE3, camera: PinholeCamera) -> Partition | None:
        item, is_before = self.items[item_idx], self.when(T_world_cam) == "before"
        share = item.seen_before if is_before else item.seen_after
        hidden = () if is_before else item.hidden_after_by
        return Partition(share, 1 - share - sum(s for _, s in hidden), 0.0, hidden)

    def is_seen(self, p_world: Tensor, T_world_cam: SE3) -> NDArray[np.bool_]:
        return np.full(len(p_world), self.sees)


def painted(items: tuple[Item, ...], when: str) -> View:
    item_idx = np.full((HEIGHT, WIDTH), ROOM, np.int16)
    for n, item in enumerate(items):
        if not math.isnan(item.owned(when)[0]):
            x1, y1, x2, y2 = map(int, item.owned(when))
            item_idx[y1:y2, x1:x2] = n
    return View(np.full((HEIGHT, WIDTH), WALL_M, np.float32), item_idx)


def make_case(*items: Item, text: str = FORWARD, claim: str | None = None, sees: bool = True) -> Case:
    actions = parse_actions(text)
    poses = {"before": SE3.identity(), "after": actions.pose(), "mirrored": actions.mirrored().pose()}
    evidence = FakeEvidence(items, poses, sees)
    before, after = (Sight(evidence, poses[when], CAMERA, painted(items, when)) for when in ("before", "after"))
    T_world_cam = SE3.stack([poses["before"], poses["after"]])
    traj = Trajectory("t", CAMERA, T_world_cam, actions, actions, Scale("metric", "made up"))
    transition = Transition("s", traj, before.view, after.view)
    return Case(transition, before, after, lambda rng: claimed(claim), tuple(range(len(items))))


def claimed(text: str | None) -> tuple[str, ActionSequence] | None:
    return ("size", parse_actions(text)) if text else None


def both(task: Any, case: Case, variant: str = "open") -> dict[bool, Question]:
    """The two questions that a fair coin may choose, by whether the answer is yes."""
    asked = [task(case, np.random.default_rng(seed), variant) for seed in range(20)]
    return {next(v for v in vars(q.answer).values() if isinstance(v, bool)): q for q in asked}


def leaves_out(task: Any, case: Case, cause: str) -> None:
    for seed in range(4):
        with pytest.raises(LeftOut, match=cause):
            task(case, np.random.default_rng(seed), "open")


RNG = np.random.default_rng(0)


def test_balanced_gives_both_about_equally_often() -> None:
    rng = np.random.default_rng(0)
    answers = [balanced(rng, "y", "n", "") for _ in range(1000)]
    assert set(answers) == {(True, "y"), (False, "n")}
    assert 450 < answers.count((True, "y")) < 550


@pytest.mark.parametrize(("yes", "no"), [(None, "n"), ("y", None), (None, None)])
def test_balanced_asks_neither_where_one_is_missing(yes: str | None, no: str | None) -> None:
    with pytest.raises(LeftOut, match="one is missing"):
        balanced(RNG, yes, no, "one is missing")


@pytest.mark.parametrize("text", ["move forward 0.5 meters", "move left 0.3 meters"])
def test_a1_asks_about_one_move(text: str) -> None:
    question = ask_distance(make_case(text=text), RNG, "open")
    assert (question.task_type, question.variant, question.asked) == ("A1", "open", {"num_actions": 1})
    assert question.answer == MotionAnswer(text, (text,))
    with pytest.raises(DoesNotApply):
        ask_orientation(make_case(text=text), RNG, "open")


def test_a2_asks_about_one_turn() -> None:
    question = ask_orientation(make_case(text=TURN), RNG, "open")
    assert question.task_type == "A2" and question.answer == MotionAnswer(TURN, (TURN,))
    with pytest.raises(DoesNotApply):
        ask_distance(make_case(text=TURN), RNG, "open")


@pytest.mark.parametrize("task", [ask_distance, ask_orientation])
def test_a1_and_a2_ask_nothing_about_several_steps(task: Any) -> None:
    with pytest.raises(DoesNotApply):
        task(make_case(text=f"{FORWARD}; {TURN}"), RNG, "open")


def test_a3_keeps_every_order_that_ends_at_the_same_pose() -> None:
    """Two moves commute, so both orders are right; a move and a turn do not, so only one is."""
    moves = ask_sequence(make_case(text="move left 0.4 meters; move forward 0.5 meters"), RNG, "open").answer
    assert moves == MotionAnswer(
        "move left 0.4 meters; move forward 0.5 meters",
        ("move forward 0.5 meters; move left 0.4 meters", "move left 0.4 meters; move forward 0.5 meters"),
    )
    turned = ask_sequence(make_case(text=f"{TURN}; {FORWARD}"), RNG, "open").answer
    assert turned == MotionAnswer(f"{TURN}; {FORWARD}", (f"{TURN}; {FORWARD}",))


@pytest.mark.parametrize("text", [FORWARD, "; ".join([FORWARD, TURN] * 2)])
def test_a3_asks_about_two_or_three_steps(text: str) -> None:
    with pytest.raises(DoesNotApply):
        ask_sequence(make_case(text=text), RNG, "open")


def test_a3_says_how_many_steps() -> None:
    text = f"{TURN}; {FORWARD}; turn right 10 degrees"
    assert ask_sequence(make_case(text=text), RNG, "open").asked == {"num_actions": 3}


@pytest.mark.parametrize("text", ["move forward 0.555 meters", "turn left 32.5 degrees"])
def test_motions_off_the_grid_are_left_out(text: str) -> None:
    with pytest.raises(LeftOut, match="off the grid"):
        motion_answer(parse_actions(text))


def test_a_motion_that_too_many_sequences_make_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and back a, left, forward b: a + b may be had in hundreds of ways. A move, a move and a turn: in six."""
    with pytest.raises(LeftOut, match="too many sequences"):
        motion_answer(parse_actions("move forward 1 meters; move left 0.4 meters; move forward 0.5 meters"))
    few = parse_actions("move forward 0.1 meters; move left 0.1 meters; turn left 90 degrees")
    for most, is_asked in ((6, True), (5, False)):
        monkeypatch.setattr(tasks_motion, "MAX_EQUIVALENTS", most)
        motion_answer.cache_clear()
        if is_asked:
            assert len(motion_answer(few).equivalents) == 6
        else:
            with pytest.raises(LeftOut, match="too many sequences"):
                motion_answer(few)


def test_a4_asks_the_true_claim_or_the_false_one() -> None:
    questions = both(ask_claim, make_case(text="move left 0.4 meters", claim="move left 0.6 meters"))
    assert questions[True].answer == ClaimAnswer(True) and questions[False].answer == ClaimAnswer(False)
    assert questions[True].asked == {"claim": "move left 0.4 meters"}
    assert questions[True].margins == {"reason": "true", "displacement": 0.0, "claim": "move left 0.4 meters"}
    assert questions[False].asked == {"claim": "move left 0.6 meters"}
    # 0.2 m at 2 m is 10 px of 200.
    assert questions[False].margins["displacement"] == pytest.approx(0.05)
    assert questions[False].margins["reason"] == "size"


@pytest.mark.parametrize(("displacement", "is_asked"), [(0.025, True), (math.nextafter(0.025, 0), False)])
def test_a4_keeps_its_margin(displacement: float, is_asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "displacement", lambda self, claimed: displacement)
    case = make_case(claim="move forward 0.6 meters")
    if is_asked:
        assert both(ask_claim, case).keys() == {True, False}
    else:
        leaves_out(ask_claim, case, "looks too alike")


@pytest.mark.parametrize("claim", [None, FORWARD])
def test_a4_asks_nothing_without_a_claim_that_is_false(claim: str | None) -> None:
    leaves_out(ask_claim, make_case(claim=claim), "not possible or looks too alike")


def test_a4_does_not_call_another_way_to_the_same_pose_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "displacement", lambda self, claimed: 1.0)  # not the picture decides
    case = make_case(
        text="move left 0.4 meters; move forward 0.5 meters",
        claim="move forward 0.5 meters; move left 0.4 meters",
    )
    leaves_out(ask_claim, case, "looks too alike")


def test_displacement_by_hand() -> None:
    """0.1 m more to the side moves the wall at 2 m by 5 of 200 px."""
    case = make_case(text="move left 0.4 meters")
    assert case.displacement(parse_actions("move left 0.5 meters").pose()) == pytest.approx(0.025, rel=1e-6)
    assert case.displacement(case.actions.pose()) == pytest.approx(0, abs=1e-9)


def test_views_that_share_nothing_differ_by_the_whole_width() -> None:
    """3.9 m to the side leaves 5 of 200 columns in common; and where something stands between, nothing at all."""
    assert make_case().displacement(parse_actions(f"{FORWARD}; move left 3.9 meters").pose()) == 1.0
    assert make_case(sees=False).displacement(parse_actions("move forward 0.6 meters").pose()) == 1.0


def test_d1_asks_for_the_box_after_the_motion() -> None:
    question = ask_box(make_case(Item()), RNG, "predict")
    assert question.asked == {"label": "chair", "box": (100, 200, 300, 600), "actions": FORWARD}
    assert question.answer == BoxAnswer((500, 200, 800, 800), (100, 20, 160, 80))
    assert question.boxes_px == ((0, "question", (20, 20, 60, 60)), (1, "answer", (100, 20, 160, 80)))
    assert [t.item_idx for t in question.targets] == [0]


@pytest.mark.parametrize(("x2", "is_asked"), [(70, True), (71, False)])
def test_d1_is_not_asked_where_copying_the_box_would_do(x2: int, is_asked: bool) -> None:
    """Of 100 x 10 px, 70 x 10 remain: an overlap of 0.7."""
    case = make_case(Item(before=(0, 0, 100, 10), after=(0, 0, x2, 10)))
    if is_asked:
        assert ask_box(case, RNG, "predict").targets[0].item_idx == 0
    else:
        leaves_out(ask_box, case, "moved in the picture")


def is_clean(item: Item) -> bool:
    try:
        return isinstance(ask_box(make_case(item), RNG, "track"), Question)
    except LeftOut:
        return False


def test_a_box_is_asked_only_where_nine_tenths_of_it_are_the_objects_pixels() -> None:
    """Of 100 columns 90 and 89 are owned."""
    for when, box in (("before", (50.0, 0.0, 150.0, 20.0)), ("after", (50.0, 60.0, 150.0, 90.0))):
        x1, y1, x2, y2 = box
        assert is_clean(Item(**{when: box, f"owned_{when}": (x1, y1, x2 - 10, y2)}))
        assert not is_clean(Item(**{when: box, f"owned_{when}": (x1, y1, x2 - 11, y2)}))


def test_a_box_is_neither_tiny_nor_the_whole_picture() -> None:
    """0.003 of 200 x 100 px are 60 px, 0.6 are 12000."""
    assert is_clean(Item(after=(100, 20, 110, 26))) and not is_clean(Item(after=(100, 20, 159, 21)))
    assert is_clean(Item(after=(50, 0, 170, 100))) and not is_clean(Item(after=(50, 0, 171, 100)))


def test_an_object_is_asked_about_only_if_half_of_it_is_seen_before() -> None:
    assert is_clean(Item(seen_before=0.5))
    assert not is_clean(Item(seen_before=0.499))


GONE = Item(after=NOWHERE, seen_after=0.0)
STAYS = Item("sofa", before=(80, 20, 120, 60))


def test_d2_asks_about_a_gone_or_a_remaining_object() -> None:
    questions = both(ask_visibility, make_case(GONE, STAYS))
    assert questions[True].answer == VisibilityAnswer(True) and questions[True].asked["label"] == "chair"
    assert questions[False].answer == VisibilityAnswer(False) and questions[False].asked["label"] == "sofa"
    assert questions[True].asked["actions"] == FORWARD
    assert questions[True].boxes_px == ((0, "question", (20, 20, 60, 60)),)
    assert questions[True].margins == {"gone_at_most": 0.02, "still_there_at_least": 0.25}


def test_d2_counts_a_hidden_object_as_gone() -> None:
    hidden = Item(owned_after=NOWHERE, seen_after=0.0, hidden_after_by=((1, 1.0),))
    question = both(ask_visibility, make_case(hidden, STAYS))[True]
    assert question.targets[0].item_idx == 0
    shares = make_case(hidden, STAYS).after.partition(0)
    assert shares is not None and shares.hidden == 1.0 and shares.outside == 0.0


@pytest.mark.parametrize(
    ("gone", "stays", "is_asked"), [(0.02, 0.25, True), (0.0201, 0.25, False), (0.02, 0.2499, False)]
)
def test_d2_keeps_its_margins(gone: float, stays: float, is_asked: bool) -> None:
    case = make_case(Item(after=NOWHERE, seen_after=gone), Item("sofa", before=(80, 20, 120, 60), seen_after=stays))
    if is_asked:
        assert both(ask_visibility, case).keys() == {True, False}
    else:
        leaves_out(ask_visibility, case, "not both a gone and a remaining")


def test_d2_does_not_call_gone_what_still_owns_a_pixel() -> None:
    leaves_out(ask_visibility, make_case(Item(after=(10, 20, 70, 80), seen_after=0.01), STAYS), "not both")


@pytest.mark.parametrize("items", [(GONE,), (STAYS,)])
def test_d2_asks_nothing_where_one_answer_is_missing(items: tuple[Item, ...]) -> None:
    leaves_out(ask_visibility, make_case(*items), "not both")


def test_d3_gives_both_boxes_and_asks_for_the_motion() -> None:
    question = ask_cause(make_case(Item(), text=f"{TURN}; {FORWARD}"), RNG, "steps")
    assert question.asked == {
        "label": "chair",
        "box": (100, 200, 300, 600),
        "box_after": (500, 200, 800, 800),
        "num_actions": 2,
    }
    assert question.answer == MotionAnswer(f"{TURN}; {FORWARD}", (f"{TURN}; {FORWARD}",))
    assert [(image, role) for image, role, _ in question.boxes_px] == [(0, "question"), (1, "question")]


def test_d3_asks_about_one_or_two_steps_and_an_object_in_both_views() -> None:
    with pytest.raises(DoesNotApply):
        ask_cause(make_case(Item(), text=f"{TURN}; {FORWARD}; {TURN}"), RNG, "open")
    leaves_out(ask_cause, make_case(GONE), "in both views")


def test_d3_takes_the_object_whose_turn_it_is() -> None:
    case = make_case(GONE, STAYS, Item("lamp", before=(150, 20, 190, 60), after=(20, 20, 60, 60)))
    assert [ask_cause(case, RNG, "open", nth).asked["label"] for nth in (0, 1)] == ["sofa", "lamp"]
    with pytest.raises(LeftOut):
        ask_cause(case, RNG, "open", 2)


# A double 60 x 60 px elsewhere in the second view.
DOUBLE = Item(before=(130, 20, 170, 60), after=(10, 20, 70, 80))


def test_d4_may_show_the_object_or_its_double() -> None:
    questions = both(ask_identity, make_case(Item(), DOUBLE))
    same, other = questions[True], questions[False]
    assert same.answer == IdentityAnswer(True) and other.answer == IdentityAnswer(False)
    assert same.asked["box_after"] == (500, 200, 800, 800) and same.margins == {"reason": "same object"}
    assert other.asked["box_after"] == (50, 200, 350, 800) and other.margins == {"reason": "another of its kind"}
    assert [(t.item_idx, t.role) for t in other.targets] == [(0, "target"), (1, "other")]
    assert other.asked["box"] == same.asked["box"] == (100, 200, 300, 600)


def test_d4_may_show_where_the_mirrored_motion_would_put_the_object() -> None:
    case = make_case(Item(mirrored=(10, 20, 70, 80)), text=TURN)
    other = both(ask_identity, case)[False]
    assert other.margins == {"reason": "where the mirrored motion would put it"}
    assert other.asked["box_after"] == (50, 200, 350, 800)
    assert [t.item_idx for t in other.targets] == [0]


def test_d4_asks_nothing_where_nothing_could_be_mistaken() -> None:
    other_kind = Item("sofa", before=DOUBLE.before, after=DOUBLE.after)
    leaves_out(ask_identity, make_case(Item(), other_kind), "something else to mistake")
    # Where the mirrored motion puts it on top of itself, or where it would be too small to see.
    leaves_out(ask_identity, make_case(Item(mirrored=(100, 20, 160, 80)), text=TURN), "something else to mistake")
    leaves_out(ask_identity, make_case(Item(mirrored=(10, 20, 12, 22)), text=TURN), "something else to mistake")


@pytest.mark.parametrize(("x1", "is_asked"), [(40, True), (39, False)])
def test_d4_keeps_the_other_box_apart(x1: int, is_asked: bool) -> None:
    """60 x 10 px against as much, 40 px further: 20 in common of 100 wide, 0.2; at 39 it is 21 of 99."""
    case = make_case(Item(after=(0, 0, 60, 10), mirrored=(x1, 0, x1 + 60, 10)), text=TURN)
    if is_asked:
        assert both(ask_identity, case).keys() == {True, False}
    else:
        leaves_out(ask_identity, case, "something else to mistake")


LAMP = Item("lamp", before=(80, 20, 120, 60), after=(20, 60, 60, 95), mirrored=(110, 60, 150, 95))
PLANT = Item("plant", before=(150, 20, 190, 60), after=NOWHERE, seen_after=0.0)
RICH = (Item(mirrored=(10, 0, 70, 50)), LAMP, PLANT)


def test_each_task_is_asked_once_where_the_transition_is_full() -> None:
    questions, left_out = ask(make_case(*RICH, text=TURN, claim="turn right 30 degrees"), TASKS, (0, 1))
    assert [q.task_type for q in questions] == ["A2", "A4", "D1", "D2", "D3", "D4"]
    assert not left_out


def test_there_are_second_questions_while_there_is_room_and_never_too_many() -> None:
    """Without a gone object and a claim, D2 and A4 are left out; another box question and another cause take over."""
    case = make_case(*RICH[:2], text=TURN)
    questions, left_out = ask(case, TASKS, (0, 1))
    assert [q.task_type for q in questions] == ["A2", "D1", "D3", "D4", "D1", "D3"]
    assert len(questions) == MAX_QUESTIONS
    assert len({(q.task_type, q.variant) for q in questions}) == len(questions), "in another phrasing"
    boxes, causes = ([q.asked["label"] for q in questions if q.task_type == task] for task in ("D1", "D3"))
    assert boxes == ["chair", "chair"] and causes == ["chair", "lamp"]
    assert {cause.split(":")[0]: n for cause, n in left_out.items()} == {"A4": 1, "D2": 1}


def test_only_what_is_wanted_is_asked_and_the_same_seed_asks_the_same() -> None:
    case = make_case(*RICH, text=TURN, claim="turn right 30 degrees")
    assert [q.task_type for q in ask(case, ["D4", "A4"], (3,))[0]] == ["A4", "D4", "D4"]
    assert ask(case, TASKS, (3,)) == ask(case, TASKS, (3,))
    whole = {q.task_type: q for q in ask(case, TASKS, (3,))[0]}
    assert ask(case, ["D2"], (3,))[0] == [whole["D2"]], "what else is asked changes nothing"


def test_phrasings_and_answers_take_turns_over_the_seeds() -> None:
    case = make_case(*RICH, text=TURN, claim="turn right 30 degrees")
    asked = [q for seed in range(30) for q in ask(case, TASKS, (seed,))[0]]
    assert {q.variant for q in asked if q.task_type == "D2"} == {"open", "choice", "sentence"}
    assert {q.variant for q in asked if q.task_type == "D3"} == {"open", "steps", "natural"}
    assert {q.answer for q in asked if q.task_type == "A4"} == {ClaimAnswer(True), ClaimAnswer(False)}
    scored = [q for seed in range(30) for q in ask(case, TASKS, (seed,), only_open=True)[0]]
    assert {q.variant for q in scored if q.task_type in ("D2", "D4")} == {"open"}
