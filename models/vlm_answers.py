"""Many questions answered by an adapted model, batch after batch; an interrupted run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.adapter import Adapter
from models.chat import Picture, Question
from synth.bench_question import BenchQuestion
from synth.benchmarks import BENCHMARKS
from synth.dataset import read_lines
from synth.export import read_examples
from synth.files import json_bytes, only_run, write_whole
from synth.film import film_of_video


@dataclass(frozen=True)
class Asking:
    """Questions to come.

    Args:
        ids: of all, in order.
        ask: makes those at some places, and sets what the model is told with them.
        about: what the answers depend on, beside the model.
    """

    ids: Sequence[str]
    ask: Callable[[Sequence[int]], list[Question]]
    about: Mapping[str, Any]


def of_dataset(adapter: Adapter, data: Path) -> Asking:
    """All questions of a dataset, with the head's findings where the model is told them.

    Raises:
        ValueError: if there is no dataset, or it has no pictures.
    """
    examples = list(read_examples(data, adapter.unit))
    ids = [one.example_id for one in examples]
    return Asking(ids, lambda places: adapter.asked([examples[n] for n in places]), {"data": str(data.resolve())})


def of_benchmark(name: str, data: Path, frames: int) -> Asking:
    """All questions of a published benchmark. Its pictures tell no intrinsics: a head is not asked.

    Args:
        data: where it was unpacked.
        frames: of a video, evenly from its first to its last.

    Raises:
        ValueError: as the reader of the benchmark.
    """
    asked = list(BENCHMARKS[name].read(data))

    def ask(places: Sequence[int]) -> list[Question]:
        return [Question(asked[n].prompt, _pictures(asked[n], frames)) for n in places]

    return Asking([one.question_id for one in asked], ask, {"data": str(data.resolve()), "frames": frames})


def _pictures(one: BenchQuestion, frames: int) -> tuple[Picture, ...]:
    if one.video is None:
        return one.pictures
    film = film_of_video(one.video)
    wanted = set(np.linspace(0, len(film) - 1, min(frames, len(film))).round().astype(int).tolist())
    return tuple(Image.fromarray(picture) for n, picture in enumerate(film.frames()) if n in wanted)


def write_vlm_answers(
    adapter: Adapter,
    model: Path,
    asking: Asking,
    out: Path,
    *,
    batch_size: int = 8,
    most_tokens: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the answers to many questions, as `theodolite score` reads them.

    What is answered is kept beside the file until it is whole, `.NAME.begun`; the same call then goes on.

    Args:
        model: folder of the adapter; by it and by when its weights were written a begun file is known to be its.
        batch_size: questions answered at once; in half precision the answers may depend on it.
        most_tokens: of an answer.
        progress: called with (questions answered, questions in all).

    Raises:
        ValueError: if the begun file is of other answers.
        OSError: if a picture cannot be read.
    """
    begun = out.with_name(f".{out.name}.begun")
    written = max(path.stat().st_mtime_ns for path in model.rglob("*.safetensors"))
    mine = {"model": str(model.resolve()), "written_ns": written, **asking.about, "most_tokens": most_tokens}
    if not begun.is_file():
        write_whole(begun, json_bytes(mine))
    with only_run(begun), begun.open("ab") as file:
        said = _begun(begun, mine)
        left = [n for n, name in enumerate(asking.ids) if name not in said]
        for start in range(0, len(left), batch_size):
            places = left[start : start + batch_size]
            for n, text in zip(places, adapter.answers(asking.ask(places), most_tokens), strict=True):
                said[asking.ids[n]] = text
                file.write(json_bytes({"id": asking.ids[n], "response": text}))
            file.flush()
            if progress:
                progress(len(said), len(asking.ids))
    write_whole(out, (json_bytes({"id": name, "response": said[name]}) for name in asking.ids))
    begun.unlink()


def _begun(path: Path, mine: Mapping[str, Any]) -> dict[str, str]:
    """What is answered already; takes off a line that was cut short."""
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
    (_, first), *rows = read_lines(path)
    if first != mine:
        name = next(name for name in (*mine, *first) if first.get(name) != mine.get(name))
        raise ValueError(
            f"{path} was begun with {name} = {first.get(name)!r}, this call has {mine.get(name)!r}: use another --out,"
            " or remove it"
        )
    return {row["id"]: row["response"] for _, row in rows}
