"""Streaming's Stream, whose shards are what index.json says, had in bounded time, or an error."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from streaming import Stream
from streaming.base.format.base.reader import FileInfo, Reader
from streaming.base.format.mds.reader import MDSReader
from streaming.base.world import World

from engine.shards.compression import decompress
from engine.shards.index import INDEX_NAME
from loaders.fetch import Fetcher, Wanted
from loaders.metadata import have_file
from loaders.readers import read_readers
from loaders.shards import DamagedShardError, advice, check_file, shard_path


class BoundedStream(Stream):
    """A Stream that fetches with a deadline, checks what arrived, and undoes zstd within the index's sizes.

    Streaming's own decompression makes whatever the file holds: a few kilobytes can become many gigabytes.
    """

    def __init__(self, fetcher: Fetcher, bounded: bool) -> None:
        """Fetch nothing yet; `bounded` says that the cache has a limit."""
        super().__init__(local=str(fetcher.local), remote=fetcher.remote)
        self.fetcher, self._bounded = fetcher, bounded

    def set_up_local(self, shards: list[Reader], cache_usage_per_shard: NDArray[np.int64]) -> None:
        """Say which shards are there, without walking through 140,000 files where that can wait.

        Without a remote they all have to be: reading reports a missing one. In a cache without limit, nobody
        asks how full it is, and `prepare_shard` finds a shard that is there when it is wanted.
        """
        if self.remote is None:
            cache_usage_per_shard[:] = [shard.get_persistent_size(True) for shard in shards]
        elif self._bounded:
            super().set_up_local(shards, cache_usage_per_shard)

    def get_index_size(self) -> int:
        """Return what Streaming starts to count the cache's bytes from.

        Where shards are found only when wanted it counts from far above, since it stops at a negative count;
        from there for each stream of a mix.
        """
        return int(super().get_index_size()) if self._bounded else 1 << 54

    def get_shards(self, world: World, allow_unsafe_types: bool) -> list[Reader]:
        """Return the readers of all shards, with index.json fetched first if only the remote has it.

        Raises:
            UserError: when it cannot be fetched, or is not what the loaders can read.
        """
        have_file(self.fetcher, INDEX_NAME)
        return list(read_readers(self.local, self.split))

    def make_shard(self, reader: MDSReader, until: float) -> int:
        """Make the raw shard exist, under the caller's claim; return by how many bytes the cache grew.

        Raises:
            FileNotFoundError: when it is nowhere.
            DamagedShardError: when it is not what index.json says.
            FetchError: when it cannot be had in time.
        """
        raw = Path(shard_path(reader))
        if raw.exists():
            return 0
        packed = None if reader.zip_data is None else Path(self.local, self.split, reader.zip_data.basename)
        if packed is not None and packed.exists():
            return self._unpack_here(reader, packed, raw)
        if self.remote is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(packed or raw))
        stored = reader.zip_data or reader.raw_data

        name = os.path.join(self.split, stored.basename)

        def accept(arrived: Path) -> Path:
            check_file(arrived, stored, name)
            return arrived if reader.zip_data is None else unpack(arrived, reader.raw_data, name)

        self.fetcher.fetch(Wanted(name, raw, stored.bytes, accept), until)
        self.fetcher.counters.add(shards_fetched=1)
        return reader.raw_data.bytes

    def _unpack_here(self, reader: MDSReader, packed: Path, raw: Path) -> int:
        """Unpack a compressed shard that is here; a damaged one that the remote has too is removed."""
        assert reader.zip_data is not None
        try:
            check_file(packed, reader.zip_data)
            os.replace(unpack(packed, reader.raw_data, str(packed)), raw)
        except DamagedShardError:
            if self.remote is not None:
                os.remove(packed)
            raise
        if self.safe_keep_zip:
            return reader.raw_data.bytes
        os.remove(packed)
        return reader.raw_data.bytes - reader.zip_data.bytes


def unpack(packed: Path, raw: FileInfo, called: str) -> Path:
    """Write what a compressed shard holds beside it: exactly the bytes that index.json announces.

    Args:
        packed: the compressed file.
        raw: what index.json says of its content.
        called: its name in messages.

    Raises:
        DamagedShardError: when it holds anything else; nothing was written.
    """
    try:
        data = decompress(packed.read_bytes(), raw.bytes)
    except ValueError as error:
        raise DamagedShardError(f"{called}: {error}; {advice()}") from error
    # A name of this process's own: a cache may be shared by machines without common locks.
    made = packed.with_name(f"{packed.name}.{socket.gethostname()}-{os.getpid()}.raw")
    try:
        made.write_bytes(data)
        check_file(made, raw, f"{called}, unpacked")
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    return made
