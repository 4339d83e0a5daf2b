"""Films: every frame of pictures, clips and videos in order, in constant memory, and bad ones refused in one line."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from films import SIZE, film_of, moving, texture, write_video
from PIL import Image

from synth.film import Film, Picture, film_of_clip, film_of_folder, film_of_pictures, film_of_video, open_film
from synth.still_checks import look
from synth.tracks import tracks

GREYS = [np.full((48, 64, 3), 20 * n, np.uint8) for n in range(12)]


def folder_of(folder: Path, pictures: list[Picture], name: str = "frame_{}.png") -> Path:
    folder.mkdir(exist_ok=True)
    for n, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / name.format(n))
    return folder


def levels(film: Film) -> list[int]:
    return [round(float(picture.mean()) / 20) for picture in film.frames()]


def test_a_folder_is_read_by_number_as_often_as_asked(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    film = open_film(folder_of(tmp_path, GREYS))
    assert (film.size, len(film)) == ((64, 48), 12)
    assert levels(film) == levels(film) == list(range(12))  # by text, frame_10 would stand before frame_2


@pytest.mark.parametrize(("codec", "name"), [("mp4v", "a.mp4"), ("MJPG", "a.avi")])
def test_a_video_is_read_in_order_and_in_rgb(codec: str, name: str, tmp_path: Path) -> None:
    reddish = [picture // np.array([1, 2, 4], np.uint8) for picture in GREYS]
    film = open_film(write_video(tmp_path / name, reddish, codec))
    assert (film.size, len(film)) == ((64, 48), 12)
    shown = [picture.reshape(-1, 3).mean(0) for picture in film.frames()]
    assert np.allclose(shown, [picture[0, 0] for picture in reddish], atol=4)


def test_a_clip_is_its_pictures(recorded_room: Path) -> None:
    from synth.sources import read_source

    clip = read_source(recorded_room).scenes[0].clips[0]
    film = film_of_clip(clip)
    assert (len(film), film.name) == (len(clip.frames), clip.clip_id)
    for picture, frame in zip(film.frames(), clip.frames, strict=True):
        assert (picture == np.asarray(Image.open(frame.picture))).all()


def test_rows_leave_an_overlay_out() -> None:
    whole = moving(0, num=3)
    film = film_of(whole).rows(20, 100)
    assert (film.size, len(film)) == ((SIZE[0], 80), 3)
    assert all((cut == picture[20:100]).all() for cut, picture in zip(film.frames(), whole, strict=True))
    assert film.rows(10, 30).size == (SIZE[0], 20)


@pytest.mark.parametrize("rows", [(-1, 10), (10, 10), (0, SIZE[1] + 1)])
def test_rows_that_are_none_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"rows must be 0 <= first < end <= 240"):
        film_of(moving(0, num=2)).rows(*rows)


@pytest.mark.parametrize("use", [look, lambda frames: sum(1 for _ in frames), None], ids=["look", "count", "tracks"])
def test_few_frames_are_alive_at_a_time(use: Callable[[Iterator[Picture]], object] | None) -> None:
    """Counted by what is still referred to whenever another frame is made."""
    living: list[weakref.ref] = []
    most = 0

    def read() -> Iterator[Picture]:
        nonlocal most
        for n in range(30):
            most = max(most, sum(ref() is not None for ref in living))
            picture = texture(0, (2.0 * n, 0.0)).copy()
            living.append(weakref.ref(picture))
            yield picture
            del picture

    film = Film("made", SIZE, read)
    if use is None:
        assert sum(1 for _ in tracks(film)) > 1
    else:
        use(film.frames())
    assert (len(living), 1 <= most <= 2) == (30, True)


def test_a_length_that_nobody_knows_is_said() -> None:
    film = Film("a stream", (64, 48), lambda: iter(GREYS))
    assert (film.num_frames, levels(film)) == (None, list(range(12)))
    with pytest.raises(TypeError, match="a stream"):
        len(film)


def made(folder: Path, fault: str) -> Path:
    """A film with one fault."""
    if fault == "one picture":
        return folder_of(folder / "f", GREYS[:1])
    if fault == "no picture":
        return folder_of(folder / "f", [])
    if fault == "sizes":
        odd = folder_of(folder / "f", GREYS)
        Image.new("RGB", (64, 50)).save(odd / "frame_7.png")
        return odd
    path = folder / "a.mp4"
    if fault == "no video":
        path.write_text("hello")
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "one frame":
        write_video(path, GREYS[:1])
    elif fault == "cut short":
        whole = write_video(path, GREYS).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif fault == "half of it":
        whole = write_video(path := folder / "a.avi", GREYS * 4, "MJPG").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    return path


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("one picture", r"at least 2 frames.*found: 1"),
        ("no picture", r"at least 2 frames.*found: 0"),
        ("sizes", r"frame_7\.png has 64 x 50 pixels and frame_0\.png 64 x 48"),
        ("missing", r"the video .*a\.mp4 is missing"),
        ("no video", r"a\.mp4 is no video"),
        ("empty", r"a\.mp4 is no video"),
        ("cut short", r"a\.mp4 is no video.*truncated"),
        ("one frame", r"at least 2 frames.*decoded: 1"),
        ("half of it", r"states 48 frames, but only \d+ can be decoded; is it truncated"),
    ],
)
def test_a_bad_film_is_refused_in_one_line(fault: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        open_film(made(tmp_path, fault))
    assert "\n" not in str(refused.value)


def test_a_truncated_picture_is_refused_when_it_is_its_turn(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [texture(n, (0, 0)) for n in range(3)])
    whole = (folder / "frame_1.png").read_bytes()
    (folder / "frame_1.png").write_bytes(whole[: len(whole) // 2])
    film = film_of_folder(folder)
    with pytest.raises(ValueError, match=r"frame_1\.png is no whole picture"):
        list(film.frames())


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    paths = sorted(folder_of(tmp_path, GREYS[:3]).iterdir())
    with pytest.raises(ValueError, match=r"gone\.png is missing"):
        film_of_pictures([*paths, tmp_path / "gone.png"], "a clip")


@pytest.mark.parametrize("odd", [np.zeros((50, 64, 3), np.uint8), np.zeros((48, 64, 3)), np.zeros((48, 64), np.uint8)])
def test_a_frame_of_another_form_is_refused(odd: np.ndarray) -> None:
    with pytest.raises(ValueError, match="frame 2 is"):
        list(Film("mixed", (64, 48), lambda: iter([*GREYS[:2], odd]), 3).frames())


def test_a_film_that_ends_early_is_refused() -> None:
    with pytest.raises(ValueError, match="must have 12 frames, but gave 11"):
        list(Film("short", (64, 48), lambda: iter(GREYS[:-1]), 12).frames())


def test_nothing_but_the_one_line_is_said_of_a_bad_video(tmp_path: Path) -> None:
    bad = made(tmp_path, "cut short")
    code = f"from synth.film import *\ntry: film_of_video(Path({str(bad)!r}))\nexcept ValueError: print('refused')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_a_video_is_closed_by_who_stops_early(tmp_path: Path) -> None:
    frames = film_of_video(write_video(tmp_path / "a.mp4", GREYS)).frames()
    next(frames)
    frames.close()
    assert next(frames, None) is None
