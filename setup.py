"""Builds engine.native._core; everything else is in pyproject.toml."""

from __future__ import annotations

import os
import re
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup

DEVELOPMENT = os.environ.get("VECLIP_DEV_BUILD") == "1"
# Set to 0 by scripts/setup.sh, which installs the Python packages before it compiles.
EXTENSION = os.environ.get("VECLIP_BUILD_EXTENSION") != "0"
EXPORTS = "csrc/exports.map"
WARNINGS = ["-Wall", "-Wextra", "-Werror"] if DEVELOPMENT else []


def needs_recompile(object_file: str, source: str) -> bool:
    """Whether the object is older than any file it was made from (the compiler's -MMD list)."""
    listed = Path(object_file).with_suffix(".d")
    if not Path(object_file).exists() or not listed.exists():
        return True
    built = os.stat(object_file).st_mtime
    prerequisites = re.sub(r"\\\n", " ", listed.read_text()).split(":", 1)[1].split()
    return any(
        not os.path.exists(file) or os.stat(file).st_mtime > built
        for file in ["setup.py", source, *prerequisites]
    )


def extension() -> Pybind11Extension:
    """The one compiled module: C++20; instruction sets beyond the platform's base are chosen at run time."""
    return Pybind11Extension(
        "engine.native._core",
        sorted(glob("csrc/**/*.cpp", recursive=True)),
        include_dirs=["csrc"],
        libraries=["jpeg", "webp", "webpdemux", "z"],
        depends=[*glob("csrc/**/*.hpp", recursive=True), EXPORTS, "setup.py"],
        cxx_std=20,
        # No contraction: resampling coefficients must be the same doubles that Pillow computes.
        extra_compile_args=["-O3", "-g0", "-MMD", "-fvisibility=hidden", "-ffp-contract=off", *WARNINGS],
        extra_link_args=[f"-Wl,--version-script={EXPORTS}"],
    )


jobs = os.environ.get("VECLIP_BUILD_JOBS") or len(os.sched_getaffinity(0))
ParallelCompile(default=int(jobs), needs_recompile=needs_recompile).install()

setup(ext_modules=[extension()] if EXTENSION else [])
