"""Decoding with NVIDIA DALI, on the rank's GPU: the same samples and boxes, pixels close to the exact ones.

Only plain JPEG files go to DALI. All else (PNG, WebP, CMYK, files cut short) is decoded by our own core while
the GPU works and put into the same batch, and so is a run of images that DALI fails at.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.native import ColumnView, plain_jpegs
from loaders.counters import Counters
from loaders.dali_pipeline import DEPTH, SlicePipeline, import_dali
from loaders.decoder import NativeDecoder, Work
from loaders.images import DTYPES, ImageOptions, shaped

# What one run takes at most; two are under way. Decoded RGB of a run is thus under 384 MiB, or one image.
IMAGES_AT_ONCE = 256
PIXELS_AT_ONCE = 1 << 27
# Shorter side of a crop, pixels. Beyond an image's border DALI repeats the last pixel and the exact transform
# takes none; of smaller crops half the pixels would depend on it.
LEAST_SIDE = 8
# Runs that fail: bad images do not come one after another, a device that does not work does; and each failure
# costs a new pipeline.
MOST_ON_END, MOST_FAILURES = 8, 64
# What DALI raises; its own errors come as the first.
FAILURES = (RuntimeError, ValueError, IndexError, MemoryError)

_log = logging.getLogger(__name__)


@dataclass
class _Run:
    """Images of a part of a batch, as many as DALI takes at once. `views` keeps their bytes in place."""

    order: DaliWork
    rows: NDArray[np.int64]
    views: list[NDArray[np.uint8]] = field(default_factory=list)


class Left(NamedTuple):
    """What our own core has decoded: rows [M], pixels [M, 3, S, S] in host memory, status uint8 [M]."""

    rows: NDArray[np.int64]
    pixels: torch.Tensor
    status: NDArray[np.uint8]


@dataclass
class DaliWork:
    """Work under way: `runs` of it are not done; `left` is what our own core decodes meanwhile, if any."""

    decoder: DaliDecoder
    work: Work
    status: NDArray[np.uint8]
    runs: int = 0
    left: Future[Left] | None = None

    def finish(self) -> NDArray[np.uint8]:
        """Wait; return the status uint8 [N]."""
        return self.decoder.finish(self)


class DaliDecoder:
    """Decodes with one DALI pipeline on one device; everything is called from one thread at a time.

    Work is finished in the order it was started; what is started while other work is under way is begun as
    soon as DALI has room.
    """

    def __init__(
        self, options: ImageOptions, threads: int, native: NativeDecoder, counters: Counters
    ) -> None:
        """Build nothing yet: the threads of the pipeline inherit the priority of whoever starts them.

        Raises:
            UserError: where DALI is not installed.
        """
        import_dali()  # here: at exit its own handler has to come after those of our threads
        self._options, self._threads = options, threads
        self._native, self._counters = native, counters
        self.device = rank_device()
        self._stream = None if self.device is None else torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self._pipeline: SlicePipeline | None = None
        self._failures = self._failures_on_end = 0
        self._aside: ThreadPoolExecutor | None = None
        self._waiting: deque[_Run] = deque()
        self._under_way: deque[_Run] = deque()

    def empty(self, count: int) -> torch.Tensor:
        """Return memory on the device; without one, host memory."""
        if self.device is None:
            return self._native.empty(count)
        with self._on_stream():
            size = count * 3 * self._options.size**2
            memory = torch.empty(size, dtype=DTYPES[self._options.dtype], device=f"cuda:{self.device}")
        return shaped(memory, self._options)

    def start(self, work: Work) -> DaliWork:
        """Hand what DALI can read to it, as far as it has room."""
        plain = given_to_dali(work)
        if self._given_up:
            plain[:] = False
        rows, left = np.flatnonzero(plain), np.flatnonzero(~plain)
        order = DaliWork(self, work, np.zeros(len(plain), np.uint8))
        if len(left):
            order.left = self._beside().submit(self._natively, work, left)
        views = work.images.views() if len(rows) else []
        for part in cut(rows, work.sizes):
            self._waiting.append(_Run(order, part, [views[row] for row in part.tolist()]))
            order.runs += 1
        self._schedule()
        return order

    def finish(self, order: DaliWork) -> NDArray[np.uint8]:
        """Fill what is left of the work's slots; return the status uint8 [N]."""
        while order.runs:
            self._take()
        if order.left is not None:
            self._bring(order, order.left.result())
        return order.status

    def decode_exactly(self, work: Work) -> NDArray[np.uint8]:
        """Have our own core decode, and bring the pixels to where the slots lie."""
        rows = np.arange(len(work.out))
        left = self._natively(work, rows)
        _put(left.pixels, work.out, rows, self._on_stream())
        self._settle()
        return left.status

    @property
    def idle(self) -> bool:
        """Whether nothing is started or waits."""
        return not self._under_way and not self._waiting

    def drop(self) -> None:
        """Let runs under way end, and forget all work."""
        self._waiting.clear()
        if self._aside is not None:
            self._aside.shutdown()
            self._aside = None
        while self._under_way and self._pipeline is not None:
            try:
                self._pipeline.outputs()
                self._under_way.popleft()
            except FAILURES as error:
                _log.warning("DALI failed at images that nobody waits for: %s", _reason(error))
                self._pipeline = None
        self._under_way.clear()

    def _schedule(self) -> None:
        while self._waiting and len(self._under_way) < DEPTH:
            run = self._waiting.popleft()
            self._under_way.append(run)
            try:
                self._built().schedule(run.views, run.order.work.boxes[run.rows])
            except FAILURES as error:
                self._fail(error)

    def _take(self) -> None:
        """Bring the pixels of the oldest run to their slots, and begin another."""
        run = self._under_way[0]
        try:
            with self._counters.timed("decode_us"):
                pixels = self._built().outputs()
        except FAILURES as error:
            self._fail(error)
        else:
            self._failures_on_end = 0
            self._under_way.popleft()
            _put(pixels, run.order.work.out, run.rows, self._on_stream())
            self._settle()
            run.order.runs -= 1
        self._schedule()

    @property
    def _given_up(self) -> bool:
        return self._failures_on_end >= MOST_ON_END or self._failures >= MOST_FAILURES

    def _fail(self, error: Exception) -> None:
        """Leave all runs under way to our own core: DALI 1 does not say which image it was."""
        self._failures += 1
        self._failures_on_end += 1
        forever = " for the rest of this run" if self._given_up else ""
        _log.warning("DALI failed, the native core decodes in its place%s: %s", forever, _reason(error))
        self._pipeline = None
        while self._under_way:
            run = self._under_way.popleft()
            self._bring(run.order, self._natively(run.order.work, run.rows))
            run.order.runs -= 1

    def _natively(self, work: Work, rows: NDArray[np.int64]) -> Left:
        views = work.images.views()
        host = self._native.empty(len(rows))
        own = Work(
            ColumnView([views[row] for row in rows.tolist()]),
            work.boxes[rows],
            work.sizes[rows],
            work.limits,
            host,
        )
        return Left(rows, host, self._native.decode_exactly(own))

    def _bring(self, order: DaliWork, left: Left) -> None:
        """Put what our own core has decoded among what DALI has."""
        order.status[left.rows] = left.status
        _put(left.pixels, order.work.out, left.rows, self._on_stream())
        self._settle()
        self._counters.add(left_to_native=len(left.rows))

    def _beside(self) -> ThreadPoolExecutor:
        """Return the thread that waits for our own core while DALI works."""
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, "veclip-left")
        return self._aside

    def _built(self) -> SlicePipeline:
        if self._pipeline is None:
            self._pipeline = SlicePipeline(self._options, self._threads, self.device, IMAGES_AT_ONCE)
        return self._pipeline

    def _on_stream(self) -> AbstractContextManager[Any]:
        """Copy beside the training step, not behind it; every thread starts on device 0."""
        if self._stream is None:
            return nullcontext()
        torch.cuda.set_device(self.device)
        return torch.cuda.stream(self._stream)

    def _settle(self) -> None:
        """Wait for copies: what they read is used again."""
        if self._stream is not None:
            self._stream.synchronize()


def _reason(error: Exception) -> str:
    """Return what DALI's message says was wrong, without where in its own code that was."""
    text = str(error)
    reason = (text.partition("encountered:")[2] or text).partition("C++ context")[0]
    return " ".join(reason.split())[:300]


def rank_device() -> int | None:
    """Return the CUDA device of this rank (torchrun's and Composer's LOCAL_RANK), or None without a GPU."""
    if not torch.cuda.is_available():
        return None
    return int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()


def given_to_dali(work: Work) -> NDArray[np.bool_]:
    """Return bool [N]: which images DALI reads as our own core does; the others are left to that."""
    sizes = plain_jpegs(work.images, work.limits)
    plain = (sizes[:, 0] > 0) & (sizes == work.sizes).all(axis=1)
    wide = work.boxes[:, 2:].min(axis=1) >= LEAST_SIDE
    found: NDArray[np.bool_] = plain & wide
    return found


def cut(rows: NDArray[np.int64], sizes: NDArray[np.int32]) -> Iterator[NDArray[np.int64]]:
    """Cut rows [N] so that the images of each piece fit in memory together; at least one is in each."""
    begin, pixels = 0, 0
    areas = sizes[rows].astype(np.int64).prod(axis=1)
    for at, area in enumerate(areas.tolist()):
        if at > begin and (pixels + area > PIXELS_AT_ONCE or at - begin == IMAGES_AT_ONCE):
            yield rows[begin:at]
            begin, pixels = at, 0
        pixels += area
    if begin < len(rows):
        yield rows[begin:]


def _put(
    pixels: torch.Tensor, out: torch.Tensor, rows: NDArray[np.int64], stream: AbstractContextManager[Any]
) -> None:
    """Copy pixels [M, 3, S, S] to their rows [M], ascending, of a batch, from host or device."""
    first, last = int(rows[0]), int(rows[-1])
    with stream:
        if last - first + 1 == len(rows):
            out[first : last + 1].copy_(pixels)
        else:
            out[torch.from_numpy(rows).to(out.device)] = pixels.to(out.device, out.dtype)
