"""Cuts a stream into batches that fit into memory and keep the threads busy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.records import Record, Reject

# Enough images for every thread of a large machine, and one report of progress a second on a small one.
BATCH_SAMPLES = 128
BATCH_BYTES = 64 << 20


def batches(items: Iterable[Record | Reject]) -> Iterator[list[Record | Reject]]:
    """Batches of at most `BATCH_SAMPLES` items and, but for the last item, `BATCH_BYTES` of image files."""
    batch: list[Record | Reject] = []
    held = 0
    for item in items:
        batch.append(item)
        held += len(item.image) if isinstance(item, Record) else 0
        if len(batch) == BATCH_SAMPLES or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
