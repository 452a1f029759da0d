"""Tar members as a stream: bounded memory whatever the headers say, and no damage goes unnoticed.

`tarfile` ends silently at a damaged header and reads extended headers of any size; here both are errors.
Formats: ustar, GNU (long names, base-256 sizes), pax (path, size). Nothing is ever extracted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
# Longest name or extended header that is read: paths end at 4,096 bytes, pax adds a few numbers.
MAX_EXTENDED_BYTES = 1 << 16
SKIP_BYTES = 1 << 20


class TarError(Exception):
    """The archive cannot be read any further; `code` is a reject code.

    `complete`: all members before are whole, the damage comes after the end marker.
    """

    def __init__(self, code: str, message: str, complete: bool = False) -> None:
        """Keep them."""
        super().__init__(message)
        self.code = code
        self.complete = complete


@dataclass(frozen=True)
class Member:
    """One header: name, size in bytes, whether it is a regular file, and the byte where its headers begin."""

    name: str
    size: int
    is_file: bool
    is_dir: bool
    position: int


class TarStream:
    """Walks through a tar; the content of a member is read or skipped before the next one."""

    def __init__(self, stream: BinaryIO, position: int = 0, seek: bool = False) -> None:
        """Start at a header.

        Args:
            stream: needs nothing but `read`.
            position: of `stream`, in bytes from the archive's beginning.
            seek: pass over what nobody reads by seeking.
        """
        self._stream = stream
        self._position = position
        self._seek = seek
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """Members in order.

        Raises:
            TarError: `tar_damaged` or `tar_truncated`; an archive without end marker counts as truncated.
        """
        while (member := self._next()) is not None:
            self._open(member.size)
            yield member
            self._skip(self._left + self._padding)

    def read(self) -> bytes:
        """The content of the current member."""
        data = self._take(self._left)
        self._left = 0
        return data

    def _open(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _next(self) -> Member | None:
        extended: dict[str, str] = {}
        begin = self._position
        while True:
            position = self._position
            header = self._take(BLOCK)
            if not any(header):
                self._check_end()
                return None
            check_header(header, position)
            kind, size = header[156:157], parse_number(header[124:136], position)
            if kind in b"LKxg":
                self._read_extended(kind, size, extended)
                continue
            if "size" in extended:
                size = parse_decimal(extended["size"], position)
            name = extended.get("path") or header_name(header)
            is_dir = kind == b"5" or (kind == b"\0" and name.endswith("/"))  # before POSIX, a slash was all
            is_file = kind in b"0\x007" and not is_dir
            # links, devices and folders have no content, whatever their size field says
            return Member(name, 0 if kind in b"123456" else size, is_file, is_dir, begin)

    def _check_end(self) -> None:
        """Only zeros may follow: a zeroed header or a second archive must not be passed over in silence."""
        while block := self._read_some(SKIP_BYTES):
            if block.strip(b"\0"):
                message = f"something follows the end marker before byte {self._position:,}"
                raise TarError("tar_damaged", message, complete=True)

    def _read_extended(self, kind: bytes, size: int, extended: dict[str, str]) -> None:
        if size > MAX_EXTENDED_BYTES:
            raise TarError("tar_damaged", f"an extended header of {size:,} bytes at byte {self._position:,}")
        data = self._take(size)
        self._skip(-size % BLOCK)
        if kind == b"L":
            extended["path"] = decode(data.split(b"\0", 1)[0])
        elif kind == b"x":
            extended.update(parse_pax(data, self._position))

    def _take(self, size: int) -> bytes:
        data = self._read_some(size)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (part := self._read_some(missing)):
            parts.append(part)
            missing -= len(part)
        if missing:
            message = f"the archive ends at byte {self._position:,}, {missing:,} bytes too early"
            raise TarError("tar_truncated", message)
        return b"".join(parts)

    def _read_some(self, size: int) -> bytes:
        data = self._stream.read(size) if size else b""
        self._position += len(data)
        return data

    def _skip(self, size: int) -> None:
        if self._seek:
            self._stream.seek(size, os.SEEK_CUR)  # an end that comes too early shows at the next header
            self._position += size
            size = 0
        while size:
            part = min(size, SKIP_BYTES)
            self._take(part)
            size -= part
        self._left = self._padding = 0


def check_header(header: bytes, position: int) -> None:
    """Compare the checksum.

    Raises:
        TarError: it does not fit.
    """
    stored = parse_number(header[148:156], position)
    unsigned = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if stored == unsigned:
        return
    # some old writers added signed bytes
    if stored != unsigned - 256 * sum(byte > 127 for byte in header[:148] + header[156:]):
        raise TarError("tar_damaged", f"no valid tar header at byte {position:,}")


def parse_number(field: bytes, position: int) -> int:
    """Octal text, or GNU's base-256 for sizes over 8 GiB."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip() or b"0"
    # int() would take signs and underscores too, and a negative size would read the whole archive at once
    if digits.strip(b"01234567"):
        raise TarError("tar_damaged", f"no valid tar header at byte {position:,}")
    return int(digits, 8)


def parse_decimal(text: str, position: int) -> int:
    """A size in an extended header."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise TarError("tar_damaged", f"a size of {text[:20]!r} in the extended header at byte {position:,}")
    return int(text)


def header_name(header: bytes) -> str:
    """Name and, in ustar archives, prefix."""
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return decode(prefix + b"/" + name if prefix else name)


def parse_pax(data: bytes, position: int) -> dict[str, str]:
    """Records `length key=value\\n` (POSIX.1-2001)."""
    records: dict[str, str] = {}
    while data.strip(b"\0"):
        length, _, _ = data.partition(b" ")
        size = int(length) if length.isdigit() and len(length) < 8 else 0
        key, equals, value = data[len(length) + 1 : size - 1].partition(b"=")
        if not equals or not len(length) + 1 < size <= len(data):
            raise TarError("tar_damaged", f"an unreadable extended header before byte {position:,}")
        records[decode(key)] = decode(value)
        data = data[size:]
    return records


def decode(name: bytes) -> str:
    """Names as UTF-8; other bytes become lone surrogates, which no key may hold."""
    return name.decode("utf-8", errors="surrogateescape")
