"""Options of a command: one frozen dataclass gives the command line, the YAML file and the help."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
import yaml
from jsonargparse import (
    ActionConfigFile,  # pyright: ignore[reportPrivateImportUsage]
    ArgumentParser,
)


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command understands."""

    seed: int = 0
    """seed of everything random in this command; the same seed gives the same bytes"""
    json: bool = False
    """print one JSON object on stdout, and nothing else there"""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"--seed must be 0 or more, got {self.seed}")


_PATHS = (Path, Path | None)
_MANY_PATHS = tuple[Path, ...]
"""One path or more after the option's name."""
OptionsT = TypeVar("OptionsT", bound=CommonOptions)


def read_options(cls: type[OptionsT], argv: Sequence[str], *, prog: str, description: str, example: str) -> OptionsT:
    """Options of a command from its arguments and, below them, from its `--config` file.

    Raises:
        ValueError: if an argument, a key or a value is not understood; the text is one line that names it.
        SystemExit: after `--help` or `--print_config`, with status 0.
    """
    parser = _parser(cls, prog, description, example)
    try:
        values = parser.parse_args(_config_first(argv))
    except ArgumentError as error:
        raise ValueError(_one_line(str(error), _flags(cls))) from None
    types = get_type_hints(cls)
    return cls(**{field.name: _value(field, types[field.name], values[field.name]) for field in fields(cls)})


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint for a misspelt word: the known word nearest to it, or all of them.

    >>> nearest("generat", ["demo", "generate"])
    'did you mean generate?'
    >>> nearest("zzz", ["demo", "generate"])
    'known: demo, generate'
    """
    # Compared without case and dashes: A1 is near to a1, and --bogus is not near to --out.
    bare = {name.lower().lstrip("-"): name for name in known}
    close = difflib.get_close_matches(word.lower().lstrip("-"), bare, n=1, cutoff=0.6)
    return f"did you mean {bare[close[0]]}?" if close else f"known: {', '.join(known)}"


def with_dashes(message: str, cls: type[CommonOptions]) -> str:
    """A refusal of a library that begins with the name of a field, in the words of the command line.

    >>> with_dashes("seed must be >= 0, got -1", CommonOptions)
    '--seed must be >= 0, got -1'
    """
    name, _, rest = message.partition(" ")
    return next((f"{_shown(field)} {rest}" for field in fields(cls) if field.name == name), message)


def split_names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@contextmanager
def in_words_of(cls: type[CommonOptions]) -> Iterator[None]:
    """Refusals of a library in the words of the command line: its limits are the only ones, its fields options here."""
    try:
        yield
    except ValueError as error:
        raise ValueError(with_dashes(str(error), cls)) from None


class _ConfigFile(ActionConfigFile):
    """A YAML file with the fields of the command; an unknown key is named, with the nearest known one."""

    def __call__(self, parser, cfg, values, option_string=None):
        own = ("help", "config")
        actions = [a for a in parser._actions if a.dest not in own and not a.dest.startswith("print_")]
        _check_file(Path(values), {a.dest: a.nargs for a in actions})
        super().__call__(parser, cfg, values, option_string)


def _check_file(path: Path, known: Mapping[str, Any]) -> None:
    """Refuse a file that is no mapping, has an unknown key, or no list where several values belong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArgumentError(None, f"--config {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ArgumentError(None, f"--config {path} must hold 'field: value' lines, got {type(content).__name__}")
    for key in content:
        if key not in known:
            raise ArgumentError(None, f"--config {path} has an unknown key '{key}'; {nearest(str(key), list(known))}")
        if isinstance(known[key], int) and known[key] > 1 and not isinstance(content[key], list | None):
            wanted = f"a list of {known[key]} values"
            raise ArgumentError(None, f"--{key.replace('_', '-')} must be {wanted}, got {content[key]!r}")


def _parser(cls: type[CommonOptions], prog: str, description: str, example: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=prog,
        description=description,
        epilog=f"example: {example}",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action=_ConfigFile, metavar="FILE", help="YAML file with the same fields")
    types, helps = get_type_hints(cls), _helps(cls)
    for field in _own_fields_first(cls):
        name = field.name if _is_positional(field) else _shown(field)
        parser.add_argument(name, **_argument(field, types[field.name], helps[field.name]))
    return parser


def _own_fields_first(cls: type[CommonOptions]) -> list[Field[Any]]:
    common = {field.name for field in fields(CommonOptions)}
    return sorted(fields(cls), key=lambda field: field.name in common)


def _helps(cls: type) -> dict[str, str]:
    return {
        param.arg_name: (param.description or "").replace("%", "%%")
        for base in reversed(cls.__mro__[:-1])
        for param in docstring_parser.parse_from_object(base).params
    }


def _argument(field: Field[Any], kind: Any, text: str) -> dict[str, Any]:
    if kind is bool:
        return {"action": "store_true", "help": text}
    # Without None, which stands for what was left out: the parser then shows choices, and names a wrong value.
    argument: dict[str, Any] = {"type": _without_none(kind), "help": text}
    if kind in _PATHS:
        argument |= {"type": str, "metavar": _shown(field) if _is_positional(field) else "PATH"}
    if kind == _MANY_PATHS:
        argument |= {"type": str, "metavar": "PATH", "nargs": "+"}
    elif inner := _tuple_parts(kind):
        argument |= {"type": inner[0], "nargs": len(inner), "metavar": field.metadata.get("metavar")}
    if field.default is not MISSING:
        argument["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    elif not _is_positional(field):
        argument["required"] = True
    return argument


def _without_none(kind: Any) -> Any:
    """The type of an option that is given: `X` of `X | None`."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    return parts[0] if type(None) in get_args(kind) else kind


def _tuple_parts(kind: Any) -> tuple[Any, ...]:
    """Types in a tuple, optional or not; nothing for any other type."""
    given = _without_none(kind)
    return get_args(given) if get_origin(given) is tuple else ()


def _is_positional(field: Field[Any]) -> bool:
    return field.metadata.get("positional", False)


def _shown(field: Field[Any]) -> str:
    """How people read an option's name: with its dashes, or in capitals where it has none."""
    return field.name.upper() if _is_positional(field) else f"--{field.name.replace('_', '-')}"


def _value(field: Field[Any], kind: Any, value: Any) -> Any:
    """The value as the dataclass wants it. The parser lets a YAML file's null, and lists of any length, through.

    Raises:
        ValueError: if it is none of the kind; the text names the option.
    """
    name = _shown(field)
    if value is None and type(None) not in get_args(kind):
        raise ValueError(f"{name} must have a value, got null")
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")
    if kind == _MANY_PATHS:
        parts = value if isinstance(value, list | tuple) else [value]
        return tuple(Path(str(part)) for part in parts)
    if value is not None and (parts := _tuple_parts(kind)):
        if not isinstance(value, list | tuple) or [type(part) for part in value] != list(parts):
            wanted = f"{len(parts)} {'whole ' if parts[0] is int else ''}numbers"
            raise ValueError(f"{name} must be {wanted}, got {value!r}")
        return tuple(value)
    return Path(str(value)) if value is not None and kind in _PATHS else value


def _flags(cls: type[CommonOptions]) -> list[str]:
    return ["--config", *(_shown(f) for f in fields(cls) if not _is_positional(f))]


def _config_first(argv: Sequence[str]) -> list[str]:
    """What is typed wins over what is in the file, wherever `--config` stands in the line."""
    first, rest, words = [], [], iter(argv)
    for word in words:
        if word == "--config":
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            (first if word.startswith("--config=") else rest).append(word)
    return first + rest


def _one_line(message: str, flags: Sequence[str]) -> str:
    """The parser's message in the words of the command line, with a hint where an option is unknown."""
    text = " ".join(message.split())
    text = re.sub(r'Parser key "(\w+)"(?: element \d+)?:', lambda m: f"--{m[1].replace('_', '-')}:", text)
    text = re.sub(r"typing\.Literal\[(.*?)\]", lambda m: f"one of {m[1]}", text)
    text = re.sub(r"Expected an? <class '(?:\w+\.)*(\w+)'>\. Got value: (.*)", r"expected \1, got '\2'", text)
    text = re.sub(r"Expected a one of (.*?)\. Got value: (.*)", r"expected one of \1, got '\2'", text)
    if needed := re.match(r"the following arguments are required: (.*)", text):
        return f"missing: {', '.join(_flag_of(name.strip(), flags) for name in needed[1].split(','))}"
    if unknown := re.match(r"unrecognized arguments: (--[^\s=]+)", text):
        return f"unknown option {unknown[1]}; {nearest(unknown[1], flags)}"
    return text


def _flag_of(name: str, flags: Sequence[str]) -> str:
    flag = f"--{name.lstrip('-').replace('_', '-')}"
    return flag if flag in flags else name.upper()
