"""Three threads walk a worker's samples: each is asked for, let go and handed out once, in order."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from streaming.base.dataset import _Iterator

from loaders.order import Rows
from loaders.walk import Walk

SIZE = 4


class Share:
    """Samples 100, 101, ... in batches."""

    batch_size = SIZE

    def __init__(self, length: int) -> None:
        self._all = 100 + np.arange(length)

    def __len__(self) -> int:
        return len(self._all)

    def batch(self, number: int) -> Rows:
        samples = self._all[number * SIZE : (number + 1) * SIZE]
        return Rows(samples, 7 * samples)

    def step(self, number: int) -> int:
        return 50 + number


def walk_of(length: int) -> SimpleNamespace:
    state, failed = _Iterator(Share(length)), Event()  # type: ignore[arg-type]
    return SimpleNamespace(state=state, failed=failed, walk=Walk(state, failed), asked=[])


@pytest.mark.parametrize("length", [1, 3, 4, 5, 17, 40])
def test_every_sample_is_asked_for_and_handed_out_once(length: int) -> None:
    it = walk_of(length)
    with ThreadPoolExecutor(2) as executor:
        executor.submit(it.walk.prepare, 8, lambda batch: it.asked.extend(batch.tolist()))
        executor.submit(it.walk.make_ready)
        handed_out = list(it.walk.rows())
    assert it.asked == list(range(100, 100 + length))
    assert handed_out == [(50 + i // SIZE, 7 * (100 + i), 100 + i) for i in range(length)]
    it.state.exit()


@pytest.mark.parametrize("ahead", [4, 8, 13])
def test_no_more_is_asked_for_than_told(ahead: int) -> None:
    it = walk_of(100)
    with ThreadPoolExecutor(2) as executor:
        executor.submit(it.walk.prepare, ahead, lambda batch: it.asked.extend(batch.tolist()))
        executor.submit(it.walk.make_ready)
        for handed_out, _ in enumerate(it.walk.rows()):
            assert len(it.asked) <= handed_out + ahead + 2 * SIZE
        assert len(it.asked) == 100


@pytest.mark.parametrize("end", ["exit", "failure"])
def test_all_threads_end_when_told(end: str) -> None:
    it = walk_of(100)
    with ThreadPoolExecutor(2) as executor:
        threads = [executor.submit(it.walk.prepare, 8, it.asked.append), executor.submit(it.walk.make_ready)]
        samples = it.walk.rows()
        next(samples)
        it.failed.set() if end == "failure" else it.state.non_blocking_exit()
        began = time.monotonic()
        assert len(list(samples)) < SIZE  # of the batch under way at most
        for thread in threads:
            thread.result(timeout=5)
    assert time.monotonic() - began < 5
