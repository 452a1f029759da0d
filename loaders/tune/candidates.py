"""The settings that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loaders.decoder import DECODERS
from loaders.loader import DataConfig

NATIVE, DALI = DECODERS

PREFETCHES = (2, 4)
# All cores, then half as many each time: the rate of a decoder is a smooth function of its threads.
MOST_THREAD_NUMBERS = 4


@dataclass(frozen=True)
class Candidate:
    """Settings of `data`; `threads` are those of each worker process where there are `workers`."""

    decoder: str
    threads: int
    prefetch: int
    workers: int = 0

    @property
    def all_threads(self) -> int:
        """Decode threads of the rank."""
        return self.threads * max(1, self.workers)

    def of(self, recipe: DataConfig) -> DataConfig:
        """Return a recipe with these settings.

        Raises:
            UserError: where they do not go with the rest of it.
        """
        return replace(
            recipe,
            decoder=self.decoder,
            threads=self.threads,
            prefetch=self.prefetch,
            num_workers=self.workers,
        )

    def __str__(self) -> str:
        """Name it in a line of progress."""
        return f"{self.decoder}, threads {self.threads}, prefetch {self.prefetch}"


def candidates(cores: int, workers: int) -> list[Candidate]:
    """Return what is worth trying with `cores`, what is likeliest to be good first.

    The recipe's `workers` stay with the native decoder; DALI has none.
    """
    return [
        Candidate(decoder, threads, prefetch, own)
        for prefetch in PREFETCHES
        for decoder, own in ((NATIVE, workers), (DALI, 0))
        for threads in thread_numbers(max(1, cores // max(1, own)))
    ]


def thread_numbers(most: int) -> Sequence[int]:
    """Return some numbers of threads up to `most`, which is the first."""
    return [most >> halved for halved in range(MOST_THREAD_NUMBERS) if most >> halved]
