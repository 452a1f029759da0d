"""One attempt to download one file, which ends when it is told to.

The stores' own clients know time limits per read at most: an answer that trickles in takes for ever. So the
client works in a thread of its own, and whoever waits for it watches what arrives.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# An answer slower than this for a whole window of patience counts as stalled.
LEAST_BYTES = 64 << 10
# Stores may keep small notes beside the file.
MARGIN_BYTES = 1 << 20
POLL_S = 0.1


class StalledError(OSError):
    """Nothing, or next to nothing, arrived for a while."""


class StoppedError(RuntimeError):
    """Nobody wants the file any more."""


class _GivenUp(SystemExit):
    """No Exception: clients catch those and try again. Threads may end with a SystemExit without a word."""


@dataclass(frozen=True)
class Limits:
    """When to end an attempt.

    Attributes:
        until: moment of `time.monotonic`.
        stall_s: seconds in which LEAST_BYTES have to arrive.
        most_bytes: the file has no more.
        stopped: says that nobody wants the file any more.
    """

    until: float
    stall_s: float
    most_bytes: int
    stopped: Callable[[], bool]


def run_download(work: Callable[[], None], folder: Path, limits: Limits) -> None:
    """Do `work`, which writes below `folder` and nowhere else, until it is done or a limit is met.

    Raises:
        Exception: whatever `work` raises.
        StalledError: too slow, or past `until`.
        OSError: more than `most_bytes` arrived.
        StoppedError: nobody wants it any more.
    """
    thread = _Download(work)
    thread.start()
    try:
        _watch(thread, folder, limits)
    finally:
        thread.give_up()
    if thread.error is not None:
        raise thread.error


class _Download(threading.Thread):
    """Daemon: one that hangs in a system call must not keep the process from ending."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="veclip-download", daemon=True)
        self._work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def give_up(self) -> None:
        """End it at its next step in Python: at the latest when the next bytes arrive or a read times out."""
        if self.is_alive() and self.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(_GivenUp))


def _watch(thread: _Download, folder: Path, limits: Limits) -> None:
    seen, since = 0, time.monotonic()
    pause = min(POLL_S, limits.stall_s / 10)
    while True:
        thread.join(pause)
        if not thread.is_alive():
            return
        arrived, now = _bytes_below(folder), time.monotonic()
        if arrived > limits.most_bytes + MARGIN_BYTES:
            raise OSError(f"more than the {limits.most_bytes:,} bytes that it should have")
        if arrived >= seen + LEAST_BYTES:
            seen, since = arrived, now
        if now - since > limits.stall_s:
            raise StalledError(f"{arrived - seen:,} bytes in {now - since:.1f} s (after {seen:,} before)")
        if now > limits.until:
            raise StalledError(f"only {arrived:,} of {limits.most_bytes:,} bytes by the deadline")
        # The interpreter waits for other threads at its end, this one for us.
        if limits.stopped() or not threading.main_thread().is_alive():
            raise StoppedError("the download was stopped")


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # renamed or removed meanwhile
                continue
    return total
