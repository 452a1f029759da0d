"""The order of an epoch: a permutation, the same wherever it is looked at, local to nodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from streaming.base.world import World

from engine.errors import UserError
from loaders.lanes import WINDOW
from loaders.order import LANE, MOST_LANES, Order, default_canonical_nodes
from loaders.share import Steps, WorkerShare
from tests.native.philox_reference import philox4x32

SHARDS = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 0)
LANES = st.integers(1, 7)


def order(sizes: list[int], lanes: int, seed: int = 3, shuffle: bool = True) -> Order:
    return Order(np.array(sizes), seed, lanes, shuffle)


@pytest.fixture(autouse=True)
def _small_window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small data sets would lie within one window; see to it that borders are crossed."""
    if "full_window" not in request.fixturenames:
        monkeypatch.setattr("loaders.lanes.WINDOW", 16)


@pytest.fixture
def full_window() -> None:
    """The window as it is."""


@given(sizes=SHARDS, lanes=LANES, epoch=st.integers(0, 3), shuffle=st.booleans())
@settings(deadline=None)
def test_every_sample_once_an_epoch(sizes: list[int], lanes: int, epoch: int, shuffle: bool) -> None:
    found = order(sizes, min(lanes, sum(sizes)), shuffle=shuffle).samples(epoch, 0, sum(sizes))
    assert sorted(found.tolist()) == list(range(sum(sizes)))


@given(sizes=SHARDS, lanes=LANES, data=st.data())
@settings(deadline=None)
def test_any_part_is_that_part_of_the_whole(sizes: list[int], lanes: int, data: st.DataObject) -> None:
    lanes = min(lanes, sum(sizes))
    whole = order(sizes, lanes).samples(1, 0, sum(sizes))
    positions = np.array(sorted(data.draw(st.sets(st.integers(0, sum(sizes) - 1)))), np.int64)
    assert (order(sizes, lanes).at(1, positions) == whole[positions]).all()
    used = order(sizes, lanes)
    used.samples(0, 0, sum(sizes))
    for begin in (sum(sizes) // 2, 0, sum(sizes) // 3):
        assert (used.samples(1, begin, sum(sizes)) == whole[begin:]).all()


@given(sizes=SHARDS, lanes=LANES, epoch=st.integers(0, 2), shuffle=st.booleans())
@settings(deadline=None, max_examples=30)
def test_position_is_the_inverse(sizes: list[int], lanes: int, epoch: int, shuffle: bool) -> None:
    walked = order(sizes, min(lanes, sum(sizes)), shuffle=shuffle)
    samples = walked.samples(epoch, 0, sum(sizes)).tolist()
    assert [walked.position(epoch, sample) for sample in samples] == list(range(sum(sizes)))


def test_without_shuffling_one_lane_is_the_index() -> None:
    assert order([5, 0, 9], 1, shuffle=False).samples(4, 0, 14).tolist() == list(range(14))


@pytest.mark.usefixtures("full_window")
def test_the_order_is_as_written_down() -> None:
    """Another implementation of docs/architecture.md, slow and plain: a checkpoint must not see a change."""
    sizes, lanes, seed, epoch = [700, 300, 0, 1100, 900], 2, 11, 4
    n, half = sum(sizes), WINDOW // (2 * lanes)

    def words(number: int, epoch: int, purpose: int) -> list[int]:
        counter = np.array([[number & 0xFFFFFFFF, number >> 32, epoch, purpose << 16]], np.uint32)
        return [int(word) for word in philox4x32(counter, (seed, 0))[0]]

    def drawn(number: int, epoch: int, purpose: int) -> int:
        return words(number, epoch, purpose)[0] << 32 | words(number, epoch, purpose)[1]

    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    line = [
        starts[shard] + i
        for shard in sorted(range(len(sizes)), key=lambda shard: drawn(shard, 0, 2))
        for i in range(sizes[shard])
    ]
    expected = [-1] * n
    for lane in range(lanes):
        begin = sum((n - other + lanes - 1) // lanes for other in range(lane))
        length = (n - lane + lanes - 1) // lanes
        runs: dict[int, list[int]] = {}
        for sample in line[begin : begin + length]:
            shard = int(np.searchsorted(np.cumsum(sizes), sample, side="right"))
            runs.setdefault(shard, []).append(sample)
        own = [s for run in sorted(runs.values(), key=lambda run: drawn(run[0], epoch, 3)) for s in run]
        keys = []
        for x in range(length):
            low, high = max(0, x - half), min(length, x + half)
            word = words((begin + x) // 4, epoch, 4)[(begin + x) % 4]
            keys.append((low << 32) + word * (high - low))
        for rank, x in enumerate(sorted(range(length), key=lambda x: keys[x])):
            expected[rank * lanes + lane] = own[x]
    assert Order(np.array(sizes), seed, lanes).samples(epoch, 0, n).tolist() == expected


def test_seeds_and_epochs_differ() -> None:
    orders = [order([30] * 20, 2, seed).samples(epoch, 0, 600) for seed in (0, 1) for epoch in (0, 1, 2)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert np.mean(one == other) < 0.05


@pytest.mark.usefixtures("full_window")
def test_a_small_data_set_is_shuffled_uniformly() -> None:
    """Below half a window, any sample is as likely anywhere: mean place and neighbour distance of chance."""
    n = 4000
    found = np.stack([order([200] * 20, 1, seed).samples(0, 0, n) for seed in range(40)])
    place = np.argsort(found, axis=1).mean(axis=0)
    spread = n / np.sqrt(12 * 40)
    assert abs(place.std() / spread - 1) < 0.05
    distance = np.abs(np.diff(found, axis=1)).mean()
    assert abs(distance / (n / 3) - 1) < 0.01


@pytest.mark.usefixtures("full_window")
def test_shards_in_use_at_a_time_are_few() -> None:
    """At any moment a lane uses the shards of one window, whatever the size of the data set."""
    size, shards = 2143, 2000
    lanes = default_canonical_nodes(size * shards)
    whole = order([size] * shards, lanes).samples(0, 0, size * shards) // size
    first = np.full(shards, len(whole))
    np.minimum.at(first, whole, np.arange(len(whole)))
    last = np.zeros(shards, np.int64)
    np.maximum.at(last, whole, np.arange(len(whole)))
    begun = np.searchsorted(np.sort(first), np.arange(0, len(whole), 1000), side="right")
    ended = np.searchsorted(np.sort(last), np.arange(0, len(whole), 1000))
    assert lanes == MOST_LANES
    # Each shard lies in one lane, or at a border in two; the window and a shard at each end of it are open.
    assert (begun - ended).max() <= WINDOW / size + 2 * lanes + lanes


def test_lanes_by_default_grow_with_the_data_alone() -> None:
    assert [default_canonical_nodes(n) for n in (0, 1, LANE, 2 * LANE - 1, 2 * LANE, 4 * LANE + 1)] == [
        1, 1, 1, 1, 2, 4,
    ]  # fmt: skip
    assert default_canonical_nodes(300_000_000) == MOST_LANES


def test_more_lanes_than_samples_are_refused() -> None:
    with pytest.raises(UserError, match=r"num_canonical_nodes: 15 given; expected 1 to 14"):
        order([5, 9], 15)
    with pytest.raises(UserError, match=r"num_canonical_nodes: 0 given"):
        order([5, 9], 0)


@pytest.mark.parametrize("lanes", [1, 3])
def test_positions_beyond_the_epoch_are_refused(lanes: int) -> None:
    with pytest.raises(IndexError):
        order([5, 9], lanes).samples(0, 10, 15)


def worlds(nodes: int, ranks: int, workers: int) -> list[World]:
    return [World(nodes, ranks, workers, worker) for worker in range(nodes * ranks * workers)]


def global_batches(
    sizes: list[int], steps: Steps, nodes: int, ranks: int, workers: int
) -> list[list[NDArray[np.int64]]]:
    """What each rank gets at each step, as torch's DataLoader takes it from the workers in turn."""
    lanes = min(4, sum(sizes))
    per_rank: dict[int, list[NDArray[np.int64]]] = {}
    for rank in range(nodes * ranks):
        own = []
        for world in worlds(nodes, ranks, workers)[rank * workers : (rank + 1) * workers]:
            share = WorkerShare(order(sizes, lanes), steps, world)
            batches = -(-len(share) // steps.batch_size)
            own.append([share.batch(number).samples for number in range(batches)])
            assert sum(map(len, own[-1])) == len(share)
        longest = max(len(batches) for batches in own)
        per_rank[rank] = [b[i] for i in range(longest) for b in own if i < len(b) and len(b[i])]
    assert len({len(batches) for batches in per_rank.values()}) == 1
    return [list(step) for step in zip(*per_rank.values(), strict=True)]


SPLITS = [(1, 1, 1), (1, 1, 3), (1, 4, 1), (2, 2, 1), (2, 2, 2), (4, 1, 2), (2, 1, 1), (1, 2, 3)]


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("samples", [47, 48, 49, 63, 5])
def test_a_step_is_the_same_for_any_split(
    samples: int, drop_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.share.LEAST_BATCHES", 1)
    monkeypatch.setattr(Order, "span", 32)
    sizes, size = [7] * (samples // 7) + [samples % 7], 8
    whole = order(sizes, 4).samples(2, 0, samples)
    for begin in range(0, samples + 1, size):
        for split in SPLITS:
            ranks = split[0] * split[1]
            found = global_batches(sizes, Steps(2, begin, size // ranks, drop_last), *split)
            steps = (samples - begin) // size if drop_last else -(-(samples - begin) // size)
            assert len(found) == steps
            for step, parts in enumerate(found):
                expected = whole[begin + step * size : begin + (step + 1) * size]
                assert len({len(part) for part in parts}) == 1
                together = np.concatenate(parts)
                repeated = -len(expected) % ranks
                assert sorted(together) == sorted([*expected, *whole[:repeated]])


def test_ranks_of_a_node_read_its_lanes_only() -> None:
    """Four lanes, two nodes: each reads half of the shards, in every epoch the same half."""
    sizes = [30] * 40
    per_node: list[set[int]] = [set(), set()]
    for epoch in (0, 1, 2):
        for world in worlds(2, 2, 1):
            share = WorkerShare(order(sizes, 4), Steps(epoch, 0, 4, True), world)
            read = [share.batch(number).samples for number in range(-(-len(share) // 4))]
            per_node[world.node] |= set((np.concatenate(read) // 30).tolist())
    assert len(per_node[0] & per_node[1]) <= 4  # borders of lanes
    assert len(per_node[0]) <= 22


def test_within_the_window_the_order_is_as_good_as_a_permutation(full_window: None) -> None:
    from benchmarks.order import measure

    permutation, ours, _ = measure(50_000)
    for name in ("neighbours", "shards_in_batch", "pairs_of_a_shard", "pairs_again"):
        assert abs(getattr(ours, name) - 1) < 0.03, name
        assert abs(getattr(permutation, name) - 1) < 0.03, name
