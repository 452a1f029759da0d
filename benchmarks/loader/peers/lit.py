"""LitData's StreamingDataset on its optimised chunks, with torchvision's decode_jpeg and v2 transforms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.loader.peers import torchvision_v2
from benchmarks.loader.peers.torch_loader import batch_sizes, worker_options
from benchmarks.loader.work import Work

IMPORTS = {"loader": ("litdata", "torchvision.transforms.v2")}
crop = torchvision_v2.crop


def loader(work: Work) -> Iterator[int]:
    """StreamingDataLoader with worker processes; shuffled."""
    from litdata import StreamingDataLoader, StreamingDataset

    change = torchvision_v2.transform(work.output)

    class Images(StreamingDataset):  # type: ignore[misc]  # litdata has no types
        def __getitem__(self, at: Any) -> Any:
            (encoded,) = torchvision_v2.as_tensors([super().__getitem__(at)["image"]])
            return change(torchvision_v2.decode(encoded))

    dataset = Images(str(work.folders.litdata), shuffle=True, drop_last=True)
    return batch_sizes(StreamingDataLoader(dataset, batch_size=work.batch, **worker_options(work)))
