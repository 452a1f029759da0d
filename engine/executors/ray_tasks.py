"""The same work on a Ray cluster; every node must see the input and the output folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import UserError
from engine.executors.base import Event, Events, Finished, Progress, Work, describe_failure

try:
    import ray
except ImportError as error:
    raise UserError(
        "--executor ray needs Ray, which is not installed: pip install 'veclip-engine[ray]'"
    ) from error

# A node that is taken away is nobody's fault; a task that ends its third worker is.
MOST_DEATHS = 3


class RayExecutor:
    """Joins the cluster that `RAY_ADDRESS` names; without one, Ray starts on this machine.

    A worker is an actor, so what it has loaded (a model) stays from task to task. Where one dies, another
    takes its place and its task: work is written so that it can begin again.
    """

    def __init__(self, workers: int, gpus: int = 0) -> None:
        """At most `workers` tasks at a time, each with `gpus` of its own."""
        self._workers, self._gpus = workers, gpus

    def run(self, work: Work, job: Any, tasks: Sequence[Any]) -> Events:
        """See `engine.executors.base.Executor`."""
        started = not ray.is_initialized()
        if started:
            ray.init(log_to_driver=False, include_dashboard=False)
        try:
            if started and not os.environ.get("RAY_ADDRESS"):
                self._require_gpus()
            yield from _Run(work, ray.put(job), tasks, self._gpus).events(self._workers)
        finally:
            if started:
                ray.shutdown()

    def _require_gpus(self) -> None:
        """On this machine alone no worker would ever begin; a cluster may grow.

        Raises:
            UserError: fewer GPUs than one worker needs.
        """
        there = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
        if there < self._gpus:
            raise UserError(
                f"--executor ray: this machine has {there} GPUs, each worker needs {self._gpus} "
                "(--tensor-parallel); use a cluster (RAY_ADDRESS) or a server (--base-url)"
            )


class _Worker:
    """The actor."""

    def reports(self, work: Work, job: Any, task: Any) -> Iterator[Any]:
        yield from work(job, task)


class _Run:
    def __init__(self, work: Work, job: Any, tasks: Sequence[Any], gpus: int) -> None:
        self._work, self._job, self._tasks = work, job, tasks
        self._actor = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Worker)
        self._todo = list(range(len(tasks)))[::-1]
        self._deaths = [0] * len(tasks)
        self._running: dict[Any, tuple[int, Any]] = {}  # reports -> index of the task, actor

    def events(self, workers: int) -> Events:
        try:
            for _ in range(min(workers, len(self._tasks))):
                self._begin(self._actor.remote())
            while self._running:
                ready, _ = ray.wait(list(self._running), num_returns=1, fetch_local=False)
                for reports in ready:
                    event = self._next(reports)
                    if event is not None:
                        yield event
        finally:
            for _, actor in self._running.values():
                ray.kill(actor)

    def _begin(self, actor: Any) -> None:
        """Gives the next task to a worker; ends it where there is none."""
        if not self._todo:
            ray.kill(actor)
            return
        index = self._todo.pop()
        method = actor.reports.options(num_returns="streaming")
        self._running[method.remote(self._work, self._job, self._tasks[index])] = (index, actor)

    def _next(self, reports: Any) -> Event | None:
        index, actor = self._running[reports]
        try:
            return Progress(index, ray.get(next(reports)))
        except StopIteration:
            del self._running[reports]
            self._begin(actor)
            return Finished(index)
        except ray.exceptions.RayTaskError as error:
            raise describe_failure(self._tasks[index], error.cause if error.cause else error) from error
        except ray.exceptions.RayError as error:
            del self._running[reports]
            self._bury(index, error)
            return None

    def _bury(self, index: int, error: Exception) -> None:
        self._deaths[index] += 1
        if self._deaths[index] == MOST_DEATHS:
            raise UserError(
                f"{self._tasks[index]}: its worker died {MOST_DEATHS} times ({type(error).__name__}); "
                "run the same command again to go on"
            ) from error
        self._todo.append(index)
        self._begin(self._actor.remote())
