"""Sorted tables on disk, built in ranges of hash values so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.native import hash_bytes

ROWS_AT_ONCE = 4_000_000  # 160 MB of the widest rows, about 600 MB while they are sorted

Rows = NDArray[np.void]


def key_hash(key: str) -> tuple[int, int]:
    """The two halves of xxh3_128 of a key in UTF-8."""
    digest = hash_bytes(key.encode(), "xxh3_128")
    return int(digest[:16], 16), int(digest[16:], 16)


def sort_table(folder: Path, unsorted: Path, row: np.dtype[Any], choose: Callable[[Rows], Rows]) -> int:
    """Writes `high.bin` and `rows.bin`; returns how many rows there are.

    Args:
        folder: of the table.
        unsorted: rows with the fields `high`, `low` and `rank`, back to back.
        row: their dtype.
        choose: gets all rows of a range, in any order, and gives those to keep, sorted.
    """
    rows, kept = mapped(unsorted, row), 0
    with (folder / "high.bin").open("wb") as high, (folder / "rows.bin").open("wb") as out:
        for part in _ranges(rows):
            chosen = choose(part)
            kept += len(chosen)
            high.write(chosen["high"].tobytes())
            out.write(chosen.tobytes())
    return kept


def in_order(rows: Rows) -> Rows:
    """Rows sorted by key, then by rank."""
    ordered: Rows = rows[np.lexsort((rows["rank"], rows["low"], rows["high"]))]
    return ordered


def same_as_next(rows: Rows) -> NDArray[np.bool_]:
    """For each of the sorted rows but the last, whether the next has the same key."""
    same: NDArray[np.bool_] = (rows["high"][1:] == rows["high"][:-1]) & (rows["low"][1:] == rows["low"][:-1])
    return same


def mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A file of rows as an array."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")


def _ranges(rows: Rows) -> Iterator[Rows]:
    count = 1 << max(0, (len(rows) // ROWS_AT_ONCE).bit_length())
    if count == 1:
        return (yield np.array(rows))
    width = (1 << 64) // count
    for at in range(count):
        inside = [chunk[chunk["high"] // np.uint64(width) == at] for chunk in _chunks(rows)]
        yield np.concatenate(inside)


def _chunks(rows: Rows) -> Iterable[Rows]:
    return (np.array(rows[at : at + ROWS_AT_ONCE]) for at in range(0, len(rows), ROWS_AT_ONCE))
