"""Lines of a hostile text file, with their byte offsets, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from engine.sources.options import MAX_TEXT_BYTES


class LineReader:
    """Lines with their offsets; `problem` tells what was wrong since it was last cleared."""

    def __init__(self, stream: BinaryIO, offset: int = 0) -> None:
        """Start at `offset`."""
        stream.seek(offset)
        self._stream = stream
        self.offset = offset
        self.problem: str | None = None

    def __iter__(self) -> Iterator[str]:
        """This object."""
        return self

    def __next__(self) -> str:
        """The next line with its end; bytes that are not UTF-8 become lone surrogates."""
        line = self._stream.readline(MAX_TEXT_BYTES)
        if not line:
            raise StopIteration
        if self.offset == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self.offset = self._stream.tell() - len(line)
        self.offset += len(line)
        if len(line) == MAX_TEXT_BYTES and not line.endswith(b"\n"):
            self.problem = f"a line of more than {MAX_TEXT_BYTES:,} bytes"
            self._skip_line()
        if b"\0" in line:  # Python 3.10's csv refuses NUL, later ones pass it on
            self.problem = "a line with NUL"
            line = line.replace(b"\0", b"")
        return line.decode("utf-8", errors="surrogateescape")

    def _skip_line(self) -> None:
        while rest := self._stream.readline(MAX_TEXT_BYTES):
            self.offset += len(rest)
            if rest.endswith(b"\n"):
                return
