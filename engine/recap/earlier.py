"""Keys that earlier units have: their samples are not asked about again.

Duplicates across units are left out in a second phase, whatever order the units were done in
(`engine.recap.finish`). What earlier units had when this one began is known already, and is not paid for.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.build.dedup import KEY_DTYPE
from engine.build.job import Task
from engine.build.state import State
from engine.records import Reject

MOST_KEYS = 32_000_000  # 512 MB; those of the units added last

Hashes = NDArray[np.uint64]


def duplicate(key: str, task: Task) -> Reject:
    """The reject of a sample whose key an earlier unit has."""
    message = "a sample with this key was kept from an earlier unit"
    return Reject(key, "recaption", "duplicate_key", message, task.unit.where)


class EarlierKeys:
    """Sorted runs of key hashes, merged so that there are few of them."""

    def __init__(self, packed: Path) -> None:
        """Nothing yet; `packed` is the folder with the units' receipts and keys."""
        self._packed = packed
        self._units: set[int] = set()
        self._runs: list[tuple[Hashes, Hashes]] = []  # upper and lower halves

    def add_finished(self, before: int) -> bool:
        """Adds every unit before that one which is finished; whether no other was added sooner."""
        for index in sorted(set(range(before)) - self._units):
            receipt = self._packed / f"{index:05d}.json"
            if receipt.exists():
                self._units.add(index)
                self._add(np.fromfile(receipt.with_suffix(".keys"), KEY_DTYPE))
        return max(self._units, default=-1) < before

    def __contains__(self, key_hash: bytes) -> bool:
        """Whether a unit that was added has the key."""
        high, low = (np.uint64(int.from_bytes(half, "big")) for half in (key_hash[:8], key_hash[8:]))
        return any(_holds(run, high, low) for run in self._runs)

    def _add(self, keys: NDArray[np.void]) -> None:
        high, low = keys["high"].astype(np.uint64), keys["low"].astype(np.uint64)
        while self._runs and len(self._runs[-1][0]) <= 2 * len(high):
            more = self._runs.pop()
            high, low = np.concatenate([more[0], high]), np.concatenate([more[1], low])
        order = np.lexsort((low, high))
        self._runs.append((high[order], low[order]))
        while len(self._runs) > 1 and sum(len(run[0]) for run in self._runs) > MOST_KEYS:
            del self._runs[0]


def _holds(run: tuple[Hashes, Hashes], high: np.uint64, low: np.uint64) -> bool:
    first, last = np.searchsorted(run[0], high, "left"), np.searchsorted(run[0], high, "right")
    return bool(np.any(run[1][first:last] == low))


def keys_of_earlier_units(out: Path, task: Task) -> EarlierKeys:
    """What is known now of the units before a task; a process keeps it from unit to unit."""
    state = State(out)
    plan = state.folder / "plan.json"
    begun = plan.stat().st_mtime_ns if plan.exists() else 0  # a pilot has none
    known = _known(state.folder, begun)
    if not known.add_finished(task.index):  # this unit is done again, after later ones
        _known.cache_clear()
        known = _known(state.folder, begun)
        known.add_finished(task.index)
    return known


@lru_cache(maxsize=1)
def _known(folder: Path, _begun: int) -> EarlierKeys:
    return EarlierKeys(folder / "packed")
