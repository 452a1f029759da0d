"""MosaicML's StreamingDataset on its own MDS shards, with open_clip's PIL transform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.loader.peers import pillow
from benchmarks.loader.peers.torch_loader import batch_sizes, worker_options
from benchmarks.loader.work import Work

IMPORTS = {"loader": ("streaming", "open_clip.transform")}
crop = pillow.crop


def loader(work: Work) -> Iterator[int]:
    """StreamingDataLoader with worker processes; shuffled by the default algorithm."""
    from streaming import StreamingDataLoader, StreamingDataset

    transform = pillow.transform()

    class Images(StreamingDataset):
        def __getitem__(self, at: Any) -> Any:
            return transform(pillow.decode(super().__getitem__(at)["image"]))

    dataset = Images(local=str(work.folders.mds), shuffle=True, batch_size=work.batch)
    return batch_sizes(
        StreamingDataLoader(dataset, batch_size=work.batch, drop_last=True, **worker_options(work))
    )
