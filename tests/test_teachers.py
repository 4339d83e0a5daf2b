"""What we write for each world model is what it reads: stand-ins with parsers of their own read it and draw by it, and
their pictures are where the bundle says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stand_ins import CLASSES, photograph, teacher, worst_dot_px

from geom.actions import parse_actions
from synth.imagine import imagine
from synth.plans import parse_pose_string, plan, svc_camera_scale, svc_units_per_m
from synth.source import Clip, Source
from synth.sources import read_source
from synth.teacher_hy import PROMPT, HyWorldPlay
from synth.teachers import jobs_of, read_upright, upright_size, write_covered

SINGLE = ("FWD_0.5", "BACK_0.3", "LEFT_0.4", "RIGHT_0.24", "TL_30", "TR_24")
COMBINED = ("FWD_0.5; TL_10", "TR_20; FWD_0.32; LEFT_0.2", "RIGHT_0.1; TL_7; BACK_0.4; TR_15")
AWKWARD = ("FWD_0.6; BACK_0.6", "FWD_0.4; BACK_0.8; FWD_0.4", "TL_175; FWD_0.1")
"""For SVC's normaliser: a return; a first camera at the mean; a move that the mean leaves out."""


def imagined(tmp_path: Path, name: str, texts: tuple[str, ...], **options: float) -> tuple[Source, Path]:
    """Bundles of a stand-in, read back; and its folder."""
    anchor = photograph(tmp_path / "my photos" / "living room.png")
    jobs = jobs_of([anchor], [parse_actions(text) for text in texts])
    who = teacher(tmp_path / "a teacher", name, "", **options)
    result = imagine(jobs, who, tmp_path / "out here", time_limit_s=60)
    assert result.failed == {} and len(result.made) == len(texts)
    source = read_source(tmp_path / "out here")
    assert not source.left_out and len(list(source.clips())) == len(texts)
    return source, tmp_path / "a teacher"


def check_clip(clip: Clip, tolerance_px: float) -> None:
    assert clip.told and clip.disagreement() is None, clip.clip_id
    misses = [worst_dot_px(frame) for frame in clip.frames]
    assert max(miss for miss, _ in misses) < tolerance_px, clip.clip_id
    assert sum(count for _, count in misses) > len(misses)


def told(source: Source) -> set[str]:
    return {clip.told for _, clip in source.clips()}


@pytest.mark.parametrize("name", ["svc", "worldfm"])
def test_pictures_of_svc_and_worldfm_are_where_the_bundle_says(tmp_path: Path, name: str) -> None:
    texts = SINGLE + COMBINED
    source, _ = imagined(tmp_path, name, texts)
    assert source.source_format == name
    assert told(source) == {parse_actions(text).text() for text in texts}
    for _, clip in source.clips():
        check_clip(clip, tolerance_px=0.2)


def test_pictures_of_hy_worldplay_are_where_the_bundle_says(tmp_path: Path) -> None:
    texts = (*SINGLE[2:], *COMBINED[1:])
    source, root = imagined(tmp_path, "hy_worldplay", texts)
    assert source.source_format == "hy_worldplay"
    assert told(source) == {parse_actions(text).text() for text in texts}
    for _, clip in source.clips():
        check_clip(clip, tolerance_px=0.5)
        assert clip.scale.status == "up_to_scale"
        assert clip.notes[0].startswith(("turns as told", "no turns"))
    # The stand-in tells turns as HY-WorldPlay does: by the sign of yaw in the poses.
    words = [json.loads(line) for line in (root / "words").read_text().splitlines()]
    assert words[texts.index("TL_30")] == ["left"] * 10 and words[texts.index("TR_24")] == ["right"] * 8


def test_videos_of_hy_have_4k_plus_1_frames_and_poses_in_the_order_of_numbers(tmp_path: Path) -> None:
    source, root = imagined(tmp_path, "hy_worldplay", ("FWD_1.2", "TL_7"))
    lengths = []
    for _, clip in source.clips():
        bundle = clip.frames[0].picture.parents[1]
        video = json.loads((bundle / "traj.json").read_text())["video_length"]
        lengths.append(video)
        assert json.loads((bundle / "traj.json").read_text())["prompt"] == PROMPT
        keys = list(json.loads((bundle / "pose.json").read_text()))
        assert keys == [str(i) for i in range(len(keys))] and video == 4 * len(keys) - 3 and len(keys) % 4 == 0
        assert len(clip.frames) == len(keys)
    # 15 latents and the start are 16 poses; 3 latents (3, 3 and 1 degrees) and the start are 4.
    assert sorted(lengths) == [13, 61]
    assert all(json.loads(line)[0] == str(root) for line in (root / "calls").read_text().splitlines())


def test_a_prompt_of_the_users_own_is_kept() -> None:
    assert HyWorldPlay(extra=("--prompt", "a calm hall", "--dtype", "fp32")).prompt() == "a calm hall"
    assert HyWorldPlay(extra=("--dtype", "fp32")).prompt() == PROMPT


def test_a_pose_string_is_written_only_where_it_says_the_same(tmp_path: Path) -> None:
    anchor = photograph(tmp_path / "a.png")
    who = CLASSES["hy_worldplay"]()
    found = {}
    for i, text in enumerate(("LEFT_0.16; TL_3", "LEFT_0.16; TL_6", "LEFT_0.16; TL_2")):
        (tmp_path / str(i)).mkdir()
        who.write_inputs(jobs_of([anchor], [parse_actions(text)])[0], tmp_path / str(i))
        file = tmp_path / str(i) / "pose.txt"
        found[text] = file.read_text().strip() if file.exists() else None
    # Three latents and the start make four; with another latent the last pose is repeated, and 2 degrees are no latent.
    assert found == {"LEFT_0.16; TL_3": "a-2, left-1", "LEFT_0.16; TL_6": None, "LEFT_0.16; TL_2": None}
    assert parse_pose_string("a-2, left-1").text() == "move left 0.16 meters; turn left 3 degrees"


def test_svc_is_conditioned_on_metres(tmp_path: Path) -> None:
    """The stand-in normalises as seva does; the path that comes out must be the commanded one."""
    texts = (*SINGLE[:3], "TL_30", COMBINED[1], *AWKWARD)
    source, root = imagined(tmp_path, "svc", texts)
    lines = (root / "conditioned").read_text().splitlines()
    for text, line in zip(texts, lines, strict=True):
        seen = np.array(json.loads(line))
        commanded = np.array(plan(text, "svc")["T_cam0_cam"])[:, :3, 3]
        assert seen - seen[0] == pytest.approx(commanded, abs=2e-5), text
    for _, clip in source.clips():
        expected = "only turns" if clip.told == "turn left 30 degrees" else ": SVC was conditioned on 1 units"
        assert expected in clip.scale.source, clip.told
        assert clip.scale.status == ("unknown" if "only" in expected else "up_to_scale")


def test_svc_is_told_the_field_of_view(tmp_path: Path) -> None:
    source, _ = imagined(tmp_path, "svc", ("RIGHT_0.4",), hfov=np.radians(90.0))
    ((_, clip),) = source.clips()
    check_clip(clip, tolerance_px=0.2)
    # 90 degrees along 640 pixels are f = 320; 480 of them become 576.
    assert float(clip.frames[0].camera.K[0, 0]) == pytest.approx(320 * 576 / 480)


def test_one_pass_holds_a_clip_longer_than_svc_was_trained_with(tmp_path: Path) -> None:
    _, root = imagined(tmp_path, "svc", ("TL_150", "FWD_0.2"))
    calls = [json.loads(line)[1:] for line in (root / "calls").read_text().splitlines()]
    assert [call[call.index("--T") + 1] for call in calls] == ["31", "21"]


def test_worldfm_has_no_scale(tmp_path: Path) -> None:
    source, _ = imagined(tmp_path, "worldfm", ("FWD_0.5",))
    ((_, clip),) = source.clips()
    assert clip.scale.status == "unknown" and any("WorldFM renders with it" in note for note in clip.notes)


def test_svc_leaves_a_short_move_after_a_long_turn_out_of_its_mean() -> None:
    path = torch.zeros(100, 3, dtype=torch.float64)
    path[-1, 2] = 0.1
    # The mean of all would be 1 mm ahead; without the last camera the first is at the centre.
    assert svc_camera_scale(path) == 1.0 and svc_units_per_m(path, 0.001) == pytest.approx(0.001)
    assert svc_units_per_m(torch.zeros(5, 3, dtype=torch.float64), 2.0) is None


def test_an_anchor_is_cropped_where_its_intrinsics_are(tmp_path: Path) -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[230:250, 310:330] = 255  # the middle
    image[:, :70] = 255  # beyond the crop
    Image.fromarray(image).save(tmp_path / "a.png")
    write_covered(tmp_path / "a.png", tmp_path / "b.png", (576, 576))
    cropped = np.asarray(Image.open(tmp_path / "b.png").convert("L"), float)
    rows, cols = np.nonzero(cropped > 128)
    assert cropped.shape == (576, 576)
    assert (rows.mean() + 0.5, cols.mean() + 0.5) == pytest.approx((288, 288), abs=0.6)
    photograph(tmp_path / "fits.png", (576, 576), shade=77)
    write_covered(tmp_path / "fits.png", tmp_path / "c.png", (576, 576))
    assert Image.open(tmp_path / "fits.png").tobytes() == Image.open(tmp_path / "c.png").tobytes()


def test_scenes_are_told_by_content_and_trajectories_by_actions(tmp_path: Path) -> None:
    first, second = photograph(tmp_path / "a" / "room.png"), photograph(tmp_path / "b" / "room.png", shade=30)
    copy = tmp_path / "c" / "same room.png"
    copy.parent.mkdir()
    copy.write_bytes(first.read_bytes())
    turns = parse_actions("; ".join(["TL_10; FWD_0.5"] * 20))
    jobs = jobs_of([first, second, copy], [parse_actions("FWD_0.5"), turns, parse_actions("go_forward 0.5")])
    assert len(jobs) == 4 and len({job.scene_id for job in jobs}) == 2
    assert all(job.scene_id.startswith("room-") for job in jobs)
    assert jobs[0].traj_id == "FWD_0.5" and len(jobs[1].traj_id) == 80
    with pytest.raises(ValueError, match="at least one action"):
        jobs_of([first], [parse_actions("FWD_1").__class__()])


@pytest.mark.parametrize("script", ["generate.py", "hyvideo/generate.py"])
def test_hy_is_found_where_its_versions_have_it(tmp_path: Path, script: str) -> None:
    (tmp_path / script).parent.mkdir(exist_ok=True)
    (tmp_path / script).touch()
    teacher = HyWorldPlay(root=tmp_path, extra=("--model_path", "m", "--action_ckpt", "a"))
    teacher.check()
    assert teacher.starter()[1] == str(tmp_path / script)
    assert teacher.environment()["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)


def test_an_anchor_is_upright_as_its_camera_said(tmp_path: Path) -> None:
    lying = Image.new("RGB", (80, 60), (10, 20, 30))
    lying.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right to be seen
    lying.save(tmp_path / "a.png", exif=exif)
    upright = read_upright(tmp_path / "a.png")
    assert upright.shape == (80, 60, 3) and upright[0, 59].tolist() == [255, 255, 255]
    assert upright_size(tmp_path / "a.png") == (60, 80)


@pytest.mark.parametrize(
    ("name", "word"), [("svc", "--camera_scale"), ("hy_worldplay", "--pose=w-3"), ("worldfm", "--image_size")]
)
def test_what_a_bundle_records_is_not_set_by_further_arguments(name: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"must leave {word.partition('=')[0]} alone"):
        CLASSES[name](extra=("--x", "1", word))
