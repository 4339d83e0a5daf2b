# `make demo` and `make test` are all one needs: each builds .venv first, and a second run installs nothing.
.DEFAULT_GOAL := help
BIN := .venv/bin
STAMP := .venv/installed
# Kernels split over threads only disturb each other where two workers share two cores.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# A candidate counts only if it runs: a version manager's shim may exist for a Python that is not there.
CANDIDATES := python3.11 python3.12 python3.13 python3 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)

.PHONY: help demo train-demo test lint bench clean

help:
	@echo "make demo    a small verified dataset and its page, in data-demo"
	@echo "make train-demo  a small head, trained in minutes, answers questions about rooms it never saw; in head-demo"
	@echo "make test    the whole test suite"
	@echo "make lint    ruff and pyright"
	@echo "make bench   the benchmarks; results go to benchmarks/results"
	@echo "make clean   remove .venv and what the tools cached"

demo: $(STAMP)
	$(BIN)/theodolite demo --out data-demo

train-demo: $(STAMP)
	$(BIN)/theodolite train head --out head-demo/model --size small --rooms 150 --parts 4 --kept-in head-demo/rooms \
		--epochs 4 --batches-per-epoch 75 --rooms-per-batch 3 --learning-rate 2e-3 --loader-workers 1 --accelerator cpu
	$(BIN)/theodolite generate --out head-demo/data --num-scenes 10 --seed 1 --image-size 256 256
	$(BIN)/theodolite eval head-demo/model --data head-demo/data --out head-demo/predictions.jsonl

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(STAMP)
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: Python 3.11 or newer is needed; tried: $(CANDIDATES). Set PYTHON=/path/to/python" >&2; exit 2; fi
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: $(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; \
		exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
