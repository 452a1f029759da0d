"""Processor time of a process tree."""

from __future__ import annotations

import os
import time


def cpu_seconds() -> float:
    """Return the processor time of this process, all threads, and of its living and dead children."""
    import psutil

    total = time.process_time() + sum(os.times()[2:4])
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total
