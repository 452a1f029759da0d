"""LaCLIP's layout: line i of a text file is a rewrite of row i of a csv of images."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.imports.rows import count_lines, read_csv, read_lines

_IMAGE = re.compile(r"://|\.(?:jpe?g|png|webp)$", re.IGNORECASE)
IMAGE_NAME = "image_path"
"""What the first column is called where the csv has no header."""


def read_image_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a csv with a header, or of one without: `image_path`, then `caption`, by place.

    Raises:
        UserError: it is no such file.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = next(csv.reader(file), [])
    named = bool(first) and _IMAGE.search(first[0]) is None
    return read_csv(path, None if named else (IMAGE_NAME, "caption"))


def with_lines(
    rows: Iterator[Mapping[str, Any]], table: Path, files: Mapping[str, Path]
) -> Iterator[Mapping[str, Any]]:
    """The rows with a column `rewrite/<name>` from each file.

    The numbers of lines are compared before the first row: one line too many or too few would put every
    caption behind it on another image.

    Raises:
        UserError: a file has not as many lines as the table has rows.
    """
    expected = sum(1 for _ in read_image_csv(table))
    for path in files.values():
        if (found := count_lines(path)) != expected:
            raise UserError(
                f"{path}: {found:,} lines, but {table} has {expected:,} rows; they belong together line by"
                " line, so nothing was imported"
            )
    texts = {f"rewrite/{name}": read_lines(path) for name, path in files.items()}
    for row in rows:
        yield {**row, **{name: next(lines) for name, lines in texts.items()}}
