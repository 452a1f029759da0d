"""How many threads decode where nobody said."""

from __future__ import annotations

import os


def default_threads(num_workers: int) -> int:
    """Share this node's cores among its ranks (torchrun's LOCAL_WORLD_SIZE) and their worker processes."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # A container often may use fewer cores than the machine has; macOS cannot say.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (ranks * max(1, num_workers)))
