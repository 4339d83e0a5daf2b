"""Tables of the page of results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def spread(value: dict[str, float], unit: str = "") -> str:
    """Median and range."""
    return f"{value['median']:g}{unit} ({value['min']:g} to {value['max']:g})"
