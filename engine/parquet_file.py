"""Parquet files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

Row = TypeVar("Row")
Writer = TypeVar("Writer", bound="RowWriter[Any]")


class ParquetFile:
    """Row groups go to a temporary file beside `path`; leaving the `with` block commits or removes it."""

    def __init__(self, path: Path, schema: pa.Schema, **options: Any) -> None:
        """Starts the temporary file; `options` are those of `pyarrow.parquet.ParquetWriter`."""
        self._path = path
        self._temporary = path.with_name(path.name + ".tmp")
        self._file = self._temporary.open("wb")
        self._schema = schema
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd", **options)

    def __enter__(self) -> ParquetFile:
        """The file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commits the file, or removes it after an error."""
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def write(self, columns: list[pa.Array]) -> None:
        """Adds a row group: one array per column of the schema."""
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def commit(self) -> None:
        """Ends the file, brings it to the disk and gives it its name."""
        try:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        except BaseException:
            self.abandon()
            raise
        self._file.close()
        os.replace(self._temporary, self._path)
        sync_folder(self._path.parent)

    def abandon(self) -> None:
        """Removes what was written."""
        # Closed in this order, or pyarrow complains later; on a full disk neither can write its end.
        for closing in (self._writer.close, self._file.close):
            with suppress(OSError, ValueError):
                closing()
        self._temporary.unlink(missing_ok=True)


class RowWriter(Generic[Row]):
    """Objects as rows, buffered a row group at a time; the file appears whole or not at all."""

    def __init__(self, path: Path, schema: pa.Schema, rows_per_group: int, **options: Any) -> None:
        """Starts a temporary file beside `path`.

        Args:
            path: of the file.
            schema: rows have an attribute for every field.
            rows_per_group: that are held in memory.
            options: see `ParquetFile`.
        """
        self._file = ParquetFile(path, schema, **options)
        self._schema, self._rows_per_group = schema, rows_per_group
        self._values: Callable[[Row], tuple[Any, ...]] = attrgetter(*schema.names)
        self._rows: list[Row] = []

    def __enter__(self: Writer) -> Writer:
        """The writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commits the file, or removes it after an error."""
        if kind is not None:
            return self._file.abandon()
        try:
            self._flush()
        except BaseException:
            self._file.abandon()
            raise
        self._file.commit()

    def add(self, row: Row) -> None:
        """Adds one row."""
        self._rows.append(row)
        if len(self._rows) == self._rows_per_group:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*map(self._values, self._rows), strict=True)
            fields = zip(columns, self._schema, strict=True)
            self._file.write([pa.array(column, field.type) for column, field in fields])
            self._rows = []


def sync_folder(path: Path) -> None:
    """Makes new names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
