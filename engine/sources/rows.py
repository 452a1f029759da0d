"""Rows of a text table, each findable again by its byte offset."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from engine.errors import UserError
from engine.sources.options import MAX_TEXT_BYTES
from engine.sources.storage import open_binary


@dataclass(frozen=True)
class Row:
    """One row: where it starts, its cells by column, or what is wrong with it."""

    offset: int
    cells: dict[str, Any]
    problem: str | None = None


class LineReader:
    """Lines of a binary file with their offsets; a line over the limit is cut and marked."""

    def __init__(self, stream: BinaryIO, offset: int = 0) -> None:
        """Start at `offset`."""
        stream.seek(offset)
        self._stream = stream
        self.offset = offset
        self.too_long = False

    def __iter__(self) -> Iterator[str]:
        """This object."""
        return self

    def __next__(self) -> str:
        """The next line with its end; bytes that are not UTF-8 become lone surrogates."""
        line = self._stream.readline(MAX_TEXT_BYTES)
        self.offset += len(line)
        if not line:
            raise StopIteration
        if len(line) == MAX_TEXT_BYTES and not line.endswith(b"\n"):
            self.too_long = True
            self._skip_line()
        return line.decode("utf-8", errors="surrogateescape")

    def _skip_line(self) -> None:
        while rest := self._stream.readline(MAX_TEXT_BYTES):
            self.offset += len(rest)
            if rest.endswith(b"\n"):
                return


class RowFormat(ABC):
    """How the lines of a file become rows."""

    columns: tuple[str, ...]
    first_row: int  # offset of the first row

    @abstractmethod
    def rows(self, lines: LineReader) -> Iterator[Row]:
        """Rows from the reader's place on."""


@dataclass(frozen=True)
class Delimited(RowFormat):
    """csv (quoted as RFC 4180 says) and tsv (unquoted: a quotation mark is text); a header names the columns."""

    columns: tuple[str, ...]
    first_row: int
    delimiter: str

    def rows(self, lines: LineReader) -> Iterator[Row]:
        """Rows with exactly the header's number of cells."""
        quoting = csv.QUOTE_MINIMAL if self.delimiter == "," else csv.QUOTE_NONE
        reader = csv.reader(lines, delimiter=self.delimiter, quoting=quoting)
        while True:
            start = lines.offset
            lines.too_long = False
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield Row(start, {}, str(error))
                continue
            if values is None:
                return
            if values:
                yield self._row(start, values, lines.too_long)

    def _row(self, start: int, values: list[str], too_long: bool) -> Row:
        if too_long:
            return Row(start, {}, f"a line of more than {MAX_TEXT_BYTES:,} bytes")
        if len(values) > len(self.columns):
            return Row(start, {}, f"{len(values)} cells where the header has {len(self.columns)}")
        return Row(start, dict(zip(self.columns, (value.strip() for value in values), strict=False)))


@dataclass(frozen=True)
class JsonLines(RowFormat):
    """One JSON object a line."""

    columns: tuple[str, ...]
    first_row: int = 0

    def rows(self, lines: LineReader) -> Iterator[Row]:
        """One row per line that is not blank."""
        start = lines.offset
        for line in lines:
            if line.strip():
                yield self._row(start, line)
            start = lines.offset

    def _row(self, start: int, line: str) -> Row:
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            return Row(start, {}, f"no JSON: {error}")
        return Row(start, cells) if isinstance(cells, dict) else Row(start, {}, "no JSON object")


def read_rows(path: str, row_format: RowFormat) -> Iterator[Row]:
    """All rows of a table."""
    with open_binary(path) as stream:
        yield from row_format.rows(LineReader(stream, row_format.first_row))


def fetch_rows(stream: BinaryIO, row_format: RowFormat, offsets: list[int]) -> Iterator[Row]:
    """The rows at these offsets."""
    lines: LineReader | None = None
    rows: Iterator[Row] = iter(())
    for offset in offsets:
        if lines is None or lines.offset != offset:
            lines = LineReader(stream, offset)
            rows = row_format.rows(lines)
        yield next(rows)


def sniff_table(path: str) -> RowFormat:
    """The row format of a table by its name and first line.

    Raises:
        UserError: no table.
    """
    with open_binary(path) as stream:
        lines = LineReader(stream)
        first = next(lines, "")
        if first.startswith("\ufeff"):
            first = first[1:]
        if path.endswith((".jsonl", ".ndjson")):
            return JsonLines(json_columns(path, first))
        delimiter = "\t" if "\t" in first else "|" if "|" in first and "," not in first else ","
        columns = tuple(name.strip() for name in next(csv.reader([first], delimiter=delimiter), []))
        if len(columns) < 2 or len(set(columns)) < len(columns):
            raise UserError(
                f"{path}: no header with at least two different columns in the first line "
                f"({first[:80]!r}); expected e.g. image,caption"
            )
        return Delimited(columns, lines.offset, delimiter)


def json_columns(path: str, line: str) -> tuple[str, ...]:
    """The names in the first line of a JSON lines file."""
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        first = None
    if not isinstance(first, dict):
        raise UserError(f"{path}: the first line is no JSON object ({line[:80]!r}); expected JSON lines")
    return tuple(first)
