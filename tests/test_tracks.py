"""Tracks: points move as the picture was moved, in the project's pixels, and key frames are those asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from films import SIZE, film_of, jpeg, moving, noisy, room_film, texture, write_video

from geom.camera import PinholeCamera
from synth.film import Film, Picture, open_film
from synth.still_checks import look
from synth.tracks import MAX_MOVE, MIN_SURVIVED, Tracks, corners, grey_of, shown_at, tracks, tracks_between

REAL = Path(__file__).parents[2] / "shared" / "real_data" / "wm_worldcompass"


def errors(track: Tracks, per_frame: tuple[float, float]) -> np.ndarray:
    """Distances to where points must be, in pixels."""
    expected = track.uv_first + np.array(per_frame) * (track.last - track.first)
    return np.linalg.norm(track.uv_last - expected, axis=1)


@pytest.mark.parametrize("per_frame", [(2.3, -0.7), (0.3, 0.1), (-7.1, 0.4)])
@pytest.mark.parametrize("seed", [0, 1])
def test_points_move_as_the_picture_does(seed: int, per_frame: tuple[float, float]) -> None:
    for track in tracks(film_of(moving(seed, per_frame))):
        assert len(track.uv_first) == len(track.uv_last) > 200
        assert np.median(errors(track, per_frame)) < 0.03
        assert np.quantile(errors(track, per_frame), 0.9) < 0.1


@pytest.mark.parametrize("treat", [noisy, jpeg], ids=["noise", "jpeg"])
def test_noise_moves_few_points(treat) -> None:
    for track in tracks(film_of(treat(moving(0)))):
        assert np.median(errors(track, (2.3, -0.7))) < 0.15


def crossing(num: int = 9) -> list[Picture]:
    """A window of one texture that goes to the right before another one at rest."""
    pictures = [texture(0, (0, 0)).copy() for _ in range(num)]
    for n, picture in enumerate(pictures):
        picture[60:180, 80 + 2 * n : 200 + 2 * n] = texture(1, (2.0 * n, 0))[60:180, 80 + 2 * n : 200 + 2 * n]
    return pictures


def slipped(track: Tracks) -> float:
    """Share of the points that go neither way."""
    return float((np.minimum(errors(track, (0, 0)), errors(track, (2, 0))) > 1.5).mean())


def test_what_an_edge_dragged_along_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (track,) = tracks(film_of(crossing()), [0, 8])
    assert len(track.uv_first) > 150 and slipped(track) < 0.02
    monkeypatch.setattr("synth.tracks.MIN_CONFIRMED", 1.01)
    monkeypatch.setattr("synth.tracks.MANY_CONFIRMED", 10**6)
    (followed,) = tracks(film_of(crossing()), [0, 8])
    assert slipped(followed) > 0.1


def test_points_of_a_film_that_paints_its_details_anew_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def painted(n: int) -> Picture:
        shift = (2.0 * n, 0.0)
        return (texture(0, shift) * (1 - n / 22) + texture(5, shift) * (n / 22)).astype(np.uint8)

    film = film_of([painted(n) for n in range(9)])
    (track,) = tracks(film, [0, 8])
    monkeypatch.setattr("synth.tracks.MANY_CONFIRMED", 0)
    (confirmed,) = tracks(film, [0, 8])
    assert len(track.uv_first) > 300 and len(confirmed.uv_first) < 100


def test_a_compressed_video_moves_few_points(tmp_path: Path) -> None:
    for track in tracks(open_film(write_video(tmp_path / "a.mp4", noisy(moving(0))))):
        assert np.median(errors(track, (2.3, -0.7))) < 0.25


def test_the_first_pixel_has_its_centre_at_half() -> None:
    """A square's corners, its picture drawn by hand: pixel 20 to 59 are white, so that its edges are at 20 and 60."""
    picture = np.zeros((100, 120, 3), np.uint8)
    picture[30:70, 20:60] = 255
    (track,) = tracks(film_of([picture] * 2))
    nearest = [np.abs(track.uv_first - corner).max(axis=1).min() for corner in [(20, 30), (60, 30), (20, 70), (60, 70)]]
    assert len(track.uv_first) == 4
    # A corner is found on a pixel beside the edge, whose centre is at most half a pixel and its neighbour away.
    inward = track.uv_first.mean(axis=0)
    assert max(nearest) <= 1.5 and np.allclose(inward, (40, 50))


def test_a_raster_shows_its_cells_at_their_centres() -> None:
    v, u = np.mgrid[0:4, 0:6].astype(np.float32) + np.float32(0.5)
    uv = np.array([[0.5, 0.5], [2.5, 3.5], [3.25, 1.75]])
    assert np.allclose(shown_at(10 * u + v, uv), 10 * uv[:, 0] + uv[:, 1])


def test_tracks_of_a_room_meet_its_geometry() -> None:
    """A camera that only turns: pixels go where its intrinsics send them, whatever the room; edges are jagged there."""
    world, turns = turning_room()
    (track,) = tracks(film_of(turns), (0, 8))
    camera: PinholeCamera = world.camera
    yaw = np.radians(8)
    rays = np.linalg.inv(camera.K.numpy()) @ np.c_[track.uv_first, np.ones(len(track.uv_first))].T
    turned = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]]) @ rays
    expected = (camera.K.numpy() @ turned / turned[2])[:2].T
    off = track.uv_last - expected
    assert len(off) > 100
    assert np.median(np.linalg.norm(off, axis=1)) < 0.4
    assert (np.abs(np.median(off, axis=0)) < 0.1).all()


def turning_room():
    from geom.se3 import SE3
    from synth.pipeline import GenerateConfig
    from synth.room_world import RoomWorld
    from synth.stages import Stages

    world = RoomWorld(GenerateConfig(num_scenes=1, seed=1, image_size=SIZE), 0, Stages())
    pictures = []
    for n in range(9):
        yaw = np.radians(n)
        R = torch.tensor([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        pictures.append(world.view(world.T_world_anchor @ SE3(R, torch.zeros(3, dtype=torch.float64))).image)
    return world, pictures


def test_key_frames_are_those_asked_for() -> None:
    read = []
    film = Film("counted", SIZE, lambda: (read.append(n) or p for n, p in enumerate(moving(0))))
    found = list(tracks(film, (3, 7, 20)))
    assert [(track.first, track.last) for track in found] == [(3, 7), (7, 20)]
    assert read == list(range(21))  # what lies behind the last one is not read
    assert all(np.median(errors(track, (2.3, -0.7))) < 0.03 for track in found)


def test_key_frames_are_chosen_by_move_and_cover_the_film() -> None:
    found = list(tracks(film_of(moving(0, (7.1, 0.4)))))
    assert [track.first for track in found[1:]] == [track.last for track in found[:-1]]
    assert (found[0].first, found[-1].last) == (0, 29)
    for track in found[:-1]:
        assert track.median_move > MAX_MOVE * SIZE[0] > track.median_move - 7.2


def test_a_key_frame_is_chosen_where_nothing_can_be_followed() -> None:
    pictures = [*moving(0, (0.5, 0.0), 12), *moving(9, (0.5, 0.0), 12)]
    found = list(tracks(film_of(pictures)))
    assert [(track.first, track.last) for track in found] == [(0, 12), (12, 23)]
    assert found[0].survived < MIN_SURVIVED < 0.9 < found[1].survived


def test_survival_is_the_share_of_the_corners_found() -> None:
    pictures = moving(0, (4.0, 0.0), 9)
    (track,) = tracks(film_of(pictures), (0, 8))
    found = corners(grey_of(pictures[0]), 400)
    assert track.survived == len(track.uv_last) / len(found) < 1
    gone = (found[:, 0] + 0.5 + 32 > SIZE[0]).mean()
    assert track.survived <= 1 - gone  # none that left the picture is kept
    assert (track.uv_last >= 0).all() and (track.uv_last <= SIZE).all()


@pytest.mark.parametrize("per_frame", [(1.0, 0.0), (-1.0, -0.5)])
def test_points_stay_in_the_picture(per_frame: tuple[float, float]) -> None:
    """Lucas-Kanade itself goes on a little behind the edge."""
    (track,) = tracks(film_of(moving(0, per_frame, 10)))
    assert (track.uv_last >= 0).all() and (track.uv_last <= SIZE).all()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_followed_to_another_picture(seed: int) -> None:
    """Lucas-Kanade itself finds something for most points; only that they do not lead back tells."""
    before, after = grey_of(texture(seed, (0, 0))), grey_of(texture(seed + 50, (0, 0)))
    assert tracks_between(before, after).survived < 0.05


def test_a_film_without_corners_has_no_points_and_says_so() -> None:
    plain = [np.full((60, 80, 3), 90, np.uint8)] * 3
    found = list(tracks(film_of(plain), (0, 2)))
    assert [(len(t.uv_first), len(t.uv_last), t.survived, t.median_move) for t in found] == [(0, 0, 0.0, 0.0)]


def test_tiny_pictures_are_followed_or_not_but_do_no_harm() -> None:
    (track,) = tracks(film_of([texture(0, (n, 0), (9, 7)) for n in range(2)]))
    assert 0 <= track.survived <= 1


@pytest.mark.parametrize("keys", [(), (0,), (3, 3), (5, 2), (-1, 4)])
def test_key_frames_that_do_not_rise_are_refused(keys: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 rising numbers"):
        list(tracks(film_of(moving(0, num=8)), keys))


def test_key_frames_behind_the_end_are_refused() -> None:
    pictures = moving(0, num=8)
    with pytest.raises(ValueError, match="key frames must be below 8.*: 8"):
        list(tracks(film_of(pictures), (0, 8)))
    unknown = Film("a stream", SIZE, lambda: iter(pictures))
    with pytest.raises(ValueError, match="key frame 8 must be in a stream, but its last frame is 7"):
        list(tracks(unknown, (0, 8)))


def test_a_room_is_followed_to_its_end() -> None:
    found = list(tracks(film_of(room_film(1))))
    assert (found[0].first, found[-1].last) == (0, 15)
    assert all(len(track.uv_last) > 100 for track in found)


@pytest.mark.skipif(not REAL.exists(), reason="the clips of world models are not here")
def test_a_world_model_turns_as_its_keys_say() -> None:
    """RL_sample1 follows its keys: D and right move the picture left, A and left move it right (PROVENANCE.md)."""
    film = open_film(REAL / "RL_sample1.mp4").rows(0, 280)
    moves = [np.median((t.uv_last - t.uv_first)[:, 0]) for t in tracks(film, (0, 31, 63, 91, 125))]
    assert [bool(move > 5) for move in moves] == [False, True, False, True]
    assert min(abs(move) for move in moves) > 20


@pytest.mark.skipif(not REAL.exists(), reason="the clips of world models are not here")
@pytest.mark.parametrize("name", ["RL_sample1.mp4", "Original_sample1.mp4"])
def test_frames_of_a_world_model_follow_each_other(name: str) -> None:
    seen = look(open_film(REAL / name).rows(0, 280).frames())
    assert np.nanmin(seen.survived) > 0.6
