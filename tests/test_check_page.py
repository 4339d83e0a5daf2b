"""The page of a check: what it says is what was found, what it draws is where it should be."""

from __future__ import annotations

import math
import re
import statistics
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from functools import cache
from html import escape
from io import BytesIO

import numpy as np
import pytest
import torch
from films import film_of, noisy
from PIL import Image
from test_page import Reader, data_of

from geom.actions import ActionKind, parse_actions
from geom.camera import PinholeCamera
from geom.epipolar import motion_distance
from geom.scale import Scale
from geom.se3 import SE3
from synth.check import Checked, check_film
from synth.check_card import OUTCOMES, Card, badness, card_of
from synth.check_drawings import MOST_LINES, Curve, curve_svg, cut_line, lines_svg, plan_svg, row_svg, tracks_svg
from synth.check_errors import Path as Way3
from synth.check_errors import commanded_path, executed_path, step_errors
from synth.check_page import check_page
from synth.check_rows import row_of
from synth.check_strips import MOST_PAIRS
from synth.commanded import Commanded, CommandedStep, commanded_of_actions
from synth.compliance import Way
from synth.film import Film, Picture
from synth.judge import Judgement
from synth.judge_steps import Executed, Kind
from synth.matches import Matches
from synth.page import Html
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.verdict import DEFAULT, Finding, Limits, Outcome, Verdict, verdict_of

HOSTILE = "<script>alert('x')</script>"
CAMERA = PinholeCamera.from_hfov(math.radians(70), 320, 240)
METRIC = Scale("metric", "simulated")
TOLD = "move forward 0.4 meters; turn right 12 degrees; move left 0.3 meters"
MIRRORED = "move forward 0.4 meters; turn left 12 degrees; move right 0.3 meters"
NUM = 16


# --- films, checked once


@cache
def world() -> RoomWorld:
    return RoomWorld(GenerateConfig(num_scenes=1, seed=0, image_size=(320, 240)), 0, Stages())


@cache
def shot() -> tuple[Film, list[np.ndarray]]:
    """A room as the camera sees it that does what TOLD says, and its depths."""
    poses = commanded_of_actions(parse_actions(TOLD), NUM, METRIC).T_world_cam
    assert poses is not None
    views = [world().view(world().T_world_anchor @ poses[n]) for n in range(NUM)]
    pictures = [view.image for view in views if view.image is not None]
    z_depths = [np.asarray(view.z_depth, np.float64) for view in views if view.z_depth is not None]
    return film_of(noisy(pictures, 2.0)), z_depths


@cache
def checked(told: str = TOLD, name: str = "room", with_lengths: bool = True) -> Checked:
    film, z_depths = shot()
    commanded = commanded_of_actions(parse_actions(told), NUM, METRIC)
    z_depth = z_depths.__getitem__ if with_lengths else None
    return check_film(name, film, world().camera, commanded, z_depth=z_depth)


@cache
def by_keys() -> Checked:
    kinds = (ActionKind.FORWARD, ActionKind.TURN_RIGHT, ActionKind.LEFT)
    steps = (CommandedStep(5 * n, 5 * n + 5, Way(frozenset({kind})), None) for n, kind in enumerate(kinds))
    commanded = Commanded(tuple(steps), None, Scale("unknown", "keys"))
    return check_film("keys", shot()[0], world().camera, commanded)


def unreadable(name: str = "lost.mp4") -> Checked:
    return Checked(name, verdict_of([Finding("unreadable", "leaves open", f"the video {name} is missing")], {}))


def card(name: str, outcome: Outcome, over: float = 0.0, reasons: tuple[str, ...] = ()) -> Card:
    return Card(
        name,
        outcome,
        badness(Verdict(outcome, (), score=over)),
        reasons,
        Html(f"<p>drawn: {name}</p>"),
        Html("<td>cell</td>"),
    )


def read(*cards: Card, **options: int) -> tuple[str, Reader]:
    text = check_page("films", cards, {}, **options)
    return text, Reader(text)


# --- the page


def test_page_is_well_formed_and_asks_nobody_for_anything() -> None:
    cards = [card_of(one) for one in (checked(), checked(MIRRORED), by_keys(), unreadable())]
    text, reader = read(*cards)
    assert reader.open == []
    assert not re.search(r"""(src|href|url\(|@import)\s*=?\s*["']?(https?:|//)""", text)
    links = [a.get("href") or "" for _, a in reader.elements if "href" in a]
    assert links and all(link.startswith(("#", "data:image/jpeg;base64,")) for link in links)
    ids = [a["id"] for _, a in reader.elements if "id" in a]
    assert {link[1:] for link in links if link[0] == "#"} <= set(ids)
    assert data_of(text) == {"images": {}}


def test_names_and_texts_cannot_become_markup() -> None:
    one = card_of(unreadable(HOSTILE))
    text = check_page(HOSTILE, [one], {HOSTILE: HOSTILE, "confusion": Counter({(HOSTILE, HOSTILE): 1})})
    assert HOSTILE not in text and len(Reader(text).all("script")) == 2
    assert f"the video {HOSTILE} is missing" in Reader(text).text


def test_the_worst_come_first_and_those_left_out_are_counted() -> None:
    cards = [card("b", "pass", 9.0), card("a", "fail", 1.5), card("c", "undecided", 99.0), card("d", "fail", math.inf)]
    text, reader = read(*cards, most=3)
    assert [a["data-verdict"] for a in reader.all("article")] == ["fail", "fail", "undecided"]
    assert re.findall(r"drawn: (\w)", text) == ["d", "a", "c"]
    assert "4 trajectories: 2 fail, 1 undecided, 1 pass" in reader.text and "1 more have no card" in reader.text
    assert [a["data-row"] for a in reader.all("tr") if "data-row" in a] == [f"card-{n}" for n in range(4)]
    assert [a["href"] for a in reader.all("a")] == ["#card-0", "#card-1", "#card-2"]
    assert "no card" not in read(*cards)[1].text


@pytest.mark.parametrize("score", [0.0, 0.5, 1e12, math.inf])
def test_no_score_makes_a_better_outcome_worse(score: float) -> None:
    fail, undecided, right = (badness(Verdict(outcome, (), score=score)) for outcome in OUTCOMES)
    assert fail >= badness(Verdict("fail", ())) > undecided >= badness(Verdict("undecided", ())) > right
    assert badness(Verdict("fail", (), score=score + 1)) > fail or score > 1e9


def test_filters_know_every_reason_and_how_often_it_decides() -> None:
    cards = [card("a", "fail", 1, ("cut", "frozen")), card("b", "fail", 2, ("cut",)), card("c", "pass")]
    _, reader = read(*cards)
    chips = {a["value"] for a in reader.all("button", data_filter="reason")}
    assert chips == {"", "cut", "frozen"} and "cut 2" in reader.text and "frozen 1" in reader.text
    assert [a["data-reason"] for a in reader.all("article")] == ["cut", "cut|frozen", ""]


def test_confusion_is_a_table_of_told_against_shown() -> None:
    counts = Counter({("left", "right"): 3, ("left", "left"): 7})
    text = check_page("films", [card("a", "pass")], {"confusion": counts, "read by": "hand"})
    unread = check_page("films", [card("a", "pass")], {"left_out": {"no poses": 3}})
    assert "3 x" in unread and "no poses" in unread
    rows = [{"commanded": a, "executed": b, "steps": n} for (a, b), n in counts.items()]
    assert text == check_page("films", [card("a", "pass")], {"confusion": rows, "read by": "hand"})
    assert re.findall(r'<td class="(right|wrong)">(\d+)</td>', text) == [("right", "7"), ("wrong", "3")]
    assert "read by" in Reader(text).text and "hand" in Reader(text).text


# --- the card


@pytest.mark.parametrize("told", [TOLD, MIRRORED])
def test_card_says_what_was_found(told: str) -> None:
    one = checked(told)
    made = card_of(one)
    reader = Reader(f"<article>{made.html}</article>")
    assert made.outcome == one.verdict.outcome == ("pass" if told == TOLD else "fail")
    assert all(reason in reader.text for reason in one.verdict.reasons)
    assert all(finding.text in reader.text for finding in one.verdict.findings)
    assert all(note in reader.text for note in one.notes)
    assert set(made.reasons) == {f.reason for f in one.verdict.findings if f.effect == "fails"}
    assert len(re.findall(r"<h4>", made.html)) == 3


def test_lines_in_a_card_are_those_of_the_command() -> None:
    """A film that obeys has its points on them; one that turns the other way has them far off."""
    right, wrong = (
        [
            statistics.median(map(float, re.findall(r"<title>([\d.]+) px off", pair)))
            for pair in card_of(one).html.split('class="pair"')[1:]
        ]
        for one in (checked(), checked(MIRRORED))
    )
    assert len(right) == 3 and max(right) < 1.0
    assert wrong[0] < 1.0 and wrong[1] > 20


@pytest.mark.parametrize("told", [TOLD, MIRRORED])
def test_row_says_the_measures(told: str) -> None:
    one = checked(told)
    row, cells = row_of(one), re.findall(r"<td[^>]*>(.*?)</td>", card_of(one).row)
    assert cells[1] == escape(next(iter(row["reasons"]), "–"))
    assert cells[2] == f"{100 * row['tsed']:.0f} %"
    turns, directions = ([step[key] for step in row["steps"]] for key in ("turn_off_deg", "direction_off_deg"))
    assert cells[3] == f"{max(turns):.1f} deg"
    worst = max(off for off in directions if off is not None)
    assert cells[4].endswith(" deg") and float(cells[4][:-4]) == pytest.approx(worst, abs=0.15)
    moved = sum(step["length_m"] for step in row["steps"][::2]) / 0.7
    assert cells[5].endswith(" x") and float(cells[5][:-2]) == pytest.approx(moved, abs=0.01)


def test_errors_are_those_that_were_judged() -> None:
    one = checked(MIRRORED)
    errors = step_errors(one, DEFAULT)
    mirrored = next(f for f in one.verdict.findings if f.reason == "mirrored turn")
    assert errors[1].turn_deg == mirrored.numbers["off_deg"] and errors[1].turn_sd_deg == mirrored.numbers["sd_deg"]
    assert errors[1].turn_limit_deg == mirrored.numbers["limit_deg"]
    shift = next(f for f in one.verdict.findings if f.reason == "mirrored shift")
    assert errors[2].direction_deg == pytest.approx(shift.numbers["off_deg"])
    drift = max(e.drift_deg - DEFAULT.sure_sd * e.drift_sd_deg for e in errors)
    assert drift == pytest.approx(one.verdict.measures["drift_deg"])
    assert errors[0].told == "forward 0.4 m" and errors[1].told == "turn left 12.0 deg"
    assert step_errors(one, Limits(turn_share=0.5))[1].turn_limit_deg == pytest.approx(6.0)


def test_lengths_that_are_not_seen_are_taken_from_the_command_and_that_is_said() -> None:
    assert "with the commanded lengths" in card_of(checked(with_lengths=False)).html
    assert "with the commanded lengths" not in card_of(checked()).html


def test_keys_have_no_path_and_their_words_are_given() -> None:
    made = card_of(by_keys())
    assert 'class="told"' not in made.html and 'class="shown"' in made.html
    assert "Told by keys, which have no path: forward; turn right; left." in made.html
    assert 'class="curve"' not in made.html and 'class="lines"' not in made.html


def test_unreadable_film_has_a_card_with_its_reason() -> None:
    made = card_of(unreadable())
    assert made.outcome == "undecided" and made.reasons == ("unreadable",)
    assert "the video lost.mp4 is missing" in made.html and "<svg" not in made.html


def test_each_key_frame_is_in_the_card_once_and_small() -> None:
    reader = Reader(card_of(checked()).html)
    assert len(reader.all("image")) == 4 and len(reader.all("use")) == 2
    assert all(len(a["href"] or "") < 40_000 for a in reader.all("image"))


def test_film_is_read_once_for_all_pictures_and_not_all_steps_are_drawn() -> None:
    one = checked()
    assert one.evidence is not None and one.commanded is not None and one.film is not None
    reads: list[int] = []

    def frames() -> list[Picture]:
        reads.append(1)
        return [np.full((720, 960, 3), n, np.uint8) for n in range(40)]

    film = Film("long", (960, 720), lambda: iter(frames()), 40)
    span = one.evidence.spans[0]
    spans = tuple(replace(span, step=replace(span.step, first=2 * n, last=2 * n + 2)) for n in range(15))
    steps = tuple(replace(one.commanded.steps[0], first=2 * n, last=2 * n + 2) for n in range(15))
    poses = SE3.stack([SE3.from_translation(torch.tensor([0, 0, 0.1 * n], dtype=torch.float64)) for n in range(40)])
    assert one.judgement is not None
    judgement = replace(one.judgement, steps=(one.judgement.steps[0],) * 15)
    finding = Finding("turn", "fails", "the last step is wrong", 14)
    judgement = replace(judgement, agreements=one.judgement.agreements[:1] * 15)
    long = replace(
        one,
        film=film,
        commanded=Commanded(steps, poses, METRIC),
        evidence=replace(one.evidence, spans=spans),
        judgement=judgement,
        verdict=verdict_of([finding], {}),
    )
    html = card_of(long).html
    assert reads == [1]
    first = Reader(html).all("image")[0]
    assert Image.open(BytesIO(b64decode((first["href"] or "").split(",")[1]))).size == (360, 270)
    assert (first["width"], first["height"]) == ("960", "720")
    assert html.count('class="pair"') == MOST_PAIRS and html.count('class="step"') == 15
    assert html.count("1 of its 1 parts without pictures here") == 3
    assert 'aria-label="frame 30"' in html and 'aria-label="frame 26"' not in html


# --- drawings


def seen(T_b_a: SE3, num: int = 60) -> Matches:
    """Points in space as two cameras see them."""
    rng = np.random.default_rng(1)
    p = torch.from_numpy(np.stack([rng.uniform(-1, 1, num), rng.uniform(-0.7, 0.7, num), rng.uniform(2, 5, num)], 1))
    return Matches(CAMERA.project(p)[0].numpy(), CAMERA.project(T_b_a.act(p))[0].numpy())


def numbers(path: str | None) -> np.ndarray:
    return np.array(re.findall(r"-?\d+\.?\d*", path or ""), float)


MOTIONS = {
    "sideways": SE3.from_translation(torch.tensor([0.3, 0, 0], dtype=torch.float64)),
    "forward": SE3.from_translation(torch.tensor([0.0, 0, -0.4], dtype=torch.float64)),
    "arc": parse_actions("move forward 0.3 meters; turn right 9 degrees; move left 0.2 meters").pose().inverse(),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_lines_drawn_run_through_the_points_that_obey_them(name: str) -> None:
    points = seen(MOTIONS[name])
    first, second = lines_svg(points, MOTIONS[name], CAMERA, (320, 240))
    groups = second.split("<title>")[1:]
    assert len(groups) == MOST_LINES == len(Reader(first).all("path", class_="dot"))
    for group in groups:
        line, dot = (numbers(d) for d in re.findall(r' d="([^"]*)"', group))
        start, end, at = line[:2], line[2:], dot[:2]
        along = (end - start) / np.linalg.norm(end - start)
        assert abs(along[0] * (at - start)[1] - along[1] * (at - start)[0]) < 0.5
        assert np.linalg.norm(end - start) > 20
        assert float(group.split(" px")[0]) < 0.01


def test_a_line_of_another_motion_misses_its_point_by_what_is_said() -> None:
    points = seen(MOTIONS["forward"])
    _, second = lines_svg(points, MOTIONS["sideways"], CAMERA, (320, 240))
    said = [float(off) for off in re.findall(r"<title>([\d.]+) px off", second)]
    chosen = list(range(0, 60, 6))
    uv = torch.from_numpy(points.uv_a), torch.from_numpy(points.uv_b)
    off = motion_distance(*uv, CAMERA, MOTIONS["sideways"], CAMERA)[chosen]
    assert said == pytest.approx(off.tolist(), abs=0.006) and max(said) > 2


def test_a_turn_has_places_and_the_points_that_obey_are_there() -> None:
    turn = SE3.yaw_right(math.radians(8)).inverse()
    _, second = lines_svg(seen(turn), turn, CAMERA, (320, 240))
    lines = [numbers(d) for d in re.findall(r'<path d="([^"]*)"></path><path', second)]
    assert len(lines) == MOST_LINES
    assert all(np.abs(line[:2] - line[2:4]).max() < 0.02 for line in lines)


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        ((1.0, 0.0, -3.0), [[3, 0], [3, 8]]),
        ((math.sqrt(0.5), -math.sqrt(0.5), 0.0), [[0, 0], [8, 8]]),
        ((0.0, 1.0, 5.0), None),
        ((0.0, 0.0, math.inf), None),
    ],
)
def test_lines_end_where_the_picture_does(line: tuple[float, ...], ends: list | None) -> None:
    cut = cut_line(np.array(line), (10, 8))
    assert (None if cut is None else cut.round(9).tolist()) == ends


def test_tracks_lead_from_where_points_were_to_where_they_are_in_the_colour_of_their_fit() -> None:
    points = Matches(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]]))
    drawn = tracks_svg(points, np.array([True, False]))
    assert 'class="fits"><path d="M1,2L5,6"' in drawn and 'class="misses"><path d="M3,4L7,8"' in drawn
    assert 'class="unknown"' in tracks_svg(points, None)
    assert tracks_svg(Matches(np.zeros((0, 2)), np.zeros((0, 2))), None) == '<g class="tracks"></g>'


def ideal(commanded: Commanded, kind: Kind, sign: float = 1.0) -> Checked:
    """A film that does what it was told, or with sign -1 goes the other way, as an ideal observer sees it."""
    steps = []
    for step in commanded.steps:
        assert step.T_before_after is not None
        T = step.T_before_after
        length = 1.0 if kind == "metric" else float(T.t.norm()) or 1.0
        own: Kind = "rotation" if kind == "direction" and not T.t.any() else kind
        steps.append(Executed(SE3(T.R, sign * T.t / length), own, 0.1, 1.0, 0.01, 3.0, "", 99))
    verdict = verdict_of([], {})
    return Checked("ideal", verdict, None, commanded, None, Judgement(verdict, tuple(steps), (), math.nan))


def executed(one: Checked) -> Way3:
    path = executed_path(one)
    assert path is not None
    return path


def ways_drawn(told: Way3 | None, shown: Way3) -> dict[str, np.ndarray]:
    drawn = plan_svg(told, shown, CAMERA, "m")
    found = re.findall(r'd="([^"]*)" class="way".*?</g>', drawn)
    return {name: numbers(d).reshape(-1, 2) for name, d in zip(("told", "shown")[-len(found) :], found, strict=True)}


@pytest.mark.parametrize("kind", ["metric", "direction"])
def test_a_correct_path_is_drawn_on_the_commanded_one(kind: Kind) -> None:
    commanded = commanded_of_actions(parse_actions(TOLD), 31, METRIC)
    told, shown = commanded_path(commanded), executed(ideal(commanded, kind))
    drawn = ways_drawn(told, shown)
    assert len(drawn["told"]) == 31 and shown.frames == (0, 10, 20, 30)
    assert np.abs(drawn["told"][[0, 10, 20, 30]] - drawn["shown"]).max() < 0.02
    wrong = ways_drawn(told, executed(ideal(commanded, kind, sign=-1.0)))
    assert np.abs(wrong["told"][[0, 10, 20, 30]] - wrong["shown"]).max() > 20


def test_the_drawn_path_of_a_film_that_obeys_lies_on_the_commanded_one() -> None:
    one = checked(with_lengths=False)
    assert one.commanded is not None
    drawn = ways_drawn(commanded_path(one.commanded), executed(one))
    assert np.abs(drawn["told"][[0, 5, 10, 15]] - drawn["shown"]).max() < 6


def test_forward_is_up_and_right_is_right() -> None:
    commanded = commanded_of_actions(parse_actions("move forward 1 meters; move right 1 meters"), 3, METRIC)
    start, corner, end = ways_drawn(None, executed(ideal(commanded, "metric")))["shown"]
    assert corner[1] < start[1] and abs(corner[0] - start[0]) < 0.02
    assert end[0] > corner[0] and abs(end[1] - corner[1]) < 0.02


def test_an_unknown_step_is_a_gap_and_the_path_goes_on_as_commanded() -> None:
    commanded = commanded_of_actions(parse_actions(TOLD), 31, METRIC)
    one = ideal(commanded, "metric")
    assert one.judgement is not None
    first, *rest = one.judgement.steps
    steps = (replace(first, kind="none", T_before_after=SE3.identity()), *rest)
    shown = executed(replace(one, judgement=replace(one.judgement, steps=steps)))
    told = commanded_path(commanded)
    assert shown.known == (False, True, True) and told is not None
    assert torch.allclose(shown.T_first_cam.t[-1], told.T_first_cam.t[-1])
    drawn = plan_svg(told, shown, CAMERA, "m")
    assert re.findall(r"[ML]", re.findall(r'd="([^"]*)" class="way"', drawn)[1]) == ["M", "M", "L", "L"]


def test_curves_break_at_what_is_unknown_and_mark_what_is_over_the_limit() -> None:
    values, sds = [1.0, math.nan, 2.0, math.inf], [0.1, 0.1, math.nan, 0.1]
    drawn = curve_svg(Curve("turn", "deg", [5, 10, 15, 20], values, [3.0] * 4, sds, 3.0), 0)
    reader = Reader(drawn)
    (line,) = reader.all("path", class_="line")
    assert re.findall("[ML]", line["d"] or "") == ["M", "M", "L"]
    assert len(reader.all("path", class_="band")) == 2
    assert len(reader.all("path", class_="dot")) == 2 and len(reader.all("path", class_="dot over")) == 1
    (limit,) = reader.all("path", class_="limit")
    heights = {numbers(limit["d"])[1::2].round(2).tolist()[0], *numbers(limit["d"])[1::2].round(2).tolist()}
    dots = [numbers(a["d"]) for _, a in reader.elements if "dot" in (a.get("class") or "")]
    assert len(heights) == 1 and dots[0][1] > heights.pop() > dots[2][1]
    # As high above the axis as its share of the limit says.
    axis = max(float(a["y"] or 0) for a in reader.all("text", text_anchor="end"))
    assert (axis - dots[0][1]) / (axis - numbers(limit["d"])[1]) == pytest.approx(1 / 3, abs=1e-3)


def test_marked_frames_stand_where_they_are() -> None:
    drawn = row_svg(np.array([math.nan, 1.0, 5.0, 3.0, 3.0, 2.0]), {"frozen": [3, 4], "cut": []}, [0, 5])
    reader = Reader(drawn)
    (mark,) = reader.all("path", class_="mark frozen")
    assert (mark["d"] or "").startswith("M3,0H5V")
    (line,) = reader.all("path", class_="line")
    assert numbers(line["d"])[0] == 1.5 and len(numbers(line["d"])) == 10
    assert reader.all("svg")[0]["viewbox"] == "0 0 6 20"
    assert "nan" not in drawn and "nan" not in row_svg(np.full(3, math.nan), {}, [0])
