"""What rank 0 shows while a set is embedded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from composer.utils import dist

from engine import ui


class Progress:
    """Counts; shows nothing by itself."""

    def update(self, done: int) -> None:
        """So many are read, computed or known."""


class _Shown(Progress):
    def __init__(self, line: ui.Progress, title: str, things: str, total: int | None) -> None:
        self._line, self._title, self._things, self._total = line, title, things, total

    def update(self, done: int) -> None:
        (speed,) = self._line.rates(self._things, done)
        count = f"{done:,}" if self._total is None else ui.bar(min(done, self._total), self._total)
        self._line.update(f"{self._title} {count} {self._things}  {speed:,.0f}/s".lstrip())


@contextmanager
def progress(title: str, things: str, total: int | None) -> Iterator[Progress]:
    """A line on stderr, of rank 0 alone: over itself on a terminal, every 10 seconds elsewhere."""
    if dist.get_global_rank() != 0:
        yield Progress()
        return
    with ui.Progress() as line:
        yield _Shown(line, title, things, total)
