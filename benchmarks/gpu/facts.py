"""What is installed, imported and seen by torch: the first thing that is measured."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.gpu.task import Task

MODULES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "streaming": ("mosaicml-streaming",),
    "composer": ("mosaicml",),
    "open_clip": ("open_clip_torch",),
    "open_clip_train": ("open_clip_torch",),
    "nvidia.dali": ("nvidia-dali-cuda130", "nvidia-dali-cuda120"),
    "PIL": ("pillow",),
    "numpy": ("numpy",),
    "psutil": ("psutil",),
    "matplotlib": ("matplotlib",),
    "engine.native": (),
}
"""Module: the packages that bring it."""


def versions() -> dict[str, str]:
    """Version of each module's package, without importing it; "" where it is not installed."""
    return {name: _version(packages) for name, packages in MODULES.items()}


def _version(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


def measure(task: Task) -> dict[str, Any]:
    """Import everything; returns errors by module, what torch says of CUDA and the card."""
    errors = {}
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a package does beside versions it does not know
            errors[name] = f"{type(error).__name__}: {error}"
    found: dict[str, Any] = {"errors": errors, "cuda": None, "card": None, "memory_gib": 0.0}
    if "torch" not in errors:
        import torch

        found["cuda"] = torch.version.cuda
        if torch.cuda.is_available():
            memory = torch.cuda.get_device_properties(0).total_memory / 2**30
            found |= {"card": torch.cuda.get_device_name(), "memory_gib": memory}
    return found
