"""A task folder for lmms-eval, scored by the `exact` metric: its YAML, its data, and the functions that it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synth.exact import read_truth, score
from synth.export import ConvertConfig, Example
from synth.files import write_whole
from synth.formats_packed import write_table
from synth.scoring import Graded, summarise


def write_lmms_eval(out: Path, splits: Mapping[str, list[Example]], config: ConvertConfig) -> list[str]:
    """One task a split: `theodolite_<split>.yaml` and its Parquet file; `utils.py` leads back here."""
    (out / "data").mkdir()
    for name, examples in splits.items():
        write_table(out / "data" / f"{name}.parquet", examples)
        metrics = [f"exact_{task}" for task in sorted({e.task_type for e in examples})]
        write_whole(out / f"theodolite_{name}.yaml", _yaml(name, ["exact", *metrics]).encode())
    write_whole(out / "utils.py", _UTILS.encode())
    names = ",".join(f"theodolite_{name}" for name in splits)
    return [f"lmms-eval: --include_path <this folder> --tasks {names}; theodolite must be installed beside it"]


def _yaml(split: str, metrics: Sequence[str]) -> str:
    listed = "".join(
        f"  - metric: {metric}\n    aggregation: !function utils.aggregate\n    higher_is_better: true\n"
        for metric in metrics
    )
    return _YAML.format(split=split, metrics=listed)


_YAML = """task: theodolite_{split}
dataset_path: parquet
dataset_kwargs:
  data_files:
    {split}: data/{split}.parquet
test_split: {split}
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answer
process_results: !function utils.process_results
generation_kwargs:
  max_new_tokens: 256
  temperature: 0
  do_sample: false
metric_list:
{metrics}metadata:
  - version: 1.0
"""

_UTILS = '''"""What theodolite_*.yaml call: the functions of the installed package."""

from synth.formats_lmms_eval import aggregate, doc_to_text, doc_to_visual, process_results

__all__ = ["aggregate", "doc_to_text", "doc_to_visual", "process_results"]
'''


def doc_to_visual(doc: Mapping[str, Any]) -> list[Any]:
    """The pictures of a question, in the order of its prompt."""
    return [picture.convert("RGB") for picture in doc["images"]]


def doc_to_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    """The question without the marks of its pictures, which lmms-eval puts in front itself."""
    extra = lmms_eval_specific_kwargs or {}
    return extra.get("pre_prompt", "") + doc["problem"].replace("<image>\n", "") + extra.get("post_prompt", "")


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Score one answer; the same item counts for its task and for all."""
    truth = read_truth(doc["ground_truth"])
    item = {"ground_truth": doc["ground_truth"], "overall": score(truth, results[0])["overall"], "id": doc["id"]}
    return {"exact": item, f"exact_{truth.task_type}": item}


def aggregate(items: Sequence[Mapping[str, Any]]) -> float:
    """Mean with chance taken off, over tasks; 0 is guessing, 1 the truth."""
    truths = [read_truth(item["ground_truth"]) for item in items]
    rows = [
        Graded(truth.task_type, item["overall"], item["id"], truth) for truth, item in zip(truths, items, strict=True)
    ]
    return float(summarise(rows)["all"].get("corrected", 0.0))
