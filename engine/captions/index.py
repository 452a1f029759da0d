"""A lookup table on disk from sample keys to captions, for ledgers of any size.

    DIR/high.bin    uint64 [N], sorted: the upper half of xxh3_128 of the key
    DIR/rows.bin    ROW [N], in the same order
    DIR/texts.bin   UTF-8 texts back to back

Workers map the files into memory; a lookup is a binary search. Built in ranges of hash values, so that memory
stays bounded however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.captions.ledger import LedgerSource, read_part
from engine.native import hash_bytes

ROW = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("content", "<u8"), ("at", "<u8"), ("bytes", "<u4"), ("rank", "<u4")]
)
ROWS_AT_ONCE = 4_000_000  # 160 MB, about 600 MB while they are sorted
_COLUMNS = ("key", "content_hash", "text")

Rows = NDArray[np.void]


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
        self._high = _mapped(folder / "high.bin", np.dtype("<u8"))
        self._rows = _mapped(folder / "rows.bin", ROW)
        self._texts = _mapped(folder / "texts.bin", np.dtype("u1"))

    def find(self, keys: Sequence[str]) -> list[Found | None]:
        """The caption of every key, None where there is none."""
        hashes = [_key_hash(key) for key in keys]
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
                high, low = _key_hash(key)
                found.append((high, low, content_bits(content_hash), texts.tell(), len(data), rank))
                texts.write(data)
        rows.write(np.array(found, ROW).tobytes())


def _key_hash(key: str) -> tuple[int, int]:
    digest = hash_bytes(key.encode(), "xxh3_128")
    return int(digest[:16], 16), int(digest[16:], 16)


def _sort(folder: Path, unsorted: Path) -> IndexCounts:
    rows, texts = _mapped(unsorted, ROW), _mapped(folder / "texts.bin", np.dtype("u1"))
    keys = conflicting = 0
    with (folder / "high.bin").open("wb") as high, (folder / "rows.bin").open("wb") as out:
        for part in _ranges(rows):
            last, differing = _last_of_each(part, texts)
            keys, conflicting = keys + len(last), conflicting + differing
            high.write(last["high"].tobytes())
            out.write(last.tobytes())
    return IndexCounts(keys, conflicting)


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


def _last_of_each(rows: Rows, texts: NDArray[np.uint8]) -> tuple[Rows, int]:
    """The row of the last ledger for every key, sorted, and the number of keys whose texts differ."""
    rows = rows[np.lexsort((rows["rank"], rows["low"], rows["high"]))]
    if len(rows) == 0:
        return rows, 0
    same = (rows["high"][1:] == rows["high"][:-1]) & (rows["low"][1:] == rows["low"][:-1])
    differing = set()
    for at in np.flatnonzero(same):
        if _bytes(rows[at], texts) != _bytes(rows[at + 1], texts):
            differing.add((int(rows[at]["high"]), int(rows[at]["low"])))
    return rows[np.append(~same, True)], len(differing)


def _bytes(row: Any, texts: NDArray[np.uint8]) -> bytes:
    start = int(row["at"])
    return texts[start : start + int(row["bytes"])].tobytes()


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")
