"""Resampling, transforms and thread pool under the address, undefined-behaviour and thread sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    Path(__file__).with_name("sanitize_transform.cpp"),
    *sorted((ROOT / "csrc/image").glob("resample*.cpp")),
    *(ROOT / "csrc/image" / name for name in ("jpeg_avx2.cpp", "jpeg_huffman.cpp", "jpeg_scalar.cpp")),
    *(ROOT / "csrc/image" / name for name in ("slot_sink.cpp", "tf_bilinear.cpp", "transform.cpp")),
    ROOT / "csrc/core/thread_pool.cpp",
]


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers_stay_silent(sanitizer: str, tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    program = tmp_path / "program"
    flags = ["-std=c++20", "-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-pthread"]
    command = [compiler, *flags, f"-I{ROOT / 'csrc'}", *map(str, SOURCES), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=280)
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip(f"the compiler has no {sanitizer} sanitizer")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program)], capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
