"""A question of a published benchmark, and the tables that benchmarks come in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Made = TypeVar("Made")

Picture = bytes | Path
"""Encoded picture, or the file that holds one."""


@dataclass(frozen=True)
class BenchQuestion:
    """One question as a model is asked it."""

    question_id: str
    category: str
    prompt: str
    gold: str
    pictures: tuple[Picture, ...] = ()
    video: Path | None = None


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, with the columns asked for.

    Raises:
        ValueError: if pyarrow is missing, the file is damaged, or a column is missing.
    """
    file = _open_parquet(path)
    check_fields(path, file.schema_arrow.names, columns)
    for batch in file.iter_batches(batch_size=64, columns=list(columns)):
        yield from batch.to_pylist()


def parquet_fields(path: Path) -> list[str]:
    """Names of the columns of a Parquet file; raises as `read_parquet`."""
    return list(_open_parquet(path).schema_arrow.names)


def _open_parquet(path: Path) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError("Parquet needs pyarrow: pip install 'theodolite[export]'") from None
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is no Parquet file: {error}") from None


def check_fields(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        ValueError: if one of `wanted` is not in `found`; the text names both.
    """
    if missing := [name for name in wanted if name not in found]:
        raise ValueError(
            f"{path} must have the fields {', '.join(wanted)}; {', '.join(missing)} not among {sorted(found)}"
        )


def checked(path: Path, number: int, make: Callable[[], Made]) -> Made:
    """What is made of a row, whose fields may hold anything.

    Raises:
        ValueError: as `make`, or with the place where a field is of the wrong kind.
    """
    try:
        return make()
    except (TypeError, AttributeError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} row {number} has a field of the wrong kind: {error}") from None


def cell_bytes(path: Path, number: int, cell: Any) -> bytes:
    """The picture in a cell: bytes, or a struct with bytes.

    Raises:
        ValueError: if there is none.
    """
    data = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if not isinstance(data, bytes):
        raise ValueError(f"{path} row {number} must embed its pictures, got {type(data).__name__}")
    return data
