"""Writes MDS v2 shards, byte for byte as MosaicML's `MDSWriter` does, each appearing whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.native import ShardPacker, commit_file
from engine.shards.compression import EXTENSION, compress, parse_compression
from engine.shards.encodings import encode_value, encoding
from engine.shards.entries import FileInfo, ShardEntry, ShardLayout
from engine.shards.hashing import check_hashes, hex_digest, packed_digest
from engine.shards.index import INDEX_NAME

if TYPE_CHECKING:
    from engine.native._core import ByteItems

DEFAULT_SIZE_LIMIT = 1 << 26
_MAX_SIZE_LIMIT = (1 << 32) - 1  # offsets inside a shard are u32


class MdsWriter:
    """Packs samples into `shard.00000.mds`, `shard.00001.mds`, ... of one folder that no one else writes to.

    A shard is written when the next sample would pass the size limit: to a temporary file beside its place,
    synced, renamed, the folder synced. `finish` writes the last one; the index is the caller's
    (`engine.shards.index`). Every method that writes raises NativeError (`Status.IO_ERROR`) when the file
    system refuses; no part of the failing shard stays behind.
    """

    def __init__(
        self,
        directory: str | Path,
        columns: Mapping[str, str],
        *,
        size_limit: int | None = DEFAULT_SIZE_LIMIT,
        hashes: Sequence[str] = ("xxh64",),
        compression: str | None = None,
    ) -> None:
        """Makes the folder if it is missing and removes the temporary files of killed writers in it.

        Args:
            directory: Where the shards go.
            columns: Encoding by column name, see `engine.shards.encodings`.
            size_limit: Bytes of a raw shard, or None for a single shard (which must stay below 4 GiB).
            hashes: Names of hashes over each file, sorted.
            compression: None or `zstd[:LEVEL]`; then only the compressed file is written.

        Raises:
            UserError: A wrong option, or the folder holds a finished dataset.
        """
        self._layout = make_layout(columns, size_limit, hashes, compression)
        self._directory = _prepare(Path(directory))
        layout = self._layout
        config = json.dumps(layout.to_json(), sort_keys=True).encode()
        self._packer = ShardPacker(layout.column_names, layout.column_sizes, config, size_limit or 0)
        self._entries: list[ShardEntry] = []

    def write(self, sample: Mapping[str, Any]) -> None:
        """Writes one sample: a value per column, encoded here unless it is `bytes` already."""
        layout = self._layout
        pairs = zip(layout.column_names, layout.column_encodings, strict=True)
        self._append([[encode_value(how, sample[name])] for name, how in pairs])

    def write_batch(self, columns: Mapping[str, ByteItems]) -> None:
        """Writes N samples: for each column N encoded values, as a sequence of buffers or a `ColumnView`.

        Raises:
            NativeError: `Status.BAD_ARGUMENT`: lengths differ, or a value is not of its column's size;
                nothing of the batch was written.
        """
        if set(columns) != set(self._layout.column_names):
            raise UserError(f"columns {sorted(columns)}: expected {list(self._layout.column_names)}")
        self._append([columns[name] for name in self._layout.column_names])

    def finish(self) -> list[ShardEntry]:
        """Writes the last shard; returns all entries in order, basenames relative to the writer's folder."""
        if self._packer.samples:
            self._flush()
        return list(self._entries)

    def _append(self, values: Sequence[ByteItems]) -> None:
        total = len(values[0])
        done = self._packer.append(values)
        while done < total:
            self._flush()
            done += self._packer.append(values, done)

    def _flush(self) -> None:
        name = f"shard.{len(self._entries):05d}.mds"
        packer, layout = self._packer, self._layout
        raw_data = FileInfo(name, packer.nbytes, {a: packed_digest(packer, a) for a in layout.hashes})
        zip_data = self._commit_compressed(name, packer.to_bytes()) if layout.compression else None
        if zip_data is None:
            packer.commit(self._directory / name)
        self._entries.append(ShardEntry(layout, packer.samples, raw_data, zip_data))
        packer.reset()

    def _commit_compressed(self, name: str, raw: bytes) -> FileInfo:
        data = compress(raw, self._layout.compression or EXTENSION)
        digests = {a: hex_digest(data, a) for a in self._layout.hashes}
        info = FileInfo(f"{name}.{EXTENSION}", len(data), digests)
        commit_file(self._directory / info.basename, data)
        return info


def make_layout(
    columns: Mapping[str, str], size_limit: int | None, hashes: Sequence[str], compression: str | None
) -> ShardLayout:
    """Checks a writer's options; columns are put in the order of their names' code points."""
    if not columns:
        raise UserError("columns: none given; expected at least one name and encoding")
    if size_limit is not None and not 0 < size_limit <= _MAX_SIZE_LIMIT:
        raise UserError(f"size_limit {size_limit}: expected 1 to {_MAX_SIZE_LIMIT} bytes, or None")
    if compression is not None:
        parse_compression(compression)
    names = tuple(sorted(columns))
    encodings = tuple(columns[name] for name in names)
    sizes = tuple(encoding(name).size for name in encodings)
    return ShardLayout(names, encodings, sizes, compression, check_hashes(hashes), size_limit)


def _prepare(directory: Path) -> Path:
    if (directory / INDEX_NAME).exists():
        raise UserError(f"{directory}: holds a finished dataset; remove it or name another folder")
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob("*.tmp"):
        leftover.unlink()
    return directory
