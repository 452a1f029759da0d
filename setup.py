"""Builds engine.native._core; everything else is in pyproject.toml."""

from __future__ import annotations

import os
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup

DEVELOPMENT = os.environ.get("VECLIP_DEV_BUILD") == "1"
WARNINGS = ["-Wall", "-Wextra", "-Werror"] if DEVELOPMENT else []

ParallelCompile("VECLIP_BUILD_JOBS").install()

setup(
    ext_modules=[
        Pybind11Extension(
            "engine.native._core",
            sorted(glob("csrc/**/*.cpp", recursive=True)),
            include_dirs=["csrc"],
            libraries=["jpeg", "png", "webp", "webpdemux"],
            cxx_std=20,
            # No contraction: resampling coefficients must be the same doubles that Pillow computes.
            extra_compile_args=["-O3", "-g0", "-fvisibility=hidden", "-ffp-contract=off", *WARNINGS],
            extra_link_args=["-Wl,--exclude-libs,ALL"],
        )
    ]
)
