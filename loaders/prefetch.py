"""Makes batches ahead in background threads, so that decoding overlaps with training in one process."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

B = TypeVar("B")
S = TypeVar("S")
T = TypeVar("T")
# How often a blocked thread looks whether it is still wanted.
POLL_S = 0.05


class _End:
    """Comes after the last item; carries the exception that ended the stream, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def map_in_order(make: Callable[[S], T], items: Iterator[S], threads: int) -> Generator[T, None, None]:
    """Yield `make(item)` in the order of `items`, with up to `threads` of them under way at a time.

    What `make` does in Python for one item thus overlaps with the native part of another.
    """
    with ThreadPoolExecutor(threads, "veclip-batch") as executor:
        under_way: deque[Future[T]] = deque()
        for item in items:
            under_way.append(executor.submit(make, item))
            if len(under_way) == threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def begin_ahead(
    begin: Callable[[S], B], finish: Callable[[B], T], items: Iterator[S]
) -> Generator[T, None, None]:
    """Yield `finish(begin(item))` in the order of `items`, in the calling thread.

    Each item is begun before the one before it is finished, so that whoever works on begun items always has
    one; an error in beginning comes after the item before.
    """
    begun = map(begin, items)
    try:
        waiting = next(begun)
    except StopIteration:
        return
    while True:
        try:
            following = next(begun)
        except StopIteration:
            yield finish(waiting)
            return
        except BaseException:
            yield finish(waiting)
            raise
        yield finish(waiting)
        waiting = following


class Prefetcher(Generic[T]):
    """Iterates over `items` in a thread, at most `depth` items ahead of whoever consumes them."""

    def __init__(self, items: Iterator[T], depth: int, release: Callable[[], None], nice: int = 0) -> None:
        """Start the thread.

        Args:
            items: what to iterate over; only the thread touches it.
            depth: items made ahead, at least 1.
            release: called by `close`; must make a blocked `next(items)` return soon.
            nice: how far the thread, and all threads that it starts, stand back (see `stand_back`).
        """
        self._items, self._release, self._nice = items, release, nice
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="veclip-prefetch", daemon=True)
        # A daemon thread inside native code must be gone before the interpreter is.
        atexit.register(self.close)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        """Yield the items in order; re-raise in the consumer what was raised in the thread."""
        try:
            while True:
                item = self._queue.get()
                if isinstance(item, _End):
                    if item.error is not None:
                        raise item.error
                    return
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """Stop early or late; return when the thread is gone. A consumer that still waits sees the end."""
        if self._unwanted.is_set():
            return
        self._unwanted.set()
        self._release()
        self._thread.join()
        atexit.unregister(self.close)
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._queue.put(_End())

    def _fill(self) -> None:
        end = _End()
        try:
            stand_back(self._nice)
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:
            end = _End(error)
        finally:
            if isinstance(self._items, Generator):  # its own threads end with it
                self._items.close()
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self._unwanted.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
                return True
            except queue.Full:
                continue
        return False


def stand_back(nice: int) -> None:
    """Lower the priority of the calling thread to `nice` (0 to 19), unless it is lower already.

    On Linux a priority belongs to a thread, and the threads that it starts inherit it; elsewhere it belongs
    to the process, which is left alone.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < nice:
            os.setpriority(os.PRIO_PROCESS, thread, nice)
