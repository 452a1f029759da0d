"""A worker outlives a stranger's SIGTERM and obeys its parent's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection

import pytest

from loaders.worker_signals import heed_own_rank_only

pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="no sigwaitinfo here")


def echo(pipe: Connection) -> None:
    heed_own_rank_only()
    pipe.send("ready")
    while True:
        pipe.send(pipe.recv())


def test_only_the_parent_ends_a_worker() -> None:
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("fork").Process(target=echo, args=(theirs,))
    worker.start()
    assert ours.recv() == "ready"
    stranger = f"import os, signal; os.kill({worker.pid}, signal.SIGTERM)"
    for _ in range(3):
        subprocess.run([sys.executable, "-c", stranger], check=True)
    ours.send("still there?")
    assert ours.poll(10)
    assert ours.recv() == "still there?"
    began = time.monotonic()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(10)
    assert worker.exitcode == 0
    assert time.monotonic() - began < 10
