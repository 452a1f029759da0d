"""Decoding with NVIDIA DALI, on the rank's GPU: the same samples and boxes, pixels close to the exact ones.

Only plain JPEG files go to DALI. All else (PNG, WebP, CMYK, files cut short) is decoded by our own core while
the GPU works and put into the same batch, and so is a run of images that DALI fails at.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.native import ColumnView, plain_jpegs
from loaders.counters import Counters
from loaders.dali_pipeline import DEPTH, SlicePipeline
from loaders.decoder import NativeDecoder, Work
from loaders.images import DTYPES, ImageOptions, shaped

# What one run takes at most; two are under way. Decoded RGB of a run is thus under 384 MiB, or one image.
IMAGES_AT_ONCE = 256
PIXELS_AT_ONCE = 1 << 27
# Shorter side of a crop, pixels. Beyond an image's border DALI repeats the last pixel and the exact transform
# takes none; of smaller crops half the pixels would depend on it.
LEAST_SIDE = 8
# Runs that fail one after another: bad images do not come like that, a device that does not work does.
MOST_FAILURES = 8

_log = logging.getLogger(__name__)


@dataclass
class _Run:
    """Images of a part of a batch, as many as DALI takes at once. `views` keeps their bytes in place."""

    order: DaliWork
    rows: NDArray[np.int64]
    views: list[NDArray[np.uint8]] = field(default_factory=list)


@dataclass
class DaliWork:
    """Work under way: `runs` of it are not done; `left` [M] are the rows for our own core."""

    decoder: DaliDecoder
    work: Work
    left: NDArray[np.int64]
    runs: int
    status: NDArray[np.uint8]

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
        """Build nothing yet: the threads of the pipeline inherit the priority of whoever starts them."""
        self._options, self._threads = options, threads
        self._native, self._counters = native, counters
        self.device = rank_device()
        self._stream = None if self.device is None else torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self._pipeline: SlicePipeline | None = None
        self._failures = 0  # one after another
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
        if self._failures >= MOST_FAILURES:
            plain[:] = False
        rows = np.flatnonzero(plain)
        order = DaliWork(self, work, np.flatnonzero(~plain), 0, np.zeros(len(plain), np.uint8))
        views = work.images.views() if len(rows) else []
        for part in cut(rows, work.sizes):
            self._waiting.append(_Run(order, part, [views[row] for row in part.tolist()]))
            order.runs += 1
        self._schedule()
        return order

    def finish(self, order: DaliWork) -> NDArray[np.uint8]:
        """Fill what is left of the work's slots; return the status uint8 [N]."""
        if len(order.left):  # while DALI works
            self._leave_to_native(order, order.left)
        with self._counters.timed("decode_us"):
            while order.runs:
                self._take()
        return order.status

    def decode_exactly(self, work: Work) -> NDArray[np.uint8]:
        """Have our own core decode, and bring the pixels to where the slots lie."""
        host = self._native.empty(len(work.out))
        status = self._native.decode_exactly(work._replace(out=host))
        with self._on_stream():
            work.out.copy_(host)
        self._settle()
        return status

    @property
    def idle(self) -> bool:
        """Whether nothing is started or waits."""
        return not self._under_way and not self._waiting

    def drop(self) -> None:
        """Let runs under way end, and forget all work."""
        self._waiting.clear()
        while self._under_way and self._pipeline is not None:
            try:
                self._pipeline.outputs()
                self._under_way.popleft()
            except RuntimeError:
                self._give_up_pipeline()
        self._under_way.clear()

    def _schedule(self) -> None:
        while self._waiting and len(self._under_way) < DEPTH:
            run = self._waiting.popleft()
            self._under_way.append(run)
            pipeline = self._built()
            try:
                pipeline.schedule(run.views, run.order.work.boxes[run.rows])
            except RuntimeError as error:
                self._fail(error)

    def _take(self) -> None:
        """Bring the pixels of the oldest run to their slots, and begin another."""
        run = self._under_way[0]
        try:
            pixels = self._built().outputs()
        except RuntimeError as error:
            self._fail(error)
        else:
            self._failures = 0
            self._under_way.popleft()
            _put(pixels, run, self._on_stream())
            self._settle()
            run.order.runs -= 1
        self._schedule()

    def _fail(self, error: RuntimeError) -> None:
        """Leave all runs under way to our own core: DALI does not say which image it was."""
        self._failures += 1
        forever = " for the rest of this run" if self._failures == MOST_FAILURES else ""
        _log.warning("DALI failed, the native core decodes in its place%s: %s", forever, _reason(error))
        self._give_up_pipeline()
        while self._under_way:
            run = self._under_way.popleft()
            self._leave_to_native(run.order, run.rows)
            run.order.runs -= 1

    def _leave_to_native(self, order: DaliWork, rows: NDArray[np.int64]) -> None:
        work = order.work
        views = work.images.views()
        host = self._native.empty(len(rows))
        own = Work(
            ColumnView([views[row] for row in rows.tolist()]),
            work.boxes[rows],
            work.sizes[rows],
            work.limits,
            host,
        )
        order.status[rows] = self._native.decode_exactly(own)
        self._counters.add(left_to_native=len(rows))
        with self._on_stream():
            work.out[torch.from_numpy(rows).to(work.out.device)] = host.to(work.out.device)
        self._settle()

    def _built(self) -> SlicePipeline:
        if self._pipeline is None:
            self._pipeline = SlicePipeline(self._options, self._threads, self.device, IMAGES_AT_ONCE)
        return self._pipeline

    def _give_up_pipeline(self) -> None:
        self._pipeline = None

    def _on_stream(self) -> AbstractContextManager[Any]:
        """Copy beside the training step, not behind it."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _settle(self) -> None:
        """Wait for copies: what they read is used again."""
        if self._stream is not None:
            self._stream.synchronize()


def _reason(error: RuntimeError) -> str:
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


def _put(pixels: torch.Tensor, run: _Run, stream: AbstractContextManager[Any]) -> None:
    out, rows = run.order.work.out, run.rows
    first, last = int(rows[0]), int(rows[-1])
    with stream:
        if last - first + 1 == len(rows):
            out[first : last + 1].copy_(pixels)
        else:
            out[torch.from_numpy(rows).to(out.device)] = pixels.to(out.dtype)
