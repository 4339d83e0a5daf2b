"""nerfstudio, RealEstate10K and RGB-D folders: the same camera, written in each convention, is read as the same."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from geom.actions import parse_actions
from geom.conventions import to_c2w, to_colmap, to_nerfstudio, to_tum, to_w2c
from geom.se3 import SE3
from synth.read_depth import as_kept, raw_z_depth, read_z_depth
from synth.read_rgbd import read_rgbd
from synth.source import Clip, Source
from synth.sources import FORMATS, read_source

REAL = Path(__file__).parents[2] / "shared" / "real_data"
SIZE = (80, 60)
K = [[70.0, 0.0, 41.0], [0.0, 72.0, 29.0], [0.0, 0.0, 1.0]]
START = SE3.exp(torch.tensor([0.3, -0.2, 1.0, 0.1, 0.7, -0.2]).double())
POSES = [START, START @ parse_actions("FWD_0.5; TL_20").pose(), START @ parse_actions("LEFT_1").pose()]


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(folder / name)


def depths(folder: Path, *names: str, size: tuple[int, int] = SIZE) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(size[::-1], 2000, np.uint16)).save(folder / name)


def nerfstudio(folder: Path, **whole: Any) -> Path:
    names = [f"images/{i}.png" for i in range(3)]
    pictures(folder, *names)
    depths(folder, *(f"depth/{i}.png" for i in range(3)))
    frames = [
        {"file_path": name, "transform_matrix": to_nerfstudio(T).tolist(), "depth_file_path": f"depth/{i}.png"}
        for i, (name, T) in enumerate(zip(names, POSES, strict=True))
    ]
    lens = {"fl_x": 70.0, "fl_y": 72.0, "cx": 41.0, "cy": 29.0, "w": 80, "h": 60}
    (folder / "transforms.json").write_text(json.dumps(lens | {"frames": frames} | whole))
    return folder


def re10k(folder: Path) -> Path:
    pictures(folder, *(f"clip/{1000 + i}.jpg" for i in range(3)))
    lens = [70 / 80, 72 / 60, 41 / 80, 29 / 60]
    rows = [[1000 + i, *lens, 0, 0, *to_w2c(T)[:3].flatten().tolist()] for i, T in enumerate(POSES)]
    lines = ["https://example.org/watch", *(" ".join(map(str, row)) for row in rows)]
    (folder / "clip.txt").write_text("\n".join(lines) + "\n")
    return folder


def stated(folder: Path, **changes: Any) -> None:
    # OpenCV counts the first pixel's centre as (0, 0), so its principal point is half a pixel less than ours.
    opencv = [[70.0, 0.0, 40.5], [0.0, 72.0, 28.5], [0.0, 0.0, 1.0]]
    fields = {"K": opencv, "depth_units_per_m": 5000, "pixel_centers": "whole", "quaternion": "xyzw"} | changes
    (folder / "camera.json").write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))


def quaternions(order: str) -> list[str]:
    rows = [to_tum(T) for T in POSES]
    rows = rows if order == "xyzw" else [torch.cat([row[:3], row[6:], row[3:6]]) for row in rows]
    return [" ".join(map(str, row.tolist())) for row in rows]


def numbered(folder: Path, order: str = "xyzw") -> Path:
    pictures(folder, *(f"{i}.color.png" for i in (1, 2, 10)))
    depths(folder, *(f"{i}.depth.png" for i in (1, 2, 10)))
    (folder / "pose.txt").write_text("\n".join(quaternions(order)) + "\n")
    stated(folder, quaternion=order)
    return folder


def seven_scenes(folder: Path) -> Path:
    for i, T in enumerate(POSES):
        pictures(folder, f"frame-{i:06d}.color.png")
        depths(folder, f"frame-{i:06d}.depth.png")
        rows = to_c2w(T).tolist()
        (folder / f"frame-{i:06d}.pose.txt").write_text("\n".join("\t".join(map(str, row)) for row in rows))
    stated(folder, quaternion=None, pixel_centers="half", K=K)
    return folder


def tum(folder: Path) -> Path:
    stamps = [1305031102.175304, 1305031102.211214, 1305031102.243211]
    pictures(folder, *(f"rgb/{s:.6f}.png" for s in stamps))
    depths(folder, *(f"depth/{s + 0.004:.6f}.png" for s in stamps))
    (folder / "rgb.txt").write_text("# stamp file\n" + "".join(f"{s:.6f} rgb/{s:.6f}.png\n" for s in stamps))
    (folder / "depth.txt").write_text("".join(f"{s + 0.004:.6f} depth/{s + 0.004:.6f}.png\n" for s in stamps))
    rows = zip(stamps, quaternions("xyzw"), strict=True)
    (folder / "groundtruth.txt").write_text("# x y z\n" + "".join(f"{s - 0.003:.4f} {row}\n" for s, row in rows))
    stated(folder)
    return folder


def colmap(folder: Path, model: str = "PINHOLE", lens: str = "70 72 41 29") -> Path:
    """A text model as COLMAP writes it: world-to-camera, the quaternion with w first."""
    pictures(folder, *(f"images/{i}.png" for i in range(3)))
    (folder / "sparse" / "0").mkdir(parents=True)
    (folder / "sparse" / "0" / "cameras.txt").write_text(f"1 {model} 80 60 {lens}\n")
    rows = []
    for i, T in enumerate(POSES):
        q_wxyz, t = to_colmap(T)
        rows += [f"{i + 1} {' '.join(map(str, q_wxyz.tolist() + t.tolist()))} 1 {i}.png", ""]
    (folder / "sparse" / "0" / "images.txt").write_text("\n".join(rows) + "\n")
    (folder / "sparse" / "0" / "points3D.txt").write_text("")
    return folder


WRITERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nerfstudio": (nerfstudio, "nerfstudio"),
    "re10k": (re10k, "re10k"),
    "colmap": (colmap, "colmap"),
    "numbered": (numbered, "rgbd"),
    "7-scenes": (seven_scenes, "rgbd"),
    "tum": (tum, "rgbd"),
}


def only_clip(source: Source) -> Clip:
    ((_, clip),) = source.clips()
    return clip


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_camera_in_each_convention_is_the_same_camera(name: str, tmp_path: Path) -> None:
    write, source_format = WRITERS[name]
    source = read_source(write(tmp_path))
    assert source.source_format == source_format and not source.left_out
    for frame, T in zip(only_clip(source).frames, POSES, strict=True):
        torch.testing.assert_close(frame.T_world_cam.matrix(), T.matrix(), atol=1e-6, rtol=0)
        assert frame.camera.K.tolist() == pytest.approx(np.array(K), abs=1e-9)
        assert (frame.camera.width, frame.camera.height) == SIZE and frame.picture.is_file()


def test_quaternions_are_read_in_the_order_that_is_stated(tmp_path: Path) -> None:
    clip = only_clip(read_source(numbered(tmp_path, "wxyz")))
    torch.testing.assert_close(clip.frames[1].T_world_cam.matrix(), POSES[1].matrix(), atol=1e-6, rtol=0)
    assert clip.notes == ("quaternions are wxyz",)
    stated(tmp_path, quaternion="xyzw")
    swapped = only_clip(read_source(tmp_path))
    assert (swapped.frames[1].T_world_cam.R - POSES[1].R).abs().max() > 0.1


def test_numbered_frames_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    names = [frame.picture.name for frame in only_clip(read_source(numbered(tmp_path))).frames]
    assert names == ["1.color.png", "2.color.png", "10.color.png"]


SCALES = {
    "nerfstudio": "unknown",
    "re10k": "up_to_scale",
    "colmap": "up_to_scale",
    "tum": "metric",
    "7-scenes": "metric",
}


@pytest.mark.parametrize(("name", "status"), SCALES.items())
def test_scale_is_what_the_format_knows(name: str, status: str, tmp_path: Path) -> None:
    assert only_clip(read_source(WRITERS[name][0](tmp_path))).scale.status == status


def test_depth_comes_with_its_unit(tmp_path: Path) -> None:
    frame = only_clip(read_source(tum(tmp_path / "tum"))).frames[0]
    assert frame.z_depth is not None and frame.units_per_m == 5000
    frame = only_clip(read_source(nerfstudio(tmp_path / "n", depth_unit_scale_factor=0.0002))).frames[0]
    assert frame.z_depth is not None and frame.units_per_m == pytest.approx(5000)


def test_tum_frames_without_a_near_pose_or_depth_are_counted(tmp_path: Path) -> None:
    tum(tmp_path)
    with (tmp_path / "rgb.txt").open("a") as file:
        file.write("1305031109.000000 rgb/none.png\nnonsense\n")
    source = read_source(tmp_path)
    assert len(only_clip(source).frames) == 3
    assert any("no depth within 0.02 s" in cause for cause in source.left_out)
    assert any("a time stamp and a file" in cause for cause in source.left_out)


def test_nerfstudio_pictures_made_smaller_keep_their_field_of_view(tmp_path: Path) -> None:
    big = {"fl_x": 140.0, "fl_y": 144.0, "cx": 82.0, "cy": 58.0, "w": 160, "h": 120}
    camera = only_clip(read_source(nerfstudio(tmp_path, **big))).frames[0].camera
    assert camera.K.tolist() == pytest.approx(np.array(K))


def test_blender_angles_and_names_without_suffix(tmp_path: Path) -> None:
    nerfstudio(tmp_path)
    whole = json.loads((tmp_path / "transforms.json").read_text())
    for row in whole["frames"]:
        row["file_path"] = "./" + row["file_path"].removesuffix(".png")
    blender = {"camera_angle_x": math.radians(60), "frames": whole["frames"]}
    (tmp_path / "transforms.json").write_text(json.dumps(blender))
    camera = only_clip(read_source(tmp_path)).frames[0].camera
    assert float(camera.hfov) == pytest.approx(math.radians(60))
    assert camera.principal_point.tolist() == [40, 30]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"k1": 0.1}, "lens distortion"),
        ({"camera_model": "OPENCV_FISHEYE"}, "OPENCV_FISHEYE bends lines"),
        ({"camera_model": "EQUIRECTANGULAR"}, "EQUIRECTANGULAR bends lines"),
        ({"is_fisheye": True}, "bends lines"),
        ({"w": 60, "h": 80}, "another shape"),
        ({"fl_x": 0}, "focal lengths must be > 0"),
        ({"w": 80.5}, "whole pixels"),
        ({"frames": []}, "got 0: it lists no more"),
        ({"frames": {}}, "must be a list"),
        ({"depth_unit_scale_factor": 0}, "above 0"),
    ],
)
def test_nerfstudio_files_that_cannot_be_used_are_refused(tmp_path: Path, change: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_source(nerfstudio(tmp_path, **change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pixel_centers": "corner"}, "pixel_centers must be one of whole, half"),
        ({"quaternion": "xyz"}, "quaternion must be one of xyzw, wxyz"),
        ({"quaternion": None}, "must say"),
        ({"depth_units_per_m": 0}, "above 0"),
        ({"K": [[1, 2], [3, 4]]}, "must be 3 x 3"),
        ({"K": None}, "K missing"),
    ],
)
def test_what_is_stated_wrongly_is_refused(tmp_path: Path, change: dict, reason: str) -> None:
    numbered(tmp_path)
    stated(tmp_path, **change)
    with pytest.raises(ValueError, match=reason):
        read_source(tmp_path)


def test_binary_models_are_those_of_the_text(tmp_path: Path) -> None:
    import pycolmap

    text = only_clip(read_source(colmap(tmp_path)))
    place = tmp_path / "sparse" / "0"
    pycolmap.Reconstruction(str(place)).write_binary(str(place))
    for path in place.glob("*.txt"):
        path.unlink()
    binary = only_clip(read_source(tmp_path))
    for a, b in zip(text.frames, binary.frames, strict=True):
        torch.testing.assert_close(a.T_world_cam.matrix(), b.T_world_cam.matrix(), atol=1e-12, rtol=0)
        assert torch.equal(a.camera.K, b.camera.K)


def test_colmap_models_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="OPENCV bends lines; undistort"):
        read_source(colmap(tmp_path / "bent", "OPENCV", "70 72 41 29 0.1 0 0 0"))
    # No coefficient is zero or none at all, and still it is no pinhole.
    for model, lens in (("OPENCV_FISHEYE", "70 72 41 29 0 0 0 0"), ("SIMPLE_RADIAL_FISHEYE", "70 41 29 0")):
        with pytest.raises(ValueError, match=f"{model} bends lines"):
            read_source(colmap(tmp_path / model, model, lens))
    folder = colmap(tmp_path / "lost")
    shutil.rmtree(folder / "images")
    with pytest.raises(ValueError, match="picture is in neither"):
        read_source(folder)
    folder = colmap(tmp_path / "damaged")
    (folder / "sparse" / "0" / "images.txt").write_text("nonsense\n")
    with pytest.raises(ValueError, match="no COLMAP model that can be read|at least 2 frames"):
        read_source(folder)


@pytest.mark.parametrize(("size", "is_read"), [((80, 60), True), ((40, 30), True), ((27, 20), True), ((60, 80), False)])
def test_colmap_pictures_made_smaller_are_read_and_turned_ones_refused(size, is_read: bool, tmp_path: Path) -> None:
    colmap(tmp_path)
    for path in (tmp_path / "images").iterdir():
        Image.new("RGB", size).save(path)
    if not is_read:
        with pytest.raises(ValueError, match="another shape; was it turned"):
            read_source(tmp_path)
        return
    K_read = only_clip(read_source(tmp_path)).frames[0].camera.K
    assert K_read[0].tolist() == pytest.approx([70 * size[0] / 80, 0, 41 * size[0] / 80])
    assert K_read[1].tolist() == pytest.approx([0, 72 * size[1] / 60, 29 * size[1] / 60])


def test_re10k_lines_that_bend_are_counted(tmp_path: Path) -> None:
    path = re10k(tmp_path) / "clip.txt"
    lines = path.read_text().splitlines()
    lines[1] = " ".join([*lines[1].split()[:5], "0.1", *lines[1].split()[6:]])
    path.write_text("\n".join(lines))
    source = read_source(tmp_path)
    assert len(only_clip(source).frames) == 2 and "undistort" in " ".join(source.left_out)


def test_blender_angles_may_differ_each_way(tmp_path: Path) -> None:
    frames = json.loads((nerfstudio(tmp_path) / "transforms.json").read_text())["frames"]
    angles = {"camera_angle_x": math.radians(60), "camera_angle_y": math.radians(50)}
    (tmp_path / "transforms.json").write_text(json.dumps(angles | {"frames": frames}))
    camera = only_clip(read_source(tmp_path)).frames[0].camera
    assert float(camera.vfov) == pytest.approx(math.radians(50))


def test_a_damaged_line_shifts_no_pose(tmp_path: Path) -> None:
    """One line is damaged and another picture is lost: as many lines as pictures, and still each pose is its own's."""
    path = numbered(tmp_path) / "pose.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["oops " + lines[0], *lines[1:]]))
    source = read_source(tmp_path)
    assert [frame.picture.name for frame in only_clip(source).frames] == ["2.color.png", "10.color.png"]
    for frame, T in zip(only_clip(source).frames, POSES[1:], strict=True):
        torch.testing.assert_close(frame.T_world_cam.matrix(), T.matrix(), atol=1e-9, rtol=0)
    assert "frame 1: pose.txt: a line must hold numbers" in next(iter(source.left_out))
    (tmp_path / "2.color.png").unlink()
    with pytest.raises(ValueError, match="got 3 lines for 2"):
        read_source(tmp_path)


def test_time_stamps_that_are_twice_or_none_are_counted(tmp_path: Path) -> None:
    with (tum(tmp_path) / "rgb.txt").open("a") as file:
        file.write("1305031102.175304 rgb/1305031102.211214.png\nnan rgb/1305031102.211214.png\n")
    source = read_source(tmp_path)
    assert [f.picture.stem for f in only_clip(source).frames][0] == "1305031102.175304"
    assert len(only_clip(source).frames) == 3
    assert sum(source.left_out.values()) == 2 and "is there twice" in next(iter(source.left_out))


def test_a_folder_that_is_called_like_a_file_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").mkdir()
    assert read_source(seven_scenes(tmp_path)).source_format == "rgbd"


def test_a_picture_without_a_pose_is_counted(tmp_path: Path) -> None:
    pictures(seven_scenes(tmp_path), "frame-000009.color.png")
    assert read_source(tmp_path).left_out == {"frame frame-000009: its pose is missing": 1}


def test_signs_of_patterns_in_names_are_letters(tmp_path: Path) -> None:
    seven_scenes(tmp_path)
    for path in tmp_path.glob("frame-000001.*"):
        path.rename(tmp_path / path.name.replace("frame-000001", "frame[1] *"))
    assert len(only_clip(read_source(tmp_path)).frames) == 3


@pytest.mark.parametrize(("value", "kept"), [(0, False), (1, True), (65534, True), (65535, False)])
def test_the_ends_of_sixteen_bits_mean_that_nothing_was_measured(value: int, kept: bool, tmp_path: Path) -> None:
    seven_scenes(tmp_path)
    frame = only_clip(read_source(tmp_path)).frames[0]
    assert frame.z_depth is not None
    raster = np.full(SIZE[::-1], 2000, np.uint16)
    raster[3, 4] = value
    Image.fromarray(raster).save(frame.z_depth)
    assert np.isfinite(raw_z_depth(frame)[3, 4]) == kept
    assert np.isfinite(raw_z_depth(frame)).sum() == raster.size - (not kept)


@pytest.mark.parametrize("units_per_m", [1e-3, 1e8])
def test_depth_that_no_raster_keeps_is_refused(units_per_m: float, tmp_path: Path) -> None:
    frame = only_clip(read_source(seven_scenes(tmp_path))).frames[0]
    with pytest.raises(ValueError, match="0.001 to 65.535 in the unit of the poses"):
        read_z_depth(replace(frame, units_per_m=units_per_m))
    assert not np.isfinite(as_kept(np.array([4e-4, 70.0, np.nan]))).any()


def test_what_is_not_stated_is_asked_for(tmp_path: Path) -> None:
    numbered(tmp_path)
    (tmp_path / "camera.json").unlink()
    with pytest.raises(ValueError, match=r'write camera.json in it: \{"K"'):
        read_source(tmp_path)


def test_frames_that_are_damaged_are_left_out_with_their_reason(tmp_path: Path) -> None:
    folder = seven_scenes(tmp_path)
    pictures(folder, "frame-000003.color.png")
    (folder / "frame-000003.pose.txt").write_text("1 0 0 0\n0 2 0 0\n0 0 1 0\n0 0 0 1\n")
    depths(folder, "frame-000001.depth.png", size=(40, 30))
    source = read_source(folder)
    assert len(only_clip(source).frames) == 2
    text = " ".join(source.left_out)
    assert "frame-000003" in text and "orthonormal" in text
    assert "frame-000001" in text and "not registered" in text


def test_a_folder_of_no_format_or_of_two_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    with pytest.raises(ValueError, match="none of the formats svc, hy_worldplay.*found in it: notes.md"):
        read_source(tmp_path)
    nerfstudio(tmp_path)
    numbered(tmp_path)
    with pytest.raises(ValueError, match="looks like nerfstudio and like rgbd"):
        read_source(tmp_path)
    assert read_source(tmp_path, "nerfstudio").source_format == "nerfstudio"
    with pytest.raises(ValueError, match="must be auto or one of"):
        read_source(tmp_path, "kitti")
    with pytest.raises(ValueError, match="it is a file|a file"):
        read_source(tmp_path / "notes.md")
    with pytest.raises(ValueError, match="not there"):
        read_source(tmp_path / "none")
    assert set(FORMATS) == {"svc", "hy_worldplay", "nerfstudio", "colmap", "rgbd", "photo", "re10k"}


@pytest.mark.skipif(not REAL.exists(), reason="the real RGB-D frames are not beside this checkout")
def test_real_frames_see_the_same_surfaces_and_inverted_poses_do_not(tmp_path: Path) -> None:
    """Depth of one frame, carried by the poses, meets the depth of the next; by inverted poses it does not."""
    real = REAL / "slambook2_rgbd_5frames"
    for path in real.glob("*"):
        shutil.copy(path, tmp_path)
    # Intrinsics and unit as its PROVENANCE.md has them; OpenCV's pixel count.
    lens = [[518.0, 0, 325.5], [0, 519.0, 253.5], [0, 0, 1]]
    stated(tmp_path, K=lens, depth_units_per_m=1000)
    frames = only_clip(read_rgbd(tmp_path)).frames
    assert len(frames) == 5
    right = [residual(a, b, a.T_world_cam, b.T_world_cam) for a, b in zip(frames, frames[1:], strict=False)]
    wrong = [
        residual(a, b, a.T_world_cam.inverse(), b.T_world_cam.inverse())
        for a, b in zip(frames, frames[1:], strict=False)
    ]
    assert np.median(right) < 0.08 < 0.3 < np.median(wrong)


def residual(a: Any, b: Any, T_world_a: SE3, T_world_b: SE3) -> float:
    """Median difference of depth, metres, where the surface that `a` saw lies in the picture of `b`."""
    z_a, z_b = (np.asarray(Image.open(f.z_depth)).astype(float) / f.units_per_m for f in (a, b))
    uv = a.camera.pixel_centers()[::8, ::8].reshape(-1, 2)
    z = torch.from_numpy(z_a[::8, ::8].reshape(-1))
    p_b = T_world_b.inverse().act(T_world_a.act(a.camera.unproject(uv[z > 0], z[z > 0])))
    uv_b, in_front = b.camera.project(p_b)
    keep = in_front & b.camera.contains(uv_b) & (uv_b < torch.tensor([b.camera.width, b.camera.height])).all(-1)
    col, row = uv_b[keep].floor().long().unbind(-1)
    seen = torch.from_numpy(z_b)[row, col]
    return float((seen - p_b[keep][:, 2])[seen > 0].abs().median()) if bool((seen > 0).any()) else math.inf


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from(["transforms.json", "clip.txt", "pose.txt", "camera.json", "rgb.txt"]))
def test_any_bytes_in_any_file_are_read_or_refused(tmp_path_factory, data: bytes, name: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    write = {"transforms.json": nerfstudio, "clip.txt": re10k, "rgb.txt": tum}.get(name, numbered)
    write(folder)
    if name == "clip.txt":
        data = (folder / name).read_bytes()[:400] + data
    (folder / name).write_bytes(data)
    try:
        source = read_source(folder)
    except ValueError:
        return
    assert len(list(source.clips())) == 1


def test_colmap_pictures_and_models_that_are_not_read_are_counted(tmp_path: Path) -> None:
    folder = colmap(tmp_path / "model")
    pictures(folder / "images", "stray.png")
    for name in ("cameras.txt", "images.txt"):
        (folder / "sparse" / "1").mkdir(parents=True, exist_ok=True)
        shutil.copy(next(folder.rglob(name)), folder / "sparse" / "1" / name)
    left_out = read_source(folder).left_out
    assert left_out["picture without a pose in the model"] == 1
    assert left_out["further model, whose frame of reference is another"] == 1


def test_a_photograph_that_its_exif_turns_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for name, orientation in (("upright", 1), ("turned", 6)):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.new("RGB", SIZE, "gray").save(tmp_path / f"{name}.color.jpg", exif=exif)
    stated(tmp_path)
    source = read_source(tmp_path, "photo")
    assert [scene.scene_id for scene in source.scenes] == ["upright"]
    assert "must be stored upright" in next(iter(source.left_out))
