"""What holds for every command: quick help with an example, usage errors that exit 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    ("-m", "engine.shard"),
    ("-m", "engine.recaption"),
    ("-m", "engine.score"),
    ("-m", "engine.verify"),
    ("-m", "engine.inspect"),
    ("-m", "engine.import_captions"),
    ("-m", "train.evaluate"),
    ("train/run.py",),
    ("-m", "benchmarks.exactness"),
)
# Each takes a good part of a second, or seconds, to import; --help has to be there in less than one.
SLOW_PACKAGES = ("torch", "composer", "streaming", "transformers", "pyarrow", "open_clip", "aiohttp")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[-1])
def test_help_has_an_example_and_loads_nothing_slow(command: tuple[str, ...]) -> None:
    done = run("-X", "importtime", *command, "--help")
    assert done.returncode == 0
    assert "example" in done.stdout
    assert f"python -m {command[-1]}" in done.stdout or command[-1] in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in loaded
    assert not loaded.intersection(SLOW_PACKAGES)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[-1])
def test_usage_errors_exit_2(command: tuple[str, ...]) -> None:
    done = run(*command, "--no-such-option")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
