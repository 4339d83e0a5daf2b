"""One seed, one dataset: whatever the workers, the interruptions and the order; and what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synth import files, pipeline, writer
from synth.dataset import read_rows
from synth.files import UNKNOWN_PIXEL, depth_png, items_png, read_raster, write_whole
from synth.pipeline import GenerateConfig, generate
from synth.tasks import MAX_QUESTIONS

CONFIG = GenerateConfig(num_scenes=2, seed=11, image_size=(64, 64))


def tree(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "data"
    generate(out, CONFIG)
    return out


@pytest.fixture(scope="module")
def rows(whole):
    return list(read_rows(whole / CONFIG.subset))


def test_the_layout_is_the_contract(whole, rows):
    subset = whole / "Render-SimulatedScene"
    assert {p.name for p in whole.iterdir()} == {"README.md", "Render-SimulatedScene"}
    assert {p.name for p in subset.iterdir()} == {
        "tasks.jsonl",
        "proofs.jsonl",
        "left_out.json",
        "generation.json",
        "contents.json",
        "scenes",
    }
    task, proof = rows[0]
    assert task.keys() == {"id", "task_type", "messages", "images"}
    assert [m["role"] for m in task["messages"]] == ["user", "assistant"]
    assert task["messages"][0]["content"].count("<image>") == len(task["images"])
    assert all((subset / image).is_file() for image in task["images"])
    scene = subset / "scenes" / proof["transition"]["scene_id"]
    assert (scene / "input" / "000.png").read_bytes() == (subset / task["images"][0]).read_bytes()


def test_two_workers_write_the_same_bytes(whole, tmp_path):
    generate(tmp_path / "data", CONFIG, workers=2)
    assert tree(tmp_path / "data") == tree(whole)


@pytest.mark.parametrize("dies_at", [40, 90])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch, dies_at):
    writes = Counter()

    def dying(path, data):
        writes["n"] += 1
        if writes["n"] == dies_at:
            raise KeyboardInterrupt
        write_whole(path, data)

    for module in (files, pipeline, writer):
        monkeypatch.setattr(module, "write_whole", dying)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "data", CONFIG)
    monkeypatch.undo()
    generate(tmp_path / "data", CONFIG)
    assert tree(tmp_path / "data") == tree(whole)


def test_asking_again_changes_nothing(whole):
    before = tree(whole)
    generate(whole, CONFIG)
    assert tree(whole) == before


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    real = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def writelines(self, chunks):
            self.file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, mode="r", *args, **kwargs):
        file = real(path, mode, *args, **kwargs)
        return Full(file) if "001.png" in path.name else file

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OSError, match="No space left"):
        generate(tmp_path / "data", CONFIG)
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["generation.json"]


def test_a_task_left_out_changes_no_other(whole, rows, tmp_path):
    generate(tmp_path / "data", replace(CONFIG, tasks=("A4", "D2"), labels_only=True))
    fewer = list(read_rows(tmp_path / "data" / CONFIG.subset))
    assert fewer == [row for row in rows if row[0]["task_type"] in ("A4", "D2")]


def test_labels_alone_are_the_same_labels(whole, rows, tmp_path):
    generate(tmp_path / "data", replace(CONFIG, labels_only=True))
    assert list(read_rows(tmp_path / "data" / CONFIG.subset)) == rows
    assert not list((tmp_path / "data").rglob("*.png"))


def test_open_phrasing_keeps_to_what_the_published_reward_scores(tmp_path):
    generate(tmp_path / "data", replace(CONFIG, num_scenes=1, tasks=("D2", "D4"), phrasing="open", labels_only=True))
    for task, _ in read_rows(tmp_path / "data" / CONFIG.subset):
        if task["task_type"] in ("D2", "D4"):
            assert task["messages"][1]["content"] in ("yes", "no")


def test_no_transition_has_too_many_questions_and_ids_are_unique(rows):
    asked = Counter((p["transition"]["scene_id"], p["transition"]["traj_id"]) for _, p in rows)
    assert max(asked.values()) <= MAX_QUESTIONS
    assert len({task["id"] for task, _ in rows}) == len(rows)


def test_no_prompt_gives_the_direction_away(rows):
    for task, proof in rows:
        if task["task_type"] in ("A1", "A2", "A3", "D3"):
            prompt = task["messages"][0]["content"]
            assert proof["answer"]["actions"] not in prompt
            # Only as part of the list of all words.
            for word in ("forward", "backward"):
                assert prompt.count(word) == prompt.count("forward|backward|left|right")
            assert prompt.count("left") == prompt.count("|left|right") + prompt.count(" left|right")


def test_what_was_left_out_is_counted_with_its_cause(whole):
    left_out = json.loads((whole / CONFIG.subset / "left_out.json").read_bytes())
    assert any(cause.startswith("D2: ") for cause in left_out)
    assert all(count > 0 for count in left_out.values())


def test_rasters_say_what_is_unknown(tmp_path):
    z_depth = np.array([[1.2344, np.nan], [70.0, 0.0006]], np.float32)
    (tmp_path / "d.png").write_bytes(depth_png(z_depth))
    assert read_raster(tmp_path / "d.png").tolist() == [[1234, 0], [0, 1]]
    (tmp_path / "i.png").write_bytes(items_png(np.array([[-1, 0], [7, -2]], np.int16)))
    assert read_raster(tmp_path / "i.png").tolist() == [[0, 1], [8, UNKNOWN_PIXEL]]
    (tmp_path / "cut.png").write_bytes(depth_png(z_depth)[:-20])
    with pytest.raises(ValueError, match="truncated"):
        read_raster(tmp_path / "cut.png")


def test_contents_count_and_fingerprint_what_a_subset_holds(whole, rows):
    subset = whole / CONFIG.subset
    said = json.loads((subset / "contents.json").read_bytes())
    assert said["scenes"] == CONFIG.num_scenes
    assert said["trajectories"] == len(list(subset.glob("scenes/*/traj_*/traj.json")))
    assert said["files"].keys() == {"tasks.jsonl", "proofs.jsonl", "left_out.json", "generation.json"}
    assert said["files"]["tasks.jsonl"]["lines"] == said["files"]["proofs.jsonl"]["lines"] == len(rows)
    for name, told in said["files"].items():
        assert told["sha256"] == hashlib.sha256((subset / name).read_bytes()).hexdigest()


def test_a_readme_of_somebody_else_is_kept_and_nothing_made(whole, tmp_path):
    (tmp_path / "README.md").write_text("# My thesis\n")
    with pytest.raises(
        ValueError, match=r"README\.md is not the card of a dataset .* move it, or choose another --out"
    ):
        generate(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "# My thesis\n"


def test_refuses_a_folder_that_holds_something_else(whole, tmp_path):
    with pytest.raises(ValueError, match=r"made with seed = 11, this call has 12"):
        generate(whole, replace(CONFIG, seed=12))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        generate(tmp_path / "file", CONFIG)
    (tmp_path / "other" / CONFIG.subset).mkdir(parents=True)
    (tmp_path / "other" / CONFIG.subset / "thesis.tex").touch()
    with pytest.raises(ValueError, match="no dataset of ours"):
        generate(tmp_path / "other", CONFIG)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"num_scenes": 0}, "num_scenes must be at least 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"image_size": (0, 64)}, "32..8192"),
        ({"tasks": ("A9",)}, "got A9"),
        ({"tasks": ()}, "got none"),
        ({"teacher": "svc"}, "teacher must be one of"),
        ({"preset": "random"}, "preset must be one of"),
        ({"phrasing": "rude"}, "'mixed' or 'open'"),
    ],
)
def test_refuses_settings_that_make_no_dataset(change, reason):
    with pytest.raises(ValueError, match=reason):
        replace(CONFIG, **change)
