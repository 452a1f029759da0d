"""Parts of a ledger: parquet files of rows that appear whole or not at all, every page with a checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import UserError
from engine.native import hash_file
from engine.parquet_file import ParquetFile

ROWS_PER_GROUP = 16_384

Row = TypeVar("Row")
Writer = TypeVar("Writer", bound="PartWriter[Any]")


class PartWriter(Generic[Row]):
    """One part; rows are buffered a row group at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Starts a temporary file beside `path`; rows have an attribute for every field of `schema`."""
        self._file = ParquetFile(path, schema, write_page_checksum=True)
        self._schema = schema
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
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*map(self._values, self._rows), strict=True)
            fields = zip(columns, self._schema, strict=True)
            self._file.write([pa.array(column, field.type) for column, field in fields])
            self._rows = []


def read_part(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Record batches of one part; every page's checksum is compared.

    Raises:
        UserError: the file is damaged, or no part of a ledger.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield from file.iter_batches(columns=list(columns) if columns else None)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read as part of a caption ledger ({error})") from error


def describe_part(part: Path) -> dict[str, Any]:
    """What `ledger.json` and `scores.json` say of a part."""
    rows = pq.read_metadata(part).num_rows
    digest = hash_file(part, "xxh3_128")
    return {"file": part.name, "rows": rows, "bytes": part.stat().st_size, "xxh3_128": digest}


def check_parts(description: Path, parts: Sequence[Any]) -> tuple[Path, ...]:
    """The files of the parts that a description names.

    Raises:
        UserError: one is missing or has another size.
    """
    files = []
    for part in parts:
        file = description.parent / str(part["file"])
        found = file.stat().st_size if file.is_file() else None
        if found != part["bytes"]:
            size = "missing" if found is None else f"{found:,} bytes"
            expected = f"{description.name} says {part['bytes']:,} bytes"
            raise UserError(f"{file}: {size}, but {expected}; fetch it again")
        files.append(file)
    return tuple(files)
