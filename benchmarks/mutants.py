"""Do the tests notice a wrong sign or comparison? Breaks one operator of a geom module at a time and runs its tests.

    python benchmarks/mutants.py so3 camera [--write] [--limit 40]

Each mutant is `geom/NAME.py` of a temporary copy with one +, -, <, <=, >, >=, == or != replaced, tested by
`tests/test_NAME.py`. Survivors are printed: each is either a missing test or an equivalent program.
`--write` stores the result in benchmarks/results/mutants.json.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import machine, write_result

ROOT = Path(__file__).resolve().parents[1]
SWAPS: dict[type, type] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.USub: ast.UAdd},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
}
# Loaded once and inherited by every fork; neither geom itself nor what pytest rewrites may be among them.
PRELOADED = ("torch", "scipy.spatial.transform", "scipy.linalg", "cv2")
SECONDS_PER_MUTANT = 300


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Yield (where and what, mutated source) for every operator that can be swapped."""
    sites = [node for node in ast.walk(ast.parse(source)) if _operator(node) in SWAPS]
    for index in range(len(sites)):
        tree = ast.parse(source)
        node = [node for node in ast.walk(tree) if _operator(node) in SWAPS][index]
        before = ast.unparse(node)
        swapped = SWAPS[_operator(node)]()
        if isinstance(node, ast.Compare):
            node.ops[0] = swapped
        else:
            node.op = swapped  # pyright: ignore[reportAttributeAccessIssue]
        yield f"line {node.lineno}: {before}  ->  {ast.unparse(node)}", ast.unparse(tree)  # pyright: ignore[reportAttributeAccessIssue]


def _operator(node: ast.AST) -> type:
    if isinstance(node, ast.Compare):
        return type(node.ops[0])
    return type(node.op) if isinstance(node, ast.BinOp | ast.UnaryOp) else type(None)


def tests_pass(copy: Path, name: str) -> bool:
    """Run the module's tests of the copy in a fork, which imports torch no more; too slow counts as failed."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS_PER_MUTANT)
        os._exit(_run_tests(copy, name))
    return os.waitpid(child, 0)[1] == 0


def _run_tests(copy: Path, name: str) -> int:
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        try:
            return int(pytest.main(["-x", "-q", "-pno:cacheprovider", f"tests/test_{name}.py"]))
        except BaseException:  # also SystemExit: a fork must never run on as if it were the parent
            return 1


def survivors(name: str, limit: int) -> dict[str, object]:
    """Return how many mutants of geom/NAME.py were tried, and which no test noticed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("geom", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (ROOT / "pyproject.toml", *ROOT.glob("conftest.py")):
            shutil.copy(path, copy)
        target = copy / "geom" / f"{name}.py"
        source = target.read_text()
        if not tests_pass(copy, name):
            raise SystemExit(f"tests/test_{name}.py must pass before it is tried, and does not")
        tried = list(mutants(source))
        tried = tried[:: max(1, -(-len(tried) // limit))]
        alive = []
        for description, mutated in tried:
            target.write_text(mutated)
            if tests_pass(copy, name):
                alive.append(description)
                print(f"survived  geom/{name}.py {description}", flush=True)
    print(f"{name}: {len(tried) - len(alive)} of {len(tried)} mutants noticed", flush=True)
    return {"tried": len(tried), "survivors": alive}


def main() -> None:
    """Try the modules named, or all that have a test file."""
    tested = sorted(path.stem for path in (ROOT / "geom").glob("*.py") if (ROOT / f"tests/test_{path.name}").exists())
    parser = argparse.ArgumentParser(description="sign and comparison mutants of geom modules")
    parser.add_argument("modules", nargs="*", default=tested, help=f"of {', '.join(tested)}")
    parser.add_argument("--limit", type=int, default=200, help="largest number of mutants per module, evenly spread")
    parser.add_argument("--write", action="store_true", help="store the result in benchmarks/results/mutants.json")
    options = parser.parse_args()
    sys.dont_write_bytecode = True  # two mutants of one size within a second share a cached byte code
    for library in PRELOADED:
        importlib.import_module(library)
    results = {name: survivors(name, options.limit) for name in options.modules}
    if options.write:
        write_result(ROOT / "benchmarks" / "results" / "mutants.json", {"modules": results, "machine": machine()})


if __name__ == "__main__":
    main()
