"""How a set of captions meets a dataset's images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.captions.ledger import LedgerSource
from engine.captions.parts import read_part
from engine.errors import UserError
from engine.native import key_hashes
from engine.shards.reader import MdsDataset


@dataclass(frozen=True)
class Coverage:
    """Samples with a caption, samples without, captions without a sample."""

    matched: int
    missing: int
    extra: int


def cover(dataset: MdsDataset, source: LedgerSource) -> Coverage:
    """Compares the keys of a dataset with those of a source of a ledger, by hash: 8 bytes each in memory.

    Raises:
        UserError: the dataset has no keys.
    """
    samples = _unique(_dataset_hashes(dataset))
    captions = _unique(
        key_hashes([key.encode() for key in batch.column("key").to_pylist()])
        for part in source.parts
        for batch in read_part(part, ["key"])
    )
    matched = len(np.intersect1d(samples, captions, assume_unique=True))
    return Coverage(matched, len(samples) - matched, len(captions) - matched)


def _dataset_hashes(dataset: MdsDataset) -> Iterable[NDArray[np.uint64]]:
    for shard, entry in enumerate(dataset.entries):
        if "key" not in entry.layout.column_names:
            raise UserError(f"{dataset.directory}: has no column key")
        if entry.samples:
            yield key_hashes(dataset.batch(shard).column("key"))


def _unique(hashes: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    listed = list(hashes)
    return np.unique(np.concatenate(listed)) if listed else np.zeros(0, np.uint64)
