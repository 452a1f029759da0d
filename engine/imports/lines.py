"""LaCLIP's layout: line i of a text file is a rewrite of row i of a csv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.imports.rows import count_lines, read_csv, read_lines


def with_lines(
    rows: Iterator[Mapping[str, Any]], table: Path, files: Mapping[str, Path]
) -> Iterator[Mapping[str, Any]]:
    """The rows with a column `rewrite/<name>` from each file.

    The numbers of lines are compared before the first row: one line too many or too few would put every
    caption behind it on another image.

    Raises:
        UserError: a file has not as many lines as the table has rows.
    """
    expected = sum(1 for _ in read_csv(table))
    for path in files.values():
        if (found := count_lines(path)) != expected:
            raise UserError(
                f"{path}: {found:,} lines, but {table} has {expected:,} rows; they belong together line by"
                " line, so nothing was imported"
            )
    texts = {f"rewrite/{name}": read_lines(path) for name, path in files.items()}
    for row in rows:
        yield {**row, **{name: next(lines) for name, lines in texts.items()}}
