# Every target sets up what it needs (scripts/setup.sh) and is quick when it is there already.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format check-aarch64 clean distclean

PY := .venv/bin/python
PYTHON_ROOMS := engine loaders train benchmarks
CPP_FILES = $(shell find csrc -name '*.[ch]pp')
PYTEST_ARGS ?=
MARKERS := $(if $(SLOW),,-m "not slow")

help:  ## these lines
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## system libraries, .venv, pinned packages, compiled extension
	@scripts/setup.sh

demo: setup  ## a small corpus: shard, verify, train three ways, compare (no GPU, under 10 minutes)
	@$(PY) -m demo.run

test: setup  ## the fast suite; everything with SLOW=1; more arguments with PYTEST_ARGS="..."
	$(PY) -m pytest $(MARKERS) $(PYTEST_ARGS)

lint: setup  ## ruff, mypy --strict, clang-format, shellcheck where it is installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(wildcard $(PYTHON_ROOMS))
	.venv/bin/clang-format --dry-run -Werror $(CPP_FILES)
	@if command -v shellcheck > /dev/null; then shellcheck scripts/*.sh .ci/run; else echo "shellcheck: not installed, skipped"; fi

format: setup  ## rewrite Python and C++ files in the house format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	.venv/bin/clang-format -i $(CPP_FILES)

clean:  ## what builds, tests and the demo left behind (keeps .venv)
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info engine/native/_core.*.so
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

check-aarch64:  ## the core compiles for aarch64 (needs g++-aarch64-linux-gnu)
	@scripts/check_aarch64.sh

distclean: clean  ## the same, and .venv
	rm -rf .venv
