"""A lookup table on disk from sample keys to captions, for ledgers of any size.

    DIR/high.bin    uint64 [N], sorted: the upper half of xxh3_128 of the key
    DIR/rows.bin    ROW [N], in the same order
    DIR/texts.bin   UTF-8 texts back to back

Workers map the files into memory; a lookup is a binary search. Built in ranges of hash values, so that memory
stays bounded however many rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.captions.ledger import LedgerSource
from engine.captions.parts import read_part
from engine.captions.tables import Rows, in_order, key_hash, mapped, same_as_next, sort_table

ROW = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("content", "<u8"), ("at", "<u8"), ("bytes", "<u4"), ("rank", "<u4")]
)
_COLUMNS = ("key", "content_hash", "text")


@dataclass(frozen=True)
class IndexCounts:
    """`keys` with a caption, and how many of them have different captions in different ledgers."""

    keys: int
    conflicting: int


@dataclass(frozen=True)
class Found:
    """A caption, and the upper 64 bits of its image's content hash (0 if unknown)."""

    text: str
    content: int


def build_index(folder: Path, ledgers: Sequence[LedgerSource]) -> IndexCounts:
    """Writes the table of one source; where ledgers have the same key, the last one's caption counts.

    Args:
        folder: made if need be; whatever is in it is overwritten.
        ledgers: the source in each ledger, in the order given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unsorted = folder / "unsorted.bin"
    with unsorted.open("wb") as rows, (folder / "texts.bin").open("wb") as texts:
        for rank, ledger in enumerate(ledgers):
            for part in ledger.parts:
                _append(part, rank, rows, texts)
    counts = _sort(folder, unsorted)
    unsorted.unlink()
    return counts


class CaptionIndex:
    """The table of one source."""

    def __init__(self, folder: Path) -> None:
        """Maps the files."""
        self._high = mapped(folder / "high.bin", np.dtype("<u8"))
        self._rows = mapped(folder / "rows.bin", ROW)
        self._texts = mapped(folder / "texts.bin", np.dtype("u1"))

    def find(self, keys: Sequence[str]) -> list[Found | None]:
        """The caption of every key, None where there is none."""
        hashes = [key_hash(key) for key in keys]
        first = np.searchsorted(self._high, np.array([high for high, _ in hashes], np.uint64))
        return [self._at(int(at), *key) for at, key in zip(first, hashes, strict=True)]

    def _at(self, at: int, high: int, low: int) -> Found | None:
        while at < len(self._rows) and int(self._high[at]) == high:
            row = self._rows[at]
            if int(row["low"]) == low:
                start = int(row["at"])
                text = self._texts[start : start + int(row["bytes"])].tobytes().decode()
                return Found(text, int(row["content"]))
            at += 1
        return None


def content_bits(content_hash: str) -> int:
    """The part of a content hash that the table keeps; 0 for an empty one."""
    return int(content_hash[:16], 16) if content_hash else 0


def _append(part: Path, rank: int, rows: BinaryIO, texts: BinaryIO) -> None:
    for batch in read_part(part, _COLUMNS):
        columns = (batch.column(name).to_pylist() for name in _COLUMNS)
        found: list[tuple[Any, ...]] = []
        for key, content_hash, text in zip(*columns, strict=True):
            if text:
                data = text.encode()
                high, low = key_hash(key)
                found.append((high, low, content_bits(content_hash), texts.tell(), len(data), rank))
                texts.write(data)
        rows.write(np.array(found, ROW).tobytes())


def _sort(folder: Path, unsorted: Path) -> IndexCounts:
    texts = mapped(folder / "texts.bin", np.dtype("u1"))
    conflicting = 0

    def choose(rows: Rows) -> Rows:
        nonlocal conflicting
        last, differing = _last_of_each(rows, texts)
        conflicting += differing
        return last

    return IndexCounts(sort_table(folder, unsorted, ROW, choose), conflicting)


def _last_of_each(rows: Rows, texts: NDArray[np.uint8]) -> tuple[Rows, int]:
    """The row of the last ledger for every key, sorted, and the number of keys whose texts differ."""
    rows = in_order(rows)
    if len(rows) == 0:
        return rows, 0
    same = same_as_next(rows)
    differing = set()
    for at in np.flatnonzero(same):
        if _bytes(rows[at], texts) != _bytes(rows[at + 1], texts):
            differing.add((int(rows[at]["high"]), int(rows[at]["low"])))
    return rows[np.append(~same, True)], len(differing)


def _bytes(row: Any, texts: NDArray[np.uint8]) -> bytes:
    start = int(row["at"])
    return texts[start : start + int(row["bytes"])].tobytes()
