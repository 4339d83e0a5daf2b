"""What motion two pictures show: against simulated rooms, points with noise, and recorded pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from skimage import data

from geom.actions import parse_actions
from geom.camera import PinholeCamera
from geom.se3 import SE3
from synth.matches import Matches, matches
from synth.pipeline import GenerateConfig
from synth.room_world import RoomWorld
from synth.stages import Stages
from synth.two_view import TwoView, relative_motion
from synth.two_view_starts import inverse_depths

REAL = Path(__file__).parents[2] / "shared" / "real_data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real_data is absent")

CAMERA = PinholeCamera.from_hfov(np.radians(70.0), 640, 480)
MOVES = ("move left 0.3 meters", "move forward 0.4 meters", "move right 0.3 meters; turn left 10 degrees")
TURNS = ("turn left 5 degrees", "turn right 10 degrees", "turn left 20 degrees")


def motion(rotvec_deg: tuple[float, float, float], place: tuple[float, float, float]) -> SE3:
    """T_a_b."""
    R = Rotation.from_rotvec(np.radians(rotvec_deg)).as_matrix()
    return SE3(torch.tensor(R), torch.tensor(place, dtype=torch.float64))


def errors(found: TwoView, T_a_b: SE3) -> tuple[float, float]:
    """Degrees of the turn, and of the direction from a to b in a's coordinates."""
    T = found.T_b_a.inverse()
    turn, _ = T.distance(T_a_b)
    across, along = torch.linalg.cross(T.t, T_a_b.t).norm(), T.t @ T_a_b.t
    return float(turn.rad2deg()), float(torch.atan2(across, along).rad2deg())


def noisy_points(
    T_a_b: SE3, seed: int, *, count: int = 200, noise_px: float = 0.5, wrong: float = 0.0, kind: str = "room",
    camera_a: PinholeCamera = CAMERA, camera_b: PinholeCamera = CAMERA,
) -> Matches:  # fmt: skip
    """Matches of points 1.5 to 6 m away, or on a wall 3 m away, a share of them wrong."""
    rng = np.random.default_rng(seed)
    uv_a = torch.tensor(rng.uniform([0, 0], [camera_a.width, camera_a.height], (count * 4, 2)))
    z = torch.full((count * 4,), 3.0).double() if kind == "wall" else torch.tensor(rng.uniform(1.5, 6, count * 4))
    uv_b, ok = camera_b.project(T_a_b.inverse().act(camera_a.unproject(uv_a, z)))
    ok &= camera_b.contains(uv_b)
    a, b = (uv[ok][:count].numpy() + noise_px * rng.normal(size=(count, 2)) for uv in (uv_a, uv_b))
    is_wrong = rng.random(count) < wrong
    b[is_wrong] = rng.uniform([0, 0], [camera_b.width, camera_b.height], (is_wrong.sum(), 2))
    return Matches(a, b)


def gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def shots() -> list[tuple[str, PinholeCamera, np.ndarray, SE3, Matches]]:
    """Motions in three simulated rooms: words, camera, z-depth of a, T_a_b, matches."""
    rows = []
    for seed in (100, 102, 105):
        world = RoomWorld(GenerateConfig(num_scenes=1, seed=seed, image_size=(640, 480)), 0, Stages())
        a = world.view(world.T_world_anchor)
        for words in MOVES + TURNS:
            T_a_b = parse_actions(words).pose().to(torch.float64)
            b = world.view(world.T_world_anchor @ T_a_b)
            found = matches(gray(a.image), gray(b.image))
            rows.append((words, world.camera, a.z_depth, T_a_b, found))
    return rows


def test_rooms_show_turn_and_direction(shots) -> None:
    off = []
    for words, camera, _, T_a_b, pairs in shots:
        if words in MOVES:
            found = relative_motion(pairs, camera, camera)
            assert found.kind == "direction", (words, found.reason)
            assert float(found.T_b_a.t.norm()) == pytest.approx(1)
            assert 0.3 < found.parallax_deg < 15 and np.isnan(found.length_sd_m)
            off.append(errors(found, T_a_b))
    assert np.median(off, 0)[0] < 0.1 and np.median(off, 0)[1] < 1 and np.max(off, 0)[0] < 0.5


def test_a_turn_is_said_to_be_a_turn(shots) -> None:
    for words, camera, _, T_a_b, pairs in shots:
        if words in TURNS:
            found = relative_motion(pairs, camera, camera)
            assert found.kind == "rotation", (words, found.reason)
            assert errors(found, T_a_b)[0] < 0.1 and found.parallax_deg < 0.2
            assert not found.T_b_a.t.any() and np.isnan(found.direction_sd_deg)


def test_depth_gives_metres(shots) -> None:
    for words, camera, z_depth, T_a_b, pairs in shots:
        found = relative_motion(pairs, camera, camera, z_depth_a=z_depth)
        true, length = float(T_a_b.t.norm()), float(found.T_b_a.t.norm())
        assert found.kind == "metric", (words, found.reason)
        assert errors(found, T_a_b)[0] < 0.2
        assert abs(length - true) < max(0.02 * true, 0.01)
        assert abs(length - true) < 5 * found.length_sd_m < 0.1
        assert found.direction_sd_deg > 10 or words in MOVES


@pytest.mark.parametrize("T_a_b", [motion((0, -10, 2), (0.2, 0, 0.1)), motion((0, 0, 0), (0, 0, 0.3))])
@pytest.mark.parametrize("count", [300, 60])
def test_standard_deviations_are_honest(T_a_b: SE3, count: int) -> None:
    inside = []
    for seed in range(20):
        found = relative_motion(noisy_points(T_a_b, seed, count=count), CAMERA, CAMERA)
        turn, way = errors(found, T_a_b)
        inside.append((turn < found.rotation_sd_deg, way < found.direction_sd_deg))
    assert (np.mean(inside, 0) >= 0.6).all() and (np.mean(inside, 0) <= 0.98).all()


def test_standard_deviations_are_honest_in_rooms(shots) -> None:
    inside = []
    for _, camera, z_depth, T_a_b, pairs in shots:
        for z in (None, z_depth):
            found = relative_motion(pairs, camera, camera, z_depth_a=z)
            turn, way = errors(found, T_a_b)
            inside.append(turn < found.rotation_sd_deg)
            if T_a_b.t.any():
                inside.append(way < found.direction_sd_deg)
    assert 0.55 <= np.mean(inside) <= 0.95


@pytest.mark.parametrize("wrong", [0.3, 0.5])
@pytest.mark.parametrize("place", [(0.2, 0, 0.1), (0.0, 0.0, 0.0)])
def test_wrong_matches_are_left_out(wrong: float, place: tuple[float, float, float]) -> None:
    T_a_b = motion((0, -10, 2), place)
    for seed in range(8):
        found = relative_motion(noisy_points(T_a_b, seed, wrong=wrong), CAMERA, CAMERA)
        assert found.kind == ("direction" if any(place) else "rotation"), found.reason
        assert found.inliers < (1 - wrong) * 200 + 30
        assert errors(found, T_a_b)[0] < 0.3 and (not any(place) or errors(found, T_a_b)[1] < 3)


def test_turns_of_many_seeds_are_turns() -> None:
    """Found to be so by the choice of the model, not for want of a sure direction."""
    found = [
        relative_motion(noisy_points(motion((0, 8, 1), (0, 0, 0)), seed, count=count), CAMERA, CAMERA)
        for seed in range(12)
        for count in (40, 250)
    ]
    assert [one.kind for one in found].count("rotation") >= 23
    assert sum("turn alone fits" in one.reason for one in found) >= 22


def test_a_wall_shows_its_motion() -> None:
    T_a_b = motion((0, 0, 0), (0.2, 0, 0))
    for seed in range(8):
        found = relative_motion(noisy_points(T_a_b, seed, kind="wall"), CAMERA, CAMERA)
        assert found.kind == "direction", found.reason
        assert errors(found, T_a_b)[0] < 0.5 and errors(found, T_a_b)[1] < 5


def test_a_wall_that_leaves_two_motions_open_says_so() -> None:
    for seed in range(4):
        # The other motion would see a wall edge on, which only pictures that overlap on its one side leave open.
        pairs = noisy_points(motion((0, 10, 0), (0.2, 0, 0.1)), seed, kind="wall")
        found = relative_motion(pairs, CAMERA, CAMERA)
        assert found.kind == "none" and "single plane" in found.reason


def test_a_textured_wall_in_pictures() -> None:
    image = cv2.resize(data.gravel(), (1200, 1200), interpolation=cv2.INTER_AREA)
    shift = 0.2 * float(CAMERA.focal[0]) / 3
    a, b = (
        cv2.warpAffine(image, np.array([[1, 0, -200.0 - s], [0, 1, -200]]), (640, 480), flags=cv2.INTER_CUBIC)
        for s in (0.0, shift)
    )
    found = relative_motion(matches(a, b), CAMERA, CAMERA)
    turn, way = errors(found, motion((0, 0, 0), (0.2, 0, 0)))
    assert found.kind == "direction" and turn < 0.2 and way < 2, found.reason


def test_swapped_pictures_give_the_inverse() -> None:
    T_a_b = motion((1, -10, 2), (0.2, 0.05, 0.1))
    pairs = noisy_points(T_a_b, 3)
    there = relative_motion(pairs, CAMERA, CAMERA)
    back = relative_motion(Matches(pairs.uv_b, pairs.uv_a), CAMERA, CAMERA)
    turn, _ = back.T_b_a.distance(there.T_b_a.inverse())
    assert float(turn.rad2deg()) < 0.02
    assert errors(back, there.T_b_a)[1] < 0.2


def test_cameras_may_differ() -> None:
    T_a_b = motion((0, -10, 2), (0.2, 0, 0.1))
    wide = PinholeCamera.from_hfov(np.radians(90.0), 800, 500).crop(60, 10, 700, 450)
    for noise, most in ((0.0, 0.01), (0.5, 0.3)):
        pairs = noisy_points(T_a_b, 5, camera_b=wide, noise_px=noise)
        found = relative_motion(pairs, CAMERA, wide)
        assert errors(found, T_a_b)[0] < most and errors(found, T_a_b)[1] < 10 * most
    assert errors(relative_motion(pairs, CAMERA, CAMERA), T_a_b)[0] > 1


def test_moving_both_principal_points_changes_nothing() -> None:
    T_a_b = motion((0, -10, 2), (0.2, 0, 0.1))
    pairs = noisy_points(T_a_b, 6)
    cut = CAMERA.crop(30, -20, 600, 480)
    moved = Matches(pairs.uv_a - [30, -20], pairs.uv_b - [30, -20])
    one, other = relative_motion(pairs, CAMERA, CAMERA), relative_motion(moved, cut, cut)
    assert float((one.T_b_a.matrix() - other.T_b_a.matrix()).abs().max()) < 1e-3


BLACK, TINY = np.zeros((480, 640), np.uint8), np.full((1, 1), 7, np.uint8)


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (BLACK, BLACK, "too little texture"),
        (BLACK, data.camera(), "too little texture"),
        (TINY, TINY, "too little texture"),
        (data.camera(), data.camera(), "same picture"),
        (data.camera(), gray(data.astronaut()), "in common"),
        (data.brick(), data.grass(), "in common"),
    ],
)
def test_poor_pictures_say_nothing(a: np.ndarray, b: np.ndarray, reason: str) -> None:
    found = relative_motion(matches(a, b), CAMERA, CAMERA)
    assert found.kind == "none" and reason in found.reason
    assert torch.equal(found.T_b_a.matrix(), torch.eye(4, dtype=torch.float64))
    assert np.isnan([found.rotation_sd_deg, found.direction_sd_deg, found.parallax_deg, found.length_sd_m]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("z_depth_a", [None, np.full((480, 640), 2.0, np.float32)])
def test_chance_matches_say_nothing(seed: int, z_depth_a: np.ndarray | None) -> None:
    pairs = noisy_points(motion((0, 0, 0), (0, 0, 0)), seed, wrong=1.0)
    found = relative_motion(pairs, CAMERA, CAMERA, z_depth_a=z_depth_a)
    assert found.kind == "none" and "fit" in found.reason


def test_without_enough_depth_there_is_a_direction() -> None:
    pairs = noisy_points(motion((0, -10, 2), (0.2, 0, 0.1)), 1)
    found = relative_motion(pairs, CAMERA, CAMERA, z_depth_a=np.full((480, 640), np.nan, np.float32))
    assert found.kind == "direction"


def test_same_input_same_output() -> None:
    image = gray(data.astronaut())
    pairs = [matches(image, image[::-1, ::-1].copy()) for _ in range(2)]
    assert np.array_equal(pairs[0].uv_a, pairs[1].uv_a) and np.array_equal(pairs[0].uv_b, pairs[1].uv_b)
    noisy = noisy_points(motion((0, -10, 2), (0.2, 0, 0.1)), 1, wrong=0.5)
    for z in (None, np.full((480, 640), 3.0, np.float32)):
        found = []
        for seed in (1, 2):
            cv2.setRNGSeed(seed)
            found.append(relative_motion(noisy, CAMERA, CAMERA, z_depth_a=z))
        assert torch.equal(found[0].T_b_a.matrix(), found[1].T_b_a.matrix())
        assert replace(found[0], T_b_a=found[1].T_b_a).__dict__.__repr__() == found[1].__dict__.__repr__()


def test_the_first_pixel_centre_is_at_a_half() -> None:
    v, u = np.mgrid[:96, :128] + 0.5
    spots = np.zeros((96, 128))
    centres = np.array([[31.3, 30.6], [70.25, 40.75], [100.5, 60.0], [45.0, 70.1]])
    for n, (x, y) in enumerate(centres):
        spots += (150 + 20 * n) * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * (3 + n / 2) ** 2))
    picture = np.rint(spots).clip(0, 255).astype(np.uint8)
    found = matches(picture, picture)
    assert len(np.unique(found.uv_a.round(), axis=0)) >= 3
    for uv in (found.uv_a, found.uv_b):
        nearest = np.linalg.norm(uv[:, None] - centres, axis=-1).min(1)
        assert (nearest < 0.1).sum() >= 3


def test_depths_between_pixels_are_those_of_the_plane() -> None:
    normal = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    z_depth = (1 / (CAMERA.rays(CAMERA.pixel_centers()) @ normal)).numpy()
    uv = np.random.default_rng(0).uniform([1, 1], [639, 479], (50, 2))
    expected = (CAMERA.rays(torch.tensor(uv)) @ normal).numpy()
    assert inverse_depths(z_depth, uv) == pytest.approx(expected, rel=1e-9)
    z_depth[:, 320:] *= 2
    z_depth[100] = np.nan
    odd = np.array([[320.0, 50.3], [50.0, 100.2], [-3.0, 5.0], [320.5, 50.3]])
    assert np.isnan(inverse_depths(z_depth, odd)).tolist() == [True, True, True, False]


def test_misuse_is_refused() -> None:
    pairs = noisy_points(motion((0, 0, 0), (0.2, 0, 0)), 0)
    with pytest.raises(ValueError, match="must have the size of picture a"):
        relative_motion(pairs, CAMERA, CAMERA, z_depth_a=np.ones((640, 480), np.float32))
    with pytest.raises(ValueError, match="each camera must be one"):
        relative_motion(pairs, CAMERA[None], CAMERA)
    with pytest.raises(ValueError, match="max_error_px must be > 0"):
        relative_motion(pairs, CAMERA, CAMERA, max_error_px=0.0)
    with pytest.raises(ValueError, match="finite"):
        Matches(np.full((3, 2), np.nan), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="both have shape"):
        Matches(np.zeros((3, 2)), np.zeros((4, 2)))


def motorcycle() -> tuple[Matches, PinholeCamera, PinholeCamera, np.ndarray, float]:
    folder = REAL / "middlebury_motorcycle"
    lens = json.loads((folder / "calib.json").read_text())
    left, right = (cv2.imread(str(folder / f"motorcycle_{side}.png"), 0) for side in ("left", "right"))
    f, (height, width) = lens["f_px"], left.shape
    cameras = [
        PinholeCamera(torch.tensor([[f, 0, cx + 0.5], [0, f, lens["cy"] + 0.5], [0, 0, 1]]).double(), width, height)
        for cx in (lens["cx_left"], lens["cx_left"] + lens["doffs_px"])
    ]
    raw = cv2.imread(str(folder / "disp_left_x256.png"), cv2.IMREAD_UNCHANGED)
    z = np.where(raw > 0, f * lens["baseline_m"] / (raw / lens["disp_scale"] + lens["doffs_px"]), np.nan)
    return matches(left, right), *cameras, z.astype(np.float32), lens["baseline_m"]


@needs_real
def test_a_stereo_pair_moves_sideways() -> None:
    pairs, camera_a, camera_b, z_depth, baseline = motorcycle()
    T_a_b = motion((0, 0, 0), (baseline, 0, 0))
    found = relative_motion(pairs, camera_a, camera_b)
    assert found.kind == "direction" and errors(found, T_a_b)[0] < 0.1 and errors(found, T_a_b)[1] < 1
    found = relative_motion(pairs, camera_a, camera_b, z_depth_a=z_depth)
    assert found.kind == "metric" and float(found.T_b_a.t.norm()) == pytest.approx(baseline, rel=0.005)


@needs_real
def test_hand_held_pictures_agree_with_their_poses() -> None:
    """Poses of visual odometry, themselves about a degree off."""
    folder = REAL / "slambook2_rgbd_5frames"
    poses = np.loadtxt(folder / "pose.txt")
    R = torch.tensor(Rotation.from_quat(poses[:, 3:]).as_matrix())
    T_world_cam = SE3(R, torch.tensor(poses[:, :3]))
    camera = PinholeCamera(torch.tensor([[518, 0, 326.0], [0, 519, 254.0], [0, 0, 1]]).double(), 640, 480)
    pictures = [cv2.imread(str(folder / f"{n}.color.jpg"), 0) for n in range(1, 6)]
    for i in range(4):
        T_a_b = T_world_cam[i].inverse() @ T_world_cam[i + 1]
        raw = cv2.imread(str(folder / f"{i + 1}.depth.png"), cv2.IMREAD_UNCHANGED)
        pairs = matches(pictures[i], pictures[i + 1])
        for z, kind in ((None, "direction"), (raw.astype(np.float32) / 1000, "metric")):
            found = relative_motion(pairs, camera, camera, z_depth_a=z)
            assert found.kind == kind, found.reason
            assert errors(found, T_a_b)[0] < 1.5 and errors(found, T_a_b)[1] < 6
        assert float(found.T_b_a.t.norm()) == pytest.approx(float(T_a_b.t.norm()), rel=0.15)
