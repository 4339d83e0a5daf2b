"""Our poses against those that the public pipelines computed, clip by clip."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from geom.actions import Action, ActionKind, ActionSequence, canonicalise, micro_steps, parse_actions
from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.plans import HY_K, hy_latents, parse_pose_string, plan
from synth.presets import quantise_hy

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
ROWS = (
    [json.loads(line) for line in (GOLDEN / "trajectories_public.jsonl").read_text().splitlines()]
    if GOLDEN.exists()
    else []
)
pytestmark = pytest.mark.skipif(not ROWS, reason="the golden data is not beside the repository")
TOLERANCE = 1e-5


def rows(teacher: str) -> list:
    return [pytest.param(r, id=f"{teacher}-{r['id']}") for r in ROWS if r["teacher"] == teacher]


def sequence(actions: list) -> ActionSequence:
    return ActionSequence(tuple(Action(ActionKind(name), float(amount)) for name, amount in actions))


def is_published(T_cam0_cam: SE3, published: list) -> bool:
    theirs = torch.tensor(published, dtype=torch.float64)[:, :3]
    ours = T_cam0_cam.matrix()[:, :3]
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() < TOLERANCE)


def turns_mirrored(actions: ActionSequence) -> ActionSequence:
    """The same words with the turns the other way round, and the moves as they are."""
    return ActionSequence(tuple(a.undone() if a.kind.is_turn else a for a in actions))


@pytest.mark.parametrize("row", rows("svc"))
def test_svc_clips_have_our_poses(row):
    settings = row["settings"]
    groups = micro_steps(
        sequence(row["actions"]),
        max_step_m=settings["max_trans_step"],
        max_step_deg=settings["max_yaw_step"],
        min_num_frames=settings["min_num_frames"] or 2,
    )
    steps = sum(groups, ActionSequence())
    assert is_published(steps.poses(), row["c2ws"])
    assert [0, *torch.tensor([len(g) for g in groups]).cumsum(0).tolist()] == row["key_frame_indices"]
    assert [[], *([a.token()] for a in steps)] == row["actions_step"]


def has_plan_settings(row: dict) -> bool:
    """Whether the clip was made with the steps of `plan` and a camera that it can be told of."""
    s, camera = row["settings"], row["settings"]["camera"] or {}
    steps = (s["max_trans_step"], s["max_yaw_step"], s["min_num_frames"])
    return steps == (0.2, 5.0, None) and camera.get("fov_axis", "horizontal") == "horizontal"


@pytest.mark.parametrize("row", [p for p in rows("svc") if has_plan_settings(p.values[0])])
def test_svc_plans_are_the_published_clips(row):
    camera = row["settings"]["camera"]
    hfov = math.radians(camera["fov_deg"]) if camera else None
    planned = plan(sequence(row["actions"]), "svc", image_size=tuple(row["image_wh"]), hfov=hfov)
    assert is_published(SE3.from_matrix(torch.tensor(planned["T_cam0_cam"], dtype=torch.float64)), row["c2ws"])
    assert torch.tensor(planned["K"]) == pytest.approx(torch.tensor(row["K"]), rel=1e-6)
    assert planned["key_frame_indices"] == row["key_frame_indices"]


@pytest.mark.parametrize("row", rows("svc_legacy"))
def test_legacy_clips_have_our_poses(row):
    steps = [parse_actions("; ".join(tokens)) if tokens else ActionSequence() for tokens in row["actions_step"]]
    poses = SE3.stack([sum(steps[: i + 1], ActionSequence()).pose() for i in range(len(steps))])
    assert is_published(poses, row["c2ws"])
    assert list(canonicalise(sum(steps, ActionSequence())).tokens()) == row["canonical_first_last"]


@pytest.mark.parametrize("row", rows("hy_pose_string"))
def test_hy_pose_strings_have_our_poses_and_our_left(row):
    if any("pitch" in motion for motion in row["motions"]):
        with pytest.raises(ValueError, match="no pitch action"):
            parse_pose_string(row["pose_string"])
        return
    latents = sum(map(hy_latents, parse_pose_string(row["pose_string"])), ActionSequence())
    assert is_published(latents.poses(), row["c2ws"])


@pytest.mark.parametrize("row", rows("hy"))
def test_hy_clips_turn_against_their_words(row):
    asked = [(ActionKind(name), float(amount)) for name, amount in row["raw_actions"]]
    said = [Action(k, quantise_hy(k, a)) for k, a in asked if quantise_hy(k, a)]
    assert said == [Action(ActionKind(a["name"]), a["value"]) for a in row["actions"] if a["value"]]
    latents = sum(map(hy_latents, said), ActionSequence())
    poses = latents.poses() if said else SE3.identity()[None]
    padding = len(row["c2ws"]) - poses.shape[0]
    assert padding == row["padded_latents"] and len(latents) == row["total_latents"]
    mirrored = turns_mirrored(latents).poses() if said else poses
    assert is_published(mirrored[list(range(poses.shape[0])) + [-1] * padding], row["c2ws"])
    has_turn = any(a.kind.is_turn for a in said)
    assert is_published(poses[list(range(poses.shape[0])) + [-1] * padding], row["c2ws"]) is not has_turn


@pytest.mark.parametrize("row", rows("hy"))
def test_hy_plans_of_the_mirrored_words_are_the_published_clips(row):
    said = sequence([(a["name"], a["value"]) for a in row["actions"] if a["value"]])
    if not said or row["settings"]["latent_multiple"] != 4:
        assert row["settings"]["latent_multiple"] in (1, 16) or row["total_latents"] == 0
        return
    planned = plan(turns_mirrored(said), "hy_worldplay")
    assert is_published(SE3.from_matrix(torch.tensor(planned["T_cam0_cam"], dtype=torch.float64)), row["c2ws"])
    assert (planned["video_length"], planned["num_padding_poses"]) == (row["video_length"], row["padded_latents"])
    assert planned["K"] == row["K"]


def test_hy_latents_are_the_published_ones_with_turns_negated():
    lines = (GOLDEN / "actions_text.jsonl").read_text().splitlines()
    published = [row for row in map(json.loads, lines) if row["kind"] == "hy_latents"]
    assert published
    for row in published:
        kind = ActionKind(row["name"])
        ours = [a.signed_amount for a in hy_latents(Action(kind, float(row["value"])))]
        assert ours == pytest.approx(row["export_hy_motion_plan"], abs=1e-9)
        flip = -1 if kind.is_turn else 1
        assert [flip * v for v in ours] == pytest.approx(row["datagen_actions"], abs=1e-9)


def test_the_fixed_hy_camera_sees_what_the_published_one_sees():
    row = next(r for r in ROWS if r["teacher"] == "hy_pose_string")
    K = PinholeCamera(torch.tensor(HY_K, dtype=torch.float64), 1920, 1080).K / torch.tensor([[1920.0], [1080.0], [1.0]])
    assert torch.allclose(K, torch.tensor(row["K_used_normalised"], dtype=torch.float64), atol=1e-12)
