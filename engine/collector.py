"""Python's garbage collector, out of the way while very many objects are made that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Look for no reference cycles meanwhile.

    The collector looks at all objects again each time their number has grown by a quarter: with an index of
    140,000 shards, that takes five times as long as parsing it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
