"""Making batches in threads: in order, overlapping, with errors where they belong, and no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from loaders.prefetch import Prefetcher, begin_ahead, map_in_order


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_for_even(item: int) -> int:
        time.sleep(0.01 * (item % 2 == 0))
        return item * item

    assert list(map_in_order(slow_for_even, iter(range(20)), 3)) == [item * item for item in range(20)]


def test_two_are_under_way_at_a_time_and_no_more() -> None:
    lock, busy, most = threading.Lock(), 0, 0
    both = threading.Barrier(2, timeout=10)

    def make(item: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        both.wait()
        with lock:
            busy -= 1
        return item

    assert list(map_in_order(make, iter(range(6)), 2)) == list(range(6))
    assert most == 2


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def make(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    found = map_in_order(make, iter(range(9)), 2)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(found)


def test_closing_early_leaves_no_thread() -> None:
    wanted = threading.Event()

    def endless() -> Iterator[int]:
        while not wanted.is_set():
            yield 1

    prefetcher = Prefetcher(map_in_order(lambda item: item, endless(), 2), 2, wanted.set)
    assert next(iter(prefetcher)) == 1
    prefetcher.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("veclip")]


def begun_and_finished(fail_at: int | None = None) -> tuple[list[str], list[int]]:
    """What happened over four items, and what came of it."""
    events, results = [], []

    def begin(item: int) -> int:
        if item == fail_at:
            raise ValueError("begin")
        events.append(f"begin {item}")
        return item

    def finish(item: int) -> int:
        events.append(f"finish {item}")
        return item

    try:
        for result in begin_ahead(begin, finish, iter(range(4))):
            results.append(result)
    except ValueError as error:
        events.append(str(error))
    return events, results


def test_the_next_is_begun_before_one_is_finished() -> None:
    events, results = begun_and_finished()
    assert results == [0, 1, 2, 3]
    assert events == [
        *["begin 0", "begin 1", "finish 0", "begin 2", "finish 1", "begin 3", "finish 2", "finish 3"]
    ]
    assert list(begin_ahead(int, int, iter([]))) == []


def test_what_cannot_be_begun_comes_after_what_was() -> None:
    events, results = begun_and_finished(fail_at=2)
    assert results == [0, 1]
    assert events == ["begin 0", "begin 1", "finish 0", "finish 1", "begin"]
