"""The order of a mix: which stream's sample stands where, for every step of a run.

Of the G samples of step N, those of stream s stand in slots b(s-1) ... b(s) - 1. b(s) = floor(G a(s) + u);
a(s) is the share of the streams up to s at this step, u = N / golden ratio mod 1, the same for all of them:
no count is ever negative or a whole sample off, and over many steps the rounding evens out
(docs/decisions/0150-a-mix-is-a-function-of-the-step.md).

Each stream has an endless line of samples of its own: all of its epochs, each in the order of
loaders/order.py, one behind the other. The samples of a step are the next ones of these lines.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loaders.order import Order, Rows
from loaders.ramp import Weights

NAME = "golden-1"
"""Stands in checkpoints: a change of how steps are shared must change it."""
# 2^32 over the golden ratio: of all rotations, the one whose points stay spread most evenly.
GOLDEN = 0x9E3779B9
# Steps whose sums are kept as one, and steps that are looked at together to get there.
BLOCK = 1 << 10
AT_ONCE = 1 << 16


class Mix:
    """Which sample of which stream stands at which position of which epoch of the run.

    Positions are counted in epochs of the run, of `steps_per_epoch` global batches; sample numbers in all
    streams, one behind the other.
    """

    span = 1 << 16
    """Positions to be computed at a time: a small stream may begin many of its epochs among them."""

    def __init__(self, orders: Sequence[Order], weights: Weights, batch: int, steps_per_epoch: int) -> None:
        """Compute nothing yet.

        Args:
            orders: of each stream's own samples, [S].
            weights: of the streams, [S].
            batch: samples of a step over all ranks.
            steps_per_epoch: of the run.
        """
        self.orders, self.weights = orders, weights
        self.batch, self.steps_per_epoch = batch, steps_per_epoch
        self.sizes = [len(order) for order in orders]
        self._offsets = np.cumsum([0, *self.sizes])[:-1]
        self._blocks = np.zeros((1, len(orders)), np.int64)

    def __len__(self) -> int:
        """Return the positions of an epoch of the run."""
        return self.steps_per_epoch * self.batch

    def rows(self, epoch: int, positions: NDArray[np.int64]) -> Rows:
        """Return what stands at ascending positions [N] of an epoch; rows have their streams' epochs."""
        if not len(positions):
            return Rows(positions, positions)
        step, slot = np.divmod(positions, self.batch)
        first = epoch * self.steps_per_epoch + int(step[0])
        bounds = self.bounds(np.arange(first, first + int(step[-1] - step[0]) + 1))
        counts = np.diff(bounds, axis=1)
        before = self.before(first) + np.cumsum(counts, axis=0) - counts
        at = step - step[0]
        stream = (slot[:, None] >= bounds[at, 1:-1]).sum(axis=1)
        index = before[at, stream] + slot - bounds[at, stream]
        found = Rows(np.empty(len(slot), np.int64), np.empty(len(slot), np.int64))
        for number in np.unique(stream).tolist():
            here = np.flatnonzero(stream == number)
            samples, epochs = self._of_stream(number, index[here])
            found.samples[here], found.epochs[here] = samples + self._offsets[number], epochs
        return found

    def bounds(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return int64 [M, S + 1]: where each stream's slots begin at steps [M], and G."""
        ends = np.cumsum(self.weights.shares(steps), axis=1)
        ends /= ends[:, -1:]  # exactly 1 at the end, and before a stream that weighs nothing there
        dither = (steps * GOLDEN & 0xFFFFFFFF) * 2.0**-32
        bounds = np.zeros((len(steps), ends.shape[1] + 1), np.int64)
        bounds[:, 1:] = np.floor(self.batch * ends + dither[:, None])
        return bounds

    def before(self, step: int) -> NDArray[np.int64]:
        """Return int64 [S]: how many samples of each stream the steps before `step` have."""
        block = step // BLOCK
        self._grow(block)
        inside = np.diff(self.bounds(np.arange(block * BLOCK, step)), axis=1)
        before: NDArray[np.int64] = self._blocks[block] + inside.sum(axis=0)
        return before

    def find(self, stream: int, sample: int, epoch: int, total: int) -> tuple[int, int] | None:
        """Return step and slot of a stream's sample in an epoch of it, if that is before step `total`."""
        position = self.orders[stream].position(epoch, sample - int(self._offsets[stream]))
        index = epoch * self.sizes[stream] + position
        if self.before(total)[stream] <= index:
            return None
        block = int(np.searchsorted(self._blocks[:, stream], index, side="right")) - 1
        steps = np.arange(block * BLOCK, (block + 1) * BLOCK)
        bounds = self.bounds(steps)
        ends = self._blocks[block, stream] + np.cumsum(bounds[:, stream + 1] - bounds[:, stream])
        at = int(np.searchsorted(ends, index, side="right"))
        return int(steps[at]), int(bounds[at, stream + 1] - (ends[at] - index))

    def _grow(self, block: int) -> None:
        """Sum up the steps before a block, where that has not been done."""
        while len(self._blocks) <= block:
            begin = (len(self._blocks) - 1) * BLOCK
            end = min(block * BLOCK, begin + AT_ONCE)
            counts = np.diff(self.bounds(np.arange(begin, end)), axis=1)
            sums = counts.reshape(-1, BLOCK, counts.shape[1]).sum(axis=1)
            self._blocks = np.vstack([self._blocks, self._blocks[-1] + np.cumsum(sums, axis=0)])

    def _of_stream(self, number: int, index: NDArray[np.int64]) -> Rows:
        """Return a stream's samples, in its own numbers, at ascending places [N > 0] of its line."""
        epochs, positions = np.divmod(index, self.sizes[number])
        edges = np.flatnonzero(np.diff(epochs)) + 1
        firsts = epochs[np.concatenate([[0], edges])].tolist()
        parts = [
            self.orders[number].at(epoch, part)
            for epoch, part in zip(firsts, np.split(positions, edges), strict=True)
        ]
        return Rows(np.concatenate(parts), epochs)
