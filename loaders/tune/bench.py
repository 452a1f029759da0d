"""A data set whose loader is measured in turns, with other settings each time."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import torch

from loaders.batches import Batch
from loaders.cpu_time import cpu_seconds
from loaders.loader import CaptionLoader, DataConfig, loader_over, open_dataset
from loaders.tune.candidates import Candidate
from loaders.tune.choice import Turn
from loaders.tune.machine import arrive

LEAST_BATCH = 32


@dataclass(frozen=True)
class Limit:
    """Where a turn ends: after so many batches or seconds, whichever comes first, but not before a batch."""

    seconds: float
    batches: float = math.inf


class Bench:
    """The data set of a recipe, opened once; all turns read its first epoch from the beginning.

    All candidates have workers, or all have none (see `loader_over`).
    """

    def __init__(self, recipe: DataConfig, device: torch.device) -> None:
        """Read no sample yet.

        Raises:
            UserError: when it is not a data set that the recipe can read.
        """
        self.recipe, self._device = recipe, device
        self.dataset = open_dataset(recipe)
        self.samples = recipe.epoch_size or int(self.dataset.num_samples)

    def turn(self, candidate: Candidate, limit: Limit) -> tuple[Turn, int]:
        """Measure a loader of its own; return also how many batches that was.

        Raises:
            UserError: when the settings do not go together, or from the data.
        """
        loader = loader_over(self.dataset, candidate.of(self.recipe))
        self.dataset.next_epoch = 0
        return _turn(loader, limit, self._device)


def _turn(loader: CaptionLoader, limit: Limit, device: torch.device) -> tuple[Turn, int]:
    counters = loader.dataset.counters
    before = counters.total()
    cpu_time = cpu_seconds if loader.num_workers else time.process_time  # children are looked for in 10 ms
    with closing(_endless(loader)) as batches:
        arrive(next(batches), device)  # threads, pipelines and memory are made for it: it does not count
        began = time.perf_counter()  # at once: the next ones are being made
        cpu = cpu_time()
        samples = made = 0
        seconds = 0.0
        while made == 0 or (made < limit.batches and seconds < limit.seconds):
            samples += arrive(next(batches), device)
            made += 1
            seconds = time.perf_counter() - began
        cpu = cpu_time() - cpu
    counted = counters.total() - before  # of all batches: those under way are in neither number by now
    left = counted.left_to_native / max(1, counted.samples)
    return Turn(samples, seconds, cpu, left), made


def _endless(loader: CaptionLoader) -> Generator[Batch, None, None]:
    while True:
        yield from loader


def fitting_batch(batch: int, rate: float, seconds: float) -> int:
    """Return `batch` if at `rate` samples/s it takes at most `seconds`, else a power of two that does.

    Never cut to fewer than 32 samples, which keep all threads busy.
    """
    if batch <= max(LEAST_BATCH, rate * seconds):
        return batch
    return max(LEAST_BATCH, 1 << int(math.log2(max(1.0, rate * seconds))))
