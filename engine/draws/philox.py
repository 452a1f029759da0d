"""How a sample's draws are addressed; the words are Philox4x32-10's (csrc/core/philox.hpp).

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.native import philox4x32

CAPTION = 0
"""Purpose of the words that choose a caption."""
CROP = 1
"""Purpose of the words that choose a crop box."""
EXAMPLES = 5
"""Purpose of the words that choose example pairs for rewriting."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


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
    return philox4x32(counter, np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32))


def caption_words(key_hash: NDArray[np.uint64], seed: int, epoch: int) -> NDArray[np.uint32]:
    """uint32 [N, 4] for the caption draw: word 0 chooses the source, word 1 the caption within it."""
    return draw_words(key_hash, seed, epoch, CAPTION)


def uniform(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Words as numbers in [0, 1), exact in float64."""
    return words * 2.0**-32


def below(words: NDArray[np.uint32], n: ArrayLike) -> NDArray[np.int64]:
    """Words as integers in [0, n), n >= 1 and at most 2**32, elementwise."""
    return ((words.astype(np.uint64) * np.asarray(n, dtype=np.uint64)) >> _HALF).astype(np.int64)
