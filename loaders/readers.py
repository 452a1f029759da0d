"""Streaming's view of index.json, made in seconds for 140,000 shards.

Streaming itself copies every entry deeply (150 µs), and gives every sample of the data set a number in memory
to find its shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import streaming.base.dataset
from numpy.typing import NDArray
from streaming.base.format.base.reader import FileInfo
from streaming.base.format.mds.reader import MDSReader

from engine.shards.entries import ShardEntry, ShardLayout
from engine.shards.index import read_index


class ShardFinder:
    """Streaming's `Spanner` by binary search."""

    def __init__(self, shard_sizes: NDArray[np.int64]) -> None:
        """Take the samples of each shard, int64 [S]."""
        self._ends = np.cumsum(shard_sizes)
        self._starts = self._ends - shard_sizes

    def __getitem__(self, sample: int) -> tuple[int, int]:
        """Return shard and place in it of a sample.

        Raises:
            IndexError: when there is no such sample.
        """
        if not 0 <= sample < self._ends[-1]:
            raise IndexError(f"sample {sample} of {self._ends[-1]}")
        shard = int(np.searchsorted(self._ends, sample, side="right"))
        return shard, int(sample - self._starts[shard])


@contextmanager
def small_spanner() -> Iterator[None]:
    """Let data sets made meanwhile find shards with a `ShardFinder`.

    There is no other way in: `StreamingDataset.__init__` makes its `Spanner`, eight bytes for each sample,
    between steps that are needed.
    """
    module = cast(Any, streaming.base.dataset)
    original = module.Spanner
    module.Spanner = ShardFinder
    try:
        yield
    finally:
        module.Spanner = original


def read_readers(folder: str, split: str) -> list[MDSReader]:
    """Read index.json as Streaming's readers; what shards have in common is one object.

    Raises:
        UserError: when it is no index of MDS shards, names a file outside its folder, or a column that runs
            code when read.
    """
    columns: dict[int, _Columns] = {}
    readers = []
    for entry in read_index(folder):
        if id(entry.layout) not in columns:
            columns[id(entry.layout)] = _Columns(entry.layout)
        readers.append(columns[id(entry.layout)].reader(folder, split, entry))
    return readers


class _Columns:
    """A layout in the types that Streaming's readers want."""

    def __init__(self, layout: ShardLayout) -> None:
        self._layout = layout
        self._lists = [list(v) for v in (layout.column_encodings, layout.column_names, layout.column_sizes)]
        self._hashes = list(layout.hashes)

    def reader(self, folder: str, split: str, entry: ShardEntry) -> MDSReader:
        """Return the reader of a shard; our file descriptions have the attributes of Streaming's."""
        files = cast("tuple[FileInfo, FileInfo | None]", (entry.raw_data, entry.zip_data))
        layout = self._layout
        encodings, names, sizes = cast(Any, self._lists)
        return MDSReader(
            folder, split, encodings, names, sizes, layout.compression, self._hashes, files[0], entry.samples,
            layout.size_limit, files[1],
        )  # fmt: skip
