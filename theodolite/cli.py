"""`theodolite COMMAND ...`: finds the command, reads its options and keeps what every command promises."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from theodolite import __version__

COMMANDS = {
    "answer": "ask a trained model one question about one or two pictures",
    "check": "does a generated video show the motion that it was told to make?",
    "convert": "a dataset in the format that a trainer reads, split by scene",
    "demo": "a small verified dataset from rooms and from a photograph, with a page to look at",
    "eval": "let a trained model answer the questions of a dataset, and score it",
    "generate": "a labelled dataset from simulated rooms, or from scenes in mesh files",
    "imagine": "trajectories that a world model imagines, started where it is installed",
    "label": "questions about transitions that exist already: recorded, or made by a world model",
    "plan": "camera poses for an action sequence",
    "score": "score any model's answers, exactly or by the published reward",
    "train head": "a compact head on exact answers, in minutes",
    "train vlm": "a vision-language model on a dataset's exact answers: fine-tuning, then reinforcement",
    "verify": "recompute every label of a dataset from its proofs, by a second implementation",
    "view": "a page of samples with boxes, motion and proofs",
}
"""Command to summary. The file `theodolite/<command>.py`, a space an underscore, holds `Options`, `EXAMPLE` and
`run(options)`."""


def entry() -> None:
    """Console script: exit with the status of `main`. To be terminated is to be interrupted: all is put away first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; errors are one line on stderr.

    Status 0: done. 1: done, but what was asked about does not hold. 2: bad input. 130: interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0 if words else 2
    if words[0] == "--version":
        sys.stdout.write(f"theodolite {__version__}\n")
        return 0
    count = 2 if " ".join(words[:2]) in COMMANDS else 1
    return _run_guarded(" ".join(words[:count]), words[count:])


def _run_guarded(name: str, argv: Sequence[str]) -> int:
    from theodolite import console

    try:
        return _run(name, argv)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on from here", console.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone: nobody is left to tell, and the flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return console.DONE
    except OSError as error:
        return _fail(console.os_error_line(error), console.BAD_INPUT)
    except (ValueError, ImportError) as error:
        return _fail(str(error), console.BAD_INPUT)


def _run(name: str, argv: Sequence[str]) -> int:
    from theodolite.options import read_options

    if name not in COMMANDS:
        raise ValueError(_unknown(name))
    command = module_of(name)
    try:
        options = read_options(
            command.Options,
            argv,
            prog=f"theodolite {name}",
            description=COMMANDS[name],
            example=command.EXAMPLE,
        )
    except SystemExit as exit_of_help:
        return int(exit_of_help.code or 0)
    return _print_outcome(command, options)


def module_of(name: str) -> Any:
    """The file of a command."""
    return importlib.import_module(f"theodolite.{name.replace(' ', '_')}")


def _unknown(name: str) -> str:
    from theodolite.options import nearest

    if whole := [command for command in COMMANDS if command.startswith(f"{name} ")]:
        return f"{name} needs to be told what: theodolite {' or theodolite '.join(whole)}"
    return f"unknown command '{name}'; {nearest(name, list(COMMANDS))}"


def _print_outcome(command: Any, options: Any) -> int:
    """Whatever a library prints meanwhile goes to stderr, so that stdout holds the result alone."""
    with contextlib.redirect_stdout(sys.stderr):
        outcome = command.run(options)
    text = json.dumps(outcome.payload, allow_nan=False) if options.json else outcome.text
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return outcome.status


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"theodolite: error: {' '.join(message.split())}\n")
    return status


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: theodolite COMMAND [options]",
            "",
            "commands:",
            *lines,
            "",
            "theodolite COMMAND --help tells the options of one command; theodolite --version the version.",
            "example: theodolite demo --out data-demo",
            "",
        ]
    )
