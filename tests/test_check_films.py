"""Films to calibrate `check` on: a correct one shows what was told, and each fault changes only what it says."""

from __future__ import annotations

import math
import pickle
from functools import cache
from hashlib import sha256
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from check_faults import FAULTS, Fault
from check_films import SimFilm, amounts_of, correct, lens_deg, median_depth, path, render, room, size_of

from geom.se3 import SE3
from synth.compliance import Way, way_of

SIZE = (160, 120)
SEEDS = (2, 3)
"""Between them they have all that a fault may need: moves ahead and aside, turns, arcs, and a return."""


@cache
def film(seed: int) -> SimFilm:
    return correct(seed, SIZE)


@cache
def planted(name: str, size: str) -> list[tuple[SimFilm, SimFilm]]:
    """The films that can have a fault, without it and with it."""
    (fault,) = (fault for fault in FAULTS if (fault.name, fault.size) == (name, size))
    pairs = [(film(seed), fault.plant(film(seed))) for seed in SEEDS]
    return [(before, after) for before, after in pairs if after is not None]


def digest(seen: SimFilm) -> str:
    arrays = (*seen.pictures, *seen.z_depths, *seen.truth.clean, seen.T_world_cam.matrix().numpy())
    return sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@cache
def untouched(seed: int) -> str:
    return digest(correct(seed, SIZE))


def with_fault(name: str) -> list[tuple[Fault, SimFilm, SimFilm]]:
    """All sizes of one fault in all films."""
    faults = [fault for fault in FAULTS if fault.name == name]
    return [(fault, *pair) for fault in faults for pair in planted(fault.name, fault.size)]


def motion(T_world_cam: SE3, first: int, last: int) -> SE3:
    return T_world_cam[first].inverse() @ T_world_cam[last]


def is_near(a: SE3, b: SE3) -> bool:
    return bool(torch.allclose(a.matrix(), b.matrix(), atol=1e-9))


def same(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> list[bool]:
    """Which are the same arrays, not equal ones."""
    return [x is y for x, y in zip(a, b, strict=True)]


def agreement(seen: SimFilm, first: int, last: int) -> float:
    """Share of points of one frame that, moved as told, lie on what another frame shows there."""
    uv = seen.camera.pixel_centers()[::3, ::3].reshape(-1, 2)
    z_depth = torch.from_numpy(seen.z_depths[first])[::3, ::3].reshape(-1).double()
    p_last = motion(seen.T_world_cam, first, last).inverse().act(seen.camera.unproject(uv, z_depth))
    uv_last, ahead = seen.camera.project(p_last)
    there = ahead & seen.camera.contains(uv_last)
    x, y = uv_last[there].floor().long().unbind(-1)
    found = torch.from_numpy(seen.z_depths[last])[y, x].double()
    return float(((found / p_last[there, 2]) - 1).abs().lt(0.02).double().mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_correct_film_shows_what_was_told(seed: int) -> None:
    seen = film(seed)
    world = room(seed, SIZE, lens_deg(seed))
    clean, z_depths = render(world, seen.T_world_cam)
    assert all(map(np.array_equal, z_depths, seen.z_depths))
    for picture, rendered in zip(seen.pictures, clean, strict=True):
        assert picture.shape == (SIZE[1], SIZE[0], 3) and picture.dtype == np.uint8
        assert 0.4 < np.abs(picture.astype(float) - rendered).mean() < 6.0
    assert all(agreement(seen, first, last) > 0.8 for first, last in pairwise(seen.key_frames))
    assert size_of(seen).metres == size_of(seen).degrees == size_of(seen).pixels == 0.0
    assert seen.camera is seen.truth.camera and 55 <= math.degrees(seen.camera.hfov) <= 95
    assert 1.0 < median_depth(seen) < 8.0


@pytest.mark.parametrize("seed", SEEDS)
def test_commands_poses_and_key_frames_agree(seed: int) -> None:
    seen = film(seed)
    assert seen.key_frames[0] == 0 and seen.key_frames[-1] == len(seen.pictures) - 1
    assert is_near(seen.T_world_cam[0], room(seed, SIZE, lens_deg(seed)).T_world_anchor)
    for step, (first, last) in zip(seen.actions, pairwise(seen.key_frames), strict=True):
        assert 6 <= last - first <= 10
        done = motion(seen.T_world_cam, first, last)
        assert way_of(done) == Way(frozenset(action.kind for action in step))
        assert all(5 <= a.amount <= 35 if a.kind.is_turn else 0.15 <= a.amount <= 0.6 for a in step)
        if len(step) == 1:
            assert is_near(done, step.pose())
        frames = range(first, last)
        assert all(
            is_near(motion(seen.T_world_cam, n, n + 1), motion(seen.T_world_cam, first, first + 1)) for n in frames
        )


def test_an_arc_turns_by_what_was_told_along_a_path_as_long_as_was_told() -> None:
    arcs = [
        (step, motion(seen.T_world_cam, first, last), seen.T_world_cam.t[first : last + 1])
        for seen in map(film, SEEDS)
        for step, (first, last) in zip(seen.actions, pairwise(seen.key_frames), strict=True)
        if len(step) == 2
    ]
    assert arcs
    for step, done, positions in arcs:
        does = amounts_of(step)
        assert is_near(SE3(done.R, torch.zeros(3).double()), SE3.yaw_right(math.radians(does["turn"])))
        assert float(positions.diff(dim=0).norm(dim=-1).sum()) == pytest.approx(abs(does["z"]))


def test_films_of_one_seed_are_the_same_and_of_another_not() -> None:
    assert digest(film(SEEDS[0])) == untouched(SEEDS[0]) != digest(film(SEEDS[1]))
    assert film(SEEDS[0]).actions == correct(SEEDS[0], SIZE).actions != film(SEEDS[1]).actions
    for fault in {fault.name: fault for fault in FAULTS}.values():
        before, after = planted(fault.name, fault.size)[0]
        again = fault.plant(before)
        assert again is not None and digest(again) == digest(after) and again.actions == after.actions


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.name} {fault.size}")
def test_a_planted_film_is_whole(fault: Fault) -> None:
    pairs = planted(fault.name, fault.size)
    assert pairs, "no film can have it"
    for before, after in pairs:
        num = len(after.pictures)
        assert num == len(after.z_depths) == len(after.T_world_cam.t) == len(after.truth.T_world_cam.t)
        assert num == len(after.truth.clean) == after.key_frames[-1] + 1
        assert is_near(after.T_world_cam, path(before.T_world_cam[0], after.actions, after.key_frames))
        size = size_of(after)
        assert (max(size.metres, size.degrees, size.pixels) == 0) == fault.is_told_shown
        assert digest(before) == untouched(before.seed), "planting changed the film itself"


def test_faults_have_names_of_their_own_and_go_to_other_processes() -> None:
    names = [(fault.name, fault.size) for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert [(fault.name, fault.size) for fault in pickle.loads(pickle.dumps(FAULTS))] == names
    assert {fault.name for fault in FAULTS if fault.needs_depth} == {"moves"}


COMMANDS = ["moves", "turns", "mirrored turn", "mirrored shift", "swapped steps", "drift", "focal length"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_fault_of_the_command_keeps_the_pictures(name: str) -> None:
    for _, before, after in with_fault(name):
        assert after.pictures is before.pictures and after.z_depths is before.z_depths
        assert after.truth is before.truth and after.key_frames == before.key_frames


@pytest.mark.parametrize(
    ("name", "axes"), [("moves", "zx"), ("turns", ("turn",)), ("mirrored turn", ("turn",)), ("mirrored shift", "x")]
)
def test_commands_are_scaled_along_their_axes_alone(name: str, axes: tuple[str, ...]) -> None:
    for fault, before, after in with_fault(name):
        by = float(fault.size[1:]) if fault.size.startswith("x") else -1.0
        steps = [(amounts_of(a), amounts_of(b)) for a, b in zip(before.actions, after.actions, strict=True)]
        changed = [(a, b) for a, b in steps if a != b]
        suited = [a for a, _ in steps if any(a[axis] for axis in axes)]
        assert len(changed) == (1 if fault.size == "one step" else len(suited))
        for a, b in changed:
            assert b == pytest.approx({axis: by * of if axis in axes else of for axis, of in a.items()})


def test_a_mirrored_turn_is_off_by_twice_the_turn_and_no_longer_agrees_with_what_is_seen() -> None:
    for before, after in planted("mirrored turn", "all"):
        turns = [abs(amounts_of(step)["turn"]) for step in before.actions]
        assert size_of(after).degrees == pytest.approx(2 * max(turns))
        step = int(np.argmax(turns))
        first, last = before.key_frames[step : step + 2]
        assert agreement(after, first, last) < 0.7 * agreement(before, first, last)


def test_a_scaled_move_is_off_by_its_share() -> None:
    for before, after in planted("moves", "x0.5"):
        single = [max(abs(a[axis]) for axis in "zx") for a in map(amounts_of, before.actions)]
        assert size_of(after).metres == pytest.approx(max(single) / 2, rel=0.03)


def test_swapped_steps_are_two_that_differ() -> None:
    for _, before, after in with_fault("swapped steps"):
        differ = [i for i, (a, b) in enumerate(zip(before.actions, after.actions, strict=True)) if a != b]
        assert [after.actions[i] for i in differ] == [before.actions[i] for i in reversed(differ)]
        assert len(differ) == 2


def test_drift_adds_up_frame_by_frame() -> None:
    for fault, before, after in with_fault("drift"):
        for n in range(len(before.pictures)):
            radians, _ = before.T_world_cam[n].distance(after.T_world_cam[n])
            assert math.degrees(radians) == pytest.approx(n * float(fault.size.split()[0]), abs=1e-5)


def test_the_focal_length_is_stated_wrongly_and_nothing_else_of_the_camera() -> None:
    for fault, before, after in with_fault("focal length"):
        assert torch.allclose(after.camera.focal, float(fault.size[1:]) * before.camera.focal)
        assert torch.equal(after.camera.principal_point, before.camera.principal_point)
        assert after.T_world_cam is before.T_world_cam and after.truth.camera is before.camera


def test_during_a_dropped_step_the_camera_stands_still_with_noise_of_its_own() -> None:
    ways = {"a move": (True, False), "a turn": (False, True), "an arc": (True, True)}
    for fault, before, after in with_fault("dropped step"):
        (at,) = [i for i in range(len(after.actions)) if after.actions[:i] + after.actions[i + 1 :] == before.actions][
            :1
        ]
        first, last = after.key_frames[at : at + 2]
        does = amounts_of(after.actions[at])
        assert (bool(does["z"] or does["x"]), bool(does["turn"])) == ways[fault.size]
        assert 6 <= last - first <= 10
        assert not is_near(motion(after.T_world_cam, first, last), SE3.identity())
        still = range(first + 1, last + 1)
        assert all(is_near(motion(after.truth.T_world_cam, first, n), SE3.identity()) for n in still)
        assert all(after.truth.clean[n] is before.truth.clean[first] for n in still)
        differences = [np.abs(after.pictures[n].astype(float) - after.pictures[n - 1]).mean() for n in still]
        assert all(0.3 < difference < 8 for difference in differences)
        others = [picture for n, picture in enumerate(after.pictures) if n not in still]
        assert all(same(before.pictures, tuple(others)))


def test_a_frozen_film_repeats_its_picture_to_the_bit_or_with_noise() -> None:
    for fault, before, after in with_fault("frozen") + with_fault("frozen, with noise"):
        start = round(len(before.pictures) * int(fault.size[5]) / 4)
        assert all(same(after.pictures[:start], before.pictures[:start]))
        assert all(clean is after.truth.clean[start - 1] for clean in after.truth.clean[start:])
        repeats = [np.array_equal(a, b) for a, b in pairwise(after.pictures[start - 1 :])]
        assert set(repeats) == {fault.name == "frozen"}
        assert after.actions == before.actions and after.T_world_cam is before.T_world_cam


def test_a_cut_goes_on_as_told_elsewhere() -> None:
    for fault, before, after in with_fault("cut"):
        kept = same(after.pictures, before.pictures)
        start = kept.index(False)
        assert len(kept) / 4 - 1 <= start <= 3 * len(kept) / 4 and not any(kept[start:])
        last, done = len(kept) - 1, after.truth.T_world_cam
        if fault.size == "another room":
            assert not done.t[start:].isfinite().any() and math.isinf(size_of(after).metres)
        else:
            assert is_near(motion(done, start, last), motion(before.T_world_cam, start, last))
        # What is told holds on either side of the cut, and not across it.
        assert agreement(after, start, last) > 0.7 and agreement(after, 0, start - 1) > 0.7
        assert agreement(after, start - 1, start) < 0.5


@pytest.mark.parametrize("seed", [*SEEDS, 7])
def test_a_cut_within_a_room_goes_far(seed: int) -> None:
    # In room 7 the first place that is drawn is 9 cm from where the camera is.
    (fault,) = (fault for fault in FAULTS if fault.size == "same room")
    after = fault.plant(film(seed))
    assert after is not None
    start = same(after.pictures, film(seed).pictures).index(False)
    radians, metres = after.truth.T_world_cam[start].distance(after.T_world_cam[start])
    assert math.degrees(radians) >= 30 or metres >= 0.5


def test_no_return_falls_short_in_its_last_step_alone() -> None:
    for fault, before, after in with_fault("no return"):
        assert is_near(motion(after.T_world_cam, 0, -1), SE3.identity())
        assert not is_near(motion(after.truth.T_world_cam, 0, -1), SE3.identity())
        first = after.key_frames[-2]
        assert all(same(after.pictures[: first + 1], before.pictures[: first + 1]))
        clean, _ = render(room(after.seed, SIZE, lens_deg(after.seed)), after.truth.T_world_cam[first + 1 :])
        assert all(map(np.array_equal, clean, after.truth.clean[first + 1 :]))
        (told,), (kept,) = after.actions[-1].actions, {float(fault.size[1:])}
        missing = size_of(after).degrees if told.kind.is_turn else size_of(after).metres
        assert missing == pytest.approx((1 - kept) * told.amount)


def sharpness(picture: np.ndarray) -> float:
    return float(cv2.Laplacian(picture, cv2.CV_32F).var())


def test_blur_takes_the_edges_of_some_frames() -> None:
    for fault, before, after in with_fault("blur"):
        kept = same(after.pictures, before.pictures)
        assert 3 <= kept.count(False) <= 5 if fault.size.endswith("burst") else not any(kept[kept.index(False) :])
        for is_kept, a, b in zip(kept, before.truth.clean, after.truth.clean, strict=True):
            assert sharpness(b) == sharpness(a) if is_kept else sharpness(b) < 0.2 * sharpness(a)


def test_compression_spoils_every_frame_the_more_the_lower_its_quality() -> None:
    for seed in SEEDS:
        films = [after for _, before, after in with_fault("compression") if before is film(seed)]
        assert [after.truth.quality for after in films] == [30, 10, 5]
        off = [np.abs(after.pictures[0].astype(float) - film(seed).truth.clean[0]).mean() for after in films]
        assert off == sorted(off) and all(after.truth.clean is film(seed).truth.clean for after in films)


def test_low_texture_leaves_so_much_contrast_around_the_mean() -> None:
    for fault, before, after in with_fault("low texture"):
        share = int(fault.size.split()[0]) / 100
        a, b = np.stack(before.truth.clean).astype(float), np.stack(after.truth.clean).astype(float)
        assert b.std((0, 1, 2)) == pytest.approx(share * a.std((0, 1, 2)), abs=0.5)
        assert b.mean((0, 1, 2)) == pytest.approx(a.mean((0, 1, 2)), abs=0.5)


def test_flicker_changes_the_brightness_of_single_frames() -> None:
    for fault, before, after in with_fault("flicker"):
        levels = int(fault.size.split()[0])
        brighter = [
            float(np.median(b.astype(float) - a)) for a, b in zip(before.truth.clean, after.truth.clean, strict=True)
        ]
        frames = np.flatnonzero(brighter)
        assert 1 <= len(frames) <= 3 and (np.diff(frames) >= 2).all()
        assert set(np.abs(brighter)) == {0, levels}


def test_moving_objects_cover_the_share_that_they_say_and_move() -> None:
    for fault, before, after in with_fault("moving objects"):
        share = int(fault.size.split()[0]) / 100
        pairs = list(zip(before.truth.clean, after.truth.clean, strict=True))
        covered = [np.abs(b.astype(float) - a).max(-1) > 0 for a, b in pairs]
        near = [z_depth == np.float32(median_depth(before) / 2) for z_depth in after.z_depths]
        assert [mask.mean() for mask in near] == pytest.approx([share] * len(near), rel=0.06)
        around = [cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0 for mask in near]
        assert not any((mask & ~here).any() for mask, here in zip(covered, around, strict=True))
        assert not np.array_equal(near[0], near[-1])
        assert after.T_world_cam is before.T_world_cam
