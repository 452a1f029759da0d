"""`open_source`: the one way in."""

from __future__ import annotations

from engine.errors import UserError
from engine.sources.assemble import Assembler
from engine.sources.base import Source
from engine.sources.detect import IMAGE_COLUMNS, default_captions, detect_format, pick
from engine.sources.expand import expand_inputs
from engine.sources.images import find_root
from engine.sources.options import SourceOptions
from engine.sources.rows import read_rows, sniff_table
from engine.sources.storage import open_binary
from engine.sources.table import Table, TableSource
from engine.sources.webdataset import WebDatasetSource


def open_source(options: SourceOptions) -> Source:
    """Look at the inputs and open them.

    Raises:
        UserError: nothing found, an unknown format, or columns that cannot be told apart.
    """
    detected = [detect_format(path) for path in expand_inputs(options.inputs)]
    formats = sorted({name for name, _ in detected})
    if len(formats) > 1:
        raise UserError(f"inputs of different formats: {', '.join(formats)}; shard them one after the other")
    paths = [path for _, found in detected for path in found]
    only = read_only_keys(options.only_keys)
    if formats[0] == "webdataset":
        captions = options.captions or {"alttext": "txt|json:caption"}
        return WebDatasetSource(paths, Assembler(options, captions, only))
    return open_tables(paths, options, only)


def open_tables(paths: list[str], options: SourceOptions, only: frozenset[str] | None) -> Source:
    """Tables of one data set: the first one's columns decide."""
    tables = [open_table(path, options) for path in paths]
    columns = tables[0].rows.columns
    captions = options.captions or default_captions(columns)
    if not captions:
        raise UserError(
            f"{paths[0]}: no column that looks like captions among {', '.join(columns)}; "
            f"name one with --caption alttext=COLUMN"
        )
    return TableSource(tables, Assembler(options, captions, only), options.rows_per_unit)


def open_table(path: str, options: SourceOptions) -> Table:
    """Find the columns and the image folder of a table."""
    rows = sniff_table(path)
    column = options.image_column or pick(rows.columns, IMAGE_COLUMNS)
    if column is None or column not in rows.columns:
        raise UserError(
            f"{path}: no image column {options.image_column or ''} among {', '.join(rows.columns)}; "
            f"name it with --image-column"
        )
    first = next((row.cells[column] for row in read_rows(path, rows) if row.cells.get(column)), "")
    return Table(path, rows, column, find_root(path, str(first), options.image_root))


def read_only_keys(path: str | None) -> frozenset[str] | None:
    """The lines of a key list."""
    if path is None:
        return None
    with open_binary(path) as stream:
        return frozenset(line.decode("utf-8").strip() for line in stream) - {""}
