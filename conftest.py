"""Every test and doctest runs with types and shapes checked on each call into the engine.

An int where a float is wanted passes, as it does for Python's type checkers. The plugin's own option
`--jaxtyping-packages` cannot say that for more than one package, so the hook is installed here.
"""

from jaxtyping import install_import_hook

install_import_hook(["geom", "synth", "models"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
