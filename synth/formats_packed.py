"""Conversions with the pictures inside: WebDataset shards, and Parquet as the `datasets` library reads it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.export import ConvertConfig, Example
from synth.files import json_bytes, write_whole

if TYPE_CHECKING:
    import pyarrow

SHARD = 2000
"""Questions of a shard or Parquet file."""


def write_webdataset(out: Path, splits: Mapping[str, list[Example]], config: ConvertConfig) -> list[str]:
    """Tar shards: `<key>.0.png`, `<key>.1.png` and `<key>.json` of a question, next to each other."""
    for name, examples in splits.items():
        for number, part in enumerate(_parts(examples)):
            _write_shard(out / f"{name}-{number:06d}.tar", part)
    return ["WebDataset: <split>-{000000..N}.tar; questions have one picture or two, so a key may lack 1.png"]


def _write_shard(path: Path, examples: Sequence[Example]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for example in examples:
            for number, picture in enumerate(example.pictures):
                _add(tar, f"{example.example_id}.{number}.png", picture.read_bytes())
            _add(tar, f"{example.example_id}.json", json_bytes(_row(example)))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # A fresh TarInfo has no owner and time 0: the same bytes whoever converts, and when.
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_parquet(out: Path, splits: Mapping[str, list[Example]], config: ConvertConfig) -> list[str]:
    """Parquet files with embedded pictures, and a card that names the splits."""
    (out / "data").mkdir()
    for name, examples in splits.items():
        parts = list(_parts(examples))
        for number, part in enumerate(parts):
            write_table(out / "data" / f"{name}-{number:05d}-of-{len(parts):05d}.parquet", part)
    write_whole(out / "README.md", _card(splits).encode())
    return ["datasets: load_dataset(<this folder>); the column images decodes to pictures"]


def write_table(path: Path, examples: Sequence[Example]) -> None:
    """One Parquet file of questions.

    Raises:
        ValueError: if pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError("Parquet needs pyarrow: pip install 'theodolite[export]'") from None
    rows = [_row(example) | {"images": _pictures(example)} for example in examples]
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema(pa)), path, compression="zstd")


def _pictures(example: Example) -> list[dict[str, Any]]:
    named = zip(example.pictures, example.picture_names, strict=True)
    return [{"bytes": picture.read_bytes(), "path": Path(name).name} for picture, name in named]


_TEXTS = ("id", "task_type", "variant", "problem", "answer", "ground_truth", "proof")
_SIZES = ("width", "height")


def _schema(pa: Any) -> pyarrow.Schema:
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    fields = [(name, pa.string()) for name in _TEXTS] + [(name, pa.int32()) for name in _SIZES]
    fields += [("messages", pa.list_(message)), ("images", pa.list_(picture))]
    info = {"info": {"features": _features()}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(info)})


def _features() -> dict[str, Any]:
    """Types as the `datasets` library keeps them beside a schema; without them pictures stay bytes."""
    text = {"dtype": "string", "_type": "Value"}
    listed = {"messages": {"role": text, "content": text}, "images": {"_type": "Image"}}
    return (
        dict.fromkeys(_TEXTS, text)
        | dict.fromkeys(_SIZES, {"dtype": "int32", "_type": "Value"})
        | {name: {"feature": feature, "_type": "List"} for name, feature in listed.items()}
    )


def _row(example: Example) -> dict[str, Any]:
    task, proof = example.row
    return {
        "id": example.example_id,
        "task_type": example.task_type,
        "variant": proof["variant"],
        "problem": example.prompt,
        "answer": example.answer,
        "ground_truth": example.ground_truth,
        "width": example.image_size[0],
        "height": example.image_size[1],
        "messages": [
            {"role": "user", "content": example.prompt},
            {"role": "assistant", "content": example.answer},
        ],
        "proof": json.dumps(proof, ensure_ascii=False),
    }


def _card(splits: Mapping[str, list[Example]]) -> str:
    files = [f"  - split: {name}\n    path: data/{name}-*" for name, some in splits.items() if some]
    counts = [f"| {name} | {len(some)} | {len({e.scene for e in some})} |" for name, some in splits.items()]
    return "\n".join([_CARD_HEAD, *files, _CARD_LEAD, *counts, "", _CARD_TAIL])


_CARD_HEAD = """---
license: other
task_categories:
- visual-question-answering
configs:
- config_name: default
  data_files:"""

_CARD_LEAD = """---
# Spatial questions with exact answers

Converted by Theodolite. Splits share no scene.

| split | questions | scenes |
|---|---|---|"""

_CARD_TAIL = """Columns: `problem` (one `<image>` for each picture), `answer`, `messages` (the same as an exchange),
`images`, `ground_truth` (what `theodolite score` and the reward functions read), `proof` (JSON: the typed answer and
all that decides it, true pixel boxes among it).
"""


def _parts(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), SHARD):
        yield examples[start : start + SHARD]
