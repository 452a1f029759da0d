"""Parts of a ledger, every page with a checksum, and the file that describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import UserError
from engine.native import hash_file

ROWS_PER_GROUP = 16_384


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


def read_description(path: Path, form: str, needed: Sequence[str]) -> dict[str, Any]:
    """The JSON file that is written when all parts are there.

    Args:
        path: of the file.
        form: its `format`.
        needed: keys that are read from it.

    Raises:
        UserError: it is damaged, or not ours.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        if found["format"] != form:
            raise ValueError(f"format {found['format']}, expected {form}")
        if missing := [key for key in needed if key not in found]:
            raise ValueError(f"no {missing[0]}")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a ledger's description ({error})") from error
    return found
