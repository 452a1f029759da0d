"""Images a second of a loader with one decoder and number of threads, up to the device's memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.gpu.feeds import open_loader
from benchmarks.gpu.task import Task
from benchmarks.gpu.turn import measure_turn, to_device


def measure(task: Task) -> dict[str, Any]:
    """One turn."""
    choice, device = task.choice, task.settings.device
    began = time.perf_counter()
    loader = open_loader(task, choice["decoder"], threads=choice["threads"], dtype=choice["dtype"])

    def stream() -> Iterator[int]:
        while True:
            for batch in loader:
                yield to_device(batch["image"], device)

    turn = measure_turn(stream(), task.settings.seconds, began)
    return {**turn, "left_to_native": loader.dataset.counters.total().left_to_native}
