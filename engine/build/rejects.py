"""`rejects.parquet`: one row for every sample that was left out, in unit order and input order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.parquet_file import RowWriter
from engine.records import Reject

SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "stage", "code", "message", "where")])
ROWS_PER_GROUP = 65_536


class RejectWriter(RowWriter[Reject]):
    """A file of rejects."""

    def __init__(self, path: Path) -> None:
        """Starts a temporary file beside `path`."""
        super().__init__(path, SCHEMA, ROWS_PER_GROUP)


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
