"""What can be said of a dataset from its index and shards alone; `python -m engine.verify` builds on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from engine.errors import UserError
from engine.native import MdsShard, NativeError
from engine.shards.compression import decompress
from engine.shards.entries import FileInfo, ShardEntry
from engine.shards.hashing import HASHES, file_digest, hex_digest
from engine.shards.reader import MdsDataset
from engine.shards.sample_hash import SAMPLE_HASH, batch_hashes


def check_shard(dataset: MdsDataset, shard: int) -> list[str]:
    """Everything wrong with one shard, as sentences that begin with its path; empty if it is sound.

    Looks at size and hashes of the file, at every offset and length in it, at its header against the index,
    and at the hash of every sample where the dataset has them.
    """
    entry = dataset.entries[shard]
    path = dataset.directory / entry.stored.basename
    problems = [f"{path}: {what}" for what in _file_problems(path, entry)]
    if problems:
        return problems
    try:
        opened = dataset.shard(shard)
        opened.check()
    except (UserError, NativeError) as error:
        return [str(error)]
    problems += [f"{path}: {what}" for what in _header_problems(opened, entry)]
    if (SAMPLE_HASH, "uint64") in zip(entry.layout.column_names, entry.layout.column_encodings, strict=True):
        problems += [f"{path}: {what}" for what in _sample_problems(dataset, shard)]
    return problems


def _file_problems(path: Path, entry: ShardEntry) -> Iterator[str]:
    if not path.is_file():
        yield "missing"
        return
    if path.stat().st_size != entry.stored.bytes:
        yield f"{path.stat().st_size} bytes, the index says {entry.stored.bytes}"
        return
    yield from _hash_problems(entry.stored, lambda algorithm: file_digest(path, algorithm))
    if entry.zip_data is None:
        return
    try:
        raw = decompress(path.read_bytes(), entry.raw_data.bytes)
    except ValueError as error:
        yield str(error)
        return
    yield from _hash_problems(entry.raw_data, lambda algorithm: hex_digest(raw, algorithm))


def _hash_problems(info: FileInfo, digest: Callable[[str], str]) -> Iterator[str]:
    for algorithm, expected in info.hashes.items():
        if algorithm not in HASHES:
            yield f"{info.basename}: the index has a hash {algorithm!r}, which is not known here"
        elif (found := digest(algorithm)) != expected:
            yield f"{info.basename}: {algorithm} is {found}, the index says {expected}"


def _header_problems(opened: MdsShard, entry: ShardEntry) -> Iterator[str]:
    try:
        header = json.loads(opened.config)
    except (ValueError, RecursionError) as error:
        yield f"the header is not JSON ({error})"
        return
    expected = entry.layout.to_json()
    if header != expected:
        given = header if isinstance(header, dict) else {}
        fields = sorted(key for key in expected.keys() | given.keys() if given.get(key) != expected.get(key))
        yield f"header and index differ in {', '.join(fields)}"


def _sample_problems(dataset: MdsDataset, shard: int) -> Iterator[str]:
    batch = dataset.batch(shard)
    if len(batch) == 0:
        return
    stored = np.frombuffer(batch.column(SAMPLE_HASH).concat()[0], np.uint64)
    found = batch_hashes({name: batch.column(name) for name in batch.column_names})
    for at in np.flatnonzero(stored != found):
        yield f"sample {at}: its hash is {int(found[at]):016x}, stored is {int(stored[at]):016x}"
