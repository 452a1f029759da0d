"""Reads an MDS v2 dataset from a local folder, without torch or Streaming: for verifying and inspecting."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import UserError
from engine.native import MdsShard, NativeError, SampleBatch, gather
from engine.shards.compression import decompress
from engine.shards.encodings import decode_value
from engine.shards.entries import ShardEntry
from engine.shards.index import read_index

# Linux allows 65,530 maps a process.
MOST_OPEN = 1024


class MdsDataset:
    """The samples of all shards in index order; shards are opened when first needed.

    Raw shards are memory-mapped, and the last `MOST_OPEN` used stay open. Of compressed shards only the last
    one used is kept in memory.
    """

    def __init__(self, directory: Path, entries: list[ShardEntry]) -> None:
        """Takes an index as `read_index` returns it; see `open_dataset`."""
        self.directory = directory
        self.entries = entries
        self._starts = [0, *accumulate(entry.samples for entry in entries)]
        self._mapped: OrderedDict[int, MdsShard] = OrderedDict()
        self._inflated: tuple[int, MdsShard] | None = None

    def __len__(self) -> int:
        """Samples in all shards."""
        return self._starts[-1]

    def locate(self, index: int) -> tuple[int, int]:
        """(shard, sample within it) of a sample; IndexError beyond the end."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        shard = bisect_right(self._starts, index) - 1
        return shard, index - self._starts[shard]

    def sample(self, index: int) -> dict[str, Any]:
        """The decoded values of one sample.

        Raises:
            IndexError: There is no such sample.
            UserError: Its shard is missing or damaged.
        """
        encoded = self.encoded(index)
        shard, at = self.locate(index)
        layout = self.entries[shard].layout
        decoded = {}
        for name, how in zip(layout.column_names, layout.column_encodings, strict=True):
            try:
                decoded[name] = decode_value(how, encoded[name])
            except (ValueError, RecursionError) as error:
                raise UserError(f"{self._where(shard)}: sample {at}, column {name}: {error}") from error
        return decoded

    def encoded(self, index: int) -> dict[str, bytes]:
        """The values of one sample as they are stored."""
        shard, at = self.locate(index)
        try:
            values = self.shard(shard).values(at)
        except NativeError as error:
            raise UserError(str(error)) from error
        return dict(zip(self.entries[shard].layout.column_names, values, strict=True))

    def batch(self, shard: int) -> SampleBatch:
        """All samples of one shard, column by column, as views into it."""
        opened = self.shard(shard)
        index = np.arange(opened.samples, dtype=np.int32)
        try:
            return gather([opened], np.zeros_like(index), index)
        except NativeError as error:
            raise UserError(str(error)) from error

    def shard(self, shard: int) -> MdsShard:
        """One shard, opened, its size and offsets checked against the index.

        Raises:
            UserError: It is missing or damaged.
        """
        if shard in self._mapped:
            self._mapped.move_to_end(shard)
            return self._mapped[shard]
        if self._inflated is not None and self._inflated[0] == shard:
            return self._inflated[1]
        opened = self._open(shard)
        if opened.samples != self.entries[shard].samples:
            counts = f"{opened.samples} samples, the index says {self.entries[shard].samples}"
            raise UserError(f"{self._where(shard)}: {counts}")
        if self.entries[shard].zip_data is None:
            self._mapped[shard] = opened
            if len(self._mapped) > MOST_OPEN:
                self._mapped.popitem(last=False)
        else:
            self._inflated = (shard, opened)
        return opened

    def _open(self, shard: int) -> MdsShard:
        entry, path = self.entries[shard], self._where(shard)
        names, sizes = entry.layout.column_names, entry.layout.column_sizes
        try:
            if entry.zip_data is None:
                return MdsShard(path, names, sizes, entry.raw_data.bytes)
            if path.stat().st_size != entry.zip_data.bytes:
                raise UserError(f"{path}: {path.stat().st_size} bytes, the index says {entry.zip_data.bytes}")
            raw = decompress(path.read_bytes(), entry.raw_data.bytes)
            return MdsShard.from_bytes(raw, names, sizes, str(path))
        except (NativeError, OSError) as error:
            raise UserError(str(error)) from error
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error

    def _where(self, shard: int) -> Path:
        return self.directory / self.entries[shard].stored.basename


def open_dataset(directory: str | Path) -> MdsDataset:
    """Opens a finished dataset by its index.

    Raises:
        UserError: There is no index, or it is not one of MDS v2.
    """
    return MdsDataset(Path(directory), read_index(directory))
