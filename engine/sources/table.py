"""A folder of images and a text table (csv, tsv, jsonl): image path and captions, a row or more per image."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.records import Record, Reject
from engine.sources.assemble import Assembler, Sample, SampleError, reject
from engine.sources.base import Source, Unit
from engine.sources.images import read_image
from engine.sources.rows import Row, RowReader
from engine.sources.storage import base_name, common_folder, relative_to


@dataclass(frozen=True)
class Table:
    """A table and where its images are."""

    reader: RowReader
    image_column: str
    image_root: str


class TableSource(Source):
    """Tables; a work unit is a chunk of `rows_per_unit` images.

    All rows of one image make one sample, wherever they stand: a first pass over the table (`units`) notes
    the position of every row by image.
    """

    format = "table"

    def __init__(self, tables: list[Table], assembler: Assembler, rows_per_unit: int) -> None:
        """`tables` in input order."""
        super().__init__(assembler)
        self.tables = tables
        self.rows_per_unit = rows_per_unit

    def units(self) -> list[Unit]:
        """Chunks of images in the order in which the tables first name them."""
        return [unit for number, table in enumerate(self.tables) for unit in self._units(number, table)]

    def _units(self, number: int, table: Table) -> list[Unit]:
        groups = group_rows(table, self.assembler.chosen)
        root = common_folder([other.reader.path for other in self.tables])
        name = relative_to(root, table.reader.path)
        starts = range(0, len(groups), self.rows_per_unit)
        return [
            Unit(
                f"{name}[{start}:{min(start + self.rows_per_unit, len(groups))}]",
                table.reader.path,
                (number, groups[start : start + self.rows_per_unit]),
            )
            for start in starts
        ]

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """One record or reject per image of the unit."""
        number, groups = unit.payload
        table = self.tables[number]
        rows = table.reader.fetch([position for group in groups for position in group])
        for group in groups:
            result = self._result(table, sorted((next(rows) for _ in group), key=lambda row: row.order))
            if result is not None:
                yield result

    def _result(self, table: Table, rows: list[Row]) -> Record | Reject | None:
        where = f"{table.reader.path}@{rows[0].position}"
        image = rows[0].cells.get(table.image_column)
        if rows[0].problem:
            return reject("", "bad_row", rows[0].problem, where)
        names = (base_name(image),) if isinstance(image, str) and image else ()
        sample = Sample(image, None, merge_cells([row.cells for row in rows]), where, names=names)
        if not self.assembler.wanted(sample):
            return None
        try:
            sample.image = read_image(table.image_root, image, self.assembler.max_image_bytes)
        except SampleError as error:
            sample.problem = (error.code, error.message)
        return self.assembler.assemble(sample)


def group_rows(
    table: Table, chosen: Callable[[Mapping[str, Any]], bool] = lambda cells: True
) -> list[array[int]]:
    """Positions of the rows of each image, in order of appearance; a row without image stands alone."""
    groups: list[array[int]] = []
    group_of: dict[str, int] = {}
    for row in table.reader.rows():
        if not row.problem and not chosen(row.cells):
            continue
        image = row.cells.get(table.image_column)
        position = group_of.get(image) if isinstance(image, str) and image else None
        if position is not None:
            groups[position].append(row.position)
            continue
        if isinstance(image, str) and image:
            group_of[image] = len(groups)
        groups.append(array("q", [row.position]))
    return groups


def merge_cells(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Cells of the rows of one image: several rows give lists, in row order."""
    if len(rows) == 1:
        return dict(rows[0])
    merged: dict[str, Any] = {}
    for row in rows:
        for name, value in row.items():
            merged.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return merged
