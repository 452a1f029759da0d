"""What long commands show: a progress line and tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO, TypeVar

_TERMINAL_S = 0.1
_LOG_S = 10.0  # where there is no terminal, every report stays in the log
_CLEAR = "\r\x1b[K"


Shown = TypeVar("Shown", bound="Progress")


class ProgressLine:
    """One line that is drawn over itself on a terminal, and written every 10 seconds elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Draws on stderr unless told otherwise, so that stdout holds results only."""
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._started = self._drawn = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    def update(self, text: str) -> None:
        """Shows `text`, at most ten times a second."""
        now = time.monotonic()
        if now - self._drawn < (_TERMINAL_S if self._live else _LOG_S):
            return
        self._drawn = now
        self._stream.write(f"{_CLEAR}{text}" if self._live else f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Removes the line from a terminal."""
        if self._live:
            self._stream.write(_CLEAR)
            self._stream.flush()


class Progress:
    """A progress line with speeds: those of the present phase, without what an earlier run did."""

    def __init__(self) -> None:
        """Starts the clock."""
        self._line = ProgressLine()
        self._phase = ""
        self._begin: tuple[float, tuple[float, ...]] = (0.0, ())

    def __enter__(self: Shown) -> Shown:
        """The progress itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clears the line."""
        self._line.close()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._line.seconds

    def rates(self, phase: str, *counts: float) -> list[float]:
        """How fast each count has grown a second since the phase began, with its first call."""
        if phase != self._phase:
            self._phase, self._begin = phase, (time.monotonic(), counts)
        then, first = self._begin
        seconds = max(time.monotonic() - then, 1e-3)
        return [(count - before) / seconds for count, before in zip(counts, first, strict=True)]

    def update(self, text: str) -> None:
        """Draws the line."""
        self._line.update(text)


def bar(done: int, total: int, width: int = 20) -> str:
    """`[=====>    ] 5/10`, complete when `done` is `total`."""
    filled = width * done // total if total else width
    head = ">" if filled < width else ""
    return f"[{'=' * filled}{head}{' ' * (width - filled - len(head))}] {done:,}/{total:,}"


def table(rows: Sequence[tuple[str, ...]], indent: str = "  ") -> str:
    """Rows of cells in columns; cells that look like numbers are put to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(_align(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(indent + line for line in lines)


def count_of(count: int, thing: str) -> str:
    """`1 shard`, `1,000 shards`."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def size(count: float) -> str:
    """Bytes as people read them: 1,000 is 1.0 kB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _align(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
