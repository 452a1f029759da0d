"""scripts/setup.sh: says what is missing and touches nothing; costs seconds where all is done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What the script needs before it has looked for packages: no apt-get, no sudo, no compiler.
TOOLS = ("bash", "cat", "dirname", "flock", "mkdir", "tail", "wc")
BASH = shutil.which("bash") or "/bin/bash"
HEADERS = {
    "jpeglib.h": "libjpeg-dev",
    "zlib.h": "zlib1g-dev",
    "webp/demux.h": "libwebp-dev",
    "xxhash.h": "libxxhash-dev",
}
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!{BASH}\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A copy of the repository's set-up with a PATH of its own, `bin`, that has no means of installing."""
    for name in ("scripts", "bin"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def have_compiler(machine: Path, present: set[str]) -> None:
    """A g++ that finds `present` headers only (what is asked for comes as `#include <NAME>` on stdin)."""
    cases = "".join(f'  "#include <{name}>") exit 0 ;;\n' for name in sorted(present))
    write_program(machine / "bin" / "g++", f'read -r line\ncase "$line" in\n{cases}esac\nexit 1')


def have_python(machine: Path, complete: bool) -> None:
    """This Python, which has venv and headers where `complete`."""
    answer = f'case "$2" in *ensurepip*|*Python.h*) exit {0 if complete else 1} ;; esac'
    write_program(machine / "bin" / "python3", f'{answer}\nexec "{sys.executable}" "$@"')


def set_up(machine: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [machine / "scripts" / "setup.sh", *words],
        env={"PATH": str(machine / "bin"), "PYTHON": "python3"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def asked_for(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The packages of the command that the script ends with."""
    first, command = done.stderr.splitlines()
    assert first == "setup: missing system packages; install them, then run this again:"
    start = "  sudo apt-get update && sudo apt-get install -y --no-install-recommends "
    assert command.startswith(start)
    return command.removeprefix(start).split(" ")


def test_all_that_is_missing_is_one_command_and_nothing_changes(machine: Path) -> None:
    have_python(machine, complete=False)
    done = set_up(machine)
    assert done.returncode == 1
    assert done.stdout == ""
    python = [f"python{PYTHON_VERSION}-venv", f"python{PYTHON_VERSION}-dev"]
    assert asked_for(done) == ["g++", *HEADERS.values(), *python]
    assert not (machine / ".venv").exists()
    # Beside what the test put there: the lock and the (empty) log only.
    assert sorted(os.listdir(machine)) == ["bin", "build", "scripts"]
    assert {f.name: f.stat().st_size for f in (machine / "build").iterdir()} == {
        ".setup.lock": 0,
        "setup.log": 0,
    }


@pytest.mark.parametrize("missing", HEADERS)
def test_one_missing_header_is_one_package(machine: Path, missing: str) -> None:
    have_python(machine, complete=True)
    have_compiler(machine, present=set(HEADERS) - {missing})
    done = set_up(machine)
    assert done.returncode == 1
    assert asked_for(done) == [HEADERS[missing]]
    assert not (machine / ".venv").exists()


def test_the_browser_is_asked_for_in_the_same_words(machine: Path) -> None:
    assert asked_for(set_up(machine, "browser")) == ["chromium", "chromium-driver"]
    write_program(machine / "bin" / "google-chrome", "")
    assert asked_for(set_up(machine, "browser")) == ["chromium-driver"]
    write_program(machine / "bin" / "chromedriver", "")
    done = set_up(machine, "browser")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_all_tests_need_browser_and_vllm() -> None:
    """What is slow is not skipped: the command names what it requires."""
    planned = {}
    for slow in ("", "1"):
        words = ["make", "--dry-run", "test", f"SLOW={slow}"]
        planned[slow] = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "VECLIP_REQUIRE_BROWSER=1 VECLIP_REQUIRE_VLLM=1" in planned["1"]
    assert "scripts/setup_vllm_cpu.sh" in planned["1"]
    assert "scripts/setup.sh browser" in planned["1"]
    assert "not slow" not in planned["1"]
    assert "not slow" in planned[""]
    assert "vllm" not in planned[""]


def test_an_unsupported_python_is_named(machine: Path) -> None:
    write_program(machine / "bin" / "python3", "echo 3.8")
    done = set_up(machine)
    assert done.returncode == 1
    assert re.match(r"setup: python3: not a working Python of 3\.10 .*make setup PYTHON=", done.stderr)
    assert not (machine / ".venv").exists()


@pytest.mark.slow
def test_setting_up_again_takes_less_than_five_seconds() -> None:
    if not (ROOT / ".venv" / ".stamps" / "extension").exists():
        pytest.skip("this repository was not set up by scripts/setup.sh")
    for _ in range(2):  # the first brings in what was edited since
        began = time.monotonic()
        done = subprocess.run(
            ["scripts/setup.sh"], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
        )
        seconds = time.monotonic() - began
        assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"setup: ready: \.venv \(Python 3\.\d+\), \d+ s\n", done.stdout)
    assert seconds < 5
