"""What `engine.sources.open_source` does: expand, detect, find the columns, open."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import UserError
from engine.sources.assemble import Assembler
from engine.sources.base import Source
from engine.sources.coco_rows import CocoRows
from engine.sources.columnar import (
    STATUS_COLUMNS,
    ArrowSource,
    Columns,
    ParquetSource,
    image_columns,
    read_schema,
)
from engine.sources.columns import (
    BYTES_COLUMNS,
    IMAGE_COLUMNS,
    KEY_COLUMNS,
    image_column,
    pick,
    table_captions,
)
from engine.sources.detect import FORMATS, detect
from engine.sources.expand import expand_inputs
from engine.sources.files import FilesSource
from engine.sources.images import find_root
from engine.sources.options import SourceOptions
from engine.sources.parquet_rows import ParquetRows
from engine.sources.rows import RowReader
from engine.sources.selectors import parse_selector
from engine.sources.storage import open_binary
from engine.sources.table import Table, TableSource
from engine.sources.text_rows import open_text_rows
from engine.sources.webdataset import WebDatasetSource

# What img2dataset, open_clip and DataComp call the caption of a sample in files.
FILE_CAPTIONS = {"alttext": "txt|json:caption"}
OnlyKeys = frozenset[str] | None


def open_inputs(options: SourceOptions) -> Source:
    """Look at the inputs and open them.

    Raises:
        UserError: nothing found, an unknown format, or columns that cannot be told apart.
    """
    if options.format not in FORMATS:
        raise UserError(f"format {options.format!r}: unknown; expected one of {', '.join(FORMATS)}")
    if options.rows_per_unit < 1:
        raise UserError(f"rows per unit: {options.rows_per_unit}; expected at least 1")
    inputs = expand_inputs(options.inputs)
    detected = [detect(path, options.format) for path in inputs]
    readers = {reader: path for path, (reader, _) in zip(inputs, detected, strict=True)}
    if len(readers) > 1:
        kinds = "; ".join(f"{path} is {reader}" for reader, path in readers.items())
        raise UserError(f"inputs of different kinds: {kinds}; shard them one after the other")
    paths = [path for _, found in detected for path in found]
    return OPENERS[detected[0][0]](paths, options, read_only_keys(options.only_keys))


def open_tars(paths: list[str], options: SourceOptions, only: OnlyKeys) -> Source:
    """webdataset."""
    return WebDatasetSource(paths, Assembler(options, options.captions or FILE_CAPTIONS, only))


def open_files(paths: list[str], options: SourceOptions, only: OnlyKeys) -> Source:
    """img2dataset's files."""
    return FilesSource(paths, Assembler(options, options.captions or FILE_CAPTIONS, only))


def open_parquet_source(paths: list[str], options: SourceOptions, only: OnlyKeys) -> Source:
    """Parquet with image bytes."""
    columns, assembler = open_columns(paths, options, only)
    return ParquetSource(paths, columns, assembler, options.rows_per_unit)


def open_arrow_source(paths: list[str], options: SourceOptions, only: OnlyKeys) -> Source:
    """Arrow files with image bytes."""
    return ArrowSource(paths, *open_columns(paths, options, only))


def open_columns(paths: list[str], options: SourceOptions, only: OnlyKeys) -> tuple[Columns, Assembler]:
    """Find the columns in the first file's schema; every file must have them."""
    schema = read_schema(paths[0])
    binary = image_columns(schema)
    names = (*BYTES_COLUMNS, binary[0].lower()) if len(binary) == 1 else BYTES_COLUMNS
    image = image_column(paths[0], binary, names, options)
    others = [name for name in schema.names if name != image]
    assembler = Assembler(options, table_captions(paths[0], others, options), only)
    key = None if options.key_column else pick(others, KEY_COLUMNS)
    wanted = {image, *assembler.fields, *STATUS_COLUMNS} | ({key} if key else set())
    columns = Columns(image, key, tuple(name for name in schema.names if name in wanted))
    check_columns(paths, columns)
    return columns, assembler


def check_columns(paths: list[str], columns: Columns) -> None:
    """Every file must have the columns of the first.

    Raises:
        UserError: one has not.
    """
    for path in paths[1:]:
        missing = set(columns.read) - set(read_schema(path).names)
        if missing:
            raise UserError(f"{path}: no column {', '.join(sorted(missing))}, which {paths[0]} has")


def open_tables(paths: list[str], options: SourceOptions, only: OnlyKeys) -> Source:
    """Tables of one data set: the first one's columns decide."""
    readers = [open_rows(path, options) for path in paths]
    captions = table_captions(paths[0], readers[0].columns, options)
    tables = [open_table(reader, options) for reader in readers]
    return TableSource(tables, Assembler(options, captions, only), options.rows_per_unit)


def open_table(reader: RowReader, options: SourceOptions) -> Table:
    """Find the image column and the image folder of a table."""
    column = image_column(reader.path, reader.columns, IMAGE_COLUMNS, options)
    first = next((row.cells[column] for row in reader.rows() if row.cells.get(column)), "")
    return Table(reader, column, find_root(reader.path, str(first), options.image_root))


def open_rows(path: str, options: SourceOptions) -> RowReader:
    """The reader that fits a table's name."""
    if path.endswith(".json"):
        return CocoRows(path)
    if not path.endswith(".parquet"):
        return open_text_rows(path)
    columns = read_schema(path).names
    captions = table_captions(path, columns, options)
    image = image_column(path, columns, IMAGE_COLUMNS, options)
    texts = [*captions.values(), *options.scores.values(), *filter(None, [options.key_column])]
    wanted = {image}.union(*(parse_selector(text).fields for text in texts))
    return ParquetRows(path, tuple(name for name in columns if name in wanted))


def read_only_keys(path: str | None) -> OnlyKeys:
    """The lines of a key list."""
    if path is None:
        return None
    with open_binary(path) as stream:
        return frozenset(line.decode("utf-8", errors="surrogateescape").strip() for line in stream) - {""}


OPENERS: dict[str, Callable[[list[str], SourceOptions, OnlyKeys], Source]] = {
    "tar": open_tars,
    "files": open_files,
    "parquet": open_parquet_source,
    "arrow": open_arrow_source,
    "table": open_tables,
}
