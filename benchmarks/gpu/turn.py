"""One timed turn of a stream of batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.loader.worker import window


def to_device(image: torch.Tensor, device: str) -> int:
    """Bring a batch to the device, wait until it is there, and return its size."""
    moved = image.to(device, non_blocking=True)
    if device == "cuda":
        torch.cuda.synchronize()
    return len(moved)


def measure_turn(stream: Iterator[int], seconds: float, began: float) -> dict[str, Any]:
    """Rates over `seconds`, after half of them that do not count; `began` (perf_counter) is the start's."""
    next(stream)
    first_s = time.perf_counter() - began
    window(stream, seconds / 2, "loader")
    begin = time.time()
    turn = window(stream, seconds, "loader")
    return {
        "images_per_s": turn["images"] / turn["seconds"],
        "cpu_s_per_1000": 1000 * turn["cpu_s"] / turn["images"],
        "first_batch_s": first_s,
        "window": (begin, time.time()),
    }
