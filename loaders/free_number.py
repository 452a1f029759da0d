"""Finds the number under which a data set's names in shared memory are free, by looking at the names alone.

Streaming finds it by mapping every name that exists, one after the other, and keeps the maps and their file
descriptors until the process ends: a process that opens many data sets runs out of them, and the names of a
run that was killed stay in use for as long as any process lives that was started beside them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from streaming.base.shared import prefix

from loaders.stale_memory import LOCK, NAME, SHARED_MEMORY


@contextmanager
def number_by_name() -> Iterator[None]:
    """Let a StreamingDataset that is made meanwhile find its number here; only where names are files."""
    if not SHARED_MEMORY.is_dir():
        yield
        return
    module = cast(Any, prefix)
    original = module._check_and_find_retrying
    module._check_and_find_retrying = _find
    try:
        yield
    finally:
        module._check_and_find_retrying = original


def _find(*_: object, **__: object) -> int:
    """Return the first free number, whatever is asked.

    What this stands for also refuses a cache folder that another data set names. Ours may be shared: who
    fetches a shard holds a claim on it that ends with its process (loaders/claims.py), and an evicted shard
    is had again.
    """
    taken = {match[1] for match in map(NAME.fullmatch, os.listdir(SHARED_MEMORY)) if match}
    taken |= {match[1] for match in map(LOCK.fullmatch, os.listdir(tempfile.gettempdir())) if match}
    return next(number for number in prefix._each_prefix_int() if f"{number:06}" not in taken)
