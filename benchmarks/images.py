"""Images as people have them: files, folders, tar and parquet files."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.errors import UserError

# What holds many images, and is opened as engine.shard opens it.
CONTAINERS = (".tar", ".parquet", ".arrow")


class Named(NamedTuple):
    """A file's bytes and what to call it."""

    name: str
    data: bytes


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read_images(paths: Sequence[Path], limit: int | None = None) -> list[Named]:
    """Whatever lies there, in a fixed order; at most `limit` of each path, spread over it.

    Raises:
        UserError: a path that is not there, or a container that cannot be read.
    """
    found: list[Named] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; give images, or folders, tar or parquet files")
        files = files_in(path) if path.is_dir() else [path]
        if limit is not None:
            random.Random(0).shuffle(files)
        images = [named for file in files[:limit] for named in _of_file(file, path)]
        found += images[:limit]
    return found


def _of_file(file: Path, given: Path) -> Iterator[Named]:
    below = str(Path(given.name) / file.relative_to(given)) if file != given else file.name
    if file.suffix in CONTAINERS:
        yield from (Named(f"{below}/{key}", data) for key, data in _of_container(file))
    else:
        yield Named(below, file.read_bytes())


def _of_container(file: Path) -> Iterator[tuple[str, bytes]]:
    from engine.records import Record
    from engine.sources import SourceOptions, open_source

    source = open_source(SourceOptions((str(file),), without_captions=True))
    for unit in source.units():
        yield from ((item.key, item.image) for item in source.read(unit) if isinstance(item, Record))
