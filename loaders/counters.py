"""What reading has met and cost since a loader was built, over its threads and worker processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Rows of the shared table; a worker process writes its own, so that nobody waits for a lock that a killed
# process holds.
ROWS = 257
# Sample numbers that each process remembers of those it replaced.
LISTED = 32


@dataclass(frozen=True)
class ReadCounts:
    """Totals; subtract an earlier reading to see what a stretch of training did.

    Attributes:
        samples: made into batches.
        bad_samples: of these, replaced by a neighbour.
        left_to_native: images that DALI was not given, or failed at, decoded by the native core.
        bytes_read: encoded bytes of those samples, all columns.
        shards_opened: shards verified and mapped, once per process.
        shards_fetched: shards brought from the remote.
        bytes_fetched: their bytes as the remote holds them, failed attempts not counted.
        fetch_retries: attempts that failed and were followed by another.
        fetch_us, gather_us, captions_us, decode_us: microseconds that making batches spent waiting for shards
            (fetching, verifying, mapping), taking views of samples, choosing captions, decoding and resizing
            images (with DALI: waiting for it); summed over processes, so that with workers they may pass the
            clock.
    """

    samples: int = 0
    bad_samples: int = 0
    left_to_native: int = 0
    bytes_read: int = 0
    shards_opened: int = 0
    shards_fetched: int = 0
    bytes_fetched: int = 0
    fetch_retries: int = 0
    fetch_us: int = 0
    gather_us: int = 0
    captions_us: int = 0
    decode_us: int = 0

    @property
    def cache_hits(self) -> int:
        """Shards that were opened without having been fetched for it."""
        return max(0, self.shards_opened - self.shards_fetched)

    def __sub__(self, earlier: ReadCounts) -> ReadCounts:
        """What happened since `earlier`."""
        return ReadCounts(*(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True)))


_COLUMNS = {field.name: at for at, field in enumerate(fields(ReadCounts))}


class Counters:
    """The table behind `ReadCounts`, in memory that worker processes share; it has no name to be left behind.

    Make it before the workers start; each then writes a row of its own.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._table = torch.zeros((ROWS, len(_COLUMNS)), dtype=torch.int64)
        self._replaced = torch.full((ROWS, LISTED), -1, dtype=torch.int64)
        for shared in (self._table, self._replaced):
            shared.share_memory_()  # type: ignore[no-untyped-call]  # torch's own lacks types
        self._own()

    def _own(self) -> None:
        """Make what belongs to one process: a lock between its threads, and its view of the table."""
        self._lock = threading.Lock()
        self._rows = self._table.numpy()

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_rows")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the same shared memory."""
        self.__dict__.update(state)
        self._own()

    def add(self, **amounts: int) -> None:
        """Add to fields of `ReadCounts` by name."""
        row = self._rows[_row()]
        with self._lock:
            for name, amount in amounts.items():
                row[_COLUMNS[name]] += amount

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the microseconds that the block takes to a field of `ReadCounts`."""
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(**{stage: (time.perf_counter_ns() - began) // 1000})

    def add_replaced(self, samples: NDArray[np.int64]) -> None:
        """Count samples that were replaced and remember the first few."""
        with self._lock:
            listed = self._replaced.numpy()[_row()]
            free = np.flatnonzero(listed < 0)[: len(samples)]
            listed[free] = samples[: len(free)]
        self.add(bad_samples=len(samples))

    def total(self) -> ReadCounts:
        """Sum over all processes."""
        return ReadCounts(*(int(n) for n in self._rows.sum(axis=0)))

    def replaced(self) -> list[int]:
        """Sample numbers that were replaced, each once: all of them, or the first of each process."""
        listed = self._replaced.numpy()
        return [int(n) for n in np.unique(listed[listed >= 0])]


def _row() -> int:
    worker = torch.utils.data.get_worker_info()
    return 0 if worker is None else 1 + worker.id % (ROWS - 1)
