"""MindCube (Yin et al. 2025): multiple choice about a place from two to four views of it.

Prompt, extraction and grouping as in the authors' evaluation (mll-lab-nu/MindCube, prompt templates at 8f7cbe9,
extractors at 8650074).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synth.bench_question import BenchQuestion, check_fields, checked
from synth.dataset import read_lines

SETTINGS = ("around", "rotation", "translation", "among", "other")
FIELDS = ("id", "question", "images", "gt_answer")
FILES = ("MindCube_tinybench.jsonl", "MindCube.jsonl")

_PROMPT = """[Task]
Your task is to analyze the spatial arrangement of objects in the scene by examining the provided images, which show \
the scene from different viewpoints.
[Answer Instruction]
You only need to provide *ONE* correct answer selecting from the options listed below. For example, if you think the \
correct answer is 'A. Above' from 'A. Above B. Under C. Front D. Behind', your response should **only** be \
'<answer>A. Above</answer>'.

[Question]
{question}"""


def read(path: Path) -> Iterator[BenchQuestion]:
    """Questions from `MindCube_tinybench.jsonl` (or another of its files), or a folder above it.

    Pictures lie where the benchmark's archive has them: beside the folder `raw` that holds the questions.

    Raises:
        ValueError: if there is no such file, or a row is not in the benchmark's format.
    """
    file = _file(path)
    for number, row in read_lines(file):
        check_fields(file, list(row), FIELDS)
        yield checked(file, number, lambda row=row, number=number: _question(file, number, row))


def _file(path: Path) -> Path:
    places = [path] if path.is_file() else [f for name in FILES for f in sorted(path.glob(f"**/{name}"))]
    if not places:
        raise ValueError(f"{path} must hold {' or '.join(FILES)}, also in folders below it, and holds neither")
    return places[0]


def _question(file: Path, number: int, row: Mapping[str, Any]) -> BenchQuestion:
    if row["gt_answer"] not in tuple("ABCDE"):
        raise ValueError(f"{file} line {number}: gt_answer must be a letter A to E, got {row['gt_answer']!r}")
    root = file.parent.parent if file.parent.name == "raw" else file.parent
    pictures = tuple(root / name for name in row["images"])
    prompt = _PROMPT.format(question=row["question"])
    return BenchQuestion(str(row["id"]), setting_of(str(row["id"])), prompt, row["gt_answer"], pictures)


def setting_of(question_id: str) -> str:
    """The setting that an id names.

    >>> setting_of("among_group693_q1_5_2")
    'among'
    """
    return next((setting for setting in SETTINGS if setting in question_id.lower()), "other")


def score(question: BenchQuestion, response: str) -> float:
    """Right or wrong, by the letter that the authors' extraction finds."""
    return float(extract_letter(response) == question.gold)


_IN_TAG = (r"[Mm]y answer is ([A-E])", r"[Tt]he answer is ([A-E])", r"(?:Answer: )?([A-E])\.", r"\b([A-E])\b")
_ANYWHERE = (
    r"(?:Answer: )?([A-E])\. [A-Za-z0-9 \-\(\)'\",]+(?=(?:\n|$|\.|\"))",
    r"(?:Answer: )?([A-E])\. [A-Za-z0-9 \-\(\)'\"]+",
    r"(?:Answer: )?([A-E])(?:\.|$|\s)",
    r"(?:^|\n)(?:Answer: )?([A-E])(?:\.|$|\s)",
    r"[\*\"]([A-E])[\*\"]",
    r"\bAnswer:?\s*([A-E])\b",
    r"[Mm]y answer is ([A-E])",
    r"answer is ([A-E])",
)


def extract_letter(response: str) -> str | None:
    """The letter a response answers with: the last match of the first pattern that fits, case kept.

    >>> extract_letter("<answer>A. Above</answer>"), extract_letter("The answer is B, since A is wrong")
    ('A', 'A')
    """
    if not response:
        return None
    if dotted := re.findall(r"([A-E])\.", response):
        return dotted[-1]
    tag = re.search(r"<Answer>(.*?)(?:<|$)", response, re.DOTALL)
    if tag and (found := _last(_IN_TAG, tag[1])):
        return found
    if found := _last(_ANYWHERE, response):
        return found
    for line in reversed(response.strip().split("\n")):
        if letter := re.search(r"\b([A-E])\b", line):
            return letter[1]
    return None


def _last(patterns: tuple[str, ...], text: str) -> str | None:
    for pattern in patterns:
        if found := re.findall(pattern, text):
            return found[-1]
    return None


def overall(by_category: Mapping[str, list[float]]) -> tuple[dict[str, float], float]:
    """Accuracy by setting, and over all questions but those of translation, which the authors leave out."""
    figures = {setting: sum(scores) / len(scores) for setting, scores in by_category.items()}
    every = [value for setting, scores in by_category.items() if setting != "translation" for value in scores]
    return figures, sum(every) / len(every) if every else 0.0
