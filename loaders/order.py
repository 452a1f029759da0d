"""The order of an epoch, computed where it is looked at: no step needs the rest of the epoch.

Three levels, each a function of seed and epoch alone (docs/decisions/0100-order-in-windows.md):

1. The shards, in an order fixed for the run, form one line, cut into `canonical_nodes` lanes of equal length.
   Position p of the epoch is place p // canonical_nodes of lane p % canonical_nodes.
2. Each epoch every lane has its shards in another order.
3. Each epoch the samples of every lane are shuffled in a moving window (loaders/lanes.py).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from loaders.lanes import RUN_SHARDS, WINDOW, Bucket, Lane, Line, permutation

NAME = "windows-1"
"""Stands in checkpoints: a change of the order must change it."""
MOST_LANES = 64
LANE = 1 << 16
"""Samples that a lane has at least, where the number of lanes is not given."""


class Rows(NamedTuple):
    """Samples in an order: their numbers int64 [N], and the epoch that each is drawn in, int64 [N]."""

    samples: NDArray[np.int64]
    epochs: NDArray[np.int64]

    def part(self, begin: int, end: int) -> Rows:
        """Return rows begin to end."""
        return Rows(self.samples[begin:end], self.epochs[begin:end])


def default_canonical_nodes(samples: int) -> int:
    """Return the number of lanes of a data set: 1, 2, 4 ... 64, so that each has `LANE` samples.

    It depends on the data alone: any number of nodes sees the same order. Nodes whose number divides it read
    disjoint parts of the data.
    """
    return int(min(MOST_LANES, 1 << max(0, (samples // LANE).bit_length() - 1)))


class Order:
    """Which sample (its number in index.json's order) stands at which position of which epoch."""

    span = WINDOW
    """Positions to be computed at a time: sorting a window costs the same for a part of it."""

    def __init__(
        self, samples_per_shard: NDArray[np.int64], seed: int, canonical_nodes: int, shuffle: bool = True
    ) -> None:
        """Lay the shards out for the run; without `shuffle` they and their samples keep their order.

        Raises:
            UserError: for less than one canonical node, or more than samples.
        """
        sizes = np.asarray(samples_per_shard, np.int64)
        if not 1 <= canonical_nodes <= max(1, sizes.sum()):
            raise UserError(
                f"num_canonical_nodes: {canonical_nodes} given; expected 1 to {sizes.sum()} (all samples)"
            )
        starts = np.cumsum(sizes) - sizes
        if shuffle:
            shards = permutation(np.arange(len(sizes)), seed, 0, RUN_SHARDS)
            starts, sizes = starts[shards], sizes[shards]
        self.seed, self.canonical_nodes, self.shuffle = seed, canonical_nodes, shuffle
        self._line = Line(starts, sizes)
        self._epoch = -1
        self._lanes: dict[int, Lane] = {}
        self._buckets: OrderedDict[tuple[int, int], Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of samples, which is the number of positions."""
        return len(self._line)

    def samples(self, epoch: int, begin: int, end: int) -> NDArray[np.int64]:
        """Return int64 [end - begin]: the samples at positions begin, begin + 1, ... of an epoch."""
        return self.at(epoch, np.arange(begin, end))

    def at(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return int64 [N]: the samples at ascending positions [N] of an epoch.

        Raises:
            IndexError: for a position that the epoch does not have.
        """
        if len(positions) and not 0 <= positions[0] <= positions[-1] < len(self):
            raise IndexError(f"positions {positions[0]} to {positions[-1]} of {len(self)}")
        self._turn_to(epoch)
        lane_of = positions % self.canonical_nodes
        found = np.empty(len(positions), np.int64)
        for number in np.unique(lane_of).tolist():
            here = np.flatnonzero(lane_of == number)
            found[here] = self._in_lane(number, positions[here] // self.canonical_nodes)
        return found

    def rows(self, epoch: int, positions: NDArray[np.int64]) -> Rows:
        """Return what stands at ascending positions [N] of an epoch."""
        return Rows(self.at(epoch, positions), np.full(len(positions), epoch))

    def position(self, epoch: int, sample: int) -> int:
        """Return at which position of an epoch a sample stands.

        Raises:
            IndexError: for a sample that the data set does not have.
        """
        self._turn_to(epoch)
        for number in range(self.canonical_nodes):
            lane = self._lane(number)
            place = lane.line.place(sample)
            if place is not None:
                return (lane.rank(place) if self.shuffle else place) * self.canonical_nodes + number
        raise IndexError(f"sample {sample} of {len(self)}")

    def _turn_to(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._lanes.clear()
            self._buckets.clear()

    def _in_lane(self, number: int, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples at ascending places [M] of a lane's shuffled order."""
        lane = self._lane(number)
        if not self.shuffle:
            return lane.line.samples(ranks)
        found = np.empty(len(ranks), np.int64)
        done, bucket = 0, int(ranks[0]) // lane.window
        while done < len(ranks):
            first, places = self._bucket(number, lane, bucket)
            if ranks[done] < first:  # the number of keys below a place is only about that place
                bucket -= 1
                continue
            stop = int(np.searchsorted(ranks, first + len(places)))
            found[done:stop] = places[ranks[done:stop] - first]
            done, bucket = stop, bucket + 1
        return lane.line.samples(found)

    def _lane(self, number: int) -> Lane:
        if number not in self._lanes:
            short, longer = divmod(len(self), self.canonical_nodes)
            begin = number * short + min(number, longer)
            part = self._line.part(begin, begin + short + (number < longer))
            self._lanes[number] = Lane(
                part, begin, self.canonical_nodes, (self.seed, self._epoch) if self.shuffle else None
            )
        return self._lanes[number]

    def _bucket(self, number: int, lane: Lane, bucket: int) -> Bucket:
        at = number, bucket
        if at not in self._buckets:
            self._buckets[at] = lane.bucket(bucket)
            if len(self._buckets) > 2 * self.canonical_nodes:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(at)
        return self._buckets[at]
