"""open_clip's trainer on given batches: `python -m tests.benchmarks.open_clip_on_batches FILE OPTION...`."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import torch
from open_clip_train import main
from open_clip_train.data import DataInfo


class Given(list[tuple[torch.Tensor, torch.Tensor]]):
    """Batches with what the trainer wants to know of a loader."""

    @property
    def num_batches(self) -> int:
        return len(self)

    @property
    def num_samples(self) -> int:
        return sum(len(text) for _, text in self)


if __name__ == "__main__":
    given: Any = Given(torch.load(sys.argv[1], weights_only=True))
    main.get_data = lambda *_, **__: {"train": DataInfo(given, SimpleNamespace())}
    sys.exit(main.main(sys.argv[2:]))
