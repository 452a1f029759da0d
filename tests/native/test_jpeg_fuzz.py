"""Mutated baseline files: what our own decoder accepts, libjpeg-turbo accepts with the same pixels."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine.native import Limits, NativeError, decode_rgb
from tests.native.jpeg_kit import decoder, irregular, regular

LIMITS = Limits(max_pixels=200_000)  # a mutated header must not make one file take long


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes replaced, most of them in the headers, where a file stays regular more often."""
    edited = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        end = len(edited) if rng.random() < 0.3 else min(700, len(edited))
        at = rng.randrange(end)
        if edited[at] != 0xFF:
            edited[at] = rng.randrange(255)
    return bytes(edited)


def outcome(data: bytes) -> np.ndarray | None:
    try:
        return decode_rgb(data, LIMITS)
    except NativeError:
        return None


def test_mutated_files_decode_to_the_librarys_pixels() -> None:
    rng = random.Random(0)
    files = [mutated(data, rng) for data in [*regular().values(), *irregular().values()] for _ in range(20)]
    with decoder("own"):
        own = [outcome(data) for data in files]
    with decoder("library"):
        for data, pixels in zip(files, own, strict=True):
            if pixels is not None:
                np.testing.assert_array_equal(pixels, outcome(data))
    share = sum(pixels is not None for pixels in own) / len(own)
    assert share > 0.2  # else the comparison is about nothing


@pytest.mark.slow
def test_mutated_files_under_sanitizers(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    for number, data in enumerate([*regular().values(), *irregular().values()]):
        (tmp_path / f"{number:03}.jpg").write_bytes(data)
    script = Path(__file__).with_name("sanitize.sh")
    done = subprocess.run(
        [script, tmp_path, "150000", "1", "fuzz_jpeg"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
