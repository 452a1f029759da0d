"""`rejects.parquet`: one row for every sample that was left out, in unit order and input order."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from engine.records import Reject

SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "stage", "code", "message", "where")])
ROWS_PER_GROUP = 65_536


class RejectWriter:
    """A parquet file that appears whole or not at all; rows are buffered a row group at a time."""

    def __init__(self, path: Path) -> None:
        """Starts a temporary file beside `path`."""
        self._path = path
        self._temporary = path.with_name(path.name + ".tmp")
        self._file = self._temporary.open("wb")
        self._writer = pq.ParquetWriter(self._file, SCHEMA, compression="zstd")
        self._rows: list[tuple[str, str, str, str, str]] = []

    def __enter__(self) -> RejectWriter:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commits the file, or removes it after an error."""
        if kind is not None:
            return self._abandon()
        try:
            self._flush()
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        except BaseException:
            self._abandon()
            raise
        self._file.close()
        os.replace(self._temporary, self._path)
        sync_folder(self._path.parent)

    def add(self, reject: Reject) -> None:
        """Adds one row."""
        self._rows.append((reject.key, reject.stage, reject.code, reject.message, reject.where))
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def _abandon(self) -> None:
        # Closed in this order, or pyarrow complains later; on a full disk neither can write its end.
        for closing in (self._writer.close, self._file.close):
            with suppress(OSError, ValueError):
                closing()
        self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            columns = [pa.array(column, pa.string()) for column in zip(*self._rows, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
            self._rows = []


def merge_rejects(parts: Iterable[Path], path: Path) -> None:
    """Writes the units' rows into one file; parts that do not exist have no rows."""
    with RejectWriter(path) as writer:
        for part in parts:
            if not part.exists():
                continue
            for batch in pq.ParquetFile(part).iter_batches():
                for row in batch.to_pylist():
                    writer.add(Reject(**row))


def sync_folder(path: Path) -> None:
    """Makes new names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
