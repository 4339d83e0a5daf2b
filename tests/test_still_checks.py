"""Still checks: one planted fault raises exactly its alarm, at its frames; right films raise none."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import NUM, SIZE, jpeg, moving, noisy, room_film, texture, write_video
from skimage.metrics import structural_similarity

from synth.film import Picture, film_of_video, open_film
from synth.still_checks import CHECKS, Look, blur, compression, cuts, flicker, frozen, look, returns

REAL = Path(__file__).parents[2] / "shared" / "real_data" / "wm_worldcompass"

Pictures = list[Picture]
K = 13
"""Where faults are planted. MPEG-4 as OpenCV writes it has a whole picture every 12 frames, and differences between."""


def alarms(pictures: Pictures) -> dict[str, tuple[int, ...]]:
    """What is suspicious; but that it was compressed, which videos of codecs in blocks show and are not blamed for."""
    seen = look(pictures)
    found = {name: check(seen).suspicious for name, check in CHECKS.items() if check is not compression}
    return {name: frames for name, frames in found.items() if frames}


def test_blocks_of_a_codec_are_told_from_none_and_from_edges_of_the_scene() -> None:
    seen = [look(pictures) for pictures in (moving(0), jpeg(moving(0), 10), jpeg(moving(0), 95))]
    assert [len(compression(each).suspicious) for each in seen] == [0, NUM, 0]
    assert seen[0].blocks == pytest.approx(1, abs=0.1) and (seen[1].blocks > 2).all()
    tiles = np.kron(np.indices((30, 40)).sum(0) % 2, np.ones((7, 7)))[:200, :256, None].repeat(3, 2) * 200
    assert compression(look([tiles.astype(np.uint8)] * 2)).suspicious == ()
    assert look([np.zeros((5, 5, 3), np.uint8)] * 2).blocks.tolist() == [1, 1]


def brighter(picture: Picture, share: float = 1.06) -> Picture:
    return np.clip(picture * share, 0, 255).astype(np.uint8)


def blurred(picture: Picture, sigma: float = 1.5) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


REST = tuple(range(K, NUM))
FAULTS: dict[str, tuple[Callable[[Pictures], Pictures], dict[str, tuple[int, ...]]]] = {
    "freeze": (lambda p: [*p[:K], *[p[K - 1]] * (NUM - K)], {"frozen": REST}),
    "one repeated": (lambda p: [*p[:K], p[K - 1], *p[K + 1 :]], {"frozen": (K,)}),
    "stutter": (lambda p: [p[n - n % 2] for n in range(NUM)], {"frozen": tuple(range(1, NUM, 2))}),
    "cut": (lambda p: [*p[:K], *moving(99)[K:]], {"cut": (K,)}),
    "jump in the scene": (lambda p: [*p[:K], *(texture(0, (2.3 * n + 140, 90)) for n in REST)], {"cut": (K,)}),
    "flicker": (lambda p: [*p[:K], brighter(p[K]), *p[K + 1 :]], {"flicker": (K,)}),
    "flash": (lambda p: [*p[:K], brighter(p[K], 1.3), *p[K + 1 :]], {"flicker": (K,)}),
    "flicker of three": (lambda p: [*p[:K], *map(brighter, p[K : K + 3]), *p[K + 3 :]], {"flicker": (K, K + 1, K + 2)}),
    "blur": (lambda p: [*p[:K], *map(blurred, p[K:])], {"blur": REST}),
    "one blurred": (lambda p: [*p[:K], blurred(p[K]), *p[K + 1 :]], {"blur": (K,)}),
}

TREATMENTS = {"clean": list, "noise": noisy, "jpeg": jpeg}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("treatment", TREATMENTS)
def test_a_fault_raises_its_alarm_and_no_other(fault: str, treatment: str) -> None:
    plant, expected = FAULTS[fault]
    if fault in ("blur", "one blurred") and treatment == "noise":
        pictures = plant(noisy(moving(0), 1.0))  # a lens blurs, and noise comes after it; a generator blurs both
    else:
        pictures = TREATMENTS[treatment](plant(moving(0)))
    assert alarms(pictures) == expected


CODECS = [("mp4v", "a.mp4"), ("MJPG", "a.avi")]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if "blur" not in fault])
@pytest.mark.parametrize(("codec", "name"), CODECS)
def test_the_same_in_a_compressed_video(fault: str, codec: str, name: str, tmp_path: Path) -> None:
    plant, expected = FAULTS[fault]
    found = alarms(list(open_film(write_video(tmp_path / name, plant(moving(0)), codec)).frames()))
    assert found.keys() == expected.keys()
    for check, frames in expected.items():
        # A codec smears: the frame after a fault may be found too, and where it writes a whole picture, none repeats.
        missed, more = set(frames) - set(found[check]), set(found[check]) - set(frames)
        assert len(missed) <= len(frames) // 10 and more <= {n + 1 for n in frames}


@pytest.mark.parametrize(("codec", "name"), CODECS)
def test_a_blurred_room_is_told_in_a_compressed_video(codec: str, name: str, tmp_path: Path) -> None:
    """The texture of the other tests is so fine that these codecs blur all of it."""
    room = room_film(1)
    found = alarms(list(open_film(write_video(tmp_path / name, [*room[:K], *map(blurred, room[K:])], codec)).frames()))
    assert found.keys() == {"blur"} and {K + 1, K + 2} <= set(found["blur"]) <= {K, K + 1, K + 2}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("per_frame", [(2.3, -0.7), (0.3, 0.1), (14.0, 3.0)])
def test_right_films_raise_no_alarm(seed: int, treatment: str, per_frame: tuple[float, float]) -> None:
    assert alarms(TREATMENTS[treatment](moving(seed, per_frame))) == {}


@pytest.mark.parametrize("seed", range(4))
def test_right_videos_raise_no_alarm(seed: int, tmp_path: Path) -> None:
    assert alarms(list(open_film(write_video(tmp_path / "a.mp4", noisy(moving(seed)))).frames())) == {}


@pytest.mark.parametrize("seed", range(3))
def test_rooms_raise_no_alarm(seed: int, tmp_path: Path) -> None:
    pictures = room_film(seed)
    assert alarms(pictures) == alarms(jpeg(pictures)) == {}
    assert alarms(list(open_film(write_video(tmp_path / "a.mp4", pictures)).frames())) == {}


def test_a_change_of_light_is_no_flicker() -> None:
    pictures = moving(0)
    assert alarms([*pictures[:K], *map(brighter, pictures[K:])]) == {}
    assert alarms([brighter(p, 1 - 0.01 * n) for n, p in enumerate(pictures)]) == {}


def test_steady_flicker_is_found_in_every_frame() -> None:
    found = alarms([brighter(p, 1.06 if n % 2 else 1.0) for n, p in enumerate(moving(0))])
    assert found.keys() == {"flicker"} and len(found["flicker"]) > 0.8 * NUM


def test_a_pause_to_the_end_is_frozen_and_standing_still_in_noise_is_judged_by_the_motion_before() -> None:
    still = [texture(0, (0, 0))] * 12
    assert frozen(look(still)).suspicious == tuple(range(1, 12))
    assert frozen(look(noisy(still))).suspicious == ()  # nothing moves, and no frame repeats the one before


def test_a_slow_motion_in_noise_is_not_frozen_though_each_of_its_changes_is_small() -> None:
    before, frames = [texture(0, (4.0 * n, 0)) for n in range(K)], range(1, NUM - K + 1)
    slow = look(noisy([*before, *(texture(0, (4.0 * (K - 1) + 0.2 * n, 0)) for n in frames)]))
    assert (slow.change[K:] < 0.1 * slow.change[K - 1]).all() and frozen(slow).suspicious == ()
    assert frozen(look(noisy([*before, *(before[-1] for _ in frames)]))).suspicious == REST


def test_colours_that_a_near_thing_brings_in_are_no_cut_where_all_moves_alike() -> None:
    ones = np.ones(12)
    seen = Look(10 * ones, 0.02 * ones, 0.1 * ones, 0 * ones, 100 * ones, ones, math.nan * ones)
    seen.recoloured[6] = 0.2
    assert cuts(seen).suspicious == ()
    seen.change[6] = 20
    assert cuts(seen).suspicious == (6,)


def test_black_frames_are_cuts_in_and_out_and_no_warning() -> None:
    pictures = moving(0)
    black = [np.zeros_like(pictures[0])] * 6
    found = alarms([*pictures[:10], *black, *pictures[16:]])
    assert found["cut"] == (10, 16) and found["frozen"] == (11, 12, 13, 14, 15)
    assert blur(look([np.zeros_like(pictures[0])] * 3)).suspicious == ()


def test_numbers_are_one_a_frame_and_what_they_say() -> None:
    pictures = moving(0)
    seen = look(pictures)
    assert all(len(check(seen).numbers) == NUM for check in CHECKS.values())
    assert [int(np.isnan(numbers).sum()) for numbers in vars(seen).values()] == [1, 1, 1, 1, 0, 0, 3]
    grey = cv2.cvtColor(pictures[4], cv2.COLOR_RGB2GRAY).astype(float)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    laplacian = cv2.filter2D(grey, -1, kernel)
    assert np.isclose(seen.sharpness[4], laplacian.var(), rtol=1e-5)
    lit = look([pictures[0], np.clip(pictures[0].astype(int) + 10, 0, 255).astype(np.uint8)])
    assert np.allclose([lit.brightened[1], lit.change[1]], 10, atol=0.2) and lit.survived[1] == 1
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:32] = 255
    assert np.isclose(look([halves, 255 - halves]).recoloured[1], 0) and look([halves, halves * 0]).recoloured[1] > 0.5


def test_thresholds_are_arguments() -> None:
    seen = look([*moving(0)[:K], brighter(moving(0)[K], 1.03), *moving(0)[K + 1 :]])
    assert flicker(seen, min_jump=2.0).suspicious == (K,) and flicker(seen, min_jump=9.0).suspicious == ()
    repeated = look(noisy([*moving(0)[:K], moving(0)[K - 1], *moving(0)[K + 1 :]]))
    assert frozen(repeated).suspicious == (K,) and frozen(repeated, max_share=0.01).suspicious == ()
    assert blur(seen, max_share=0.99).suspicious != () == blur(seen).suspicious
    cut = look([*moving(0)[:K], *moving(99)[K:]])
    assert cuts(cut).suspicious == (K,) and cuts(cut, max_survived=-1.0).suspicious == ()
    assert cuts(cut, min_cut=1000.0).suspicious == ()


@pytest.mark.parametrize("num", [0, 1])
def test_fewer_than_two_frames_are_refused(num: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 frames to compare, got {num}"):
        look(moving(0)[:num])


def test_two_frames_are_enough() -> None:
    assert alarms(moving(0)[:2]) == {}
    assert alarms([moving(0)[0]] * 2) == {"frozen": (1,)}


def test_a_return_is_told_from_another_place() -> None:
    first, near, off, other = (texture(0, s) for s in [(0, 0), (2, -2), (25, 0), (400, 0)])
    assert returns(first, first) == 1
    assert returns(first, near) > 0.99 > 0.9 > returns(first, near, reach=0)
    assert returns(first, jpeg([first])[0]) > 0.85
    assert 0 <= returns(first, other) < 0.5 and returns(first, off) < 0.5
    assert 0 <= returns(first, 255 - first) < 0.3
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, near))
    peer = structural_similarity(a, b, gaussian_weights=True, use_sample_covariance=False, data_range=255)
    assert returns(first, near, reach=0) == pytest.approx(peer)


@pytest.mark.parametrize(("a", "b"), [(SIZE, (SIZE[0], 100)), ((14, 40), (14, 40))])
def test_pictures_that_cannot_be_compared_are_refused(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="one size, of at least 15 pixels; got"):
        returns(texture(0, (0, 0), a), texture(0, (0, 0), b))


@pytest.mark.skipif(not REAL.exists(), reason="the clips of world models are not here")
@pytest.mark.parametrize("name", ["RL_sample1.mp4", "Original_sample1.mp4"])
@pytest.mark.parametrize("rows", [(0, 280), (0, 480)])
def test_clips_of_a_world_model_repeat_their_last_frame_and_nothing_else_is_wrong(
    name: str, rows: tuple[int, int]
) -> None:
    seen = look(film_of_video(REAL / name).rows(*rows).frames())
    assert {name: check(seen).suspicious for name, check in CHECKS.items() if check is not compression} == {
        "frozen": (125,),  # two pictures that differ by 0.04 grey levels, where others differ by 0.4 to 6
        "cut": (),
        "flicker": (),
        "blur": (),
    }
    assert isinstance(seen, Look) and np.nanmin(seen.survived) > 0.6
