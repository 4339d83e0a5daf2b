"""`theodolite check` as users call it: videos, folders and sources; the report; and what is refused."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import real_sources
from bundles import Film, write_svc
from bundles import room as bundles_room
from films import jpeg, noisy, write_video

from geom.actions import parse_actions
from geom.scale import Scale
from synth.commanded import Commanded, commanded_of_actions
from synth.film import Picture
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.verdict import Limits
from theodolite.cli import main

REAL = Path(__file__).parents[2] / "shared" / "real_data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real_data is absent")

TOLD = "move forward 0.4 meters; turn left 20 degrees"
NUM = 17


@cache
def world() -> RoomWorld:
    return RoomWorld(GenerateConfig(num_scenes=1, seed=3, image_size=(320, 240)), 0, Stages())


def commanded(told: str) -> Commanded:
    return commanded_of_actions(parse_actions(told), NUM, Scale("metric", "a test"))


@cache
def room_film(told: str) -> tuple[Picture, ...]:
    """A room seen on the way."""
    T_first_cam = commanded(told).T_world_cam
    assert T_first_cam is not None
    views = [world().view(world().T_world_anchor @ T_first_cam[n]) for n in range(NUM)]
    return tuple(noisy([np.asarray(view.image) for view in views], 2.0))


@cache
def hfov() -> str:
    return f"{math.degrees(float(world().camera.hfov)):.6f}"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("films") / "film.mp4", room_film(TOLD))


def checked(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, Any]]:
    status = main(["check", *map(str, words), "--json", "--workers", "1"])
    return status, json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["check", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_a_video_that_shows_its_command_passes(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = checked(capsys, video, "--actions", TOLD, "--hfov-deg", hfov())
    (row,) = found["trajectories"]
    assert status == 0 and row["verdict"] == "pass" and row["reasons"] == [] and row["tsed"] == 1
    assert [step["commanded"] for step in row["steps"]] == ["forward 0.4 m", "turn left 20.0 deg"]
    assert row["steps"][0]["executed"].startswith("forward") and row["steps"][0]["direction_off_deg"] < 5
    assert row["steps"][1]["executed"].startswith("turn left") and row["steps"][1]["turn_off_deg"] < 0.5
    assert row["path"]["unknown_poses"] == 0 and row["path"]["metrics"]["world_score"]["score"] > 0.95
    assert row["scale"]["executed"]["status"] == "unknown" and row["frames"] == NUM
    assert found["summary"]["verdicts"] == {"pass": 1, "fail": 0, "undecided": 0}


def test_a_mirrored_command_fails_with_its_reason_and_the_report_has_it(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, mirrored = tmp_path / "report", TOLD.replace("left", "right")
    status, found = checked(capsys, video, "--actions", mirrored, "--hfov-deg", hfov(), "--out", out)
    (row,) = found["trajectories"]
    assert status == 1 and row["verdict"] == "fail" and "told to turn right 20.0 deg" in row["reasons"][0]
    assert [finding["reason"] for finding in row["findings"] if finding["effect"] == "fails"] == ["mirrored turn"]
    assert json.loads((out / "check.json").read_text())["trajectories"] == [row]
    (line,) = csv.DictReader(io.StringIO((out / "check.csv").read_text()))
    assert line["verdict"] == "fail" and line["first_reason"] == row["reasons"][0]
    page = (out / "check.html").read_text()
    assert "mirrored turn" in page and 'src="http' not in page


def test_people_read_verdict_and_reasons(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(video), "--actions", TOLD.replace("left", "right"), "--hfov-deg", hfov(), "--workers", "1"]
    assert main(["check", *words]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["fail", "film.mp4"] and "step 2" in lines[1]
    assert lines[-1] == "1 trajectories: 0 pass, 1 fail, 0 undecided"


def test_an_unknown_lens_is_estimated_and_said_to_be(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = checked(capsys, video, "--actions", TOLD)
    (row,) = found["trajectories"]
    assert status == 0 and row["verdict"] == "pass"
    assert any("lens was estimated" in note for note in row["notes"])
    assert row["K"][0][0] == pytest.approx(float(world().camera.K[0, 0]), rel=0.03)


def test_a_stated_lens_that_the_pictures_contradict_fails(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = 2 * math.degrees(math.atan(math.tan(math.radians(float(hfov())) / 2) * 1.3))
    status, found = checked(capsys, video, "--actions", TOLD, "--hfov-deg", f"{wide:.2f}")
    assert status == 1 and "focal length" in {f["reason"] for f in found["trajectories"][0]["findings"]}


def test_a_folder_of_pictures_and_a_file_of_poses_do_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, poses = tmp_path / "film", commanded(TOLD).T_world_cam
    folder.mkdir()
    for n, picture in enumerate(room_film(TOLD)):
        cv2.imwrite(str(folder / f"f{n}.png"), picture[:, :, ::-1])
    assert poses is not None
    (tmp_path / "poses.json").write_text(json.dumps({"T_world_cam": poses.matrix().tolist(), "key_frames": [0, 8, 16]}))
    status, found = checked(capsys, folder, "--actions", tmp_path / "poses.json", "--hfov-deg", hfov())
    assert status == 0 and [step["frames"] for step in found["trajectories"][0]["steps"]] == [[0, 8], [8, 16]]


def test_black_pictures_leave_it_open_and_strict_says_so_by_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    black = write_video(tmp_path / "black.mp4", [np.zeros((240, 320, 3), np.uint8)] * NUM)
    words = (black, "--actions", TOLD, "--hfov-deg", "70")
    status, found = checked(capsys, *words)
    (row,) = found["trajectories"]
    assert status == 0 and row["verdict"] == "undecided" and all("0 matches" in text for text in row["reasons"])
    assert checked(capsys, *words, "--strict")[0] == 1


def test_compressed_pictures_are_noted_and_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "film"
    folder.mkdir()
    for n, picture in enumerate(jpeg(room_film(TOLD), 10)):
        cv2.imwrite(str(folder / f"f{n}.png"), picture[:, :, ::-1])
    _, found = checked(capsys, folder, "--actions", TOLD, "--hfov-deg", hfov())
    (row,) = found["trajectories"]
    assert "compression" in {f["reason"] for f in row["findings"]} and row["verdict"] == "pass"


def test_bad_input_is_one_line_and_status_2(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ("--actions", TOLD)
    assert "say what its camera was told" in refused(capsys, video)
    assert "missing" in refused(capsys, tmp_path / "none.mp4", *told)
    (tmp_path / "broken.mp4").write_bytes(video.read_bytes()[:4000])
    assert "no video that can be read" in refused(capsys, tmp_path / "broken.mp4", *told)
    single = tmp_path / "single"
    single.mkdir()
    cv2.imwrite(str(single / "0.png"), room_film(TOLD)[0])
    assert "at least 2 frames" in refused(capsys, single, *told)
    cv2.imwrite(str(single / "1.png"), room_film(TOLD)[1][:200])
    assert "one size" in refused(capsys, single, *told)
    (tmp_path / "poses.json").write_text(json.dumps({"T_world_cam": np.tile(np.eye(4), (5, 1, 1)).tolist()}))
    assert "as many as frames, got 5" in refused(capsys, video, "--actions", tmp_path / "poses.json")
    assert "one more than actions" in refused(capsys, video, *told, "--key-frames", "0,5")
    assert "--key-frames must be frame numbers" in refused(capsys, video, *told, "--key-frames", "0,x")
    assert "--rows must begin at 0" in refused(capsys, video, *told, "--rows", "5", "200")
    assert "rows must be" in refused(capsys, video, *told, "--rows", "0", "999")
    assert "need --actions" in refused(capsys, tmp_path, "--hfov-deg", "60")
    assert "--hfov-deg must be above 0" in refused(capsys, video, *told, "--hfov-deg", "190")
    assert "unknown action 'jump'" in refused(capsys, video, "--actions", "jump 3")
    assert "--max-turn-deg must be above 0, got -1" in refused(capsys, video, *told, "--max-turn-deg", "-1")


def test_help_tells_the_limits_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    limits = Limits()
    assert f"(default: {limits.turn_deg:g}, or a tenth of the turn" in said and limits.turn_share == 0.1
    assert f"may be off (default: {limits.direction_deg:g})" in said
    assert f"depth tells them (default: {limits.length_share:g})" in said


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of SVC: a clip that shows what it was told, one that is mirrored, and one that shows nothing."""
    folder, told = tmp_path_factory.mktemp("svc") / "bundles", "turn left 24 degrees"
    films = (Film("right", told), Film("mirror", told, "turn right 24 degrees"), Film("blank", told, seen=0))
    for film in films:
        write_svc(folder, bundles_room(), film)
    return folder


def test_a_tree_is_checked_clip_by_clip_with_any_number_of_workers(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    status, found = checked(capsys, tree, "--out", out)
    assert status == 1 and found["summary"]["verdicts"] == {"pass": 1, "fail": 1, "undecided": 1}
    verdicts = {row["name"].split("/")[-1]: row["verdict"] for row in found["trajectories"]}
    assert verdicts == {"right": "pass", "mirror": "fail", "blank": "undecided"}
    assert main(["check", str(tree), "--json", "--workers", "2"]) == 1
    assert json.loads(capsys.readouterr().out)["trajectories"] == found["trajectories"]
    rows = {row["name"].split("/")[-1]: row for row in csv.DictReader(io.StringIO((out / "check.csv").read_text()))}
    assert float(rows["mirror"]["turn_off_deg"]) == pytest.approx(48, abs=1) and rows["blank"]["turn_off_deg"] == ""
    assert float(rows["right"]["turn_off_deg"]) < 1 and rows["right"]["length_ratio"] == ""
    page = (out / "check.html").read_text()
    assert page.index("mirror</") < page.index("blank</") < page.index("right</")


def test_a_clip_that_cannot_be_read_is_counted_as_undecided(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "bundles"
    shutil.copytree(tree, damaged)
    picture = sorted(damaged.glob("scenes/*/traj_mirror/samples-rgb/*.png"))[2]
    picture.write_bytes(picture.read_bytes()[:3000])
    status, found = checked(capsys, damaged)
    row = next(row for row in found["trajectories"] if row["name"].endswith("mirror"))
    assert status == 0 and row["verdict"] == "undecided" and picture.name in row["reasons"][0]
    assert checked(capsys, damaged, "--strict")[0] == 1


CLIPS = REAL / "wm_worldcompass"
KEYS = ("--actions", CLIPS / "actions.json", "--rows", "0", "280")


@needs_real
@pytest.mark.parametrize(
    ("clip", "outcome", "failing"), [("RL_sample1", "pass", set()), ("Original_sample1", "fail", {2})]
)
def test_genuine_clips_follow_their_keys_or_do_not(
    clip: str, outcome: str, failing: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of W+D, W+A, W+right and W+left one clip follows all by the signs of its flow; the other misses W+A and W+right.

    Under W+A that one shows too little parallax for its direction to be sure. 89.4 degrees is HY-WorldPlay's lens.
    """
    status, found = checked(capsys, CLIPS / f"{clip}.mp4", *KEYS, "--hfov-deg", "89.4")
    (row,) = found["trajectories"]
    assert row["verdict"] == outcome and status == (outcome == "fail")
    assert {finding["step"] for finding in row["findings"] if finding["effect"] == "fails"} == failing


@needs_real
def test_a_genuine_clip_of_an_unknown_lens_is_left_open_where_that_matters(capsys: pytest.CaptureFixture[str]) -> None:
    """Turns look longer through a longer lens, and take some of the move with them; moves do not show the lens."""
    status, found = checked(capsys, CLIPS / "RL_sample1.mp4", *KEYS)
    (row,) = found["trajectories"]
    assert status == 0 and any("guess" in note for note in row["notes"])
    assert {finding["step"] for finding in row["findings"] if finding["effect"] == "leaves open"} <= {2, 3}


@needs_real
def test_recorded_rgbd_agrees_with_its_poses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = checked(capsys, real_sources.slambook(REAL, tmp_path / "slambook"))
    (row,) = found["trajectories"]
    assert status == 0 and row["scale"]["executed"]["status"] == "metric" and row["depth_warp"]
