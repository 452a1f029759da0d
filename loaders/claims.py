"""One process at a time does a thing; one that is killed meanwhile holds nothing.

A claim is a lock on one byte of a file (Linux's open file description locks): the kernel lets go of it when
its holder ends, however it ends. Streaming instead notes "someone is preparing this" in shared memory, and
everyone else waits for ever when that someone was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.native import xxh3_64

POLL_S = 0.02
# C's struct flock of 64-bit Linux: type, whence, start, length, process (0 for these locks), padding.
FLOCK = "@hhqqi0q"


@contextmanager
def claim(
    lock_file: Path, name: str, wait_s: float, stopped: Callable[[], bool] = lambda: False
) -> Iterator[bool]:
    """Hold the claim on `name` among all processes and threads that use the same lock file.

    Args:
        lock_file: made if it is not there; it stays, empty.
        name: what is claimed; names whose 62-bit hashes collide exclude each other.
        wait_s: how long to wait for another holder, seconds; 0 tries once.
        stopped: says that nobody wants it any more; ends the wait.

    Yields:
        Whether the claim was had in time.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield _acquire(descriptor, xxh3_64(name.encode()) >> 2, time.monotonic() + wait_s, stopped)
    finally:
        os.close(descriptor)  # lets go


def _acquire(descriptor: int, byte: int, until: float, stopped: Callable[[], bool]) -> bool:
    request = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    while True:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
            return True
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() >= until or stopped():
            return False
        time.sleep(POLL_S)
