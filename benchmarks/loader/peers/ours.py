"""This project: the native kernel, and the whole loader (which gives token ids as well)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.loader.work import RATIO, SCALE, SIZE, Array, Boxes, Work

IMPORTS = {"kernel": ("engine.native",), "loader": ("loaders.loader",)}


def _empty(output: str, count: int) -> Array:
    return np.empty((count, 3, SIZE, SIZE), output)


def kernel(work: Work) -> Iterator[int]:
    """Boxes and train_batch over all images, into one reused batch; sizes are known, as in our shards."""
    from engine.native import ThreadPool, crop_boxes, probe, train_batch

    images, pool, out = work.folders.images(), ThreadPool(work.threads), _empty(work.output, work.batch)
    infos = [probe(data) for data in images]
    widths = np.array([info.width for info in infos], dtype=np.int32)
    heights = np.array([info.height for info in infos], dtype=np.int32)
    hashes = np.arange(len(images), dtype=np.uint64)
    for epoch in itertools.count():
        boxes = crop_boxes(widths, heights, hashes, seed=0, epoch=epoch, scale=SCALE, ratio=RATIO)
        for at in range(0, len(images), work.batch):
            some = images[at : at + work.batch]
            train_batch(some, boxes[at : at + work.batch], out[: len(some)], pool, dtype=work.output)
        yield len(images)


def batches(work: Work, folder: Path, threads: int) -> Iterator[int]:
    """Batch sizes of the whole loader on a data set of engine.shard."""
    from loaders.loader import DataConfig, build_loader

    loader = build_loader(
        DataConfig(local=str(folder), batch_size=work.batch, threads=threads, dtype=work.output)
    )
    while True:
        for batch in loader:
            yield len(batch["key"])


def loader(work: Work) -> Iterator[int]:
    """The loader, decoding in threads of this process."""
    return batches(work, work.folders.ours, work.threads)


def crop(output: str, images: list[bytes], boxes: Boxes) -> Array:
    """train_batch with given boxes."""
    from engine.native import ThreadPool, train_batch

    out = _empty(output, len(images))
    train_batch(images, boxes, out, ThreadPool(1), dtype=output)
    return out
