"""A lookup table on disk from (image, text) to score, for ledgers of any size.

    DIR/high.bin   uint64 [N], sorted: the upper half of xxh3_128 of both hashes together
    DIR/rows.bin   ROW [N], in the same order

As `engine.captions.index`: workers map the files, a lookup is a binary search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.captions.parts import read_part
from engine.captions.scores import ScoreRun, text_hash
from engine.captions.tables import Rows, in_order, key_hash, mapped, same_as_next, sort_table

ROW = np.dtype([("high", "<u8"), ("low", "<u8"), ("rank", "<u4"), ("score", "<f4")])
_COLUMNS = ("content_hash", "text_hash", "score")


def build_score_index(folder: Path, runs: Sequence[ScoreRun]) -> int:
    """Writes the table; where runs have the same pair, the last one's score counts. Returns the pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    unsorted = folder / "unsorted.bin"
    with unsorted.open("wb") as rows:
        for rank, run in enumerate(runs):
            for part in run.parts:
                _append(part, rank, rows)
    pairs = sort_table(folder, unsorted, ROW, _last_of_each)
    unsorted.unlink()
    return pairs


class ScoreIndex:
    """The table of one model."""

    def __init__(self, folder: Path) -> None:
        """Maps the files."""
        self._high = mapped(folder / "high.bin", np.dtype("<u8"))
        self._rows: Rows = mapped(folder / "rows.bin", ROW)

    def find(self, content_hash: str, texts: Sequence[str]) -> list[float | None]:
        """The score of each text with the image of this hash, None where there is none."""
        keys = [key_hash(content_hash + text_hash(text)) for text in texts]
        first = np.searchsorted(self._high, np.array([high for high, _ in keys], np.uint64))
        return [self._at(int(at), *key) for at, key in zip(first, keys, strict=True)]

    def _at(self, at: int, high: int, low: int) -> float | None:
        while at < len(self._rows) and int(self._high[at]) == high:
            if int(self._rows[at]["low"]) == low:
                return float(self._rows[at]["score"])
            at += 1
        return None


def _append(part: Path, rank: int, rows: BinaryIO) -> None:
    for batch in read_part(part, _COLUMNS):
        columns = (batch.column(name).to_pylist() for name in _COLUMNS)
        found = [
            (*key_hash(content + text), rank, score)
            for content, text, score in zip(*columns, strict=True)
            if score is not None
        ]
        rows.write(np.array(found, ROW).tobytes())


def _last_of_each(rows: Rows) -> Rows:
    rows = in_order(rows)
    return rows[np.append(~same_as_next(rows), True)] if len(rows) else rows
