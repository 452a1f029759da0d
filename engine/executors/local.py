"""A pool of processes on this machine that notices at once when one of them dies.

`concurrent.futures` cannot say which task a killed worker had, and a queue that all workers share can stay
locked for ever when one is killed while it writes. Here every worker has its own pipe and at most one task.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from engine.errors import UserError
from engine.executors.base import Event, Events, Finished, Progress, Work, describe_failure
from engine.native import NativeError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_EXPECTED = (UserError, NativeError, OSError)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: int | None = None


class LocalExecutor:
    """Processes that are started afresh, so that no thread or lock of this process is copied into them."""

    def __init__(self, workers: int) -> None:
        """At most `workers` processes."""
        self._workers = workers

    def run(self, work: Work, job: Any, tasks: Sequence[Any]) -> Events:
        """See `engine.executors.base.Executor`."""
        todo = list(range(len(tasks)))[::-1]
        workers = [_start(work, job) for _ in range(min(self._workers, len(tasks)))]
        try:
            for worker in workers:
                _assign(worker, tasks, todo)
            while any(worker.task is not None for worker in workers):
                for worker in _ready(workers):
                    event = _receive(worker, tasks)
                    if isinstance(event, Finished):
                        _assign(worker, tasks, todo)
                    yield event
        finally:
            for worker in workers:
                _stop(worker)


def _start(work: Work, job: Any) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, job, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _assign(worker: _Worker, tasks: Sequence[Any], todo: list[int]) -> None:
    worker.task = todo.pop() if todo else None
    if worker.task is not None:
        worker.pipe.send(tasks[worker.task])


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    busy = {worker.pipe: worker for worker in workers if worker.task is not None}
    return [busy[pipe] for pipe in wait(list(busy)) if isinstance(pipe, Connection)]


def _receive(worker: _Worker, tasks: Sequence[Any]) -> Event:
    assert worker.task is not None
    try:
        kind, value = worker.pipe.recv()
    except (EOFError, OSError):
        raise _death(worker, tasks[worker.task]) from None
    if kind == "failed":
        raise UserError(value)
    return Progress(worker.task, value) if kind == "progress" else Finished(worker.task)


def _death(worker: _Worker, task: Any) -> UserError:
    worker.process.join()
    code = worker.process.exitcode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = "; if the machine ran out of memory, use fewer --workers" if code == -signal.SIGKILL else ""
    return UserError(f"{task}: its worker {how}{hint}; run the same command again to go on from here")


def _stop(worker: _Worker) -> None:
    if worker.task is not None:
        worker.process.kill()  # the folder it writes to is made afresh by the next attempt
    worker.pipe.close()
    worker.process.join()


def _serve(pipe: Connection, work: Work, job: Any, parent: int) -> None:
    """The worker's whole life; ends when the pipe does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    _die_with(parent)
    try:
        while True:
            task = pipe.recv()
            pipe.send(_outcome(pipe, work, job, task))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _outcome(pipe: Connection, work: Work, job: Any, task: Any) -> tuple[str, Any]:
    try:
        for report in work(job, task):
            pipe.send(("progress", report))
    except _EXPECTED as error:
        return "failed", str(describe_failure(task, error))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return "failed", str(describe_failure(task, error))
    return "finished", None


def _die_with(parent: int) -> None:
    """Linux kills this process when its parent ends, even by kill -9; elsewhere the next report notices."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
