"""Work done ahead in a thread, so that whoever takes the results does not wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], count: int) -> Generator[T, None, None]:
    """The items, `count` of them made before they are asked for; an error comes where its item would."""
    made: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(count)
    stop = threading.Event()

    def put(entry: tuple[T] | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                made.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (entry := made.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        stop.set()
        thread.join()
