"""Training time: the clock of a run's own process, which stands still while held-out data is looked at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds since it was made, pauses left out.

    Attributes:
        paused_s: seconds of all pauses so far.
        last_pause_s: of the last one.
        pauses: how many there were.
    """

    def __init__(self) -> None:
        """Start."""
        self._began = time.perf_counter()
        self.paused_s, self.last_pause_s, self.pauses = 0.0, 0.0, 0

    def now(self) -> float:
        """Seconds of training so far."""
        return time.perf_counter() - self._began - self.paused_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.last_pause_s = time.perf_counter() - began
            self.paused_s += self.last_pause_s
            self.pauses += 1
