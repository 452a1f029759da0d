"""Philox4x32-10 in numpy, and how a sample's draws are addressed. csrc/core/philox.hpp is the same in C++.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CAPTION = 0
"""Purpose of the words that choose a caption."""
CROP = 1
"""Purpose of the words that choose a crop box."""
EXAMPLES = 5
"""Purpose of the words that choose example pairs for rewriting."""

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10 of many counters under one key.

    Args:
        counter: uint32 [N, 4].
        key: Two 32-bit words.

    Returns:
        uint32 [N, 4].
    """
    c0, c1, c2, c3 = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0 = (product1 >> _HALF) ^ c1 ^ np.uint64(k0)
        c2 = (product0 >> _HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = product1 & _LOW, product0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def draw_words(
    key_hash: NDArray[np.uint64], seed: int, epoch: int, purpose: int, block: ArrayLike = 0
) -> NDArray[np.uint32]:
    """The words of one draw per sample.

    Args:
        key_hash: uint64 [N], xxh3_64 of the sample keys.
        seed: The run's seed, 0 <= seed < 2**64.
        epoch: 0 <= epoch < 2**32.
        purpose: `CAPTION`, `CROP` or `EXAMPLES`.
        block: One block number, or one per sample, each below 2**16.

    Returns:
        uint32 [N, 4].

    Raises:
        ValueError: If seed or epoch is out of range.
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed: {seed} given, expected 0 <= seed < 2**64")
    if not 0 <= epoch < 1 << 32:
        raise ValueError(f"epoch: {epoch} given, expected 0 <= epoch < 2**32")
    hashes = np.asarray(key_hash, dtype=np.uint64)
    counter = np.empty((len(hashes), 4), dtype=np.uint32)
    counter[:, 0] = hashes & _LOW
    counter[:, 1] = hashes >> _HALF
    counter[:, 2] = epoch
    counter[:, 3] = (purpose << 16) | np.asarray(block, dtype=np.uint32)
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))


def caption_words(key_hash: NDArray[np.uint64], seed: int, epoch: int) -> NDArray[np.uint32]:
    """uint32 [N, 4] for the caption draw: word 0 chooses the source, word 1 the caption within it."""
    return draw_words(key_hash, seed, epoch, CAPTION)


def uniform(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Words as numbers in [0, 1), exact in float64."""
    return words * 2.0**-32


def below(words: NDArray[np.uint32], n: ArrayLike) -> NDArray[np.int64]:
    """Words as integers in [0, n), n >= 1 and at most 2**32, elementwise."""
    return ((words.astype(np.uint64) * np.asarray(n, dtype=np.uint64)) >> _HALF).astype(np.int64)
