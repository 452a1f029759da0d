"""Rows of released files, one at a time: the files are larger than memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import UserError

_CHARACTERS_AT_ONCE = 1 << 20
_LONGEST_OBJECT = 1 << 20  # characters: an object with one caption has a few hundred
_ROWS_AT_ONCE = 8192


def read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a parquet file.

    Raises:
        UserError: it cannot be read; what follows is lost.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read as parquet ({error})") from error


def read_csv(path: Path, names: Sequence[str] | None = None) -> Iterator[Mapping[str, Any]]:
    """Rows of a comma- or tab-separated file with a header, or with the columns' `names` instead of one.

    Raises:
        UserError: it is no such file.
    """
    csv.field_size_limit(_LONGEST_OBJECT)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = "\t" if first.count("\t") > first.count(",") else ","
            yield from csv.DictReader(file, names, delimiter=delimiter)
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as csv ({error})") from error


def read_json(path: Path) -> Iterator[Mapping[str, Any]]:
    """Objects of a JSON array, JSON lines, or an object that maps each URL to a caption.

    Raises:
        UserError: it is none of them, or is cut off.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            yield from _Objects(path, file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


class _Objects:
    """Reads values one after the other from a buffer that is filled as needed."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False
        self._decoder = json.JSONDecoder()

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        opening = self._peek()
        if opening == "[":
            self._at += 1
        elif opening == "{" and self._is_map():
            self._at += 1
            yield from self._pairs()
            return
        while (sign := self._peek()) not in ("", "]"):
            if sign == ",":
                self._at += 1
                continue
            value = self._value()
            yield value if isinstance(value, dict) else {"": value}
        if opening == "[" and self._peek() != "]":
            raise UserError(f"{self._path}: ends in the middle of its list; fetch it again")

    def _is_map(self) -> bool:
        """Whether the first thing in the object is named by a URL."""
        self._fill(_CHARACTERS_AT_ONCE)
        name = self._text[self._at + 1 : self._at + 200].lstrip()
        return name.startswith(('"http:', '"https:', '"http:\\/', '"https:\\/'))

    def _pairs(self) -> Iterator[Mapping[str, Any]]:
        while (sign := self._peek()) != "}":
            if sign == "":
                raise UserError(f"{self._path}: ends in the middle of its object; fetch it again")
            if sign == ",":
                self._at += 1
                continue
            url = self._value()
            if self._peek() != ":":
                raise UserError(f"{self._path}: no value for {str(url)[:80]!r}; expected URL: caption")
            self._at += 1
            value = self._value()
            yield {"url": url, **value} if isinstance(value, dict) else {"url": url, "caption": value}

    def _value(self) -> Any:
        """The next JSON value; more of the file is read only where it does not end in the buffer."""
        self._peek()
        if len(self._text) - self._at < _LONGEST_OBJECT:
            self._fill(_LONGEST_OBJECT)
        try:
            value, self._at = self._decoder.raw_decode(self._text, self._at)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{self._path}: is no JSON at {self._text[self._at : self._at + 60]!r}"
            ) from error
        return value

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill(_CHARACTERS_AT_ONCE):
                return ""

    def _fill(self, wanted: int) -> bool:
        """Makes the buffer hold `wanted` characters beyond the place, if the file has them."""
        missing = wanted - (len(self._text) - self._at)
        if missing <= 0 or self._ended:
            return self._at < len(self._text)
        # More than is missing: the buffer is copied once for many values.
        added = self._file.read(missing + 4 * _CHARACTERS_AT_ONCE)
        self._ended = not added
        self._text = self._text[self._at :] + added
        self._at = 0
        return bool(self._text)


def count_lines(path: Path) -> int:
    """Lines of a text file, the last one with or without its end."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a text file without their ends; only line feeds end a line, as in the released scripts."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for line in file:
            yield line.rstrip("\r\n")
