"""The `sample_hash` column: one 64-bit hash over all other values of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.native import sample_hashes
from engine.shards.encodings import encode_column

if TYPE_CHECKING:
    from engine.native._core import ByteItems

SAMPLE_HASH = "sample_hash"


def batch_hashes(columns: Mapping[str, ByteItems]) -> NDArray[np.uint64]:
    """uint64 [N] over the encoded values of N samples.

    xxh3_64 over the values of all columns but `sample_hash` in the order of their names, each preceded by its
    length as little-endian u32 (docs/architecture.md).
    """
    return sample_hashes([columns[name] for name in sorted(columns) if name != SAMPLE_HASH])


def hash_column(columns: Mapping[str, ByteItems]) -> list[bytes]:
    """The same, encoded as the column itself (`uint64`)."""
    return encode_column("uint64", batch_hashes(columns))
