"""The installed project: one version, whole packages, light start, and the shape checks that the tests rest on."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, entry_points, packages_distributions, version
from pathlib import Path

import jaxtyping
import pytest
import torch
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

import theodolite
from geom.se3 import SE3

ROOT = Path(theodolite.__file__).parents[1]
PACKAGES = ("geom", "synth", "models", "theodolite")
HEAVY = ("torch", "open3d", "lightning", "kornia", "cv2", "skimage", "scipy", "numpy", "pandas", "transformers")


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after some code."""
    report = "\nimport sys; sys.stderr.write(' '.join({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["generate", "--help"], ["plan", "--help"], ["nonsense"]])
def test_help_and_usage_errors_load_nothing_heavy(words: list[str]) -> None:
    # The error line goes to stderr too; its words are no module names of the list.
    assert loaded_by(f"from theodolite.cli import main; main({words!r})").isdisjoint(HEAVY)


def test_bad_options_are_refused_before_anything_heavy_is_loaded() -> None:
    words = ["generate", "--out", "x", "--num-scenes", "0"]
    assert loaded_by(f"from theodolite.cli import main; main({words!r})").isdisjoint(HEAVY)


def test_the_probe_sees_a_heavy_module_where_one_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


def test_console_script_is_the_cli() -> None:
    (script,) = (e for e in entry_points(group="console_scripts") if e.name == "theodolite")
    from theodolite.cli import entry

    assert script.load() is entry


def test_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"] and project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "theodolite/__init__.py"
    assert version("theodolite") == theodolite.__version__
    assert f"## {theodolite.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_other_distribution_owns_our_import_names() -> None:
    owners = packages_distributions()
    for name in PACKAGES:
        assert set(owners.get(name, ["theodolite"])) == {"theodolite"}, f"{name} is also shipped by {owners[name]}"


def test_our_imports_come_from_this_project() -> None:
    for name in PACKAGES:
        package = __import__(name)
        assert Path(package.__file__ or "").parent == ROOT / name


def test_every_data_file_lies_in_a_package_that_the_wheel_takes_whole() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert tuple(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES
    for name in PACKAGES:
        assert (ROOT / name / "__init__.py").is_file()
    assert {"page.css", "page.js"} <= {path.name for path in (ROOT / "synth").iterdir()}


def test_wheel_holds_code_and_data(tmp_path: Path) -> None:
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"synth/page.css", "synth/page.js", "theodolite/cli.py", "geom/se3.py"} <= names
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): pin for name, pin in pins.items()}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(*, extra: str | None = None) -> list[str]:
    """Names that the project asks for on this platform, of the core or of an extra."""
    wanted = (Requirement(text) for text in distribution("theodolite").requires or ())
    return [
        normal(r.name)
        for r in wanted
        if (r.marker is None or r.marker.evaluate({"extra": extra or ""}))
        and (("extra" in str(r.marker)) == (extra is not None))
    ]


@pytest.mark.parametrize("extra", [None, "dev"])
def test_every_direct_dependency_is_pinned_in_the_tested_set(extra: str | None) -> None:
    names = required(extra=extra)
    assert len(names) >= 7
    assert [name for name in names if name not in pinned()] == []


def test_no_dependency_brings_torchvision_or_cuda() -> None:
    asked = {*required(), *required(extra="dev"), *pinned()}
    assert asked.isdisjoint({"torchvision", "torchaudio"})
    # Runs the kernels of the tests on a CPU; users get it with torch for CUDA, or not at all.
    assert "triton" not in required()
    assert not any(name.startswith("nvidia-") for name in asked)
    assert pinned()["torch"] == "2.13.0"


def test_shape_checks_are_on() -> None:
    # A translation of four numbers: the annotation says three.
    with pytest.raises(jaxtyping.TypeCheckError):
        SE3(torch.eye(3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))


def test_type_checks_take_an_int_for_a_float_and_nothing_else() -> None:
    from geom.camera import PinholeCamera

    assert PinholeCamera.from_hfov(1, 64, 48).width == 64
    with pytest.raises(jaxtyping.TypeCheckError):
        PinholeCamera.from_hfov("1", 64, 48)  # type: ignore[arg-type]
