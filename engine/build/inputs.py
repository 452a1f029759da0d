"""What the input was, briefly enough for `dataset.json` and exactly enough to notice that it changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from engine.native import hash_bytes
from engine.sources import Unit

# Enough to see within a millisecond that a tar or parquet file is another one: images differ all over.
BLOCKS = 8
BLOCK_BYTES = 4096


def describe_units(units: Sequence[Unit]) -> list[dict[str, Any]]:
    """Name, size and a hash of samples of the bytes by unit; remote units have their name only.

    Times are left out on purpose: a copy of the same input gives the same dataset.
    """
    known: dict[str, dict[str, Any]] = {}
    described = []
    for unit in units:
        if unit.where not in known:
            known[unit.where] = _fingerprint(unit.where)
        described.append({"unit": unit.name, **known[unit.where]})
    return described


def version_of(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _fingerprint(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        return {}
    size = os.path.getsize(path)
    last = max(0, size - BLOCK_BYTES)
    with open(path, "rb") as file:
        blocks = [_block(file.fileno(), last * at // (BLOCKS - 1)) for at in range(BLOCKS)]
    return {"bytes": size, "sampled_hash": hash_bytes(b"".join(blocks), "xxh3_64")}


def _block(descriptor: int, offset: int) -> bytes:
    return os.pread(descriptor, BLOCK_BYTES, offset)
