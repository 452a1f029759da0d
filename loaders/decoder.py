"""What turns the stored images of a batch into pixels: one interface, and the decoder of our own core."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine.native import ColumnView, Limits, ThreadPool, train_batch
from loaders.buffers import Buffers
from loaders.counters import Counters
from loaders.images import KEPT_BATCHES, ImageOptions, as_numpy, empty_images

DECODERS = ("native", "dali")


class Work(NamedTuple):
    """Images to decode.

    images: N files in memory that stays; boxes: int32 [N, 4], the crops: left, top, width, height; sizes:
    int32 [N, 2], width and height as the data set has them; limits: of its files; out: [N, 3, S, S], the
    slots of the batch that they go to.
    """

    images: ColumnView
    boxes: NDArray[np.int32]
    sizes: NDArray[np.int32]
    limits: Limits
    out: torch.Tensor


class Pending(Protocol):
    """Work that was started."""

    def finish(self) -> NDArray[np.uint8]:
        """Return the status uint8 [N] of each image, once all are in their slots."""


class Decoder(Protocol):
    """Fills batches; the same boxes whatever the decoder."""

    def empty(self, count: int) -> torch.Tensor:
        """Return memory [count, 3, S, S] for a batch, where its pixels will lie."""

    def start(self, work: Work) -> Pending:
        """Take work on; it may be done before `finish`, or by it."""

    def decode_exactly(self, work: Work) -> NDArray[np.uint8]:
        """Have our own core fill the slots, wherever they lie; return the status uint8 [N] of each."""

    def drop(self) -> None:
        """Forget what was started and will not be finished."""


class NativeDecoder:
    """Our own core: bit-exact, on a pool of threads that work on one batch after another."""

    def __init__(self, options: ImageOptions, threads: int, counters: Counters) -> None:
        """Start no threads yet: a loader's worker processes start their own."""
        self.options, self._threads, self._counters = options, threads, counters
        self._own()

    def _own(self) -> None:
        """Make what belongs to one process."""
        self._pool: ThreadPool | None = None
        self._buffers = Buffers(KEPT_BATCHES)
        self._starting, self._turn = threading.Lock(), threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave threads and memory behind when pickled."""
        own = ("_pool", "_buffers", "_starting", "_turn")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with threads and memory of its own."""
        self.__dict__.update(state)
        self._own()

    @property
    def pool(self) -> ThreadPool:
        """The decode threads, started on first use."""
        with self._starting:
            if self._pool is None:
                self._pool = ThreadPool(self._threads)
            return self._pool

    def empty(self, count: int) -> torch.Tensor:
        """Return host memory; pinned beside a GPU, shared in a worker process."""
        return empty_images(count, self.options, self._buffers)

    def start(self, work: Work) -> Pending:
        """Do nothing yet: `finish` decodes, in the thread that calls it."""
        return _Waiting(self, work)

    def decode_exactly(self, work: Work) -> NDArray[np.uint8]:
        """Decode into host memory; several threads may ask, and take turns."""
        with self._turn, self._counters.timed("decode_us"):  # the wait for one's turn is no decoding
            return train_batch(
                work.images,
                work.boxes,
                as_numpy(work.out, self.options),
                self.pool,
                limits=work.limits,
                transform=self.options.transform,
                **self.options.native(),
            )

    def drop(self) -> None:
        """Nothing was begun."""


class _Waiting(NamedTuple):
    decoder: NativeDecoder
    work: Work

    def finish(self) -> NDArray[np.uint8]:
        return self.decoder.decode_exactly(self.work)
