"""torch's DataLoader with the settings its tuning guide gives, for the peers that build on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.loader.work import Work

PREFETCH = 4


def worker_options(work: Work) -> dict[str, Any]:
    """One worker process per core, kept over epochs."""
    return {"num_workers": work.threads, "persistent_workers": True, "prefetch_factor": PREFETCH}


def batch_sizes(batches: Any) -> Iterator[int]:
    """Sizes of the batches of a loader, epoch after epoch."""
    while True:
        for batch in batches:
            yield len(batch[0] if isinstance(batch, (list, tuple)) else batch)


def from_files(work: Work, load: Callable[[str], Any]) -> Iterator[int]:
    """A DataLoader over the loose files, in random order; `load` makes a tensor of a path."""
    from torch.utils.data import DataLoader, Dataset

    class Files(Dataset[Any]):
        def __init__(self) -> None:
            self.paths = work.folders.paths()

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, at: int) -> Any:
            return load(self.paths[at])

    return batch_sizes(DataLoader(Files(), work.batch, shuffle=True, drop_last=True, **worker_options(work)))
