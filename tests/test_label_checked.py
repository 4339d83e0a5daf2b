"""Labels of world-model bundles whose pictures are checked, or measured: a room rendered as the bundles have it."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import SCENE, Film, boxes_of, room, write_hy, write_svc
from hypothesis import given
from hypothesis import strategies as st
from recordings import as_nerfstudio, poses, simulated_room

from geom import so3
from geom.actions import parse_actions
from geom.inversion import tilt_and_lift
from geom.se3 import SE3
from synth.card import CARD_FILE
from synth.clip_motion import LEVEL_SD, Known, known_clip, levelled, measured_clip, told_apart
from synth.commanded import commanded_of_actions
from synth.dataset import LEFT_OUT_FILE, read_rows
from synth.executed import ExecutedStep
from synth.executed_path import ExecutedPath
from synth.label import LabelConfig
from synth.matches import Matches
from synth.motion import WITHOUT_DEPTH, Asked
from synth.pipeline import generate
from synth.source import Clip
from synth.sources import read_rigid
from synth.spoken import speak
from synth.two_view import TwoView
from synth.verdict import DEFAULT
from synth.verify import verify
from theodolite.cli import main

AHEAD, ASIDE = (0.0, 0.0, 0.4), (0.4, 0.0, 0.0)
LEFT, RIGHT = "turn left 24 degrees", "turn right 24 degrees"
FILMS = (Film("right", LEFT), Film("mirror", LEFT, RIGHT), Film("blank", LEFT, seen=0))
"""Shows what was told; is mirrored; and shows nothing."""
ENDS_BLANK = Film("ends_blank", f"{RIGHT}; move forward 0.4 meters", seen=6)
WRITERS = {"svc": write_svc, "hy_worldplay": write_hy}
PASS = {"executed": "as commanded", "check": "pass: the pictures show the commanded motion"}


@pytest.fixture(scope="module")
def source_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The tree of a teacher with boxes in space, written once."""

    @cache
    def of(teacher: str) -> Path:
        folder, world = tmp_path_factory.mktemp(teacher) / "bundles", room()
        for film in FILMS:
            WRITERS[teacher](folder, world, film)
        (folder / "objects.json").write_text(json.dumps({SCENE: boxes_of(world)}))
        return folder

    return of


@pytest.fixture(scope="module")
def data_of(source_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The labelled subset of a tree, made once for each choice of options; nobody writes into it."""

    @cache
    def of(teacher: str, **options: Any) -> Path:
        out, config = tmp_path_factory.mktemp("data") / "data", LabelConfig(source_of(teacher), **options)
        generate(out, config)
        return out / config.subset

    return of


def left_out(subset: Path) -> dict[str, int]:
    return json.loads((subset / LEFT_OUT_FILE).read_bytes())


def clips(subset: Path) -> dict[str, Any]:
    return json.loads(next(subset.glob("scenes/*/scene.json")).read_bytes())["clips"]


def trajectories(subset: Path) -> dict[str, Any]:
    found = (json.loads(path.read_bytes()) for path in subset.glob("scenes/*/traj_*/traj.json"))
    return {traj["traj_id"]: traj for traj in found}


def turns(subset: Path) -> dict[str, str]:
    """What A2 answers of each clip."""
    proofs = [proof for _, proof in read_rows(subset) if proof["task_type"] == "A2"]
    return {proof["transition"]["traj_id"]: proof["answer"]["actions"] for proof in proofs}


@pytest.mark.parametrize("teacher", WRITERS)
def test_only_what_the_pictures_show_is_labelled(teacher: str, data_of: Callable[..., Path]) -> None:
    subset = data_of(teacher)
    assert turns(subset) == {"right": LEFT}
    assert left_out(subset)["clip: fails the check: mirrored turn"] == 1
    assert left_out(subset)["clip: the check is undecided: unseen"] == 1
    assert {name: clip["check"]["verdict"] for name, clip in clips(subset).items()} == {
        "right": "pass",
        "mirror": "fail",
        "blank": "undecided",
    }
    assert clips(subset)["right"]["check"]["reasons"] == []
    assert "told to turn left 24.0 deg, but the camera did turn right" in clips(subset)["mirror"]["check"]["reasons"][0]
    rows = list(read_rows(subset))
    assert {"D1", "D2"} < {task["task_type"] for task, _ in rows}
    assert all(proof["motion"] == PASS for _, proof in rows)
    assert trajectories(subset)["right"]["motion"] == PASS
    assert verify(subset.parent).mismatches == []
    card = (subset.parent / CARD_FILE).read_text()
    assert "`unchecked`" not in card and "`undecided`" not in card and "A check compared" in card


@pytest.mark.parametrize("teacher", WRITERS)
def test_what_the_pictures_show_is_labelled_where_that_is_asked_for(teacher: str, data_of: Callable[..., Path]) -> None:
    """The mirrored clip was told left: its answers say right, and its boxes are where the room's objects are."""
    subset = data_of(teacher, motion="executed")
    assert turns(subset) == {"right": LEFT, "mirror": RIGHT}
    assert left_out(subset)["clip: the pictures do not say how the camera moved"] == 1
    mirror = trajectories(subset)["mirror"]
    assert mirror["actions"] == {"commanded": LEFT, "executed": RIGHT, "shown": RIGHT}
    assert mirror["motion"]["executed"] == "measured in the pictures"
    assert mirror["motion"]["check"] == f"fail: {'; '.join(clips(subset)['mirror']['check']['reasons'])}"
    assert mirror["scale"]["status"] == "up_to_scale" and "no depth" in mirror["scale"]["source"]
    rows = list(read_rows(subset))
    assert not any("meters" in proof["transition"]["actions"] for _, proof in rows)
    assert verify(subset.parent).mismatches == []
    assert "measured in them" in (card := (subset.parent / CARD_FILE).read_text()) and "`unchecked`" not in card
    assert boxes_off(rows, "mirror") < 8
    said = clips(subset)
    assert said["right"]["disagreement"] is None
    assert said["mirror"]["disagreement"] == f"told {LEFT!r}, but the pictures show 'turn right 24.0 deg'"


def boxes_off(rows: list[Any], traj_id: str) -> float:
    """By how many thousandths of the picture D1's boxes miss those of the true motion, at most."""
    world, T_cam0_cam = room(), parse_actions(RIGHT).pose()
    true = {box["item_id"]: (np.array(box["min"]), np.array(box["max"])) for box in boxes_of(world)}
    off = []
    for _, proof in rows:
        if proof["task_type"] == "D1" and proof["transition"]["traj_id"] == traj_id:
            low, high = true[proof["items"][0]["item_id"]]
            corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
            p_cam = T_cam0_cam.inverse().act(torch.from_numpy(corners))
            uv = world.camera.project(p_cam)[0].numpy() / [world.camera.width, world.camera.height]
            box = np.clip(np.concatenate([uv.min(0), uv.max(0)]), 0, 1) * 1000
            off.append(np.abs(box - proof["answer"]["box_1000"]).max())
    assert off, "no box was asked for"
    return float(max(off))


def test_undecided_clips_are_labelled_where_that_is_asked_for(data_of: Callable[..., Path]) -> None:
    subset = data_of("svc", keep_undecided=True)
    assert turns(subset) == {"right": LEFT, "blank": LEFT}
    motion = trajectories(subset)["blank"]["motion"]
    assert motion["executed"] == "undecided" and motion["check"].startswith("undecided: step 1: ")
    assert not any("undecided" in cause for cause in left_out(subset))
    assert verify(subset.parent).mismatches == []
    assert "proofs say `undecided`" in (subset.parent / CARD_FILE).read_text()


def test_without_a_check_all_is_labelled_and_says_so(data_of: Callable[..., Path]) -> None:
    subset = data_of("svc", unchecked=True)
    assert turns(subset) == {"right": LEFT, "mirror": LEFT, "blank": LEFT}
    assert all(proof["motion"]["executed"] == "unchecked" for _, proof in read_rows(subset))
    assert {clip["check"] for clip in clips(subset).values()} == {None}
    assert verify(subset.parent).mismatches == []
    assert "`unchecked`" in (subset.parent / CARD_FILE).read_text()


def test_frames_of_unknown_pose_are_left_out_and_counted(tmp_path: Path) -> None:
    """The turn is seen and the move is not: what was commanded of the whole is said of no part."""
    source = write_svc(tmp_path / "source", room(), ENDS_BLANK)
    config = LabelConfig(source, motion="executed")
    generate(tmp_path / "data", config)
    subset = tmp_path / "data" / config.subset
    assert left_out(subset)["frame: the pictures do not say where it was taken from"] == 1
    assert left_out(subset)["frame: between the key frames, where no pose is measured"] == 5
    ((name, traj),) = trajectories(subset).items()
    assert name == "ends_blank_000_005" and traj["clip"]["frames"] == [0, 5]
    assert traj["actions"] == {"commanded": None, "executed": RIGHT, "shown": RIGHT}
    assert clips(subset)["ends_blank"]["disagreement"] is None
    assert verify(tmp_path / "data").mismatches == []


@pytest.mark.parametrize("seed", [3, 5])
def test_a_turn_that_is_followed_in_parts_is_one_action(seed: int, tmp_path: Path) -> None:
    """Points that are lost on the way make further key frames; in room 5 noise has a direction besides."""
    source = write_svc(tmp_path / "source", room(seed), Film("wide", "turn left 60 degrees"))
    ((_, clip),) = read_rigid(source, "auto").clips()
    known = known_clip(clip, Asked("svc", "executed"), str, Counter())
    assert len(known.numbers) > 2 and known.is_whole(0, len(known.numbers) - 1)
    assert speak(known.clip, 0, len(known.numbers) - 1).actions.text() == "turn left 60 degrees"
    assert known.disagreement() is None


def test_metres_are_asked_where_depth_measures_them(recorded_room: Path, tmp_path: Path) -> None:
    generate(tmp_path / "data", LabelConfig(recorded_room, motion="executed"))
    ((_, traj), *_) = trajectories(subset := tmp_path / "data" / "Recorded-RealScene").items()
    assert traj["scale"] == {"status": "metric", "source": "measured from the pictures with depth"}
    i, j = traj["clip"]["frames"]
    at = poses(simulated_room())
    T = [SE3.from_matrix(torch.tensor(T).double()) for T in traj["T_world_cam"]]
    radians, metres = (T[0].inverse() @ T[1]).distance(at[i].inverse() @ at[j])
    assert math.degrees(radians) < 0.5 and metres < 0.02
    assert any("meters" in proof["answer"].get("actions", "") for _, proof in read_rows(subset))
    assert verify(tmp_path / "data").mismatches == []


def test_boxes_in_a_unit_of_their_own_are_not_laid_beside_metres(recorded_room: Path, tmp_path: Path) -> None:
    """nerfstudio's poses have no metre, and its depth has."""
    source = as_nerfstudio(recorded_room, tmp_path / "room")
    (tmp_path / "boxes.json").write_text(json.dumps({"room": boxes_of(room())}))
    config = LabelConfig(source, motion="executed", objects=tmp_path / "boxes.json")
    generate(tmp_path / "data", config)
    assert (
        left_out(subset := tmp_path / "data" / config.subset)[
            "objects: boxes in space are in the unit of the source's poses, not in metres"
        ]
        == 1
    )
    rows = list(read_rows(subset))
    assert rows and not any(proof["items"] for _, proof in rows)


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    for scene, seed in (("one", 3), ("two", 5)):
        write_svc(tmp_path / "source", room(seed), Film("turn", LEFT, scene=scene))
    for name, workers in (("a", 1), ("b", 2)):
        generate(tmp_path / name, LabelConfig(tmp_path / "source", motion="executed"), workers=workers)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) > 10 and sum(file.name == "traj.json" for file in files) == 2
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_a_film_that_cannot_be_read_is_undecided_and_no_path_is_kept(
    source_of: Callable[[str], Path], tmp_path: Path
) -> None:
    source = Path(shutil.copytree(source_of("svc"), tmp_path / "source"))
    picture = next(source.glob("scenes/*/traj_right/samples-rgb/002.png"))
    picture.write_bytes(picture.read_bytes()[:-500])
    config = LabelConfig(source, tasks=("A2",))
    generate(tmp_path / "data", config)
    subset = tmp_path / "data" / config.subset
    assert left_out(subset)["clip: the check is undecided: unreadable"] == 1
    (reason,) = clips(subset)["right"]["check"]["reasons"]
    assert "traj_right/samples-rgb/002.png" in reason
    assert str(tmp_path).encode() not in b"".join(p.read_bytes() for p in subset.rglob("*.json*"))


@pytest.mark.parametrize("options", [{"motion": "executed"}, {"unchecked": True}, {"keep_undecided": True}])
def test_another_choice_is_another_dataset(options: dict[str, Any], source_of, data_of) -> None:
    (name, value) = next(iter(options.items()))
    with pytest.raises(ValueError, match=f"was made with {name} = .*, this call has {value!r}"):
        generate(data_of("svc").parent, LabelConfig(source_of("svc"), **options))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"motion": "shown"}, "motion must be one of commanded, executed, got 'shown'"),
        ({"motion": "executed", "unchecked": True}, "unchecked must not go with motion executed"),
        ({"keep_undecided": True, "unchecked": True}, "keep_undecided is about what the check says"),
        ({"motion": "executed", "scale": "metric"}, "scale must be as_read with motion executed"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(options: dict[str, Any], text: str, source_of) -> None:
    with pytest.raises(ValueError, match=text):
        LabelConfig(source_of("svc"), **options)


def test_photographs_show_no_motion() -> None:
    with pytest.raises(ValueError, match="motion must be commanded of photographs"):
        Asked("depthwarp", "executed")


def test_the_command_says_how_many_passed(source_of, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["label", str(source_of("svc")), "--out", str(tmp_path / "data"), "--tasks", "A2", "--workers", "1"]
    assert main(words) == 0
    assert "check: 1 clips pass, 1 fail, 1 undecided" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdicts"] == {"pass": 1, "fail": 1, "undecided": 1}
    assert main([*words, "--motion", "executed", "--unchecked"]) == 2
    assert "--unchecked must not go with motion executed" in capsys.readouterr().err


def test_a_pass_that_has_not_seen_lengths_says_so() -> None:
    known = Asked("svc").known({"verdict": "pass", "reasons": [], "lengths": "unseen"})
    assert known is not None and known["check"] == f"{PASS['check']}; how far it moved is not seen"


# --- noise


def measured_path(T_first_cam: SE3, turn_sd: float, place_sd: float) -> ExecutedPath:
    """A path of two key frames."""
    T = SE3.stack([SE3.identity(), T_first_cam])
    return ExecutedPath((0, 5), T, "up_to_scale", np.array([0.0, turn_sd]), np.array([0.0, place_sd]), True, ())


def leg(parallax_deg: float, *, is_still: bool = False) -> ExecutedStep:
    """What the pictures show between frames 0 and 5, as far as it matters."""
    view = TwoView(SE3.identity(), "rotation", "", 0, 0, 0.0, 0.0, parallax_deg, 0.0)
    nothing = Matches(np.empty((0, 2)), np.empty((0, 2)))
    return ExecutedStep(0, 5, view, None, nothing, nothing, is_still)


TURNED, MOVED = SE3.yaw_right(0.3), SE3(SE3.yaw_right(0.3).R, torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64))


@pytest.mark.parametrize(
    ("told", "path", "span", "place"),
    [
        ("turn right 17 degrees", MOVED, leg(0.9 * DEFAULT.stray_deg), [0, 0, 0]),
        ("turn right 17 degrees", MOVED, leg(1.1 * DEFAULT.stray_deg), [0.6, 0, 0.8]),
        ("turn right 17 degrees", TURNED, leg(0.1), [0, 0, 0]),
        ("turn right 17 degrees", SE3(TURNED.R, torch.full((3,), math.nan).double()), leg(0.1), [0, 0, 0]),
        ("turn right 17 degrees", TURNED, leg(1.1 * DEFAULT.stray_deg), None),
        ("turn right 17 degrees", TURNED, leg(math.nan), None),
        ("turn right 17 degrees", SE3.identity(), leg(math.nan, is_still=True), [0, 0, 0]),
        ("move forward 1 meters", MOVED, leg(0.2), [0.6, 0, 0.8]),
        ("move forward 1 meters", TURNED, leg(0.2), None),
        ("move forward 1 meters", TURNED, leg(2.0), None),
    ],
)
def test_moves_are_told_from_turns_in_place_as_the_check_does(told, path, span, place) -> None:
    commanded = commanded_of_actions(parse_actions(told), 6, WITHOUT_DEPTH)
    found = told_apart(measured_path(path, 0.1, 0.1), [span], commanded).T_first_cam
    assert torch.equal(found.R, SE3.stack([SE3.identity(), path]).R)
    expected = [math.nan] * 3 if place is None else place
    assert found.t[1].tolist() == pytest.approx(expected, nan_ok=True)


def test_frames_of_one_place_are_levelled_alike() -> None:
    """A turn in place has the lift of the move before it, and its uncertainty, though its own was not known."""
    commanded = commanded_of_actions(parse_actions("move forward 1 meters; turn right 17 degrees"), 11, WITHOUT_DEPTH)
    nowhere = SE3(TURNED.R, torch.full((3,), math.nan).double())
    T = SE3.stack([SE3.identity(), tilted(0, 0, 0, 0.01), nowhere])
    sds = np.array([0.0, 0.1, 0.1]), np.array([0.0, 0.02, math.nan])
    path = ExecutedPath((0, 5, 10), T, "up_to_scale", *sds, True, ())
    found = told_apart(path, [leg(3.0), replace(leg(0.1), first=5, last=10)], commanded)
    after_move, after_turn = (levelled(found, k).t.tolist() for k in (1, 2))
    assert after_move == after_turn == pytest.approx([0.3, 0.0, 0.9])


def test_a_measured_length_is_kept_as_it_is() -> None:
    commanded = commanded_of_actions(parse_actions("turn right 17 degrees"), 6, WITHOUT_DEPTH)
    metric = replace(measured_path(MOVED, 0.1, 0.1), scale="metric")
    assert told_apart(metric, [leg(0.1)], commanded).T_first_cam.t[1].tolist() == pytest.approx([0.6, 0, 0.8])


def tilted(turn_deg: float, pitch_deg: float, roll_deg: float, lift: float) -> SE3:
    turns = [
        SE3.exp(torch.tensor([0.0, 0, 0, *np.radians(axis)]).double())
        for axis in ((0, turn_deg, 0), (pitch_deg, 0, 0), (0, 0, roll_deg))
    ]
    return SE3((turns[0] @ turns[1] @ turns[2]).R, torch.tensor([0.3, -lift, 0.9], dtype=torch.float64))


@given(st.floats(-170, 170), st.floats(-8, 8), st.floats(-8, 8), st.floats(-0.3, 0.3), st.floats(0.01, 5))
def test_what_noise_explains_is_taken_for_level_and_nothing_else(turn, pitch, roll, lift, sd) -> None:
    T = tilted(turn, pitch, roll, lift)
    level = levelled(measured_path(T, sd, sd / 50), 1)
    is_noise = math.hypot(pitch, roll) <= LEVEL_SD * sd, abs(lift) <= LEVEL_SD * sd / 50
    found = tilt_and_lift(level)
    assert found[:2] == pytest.approx((0, 0) if is_noise[0] else (pitch, roll), abs=1e-9)
    assert found[2] == pytest.approx(0 if is_noise[1] else lift, abs=1e-12)
    assert so3.heading(level.R) == pytest.approx(math.radians(turn), abs=1e-9)
    assert level.t[[0, 2]].tolist() == T.t[[0, 2]].tolist()


@pytest.mark.parametrize(("T", "has_depth"), [(MOVED, False), (TURNED, True)])
def test_depth_in_metres_is_not_laid_beside_lengths_of_no_unit(T: SE3, has_depth: bool, source_of) -> None:
    clip = next(clip for _, clip in read_rigid(source_of("svc"), "auto").clips())
    clip = replace(clip, frames=tuple(replace(frame, z_depth=frame.picture) for frame in clip.frames))
    found = measured_clip(clip, measured_path(T, 0.1, 0.1), [0, 1])
    assert [frame.z_depth is not None for frame in found.frames] == [has_depth] * 2


def test_a_measured_path_begins_where_the_bundle_does(source_of) -> None:
    clip = next(clip for _, clip in read_rigid(source_of("svc"), "auto").clips())
    start = tilted(30, 4, 0, 0.2)
    clip = replace(clip, frames=tuple(replace(frame, T_world_cam=start) for frame in clip.frames))
    first, last = (frame.T_world_cam for frame in measured_clip(clip, measured_path(MOVED, 0.1, 0.1), [0, 1]).frames)
    assert torch.allclose(first.matrix(), start.matrix(), atol=1e-12)
    assert torch.allclose(last.matrix(), (start @ MOVED).matrix(), atol=1e-12)


def test_each_measured_step_may_leave_something_unsaid(
    source_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.9 degrees in each of three steps are negligible each; verify, which sees their sum, must know of it."""
    from synth import recorded_world

    def known(clip: Clip, *_: Any) -> Known:
        steps = [SE3(SE3.yaw_right(0.0155).R, torch.tensor(t, dtype=torch.float64)) for t in (AHEAD, ASIDE, AHEAD)]
        at = list(accumulate(steps, lambda a, b: a @ b, initial=SE3.identity()))
        frames = tuple(replace(clip.frames[0], T_world_cam=T) for T in at)
        asked, check = Asked("svc", "executed"), {"verdict": "pass", "reasons": [], "lengths": "unseen"}
        moved = replace(clip, frames=frames, key_frames=(0, 1, 2, 3), scale=WITHOUT_DEPTH, is_measured=True)
        return Known(moved, (0, 1, 2, 3), 3, asked.known(check), check)

    monkeypatch.setattr(recorded_world, "known_clip", known)
    generate(tmp_path / "data", LabelConfig(source_of("svc"), motion="executed"))
    subset = tmp_path / "data" / "SVC-RealScene"
    shown = "move forward 0.4 meters; move right 0.4 meters; move forward 0.4 meters"
    assert {traj["actions"]["shown"] for traj in trajectories(subset).values()} == {shown}
    assert verify(tmp_path / "data").mismatches == []


def test_words_of_a_measured_motion_leave_out_what_is_negligible(source_of: Callable[[str], Path]) -> None:
    """A hundredth of the way aside and half a degree of turn go unsaid; the poses keep them."""
    clip = next(clip for _, clip in read_rigid(source_of("svc"), "auto").clips())
    T = SE3(SE3.yaw_right(math.radians(0.9)).R, torch.tensor([0.015, 0.0, 1.0]).double())
    measured = measured_clip(clip, measured_path(T, 0.01, 0.001), [0, 1])
    said = speak(measured, 0, 1)
    assert said.actions.text() == "move forward 1 meters"
    assert len(speak(replace(measured, is_measured=False), 0, 1).actions) == 3
    assert so3.angle(SE3.from_matrix(torch.tensor(said.residual["T_planar_after"])).R) == pytest.approx(
        math.radians(0.9)
    )


# --- harm


HARM: dict[str, tuple[dict[str, Any], str, Any, str]] = {
    "a clip that fails": (
        {},
        "scene",
        lambda s: s["clips"]["right"].update(
            check={"verdict": "fail", "reasons": ["step 1: mirrored"], "lengths": "unseen"}
        ),
        "no trajectory, for the clip does not pass the check",
    ),
    "an undecided clip": (
        {},
        "scene",
        lambda s: s["clips"]["right"].update(
            check={"verdict": "undecided", "reasons": ["unseen"], "lengths": "unseen"}
        ),
        "no trajectory",
    ),
    "no check": ({}, "scene", lambda s: s["clips"]["mirror"].update(check=None), "clips.mirror.check"),
    "a failure without a reason": (
        {},
        "scene",
        lambda s: s["clips"]["mirror"]["check"].update(reasons=[]),
        "clips.mirror.check",
    ),
    "an unknown verdict": (
        {},
        "scene",
        lambda s: s["clips"]["mirror"]["check"].update(verdict="fine"),
        "clips.mirror.check",
    ),
    "the words of the check": ({}, "traj", lambda t: t["motion"].update(check="pass"), "motion is"),
    "unchecked where it was checked": ({}, "traj", lambda t: t["motion"].update(executed="unchecked"), "motion is"),
    "the proof": ({}, "proofs", lambda p: p["motion"].update(check="pass"), "motion is"),
    "a check that nobody made": (
        {"unchecked": True},
        "scene",
        lambda s: s["clips"]["right"].update(check={"verdict": "pass", "reasons": [], "lengths": "unseen"}),
        "clips.right.check",
    ),
    "a verdict of what was measured": (
        {"motion": "executed"},
        "scene",
        lambda s: s["clips"]["mirror"].update(check={"verdict": "pass", "reasons": [], "lengths": "unseen"}),
        "motion is",
    ),
    "no execution": (
        {"motion": "executed"},
        "traj",
        lambda t: t["actions"].update(executed=None),
        "actions.executed",
    ),
    "another execution": (
        {"motion": "executed"},
        "traj",
        lambda t: t["actions"].update(executed="turn left 12 degrees"),
        "actions.executed",
    ),
    "a scale that nobody measured": (
        {"motion": "executed"},
        "all",
        lambda row: row.update(scale={"status": "up_to_scale", "source": "a guess"}),
        "scale is",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_to_what_is_said_of_the_check_is_found(name: str, data_of, tmp_path: Path) -> None:
    from test_verify_recorded import change_proofs, change_scene, change_trajectories, fields_found

    options, where, change, expected = HARM[name]
    subset = data_of("svc", **options)
    data = Path(shutil.copytree(subset.parent, tmp_path / "data"))
    folder = next((data / subset.name / "scenes").iterdir())
    if where == "scene":
        change_scene(folder, change)
    if where == "all":
        change_scene(folder, lambda scene: [change(clip) for clip in scene["clips"].values()])
    if where in ("traj", "all"):
        change_trajectories(folder, change)
    if where in ("proofs", "all"):
        change_proofs(data / subset.name, change)
    assert expected in fields_found(data)
