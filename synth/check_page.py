"""The page of a check: which trajectories show the motion they were told to make, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synth.check_card import OUTCOMES, Card, badge
from synth.page import Html, join, page, tag, void
from synth.verdict import REASONS

KEYS = {"j": "next", "k": "previous", "p": "frame by frame", "/": "search", "t": "light or dark"}
LAYERS = {"tracks": ("how points moved", True), "lines": ("lines of the commanded motion (or point at a frame)", False)}
_COLUMNS = ("trajectory", "verdict", "first reason", "TSED", "worst turn", "worst direction", "lengths")


def check_page(title: str, cards: Sequence[Card], summary: Mapping[str, Any], most: int = 100) -> str:
    """The page as text: a table of all trajectories, counts, and the cards of the worst.

    Args:
        cards: of all trajectories; one that has no room on the page needs no `html`.
        summary: as `summary_of` gives it; its `confusion` may also be a Counter of (commanded, executed) ways. Its
            texts are said as they are.
        most: cards that are shown.
    """
    order = sorted(cards, key=lambda card: (-card.badness, card.name))
    shown = order[:most]
    none_left = tag("p", "No trajectory matches.", class_="none-left", data_none_left=True, hidden=True)
    articles = [_article(n, card) for n, card in enumerate(shown)]
    body = join(
        _head(title, order, len(shown)),
        _toolbar(order),
        _table(order, len(shown)),
        _counts(order, summary),
        tag("main", *articles, none_left),
    )
    return page(f"{title} · Theodolite", body, {"images": {}})


def _head(title: str, cards: Sequence[Card], num_shown: int) -> Html:
    counts = Counter(card.outcome for card in cards)
    by_outcome = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
    left_out = len(cards) - num_shown
    rest = f" {left_out} more have no card, the least bad ones." if left_out else ""
    what = "trajectory" if len(cards) == 1 else "trajectories"
    keys = [join(tag("kbd", key), f" {what}  ") for key, what in KEYS.items()]
    return tag(
        "header",
        tag("h1", title),
        tag("p", f"{len(cards)} {what}: {by_outcome}. The worst come first.{rest}"),
        tag("p", *keys, class_="dim small"),
    )


def _toolbar(cards: Sequence[Card]) -> Html:
    outcomes = Counter(card.outcome for card in cards)
    reasons = _reason_counts(cards)
    switch = tag(
        "button", "◐", type="button", title="light or dark", aria_label="light or dark", data_theme_switch=True
    )
    return tag(
        "nav",
        void("input", type="search", placeholder="search names, words", aria_label="search"),
        _chips("verdict", {outcome: outcomes[outcome] for outcome in OUTCOMES if outcomes[outcome]}),
        _chips("reason", reasons) if reasons else None,
        switch,
        tag("span", data_count=True, class_="count dim small", aria_live="polite"),
        tag("span", *(_layer(name, *about) for name, about in LAYERS.items()), *_legend(), class_="legend"),
        class_="toolbar",
        aria_label="filter",
    )


def _reason_counts(cards: Sequence[Card]) -> dict[str, int]:
    """Trajectories that each reason decides, the most frequent first."""
    counts = Counter(reason for card in cards for reason in card.reasons)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _chips(field: str, counts: Mapping[str, int]) -> Html:
    chips = [(f"any {field}", ""), *((f"{value} {count}", value) for value, count in counts.items())]
    buttons = [
        tag("button", text, type="button", data_filter=field, value=value, aria_pressed="false")
        for text, value in chips
    ]
    return tag("span", *buttons, class_="chips", role="group", aria_label=field)


def _layer(name: str, text: str, is_on: bool) -> Html:
    return tag("label", void("input", type="checkbox", data_layer=name, checked=is_on or None), text)


def _legend() -> Iterator[Html]:
    for name, text in (("fits", "fits the motion seen"), ("misses", "does not"), ("unknown", "unknown")):
        yield tag("label", tag("span", class_=f"swatch {name}"), text)


def _table(cards: Sequence[Card], num_shown: int) -> Html:
    rows = [
        tag(
            "tr",
            tag("th", tag("a", card.name, href=f"#card-{n}") if n < num_shown else card.name, scope="row"),
            card.row,
            data_row=f"card-{n}",
            **_fields(card),
        )
        for n, card in enumerate(cards)
    ]
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in _COLUMNS)))
    return tag("div", tag("table", head, tag("tbody", *rows)), class_="wide")


def _fields(card: Card) -> dict[str, str]:
    return {"data_verdict": card.outcome, "data_reason": "|".join(card.reasons)}


def _counts(cards: Sequence[Card], summary: Mapping[str, Any]) -> Html | None:
    reasons = _reason_counts(cards)
    why = [join(tag("dt", f"{count} {reason}"), tag("dd", REASONS[reason])) for reason, count in reasons.items()]
    facts = {name: value for name, value in summary.items() if isinstance(value, str)}
    said = [join(tag("dt", name.replace("_", " ")), tag("dd", value)) for name, value in facts.items()]
    left_out = [join(tag("dt", f"{num} x"), tag("dd", cause)) for cause, num in summary.get("left_out", {}).items()]
    sections = (
        tag("section", tag("h3", "Why"), tag("dl", *why, class_="facts")) if why else None,
        _confusion(_pairs(summary.get("confusion", ()))),
        tag("section", tag("h3", "Left out"), tag("dl", *left_out, class_="facts")) if left_out else None,
        tag("section", tag("h3", "About"), tag("dl", *said, class_="facts")) if said else None,
    )
    return tag("div", *sections, class_="counts") if any(sections) else None


def _pairs(confusion: Any) -> Mapping[tuple[str, str], int]:
    if isinstance(confusion, Mapping):
        return confusion
    return {(cell["commanded"], cell["executed"]): cell["steps"] for cell in confusion}


def _confusion(counts: Mapping[tuple[str, str], int]) -> Html | None:
    """Steps by what was told (rows) and what was shown (columns)."""
    if not counts:
        return None
    told, shown = (sorted({ways[i] for ways in counts}) for i in (0, 1))
    head = tag("tr", tag("th", "told \\ shown"), *(tag("th", _breakable(way), scope="col") for way in shown))
    rows = [
        tag(
            "tr",
            tag("th", row, scope="row"),
            *(_cell(counts.get((row, column), 0), row == column) for column in shown),
        )
        for row in told
    ]
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="confusion")
    return tag("section", tag("h3", "Steps: told against shown"), tag("div", table, class_="wide"), class_="whole")


def _breakable(way: str) -> str:
    """Words that may go on in the next line after each +, so that columns stay narrow."""
    return way.replace("+", "+\u200b")


def _cell(count: int, is_right: bool) -> Html:
    kind = "right" if is_right else "wrong"
    return tag("td", str(count) if count else "", class_=kind if count else None)


def _article(n: int, card: Card) -> Html:
    head = tag("header", badge(card.outcome), tag("h2", card.name, class_="mono"))
    attributes = {"id": f"card-{n}", "class_": "card", "tabindex": "0", "data_card": True, **_fields(card)}
    return tag("article", head, card.html, **attributes)
