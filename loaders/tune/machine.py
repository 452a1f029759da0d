"""The part of a machine that one rank has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from loaders.batches import Batch
from loaders.dali import rank_device


@contextmanager
def cores_of_a_rank(ranks: int) -> Iterator[int]:
    """Keep this thread, and those it starts, to the cores that each of `ranks` ranks has; yield their number.

    Every `ranks`-th core: where two threads of the hardware share a core they are numbered far apart, and a
    fair share has both. Where a process cannot be kept to cores (macOS) they are only counted.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield max(1, (os.cpu_count() or 1) // ranks)
        return
    every = os.sched_getaffinity(0)
    own = sorted(every)[::ranks][: max(1, len(every) // ranks)]
    os.sched_setaffinity(0, own)
    try:
        yield len(own)
    finally:
        os.sched_setaffinity(0, every)


def device_of_a_rank() -> torch.device:
    """Return where the trainer wants batches."""
    number = rank_device()
    return torch.device("cpu") if number is None else torch.device("cuda", number)


def device_name(device: torch.device) -> str:
    """Return the card's name, or that there is none."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"


def arrive(batch: Batch, device: torch.device) -> int:
    """Bring a batch to the device as the trainer does, wait until it is there and return its samples."""
    if device.type == "cuda":
        there = [batch["image"].to(device, non_blocking=True), batch["text"].to(device, non_blocking=True)]
        torch.cuda.synchronize(device)
        del there
    return len(batch["key"])
