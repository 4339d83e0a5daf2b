"""Lines of a dataset: read in pairs, and refused in one clear line where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth.dataset import count_lines, read_lines, read_rows


def write_lines(folder: Path, tasks: int, proofs: int) -> Path:
    for name, count in (("tasks.jsonl", tasks), ("proofs.jsonl", proofs)):
        (folder / name).write_text("".join(json.dumps({"id": n}) + "\n" for n in range(count)))
    return folder


def test_rows_are_pairs_of_the_same_line(tmp_path: Path) -> None:
    write_lines(tmp_path, 3, 3)
    assert list(read_rows(tmp_path)) == [({"id": n}, {"id": n}) for n in range(3)]
    assert list(read_rows(tmp_path, {2})) == [({"id": 1}, {"id": 1})]


@pytest.mark.parametrize("tasks, proofs", [(2, 3), (3, 2), (0, 1)])
def test_files_of_different_length_are_refused_by_name_and_count(tmp_path: Path, tasks: int, proofs: int) -> None:
    write_lines(tmp_path, tasks, proofs)
    with pytest.raises(ValueError, match=rf"tasks\.jsonl has {tasks} lines and .*proofs\.jsonl has {proofs}: every"):
        list(read_rows(tmp_path))


def test_a_byte_that_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1}\n{"id": "\xff"}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl line 2 is no UTF-8: byte 9 is 0xff"):
        list(read_lines(tmp_path / "a.jsonl"))


def test_a_last_line_counts_without_its_break(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2")
    assert count_lines(tmp_path / "a") == 2
