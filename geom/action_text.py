"""The words of camera actions: six kinds, their spellings in the public pipelines, and number text.

Pure grammar: pairs (kind, amount), metres for moves and degrees for turns as people write them. What an
action does to a camera is in `geom.actions`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from enum import Enum


class ActionKind(Enum):
    """What one action does, in the camera's own axes at that moment; the value is the public enum name."""

    FORWARD = "forward"
    BACKWARD = "backward"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LEFT = "shift_left"
    RIGHT = "shift_right"

    @property
    def axis(self) -> str:
        """`z` (forward, backward), `x` (left, right) or `turn`."""
        return _AXIS_SIGN[self][0]

    @property
    def sign(self) -> int:
        """+1 along the camera's +z, +x, and for turns to the right; else -1."""
        return _AXIS_SIGN[self][1]

    @property
    def is_turn(self) -> bool:
        """Whether the amount is an angle in degrees, not a distance in metres."""
        return self.axis == "turn"

    @property
    def opposite(self) -> ActionKind:
        """The kind that undoes this one."""
        return ActionKind.of(self.axis, -self.sign)

    @staticmethod
    def of(axis: str, sign: float | int) -> ActionKind:
        """Return the kind along an axis, by the sign of a coordinate: `of("x", -0.3)` is LEFT."""
        return _BY_AXIS_SIGN[axis, 1 if sign > 0 else -1]


_AXIS_SIGN = {
    ActionKind.FORWARD: ("z", 1),
    ActionKind.BACKWARD: ("z", -1),
    ActionKind.RIGHT: ("x", 1),
    ActionKind.LEFT: ("x", -1),
    ActionKind.TURN_RIGHT: ("turn", 1),
    ActionKind.TURN_LEFT: ("turn", -1),
}
_BY_AXIS_SIGN = {axis_sign: kind for kind, axis_sign in _AXIS_SIGN.items()}

_TOKENS = {
    ActionKind.FORWARD: "FWD",
    ActionKind.BACKWARD: "BACK",
    ActionKind.TURN_LEFT: "TL",
    ActionKind.TURN_RIGHT: "TR",
    ActionKind.LEFT: "LEFT",
    ActionKind.RIGHT: "RIGHT",
}
_SENTENCES = {
    ActionKind.FORWARD: "move forward",
    ActionKind.BACKWARD: "move backward",
    ActionKind.TURN_LEFT: "turn left",
    ActionKind.TURN_RIGHT: "turn right",
    ActionKind.LEFT: "move left",
    ActionKind.RIGHT: "move right",
}
_GO = {
    ActionKind.FORWARD: "go forward",
    ActionKind.BACKWARD: "go back",
    ActionKind.LEFT: "go left",
    ActionKind.RIGHT: "go right",
}


def _spellings() -> dict[str, ActionKind]:
    """Return every accepted name, lower case, underscores as spaces."""
    names = {k.value.replace("_", " "): k for k in ActionKind}
    for table in (_TOKENS, _SENTENCES, _GO):
        names |= {name.lower(): kind for kind, name in table.items()}
    return names


_SPELLINGS = _spellings()
_METRES = ("m", "meter", "meters", "metre", "metres")
_DEGREES = ("deg", "degs", "degree", "degrees", "°")
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_NON_FINITE = r"[-+]?(?:nan|inf(?:inity)?)"
_ACTION = re.compile(
    rf"(?P<name>[a-z][a-z_ ]*?)[_\s]*(?P<number>{_NUMBER}|(?<![a-z]){_NON_FINITE})\s*(?P<unit>[a-z°]*)", re.I
)
_COUNTED = re.compile(r"(?P<count>[0-9]+)\s+steps?\s*\|\s*(?P<rest>.*)", re.I | re.S)
_BETWEEN = re.compile(r"\s*;\s*|\s*,\s*(?:and\s+)?|\s+and\s+", re.I)
_ORDER_WORD = re.compile(r"(?:first|then|next|finally)\s+", re.I)


def format_number(value: float, decimals: int = 6) -> str:
    """Write a size as the public pipelines do: an integer if within 1e-6 of one, else without trailing zeros.

    Args:
        value: metres or degrees.
        decimals: 6 in tokens and in the first pipeline's text, 3 in the second's.

    >>> format_number(20.0), format_number(0.30000000000000004), format_number(1 / 3, 3)
    ('20', '0.3', '0.333')
    """
    if abs(value - round(value)) < 1e-6:
        return str(round(value))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def sentence(kind: ActionKind, amount: float, decimals: int = 6) -> str:
    """Write one action in words: `move left 0.5 meters`, `turn right 30 degrees`."""
    unit = "degrees" if kind.is_turn else "meters"
    return f"{_SENTENCES[kind]} {format_number(amount, decimals)} {unit}"


def token(kind: ActionKind, amount: float) -> str:
    """Write one action as a token: `LEFT_0.5`, `TR_30`."""
    return f"{_TOKENS[kind]}_{format_number(amount)}"


def join_claim(parts: Sequence[str]) -> str:
    """Join as a spoken claim: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def join_natural(parts: Sequence[str]) -> str:
    """Join as `First a, Then b, Next c, Finally d.`; from the fifth action on there are several Next."""
    middle = ["First", "Then"] + ["Next"] * (len(parts) - 2)
    words = [*middle[:-1], "Finally"] if len(parts) > 3 else middle
    return ", ".join(f"{w} {p}" for w, p in zip(words, parts, strict=False)) + ("." if parts else "")


def parse_pairs(text: str) -> list[tuple[ActionKind, float]]:
    """Read a sequence of actions in any of the public spellings; see `geom.actions.parse_actions`."""
    # Runs of spaces are one: matching would take the square of their length.
    body = " ".join(text.split()).removesuffix(".").strip()
    counted = _COUNTED.fullmatch(body)
    parts = _BETWEEN.split(counted["rest"] if counted else body)
    pairs = [_parse_one(_ORDER_WORD.sub("", part, count=1) if _ORDER_WORD.match(part) else part) for part in parts]
    if counted and int(counted["count"]) != len(pairs):
        raise ValueError(f"the step count must equal the number of actions, got {counted['count']} for {len(pairs)}")
    return pairs


def _parse_one(part: str) -> tuple[ActionKind, float]:
    match = _ACTION.fullmatch(part.strip())
    if match is None:
        raise ValueError(_explain_no_match(part.strip()))
    kind = _kind(match["name"], part)
    _check_unit(kind, match, part)
    return kind, _amount(match["number"], part, kind)


def _explain_no_match(part: str) -> str:
    if not part:
        return "an action must stand between separators, got nothing there; is the text empty or cut off?"
    if not re.search(r"[0-9]", part):
        return f"an action must have a size, got {part!r}; write for example {_nearest(part)!r}"
    return f"an action must be words, one number, a unit, got {part!r}; write for example {_nearest(part)!r}"


def _nearest(name: str, cutoff: float = 0.0) -> str | None:
    """The spelling nearest to a name, as a whole action; None where none is as near as asked."""
    words = re.sub(r"[^a-z ]", "", name.lower().replace("_", " ").replace("-", " ")).strip()
    words = re.sub(r"\s*\b(?:m|meters?|metres?|deg|degrees?)$", "", words)
    close = difflib.get_close_matches(words, _SPELLINGS, n=1, cutoff=cutoff)
    if not close and cutoff:
        return None
    kind = _SPELLINGS[close[0]] if close else ActionKind.FORWARD
    return sentence(kind, 30.0 if kind.is_turn else 0.5)


def _hint(name: str) -> str:
    near = _nearest(name, cutoff=0.6)
    return f"the nearest valid spelling is {near!r}" if near else f"known: {', '.join(_SENTENCES.values())}"


def _kind(name: str, part: str) -> ActionKind:
    kind = _SPELLINGS.get(re.sub(r"[_\s]+", " ", name.lower()).strip())
    if kind is None:
        raise ValueError(f"unknown action {name.strip()!r} in {part!r}; {_hint(name)}")
    return kind


def _check_unit(kind: ActionKind, match: re.Match[str], part: str) -> None:
    unit, wanted = match["unit"].lower(), "degrees" if kind.is_turn else "meters"
    if not unit and (" " in match["name"].strip()):
        raise ValueError(f"a sentence must name its unit, got {part!r}; write {wanted} after the number")
    if unit and unit not in (_DEGREES if kind.is_turn else _METRES):
        raise ValueError(
            f"the unit of {kind.value} must be {wanted}, got {match['unit']!r} in {part!r}; convert it first"
        )


def _amount(number: str, part: str, kind: ActionKind) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"a size must be finite, got {number} in {part!r}; was it computed from missing data?")
    if value < 0:
        raise ValueError(f"a size must be > 0, got {number} in {part!r}; write {kind.opposite.value} for the other way")
    if value == 0:
        raise ValueError(f"a size must be > 0, got {number} in {part!r}; leave out an action that does nothing")
    return value
