"""Memory maps of shards: verified when opened, bounded in number, one set per process."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from streaming.base.format.base.reader import FileInfo, Reader
from streaming.base.format.mds.reader import MDSReader

from engine.errors import UserError
from engine.native import MdsShard, NativeError
from engine.shards.hashing import HASHES, file_digest
from loaders.counters import Counters

# Linux allows 65,530 maps a process; a map costs its page tables only, reopening one costs a hash over the
# shard.
MOST_OPEN = 4096
# Cheapest first (xxh3 reads 14 GB/s, sha1 2 GB/s); any of them finds a flipped bit.
HASH_PREFERENCE = ("xxh3_64", "xxh3_128", "xxh128", "xxh64", "xxh32", "sha1", "sha256")
# What the loaders read, with the MDS encodings that docs/architecture.md gives.
REQUIRED = {
    "key": "str",
    "image": "bytes",
    "width": "int32",
    "height": "int32",
    "caption_counts": "ndarray:uint16",
    "token_lengths": "ndarray:uint16",
    "tokens": "ndarray:uint16",
}
SCORES = {"scores": "ndarray:float32"}


class DamagedShardError(UserError):
    """A shard file is not what index.json says."""


class ShardMaps:
    """The open shards of this process, least recently used first."""

    def __init__(self, readers: Sequence[MDSReader], counters: Counters, most_open: int = MOST_OPEN) -> None:
        """Open nothing yet."""
        self._readers, self._counters = readers, counters
        self._most_open = most_open
        self._open: OrderedDict[int, MdsShard] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps behind: a process that gets this by pickle opens its own."""
        return {**self.__dict__, "_open": OrderedDict()}

    def get(self, shard: int) -> MdsShard:
        """Return a shard's map, opening and verifying it first if need be.

        Raises:
            FileNotFoundError: when the file is not there.
            DamagedShardError: when size, hash or offsets are wrong.
        """
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        opened = open_verified(self._readers[shard])
        self._counters.add(shards_opened=1)
        self._open[shard] = opened
        if len(self._open) > self._most_open:
            self._open.popitem(last=False)
        return opened

    def keep_only(self, shards: Collection[int]) -> None:
        """Let go of every other map: an evicted file occupies the disk for as long as it is mapped."""
        for shard in [shard for shard in self._open if shard not in shards]:
            del self._open[shard]

    def __contains__(self, shard: int) -> bool:
        """Whether a shard is open."""
        return shard in self._open

    def __len__(self) -> int:
        """Return how many shards are open."""
        return len(self._open)


def shard_path(reader: MDSReader) -> str:
    """Return where the uncompressed shard lies."""
    return os.path.join(reader.dirname, reader.split, reader.raw_data.basename)


def open_verified(reader: MDSReader) -> MdsShard:
    """Map a shard after comparing its size and one content hash with index.json.

    Raises:
        FileNotFoundError: when the file is not there.
        DamagedShardError: when it is not what index.json says.
    """
    path = shard_path(reader)
    check_file(path, reader.raw_data)
    try:
        opened = MdsShard(path, reader.column_names, reader.column_sizes)
    except NativeError as error:
        raise DamagedShardError(f"{path}: {error}; {advice()}") from error
    if opened.samples != reader.samples:
        raise DamagedShardError(
            f"{path}: {opened.samples} samples, index.json says {reader.samples}; {advice()}"
        )
    return opened


def mds_readers(folder: str, shards: Sequence[Reader], with_scores: bool) -> list[MDSReader]:
    """Return Streaming's readers, refusing a data set that these loaders cannot read.

    Raises:
        UserError: for a missing or differently encoded column.
    """
    readers = [shard for shard in shards if isinstance(shard, MDSReader)]
    if len(readers) < len(shards):
        raise UserError(
            f"{folder}: index.json has shards that are not MDS; shard the data with python -m engine.shard"
        )
    wanted = REQUIRED | (SCORES if with_scores else {})
    # The readers of a layout share its lists (loaders/readers.py).
    for reader in {id(reader.column_names): reader for reader in readers}.values():
        have = dict(zip(reader.column_names, reader.column_encodings, strict=True))
        wrong = [f"{name} ({enc})" for name, enc in wanted.items() if have.get(name) != enc]
        if wrong:
            raise UserError(
                f"{folder}: columns missing or of another encoding: {', '.join(wrong)}; it has "
                f"{', '.join(f'{n} ({e})' for n, e in have.items())}; "
                "shard the data with python -m engine.shard"
            )
    return readers


def check_file(path: str | Path, expected: FileInfo, called: str | None = None) -> None:
    """Compare size and the cheapest recorded hash of a file with index.json.

    Args:
        path: the file.
        expected: what index.json says of it.
        called: its name in messages, if not `path`.

    Raises:
        FileNotFoundError: when the file is not there.
        DamagedShardError: when it is not what index.json says.
        UserError: when index.json has no hash of it that is known here.
    """
    called = called or str(path)
    size = os.stat(path).st_size
    if size != expected.bytes:
        raise DamagedShardError(f"{called}: {size:,} bytes, index.json says {expected.bytes:,}; {advice()}")
    known = [*HASH_PREFERENCE, *(name for name in sorted(expected.hashes) if name in HASHES)]
    name = next((name for name in known if name in expected.hashes), None)
    if name is None:
        raise UserError(
            f"{called}: index.json has no hash of it, so that damage could not be seen; shard the data with "
            "python -m engine.shard, or write it with hashes=['xxh3_64']"
        )
    found = file_digest(Path(path), name)
    if found != expected.hashes[name]:
        raise DamagedShardError(
            f"{called}: {name} is {found}, index.json says {expected.hashes[name]}; {advice()}"
        )


def advice() -> str:
    """Return what to do about a damaged shard."""
    return "delete the file and copy it again, or shard the data again with python -m engine.shard"
