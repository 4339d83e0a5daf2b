"""What a response says: its final answer, cut out of whatever stands around it, and read as actions, a box or yes-no.

Fair to the wording, strict about the content: `moved 0.5 m to the left` is read, but a list of guesses is no answer.
Every reader returns what it read, or an `Unread` that says why it could not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice

from geom.action_text import ActionKind
from geom.actions import Action, ActionSequence

MAX_READ = 4096
"""Characters of a response that are read."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Unread:
    """Why a response is no answer."""

    reason: str


_REASONING = "think|thinking|thought|reasoning"
_REASONED = re.compile(rf"</(?:{_REASONING})>", re.I)
_REASONS = re.compile(rf"<(?:{_REASONING})>", re.I)
_ANSWER_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.I | re.S)
_FENCE = re.compile(r"```[a-z]*\s*(.*?)(?:```|$)", re.I | re.S)
_SAYS = re.compile(
    r"\banswer(?:\s+is)?\s*[:=]\s*|^\W*(?:final\s+)?answer\W*$"
    r"|\banswer\s+is\s+(?!(?:based|only|right|correct|that|because|not|approximate|given|derived|clear|certain|an?\b))",
    re.I | re.M,
)
"""What announces an answer, also as a heading; a remark about the answer announces none."""
_MARKUP = re.compile(r"\*\*|\$|\\(?:text|mathrm)\{([^{}]*)\}")
_KEYS = ("answer", "final_answer", "response", "bbox_2d", "bbox", "box")


def final_answer(response: str) -> str:
    """The part of a response that is its answer: without reasoning, out of tags, boxes, fences and JSON.

    >>> final_answer("<think>left?</think> The answer is: **B**"), final_answer('{"answer": "yes"}')
    ('B', 'yes')
    """
    text = _REASONED.split(response[:MAX_READ].replace("\u2019", "'"))[-1]
    if (unended := _REASONS.search(text)) is not None:
        text = text[: unended.start()]
    if tagged := _ANSWER_TAG.findall(text):
        text = tagged[-1]
    if (boxed := _boxed(text)) is not None:
        text = boxed
    if "```" in text and (fenced := _FENCE.findall(text)):
        text = fenced[-1]
    text = _from_json(text.strip())
    said = _SAYS.split(text)
    if len(said) > 1 and said[-1].strip():
        text = said[-1]
    return _MARKUP.sub(r"\1", text).strip()


def _boxed(text: str) -> str | None:
    r"""What stands in the last \boxed{...}."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    nesting = 0
    for i in range(start + 6, len(text)):
        nesting += (text[i] == "{") - (text[i] == "}")
        if nesting == 0:
            inner = text[start + 7 : i]
            return inner[6:].removesuffix("}") if inner.startswith("\\text{") else inner
    return text[start + 7 :]


def _from_json(text: str) -> str:
    if not text.startswith(("{", "[{", '"')):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = next((value[key] for key in _KEYS if key in value), text)
    return value if isinstance(value, str) else json.dumps(value)


_SIZE = r"\+?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?![0-9]|\.[0-9])"
_UNIT = r"(m|met(?:er|re)s?|deg|degs|degrees?|°)(?![a-z0-9_])"
_VERB = r"(mov|shift|go|went|step|walk|slid|straf|translat|dolly|turn|rotat|pivot|pan|yaw)(?:[a-z]{0,5})"
_WAY = r"(forwards?|fwd|ahead|backwards?|back|left|right|tl|tr)"
_TO = r"(?:(?:to|towards?|in)\s+(?:the\s+)?)?"
_ABOUT = r"(?:\s*(?:wards?|by|for|about|around|approximately|roughly|an\s+angle\s+of|a\s+distance\s+of|[=:,(]))*\s*"
_ACTION = re.compile(
    rf"(?:\b{_VERB}\s+(?:the\s+camera\s+)?{_TO})?\b{_WAY}\b{_ABOUT}"
    rf"{_SIZE}\s*(?:{_UNIT}|(?=\s*(?:$|[.,;:!?)\]}}'\"`|]|and\b|then\b)))"
    rf"|(?:\b{_VERB}\s+(?:the\s+camera\s+)?{_ABOUT}|(?:^|[;\n]|\bthen\s)\s*){_SIZE}\s*{_UNIT}\s*{_TO}{_WAY}\b"
)
_BARE = re.compile(rf"\b{_VERB}\s+(?:the\s+camera\s+)?{_TO}{_WAY}\b")
_OUT_OF_ORDER = re.compile(r"\b(?:after|before)\s+[a-z]+ing\b")
_DENIED = re.compile(r"(?:\bnot|\bnever|\bno|\bcannot|n't|\bwithout)\s+(?:[a-z]+\s+)?$")
_COUNT = re.compile(r"^\W*([0-9]{1,4})\s+(?:steps?|actions?)\s*\|")
_EITHER = re.compile(r"\bor\b|\beither\b")
_AXES = {"f": ("z", 1), "a": ("z", 1), "b": ("z", -1), "l": ("x", -1), "r": ("x", 1)}
_LARGEST = 1e6
_MOST_CLAIMS = 40
"""An answer that claims more often than this has said it by then."""
_TURNS = ("turn", "rotat", "pivot", "pan", "yaw")


def read_actions(text: str) -> ActionSequence | Unread:
    """The one sequence of actions that an answer names.

    >>> read_actions("It moved 0.5 m to the left, then turned right by 30 degrees.").text()
    'move left 0.5 meters; turn right 30 degrees'
    >>> read_actions("move left 0.5 meters or move right 0.5 meters")
    Unread(reason='several answers')
    """
    text = text.lower().replace("_", " ")
    actions, end, rest = [], 0, text
    for match in _ACTION.finditer(text):
        if _DENIED.search(text, max(0, match.start() - 24), match.start()):
            return Unread("an action is denied")
        if actions and _EITHER.search(text, end, match.start()):
            return Unread("several answers")
        action = _action(*match.groups())
        if isinstance(action, Unread):
            return action
        actions.append(action)
        end = match.end()
        # What was read is blanked, and what else names an action stands out.
        rest = rest[: match.start()] + " " * (end - match.start()) + rest[end:]
    return _sequence(text, rest, actions)


def _sequence(text: str, rest: str, actions: list[Action]) -> ActionSequence | Unread:
    if not actions:
        return Unread("no action found")
    if len(actions) > 1 and _OUT_OF_ORDER.search(text):
        return Unread("an order told by after or before")
    known = {(action.kind.is_turn, action.kind.axis, action.kind.sign) for action in actions}
    if any(_named(*names) not in known for names in _BARE.findall(rest)):
        return Unread("an action without a size")
    count = _COUNT.match(text)
    if count and int(count[1]) != len(actions):
        return Unread(f"says {count[1]} actions and lists {len(actions)}")
    if ";" in text and sum(1 for part in text.split(";") if part.strip(" .")) > len(actions):
        return Unread("a part between semicolons is no action")
    return ActionSequence(tuple(actions))


def _named(verb: str, way: str) -> tuple[bool, str, int]:
    """What a verb and a way name, as `_sequence` compares it."""
    is_turn = way in ("tl", "tr") or verb in _TURNS
    axis, sign = _AXES[way[-1] if way in ("tl", "tr") else way[0]]
    return is_turn, "turn" if is_turn else axis, sign


def _action(*groups: str | None) -> Action | Unread:
    verb, way, size, unit = groups[:4] if groups[1] else (groups[4], groups[7], groups[5], groups[6])
    assert way is not None and size is not None
    is_turn = way in ("tl", "tr") or (verb in _TURNS if verb else unit is not None and unit[0] in "d°")
    if unit and (unit[0] == "m") == is_turn:
        return Unread(f"{'a turn' if is_turn else 'a move'} in {unit}")
    axis, sign = _AXES[way[-1] if way in ("tl", "tr") else way[0]]
    if is_turn and axis == "z":
        return Unread(f"a turn {way}")
    if not verb and not unit and axis == "x" and way not in ("tl", "tr"):
        return Unread("neither a move nor a turn")
    if not 0 < float(size) < _LARGEST:
        return Unread(f"a size of {size[:12]}")
    return Action(ActionKind.of("turn" if is_turn else axis, sign), float(size))


_NUMBER = r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[-+]?[0-9]{1,2})?)"
_FOUR = r"[\s,]+".join([_NUMBER] * 4)
_BOX = re.compile(
    rf"[\[(<{{]\s*{_FOUR}\s*[\])>}}]|\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)\s*,?\s*\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)"
)
_BARE_BOX = re.compile(rf"\W*{_FOUR}\W*")


def read_box(text: str) -> Box | Unread:
    """The one box that an answer names, x1 y1 x2 y2.

    >>> read_box("The box is [100, 200, 300, 400]."), read_box("<|box_start|>(1,2),(3,4)<|box_end|>")
    ((100.0, 200.0, 300.0, 400.0), (1.0, 2.0, 3.0, 4.0))
    """
    text = text.lower()
    found = {tuple(float(n) for n in match if n) for match in _BOX.findall(text)}
    if not found and (bare := _BARE_BOX.fullmatch(text)):
        found = {tuple(map(float, bare.groups()))}
    if len(found) != 1:
        return Unread("several answers" if found else "no box found")
    x1, y1, x2, y2 = found.pop()
    if not (-_LARGEST < x1 < x2 < _LARGEST and -_LARGEST < y1 < y2 < _LARGEST):
        return Unread("a box without area: x1 < x2 and y1 < y2 must hold")
    return x1, y1, x2, y2


_FRAME = r"(?:the\s+)?(?:view|sight|image|picture|frame|scene)\b"
_SENTENCES = {
    "A4": (
        r"\bincorrect|(?:does|do)\s*(?:not|n't)\s+match|not\s+correct|\bmismatch|\bwrong\b",
        r"\bcorrect\b|\bmatch(?:es)?\b",
    ),
    "D2": (
        r"(?:not|n't|never)\s+(?:yet\s+|fully\s+)?(?:disappear\w*|gone|leave\w*|hidden)|"
        r"(?<!longer )(?<!not )(?<!n't )(?<!not be )(?<!n't be )\bvisible|still\s+be\s+seen|"
        rf"(?:remains?|stays?|still|is)\s+in\s+{_FRAME}",
        rf"(?:no\s+longer|not|n't)\s+(?:be\s+)?(?:visible|seen|in\s+{_FRAME})|disappear\w*|\bgone\b|\binvisible|"
        rf"out(?:side)?\s+(?:of\s+)?{_FRAME}|(?:fully|completely|entirely)\s+(?:hidden|occluded)|"
        rf"(?:leaves?|exits?|(?:has|have|had)\s+left)\s+{_FRAME}",
    ),
    "D4": (
        r"not\s+(?:the\s+)?same|different|distinct|\banother\s+(?:object|instance|thing|one)\b",
        r"same\s+(?:physical\s+)?(?:object|thing|instance|one)|one\s+and\s+the\s+same|identical|"
        r"\bsame\b(?!\s+(?:kind|type|class|category))",
    ),
}
"""Task to what a sentence says for no and for yes; where both fit, no is tried first."""

_WORDS = (r"not\s+true|\bno\b(?!\s+longer)|\bfalse\b", r"not\s+false|\byes\b|\btrue\b")


def _claims(task_type: str, *, with_words: bool) -> re.Pattern[str]:
    no, yes = _SENTENCES[task_type]
    if with_words:
        no, yes = f"{_WORDS[0]}|{no}", f"{_WORDS[1]}|{yes}"
    return re.compile(rf"(?P<no>{no})|(?P<yes>{yes})")


_OPEN = {task: _claims(task, with_words=True) for task in _SENTENCES}
_SENTENCE = {task: _claims(task, with_words=False) for task in _SENTENCES}
_LEAD = re.compile(r"^\W*(yes|no|true|false)\b(?!\s*(?:or\b|and\b|nor\b|/|longer\b|part\b))")
"""A word that answers at once; what is said after it explains."""
_NEGATED = re.compile(
    r"(?:\bnot|n't|\bnever|\bcannot|\bunlikely|\bfails?|\bhardly|\bno\s+(?:part|longer))\b[^.,;:!?\n]*$"
)
"""A denial in the clause of a claim, other than those that the claims know themselves."""
_LETTER = re.compile(
    r"(?:^\W*|\b(?:option|choice|or|and)\s+\W*|[,/&]\s*)([ab])(?=\W*$|[.):,/&\]]|\s*[-\n]|\s+(?:or|and)\b)|\(([ab])\)"
)


def read_yes_no(text: str, task_type: str, variant: str) -> bool | Unread:
    """The one claim that an answer makes: yes or no, option A or B (A is yes), or a sentence.

    >>> read_yes_no("No, the chair remains visible.", "D2", "open"), read_yes_no("(A)", "D4", "choice")
    (False, True)
    >>> read_yes_no("yes or no", "D4", "open")
    Unread(reason='several answers')
    """
    text = text.lower()
    if variant == "open" and (lead := _LEAD.match(text)):
        return lead[1] in ("yes", "true")
    pattern = _OPEN if variant == "open" else _SENTENCE
    found = set()
    for match in islice(pattern[task_type].finditer(text), _MOST_CLAIMS):
        if _NEGATED.search(text, max(0, match.start() - 80), match.start()):
            return Unread("a negation that cannot be told")
        found.add(match.lastgroup == "yes")
    if variant == "choice":
        found |= {(first or second) == "a" for first, second in _LETTER.findall(text)}
    if len(found) != 1:
        return Unread("several answers" if found else "no answer found")
    return found.pop()
