"""A batch cut where another stream, or another epoch of a stream, begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from loaders.walk import Row


@dataclass(frozen=True)
class Part:
    """Neighbours in a batch of one stream and one epoch of it.

    Attributes:
        where: their slots.
        step: of the run.
        stream: its number.
        epoch: that captions and crops are drawn in.
        samples: their numbers, int64 [N].
    """

    where: slice
    step: int
    stream: int
    epoch: int
    samples: NDArray[np.int64]


def split(rows: Sequence[Row], stream_ends: NDArray[np.int64]) -> list[Part]:
    """Cut the rows of a batch (at least one, all of one step) into parts; in order they are the batch.

    Args:
        rows: as a `CaptionDataset` yields them.
        stream_ends: int64 [streams], where each stream's sample numbers end.
    """
    table = np.fromiter(chain.from_iterable(rows), np.int64, 3 * len(rows)).reshape(-1, 3)
    epochs, samples = table[:, 1], np.ascontiguousarray(table[:, 2])
    streams = np.searchsorted(stream_ends, samples, side="right")
    edges = np.flatnonzero((np.diff(streams) != 0) | (np.diff(epochs) != 0)) + 1
    bounds = [0, *edges.tolist(), len(rows)]
    return [
        Part(slice(begin, end), int(table[0, 0]), int(streams[begin]), int(epochs[begin]), samples[begin:end])
        for begin, end in pairwise(bounds)
    ]
