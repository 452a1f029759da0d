"""All processes leave a barrier together, again and again; one that never comes is given up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streaming.base.shared import SharedArray

from engine.errors import UserError
from loaders import barrier
from loaders.barrier import Barrier

PROCESSES, ROUNDS = 3, 40


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Barrier]:
    name = f"veclip_barrier_{os.getpid()}"
    made = Barrier(str(tmp_path / "lock"), name)
    yield made
    made._counts.shm.cleanup()


def _pass(shared: Barrier, seen: SharedArray, number: int) -> None:
    for turn in range(ROUNDS):
        time.sleep((number * 7 + turn * 3) % 5 * 1e-3)
        seen[number] = turn
        shared(PROCESSES)
        assert seen.numpy().min() >= turn  # nobody is let through before the last has come


def test_nobody_leaves_before_the_last_has_come(shared: Barrier) -> None:
    seen = SharedArray(PROCESSES, np.int32, f"veclip_seen_{os.getpid()}")
    fork = multiprocessing.get_context("fork")
    runs = [fork.Process(target=_pass, args=(shared, seen, number)) for number in range(PROCESSES)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * PROCESSES
    assert seen.numpy().tolist() == [ROUNDS - 1] * PROCESSES
    seen.shm.cleanup()


def test_a_dead_process_is_not_waited_for(shared: Barrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "PATIENCE_S", 0.5)
    dead = multiprocessing.get_context("fork").Process(target=signal.pause)
    dead.start()
    assert dead.pid is not None
    os.kill(dead.pid, signal.SIGKILL)
    dead.join()
    began = time.monotonic()
    with pytest.raises(UserError, match=r"1 of this node's 2 processes waited .* 0.5 s at an epoch's start"):
        shared(2)
    assert time.monotonic() - began < 5
