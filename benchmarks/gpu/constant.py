"""train/run.py with one batch over and over, which lies on the device: the most that training can reach.

Everything else (model, step, callbacks, log) is the trainer's own; the batch comes from the native loader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch

from loaders.loader import CaptionLoader, DataConfig, build_loader
from train import assembly, run


class ConstantLoader:
    """A loader whose batches are all its first one; asked for anything else, it is the real one."""

    def __init__(self, loader: CaptionLoader) -> None:
        """Take the first batch to the device."""
        self._loader = loader
        batches = iter(loader)
        first: dict[str, Any] = dict(next(batches))
        batches.close()  # type: ignore[attr-defined]  # a generator: stops making batches ahead
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._batch = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in first.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield an epoch."""
        return (dict(self._batch) for _ in range(len(self)))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        """Return what the real loader has."""
        return getattr(self._loader, name)


def _build(config: DataConfig) -> Any:
    return ConstantLoader(build_loader(config))


if __name__ == "__main__":
    assembly.build_loader = _build  # type: ignore[attr-defined]
    sys.exit(run.main(sys.argv[1:]))
