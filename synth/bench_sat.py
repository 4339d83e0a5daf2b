"""SAT (Ray et al. 2024, "Spatial Aptitude Training"): multiple choice about one or two pictures, asked in every order.

Prompt and scoring as in the authors' later evaluation (arijitray1993/mull 12af6ea, task sat_real): each question is
asked once for every place that the right answer can have among the choices, and the score is the mean over all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from synth.bench_question import BenchQuestion, cell_bytes, checked, parquet_fields, read_parquet

FIELDS = ("question", "answers", "question_type", "correct_answer")
_ASK = " Please provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> </answer> tags."
_SAYS = (
    r"(?:the answer is|the correct answer is|the count is|final answer:|answer must be|correct option must be"
    r"|correct option is|correct answer is|final answer is)\s+([a-zA-Z0-9]+)",
    r"I counted a total of\s+(\d+)",
    r"<answer>\s*(.*?)\s*</answer>",
)


def read(path: Path) -> Iterator[BenchQuestion]:
    """Questions from `SAT_test.parquet` or another split's file, or the folder that holds it.

    The id is `sat-<row>-<order>`: order 0 has the choices as they stand, each next one has them moved on by one.

    Raises:
        ValueError: if the file is not there or not in the benchmark's format.
    """
    file = _file(path)
    # The first release has image_bytes, the second images.
    pictures = "images" if "images" in parquet_fields(file) else "image_bytes"
    for number, row in enumerate(read_parquet(file, (pictures, *FIELDS))):
        yield from checked(file, number, lambda row=row, number=number: list(_orders(file, number, row, pictures)))


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("SAT_test.parquet")) or sorted(path.glob("**/test*.parquet"))
    if not found:
        raise ValueError(f"{path} must hold SAT_test.parquet or data/test-*.parquet; name another split's file itself")
    return found[0]


def _orders(file: Path, number: int, row: Mapping[str, Any], column: str) -> Iterator[BenchQuestion]:
    choices, right = list(row["answers"]), row["correct_answer"]
    if choices.count(right) != 1 or not 2 <= len(choices) <= len(ascii_uppercase):
        raise ValueError(f"{file} row {number}: correct_answer {right!r} must stand once among the answers {choices}")
    pictures = tuple(cell_bytes(file, number, cell) for cell in row[column])
    for order in range(len(choices)):
        moved = choices[order:] + choices[:order]
        listed = "\n".join(f"({letter}) {choice}" for letter, choice in zip(ascii_uppercase, moved, strict=False))
        prompt = f"{row['question']} Choose from the following options: \n{listed}\n{_ASK.strip()}"
        gold = ascii_uppercase[moved.index(right)]
        yield BenchQuestion(f"sat-{number:06d}-{order}", row["question_type"], prompt, gold, pictures)


def score(question: BenchQuestion, response: str) -> float:
    """Right or wrong, by the letter that the response names."""
    return float(letter_of(response).lower().strip() == question.gold.lower())


def letter_of(response: str) -> str:
    """The last capital letter of what the response says its answer is, or of the whole response.

    >>> letter_of("The answer is B"), letter_of("<answer>(A)</answer>"), letter_of("")
    ('B', 'A', '')
    """
    said = ""
    for pattern in _SAYS:
        if match := re.search(pattern, response, re.IGNORECASE):
            said = match[1].strip()
            letters = re.findall(r"\b[A-Z]\b", said)
            said = letters[-1] if letters else said
            break
    if said:
        return said
    letters = re.findall(r"\b[A-Z]\b", response)
    return letters[-1] if letters else ""


def overall(by_category: Mapping[str, list[float]]) -> tuple[dict[str, float], float]:
    """Accuracy by question type, and over all questions and orders."""
    figures = {kind: sum(scores) / len(scores) for kind, scores in by_category.items()}
    every = [value for scores in by_category.values() for value in scores]
    return figures, sum(every) / len(every)
