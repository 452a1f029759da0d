"""What one worker process reads of an epoch: a sequence of samples, computed a piece at a time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from streaming.base.world import World

from loaders.mix import Mix
from loaders.order import Order, Rows

# Streaming's download thread runs ahead of the reading one by 8 batches.
LEAST_BATCHES = 16
MOST_PIECES = 3


@dataclass(frozen=True)
class Steps:
    """Where an iteration begins in an epoch, in positions, and how it is cut into batches."""

    epoch: int
    begin: int
    batch_size: int
    drop_last: bool

    def per_rank(self, samples: int, ranks: int) -> int:
        """Return how many samples each of `ranks` ranks reads to the end of an epoch of `samples`.

        All ranks read the same number. With `drop_last` whole global batches only; without, the last ranks
        of the last batch read samples from the epoch's beginning again where the others have one more.
        """
        left = max(0, samples - self.begin)
        if self.drop_last:
            return left // (ranks * self.batch_size) * self.batch_size
        return -(-left // ranks)

    def number(self, batch: int, samples: int, ranks: int) -> int:
        """Return the step of the run in which a rank takes its batch number `batch` of this iteration."""
        whole = replace(self, begin=0).per_rank(samples, ranks)
        per_epoch = -(-whole // self.batch_size)
        return self.epoch * per_epoch + self.begin // (ranks * self.batch_size) + batch


class WorkerShare:
    """The samples of one worker, in order, batch by batch.

    Position p of the epoch goes to node p % nodes, there to rank p // nodes % ranks of the node, as in
    Streaming: a node reads few lanes of the order, so few shards. Batches of a rank go round its workers.
    """

    def __init__(self, order: Order | Mix, steps: Steps, world: World) -> None:
        """Compute nothing yet."""
        self._order, self._steps, self._world = order, steps, world
        self._first = steps.begin + world.node + world.num_nodes * world.rank_of_node
        self.batch_size = size = steps.batch_size
        workers = world.workers_per_rank
        per_rank = steps.per_rank(len(order), world.num_ranks)
        whole, rest = divmod(per_rank, size)
        own = len(range(world.worker_of_rank, whole, workers))
        self._length = own * size + (rest if whole % workers == world.worker_of_rank else 0)
        batches = max(LEAST_BATCHES, order.span // (world.num_ranks * workers * size))
        self._piece = batches * size
        self._pieces: OrderedDict[int, Rows] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._length

    def batch(self, number: int) -> Rows:
        """Return a batch of this worker, [batch_size] rows, the last one's may be fewer.

        Two threads ask, a little apart.
        """
        piece, inside = divmod(number * self.batch_size, self._piece)
        with self._lock:
            if piece not in self._pieces:
                begin = piece * self._piece
                self._pieces[piece] = self._compute(begin, min(self._length, begin + self._piece))
                if len(self._pieces) > MOST_PIECES:
                    self._pieces.popitem(last=False)
            return self._pieces[piece].part(inside, inside + self.batch_size)

    def step(self, number: int) -> int:
        """Return the step of the run that a batch of this worker belongs to."""
        world = self._world
        batch = number * world.workers_per_rank + world.worker_of_rank
        return self._steps.number(batch, len(self._order), world.num_ranks)

    def _compute(self, begin: int, end: int) -> Rows:
        size, world = self._steps.batch_size, self._world
        own = np.arange(begin, end)
        batch = own // size * world.workers_per_rank + world.worker_of_rank
        positions = self._first + (batch * size + own % size) * world.num_ranks
        inside = int(np.searchsorted(positions, len(self._order)))
        epoch = self._steps.epoch
        parts = positions[:inside], positions[inside:] % max(1, len(self._order))
        first, again = (self._order.rows(epoch, part) for part in parts)
        return Rows(*map(np.concatenate, zip(first, again, strict=True)))


def rank_of_slot(slot: int, ranks: int, nodes: int) -> int:
    """Return the rank that reads a slot of the global batch: see `WorkerShare`."""
    per_node = ranks // nodes
    return slot % nodes * per_node + slot // nodes % per_node
