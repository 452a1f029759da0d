"""Text tables: csv, tsv, JSON lines, Flickr's token files, and lists of captions without header."""

from __future__ import annotations

import csv
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.errors import UserError
from engine.sources.lines import LineReader
from engine.sources.rows import Row, RowReader
from engine.sources.storage import open_binary

_TOKEN_LINE = re.compile(r"(?P<image>[^\t]+)#(?P<order>\d{1,9})\t(?P<caption>.*)")
_IMAGE_NAME = re.compile(r"[^\s|,]+\.(?:jpe?g|png|webp)", re.IGNORECASE)
# Markers of captioning tutorials; they are no part of what the caption says.
_MARKED = re.compile(r"startseq (?P<text>.*) endseq", re.DOTALL)


class Layout(ABC):
    """How lines become rows."""

    @abstractmethod
    def rows(self, lines: LineReader) -> Iterator[Row]:
        """Rows from the reader's place on."""


@dataclass(frozen=True)
class Delimited(Layout):
    """csv (quoted as in RFC 4180), tsv and | (a quotation mark is text) with named columns."""

    columns: tuple[str, ...]
    delimiter: str

    def rows(self, lines: LineReader) -> Iterator[Row]:
        """One row per record; csv records may span lines."""
        reader = csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.delimiter == "," else csv.QUOTE_NONE,
        )
        while True:
            start, lines.problem = lines.offset, None
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield Row(start, {}, str(error))
                continue
            if values is None:
                return
            if values:
                yield self._row(start, values, lines.problem)

    def _row(self, start: int, values: list[str], problem: str | None) -> Row:
        if problem is None and len(values) > len(self.columns):
            problem = f"{len(values)} cells where the header has {len(self.columns)}"
        if problem:
            return Row(start, {}, problem)
        return Row(start, dict(zip(self.columns, (value.strip() for value in values), strict=False)))


class LineLayout(Layout):
    """One row per line that is not blank."""

    def rows(self, lines: LineReader) -> Iterator[Row]:
        """Rows line by line."""
        start, lines.problem = lines.offset, None
        for line in lines:
            if lines.problem:
                yield Row(start, {}, lines.problem)
            elif line.strip():
                yield self.row(start, line.rstrip("\r\n"))
            start, lines.problem = lines.offset, None

    @abstractmethod
    def row(self, start: int, line: str) -> Row:
        """The row of one line."""


@dataclass(frozen=True)
class JsonLines(LineLayout):
    """One JSON object a line."""

    def row(self, start: int, line: str) -> Row:
        """The object's entries are the cells."""
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            return Row(start, {}, f"no JSON: {error}")
        return Row(start, cells) if isinstance(cells, dict) else Row(start, {}, "no JSON object")


@dataclass(frozen=True)
class TokenLines(LineLayout):
    """Flickr8k's and Flickr30k's `name.jpg#2<TAB>caption`."""

    def row(self, start: int, line: str) -> Row:
        """The number orders the captions of an image."""
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            return Row(start, {}, "expected NAME#NUMBER, a tab and a caption")
        return Row(start, {"image": match["image"], "caption": match["caption"]}, order=int(match["order"]))


@dataclass(frozen=True)
class CaptionList(LineLayout):
    """No header: `name.jpg|caption|caption`, and the same with tabs."""

    delimiter: str

    def row(self, start: int, line: str) -> Row:
        """Everything after the image name is a caption."""
        image, *captions = (cell.strip() for cell in line.split(self.delimiter))
        return Row(start, {"image": image, "caption": [without_markers(text) for text in captions]})


def without_markers(text: str) -> str:
    """The caption between `startseq` and `endseq`, where both are there."""
    match = _MARKED.fullmatch(text)
    return match["text"].strip() if match else text


@dataclass(frozen=True)
class TextRows(RowReader):
    """A text table; positions are byte offsets."""

    path: str
    columns: tuple[str, ...]
    first_row: int
    layout: Layout

    def rows(self) -> Iterator[Row]:
        """All rows in file order."""
        with open_binary(self.path) as stream:
            yield from self.layout.rows(LineReader(stream, self.first_row))

    def fetch(self, positions: Sequence[int]) -> Iterator[Row]:
        """The rows at these offsets; neighbours are read without seeking."""
        with open_binary(self.path) as stream:
            lines: LineReader | None = None
            rows: Iterator[Row] = iter(())
            for position in positions:
                if lines is None or lines.offset != position:
                    lines = LineReader(stream, position)
                    rows = self.layout.rows(lines)
                yield next(rows)


def open_text_rows(path: str) -> TextRows:
    """Find out by name and first line how a text table is written.

    Raises:
        UserError: it is none.
    """
    with open_binary(path) as stream:
        lines = LineReader(stream)
        first = next(lines, "").rstrip("\r\n")
        after_header = lines.offset
    if path.endswith((".jsonl", ".ndjson")):
        return TextRows(path, json_columns(path, first), 0, JsonLines())
    if _TOKEN_LINE.fullmatch(first):
        return TextRows(path, ("image", "caption"), 0, TokenLines())
    delimiter = find_delimiter(first)
    if delimiter != "," and _IMAGE_NAME.fullmatch(first.split(delimiter)[0].strip()):
        return TextRows(path, ("image", "caption"), 0, CaptionList(delimiter))
    columns = tuple(name.strip() for name in next(csv.reader([first], delimiter=delimiter), []))
    if len(columns) < 2 or len(set(columns)) < len(columns) or _IMAGE_NAME.fullmatch(columns[0]):
        raise UserError(
            f"{path}: no header with at least two different columns in the first line ({first[:80]!r}); "
            f"expected a first line such as image,caption"
        )
    return TextRows(path, columns, after_header, Delimited(columns, delimiter))


def find_delimiter(line: str) -> str:
    """What separates the cells of a first line."""
    if "\t" in line:
        return "\t"
    return "|" if line.count("|") > line.count(",") or _IMAGE_NAME.match(line.split("|")[0]) else ","


def json_columns(path: str, line: str) -> tuple[str, ...]:
    """The names in the first line of a JSON lines file."""
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        first = None
    if not isinstance(first, dict):
        raise UserError(f"{path}: the first line is no JSON object ({line[:80]!r}); expected JSON lines")
    return tuple(first)
