"""Which settings are tried, stay in a measurement and are recommended: laws of pure functions."""

from __future__ import annotations

import dataclasses
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.tune.bench import LEAST_BATCH, fitting_batch
from loaders.tune.candidates import DALI, NATIVE, PREFETCHES, Candidate, candidates, thread_numbers
from loaders.tune.choice import FINALISTS, LEAST_NOISE, MOST_NOISE, Measured, Turn, choose, noise, survivors
from loaders.tune.machine import cores_of_a_rank

EXACTLY = 1 + 1e-9


def measured(
    rate: float, cpu: float = 1, threads: int = 2, prefetch: int = 2, workers: int = 0, decoder: str = NATIVE
) -> Measured:
    """One turn of 1,000 samples with these samples/s and processor seconds per 1,000 samples."""
    return Measured(Candidate(decoder, threads, prefetch, workers), (Turn(1000, 1000 / rate, cpu),))


some = st.builds(
    measured,
    st.floats(1, 1e5),
    st.floats(0.01, 100),
    st.integers(1, 64),
    st.sampled_from(PREFETCHES),
    st.integers(0, 3),
    st.sampled_from((NATIVE, DALI)),
)
lists = st.lists(some, min_size=1, max_size=16, unique_by=lambda one: one.candidate)
# Rates and costs so close that the noise decides.
close = st.builds(
    measured,
    st.floats(95, 100),
    st.floats(0.95, 1),
    st.integers(1, 4),
    st.sampled_from(PREFETCHES),
    st.just(0),
    st.sampled_from((NATIVE, DALI)),
)
close_lists = st.lists(close, min_size=1, max_size=8, unique_by=lambda one: one.candidate)


@given(st.one_of(lists, close_lists))
def test_the_recommended_one_is_among_the_fastest_and_none_of_these_costs_less(found: list[Measured]) -> None:
    best = choose(found)
    fast = [one for one in found if one.rate >= (1 - LEAST_NOISE) * max(one.rate for one in found)]
    assert best in fast
    cheap = [one for one in fast if min(o.cpu_per_1000 for o in fast) >= (1 - LEAST_NOISE) * one.cpu_per_1000]
    assert best in cheap
    exact = [one for one in cheap if one.candidate.decoder == NATIVE] or cheap
    assert best in exact
    least = min((one.candidate.all_threads, one.candidate.prefetch) for one in exact)
    assert (best.candidate.all_threads, best.candidate.prefetch) == least


@given(st.one_of(lists, close_lists), st.randoms(use_true_random=False))
def test_neither_order_nor_the_clocks_unit_makes_a_difference(
    found: list[Measured], rng: random.Random
) -> None:
    best = choose(found)
    shuffled = rng.sample(found, len(found))
    assert choose(shuffled).rate == best.rate
    doubled = [
        Measured(
            one.candidate,
            tuple(dataclasses.replace(t, seconds=2 * t.seconds, cpu_s=2 * t.cpu_s) for t in one.turns),
        )
        for one in found
    ]
    assert choose(doubled).candidate == best.candidate


def test_what_is_clearly_faster_wins_whatever_it_costs() -> None:
    fast, frugal = measured(110, cpu=9, threads=16), measured(100, cpu=1, threads=1)
    assert choose([frugal, fast]) is fast


def test_dali_has_to_earn_its_inexact_pixels() -> None:
    exact, inexact = measured(100, cpu=1, threads=8), measured(102, cpu=0.99, threads=1, decoder=DALI)
    assert choose([inexact, exact]) is exact
    cheaper = measured(98, cpu=0.5, threads=16, decoder=DALI)
    assert choose([exact, cheaper]) is cheaper


def test_of_equals_processor_time_then_threads_then_prefetch_decide() -> None:
    cheap = measured(98, cpu=1, threads=8, prefetch=4)
    assert choose([measured(100, cpu=2, threads=1), cheap]) is cheap
    few = measured(98, cpu=1.02, threads=4, prefetch=4)
    assert choose([measured(100, cpu=1, threads=8), few]) is few
    short = measured(98, cpu=1.02, threads=4, prefetch=2)
    assert choose([measured(100, cpu=1, threads=4, prefetch=4), short]) is short
    assert choose([short, measured(98, cpu=1.02, threads=3, workers=2)]) is short  # six threads


@given(st.one_of(lists, close_lists))
def test_rounds_keep_the_faster_half_and_whatever_may_be_chosen(found: list[Measured]) -> None:
    kept = survivors(found)
    assert len(kept) >= min(len(found), max(FINALISTS, len(found) / 2))
    dropped = [one for one in found if one not in kept]
    assert all(one.rate <= min(k.rate for k in kept) for one in dropped)
    assert choose(kept).candidate == choose(found).candidate
    assert survivors(kept) or not found


def test_a_noisy_measurement_takes_more_for_the_same() -> None:
    def turns(*rates: float) -> tuple[Turn, ...]:
        return tuple(Turn(1000, 1000 / rate, 1.0) for rate in rates)

    eight, four, one = (Candidate(NATIVE, threads, 2) for threads in (8, 4, 1))
    slower, slow = Measured(four, turns(95, 95, 95, 95)), Measured(one, turns(80, 80, 80, 80))
    quiet = Measured(eight, turns(100, 101, 99, 100))
    assert choose([quiet, slower, slow]) is quiet
    noisy = Measured(eight, turns(90, 100, 100, 110))
    assert noise([noisy, slower, slow]) == pytest.approx(0.05)
    assert choose([noisy, slower, slow]) is slower
    wild = Measured(eight, turns(40, 100, 100, 160))
    assert noise([wild]) == MOST_NOISE
    assert choose([wild, slower, slow]) is slower
    assert slower in survivors([wild, slower, slow])


def test_half_of_what_is_clearly_slower_goes() -> None:
    found = [measured(100 - 10 * i, threads=i + 1) for i in range(8)]
    assert survivors(found) == found[:4]
    assert survivors(found[:4]) == found[:FINALISTS]


def test_rates_of_several_turns() -> None:
    turns = tuple(Turn(100, seconds, 0.2, left) for seconds, left in ((1, 0.0), (0.5, 0.1), (2, 0.2)))
    one = Measured(Candidate(DALI, 2, 2), turns)
    assert one.rate == 100
    assert one.spread == pytest.approx((200 - 50) / 2 / 100)
    assert one.cpu_per_1000 == pytest.approx(2)
    assert one.left_to_native == pytest.approx(0.1)
    assert measured(5).spread is None


@given(st.integers(1, 512), st.integers(0, 9))
def test_candidates_have_at_most_the_ranks_cores(cores: int, workers: int) -> None:
    found = candidates(cores, workers)
    assert len(set(found)) == len(found)
    assert found[0] == Candidate(NATIVE, max(1, cores // max(1, workers)), 2, workers)
    for one in found:
        assert 1 <= one.all_threads <= max(cores, workers)
        assert one.workers == (workers if one.decoder == NATIVE else 0)
    assert {(one.decoder, one.prefetch) for one in found} == {(d, p) for d in (NATIVE, DALI) for p in (2, 4)}
    assert list(thread_numbers(16)) == [16, 8, 4, 2]


@given(st.integers(1, 1 << 16), st.floats(0.001, 1e6), st.floats(0.001, 100))
def test_a_batch_is_cut_until_it_fits_the_time(batch: int, rate: float, seconds: float) -> None:
    fitting = fitting_batch(batch, rate, seconds)
    assert 1 <= fitting <= batch
    assert fitting <= max(LEAST_BATCH, rate * seconds * EXACTLY)
    if fitting < batch:
        assert batch > rate * seconds
        assert fitting == LEAST_BATCH or 2 * fitting * EXACTLY > rate * seconds


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores of processes are Linux's")
@pytest.mark.parametrize("ranks", [1, 2, 1000])
def test_a_rank_has_its_share_of_the_cores_for_as_long_as_it_is_measured(ranks: int) -> None:
    before = os.sched_getaffinity(0)
    with cores_of_a_rank(ranks) as cores:
        assert len(os.sched_getaffinity(0)) == cores == max(1, len(before) // ranks)
        assert os.sched_getaffinity(0) <= before
    assert os.sched_getaffinity(0) == before
