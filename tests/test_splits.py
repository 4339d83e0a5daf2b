"""Scenes never part, splits never meet, shares are kept, and the same seed gives the same split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.splits import DEFAULT, assign_splits, parse_splits, pick_per_task, scene_key

SHARES = st.lists(st.integers(1, 20), min_size=1, max_size=5).map(
    lambda parts: {f"s{i}": part / sum(parts) for i, part in enumerate(parts)}
)


@given(st.integers(5, 200), SHARES, st.integers(0, 5))
def test_every_scene_is_in_one_split_and_shares_are_kept_to_a_scene(count: int, shares, seed: int) -> None:
    scenes = [f"scene {i}" for i in range(count)]
    split = assign_splits(scenes + scenes, shares, seed)
    assert set(split) == set(scenes)
    sizes = Counter(split.values())
    assert set(sizes) == set(shares)
    for name, share in shares.items():
        # A split that would have none takes its one scene from the others.
        assert sizes[name] == 1 or abs(sizes[name] - share * count) < len(shares)
        if share * count >= 1:
            assert sizes[name] >= int(share * count) - (len(shares) - 1)


def test_shares_that_fit_are_met_exactly() -> None:
    sizes = Counter(assign_splits(map(str, range(100)), DEFAULT).values())
    assert sizes == {"train": 80, "validation": 10, "test": 10}
    assert Counter(assign_splits(map(str, range(7)), DEFAULT).values()) == {"train": 5, "validation": 1, "test": 1}


def test_the_order_of_scenes_does_not_matter_and_the_seed_does() -> None:
    scenes = [str(i) for i in range(50)]
    assert assign_splits(scenes, DEFAULT) == assign_splits(reversed(scenes), DEFAULT)
    assert assign_splits(scenes, DEFAULT, seed=1) != assign_splits(scenes, DEFAULT)


def test_fewer_scenes_than_splits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 different scenes cannot be split 3 ways \(train, validation, test\)"):
        assign_splits(["a", "b", "a"], DEFAULT)


def key_of(folder: Path, scene: dict[str, str], picture: bytes) -> str:
    (folder / "input").mkdir(parents=True)
    (folder / "scene.json").write_text(json.dumps(scene))
    (folder / "input" / "000.png").write_bytes(picture)
    return scene_key(folder)


def test_the_key_of_a_scene_is_what_it_shows(tmp_path: Path) -> None:
    pictures = {"a": b"one", "b": b"one", "c": b"two"}
    keys = [key_of(tmp_path / name, {"type": "photo"}, picture) for name, picture in pictures.items()]
    assert keys[0] == keys[1] != keys[2]


def test_all_cameras_in_one_mesh_file_have_one_key(tmp_path: Path) -> None:
    meshes = {"a": ("AAAA", "BBBB"), "b": ("AAAA", "BBBB"), "c": ("AAAB", "BBBB"), "d": ("AAAA", "BBBA")}
    keys = [
        key_of(tmp_path / name, {"type": "mesh", "vertices": v, "triangles": t}, name.encode())
        for name, (v, t) in meshes.items()
    ]
    assert keys[0] == keys[1] and len(set(keys)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name=share"),
        ("train", "above 0"),
        ("train=x", "above 0"),
        ("train=nan", "above 0"),
        ("train=0,test=1", "above 0"),
        ("train=0.5,train=0.5", "each lower-case name once"),
        ("all=1", "cannot be called all"),
        ("Train=1", "each lower-case name once"),
        ("../x=1", "each lower-case name once"),
        ("train=0.5,test=0.4", "must add up to 1, got 0.9"),
    ],
)
def test_splits_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_splits(text)


def test_splits_are_read_in_their_order() -> None:
    assert list(parse_splits("test=0.25, train=0.75").items()) == [("test", 0.25), ("train", 0.75)]


def test_so_many_of_each_task_are_picked_with_yes_and_no_alike() -> None:
    questions = [(f"q{i}", "D2", "yes" if i % 3 else "no") for i in range(90)]
    questions += [(f"a{i}", "A1", "") for i in range(40)] + [("b", "A2", "")]
    picked = pick_per_task(questions, 20, lambda question: question)
    counts = Counter((task, answer) for _, task, answer in picked)
    assert counts == {("D2", "yes"): 10, ("D2", "no"): 10, ("A1", ""): 20, ("A2", ""): 1}
    assert picked == [question for question in questions if question in picked]
    assert picked == pick_per_task(questions, 20, lambda question: question)
    assert picked != pick_per_task(questions, 20, lambda question: question, seed=1)


def test_where_one_answer_is_rare_the_other_fills_up() -> None:
    questions = [(f"q{i}", "D2", "yes" if i < 2 else "no") for i in range(50)]
    picked = pick_per_task(questions, 20, lambda question: question)
    assert Counter(answer for *_, answer in picked) == {"yes": 2, "no": 18}
