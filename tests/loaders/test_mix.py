"""The order of a mix by itself: counts of each step, streams' own epochs, any split and any part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming.base.world import World

from loaders.mix import AT_ONCE, BLOCK, Mix
from loaders.order import Order
from loaders.ramp import Weights
from loaders.share import Steps, WorkerShare

WEIGHTS = st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.5, 40.0]), min_size=1, max_size=5).filter(any)


@st.composite
def moving(draw: st.DrawFn) -> Weights:
    start = draw(WEIGHTS)
    weights = st.lists(st.sampled_from([0.0, 0.2, 1.0, 7.0]), min_size=len(start), max_size=len(start))
    begin = draw(st.integers(0, 60))
    return Weights(tuple(start), tuple(draw(weights.filter(any))), begin, begin + draw(st.integers(0, 60)))


def mix_of(weights: Weights, batch: int = 8, steps_per_epoch: int = 10, sizes: tuple[int, ...] = ()) -> Mix:
    sizes = sizes or tuple(5 + 8 * number for number in range(len(weights.start)))
    orders = [
        Order(np.array([size // 2, size - size // 2]), 3 + number, min(2, size))
        for number, size in enumerate(sizes)
    ]
    return Mix(orders, weights, batch, steps_per_epoch)


@given(weights=moving(), batch=st.integers(1, 4096), first=st.integers(0, 1 << 20))
@settings(deadline=None)
def test_a_step_has_each_streams_share_within_a_sample(weights: Weights, batch: int, first: int) -> None:
    steps = np.concatenate([np.arange(130), np.arange(first, first + 50)])
    counts = np.diff(mix_of(weights, batch).bounds(steps), axis=1)
    wanted = batch * weights.shares(steps)
    assert (counts >= 0).all()
    assert (counts.sum(axis=1) == batch).all()
    assert (np.abs(counts - wanted) < 1 + 1e-6).all()
    assert (counts[wanted == 0] == 0).all()


@given(weights=WEIGHTS, batch=st.integers(1, 4096))
@settings(deadline=None, max_examples=40)
def test_while_shares_stand_still_the_rounding_evens_out(weights: list[float], batch: int) -> None:
    """Ever fewer parts: a few samples in 60,000 steps (a random rounding would be about 100 off)."""
    mix = mix_of(Weights.constant(weights), batch)
    steps = 60_000
    counts = np.diff(mix.bounds(np.arange(steps)), axis=1)
    off = np.cumsum(counts - batch * np.array(weights) / sum(weights), axis=0)
    assert np.abs(off).max() < 5


def test_a_ramp_is_off_by_few_samples_too() -> None:
    weights = Weights((2.0, 1.0, 1.0), (1.0, 3.0, 0.0), 1_000, 50_000)
    steps = np.arange(60_000)
    counts = np.diff(mix_of(weights, 64).bounds(steps), axis=1)
    assert np.abs(np.cumsum(counts - 64 * weights.shares(steps), axis=0)).max() < 30


@given(weights=moving(), batch=st.integers(1, 9), epoch=st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_every_epoch_of_a_stream_has_each_of_its_samples_once(
    weights: Weights, batch: int, epoch: int
) -> None:
    """Over the epochs of the run, which have no part in it."""
    mix = mix_of(weights, batch, steps_per_epoch=7)
    parts = [mix.rows(run_epoch, np.arange(len(mix))) for run_epoch in range(30)]
    samples, epochs = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    begin = 0
    for number, (order, size) in enumerate(zip(mix.orders, mix.sizes, strict=True)):
        own = (samples >= begin) & (samples < begin + size)
        count = int(own.sum())
        assert count == mix.before(7 * 30)[number]
        index = np.arange(count)
        assert (epochs[own] == index // size).all()
        expected = [order.at(e, np.arange(size)) for e in range(-(-count // size))]
        assert (samples[own] - begin == np.concatenate([*expected, index[:0]])[:count]).all()
        begin += size


@given(weights=moving(), data=st.data())
@settings(deadline=None, max_examples=50)
def test_any_part_is_that_part_of_the_whole(weights: Weights, data: st.DataObject) -> None:
    whole = mix_of(weights).rows(3, np.arange(80))
    positions = np.array(sorted(data.draw(st.sets(st.integers(0, 79)))), np.int64)
    found = mix_of(weights).rows(3, positions)
    assert (found.samples == whole.samples[positions]).all()
    assert (found.epochs == whole.epochs[positions]).all()


def test_slots_are_filled_stream_by_stream() -> None:
    mix = mix_of(Weights.constant([1, 1, 2]), batch=16, sizes=(20, 30, 40))
    stream = np.searchsorted([20, 50, 90], mix.rows(0, np.arange(len(mix))).samples, side="right")
    assert (np.diff(stream.reshape(10, 16), axis=1) >= 0).all()


@pytest.mark.parametrize("step", [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 5, AT_ONCE + BLOCK + 1])
def test_what_came_before_a_step_is_summed_up_anywhere(step: int) -> None:
    weights = Weights((2.0, 1.0, 0.1), (1.0, 3.0, 0.2), 10, 90_000)
    counts = np.diff(mix_of(weights).bounds(np.arange(step)), axis=1)
    used = mix_of(weights)
    used.before(2 * BLOCK)
    for mix in (used, mix_of(weights)):
        assert (mix.before(step) == counts.sum(axis=0)).all()


@given(weights=moving(), total=st.integers(1, 90))
@settings(deadline=None, max_examples=40)
def test_find_is_the_inverse(weights: Weights, total: int) -> None:
    mix = mix_of(weights)
    seen = {}
    for step in range(total):
        epoch, within = divmod(step, mix.steps_per_epoch)
        rows = mix.rows(epoch, np.arange(within * 8, within * 8 + 8))
        for slot, (sample, own) in enumerate(zip(*rows, strict=True)):
            seen[int(sample), int(own)] = step, slot
    ends = np.cumsum(mix.sizes)
    for sample in range(int(ends[-1])):
        stream = int(np.searchsorted(ends, sample, side="right"))
        for epoch in range(3):
            assert mix.find(stream, sample, epoch, total) == seen.get((sample, epoch))


@pytest.mark.parametrize("split", [(1, 1, 3), (1, 4, 1), (2, 2, 2), (4, 1, 2), (8, 1, 1)])
def test_a_step_is_the_same_for_any_split(
    split: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.share.LEAST_BATCHES", 1)
    monkeypatch.setattr(Mix, "span", 32)
    weights = Weights((2.0, 1.0, 1.0), (1.0, 0.0, 5.0), 5, 25)
    nodes, per_node, workers = split
    ranks = nodes * per_node
    for epoch, begin in ((0, 0), (2, 0), (2, 24), (2, 80)):
        whole = mix_of(weights).rows(epoch, np.arange(begin, 80))
        for rank in range(ranks):
            slots = np.arange(begin, 80).reshape(-1, 8)[
                :, rank // per_node + nodes * (rank % per_node) :: ranks
            ]
            for worker in range(workers):
                world = World(nodes, per_node, workers, rank * workers + worker)
                share = WorkerShare(mix_of(weights), Steps(epoch, begin, 8 // ranks, True), world)
                own = range(worker, len(slots), workers)
                assert len(share) == len(own) * 8 // ranks
                for number, batch in enumerate(own):
                    rows, places = share.batch(number), slots[batch] - begin
                    assert (rows.samples == whole.samples[places]).all()
                    assert (rows.epochs == whole.epochs[places]).all()
                    assert share.step(number) == epoch * 10 + begin // 8 + batch
