"""Stand-ins for world models: scripts that read what a teacher documents to read, each with its own few lines, draw
dots where the poses that they read put them, and write what the real one would write.

They import nothing of this project. A file `behaviour` beside the script makes them misbehave.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from synth.source import Frame
from synth.teacher_hy import HyWorldPlay
from synth.teacher_svc import Svc
from synth.teacher_worldfm import WorldFM
from synth.teachers import Teacher

POINTS = ((0.9, 0.3, 4.0), (-1.1, -0.4, 5.0), (-2.4, 0.6, 4.5), (2.2, -0.7, 5.5), (0.1, 0.8, 3.4), (0.0, -0.5, 9.0))
"""What the stand-ins draw, metres from the first camera (x right, y down, z ahead)."""
SIGMA = 2
"""How soft their dots are, pixels."""

_COMMON = f"""
import json, os, subprocess, sys, time
from pathlib import Path
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
POINTS = np.array({POINTS})

def arguments():
    words = sys.argv[1:]
    assert all(word.startswith("--") for word in words[::2]), words
    return {{name[2:]: value for name, value in zip(words[::2], words[1::2], strict=True)}}

def dots(pose, K, size):
    # pose: camera to first camera, OpenCV axes; pixel centres of the first pixel at 0.5.
    # The dots are soft, so that their middles are not rounded to pixels.
    cols, rows = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    light = np.zeros(size[::-1])
    seen = (POINTS - pose[:3, 3]) @ pose[:3, :3]
    for x, y, z in seen[seen[:, 2] > 0.1]:
        u, v = K[0][0] * x / z + K[0][2], K[1][1] * y / z + K[1][2]
        across, down = (np.exp(-((a - b) ** 2) / (2 * {SIGMA}**2)) for a, b in ((cols, u), (rows, v)))
        light = np.maximum(light, down[:, None] * across)
    return Image.fromarray(np.repeat((255 * light).astype(np.uint8)[..., None], 3, axis=2))

BEHAVIOUR = (HERE / "behaviour").read_text() if (HERE / "behaviour").exists() else ""
with open(HERE / "calls", "a") as calls:
    calls.write(json.dumps([os.getcwd(), *sys.argv[1:]]) + "\\n")
if BEHAVIOUR == "crash":
    print("CUDA out of memory. Tried to allocate 3 GiB")
    sys.exit(3)
if BEHAVIOUR == "hang":
    # A grandchild that would live on, and that ignores being told to end.
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code])
    (HERE / "grandchild").write_text(str(child.pid))
    print("step 1 of 50", flush=True)
    time.sleep(600)

def kept(frames):
    return frames[:-1] if BEHAVIOUR == "few" else frames

def spoil(path):
    if BEHAVIOUR == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
"""

_SVC = """
given = arguments()
assert given["task"] == "img2trajvid" and given["use_traj_prior"] == "False" and given["chunk_strategy"] == "gt"
scene = Path(given["data_path"]) / given["data_items"]
rows = json.loads((scene / "transforms.json").read_text())["frames"]
split = json.loads((scene / f"train_test_split_{given['num_inputs']}.json").read_text())
order = split["train_ids"] + split["test_ids"]
assert order == list(range(len(rows))) and len(split["train_ids"]) == 1
# One forward pass: every target fits beside the input.
assert len(split["test_ids"]) <= int(given["T"]) - 1 and int(given["T"]) >= 21
anchor = Image.open(scene / rows[0]["file_path"])
assert anchor.size == (576, 576) and all(row["file_path"] is None for row in rows[1:])

poses = np.array([row["transform_matrix"] for row in rows])
poses[:, :, [1, 2]] *= -1
poses = poses.astype(np.float32)
centres = poses[:, :3, 3].copy()
ordered = np.sort(centres, axis=0)
median = ordered[(len(ordered) - 1) // 2]  # the lower one of two, as torch has it
away = np.linalg.norm(centres - median, axis=-1)
mean = centres[away <= min(np.quantile(away, 0.97) * 10, 1e6)].mean(0)
moved = centres - mean
first = np.linalg.norm(moved[0])
scale = float(given["camera_scale"])
moved = moved * (scale if abs(first) <= 1e-5 else scale / first)
with open(HERE / "conditioned", "a") as file:
    file.write(json.dumps(moved.tolist()) + "\\n")

out = Path("work_dirs/demo") / given["task"] / given["data_items"]
(out / "samples-rgb").mkdir(parents=True)
(out / "input").mkdir()
names = []
for i, row in enumerate(rows):
    K = [[row["fl_x"], 0, row["cx"]], [0, row["fl_y"], row["cy"]], [0, 0, 1]]
    pose = poses[i].astype(np.float64)
    pose[:3, 3] = moved[i] - moved[0]
    name = "input/000.png" if i == 0 else f"samples-rgb/{i - 1:03d}.png"
    dots(pose, K, (576, 576)).save(out / name)
    names.append(name)
spoil(out / names[-1])
flipped = poses.copy()
flipped[:, :, [1, 2]] *= -1
if BEHAVIOUR == "other poses":
    flipped[-1, 0, 3] += 0.5
written = [{"file_path": "./" + n, "transform_matrix": T[:3].tolist()} for n, T in zip(names, flipped)]
(out / "transforms.json").write_text(json.dumps({"orientation_override": "none", "frames": kept(written)}))
"""

_HY = """
import cv2
given = arguments()
assert {"prompt", "resolution", "model_path", "action_ckpt", "model_type", "image_path"} <= set(given)
assert (os.environ["WORLD_SIZE"], os.environ["LOCAL_RANK"]) == ("1", "0")
length = int(given["video_length"])
latents = (length - 1) // 4 + 1
assert latents % 4 == 0 and length == 4 * latents - 3
table = json.loads(Path(given["pose"]).read_text())
keys = list(table)  # in the order of the file, whatever the keys say
assert len(keys) == latents, f"pose corresponds to {len(keys) * 4 - 3} frames"
size = int(given["width"]), int(given["height"])
assert Image.open(given["image_path"]).size == size
poses = np.array([table[key]["extrinsic"] for key in keys])
steps = np.linalg.inv(poses[:-1]) @ poses[1:]
yaw = np.degrees(np.arctan2(steps[:, 0, 2], steps[:, 2, 2]))
words = ["right" if a > 0.05 else "left" if a < -0.05 else "" for a in yaw]
with open(HERE / "words", "a") as file:
    file.write(json.dumps([w for w in words if w]) + "\\n")
if (Path(given["pose"]).with_name("pose.txt")).exists():
    said = Path(given["pose"]).with_name("pose.txt").read_text().strip()
    entries = [entry.strip().split("-") for entry in said.split(",")]
    every = [key for key, count in entries for _ in range(int(count))]
    assert len(every) + 1 == latents, said
    assert [key for key in every if key in ("left", "right")] == [w for w in words if w], said
out = Path(given["output_path"])
out.mkdir(parents=True)
video = cv2.VideoWriter(str(out / "gen.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 24, size)
pictures = []
for key, pose in zip(keys, poses):
    K = np.array(table[key]["K"])
    (fx, fy) = K[0][0] / (2 * K[0][2]) * size[0], K[1][1] / (2 * K[1][2]) * size[1]
    picture = dots(pose, [[fx, 0, size[0] / 2], [0, fy, size[1] / 2]], size)
    # Three frames between two poses; here they repeat the one that has a pose.
    pictures += [picture] * (4 if len(pictures) else 1) if key != keys[0] else [picture]
assert len(pictures) == length
for picture in kept(pictures):
    video.write(np.asarray(picture)[:, :, ::-1])
video.release()
if BEHAVIOUR == "truncated":
    (out / "gen.mp4").write_bytes((out / "gen.mp4").read_bytes()[:400])
"""

_WORLDFM = """
given = arguments()
meta_file = Path(given["meta"])
meta = json.loads(meta_file.read_text())
assert Image.open(meta_file.parent / meta["image"]).size == (512, 512)
size = (int(given["image_size"]),) * 2
# Its world: the middle of the panorama, the anchor, is +x, y points down. The points, from the anchor:
ANCHOR = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
out = Path(given["output_dir"]) / meta["name"]
out.mkdir(parents=True)
assert given["save_mode"] == "image"
for i, pose in enumerate(kept(meta["c2w"])):
    path = out / f"output_{i:04d}.png"
    dots(np.linalg.inv(ANCHOR) @ np.array(pose), meta["K"], size).save(path)
spoil(path)
"""

SCRIPTS = {"svc": _SVC, "hy_worldplay": _HY, "worldfm": _WORLDFM}
CLASSES: dict[str, type[Teacher]] = {"svc": Svc, "hy_worldplay": HyWorldPlay, "worldfm": WorldFM}
HY_WEIGHTS = ("--model_path", "weights", "--action_ckpt", "weights/ar")


def install(root: Path, name: str, behaviour: str = "") -> Path:
    """Put a stand-in where the teacher would be; returns its folder."""
    root.mkdir(parents=True, exist_ok=True)
    (root / CLASSES[name].scripts[-1]).write_text(_COMMON + SCRIPTS[name])
    (root / "behaviour").write_text(behaviour)
    return root


def teacher(root: Path, name: str, behaviour: str = "", **options: object) -> Teacher:
    """A teacher of ours over a stand-in."""
    extra = HY_WEIGHTS if name == "hy_worldplay" else ()
    folder = install(root, name, behaviour)
    return CLASSES[name](root=folder, python=Path(sys.executable), extra=extra, **options)  # pyright: ignore[reportArgumentType]


def photograph(path: Path, size: tuple[int, int] = (640, 480), shade: int = 120) -> Path:
    """An anchor to start from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 80, 60)).save(path)
    return path


def worst_dot_px(frame: Frame) -> tuple[float, int]:
    """How far dots in a picture are from where pose and K of its frame put them: the worst, pixels, and how many."""
    image = np.asarray(Image.open(frame.picture).convert("L"), float)
    T_cam_first = frame.T_world_cam.inverse()
    uv, in_front = frame.camera.project(T_cam_first.act(torch.tensor(POINTS, dtype=torch.float64)))
    away, room = [], 5 * SIGMA
    for (u, v), ahead in zip(uv.tolist(), in_front.tolist(), strict=True):
        if not (ahead and room < u < frame.camera.width - room and room < v < frame.camera.height - room):
            continue
        if min(np.hypot(u - a, v - b) for a, b in uv.tolist() if (a, b) != (u, v)) < 4 * room:
            continue
        left, top = round(u) - room, round(v) - room
        patch = image[top : top + 2 * room, left : left + 2 * room]
        patch = np.where(patch > 25, patch, 0)
        rows, cols = np.mgrid[top : top + 2 * room, left : left + 2 * room] + 0.5
        middle = np.array([(cols * patch).sum(), (rows * patch).sum()]) / patch.sum() if patch.any() else np.inf
        away.append(float(np.linalg.norm(middle - np.array([u, v]))))
    return max(away, default=0.0), len(away)
