"""Parquet and Arrow files that hold the images themselves: img2dataset, Hugging Face Hub, `save_to_disk`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import UserError
from engine.records import Record, Reject
from engine.sources.arrow_rows import rows_of
from engine.sources.assemble import Assembler, Sample, reject
from engine.sources.base import Source, Unit
from engine.sources.storage import common_folder, is_url, open_binary, relative_to

# 32 images of a few hundred kB each are in memory at a time.
BATCH_ROWS = 32
STATUS_COLUMNS = ("status", "error_message")  # what img2dataset says about a download
Part = tuple[int, int, int]  # first group of rows, the one behind the last, number of the first row
ReadError = (pa.ArrowException, OSError)


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; `key` is `None` where only the row number can tell samples apart."""

    image: str
    key: str | None
    read: tuple[str, ...]


class ColumnarSource(Source):
    """Rows with image bytes, either plain or in a struct `{bytes, path}`."""

    def __init__(self, paths: list[str], columns: Columns, assembler: Assembler) -> None:
        """`paths` in input order, all with the same columns."""
        super().__init__(assembler)
        self.paths = paths
        self.columns = columns
        self.root = common_folder(paths)

    @abstractmethod
    def batches(self, unit: Unit) -> Iterator[tuple[int, pa.RecordBatch | None, str]]:
        """Triples (number of the first row, rows, ""), or (row, None, message) for an unreadable row."""

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """One record or reject per row."""
        for first, batch, problem in self.batches(unit):
            if batch is None:
                yield reject(self._row_key(unit, first), "unreadable", problem, f"{unit.where}#{first}")
                continue
            for start in range(0, batch.num_rows, BATCH_ROWS):
                rows = rows_of(batch.slice(start, BATCH_ROWS))
                for row, cells in enumerate(rows, first + start):
                    result = self.assembler.assemble(self._sample(unit, row, cells))
                    if result is not None:
                        yield result

    def _sample(self, unit: Unit, row: int, cells: dict[str, Any]) -> Sample:
        image = cells.pop(self.columns.image)
        names: tuple[str, ...] = ()
        if isinstance(image, dict):
            path = image.get("path")
            names = (path,) if isinstance(path, str) and path else ()
            image = image.get("bytes")
        key = cells.get(self.columns.key) if self.columns.key else None
        key = str(key) if isinstance(key, int) else key
        if self.columns.key is None:
            key = self._row_key(unit, row)
        sample = Sample(key, image, cells, f"{unit.where}#{row}", names=names)
        if not image and cells.get("status") not in (None, "success"):
            sample.problem = ("not_downloaded", str(cells.get("error_message") or cells["status"]))
        return sample

    def _row_key(self, unit: Unit, row: int) -> str:
        return f"{relative_to(self.root, unit.where)}#{row}"


class ParquetSource(ColumnarSource):
    """Parquet; a work unit is a file, or a range of row groups of a large one."""

    format = "parquet"

    def __init__(self, paths: list[str], columns: Columns, assembler: Assembler, rows_per_unit: int) -> None:
        """`rows_per_unit`: row groups are put together up to this many rows."""
        super().__init__(paths, columns, assembler)
        self.rows_per_unit = rows_per_unit

    def units(self) -> list[Unit]:
        """Ranges of row groups in file order; a file with damaged metadata is an error."""
        return [unit for path in self.paths for unit in self._units(path)]

    def _units(self, path: str) -> Iterator[Unit]:
        with open_parquet(path) as file:
            sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
        name = relative_to(self.root, path)
        for start, stop, first_row in group_ranges(sizes, self.rows_per_unit):
            yield Unit(f"{name}[{start}:{stop}]", path, (start, stop, first_row))

    def batches(self, unit: Unit) -> Iterator[tuple[int, pa.RecordBatch | None, str]]:
        """Row group by row group: damage in one costs the rest of this one, row by row accounted for."""
        start, stop, row = unit.payload
        with open_parquet(unit.where) as file:
            for group in range(start, stop):
                end = row + file.metadata.row_group(group).num_rows
                try:
                    for batch in file.iter_batches(BATCH_ROWS, [group], columns=list(self.columns.read)):
                        yield row, batch, ""
                        row += batch.num_rows
                except ReadError as error:
                    for lost in range(row, end):
                        yield lost, None, str(error)
                row = end


class ArrowSource(ColumnarSource):
    """Arrow streams as `datasets.Dataset.save_to_disk` writes them; a work unit is a file, or several are."""

    format = "huggingface"

    def __init__(
        self, paths: list[str], columns: Columns, assembler: Assembler, rows_per_unit: int | None = None
    ) -> None:
        """`rows_per_unit`: record batches of a local file are put together up to this many rows."""
        super().__init__(paths, columns, assembler)
        self.rows_per_unit = rows_per_unit

    def units(self) -> list[Unit]:
        """Units in file order."""
        return [
            Unit(f"{relative_to(self.root, path)}{name}", path, part)
            for path in self.paths
            for name, part in self._parts(path)
        ]

    def _parts(self, path: str) -> list[tuple[str, Part | None]]:
        if self.rows_per_unit is None or is_url(path):
            return [("", None)]
        return [
            (f"[{start}:{stop}]", (start, stop, first))
            for start, stop, first in group_ranges(batch_sizes(path), self.rows_per_unit)
        ]

    def batches(self, unit: Unit) -> Iterator[tuple[int, pa.RecordBatch | None, str]]:
        """Record batches as they stand in the file; what follows damage is one reject."""
        start, stop, row = unit.payload or (0, None, 0)
        with open_binary(unit.where) if unit.payload is None else pa.memory_map(unit.where) as stream:
            try:
                for batch in islice(pa.ipc.open_stream(stream), start, stop):
                    yield row, batch.select(list(self.columns.read)), ""
                    row += batch.num_rows
            except ReadError as error:
                yield row, None, str(error)


def batch_sizes(path: str) -> list[int]:
    """Rows of each record batch of a local arrow file; damage counts as one more, which reading reports."""
    sizes: list[int] = []
    try:
        with pa.memory_map(path) as stream:
            sizes.extend(batch.num_rows for batch in pa.ipc.open_stream(stream))
    except ReadError:
        sizes.append(1)
    return sizes


def group_ranges(sizes: Sequence[int], most: int) -> Iterator[Part]:
    """Neighbouring groups of rows up to `most` rows together, as (first group, end, number of first row)."""
    start, first_row, rows = 0, 0, 0
    for group, size in enumerate(sizes):
        if rows and rows + size > most:
            yield start, group, first_row
            start, first_row, rows = group, first_row + rows, 0
        rows += size
    if rows:
        yield start, len(sizes), first_row


@contextmanager
def open_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """A parquet file, local or remote.

    Raises:
        UserError: it is none, or its metadata is damaged.
    """
    with open_binary(path) as stream:
        try:
            file = pq.ParquetFile(stream)
        except ReadError as error:
            raise UserError(f"{path}: not readable as parquet: {error}") from None
        with file:
            yield file


def read_schema(path: str) -> pa.Schema:
    """The schema of a parquet or arrow file.

    Raises:
        UserError: it cannot be read.
    """
    if path.endswith(".parquet"):
        with open_parquet(path) as file:
            return file.schema_arrow
    with open_binary(path) as stream:
        try:
            return pa.ipc.open_stream(stream).schema
        except ReadError as error:
            raise UserError(f"{path}: not readable as an arrow stream: {error}") from None


def image_columns(schema: pa.Schema) -> list[str]:
    """Columns that can hold image files: binary, or a struct with a binary `bytes`."""
    return [field.name for field in schema if _holds_bytes(field.type)]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))
