"""The measuring process: one peer, one piece of work; the parent says when and for how long.

Reads a `Work` as JSON, then a number of seconds a line; answers each with a line of JSON on the real stdout,
then freezes itself and its own children until its parent sends SIGCONT.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from benchmarks.loader.exact import largest_difference
from benchmarks.loader.peers import BY_NAME
from benchmarks.loader.work import Adapter, Work
from loaders.cpu_time import cpu_seconds


def window(stream: Iterator[int], seconds: float, level: str) -> dict[str, float]:
    """Consume for `seconds`: of processor time for a kernel (one thread), of the clock for a loader."""
    clock = time.process_time if level == "kernel" else time.perf_counter
    next(stream)  # what was made ahead before the clock started does not count
    images, cpu, start = 0, cpu_seconds(), clock()
    while (elapsed := clock() - start) < seconds or images == 0:
        images += next(stream)
    return {"images": images, "seconds": elapsed, "cpu_s": cpu_seconds() - cpu}


def serve(work: Work, orders: TextIO, answers: TextIO) -> None:
    """Set up, report the difference from Pillow and the time to the first batch, then measure on order."""

    def answer(obj: dict[str, Any]) -> None:
        answers.write(json.dumps(obj) + "\n")
        answers.flush()
        os.killpg(0, signal.SIGSTOP)  # at once: nothing is made ahead between turns

    adapter: Adapter = importlib.import_module(f"benchmarks.loader.peers.{BY_NAME[work.peer].module}")
    for name in adapter.IMPORTS[work.level]:
        importlib.import_module(name)
    difference = largest_difference(adapter, work.folders, work.output)
    start = time.perf_counter()
    stream = iter(adapter.kernel(work) if work.level == "kernel" else adapter.loader(work))
    next(stream)
    answer({"max_diff": difference, "first_batch_s": time.perf_counter() - start})
    for order in orders:
        answer(window(stream, float(order), work.level))


def main() -> None:
    """Entry point of the child; whatever libraries print goes to stderr."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    fields = json.loads(sys.stdin.readline())
    work = Work(**{**fields, "cores": tuple(fields["cores"])})
    os.sched_setaffinity(0, work.cores)
    serve(work, sys.stdin, answers)


if __name__ == "__main__":
    main()
