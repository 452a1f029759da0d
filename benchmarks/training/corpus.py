"""The same pairs twice: tar files as open_clip reads them, and shards packed from those."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from benchmarks.training.task import Corpus
from engine.errors import UserError
from engine.records import Record
from engine.sources import SourceOptions, open_source

SHARDS = 8  # tar files; open_clip needs at least one for each worker
SOURCE = "caption"


@dataclass(frozen=True)
class Pairs:
    """Where pairs come from: `source` less what `held_out_keys`, a file, names; the first caption of each."""

    source: SourceOptions
    held_out_keys: Path | None
    limit: int | None


def write_tars(pairs: Pairs, folder: Path) -> tuple[str, int]:
    """Writes FOLDER/00000.tar and so on; returns their names in braces, and the number of pairs.

    Raises:
        UserError: there are no pairs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with ExitStack() as stack:
        tars = [
            stack.enter_context(tarfile.open(folder / f"{number:05d}.tar", "w")) for number in range(SHARDS)
        ]
        for image, caption in islice(_pairs(pairs), pairs.limit):
            tar, name = tars[count % SHARDS], f"{count:09d}"
            add_member(tar, f"{name}.{_suffix(image)}", image)
            add_member(tar, f"{name}.txt", caption.encode())
            count += 1
    if count < SHARDS:
        raise UserError(f"{', '.join(pairs.source.inputs)}: {count} pairs; expected at least {SHARDS}")
    return f"{folder}/{{00000..{SHARDS - 1:05d}}}.tar", count


def _pairs(pairs: Pairs) -> Iterator[tuple[bytes, str]]:
    held_out = (
        _keys(replace(pairs.source, only_keys=str(pairs.held_out_keys))) if pairs.held_out_keys else set()
    )
    for record in _records(pairs.source):
        captions = [caption.text for texts in record.captions.values() for caption in texts]
        if captions and record.key not in held_out:
            yield record.image, captions[0]


def _keys(options: SourceOptions) -> set[str]:
    """Keys of the records that a source takes: names in its file may be theirs, or their images'."""
    return {record.key for record in _records(options)}


def _records(options: SourceOptions) -> Iterator[Record]:
    source = open_source(options)
    for unit in source.units():
        yield from (record for record in source.read(unit) if isinstance(record, Record))


def _suffix(image: bytes) -> str:
    return "png" if image.startswith(b"\x89PNG") else "webp" if image[8:12] == b"WEBP" else "jpg"


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds a file to a tar."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def prepare(pairs: Pairs, tars: tuple[str, int], folder: Path, context: int) -> Corpus:
    """Packs the tar files, and the held-out samples with all of their captions."""
    shards = folder / f"shards_{context}"
    words = [tars[0], "--caption", f"{SOURCE}=txt", "--context-length", str(context)]
    pack([*words, "--out", str(shards)])
    held_out = folder / f"held_out_{context}" if pairs.held_out_keys else None
    if held_out is not None:
        source = replace(pairs.source, only_keys=str(pairs.held_out_keys))
        pack([*_words(source), "--context-length", str(context), "--out", str(held_out)])
    return Corpus(tars[0], tars[1], shards, held_out)


def _words(source: SourceOptions) -> list[str]:
    """Source options as a command line."""
    words = [*source.inputs, "--format", source.format]
    for name, field in source.captions.items():
        words += ["--caption", f"{name}={field}"]
    for option, value in (("image-root", source.image_root), ("image-column", source.image_column),
                          ("only-keys", source.only_keys), ("key-column", source.key_column)):  # fmt: skip
        words += [f"--{option}", value] if value else []
    return words


def pack(words: Sequence[str], workers: int = 1) -> None:
    """Runs engine.shard."""
    subprocess.run([sys.executable, "-m", "engine.shard", *words, "--workers", str(workers)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
