"""Takes the number under which a data set's names in shared memory stand.

Streaming finds a number by mapping every name that exists, one after the other, and keeps the maps and their
file descriptors until the process ends: a process that opens many data sets runs out of them, and the names
of a run that was killed stay in use for as long as any process lives that was started beside them. Two runs
that start at the same moment find the same number, and one of them fails.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, cast

import streaming.base.dataset
import torch
from streaming.base.constant import LOCALS
from streaming.base.distributed import get_local_rank
from streaming.base.shared import SharedMemory
from streaming.base.shared.prefix import _pack_locals
from streaming.base.world import World
from torch import distributed as dist

from loaders.stale_memory import LOCK, NAME, SHARED_MEMORY


@contextmanager
def number_taken_here() -> Iterator[None]:
    """Let a StreamingDataset that is made meanwhile take its number with `take_number`."""
    module = cast(Any, streaming.base.dataset)
    original = module.get_shm_prefix
    module.get_shm_prefix = take_number
    try:
        yield
    finally:
        module.get_shm_prefix = original


def take_number(folders: list[str], _: list[str | None], world: World) -> tuple[int, SharedMemory]:
    """Take a number for the processes of this node; all ranks call it together.

    What this stands for also refuses a cache folder that another data set names. Ours may be shared: who
    fetches a shard holds a claim on it that ends with its process (loaders/claims.py), and an evicted shard
    is had again.

    Returns:
        The number and the memory that holds it.
    """
    if not world.is_local_leader:
        number = _told(world, 0)
        return number, SharedMemory(_name(number), False)
    number, memory = _take_first(folders)
    return _told(world, number), memory


def _take_first(folders: list[str]) -> tuple[int, SharedMemory]:
    taken = _names_taken()
    for number in count():
        if f"{number:06}" in taken:
            continue
        content = _pack_locals(folders, number)  # Streaming's own loaders look into it
        try:
            memory = SharedMemory(_name(number), True, len(content))
        except FileExistsError:  # another run was quicker
            continue
        memory.buf[: len(content)] = content
        return number, memory
    raise AssertionError("there are more numbers than names")


def _names_taken() -> set[str]:
    places = (SHARED_MEMORY, NAME), (tempfile.gettempdir(), LOCK)
    found = (
        pattern.fullmatch(name)
        for place, pattern in places
        if os.path.isdir(place)
        for name in os.listdir(place)
    )
    return {match[1] for match in found if match}


def _name(number: int) -> str:
    return f"{number:06}_{LOCALS}"


def _told(world: World, number: int) -> int:
    """Return the number of this node's leader; the others give 0."""
    if not (dist.is_available() and dist.is_initialized()):
        return number
    device = torch.device("cpu")
    if "cpu:" not in str(dist.get_backend_config()):  # NCCL alone
        device = torch.device("cuda", get_local_rank() % torch.cuda.device_count())
    numbers = torch.zeros(world.num_nodes, dtype=torch.int64, device=device)
    numbers[world.node] = number
    dist.all_reduce(numbers, op=dist.ReduceOp.MAX)
    return int(numbers[world.node])
