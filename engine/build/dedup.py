"""Duplicate keys: the first sample in unit order is kept, whatever order the units were packed in.

Each unit records the 128-bit hashes of the keys that it kept, sorted. Afterwards all are merged, range by
range of hash values so that memory stays bounded, and every key of a unit that an earlier unit has too goes
into the unit's exclusion file. Only such units are packed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.native import commit_file, hash_bytes

KEY_DTYPE = np.dtype([("high", ">u8"), ("low", ">u8")])  # big-endian: sorted as bytes is sorted as numbers
KEYS_AT_ONCE = 4_000_000  # 64 MB of hashes, about 300 MB while they are sorted

Keys = NDArray[np.void]


class KeySet:
    """Hashes of keys, 16 bytes each."""

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        """Takes hashes as `hash_of` makes them."""
        self._hashes = set(hashes)

    @staticmethod
    def hash_of(key: str) -> bytes:
        """xxh3_128 of the key in UTF-8: at a billion keys two share one with a probability of 2e-21."""
        return bytes.fromhex(hash_bytes(key.encode(), "xxh3_128"))

    def __contains__(self, key_hash: bytes) -> bool:
        """Whether the hash is there."""
        return key_hash in self._hashes

    def __len__(self) -> int:
        """Number of hashes."""
        return len(self._hashes)

    def add(self, key_hash: bytes) -> bool:
        """Adds a hash; whether it was new."""
        before = len(self._hashes)
        self._hashes.add(key_hash)
        return len(self._hashes) > before

    def commit(self, path: Path) -> None:
        """Writes them sorted."""
        commit_file(path, b"".join(sorted(self._hashes)))


def read_keys(path: Path) -> KeySet:
    """The keys of a file that `KeySet.commit` wrote."""
    data = path.read_bytes()
    return KeySet(data[at : at + 16] for at in range(0, len(data), 16))


def find_duplicates(paths: Sequence[Path]) -> dict[int, list[bytes]]:
    """By position in `paths` (unit order), the keys that an earlier file has too."""
    total = sum(path.stat().st_size // KEY_DTYPE.itemsize for path in paths)
    ranges = 1 << max(0, (total // KEYS_AT_ONCE).bit_length())
    found: dict[int, list[bytes]] = {}
    for at in range(ranges):
        parts = [_slice(path, at, ranges) for path in paths]
        _later_ones(parts, found)
    return found


def _slice(path: Path, at: int, ranges: int) -> Keys:
    """The keys of one file in the `at`-th of `ranges` equal ranges of hash values."""
    if path.stat().st_size == 0:
        return np.empty(0, KEY_DTYPE)
    keys = np.memmap(path, KEY_DTYPE, mode="r")
    width = (1 << 64) // ranges
    high = keys["high"]
    first = np.searchsorted(high, np.uint64(at * width))
    last = np.searchsorted(high, np.uint64((at + 1) * width)) if at + 1 < ranges else len(keys)
    return np.array(keys[first:last])


def _later_ones(parts: Sequence[Keys], found: dict[int, list[bytes]]) -> None:
    keys = np.concatenate(parts)
    units = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.lexsort((units, keys["low"], keys["high"]))
    keys, units = keys[order], units[order]
    later = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    # numpy's concatenate turns big-endian fields into native ones
    hashes = keys[later].astype(KEY_DTYPE).tobytes()
    for position, at in enumerate(later):
        found.setdefault(int(units[at]), []).append(hashes[16 * position : 16 * position + 16])
