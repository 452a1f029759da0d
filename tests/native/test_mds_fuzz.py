"""Mutated shards under ASan and UBSan; `tests/native/fuzz_mds.sh 10000000` runs it for longer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.slow
def test_mutated_shards_are_read_in_bounds() -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    script = Path(__file__).with_name("fuzz_mds.sh")
    done = subprocess.run([script, "50000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
