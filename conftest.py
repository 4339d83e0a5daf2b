"""Every test and doctest runs with types and shapes checked on each call into the engine.

An int where a float is wanted passes, as it does for Python's type checkers. The plugin's own option
`--jaxtyping-packages` cannot say that for more than one package, so the hook is installed here.
"""

import os
from pathlib import Path

import torch
from jaxtyping import install_import_hook

COMPILED = {"kernels", "bundle_kernels", "loops"}
"""What Triton and numba compile from its source, which the hook would wrap."""

GEOM = [f"geom.{path.stem}" for path in (Path(__file__).parent / "geom").glob("*.py") if path.stem not in COMPILED]

install_import_hook([*GEOM, "synth", "models"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

if not torch.cuda.is_available():
    # Read when Triton is imported: without a device its kernels run step by step on the CPU.
    os.environ["TRITON_INTERPRET"] = "1"
