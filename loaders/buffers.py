"""Memory for batches that is used again once nobody looks at the batch any more.

A float32 batch of 64 images is 38 MB. Fresh memory of that size comes from the kernel page by page, zeroed,
and goes back there when the batch dies: on small images that took nearly as long as decoding them.
"""

from __future__ import annotations

import weakref

import numpy as np
import torch
from numpy.typing import NDArray

# Streaming stores write whole cache lines; torch aligns its own memory like this too.
ALIGNMENT = 64


class Buffers:
    """Blocks of host memory, each lent to one tensor at a time.

    A block comes back when the tensor, every view of it and every array over it are gone: whoever keeps a
    batch keeps its memory, and the next batch gets another block. Safe to use from several threads.
    """

    def __init__(self, kept: int) -> None:
        """Keep at most `kept` blocks while nobody uses them."""
        self._kept = kept
        self._free: list[NDArray[np.uint8]] = []

    def take(self, count: int) -> torch.Tensor:
        """Return uint8 [count] with any content."""
        block = self._pop(count)
        lent = block[:count]
        # The tensor holds `lent` and nothing else does: its end is the end of every user.
        weakref.finalize(lent, self._put, block).atexit = False
        return torch.from_numpy(lent)

    def _pop(self, count: int) -> NDArray[np.uint8]:
        try:
            block = self._free.pop()
        except IndexError:
            return _aligned(count)
        return block if len(block) >= count else _aligned(count)

    def _put(self, block: NDArray[np.uint8]) -> None:
        if len(self._free) < self._kept:
            self._free.append(block)


def _aligned(count: int) -> NDArray[np.uint8]:
    memory = np.empty(count + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + count]
