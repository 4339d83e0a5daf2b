"""Plans: what each teacher is given for an action sequence."""

from __future__ import annotations

import json
import math

import pytest
import torch

from geom.actions import Action, ActionKind, parse_actions
from geom.camera import PinholeCamera
from synth.plans import (
    hy_latents,
    hy_pose_string,
    parse_pose_string,
    plan,
    svc_camera_scale,
    svc_frame_intrinsics,
)

TEXT = "move forward 0.5 meters; turn left 30 degrees"


def conditioned_positions(positions: torch.Tensor, camera_scale: float) -> torch.Tensor:
    """What SVC does with positions before its network sees them: recentre, then rescale by the first camera."""
    centred = positions - positions.mean(0)
    first = float(centred[0].norm())
    return centred * (camera_scale / first if first > 1e-6 else camera_scale)


@pytest.mark.parametrize("text", ["FWD_6000; FWD_6000; FWD_6000", "TL_1e308"])
def test_latents_without_end_are_refused_however_many_actions_share_them(text):
    with pytest.raises(ValueError, match="at most 100000 steps, got") as refused:
        plan(text, "hy_worldplay")
    assert len(str(refused.value)) < 120


def test_our_plan_has_one_pose_after_each_action():
    planned = plan(TEXT, image_size=(640, 480), hfov=math.pi / 2)
    ends = torch.tensor(planned["T_cam0_cam"])
    assert torch.allclose(ends, parse_actions(TEXT).poses().matrix().float(), atol=1e-6)
    # tan 45 = 1, so f = 640 / 2.
    assert torch.tensor(planned["K"]).flatten().tolist() == pytest.approx([320, 0, 320, 0, 320, 240, 0, 0, 1])
    assert (planned["scale"], planned["convention"], planned["actions"]) == ("metric", "theodolite", TEXT)
    assert planned["key_frame_indices"] == [0, 1, 2]


def test_per_frame_adds_the_small_steps_between_the_same_key_poses():
    coarse, fine = plan(TEXT), plan(TEXT, per_frame=True)
    assert fine["key_frame_indices"] == [0, 3, 9]  # 0.5 m by 0.2, 30 degrees by 5
    assert len(fine["T_cam0_cam"]) == 10
    keys = torch.tensor([fine["T_cam0_cam"][i] for i in fine["key_frame_indices"]])
    assert torch.allclose(keys, torch.tensor(coarse["T_cam0_cam"]), atol=1e-6)


@pytest.mark.parametrize("convention", ["theodolite", "svc", "hy_worldplay"])
def test_a_plan_is_plain_json_without_negative_zero(convention):
    text = json.dumps(plan(TEXT, convention))
    assert json.loads(text) == plan(TEXT, convention)
    assert "-0.0," not in text and "-0.0]" not in text


@pytest.mark.parametrize("convention", ["theodolite", "svc", "hy_worldplay"])
def test_left_is_left_for_every_teacher(convention):
    last = plan("turn left 30 degrees", convention)["T_cam0_cam"][-1]
    assert last[0][2] == pytest.approx(-0.5)  # the optical axis swings to -x: sin 30


@pytest.mark.parametrize("convention", ["theodolite", "svc", "hy_worldplay"])
def test_every_teacher_ends_where_the_actions_end(convention):
    text = "shift_left 0.3; TR_50; FWD_1.1"
    planned = plan(text, convention)
    end = torch.tensor(planned["T_cam0_cam"][planned["key_frame_indices"][-1]], dtype=torch.float64)
    assert torch.allclose(end, parse_actions(text).pose().matrix(), atol=1e-9)


@pytest.mark.parametrize(
    ("size", "hfov_deg", "frame_hfov_deg"),
    [  # the published table: anchor size, stored field of view, true one of the 576 frame
        ((1024, 768), None, 41.8),
        ((1024, 768), 90.0, 73.7),
        ((1920, 1080), None, 32.0),
        ((1920, 1080), 90.0, 58.7),
        ((640, 480), None, 41.8),
        ((576, 576), None, 54.0),
        ((576, 576), 90.0, 90.0),
    ],
)
def test_svc_frames_have_their_own_intrinsics(size, hfov_deg, frame_hfov_deg):
    planned = plan(TEXT, "svc", image_size=size, hfov=None if hfov_deg is None else math.radians(hfov_deg))
    anchor = PinholeCamera(torch.tensor(planned["K"], dtype=torch.float64), *planned["image_size"])
    frame = PinholeCamera(torch.tensor(planned["K_frame"], dtype=torch.float64), *planned["frame_size"])
    assert math.degrees(anchor.hfov) == pytest.approx(hfov_deg or 54.0)
    assert math.degrees(frame.hfov) == pytest.approx(frame_hfov_deg, abs=0.05)


def test_the_long_side_of_an_upright_image_has_54_degrees():
    planned = plan(TEXT, "svc", image_size=(480, 640))
    camera = PinholeCamera(torch.tensor(planned["K"], dtype=torch.float64), *planned["image_size"])
    assert math.degrees(camera.vfov) == pytest.approx(54.0) and camera.K[0, 0] == pytest.approx(camera.K[1, 1])


def test_frame_intrinsics_are_those_of_scaling_and_cropping():
    anchor = PinholeCamera.from_hfov(1.0, 1152, 768)
    # 768 * 0.75 = 576, so 1152 becomes 864 and (864 - 576) / 2 = 144 is cut from each side.
    cropped = anchor.resize(864, 576).crop(144, 0, 576, 576)
    assert torch.allclose(svc_frame_intrinsics(anchor).K, cropped.K)


@pytest.mark.parametrize(
    "text",
    ["FWD_0.1", "FWD_6", "FWD_1; TL_40", "TR_60; FWD_1", "LEFT_0.5; FWD_1.5; TR_20", "FWD_0.5; BACK_1.5; FWD_1"],
)
def test_the_svc_scale_keeps_metres(text):
    planned = plan(text, "svc")
    positions = torch.tensor(planned["T_cam0_cam"], dtype=torch.float64)[:, :3, 3]
    seen = conditioned_positions(positions, planned["camera_scale"])
    assert torch.allclose(seen.diff(dim=0), positions.diff(dim=0), atol=1e-8)


@pytest.mark.parametrize(
    ("text", "length"), [("FWD_0.1", 4.0), ("FWD_6", 4.0), ("FWD_1; TL_40", 2.545), ("TR_60; FWD_1", 12.0)]
)
def test_the_published_default_scale_does_not_keep_metres(text, length):
    # The published measurements at camera_scale 2: our model of SVC's normaliser reproduces them.
    positions = torch.tensor(plan(text, "svc")["T_cam0_cam"], dtype=torch.float64)[:, :3, 3]
    seen = conditioned_positions(positions, 2.0)
    assert float(seen.diff(dim=0).norm(dim=1).sum()) == pytest.approx(length, abs=0.001)


def test_a_camera_that_only_turns_has_no_svc_scale():
    planned = plan("TL_30", "svc")
    assert planned["camera_scale"] is None and planned["scale_note"].startswith("not applicable")
    assert planned["num_frames"] == 7


def test_a_first_camera_at_the_mean_is_multiplied_not_normalised():
    there_and_back = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, -1]])
    assert svc_camera_scale(there_and_back) == 1.0


def test_hy_pads_to_whole_groups_of_four_poses():
    planned = plan("FWD_0.24; TL_4", "hy_worldplay")  # 3 latents and 2: 6 poses, padded to 8
    assert (len(planned["T_cam0_cam"]), planned["num_padding_poses"], planned["video_length"]) == (8, 2, 29)
    assert planned["T_cam0_cam"][5] == planned["T_cam0_cam"][6] == planned["T_cam0_cam"][7]
    assert planned["key_frame_indices"] == [0, 3, 5]
    assert list(planned["pose_json"]) == [str(i) for i in range(8)]
    assert planned["pose_json"]["7"] == {"K": planned["K"], "extrinsic": planned["T_cam0_cam"][7]}


def test_hy_needs_no_padding_at_a_multiple_of_four():
    assert plan("FWD_0.24", "hy_worldplay")["num_padding_poses"] == 0


@pytest.mark.parametrize(
    ("kind", "amount", "steps"),
    [
        (ActionKind.FORWARD, 0.24, [0.08] * 3),
        (ActionKind.FORWARD, 0.3, [0.08] * 3 + [0.06]),
        (ActionKind.TURN_LEFT, 10.0, [3.0] * 3 + [1.0]),
        (ActionKind.LEFT, 0.02, [0.02]),
        (ActionKind.FORWARD, 1.2, [0.08] * 15),  # 1.2 / 0.08 is 14.999999999999998
    ],
)
def test_latents_are_whole_steps_and_a_rest(kind, amount, steps):
    latents = hy_latents(Action(kind, amount))
    assert [a.amount for a in latents] == pytest.approx(steps) and {a.kind for a in latents} == {kind}


def test_pose_strings_make_the_round_trip():
    text = "w-3, s-2, a-1, d-4, left-10, right-1"
    assert hy_pose_string(parse_pose_string(text)) == text
    assert plan("TL_30; FWD_0.8", "hy_worldplay")["pose_string"] == "left-10, w-10"


@pytest.mark.parametrize("text", ["FWD_0.3", "TL_10", "TL_3.08", "FWD_0.16; TL_1"])
def test_what_is_not_whole_latents_has_no_pose_string(text):
    assert plan(text, "hy_worldplay")["pose_string"] is None


@pytest.mark.parametrize("text", ["", "w", "w-", "w-0", "w--3", "q-3", "w-1.5", "w-３", "w-3,"])
def test_bad_pose_strings_are_refused(text):
    with pytest.raises(ValueError, match="a hyphen, a count above 0"):
        parse_pose_string(text)


def test_bad_plans_are_refused():
    with pytest.raises(ValueError, match="one of theodolite, svc, hy_worldplay, got 'opengl'"):
        plan(TEXT, "opengl")
    with pytest.raises(ValueError, match="at least one action"):
        plan(parse_actions(TEXT).__class__(()))
    with pytest.raises(ValueError, match="unknown action"):
        plan("jump 3")
    with pytest.raises(ValueError, match="hfov must be between 0 and pi"):
        plan(TEXT, hfov=0.0)
    with pytest.raises(ValueError, match="image_size must be .width, height. in pixels, above zero"):
        plan(TEXT, image_size=(0, 480))
    for camera in ({"image_size": (832, 480)}, {"hfov": 1.0}):
        with pytest.raises(ValueError, match="one fixed K"):
            plan(TEXT, "hy_worldplay", **camera)
    with pytest.raises(ValueError, match="no pitch action"):
        parse_pose_string("w-2, up-4")
