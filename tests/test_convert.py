"""`theodolite convert`: nothing lost, no scene in two splits, the same bytes twice, and each format read back."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from synth.box_units import FAMILIES
from synth.dataset import Row, find_subsets, read_rows
from synth.exact import read_truth, score
from synth.export import ConvertConfig, read_examples
from synth.formats import FORMATS, convert_to
from synth.formats_lmms_eval import aggregate, doc_to_text, doc_to_visual, process_results
from theodolite.cli import main

SPLITS = "train=0.5,grpo=0.25,test=0.25"


@pytest.fixture(scope="module")
def converted(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small dataset in every format."""
    root = tmp_path_factory.mktemp("converted")
    for name in FORMATS:
        convert_to(small_dataset, root / name, ConvertConfig(to=name, splits=SPLITS))
    return {name: root / name for name in FORMATS}


@pytest.fixture(scope="module")
def source(small_dataset: Path) -> dict[str, Row]:
    return {row[0]["id"]: row for subset in find_subsets(small_dataset) for row in read_rows(subset)}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_of(name: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(split, row) of a conversion, by the library that reads it where there is one."""
    if name in ("sharegpt", "ms-swift", "easyr1"):
        for path in sorted(folder.glob("*.jsonl")):
            yield from ((path.stem, row) for row in lines(path))
    elif name == "webdataset":
        for path in sorted(folder.glob("*.tar")):
            yield from ((path.stem.split("-")[0], sample["json"] | {"sample": sample}) for sample in samples(path))
    else:
        import datasets

        data = {p.stem.split("-")[0]: str(p) for p in sorted(folder.glob("data/*.parquet"))}
        loaded = datasets.load_dataset("parquet", data_files=data, cache_dir=str(folder.parent / f"{name}-cache"))
        yield from ((split, row) for split in loaded for row in loaded[split])


def samples(path: Path) -> list[dict[str, Any]]:
    """A shard by the parts of the library; its whole reader leaves files open, which is an error here."""
    import webdataset
    from webdataset.tariterators import group_by_keys, tar_file_expander

    with path.open("rb") as stream:
        shard = {"url": str(path), "stream": stream}
        return list(webdataset.decode("pil")(group_by_keys(tar_file_expander([shard]))))


@pytest.mark.parametrize("name", FORMATS)
def test_no_question_is_lost_and_no_scene_is_in_two_splits(name: str, converted, source) -> None:
    found = list(rows_of(name, converted[name]))
    assert sorted(row["id"] for _, row in found) == sorted(source)
    scenes = Counter()
    for scene, _ in {(source[row["id"]][1]["transition"]["scene_id"], split) for split, row in found}:
        scenes[scene] += 1
    assert len(scenes) == 4 and set(scenes.values()) == {1}
    assert {split for split, _ in found} == {"train", "grpo", "test"}


@pytest.mark.parametrize("name", FORMATS)
def test_converting_twice_gives_the_same_bytes(name: str, converted, small_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    for _ in range(2):  # into an empty place, then over what is there
        convert_to(small_dataset, out, ConvertConfig(to=name, splits=SPLITS))
        assert tree(out) == tree(converted[name])
    assert not list(tmp_path.glob(".*"))


def answer_of(row: dict[str, Any]) -> str:
    return row["messages"][1]["content"]


@pytest.mark.parametrize("name", ["sharegpt", "webdataset", "parquet", "lmms-eval"])
def test_words_and_answers_are_those_of_the_dataset(name: str, converted, source) -> None:
    for _, row in rows_of(name, converted[name]):
        task, proof = source[row["id"]]
        assert row["messages"] == task["messages"]
        if name != "sharegpt":
            assert json.loads(row["proof"]) == proof
            assert score(read_truth(row["ground_truth"]), row["answer"]) == {"overall": 1.0}


def test_sharegpt_is_as_llama_factory_reads_it(converted) -> None:
    folder = converted["sharegpt"]
    info = json.loads((folder / "dataset_info.json").read_text())
    assert set(info) == {"theodolite_train", "theodolite_grpo", "theodolite_test"}
    for entry in info.values():
        # A key left out of columns or tags counts as absent there, so each that is used must stand here.
        assert entry["formatting"] == "sharegpt" and entry["columns"] == {"messages": "messages", "images": "images"}
        assert entry["tags"]["assistant_tag"] == "assistant" and entry["tags"]["content_tag"] == "content"
        for row in lines(folder / entry["file_name"]):
            assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
            text = "".join(m["content"] for m in row["messages"])
            assert text.count("<image>") == len(row["images"]) in (1, 2)
            assert all((folder / image).is_file() for image in row["images"])


def test_pictures_are_those_of_the_dataset_once_each_and_never_links_to_it(converted, source, small_dataset) -> None:
    folder, subset = converted["sharegpt"], find_subsets(small_dataset)[0]
    originals = {path.stat().st_ino for path in small_dataset.rglob("*.png")}
    for _, row in rows_of("sharegpt", folder):
        for copy, original in zip(row["images"], source[row["id"]][0]["images"], strict=True):
            assert (folder / copy).read_bytes() == (subset / original).read_bytes()
            assert (folder / copy).stat().st_ino not in originals
    anchors = {path.stat().st_ino for path in folder.glob("images/*/*/*_000.png")}
    assert len(anchors) == 4


def test_swift_has_a_placeholder_for_every_box_and_its_true_pixels(converted, source) -> None:
    with_boxes = 0
    for _, row in rows_of("ms-swift", converted["ms-swift"]):
        text = "".join(message["content"] for message in row["messages"])
        assert text.count("<image>") == len(row["images"])
        objects = row.get("objects", {"bbox": [], "image_id": []})
        assert text.count("<bbox>") == len(objects["bbox"]) == len(objects["image_id"])
        assert all(image < len(row["images"]) for image in objects["image_id"])
        proof = source[row["id"]][1]
        assert objects["bbox"] == [box["box_px"] for box in proof["boxes"]]
        assert "thousandths" not in text and "[x1" not in text
        if objects["bbox"]:
            assert objects["bbox_type"] == "real"
            with_boxes += 1
    assert with_boxes > 20


def test_swift_placeholders_filled_in_give_the_question_of_the_dataset(converted, source) -> None:
    """What ms-swift does: boxes from left to right, scaled by the size of their picture, here to thousandths."""
    for _, row in rows_of("ms-swift", converted["ms-swift"]):
        task, proof = source[row["id"]]
        width, height = proof["transition"]["image_size"]
        for box in row.get("objects", {"bbox": []})["bbox"]:
            scaled = [round(v / s * 1000) for v, s in zip(box, (width, height) * 2, strict=True)]
            for message in row["messages"]:
                if "<bbox>" in message["content"]:
                    message["content"] = message["content"].replace("<bbox>", str(scaled), 1)
                    break
        numbers = [str(box) for box in (proof["asked"].get("box"), proof["asked"].get("box_after")) if box]
        assert all(number in row["messages"][0]["content"] for number in numbers)
        if task["task_type"] == "D1":
            assert answer_of(row) == answer_of(task)


def test_easyr1_carries_what_the_reward_reads(converted, source) -> None:
    for _, row in rows_of("easyr1", converted["easyr1"]):
        assert row["problem"] == source[row["id"]][0]["messages"][0]["content"]
        assert row["problem"].count("<image>") == len(row["images"])
        truth = json.loads(row["answer"])
        assert truth["task_type"] == row["task_type"]
        assert score(read_truth(row["answer"]), truth["answer"]) == {"overall": 1.0}


def test_embedded_pictures_decode_to_those_of_the_dataset(converted, source, small_dataset) -> None:
    subset = find_subsets(small_dataset)[0]
    for _, row in rows_of("parquet", converted["parquet"]):
        originals = [Image.open(subset / name) for name in source[row["id"]][0]["images"]]
        assert [p.tobytes() for p in row["images"]] == [p.tobytes() for p in originals]
        assert (row["width"], row["height"]) == row["images"][0].size
    for _, row in rows_of("webdataset", converted["webdataset"]):
        pictures = [row["sample"][key] for key in ("0.png", "1.png") if key in row["sample"]]
        originals = [Image.open(subset / name) for name in source[row["id"]][0]["images"]]
        assert [p.tobytes() for p in pictures] == [p.tobytes() for p in originals]


def test_the_card_names_the_splits_as_datasets_reads_them(converted) -> None:
    import datasets

    folder = converted["parquet"]
    loaded = datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "card-cache"))
    assert set(loaded) == {"train", "grpo", "test"}
    assert isinstance(loaded["train"].features["images"].feature, datasets.Image)


def test_the_lmms_eval_task_has_what_the_harness_asks_for(converted) -> None:
    folder = converted["lmms-eval"]

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    functions: dict[str, Any] = {}
    exec((folder / "utils.py").read_text(), functions)
    for path in folder.glob("*.yaml"):
        config = yaml.load(path.read_text(), Loader)  # noqa: S506  (the loader is a safe one)
        assert config["task"] == path.stem and config["dataset_path"] == "parquet"
        assert (folder / config["dataset_kwargs"]["data_files"][config["test_split"]]).is_file()
        named = [config[key] for key in ("doc_to_visual", "doc_to_text", "process_results")]
        named += [metric["aggregation"] for metric in config["metric_list"]]
        assert all(callable(functions[name.removeprefix("utils.")]) for name in named)


def test_the_lmms_eval_functions_score_the_truth_one_and_one_answer_for_all_nothing(converted) -> None:
    rows = [row for split, row in rows_of("lmms-eval", converted["lmms-eval"]) if split == "train"]
    assert all("<image>" not in doc_to_text(row) for row in rows)
    assert doc_to_text(rows[0], {"pre_prompt": "Look. ", "post_prompt": " Go."}).startswith("Look. Between")
    assert [p.mode for p in doc_to_visual(rows[0])] == ["RGB", "RGB"]
    right = [process_results(row, [row["answer"]]) for row in rows]
    assert aggregate([found["exact"] for found in right]) == pytest.approx(1)
    assert set(right[0]) == {"exact", f"exact_{rows[0]['task_type']}"}
    claims = [process_results(row, ["true"])["exact_A4"] for row in rows if row["task_type"] == "A4"]
    assert aggregate(claims) == pytest.approx(0)


def test_boxes_are_in_pixels_of_the_resized_picture_for_qwen25(small_dataset: Path, tmp_path: Path, source) -> None:
    done = convert_to(
        small_dataset, tmp_path / "q", ConvertConfig("sharegpt", splits="whole=1", model_family="qwen2.5-vl")
    )
    assert any("image_max_pixels" in line for line in done.advice)
    unit = FAMILIES["qwen2.5-vl"]
    for row in lines(tmp_path / "q" / "whole.jsonl"):
        boxes = source[row["id"]][1]["boxes"]
        texts = [str(list(unit.write(box["box_px"], 96, 80))) for box in boxes]
        text = row["messages"][0]["content"] + row["messages"][1]["content"]
        assert all(written in text for written in texts)
        assert ("in pixels of the image" in text) == bool(boxes) and "thousandths" not in text
        assert not boxes or texts[0] != str(source[row["id"]][1]["asked"]["box"])


def test_a_split_can_be_limited_per_task_and_says_what_it_left_out(small_dataset: Path, tmp_path: Path) -> None:
    config = ConvertConfig("easyr1", splits="sft=0.5,grpo=0.5", per_task="grpo=3")
    done = convert_to(small_dataset, tmp_path / "out", config)
    assert max(done.counts["grpo"].values()) == 3
    everything = sum(1 for _ in read_examples(small_dataset, FAMILIES["generic"]))
    assert done.left_out["grpo: more than 3 of a task"] == everything - sum(c.total() for c in done.counts.values())
    settings = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert settings["counts"]["grpo"] == dict(sorted(done.counts["grpo"].items()))
    assert settings["left_out"] == dict(done.left_out)
    assert settings["how_to_use"] == done.advice and any("reward_function" in line for line in done.advice)


def refusal(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main(["convert", *map(str, argv)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_bad_options_are_refused_and_leave_nothing(capsys, small_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    base = (small_dataset, "--to", "sharegpt", "--out", out)
    assert "did you mean --splits?" in refusal(capsys, *base, "--split", "a=1")
    assert "cannot be split 5 ways" in refusal(capsys, *base, "--splits", "a=0.2,b=0.2,c=0.2,d=0.2,e=0.2")
    assert "add up to 1" in refusal(capsys, *base, "--splits", "a=0.2")
    assert "per-task reads split=N" in refusal(capsys, *base, "--per-task", "grpo=125")
    assert "per-task reads split=N" in refusal(capsys, *base, "--per-task", "train=0")
    assert "thousandths whatever" in refusal(capsys, *base, "--max-pixels", 10**6)
    assert "leave --model-family out" in refusal(
        capsys, small_dataset, "--to", "ms-swift", "--out", out, "--model-family", "qwen2.5-vl"
    )
    assert "beside the dataset" in refusal(capsys, small_dataset, "--to", "sharegpt", "--out", small_dataset)
    assert "beside the dataset" in refusal(capsys, small_dataset, "--to", "sharegpt", "--out", small_dataset.parent)
    inside = small_dataset / "Render-SimulatedScene" / "scenes" / "conv"
    assert "beside the dataset" in refusal(capsys, small_dataset, "--to", "sharegpt", "--out", inside)
    assert "no dataset at" in refusal(capsys, tmp_path / "none", "--to", "sharegpt", "--out", out)
    assert not out.exists() and not list(tmp_path.glob(".*"))


def test_somebody_elses_folder_is_refused_and_kept(capsys, small_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    assert "not ours to replace" in refusal(capsys, small_dataset, "--to", "sharegpt", "--out", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    file = tmp_path / "thesis.txt"
    assert "is a file" in refusal(capsys, small_dataset, "--to", "sharegpt", "--out", file)


def test_a_dataset_without_pictures_is_refused(capsys, tmp_path: Path) -> None:
    assert main(["generate", "--out", str(tmp_path / "d"), "--num-scenes", "1", "--labels-only", "--workers", "1"]) == 0
    capsys.readouterr()
    text = refusal(capsys, tmp_path / "d", "--to", "sharegpt", "--out", tmp_path / "o", "--splits", "whole=1")
    assert "trainers need the pictures; it was made with --labels-only" in text


def test_a_conversion_that_fails_leaves_what_was_there(small_dataset: Path, tmp_path: Path, monkeypatch) -> None:
    out, config = tmp_path / "out", ConvertConfig("sharegpt", splits="whole=1")
    convert_to(small_dataset, out, config)
    before = tree(out)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synth.export.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        convert_to(small_dataset, out, config)
    assert tree(out) == before and os.listdir(tmp_path) == ["out"]


def test_the_command_tells_counts_and_how_to_use_them(capsys, small_dataset: Path, tmp_path: Path) -> None:
    argv = ["convert", str(small_dataset), "--to", "easyr1", "--out", str(tmp_path / "o"), "--splits", "a=0.5,b=0.5"]
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "a: " in text and "reward_function" in text
    assert main([*argv, "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert set(payload["questions"]) == {"a", "b"} and payload["to"] == "easyr1"


def test_parquet_says_what_to_install_where_it_is_missing(small_dataset: Path, tmp_path: Path, monkeypatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'theodolite\[export\]'"):
        convert_to(small_dataset, tmp_path / "out", ConvertConfig("parquet", splits="whole=1"))
    assert not (tmp_path / "out").exists()
