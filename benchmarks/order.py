"""How well an epoch's order is shuffled, against a full permutation: `python -m benchmarks.order`.

Four measures, each 1 for a full permutation: the mean distance of neighbours in the order (in the data set's
own order, over N / 3); the shards that a global batch draws on; the pairs of a batch that come from one shard
(more than 1: too many); and the pairs of a batch that meet again in the next epoch's batch (more than 1: the
same company). Streaming's default (py1e) stands beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from loaders.order import Order, default_canonical_nodes

DESCRIPTION = "Measure how well an epoch's order is shuffled, against a full permutation."
SHARD = 2143  # samples a shard: 300 million in 140,000
BATCH = 8192
SEED = 17
Epoch = Callable[[int], NDArray[np.int64]]


@dataclass(frozen=True)
class Row:
    """One order of one size; ratios to a full permutation's expectation."""

    order: str
    samples: int
    neighbours: float
    shards_in_batch: float
    pairs_of_a_shard: float
    pairs_again: float


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order", description=DESCRIPTION)
    parser.add_argument("--samples", type=int, nargs="+", default=[100_000, 1_000_000, 4_000_000])
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    options = parser.parse_args()
    rows = [row for samples in options.samples for row in measure(samples)]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    print("| order | samples | neighbours | shards in a batch | pairs of a shard | pairs again |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        ratios = row.neighbours, row.shards_in_batch, row.pairs_of_a_shard, row.pairs_again
        print(f"| {row.order} | {row.samples:,} | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |")
    return 0


def measure(samples: int) -> list[Row]:
    """Measure a permutation, our default order and Streaming's default for a data set of this size."""
    sizes = np.full(-(-samples // SHARD), SHARD, np.int64)
    sizes[-1] -= sizes.sum() - samples
    ours = Order(sizes, SEED, default_canonical_nodes(samples))
    orders: dict[str, Epoch] = {
        "permutation": lambda epoch: np.random.default_rng(epoch).permutation(samples),
        "ours": lambda epoch: ours.samples(epoch, 0, samples),
        "py1e": lambda epoch: _py1e(sizes, epoch),
    }
    return [_row(name, samples, order(0), order(1)) for name, order in orders.items()]


def _py1e(sizes: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
    from streaming.base.shuffle.py1e import get_shuffle_py1e

    # One canonical node and its block: Streaming's defaults on one node.
    return np.asarray(get_shuffle_py1e(sizes, 1, SEED, epoch, max(4_000_000, 1 << 18)))


def _row(name: str, samples: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> Row:
    batches = samples // BATCH
    shards = first[: batches * BATCH].reshape(batches, BATCH) // SHARD
    count = -(-samples // SHARD)
    distinct = np.mean([len(np.unique(batch)) for batch in shards])
    same = np.mean([_pairs(np.bincount(batch, minlength=count)) for batch in shards])
    again = np.empty(samples, np.int64)
    again[second] = np.arange(samples) // BATCH
    company = again[first[: batches * BATCH]].reshape(batches, BATCH)
    meet = np.mean([_pairs(np.bincount(batch, minlength=batches + 1)) for batch in company])
    in_shard = (SHARD - 1) / (samples - 1)
    return Row(
        name,
        samples,
        float(np.abs(np.diff(first)).mean() / (samples / 3)),
        float(distinct / _distinct(count, samples)),
        float(same / (_pairs(np.array([BATCH])) * in_shard)),
        float(meet / (_pairs(np.array([BATCH])) * (BATCH - 1) / (samples - 1))),
    )


def _pairs(counts: NDArray[np.int64]) -> float:
    return float((counts * (counts - 1)).sum()) / 2


def _distinct(shards: int, samples: int) -> float:
    """Expected shards in a batch drawn without replacement (a shard is missed with (1 - f)^SHARD)."""
    return float(shards * (1 - (1 - BATCH / samples) ** SHARD))


if __name__ == "__main__":
    raise SystemExit(main())
