"""Parquet as a table of image paths and captions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow.parquet as pq

from engine.sources.arrow_rows import rows_of
from engine.sources.columnar import open_parquet
from engine.sources.rows import Row, RowReader

BATCH_ROWS = 1024


@dataclass(frozen=True)
class ParquetRows(RowReader):
    """Positions are row numbers; `columns` are those that are read."""

    path: str
    columns: tuple[str, ...]

    def rows(self) -> Iterator[Row]:
        """All rows in file order."""
        position = 0
        with open_parquet(self.path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(self.columns)):
                for cells in rows_of(batch):
                    yield Row(position, cells)
                    position += 1

    def fetch(self, positions: Sequence[int]) -> Iterator[Row]:
        """Rows by number; one row group's captions are in memory at a time."""
        with open_parquet(self.path) as file:
            starts = group_starts(file)
            loaded, table = -1, None
            for position in positions:
                group = bisect_right(starts, position) - 1
                if group != loaded:
                    loaded, table = group, file.read_row_group(group, columns=list(self.columns))
                yield Row(position, _cells(table, position - starts[group]))


def group_starts(file: pq.ParquetFile) -> list[int]:
    """The number of the first row of each row group."""
    sizes = (file.metadata.row_group(index).num_rows for index in range(file.num_row_groups))
    return [0, *accumulate(sizes)][:-1] or [0]


def _cells(table: Any, index: int) -> dict[str, Any]:
    (batch,) = table.slice(index, 1).to_batches()
    return rows_of(batch)[0]
