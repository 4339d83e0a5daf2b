"""SVC and HY-WorldPlay trees: conventions, intrinsics and signs of turns as they are, and hostile ones refused."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geom.actions import micro_steps, parse_actions
from geom.camera import PinholeCamera
from geom.conventions import to_c2w, to_nerfstudio
from geom.se3 import SE3
from synth import safe_read
from synth.plans import plan, svc_frame_intrinsics
from synth.read_hy import is_hy, read_hy
from synth.read_svc import is_svc, read_svc
from synth.source import Clip, Source

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the trees made by the public code are not here")
ANCHOR, FRAME = (128, 96), (64, 64)
K_ANCHOR = [[64.0, 0.0, 64.0], [0.0, 64.0, 48.0], [0.0, 0.0, 1.0]]


def picture(path: Path, size: tuple[int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def svc_bundle(folder: Path, actions: str, **changes: Any) -> Path:
    """One clip as the public code writes it."""
    groups = micro_steps(parse_actions(actions))
    steps = [step for group in groups for step in group]
    T, poses = SE3.identity(), [SE3.identity()]
    for step in steps:
        T = T @ step.pose()
        poses.append(T)
    frames = [
        {
            "id": i + 1,
            "file_path": f"samples-rgb/{i:03d}.png",
            "width": FRAME[0],
            "height": FRAME[1],
            "K": K_ANCHOR,
            "c2w": to_c2w(pose).tolist(),
        }
        for i, pose in enumerate(poses)
    ]
    keys = np.cumsum([0, *map(len, groups)]).tolist()
    named = [{"act": a.kind.value, "magnitude": a.amount} for a in parse_actions(actions)]
    bundle = {
        "traj_params": {"kind": "multi_step", "actions": named, "camera_scale": 2.0},
        "frame_ids_kept": [0, len(frames) - 1],
        "actions_step": [[], *([step.token()] for step in steps)],
        "transforms": {"frames": frames},
        "key_frame_indices": keys,
    } | changes
    folder.mkdir(parents=True)
    (folder / "traj.json").write_text(json.dumps(bundle))
    for frame in frames:
        picture(folder / frame["file_path"], FRAME)
    return folder


def hy_bundle(folder: Path, actions: str, *, mirror: bool = False, **changes: Any) -> Path:
    """One clip as the public code writes it; with `mirror`, its turns go the other way than its words."""
    words = parse_actions(actions)
    shown = "; ".join((a.undone() if mirror and a.kind.is_turn else a).text() for a in words)
    planned = plan(shown, "hy_worldplay")
    poses = planned["T_cam0_cam"]
    ends = planned["key_frame_indices"]
    indices = sorted({0, *(4 * end for end in ends), 4 * (len(poses) - 1)})
    chunks = [{"latent_values": [0.0] * (b - a)} for a, b in zip(ends, ends[1:], strict=False)]
    bundle = {
        "actions": [{"name": a.kind.value, "value": a.amount} for a in words],
        "latent_chunks": chunks,
        "pose_path": "pose.json",
        "retained_frame_indices": indices,
        "sample_paths": [f"samples-rgb/frame_{i:04d}.png" for i in indices],
    } | changes
    folder.mkdir(parents=True)
    (folder / "traj.json").write_text(json.dumps(bundle))
    rows = {str(i): {"K": planned["K"], "extrinsic": T} for i, T in enumerate(poses)}
    (folder / "pose.json").write_text(json.dumps(dict(sorted(rows.items()))))  # "0", "1", "10", "11": as text
    for i in indices:
        picture(folder / f"samples-rgb/frame_{i:04d}.png", (104, 60))
    return folder


@pytest.fixture
def svc(tmp_path: Path) -> Path:
    scene = tmp_path / "tree" / "scenes" / "room"
    picture(scene / "input" / "000.png", ANCHOR)
    svc_bundle(scene / "traj_a", "move forward 1 meters; turn left 40 degrees")
    return tmp_path / "tree"


def only_clip(source: Source) -> Clip:
    ((_, clip),) = source.clips()
    return clip


def test_each_tree_is_told_by_its_content(svc: Path, tmp_path: Path) -> None:
    hy_bundle(tmp_path / "hy" / "scenes" / "hall" / "traj_a", "move forward 0.8 meters")
    assert (is_svc(svc), is_hy(svc)) == (True, False)
    assert (is_svc(tmp_path / "hy"), is_hy(tmp_path / "hy")) == (False, True)
    assert not is_svc(tmp_path) and not is_hy(tmp_path)


def test_svc_poses_show_what_was_told(svc: Path) -> None:
    clip = only_clip(read_svc(svc))
    assert clip.shown().text() == clip.told == "move forward 1 meters; turn left 40 degrees"
    assert clip.disagreement() is None and clip.key_frames == (0, 5, 13) and len(clip.frames) == 14


def test_the_k_of_a_frame_is_where_the_point_is_in_the_cropped_picture(tmp_path: Path) -> None:
    """A white dot is drawn into an anchor where its K says, the anchor is scaled and cropped as SVC does, and the
    derived K must say where the dot is then."""
    whole = PinholeCamera(torch.tensor([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]]).double(), 640, 480)
    p_cam = torch.tensor([0.21, -0.17, 2.0]).double()
    (u, v), _ = whole.project(p_cam)
    rows, cols = np.mgrid[0:480, 0:640] + 0.5
    dot = 255 * np.exp(-((cols - float(u)) ** 2 + (rows - float(v)) ** 2) / (2 * 8**2))
    side = round(640 * 576 / 480)
    scaled = Image.fromarray(dot.astype(np.uint8)).resize((side, 576), Image.Resampling.BICUBIC)
    cropped = np.asarray(scaled.crop(((side - 576) // 2, 0, (side + 576) // 2, 576))).astype(float)
    rows, cols = np.mgrid[0:576, 0:576] + 0.5
    found = (cols * cropped).sum() / cropped.sum(), (rows * cropped).sum() / cropped.sum()
    expected, _ = svc_frame_intrinsics(whole).project(p_cam)
    assert found == pytest.approx(expected.tolist(), abs=0.05)
    # The K of the anchor with the size of the frame, which the bundle shows side by side, is off by tens of pixels.
    wrong, _ = PinholeCamera(whole.K, 576, 576).project(p_cam)
    assert (wrong - expected).norm() > 20


def test_svc_intrinsics_follow_the_picture(svc: Path) -> None:
    clip = only_clip(read_svc(svc))
    # 96 pixels became 64: focal 64 * 64 / 96, and the centre of the frame.
    assert clip.frames[3].camera.K.tolist() == pytest.approx(
        np.array([[128 / 3, 0, 32], [0, 128 / 3, 32], [0, 0, 1]]), abs=1e-9
    )
    assert any("belongs to the anchor of 128 x 96" in note for note in clip.notes)
    (svc / "scenes" / "room" / "input" / "000.png").unlink()
    again = only_clip(read_svc(svc))
    assert torch.equal(again.frames[3].camera.K, clip.frames[3].camera.K)
    assert any("told from the principal point" in note for note in again.notes)


def test_worldfm_renders_with_k_as_it_stands(tmp_path: Path) -> None:
    folder = svc_bundle(tmp_path / "scenes" / "s" / "traj_a", "move left 0.4 meters")
    bundle = json.loads((folder / "traj.json").read_text())
    for i, frame in enumerate(bundle["transforms"]["frames"]):
        frame["file_path"] = f"samples-rgb/{i:04d}.png"
        picture(folder / frame["file_path"], FRAME)
    (folder / "traj.json").write_text(json.dumps(bundle))
    assert only_clip(read_svc(tmp_path)).frames[0].camera.K.tolist() == K_ANCHOR


def test_opengl_poses_of_legacy_bundles_are_turned(svc: Path, tmp_path: Path) -> None:
    straight = only_clip(read_svc(svc))
    file = svc / "scenes" / "room" / "traj_a" / "traj.json"
    bundle = json.loads(file.read_text())
    bundle["transforms"]["frames"] = [
        {"file_path": row["file_path"], "fl_x": 64, "fl_y": 64, "cx": 64, "cy": 48, "w": 64, "h": 64}
        | {"transform_matrix": to_nerfstudio(frame.T_world_cam).tolist()}
        for row, frame in zip(bundle["transforms"]["frames"], straight.frames, strict=True)
    ]
    file.write_text(json.dumps(bundle))
    clip = only_clip(read_svc(svc))
    assert clip.shown() == straight.shown() and any("OpenGL" in note for note in clip.notes)
    assert torch.equal(clip.frames[0].camera.K, straight.frames[0].camera.K)


@pytest.mark.parametrize(
    ("actions", "camera_scale", "status", "units"),
    [
        # SVC puts the first camera at camera_scale from the mean camera: of a straight metre, half a metre away.
        ("move forward 1 meters", 0.5, "up_to_scale", "1 units for each commanded metre"),
        ("move forward 1 meters", 2.0, "up_to_scale", "4 units for each commanded metre"),
        ("move forward 0.1 meters", 0.5, "up_to_scale", "10 units for each commanded metre"),
        ("turn left 40 degrees", 20.0, "unknown", "only turns"),
    ],
)
def test_svc_scale_is_what_the_model_was_conditioned_on(tmp_path, actions, camera_scale, status, units) -> None:
    params = {"kind": "multi_step", "camera_scale": camera_scale, "actions": []}
    params["actions"] = [{"act": a.kind.value, "magnitude": a.amount} for a in parse_actions(actions)]
    svc_bundle(tmp_path / "scenes" / "s" / "traj_a", actions, traj_params=params)
    scale = only_clip(read_svc(tmp_path)).scale
    assert scale.status == status and units in scale.source and not scale.is_metric


@pytest.mark.parametrize(
    ("mirror", "note"),
    [(False, "turns as told"), (True, "turns are mirrored: the poses turn right where the words say left")],
)
def test_hy_says_which_sign_its_turns_carry_and_labels_what_the_poses_show(tmp_path, mirror: bool, note: str) -> None:
    hy_bundle(tmp_path / "scenes" / "hall" / "traj_a", "move forward 0.8 meters; turn left 30 degrees", mirror=mirror)
    clip = only_clip(read_hy(tmp_path))
    way = "right" if mirror else "left"
    assert clip.shown().text() == f"move forward 0.8 meters; turn {way} 30 degrees"
    assert clip.told == "move forward 0.8 meters; turn left 30 degrees"
    assert note in clip.notes[0] and (clip.disagreement() is not None) == mirror


@pytest.mark.parametrize("words", ["turn left 180 degrees", "move forward 0.4 meters; turn right 180 degrees"])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_half_turn_is_one_to_either_side_and_not_called_mirrored(words: str, mirror: bool, tmp_path: Path) -> None:
    hy_bundle(tmp_path / "scenes" / "hall" / "traj_a", words, mirror=mirror)
    clip = only_clip(read_hy(tmp_path))
    assert clip.notes == ("turns as told: the poses turn the way that the words say",)
    assert clip.disagreement() is None


def test_a_turn_of_nearly_half_told_the_other_way_is_mirrored(tmp_path: Path) -> None:
    hy_bundle(tmp_path / "scenes" / "hall" / "traj_a", "turn left 171 degrees", mirror=True)
    clip = only_clip(read_hy(tmp_path))
    assert "turns are mirrored" in clip.notes[0]
    assert clip.disagreement() == "told 'turn left 171 degrees', but the poses show 'turn right 171 degrees'"


def test_hy_poses_are_in_the_order_of_numbers_and_four_frames_apart(tmp_path: Path) -> None:
    hy_bundle(tmp_path / "scenes" / "hall" / "traj_a", "move forward 1.2 meters; move left 0.4 meters")
    clip = only_clip(read_hy(tmp_path))
    # 1.2 m are 15 latents of 0.08 m: read in the order of the text, pose 15 would be another.
    ahead = clip.frames[clip.key_frames[1]].T_world_cam.t
    assert ahead.tolist() == pytest.approx([0, 0, 1.2])
    assert clip.scale.status == "up_to_scale" and "own unit" in clip.scale.source


def test_hy_intrinsics_are_stretched_to_the_frame(tmp_path: Path) -> None:
    hy_bundle(tmp_path / "scenes" / "hall" / "traj_a", "move forward 0.4 meters")
    camera = only_clip(read_hy(tmp_path)).frames[0].camera
    assert (camera.width, camera.height) == (104, 60)
    assert camera.focal.tolist() == pytest.approx([969.697 * 104 / 1920, 969.697 * 60 / 1080], rel=1e-6)
    assert camera.principal_point.tolist() == pytest.approx([52, 30])


@needs_golden
def test_the_public_trees_are_read_whole() -> None:
    svc_tree = read_svc(GOLDEN / "scenes_svc" / "svc_teacher_generation")
    clips = [clip for _, clip in svc_tree.clips()]
    assert len(clips) == 9 and not svc_tree.left_out
    assert all(clip.disagreement() is None for clip in clips)
    hy_tree = read_hy(GOLDEN / "scenes_hy" / "hy_demo")
    clips = [clip for _, clip in hy_tree.clips()]
    assert len(clips) == 12 and not hy_tree.left_out
    turning = [clip for clip in clips if "turn" in clip.told]
    assert len(turning) == 6 and all("mirrored" in clip.notes[0] for clip in turning)
    assert all(clip.disagreement() is None for clip in clips if "turn" not in clip.told)


@needs_golden
def test_the_public_opengl_example_is_the_opencv_one() -> None:
    folder = GOLDEN / "transforms_gl_example"
    rows = json.loads((folder / "transforms.json").read_text())["frames"]
    straight = json.loads((folder / "source.json").read_text())["c2ws_opencv"]
    from geom.conventions import from_c2w, from_nerfstudio

    for row, c2w in zip(rows, straight, strict=True):
        turned = from_nerfstudio(torch.tensor(row["transform_matrix"]).double(), tolerance=1e-4)
        torch.testing.assert_close(
            turned.matrix(), from_c2w(torch.tensor(c2w).double(), tolerance=1e-4).matrix(), atol=1e-6, rtol=0
        )


def edit(folder: Path, change: Callable[[dict[str, Any]], Any], file: str = "traj.json") -> None:
    path = next(folder.glob(f"scenes/*/traj_a/{file}"))
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def frames_of(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return bundle["transforms"]["frames"]


def turned(rows: list[list[float]]) -> list[list[float]]:
    return np.array(rows).T.tolist()


SVC_HARM: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "path leaves the folder": (lambda b: frames_of(b)[0].update(file_path="../../../x.png"), "leads out of its folder"),
    "absolute path": (lambda b: frames_of(b)[0].update(file_path="/etc/passwd"), "leads out of its folder"),
    "path is no text": (lambda b: frames_of(b)[0].update(file_path=3), "must be text"),
    "no such picture": (lambda b: frames_of(b)[0].update(file_path="x.png"), "is missing"),
    "pose is no matrix": (lambda b: frames_of(b)[1].update(c2w=[[1, 2], [3, 4]]), "must be 4 x 4 or 3 x 4"),
    "pose holds text": (lambda b: frames_of(b)[1]["c2w"][0].__setitem__(0, "1"), "finite number"),
    "pose is not rigid": (lambda b: frames_of(b)[1]["c2w"][0].__setitem__(0, 3.0), "orthonormal"),
    "pose is reflected": (lambda b: frames_of(b)[1]["c2w"][0].__setitem__(0, -1.0), "reflected"),
    "pose is transposed": (
        lambda b: frames_of(b)[3].update(c2w=np.array(frames_of(b)[3]["c2w"]).T.tolist()),
        "last row",
    ),
    "K is transposed": (lambda b: frames_of(b)[0].update(K=turned(K_ANCHOR)), "last row of K"),
    "counts differ": (lambda b: b["actions_step"].pop(), "as many actions_step as frames"),
    "one frame": (
        lambda b: [rows.__delitem__(slice(1, None)) for rows in (frames_of(b), b["actions_step"])],
        "at least 2",
    ),
    "key frames fall": (lambda b: b.update(key_frame_indices=[0, 9, 4]), "must rise from 0"),
    "key frame beyond the end": (lambda b: b.update(key_frame_indices=[0, 99]), "must rise from 0"),
    "unknown action": (lambda b: b["traj_params"]["actions"][0].update(act="jump"), "unknown action"),
    "frames are no list": (lambda b: b["transforms"].update(frames={}), "must be a list"),
    "no transforms": (lambda b: b.pop("traj_params"), "traj_params missing"),
}


@pytest.mark.parametrize("harm", SVC_HARM)
def test_a_damaged_svc_clip_is_left_out_with_its_reason_and_the_others_are_read(svc: Path, harm: str) -> None:
    change, reason = SVC_HARM[harm]
    svc_bundle(svc / "scenes" / "room" / "traj_b", "move right 0.4 meters")
    edit(svc, change)
    source = read_svc(svc)
    assert [clip.clip_id for _, clip in source.clips()] == ["b"]
    ((cause, count),) = source.left_out.items()
    assert count == 1 and cause.startswith("room/traj_a: ") and reason in cause


HY_HARM: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "a latent is missing": ("pose.json", lambda p: p.pop("3"), "must have latents 0 to"),
    "keys are no numbers": ("pose.json", lambda p: p.update(x=p["0"]), "latent numbers as keys"),
    "pose is not rigid": ("pose.json", lambda p: p["2"]["extrinsic"][0].__setitem__(1, 1.0), "orthonormal"),
    "no pose for a frame": ("traj.json", lambda b: b["retained_frame_indices"].__setitem__(-1, 4000), "has no pose"),
    "frame between poses": ("traj.json", lambda b: b["retained_frame_indices"].__setitem__(1, 21), "multiple of 4"),
    "samples differ in number": ("traj.json", lambda b: b["sample_paths"].pop(), "a sample for each retained frame"),
    "an action's end is missing": (
        "traj.json",
        lambda b: b["latent_chunks"][0]["latent_values"].pop(),
        "was not retained",
    ),
    "poses lie outside": ("traj.json", lambda b: b.update(pose_path="../pose.json"), "leads out of its folder"),
    "value is no number": ("traj.json", lambda b: b["actions"][0].update(value=None), "finite number"),
}


@pytest.mark.parametrize("harm", HY_HARM)
def test_a_damaged_hy_clip_is_left_out_with_its_reason(tmp_path: Path, harm: str) -> None:
    file, change, reason = HY_HARM[harm]
    hy_bundle(tmp_path / "scenes" / "hall" / "traj_a", "move forward 0.8 meters; turn left 30 degrees")
    edit(tmp_path, change, file)
    source = read_hy(tmp_path)
    assert not list(source.clips())
    ((cause, _),) = source.left_out.items()
    assert reason in cause


def test_links_that_lead_outside_are_not_followed(svc: Path, tmp_path: Path) -> None:
    secret = picture(tmp_path / "secret.png", FRAME)
    inner = svc / "scenes" / "room" / "traj_a" / "samples-rgb" / "000.png"
    inner.unlink()
    inner.symlink_to(secret)
    assert "leads out of its folder" in next(iter(read_svc(svc).left_out))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"traj_params": NaN}', "NaN is no number"),
        ("\xff", "no JSON"),
        ("[]", "must be an object"),
    ],
)
def test_a_json_file_that_is_none_is_left_out_with_its_reason(svc: Path, text: str, reason: str) -> None:
    svc_bundle(svc / "scenes" / "room" / "traj_b", "move right 0.4 meters")
    (svc / "scenes" / "room" / "traj_a" / "traj.json").write_bytes(text.encode("latin-1"))
    assert reason in next(iter(read_svc(svc).left_out))


def test_a_json_file_without_end_is_not_read(svc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_read, "MAX_JSON_BYTES", 100)
    assert "is larger than" in next(iter(read_svc(svc).left_out))


def bomb(path: Path) -> None:
    """A PNG of a few bytes that claims 60000 x 60000 pixels."""
    parts = [b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"0" * 100)]
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def test_pictures_that_are_none_are_refused(tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.png")
    (tmp_path / "text.png").write_text("no picture")
    whole = picture(tmp_path / "whole.png", (300, 200))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:-200])
    for name, reason in (("bomb", "pixels"), ("text", "no picture"), ("none", "is missing")):
        with pytest.raises(ValueError, match=reason):
            safe_read.picture_size(tmp_path / f"{name}.png")
    assert safe_read.read_picture(whole).shape == (200, 300, 3)
    with pytest.raises(ValueError, match="no whole picture"):
        safe_read.read_picture(tmp_path / "cut.png")


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_pictures_of_more_than_eight_bits_are_refused_not_cut_off(kind: Any, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), 30000).astype(kind)).save(tmp_path / "deep.tiff")
    with pytest.raises(ValueError, match="more than 8 bits"):
        safe_read.read_picture(tmp_path / "deep.tiff")


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    for read in (read_svc, read_hy):
        with pytest.raises(ValueError, match="holds no scenes"):
            read(tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=60)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_left_out_and_breaks_nothing(tmp_path_factory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("any")
    kind = data.draw(st.sampled_from(["svc", "hy"]))
    write, read = (svc_bundle, read_svc) if kind == "svc" else (hy_bundle, read_hy)
    write(root / "scenes" / "s" / "traj_a", "move forward 0.4 meters; turn left 20 degrees")
    file = "pose.json" if kind == "hy" and data.draw(st.booleans()) else "traj.json"
    path = root / "scenes" / "s" / "traj_a" / file
    value = json.loads(path.read_text())
    place, key = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(VALUES)
    path.write_text(json.dumps(value))
    source = read(root)
    assert len(list(source.clips())) + source.left_out.total() == 1
