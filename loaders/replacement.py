"""What takes the place of a sample that cannot be used: a neighbour that everyone would choose.

The neighbour is the next sample of the same shard that can be used, wrapping at its end. That is a function
of data set and sample alone, so threads, workers, ranks and resumed runs agree without a word between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.native import SampleBatch, Status, status_sentence
from engine.shards.sample_hash import SAMPLE_HASH, batch_hashes
from loaders.columns import decode_strings
from loaders.dataset import CaptionDataset

# A small run may meet a handful before a share of it means anything.
LEAST_ALLOWED = 8
# Keys named when the budget is exceeded.
MOST_NAMED = 20

Decode = Callable[[SampleBatch, torch.Tensor], NDArray[np.uint8]]


@dataclass(frozen=True)
class Replacer:
    """Replaces bad samples, within a budget.

    Attributes:
        dataset: where the neighbours are.
        share: of all samples of this rank, workers included, that may be replaced (at least LEAST_ALLOWED
            may); 0 stops at the first.
    """

    dataset: CaptionDataset
    share: float

    def replace(
        self,
        samples: NDArray[np.int64],
        status: NDArray[np.uint8],
        image: torch.Tensor,
        decode: Decode,
    ) -> NDArray[np.int64]:
        """Decode neighbours into the slots of the samples with a bad status.

        Args:
            samples: numbers [N].
            status: uint8 [N], 0 where the sample is good.
            image: [N, 3, S, S], written where it is not.
            decode: fills slots from samples and returns their status.

        Returns:
            The numbers [N] of the samples that are now in the slots.

        Raises:
            UserError: over the budget, or when a shard has no sample to take.
        """
        bad = np.flatnonzero(status)
        self._count(samples[bad], status[bad])
        found = samples.copy()
        for row in bad:
            found[row] = self._neighbour(int(samples[row]), image[row : row + 1], decode)
        return found

    def _neighbour(self, sample: int, slot: torch.Tensor, decode: Decode) -> int:
        for candidate in self._following(sample):
            if not decode(self.dataset.read(np.array([candidate])), slot)[0]:
                return candidate
        raise UserError(
            f"sample {self._keys([sample])[0]!r} cannot be used, and neither can any other of its shard; "
            "check the data set with python -m engine.verify"
        )

    def _following(self, sample: int) -> Iterator[int]:
        shard = int(np.searchsorted(self.dataset.shard_ends, sample, side="right"))
        end = int(self.dataset.shard_ends[shard])
        start = end - int(self.dataset.samples_per_shard[shard])
        yield from range(sample + 1, end)
        yield from range(start, sample)

    def _count(self, samples: NDArray[np.int64], status: NDArray[np.uint8]) -> None:
        counters = self.dataset.counters
        counters.add_replaced(samples)
        counts = counters.total()
        allowed = max(LEAST_ALLOWED, int(self.share * counts.samples)) if self.share else 0
        if counts.bad_samples <= allowed:
            return
        named = counters.replaced()
        keys = ", ".join(map(repr, self._keys(named[:MOST_NAMED])))
        more = " and more" if len(named) > MOST_NAMED else ""
        raise UserError(
            f"{counts.bad_samples} bad samples in {counts.samples:,}, {allowed} allowed "
            f"(data.bad_samples: {self.share:g}): {keys}{more}; the last one: "
            f"{self._keys([int(samples[-1])])[0]!r}: {status_sentence(Status(int(status[-1])))}; "
            "check the data set with python -m engine.verify (one made with --check header was never decoded)"
        )

    def _keys(self, samples: list[int]) -> list[str]:
        """Keys of samples; one whose hash is wrong may not even have a readable key."""
        keys = []
        for sample in samples:
            try:
                column = self.dataset.read(np.array([sample])).column("key")
                keys += decode_strings(*column.concat())
            except (UserError, UnicodeDecodeError):
                keys.append(f"sample {sample}")
        return keys


def wrong_hashes(samples: SampleBatch) -> NDArray[np.bool_]:
    """Return bool [N]: samples whose columns are not those that `engine.shard` hashed."""
    stored = samples.column(SAMPLE_HASH).concat()[0].view("<u8")
    found = batch_hashes({name: samples.column(name) for name in samples.column_names})
    wrong: NDArray[np.bool_] = stored != found
    return wrong


def require_sample_hashes(dataset: CaptionDataset) -> None:
    """Refuse to check what is not there.

    Raises:
        UserError: when a shard has no hashes of its samples.
    """
    # The readers of a layout share its lists (loaders/readers.py).
    for reader in {id(reader.column_names): reader for reader in dataset.readers}.values():
        if (SAMPLE_HASH, "uint64") in zip(reader.column_names, reader.column_encodings, strict=True):
            continue
        raise UserError(
            f"data.check_samples: {reader.dirname} has no column {SAMPLE_HASH} (uint64); leave the option "
            "out, or shard the data again with python -m engine.shard"
        )
