"""Hash algorithms by the names MDS indexes use: xxHash in the core, the others from hashlib."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from engine.errors import UserError
from engine.native import ShardPacker, hash_bytes, hash_file

XXHASHES = ("xxh128", "xxh32", "xxh3_128", "xxh3_64", "xxh64")
HASHES = tuple(sorted([*XXHASHES, *(a for a in hashlib.algorithms_guaranteed if not a.startswith("shake_"))]))


_READ_BYTES = 1 << 20


def check_hashes(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if Streaming would take them: known, unique, sorted.

    Raises:
        UserError: Otherwise.
    """
    unknown = [name for name in names if name not in HASHES]
    if unknown:
        raise UserError(f"hash {unknown[0]!r}: unknown; expected some of {', '.join(HASHES)}")
    if list(names) != sorted(set(names)):
        raise UserError(f"hashes {list(names)}: expected unique names in sorted order")
    return tuple(names)


def file_digest(path: Path, name: str) -> str:
    """Lower-case hex of a file, read in pieces."""
    if name in XXHASHES:
        return hash_file(path, name)
    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def packed_digest(packer: ShardPacker, name: str) -> str:
    """Lower-case hex of the shard that is being packed, without a copy of it."""
    if name in XXHASHES:
        return packer.hash(name)
    digest = hashlib.new(name, usedforsecurity=False)
    packer.feed(digest.update)
    return digest.hexdigest()


def hex_digest(data: bytes, name: str) -> str:
    """Lower-case hex of one buffer; releases the GIL while it works."""
    if name in XXHASHES:
        return hash_bytes(data, name)
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()
