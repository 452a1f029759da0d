"""One shard's entry in an MDS v2 `index.json`, checked field by field: an index is foreign input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from engine.errors import UserError
from engine.shards.compression import parse_compression
from engine.shards.encodings import encoding

_KEYS = {
    "column_encodings", "column_names", "column_sizes", "compression", "format", "hashes", "raw_data",
    "samples", "size_limit", "version", "zip_data",
}  # fmt: skip
_LAYOUT_KEYS = (
    "column_names", "column_encodings", "column_sizes", "compression", "hashes", "size_limit",
)  # fmt: skip
_MAX_RAW_BYTES = (1 << 32) - 1  # offsets inside a shard are u32


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file as the index describes it: path below the index's folder, bytes, hex digest by algorithm."""

    basename: str
    bytes: int
    hashes: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        return {"basename": self.basename, "bytes": self.bytes, "hashes": dict(self.hashes)}


@dataclass(frozen=True)
class ShardLayout:
    """What all shards of one writer share.

    Attributes:
        column_names: Sorted, as MDSWriter has them.
        column_encodings: One per column.
        column_sizes: Bytes of every value, None where they vary.
        compression: None or `zstd[:LEVEL]`.
        hashes: Sorted names of hash algorithms.
        size_limit: Bytes of a raw shard; None for no limit (old indexes have strings such as `64mb`).
    """

    column_names: tuple[str, ...]
    column_encodings: tuple[str, ...]
    column_sizes: tuple[int | None, ...]
    compression: str | None
    hashes: tuple[str, ...]
    size_limit: int | str | None

    def to_json(self) -> dict[str, Any]:
        """The shard header's object, which is also part of every index entry."""
        return {
            "version": 2,
            "format": "mds",
            "compression": self.compression,
            "hashes": list(self.hashes),
            "size_limit": self.size_limit,
            "column_names": list(self.column_names),
            "column_encodings": list(self.column_encodings),
            "column_sizes": list(self.column_sizes),
        }


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard: its layout, its number of samples and its files."""

    layout: ShardLayout
    samples: int
    raw_data: FileInfo
    zip_data: FileInfo | None

    @property
    def stored(self) -> FileInfo:
        """The file that lies on disk: the compressed one if there is one."""
        return self.zip_data or self.raw_data

    def to_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        zip_data = self.zip_data.to_json() if self.zip_data else None
        files = {"samples": self.samples, "raw_data": self.raw_data.to_json(), "zip_data": zip_data}
        return {**self.layout.to_json(), **files}

    def below(self, folder: str) -> ShardEntry:
        """The entry as an index one folder up has it (what `streaming.base.util.merge_index` does)."""
        zip_data = self.zip_data and replace(self.zip_data, basename=f"{folder}/{self.zip_data.basename}")
        raw_data = replace(self.raw_data, basename=f"{folder}/{self.raw_data.basename}")
        return replace(self, raw_data=raw_data, zip_data=zip_data)


def entry_from_json(obj: Any) -> ShardEntry:
    """Checks and converts one element of the index's `shards`.

    Raises:
        UserError: Anything but an MDS v2 shard whose files lie below the index's folder.
    """
    if not isinstance(obj, dict):
        raise UserError(f"shard entry: expected an object, got {type(obj).__name__}")
    if obj.get("version") != 2 or obj.get("format") != "mds":
        given = f"format {obj.get('format')!r} version {obj.get('version')!r}"
        raise UserError(f"shard entry: {given}; expected 'mds' version 2")
    if set(obj) != _KEYS:
        raise UserError(f"shard entry: missing or unknown keys {sorted(set(obj) ^ _KEYS)}")
    layout = _layout(obj)
    raw_data = _file_info(obj["raw_data"], "raw_data")
    zip_data = None if obj["zip_data"] is None else _file_info(obj["zip_data"], "zip_data")
    if (zip_data is None) != (layout.compression is None):
        raise UserError(f"{raw_data.basename}: compression and zip_data contradict each other")
    if raw_data.bytes > _MAX_RAW_BYTES:
        raise UserError(f"{raw_data.basename}: {raw_data.bytes} bytes; an MDS shard is smaller than 4 GiB")
    return ShardEntry(layout, _count(obj["samples"], "samples"), raw_data, zip_data)


def check_basename(name: Any) -> str:
    """A relative path that stays below its folder.

    Raises:
        UserError: It is absolute, climbs with `..`, or is no clean path at all.
    """
    parts = name.split("/") if isinstance(name, str) else [""]
    if any(part in ("", ".", "..") for part in parts) or any(c in name for c in "\\\0"):
        raise UserError(f"basename {name!r}: expected a relative path below the folder of the index")
    return str(name)


def _layout(obj: Mapping[str, Any]) -> ShardLayout:
    values = (obj[key] for key in _LAYOUT_KEYS)
    try:
        return _known_layout(*(tuple(value) if isinstance(value, list) else value for value in values))
    except TypeError:  # a value that does not hash is neither text nor a number
        raise UserError(
            f"shard entry: expected lists of text and numbers in {', '.join(_LAYOUT_KEYS)}"
        ) from None


@lru_cache(maxsize=256)
def _known_layout(
    names: Any, encodings: Any, sizes: Any, compression: Any, hashes: Any, limit: Any
) -> ShardLayout:
    """Checks a layout once for all the shards that have it, and gives them the same object."""
    names, encodings = _strings(names, "column_names"), _strings(encodings, "column_encodings")
    if not isinstance(sizes, tuple) or not len(names) == len(encodings) == len(sizes) > 0:
        raise UserError("shard entry: column names, encodings and sizes differ in length or are empty")
    if len(set(names)) != len(names):
        raise UserError(f"shard entry: column names repeat: {list(names)}")
    expected = tuple(encoding(name).size for name in encodings)
    typed = all(size is None or type(size) is int for size in sizes)
    if not typed or tuple(size or None for size in sizes) != expected:
        raise UserError(f"shard entry: column_sizes {sizes}; {list(encodings)} have {list(expected)}")
    if compression is not None:
        parse_compression(compression)
    if limit is not None and not isinstance(limit, (int, str)):
        raise UserError(f"shard entry: size_limit {limit!r}; expected bytes or null")
    return ShardLayout(names, encodings, expected, compression, _strings(hashes, "hashes"), limit)


def _file_info(obj: Any, field: str) -> FileInfo:
    if not isinstance(obj, dict) or set(obj) != {"basename", "bytes", "hashes"}:
        raise UserError(f"shard entry: {field}: expected basename, bytes and hashes")
    hashes = obj["hashes"]
    if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
        raise UserError(f"shard entry: {field}.hashes: expected hex digests by algorithm")
    return FileInfo(check_basename(obj["basename"]), _count(obj["bytes"], f"{field}.bytes"), hashes)


def _strings(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise UserError(f"shard entry: {field}: expected a list of strings, got {value!r}")
    return value


def _count(value: Any, field: str) -> int:
    if type(value) is not int or value < 0:
        raise UserError(f"shard entry: {field}: expected a count, got {value!r}")
    return int(value)
