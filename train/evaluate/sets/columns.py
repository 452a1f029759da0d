"""Hugging Face data sets: parquet as on the Hub, and what `save_to_disk` writes; images are {bytes, path}."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UserError
from engine.sources import Unit
from engine.sources.columnar import (
    STATUS_COLUMNS,
    ArrowSource,
    ColumnarSource,
    Columns,
    ParquetSource,
    image_columns,
    open_parquet,
    read_schema,
)
from engine.sources.columns import BYTES_COLUMNS, pick
from engine.sources.open import check_columns
from train.evaluate.sets.base import ImageSet
from train.evaluate.sets.captions import caption_fields
from train.evaluate.sets.hub_files import choose, files_by_split, read_column
from train.evaluate.sets.place import SPLIT_COLUMN, UNIT_IMAGES, Place, check_parts, held_out
from train.evaluate.sets.records import LABEL, Fields, RecordSet, SetAssembler
from train.evaluate.tasks import Kind, Task

# `fine_label`: CIFAR-100, which has `coarse_label` too.
LABEL_COLUMNS = ("fine_label", "label", "labels", "cls", "class", "target")


def find_columns(place: Place, kind: Kind, task: Task) -> ImageSet | None:
    """Parquet or arrow files with image bytes."""
    splits = files_by_split(place)
    if not splits:
        return None
    schema = read_schema(next(iter(splits.values()))[0])
    if not image_columns(schema):
        return None  # a table of paths
    captions = kind is Kind.RETRIEVAL
    label = "" if captions else label_column(place.path, schema)
    paths = choose(place.path, splits, label)
    check_parts(paths)
    fields = caption_fields(place.path, text_columns(schema)) if captions else Fields({LABEL: label})
    names = () if captions else class_names(schema, label)
    split = "" if SPLIT_COLUMN not in schema.names else find_split(place.path, paths)
    return ColumnSet(place.path, open_columnar(paths, schema, fields, split), names, split)


def find_split(where: str, paths: Sequence[str]) -> str:
    """The held-out value of the column that names the split; "" where nothing stands in it."""
    found = {value for path in paths for value in read_column(path, SPLIT_COLUMN).unique().to_pylist()}
    splits = [value for value in found if isinstance(value, str) and value]
    return held_out(where, splits) if splits else ""


def text_columns(schema: pa.Schema) -> list[str]:
    """Columns that hold no images."""
    images = image_columns(schema)
    return [name for name in schema.names if name not in images]


def label_column(where: str, schema: pa.Schema) -> str:
    """The column of classes.

    Raises:
        UserError: there is none.
    """
    found = pick(schema.names, LABEL_COLUMNS)
    if found is None:
        columns = ", ".join(schema.names)
        raise UserError(
            f"{where}: no column with classes among {columns}; expected {', '.join(LABEL_COLUMNS)}"
        )
    return found


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """The names of a ClassLabel by number, out of what `datasets` adds to the schema; empty without."""
    if not pa.types.is_integer(schema.field(column).type):
        return ()
    try:
        document = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = document["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def open_columnar(paths: list[str], schema: pa.Schema, fields: Fields, split: str) -> ColumnarSource:
    """The source that reads these columns.

    Raises:
        UserError: the image column cannot be told, or files differ.
    """
    images = image_columns(schema)
    image = images[0] if len(images) == 1 else pick(images, BYTES_COLUMNS)
    if image is None:
        raise UserError(f"{paths[0]}: several columns with images ({', '.join(images)}); expected one")
    assembler = SetAssembler(fields.of_split(SPLIT_COLUMN, split))
    wanted = {image, *assembler.fields, *STATUS_COLUMNS}
    columns = Columns(image, None, tuple(name for name in schema.names if name in wanted))
    check_columns(paths, columns)
    opened = ParquetSource if paths[0].endswith(".parquet") else ArrowSource
    return opened(paths, columns, assembler, UNIT_IMAGES)


class ColumnSet(RecordSet):
    """Of a set with a column that names the split, only the units that hold rows of it."""

    def __init__(self, where: str, source: ColumnarSource, labels: tuple[str, ...], split: str) -> None:
        """`labels`: names of the classes by number; `split`: "" takes all rows."""
        super().__init__(where, source, labels)
        if split:
            chosen = {path: pc.equal(read_column(path, SPLIT_COLUMN), split) for path in source.paths}
            self._units = [unit for unit in self._units if holds_rows(unit, self._units, chosen[unit.where])]
            self.images = sum(pc.sum(rows).as_py() or 0 for rows in chosen.values())
        elif isinstance(source, ParquetSource):
            self.images = sum(count_rows(path) for path in source.paths)


def count_rows(path: str) -> int:
    """Rows of a parquet file, as its metadata says."""
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


def holds_rows(unit: Unit, units: Sequence[Unit], chosen: Any) -> bool:
    """Whether any row of a unit is chosen; `chosen` are a file's rows, true or false."""
    if unit.payload is None:
        return True
    first = unit.payload[2]
    later = [other.payload[2] for other in units if other.where == unit.where and other.payload[2] > first]
    return bool(pc.any(chosen.slice(first, min(later, default=len(chosen)) - first)).as_py())
