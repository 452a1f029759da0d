"""Laws of ThreadPool that need no images; what batch calls do on it is in test_batch.py."""

from __future__ import annotations

import gc

import pytest

from engine.native import ThreadPool


def test_knows_its_size() -> None:
    assert ThreadPool(3).threads == 3
    assert repr(ThreadPool(3)) == "ThreadPool(3)"


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_refuses_senseless_sizes(threads: int) -> None:
    with pytest.raises(ValueError, match="threads"):
        ThreadPool(threads)


def test_unused_pools_come_and_go() -> None:
    for _ in range(100):
        ThreadPool(8)
    gc.collect()
