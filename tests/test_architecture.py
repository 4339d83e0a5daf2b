"""The house stands as it is drawn: which way imports flow, what `geom` may touch, names, sizes, and tests that test.

Every rule is a function from source text to the places that break it, and is first tried on a breach of it.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("geom", "synth", "models", "theodolite")
"""Each may import itself and what stands before it."""

MAX_BODY, MAX_FILE = 40, 400
MEDIAN_BODY, P90_BODY = 6, 20
"""No median is asked of files: what one of them holds is one subject, and cutting subjects in two, or adding small
files, would bring it down without making anything easier to read. Short functions and MAX_FILE do that."""

NO_PURE_MODULES = [
    "csv",
    "json",
    "logging",
    "multiprocessing",
    "os",
    "pickle",
    "random",
    "secrets",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
    "yaml",
    "PIL",
    "cv2",
    "datetime",
    "io",
    "lightning",
    "pathlib",
    "ctypes",
    "importlib",
    "requests",
    "skimage",
]
LOADS_A_LIBRARY = {"embree.py": {"ctypes", "importlib", "pathlib"}}
"""Open3D links to libusb-1.0, which geom.embree finds and loads where the system has none."""

RANDOM_CALLS = [
    "rand",
    "randn",
    "randint",
    "randperm",
    "rand_like",
    "randn_like",
    "randint_like",
    "normal",
    "bernoulli",
    "multinomial",
    "manual_seed",
    "default_rng",
    "shuffle",
    "normal_",
    "uniform_",
    "seed",
    "RandomState",
]
IO_CALLS = [
    "open",
    "print",
    "input",
    "read_text",
    "write_text",
    "read_bytes",
    "write_bytes",
    "tofile",
    "fromfile",
    "savetxt",
    "loadtxt",
]

FOREIGN_WORDS = {"c2w", "w2c", "extrinsic", "extrinsics", "viewmat", "viewmats"}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).glob("**/*.py"))]


def named(paths: list[Path]) -> list:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def imported(text: str) -> Iterator[tuple[int, str]]:
    """Line and top-level name of each import, wherever it stands."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." if node.level else (node.module or "").split(".")[0]


def wrong_way(text: str, package: str) -> list[tuple[int, str]]:
    later = {*PACKAGES[PACKAGES.index(package) + 1 :], "tests", "benchmarks", "."}
    return [(line, name) for line, name in imported(text) if name in later]


def called(node: ast.Call) -> str:
    target = node.func
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def impure(text: str, allowed: set[str] = frozenset()) -> list[tuple[int, str]]:
    """Input, output, clocks and chance: modules and calls that a pure engine has no use for."""
    modules = [(line, name) for line, name in imported(text) if name in NO_PURE_MODULES and name not in allowed]
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return modules + [(c.lineno, called(c)) for c in calls if called(c) in (*RANDOM_CALLS, *IO_CALLS)]


def prints(text: str) -> list[int]:
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if called(call) == "print"]


def identifiers(text: str) -> Iterator[tuple[int, str]]:
    """Names that a file gives: variables, attributes it sets, arguments, functions and classes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def foreign(text: str) -> list[tuple[int, str]]:
    """Names of other people's conventions, which are converted at the door."""
    return [
        (line, name)
        for line, name in identifiers(text)
        if name == "depth" or FOREIGN_WORDS & set(name.lower().split("_"))
    ]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(text: str) -> list[Function]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function)]


def body_lines(function: Function) -> int:
    """Lines of a function without its signature and its docstring."""
    has_docstring = ast.get_docstring(function, clean=False) is not None
    body = function.body[1:] if has_docstring else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def too_long(text: str) -> list[tuple[str, int]]:
    return [(f.name, body_lines(f)) for f in functions(text) if body_lines(f) > MAX_BODY]


def _checks_itself(function: Function) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant | ast.Tuple):
            return True
        if isinstance(node, ast.Call) and (called(node) in ("raises", "warns") or called(node).startswith("assert_")):
            return True
    return False


def checkless(text: str) -> list[str]:
    """Test functions that can only fail by crashing: no assertion in them or in a function here that they call."""
    here = {f.name: f for f in functions(text)}
    checking = {name for name, f in here.items() if _checks_itself(f)}
    for _ in here:
        checking |= {name for name, f in here.items() if _calls(f) & checking}
    return [name for name in here if name.startswith("test_") and name not in checking]


def _calls(function: Function) -> set[str]:
    return {called(node) for node in ast.walk(function) if isinstance(node, ast.Call)}


WARPS = {"grid_sample", "remap", "warpPerspective", "warp_perspective", "warpAffine", "warp_affine", "scatter_reduce"}
MAY_WARP = {
    "surfaces.py": "looks up texels, from no other camera",
    "trunk.py": "looks up what one view tells, at places of its own",
}
"""Second implementations, twin_*.py, may too: that is what they are for."""


def warps(text: str) -> list[int]:
    """Calls that move pixels from one picture to another: `geom.warp` does that."""
    return [n.lineno for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and called(n).rstrip("_") in WARPS]


def unfinished(text: str) -> list[str]:
    return re.findall(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b", text)


@pytest.mark.parametrize(
    ("rule", "breach"),
    [
        (lambda text: wrong_way(text, "geom"), "import synth.scene"),
        (lambda text: wrong_way(text, "synth"), "def f():\n    from theodolite import cli"),
        (lambda text: wrong_way(text, "models"), "from . import x"),
        (impure, "import random"),
        (impure, "import torch\ntorch.rand(3)"),
        (impure, "def f(x):\n    x.normal_()"),
        (impure, "open('a')"),
        (prints, "def f():\n    print(1)"),
        (foreign, "def f(c2w): pass"),
        (foreign, "T_c2w = 1"),
        (foreign, "class ExtrinsicX: pass\nextrinsic = 1"),
        (foreign, "for depth in (): pass"),
        (too_long, "def f():\n" + "    x = 1\n" * (MAX_BODY + 1)),
        (checkless, "def test_a():\n    f(1)"),
        (checkless, "def test_a():\n    assert True"),
        (checkless, "def test_a():\n    assert (x == 1, 'always true')"),
        (warps, "y = torch.nn.functional.grid_sample(x, at)"),
        (warps, "x.scatter_reduce_(0, at, z, 'amin')"),
        (unfinished, "# TO" + "DO: later"),
    ],
)
def test_rule_finds_a_breach(rule: Callable[[str], list], breach: str) -> None:
    assert len(rule(breach)) >= 1


@pytest.mark.parametrize(
    ("rule", "fine"),
    [
        (lambda text: wrong_way(text, "synth"), "import geom.se3\nfrom synth import scene"),
        (impure, "import torch\ntorch.zeros(3)"),
        (foreign, "z_depth = ray_dist = T_world_cam = 1\nx = data['c2w']\nx = y.extrinsic"),
        (warps, "seen = backward_warp(image, camera, T, z, camera)"),
        (too_long, 'def f():\n    """' + "words\n" * 60 + '    """\n' + "    x = 1\n" * MAX_BODY),
        (checkless, "def check(x):\n    assert x\ndef test_a():\n    check(1)"),
        (checkless, "def test_a():\n    with pytest.raises(ValueError):\n        f()"),
    ],
)
def test_rule_leaves_the_good_alone(rule: Callable[[str], list], fine: str) -> None:
    assert rule(fine) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_flow_one_way(package: str) -> None:
    assert {str(path): found for path in sources(package) if (found := wrong_way(path.read_text(), package))} == {}


@pytest.mark.parametrize("path", named(sources("geom")))
def test_geom_reads_nothing_writes_nothing_and_draws_nothing(path: Path) -> None:
    assert impure(path.read_text(), LOADS_A_LIBRARY.get(path.name, set())) == []


@pytest.mark.parametrize("path", named(sources("geom", "synth", "models")))
def test_library_does_not_print(path: Path) -> None:
    assert prints(path.read_text()) == []


@pytest.mark.parametrize("path", named([p for p in sources(*PACKAGES) if p.name != "conventions.py"]))
def test_foreign_conventions_stay_at_the_door(path: Path) -> None:
    assert foreign(path.read_text()) == []


@pytest.mark.parametrize("path", named([p for p in sources(*PACKAGES[1:]) if not p.name.startswith("twin")]))
def test_nothing_but_geom_warps(path: Path) -> None:
    assert warps(path.read_text()) == [] or path.name in MAY_WARP


@pytest.mark.parametrize("path", named(sources(*PACKAGES, "tests", "benchmarks")))
def test_no_function_is_too_long(path: Path) -> None:
    assert too_long(path.read_text()) == []


@pytest.mark.parametrize("path", named(sources(*PACKAGES, "benchmarks")))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE


def test_functions_are_short_on_the_whole() -> None:
    texts = [path.read_text() for path in sources(*PACKAGES)]
    bodies = sorted(body_lines(f) for text in texts for f in functions(text))
    assert statistics.median(bodies) <= MEDIAN_BODY
    assert bodies[int(0.9 * len(bodies))] <= P90_BODY


@pytest.mark.parametrize("path", named(sources("tests")))
def test_every_test_checks_something(path: Path) -> None:
    assert checkless(path.read_text()) == []


def test_tests_are_flat_and_no_package() -> None:
    assert [p for p in (ROOT / "tests").rglob("*.py") if p.parent != ROOT / "tests"] == []
    assert not (ROOT / "tests" / "__init__.py").exists()


def test_nothing_is_left_unfinished() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    texts = [ROOT / name for name in tracked if name.endswith((".py", ".md", ".toml", ".css", ".js", "Makefile"))]
    paths = [path for path in texts or sources(*PACKAGES, "tests") if path.is_file()]
    assert {str(path): found for path in paths if (found := unfinished(path.read_text()))} == {}
