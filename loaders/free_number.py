"""Finds the number under which a data set's names in shared memory are free, by looking at the names alone.

Streaming finds it by mapping every name that exists, one after the other, and keeps the maps and their file
descriptors until the process ends: a process that opens many data sets runs out of them, and the names of a
run that was killed stay in use for as long as any process lives that was started beside them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any, cast

from streaming.base.constant import LOCALS, TICK
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


def _find(
    streams_local: Sequence[str], streams_remote: Sequence[str | None], shm_name: str, retry: int
) -> int:
    """Return the first free number; arguments and errors are those of what it stands for.

    Raises:
        ValueError: another data set that is open has the same cache folder.
    """
    caches = {
        local for local, remote in zip(streams_local, streams_remote, strict=True) if remote is not None
    }
    if shm_name == LOCALS and caches:
        _refuse_shared_caches(caches, retry)
    taken = {int(match[1]) for match in map(NAME.fullmatch, _names(SHARED_MEMORY)) if match}
    taken |= {int(match[1]) for match in map(LOCK.fullmatch, _names(Path(tempfile.gettempdir()))) if match}
    return next(number for number in prefix._each_prefix_int() if number not in taken)


def _refuse_shared_caches(caches: set[str], retry: int) -> None:
    """Look again `retry` times: a data set that was let go a moment ago may still be there."""
    for attempt in range(1 + retry):
        shared = caches & _caches_in_use()
        if not shared:
            return
        if attempt < retry:
            sleep(TICK)
    raise ValueError(f"Reused local directory: {sorted(shared)}: another run caches there; give another one")


def _caches_in_use() -> set[str]:
    found: set[str] = set()
    for name in _names(SHARED_MEMORY):
        if NAME.fullmatch(name) and name.endswith(f"_{LOCALS}"):
            try:
                data = Path(SHARED_MEMORY, name).read_bytes()
            except OSError:  # another user's, or gone meanwhile
                continue
            if len(data) > 4:
                found.update(prefix._unpack_locals(data)[0])
    return found


def _names(folder: Path) -> list[str]:
    return os.listdir(folder)
