"""The same work on a Ray cluster; every node must see the input and the output folder."""

from __future__ import annotations

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


class RayExecutor:
    """Joins the cluster that `RAY_ADDRESS` names; without one, Ray starts on this machine."""

    def __init__(self, workers: int) -> None:
        """At most `workers` tasks at a time."""
        self._workers = workers

    def run(self, work: Work, job: Any, tasks: Sequence[Any]) -> Events:
        """See `engine.executors.base.Executor`."""
        started = not ray.is_initialized()
        if started:
            ray.init(log_to_driver=False, include_dashboard=False)
        try:
            yield from self._run(work, ray.put(job), tasks)
        finally:
            if started:
                ray.shutdown()

    def _run(self, work: Work, job: Any, tasks: Sequence[Any]) -> Events:
        # A task is not tried again: what failed once is for the user to see, and the build resumes by itself.
        remote = ray.remote(max_retries=0, num_returns="streaming")(_reports)
        todo = list(range(len(tasks)))[::-1]
        running: dict[Any, int] = {}
        try:
            while todo or running:
                while todo and len(running) < self._workers:
                    index = todo.pop()
                    running[remote.remote(work, job, tasks[index])] = index
                ready, _ = ray.wait(list(running), num_returns=1, fetch_local=False)
                for reports in ready:
                    event = _next_event(reports, running[reports], tasks)
                    if isinstance(event, Finished):
                        del running[reports]
                    yield event
        finally:
            for reports in running:
                ray.cancel(reports, force=True)


def _reports(work: Work, job: Any, task: Any) -> Iterator[Any]:
    yield from work(job, task)


def _next_event(reports: Any, index: int, tasks: Sequence[Any]) -> Event:
    try:
        return Progress(index, ray.get(next(reports)))
    except StopIteration:
        return Finished(index)
    except ray.exceptions.RayTaskError as error:
        raise describe_failure(tasks[index], error.cause if error.cause else error) from error
    except ray.exceptions.RayError as error:
        raise UserError(
            f"{tasks[index]}: its worker died ({type(error).__name__}); run the same command again to go on"
        ) from error
