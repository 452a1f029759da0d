"""Streaming's Stream, whose compressed shards never become larger than index.json says."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from streaming import Stream
from streaming.base.format.base.reader import FileInfo, Reader
from streaming.base.world import World

from engine.shards.compression import decompress
from engine.shards.index import INDEX_NAME
from loaders.metadata import have_file
from loaders.readers import read_readers
from loaders.shards import DamagedShardError, advice


class BoundedStream(Stream):
    """A Stream that undoes zstd as `engine.verify` does: within the sizes that index.json announces.

    Streaming's own decompression makes whatever the file holds: a few kilobytes can become many gigabytes.
    """

    def __init__(self, local: str, remote: str | None, bounded: bool) -> None:
        """Fetch nothing yet; `bounded` says that the cache has a limit."""
        super().__init__(local=local, remote=remote)
        self._bounded = bounded

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

        Where shards are found only when wanted it counts from far above, since it stops at a negative count.
        """
        return int(super().get_index_size()) if self._bounded else 1 << 62

    def get_shards(self, world: World, allow_unsafe_types: bool) -> list[Reader]:
        """Return the readers of all shards, with index.json fetched first if only the remote has it.

        Raises:
            UserError: when it cannot be fetched, or is not what the loaders can read.
        """
        have_file(self.local, self.remote, INDEX_NAME)
        return list(read_readers(self.local, self.split))

    def _prepare_shard_part(
        self, raw_info: FileInfo, zip_info: FileInfo | None = None, compression: str | None = None
    ) -> int:
        """Make the raw shard exist; return by how many bytes the cache grew (Streaming's own meaning).

        Raises:
            DamagedShardError: when the compressed file is not what index.json says.
        """
        raw = os.path.join(self.local, self.split, raw_info.basename)
        if zip_info is None or os.path.isfile(raw):
            return super()._prepare_shard_part(raw_info, zip_info, compression)
        packed = os.path.join(self.local, self.split, zip_info.basename)
        grown = raw_info.bytes
        if not os.path.isfile(packed):
            self._download_file(zip_info.basename)
            grown += zip_info.bytes
        self._unpack(packed, zip_info.bytes, raw, raw_info.bytes)
        if not self.safe_keep_zip:
            os.remove(packed)
            grown -= zip_info.bytes
        return grown

    def _unpack(self, packed: str, packed_bytes: int, raw: str, raw_bytes: int) -> None:
        """Write the raw shard whole or not at all; a damaged copy is removed, so that it is fetched anew."""
        try:
            data = _read_packed(packed, packed_bytes, raw_bytes)
        except DamagedShardError:
            if self.remote is not None:
                os.remove(packed)
            raise
        with open(raw + ".tmp", "wb") as file:
            file.write(data)
        os.replace(raw + ".tmp", raw)


def _read_packed(path: str, packed_bytes: int, raw_bytes: int) -> bytes:
    """What the compressed file at `path` holds: exactly `raw_bytes` bytes."""
    size = os.stat(path).st_size
    if size != packed_bytes:
        raise DamagedShardError(f"{path}: {size:,} bytes, index.json says {packed_bytes:,}; {advice()}")
    with open(path, "rb") as file:
        data = file.read()
    try:
        return decompress(data, raw_bytes)
    except ValueError as error:
        raise DamagedShardError(f"{path}: {error}; {advice()}") from error
