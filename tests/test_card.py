"""The card of a dataset: a head that YAML reads, counts that are right, and whose pictures these are."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from synth.card import write_card
from synth.photo import CITATION
from synth.pipeline import GenerateConfig

ROOMS = GenerateConfig(num_scenes=2, seed=7, labels_only=True)
PHOTO = GenerateConfig(num_scenes=1, teacher="depthwarp", is_demo=True)


def make_subset(out: Path, config: GenerateConfig, tasks: list[str]) -> None:
    subset = out / config.subset
    subset.mkdir(parents=True)
    (subset / "generation.json").write_text(json.dumps({"config": asdict(config)}))
    rows = [json.dumps({"id": str(n), "task_type": task}) + "\n" for n, task in enumerate(tasks)]
    (subset / config.tasks_file).write_text("".join(rows))


@pytest.fixture
def card(tmp_path: Path) -> str:
    make_subset(tmp_path, ROOMS, ["A1", "A1", "D4", "A1"])
    make_subset(tmp_path, PHOTO, ["D2", "A1"])
    write_card(tmp_path)
    return (tmp_path / "README.md").read_text()


def head(card: str) -> dict[str, Any]:
    before, yaml_text, _ = card.split("---\n", 2)
    assert before == ""
    return yaml.safe_load(yaml_text)


def test_the_head_names_the_file_of_every_subset(card: str) -> None:
    assert head(card)["task_categories"] == ["visual-question-answering"]
    assert head(card)["configs"] == [
        {
            "config_name": "DepthWarp-RealScene-demo",
            "data_files": [{"split": "train", "path": "DepthWarp-RealScene-demo/tasks_demo.jsonl"}],
        },
        {
            "config_name": "Render-SimulatedScene",
            "data_files": [{"split": "train", "path": "Render-SimulatedScene/tasks.jsonl"}],
        },
    ]


def test_the_table_counts_each_task_of_each_subset(card: str) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line[:1] == "|"]
    assert rows == [
        ["subset", "A1", "D2", "D4", "all"],
        ["---"] * 5,
        ["DepthWarp-RealScene-demo", "1", "1", "0", "2"],
        ["Render-SimulatedScene", "3", "0", "1", "4"],
    ]


def test_the_photograph_is_credited_where_it_is_used_and_only_there(card: str, tmp_path: Path) -> None:
    about = card.index("**DepthWarp-RealScene-demo.**")
    assert CITATION in card[about : card.index("**Render-SimulatedScene.**")]
    make_subset(tmp_path / "rooms", ROOMS, ["A1"])
    write_card(tmp_path / "rooms")
    alone = (tmp_path / "rooms" / "README.md").read_text()
    assert "Middlebury" not in alone and "Simulated rooms" in alone


def test_settings_are_told_and_pictures_that_are_not_there_are_not_promised(card: str) -> None:
    photo, rooms = card[card.index("**Dep") :].split("**Render-SimulatedScene.**")
    assert "seed 7" in rooms and "num_scenes 2" in rooms and "image_size 512 512" in rooms
    assert "Labels only" in rooms and "Labels only" not in photo


def test_a_folder_without_a_dataset_has_no_card(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no dataset"):
        write_card(tmp_path)
    assert list(tmp_path.iterdir()) == []
