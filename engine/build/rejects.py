"""`rejects.parquet`: one row for every sample that was left out, in unit order and input order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from engine.parquet_file import ParquetFile
from engine.records import Reject

SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "stage", "code", "message", "where")])
ROWS_PER_GROUP = 65_536


class RejectWriter:
    """A parquet file that appears whole or not at all; rows are buffered a row group at a time."""

    def __init__(self, path: Path) -> None:
        """Starts a temporary file beside `path`."""
        self._file = ParquetFile(path, SCHEMA)
        self._rows: list[tuple[str, str, str, str, str]] = []

    def __enter__(self) -> RejectWriter:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commits the file, or removes it after an error."""
        if kind is not None:
            return self._file.abandon()
        try:
            self._flush()
        except BaseException:
            self._file.abandon()
            raise
        self._file.commit()

    def add(self, reject: Reject) -> None:
        """Adds one row."""
        self._rows.append((reject.key, reject.stage, reject.code, reject.message, reject.where))
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write([pa.array(column, pa.string()) for column in zip(*self._rows, strict=True)])
            self._rows = []


def read_rejects(path: Path) -> Iterator[Reject]:
    """The rows of a file; a file that does not exist has none."""
    if path.exists():
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield Reject(**row)


def merge_rejects(parts: Iterable[Path], path: Path) -> None:
    """Writes the units' rows into one file."""
    with RejectWriter(path) as writer:
        for part in parts:
            for reject in read_rejects(part):
                writer.add(reject)
