"""One lane of an epoch's order: a row of shards whose samples are shuffled in a moving window.

The sample at place x of a lane gets a key, uniform over the places at most half a window from x that the lane
has; samples come in the order of their keys. A lane no longer than half a window thus is a uniform
permutation; in a longer one, a sample stays within a window of its place.

Keys are cut into buckets of one window. The keys of a bucket lie within half a window of it, so the bucket is
found from two windows of places; the keys below it, counted among them, say where it starts in the order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.native import philox4x32

WINDOW = 1 << 20
"""Samples that are mixed at a time, over all lanes together (docs/decisions/0100-order-in-windows.md)."""
# Purposes in docs/architecture.md, "Random draws".
RUN_SHARDS, EPOCH_SHARDS, PLACES = 2, 3, 4


class Bucket(NamedTuple):
    """Samples that stand together in a lane's order: the first one's place there, their places before."""

    first: int
    places: NDArray[np.int64]


class Line:
    """Runs of consecutive samples, one behind the other."""

    def __init__(self, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Take each run's first sample [R] and length [R]."""
        self.starts, self.sizes = starts, sizes
        self._ends = np.cumsum(sizes)

    def __len__(self) -> int:
        """Return the samples of all runs."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def samples(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples at places [N] of the line."""
        run = np.searchsorted(self._ends, places, side="right")
        found: NDArray[np.int64] = self.starts[run] + places - (self._ends[run] - self.sizes[run])
        return found

    def place(self, sample: int) -> int | None:
        """Return where a sample is in the line, or None if it is not."""
        for run in np.flatnonzero((self.starts <= sample) & (sample < self.starts + self.sizes)).tolist():
            return int(self._ends[run] - self.sizes[run] + sample - self.starts[run])
        return None

    def part(self, begin: int, end: int) -> Line:
        """Return places begin to end as a line of their own."""
        before = self._ends - self.sizes
        left, right = np.maximum(before, begin), np.minimum(self._ends, end)
        inside = left < right
        return Line((self.starts + left - before)[inside], (right - left)[inside])

    def taken(self, runs: NDArray[np.int64]) -> Line:
        """Return the runs in another order."""
        return Line(self.starts[runs], self.sizes[runs])


class Lane:
    """A lane in one epoch."""

    def __init__(self, line: Line, begin: int, lanes: int, draws: tuple[int, int] | None) -> None:
        """Order the lane's runs for an epoch.

        Args:
            line: the lane's part of the run's line of shards.
            begin: where that part begins in it.
            lanes: how many lanes share the window.
            draws: seed and epoch, or None to keep the order.
        """
        self._begin = begin
        self._half = max(1, WINDOW // (2 * lanes))
        self.window = 2 * self._half
        self.line = line
        if draws is not None:
            self._seed, self._epoch = draws
            self.line = line.taken(permutation(line.starts, *draws, EPOCH_SHARDS))

    def bucket(self, number: int) -> Bucket:
        """Return the samples whose keys lie in window `number` of the lane."""
        begin = number * self.window
        end = begin + self.window
        first = max(0, begin - self._half)
        keys = self._keys(first, min(len(self.line), end + self._half), begin)
        below = int(np.count_nonzero(keys < 0))
        inside = np.flatnonzero((keys >= 0) & (keys < self.window << 32))
        return Bucket(first + below, first + inside[np.argsort(keys[inside], kind="stable")])

    def rank(self, place: int) -> int:
        """Return where in the lane's shuffled order the sample at a place stands."""
        key = int(self._keys(place, place + 1, 0)[0])
        first, places = self.bucket((key >> 32) // self.window)
        return first + int(np.flatnonzero(places == place)[0])

    def _keys(self, first: int, last: int, origin: int) -> NDArray[np.int64]:
        """Return the keys of places [first, last), in 2^-32 of a place, from `origin` on."""
        place = np.arange(first, last)
        low = np.maximum(place - self._half, 0)
        high = np.minimum(place + self._half, len(self.line))
        keys: NDArray[np.int64] = ((low - origin) << 32) + self._words(first, last) * (high - low)
        return keys

    def _words(self, first: int, last: int) -> NDArray[np.int64]:
        """Return a word for each place: four neighbours in the run's line share a Philox block."""
        begin, end = self._begin + first, self._begin + last
        blocks = np.arange(begin // 4, -(-end // 4))
        words = _philox(blocks, self._seed, self._epoch, PLACES).ravel()
        return words[begin % 4 : begin % 4 + end - begin].astype(np.int64)


def permutation(ids: NDArray[np.int64], seed: int, epoch: int, purpose: int) -> NDArray[np.int64]:
    """Return the order [N] of things with distinct numbers `ids` [N], by 64 drawn bits each."""
    words = _philox(ids, seed, epoch, purpose).astype(np.uint64)
    return np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")


def _philox(index: NDArray[np.int64], seed: int, epoch: int, purpose: int) -> NDArray[np.uint32]:
    """Return uint32 [N, 4], the words drawn for numbers [N] and a purpose of docs/architecture.md."""
    counter = np.empty((len(index), 4), np.uint32)
    counter[:, 0] = index & 0xFFFFFFFF
    counter[:, 1] = index >> 32
    counter[:, 2] = epoch
    counter[:, 3] = purpose << 16
    return philox4x32(counter, np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32))
