"""No workers: the tasks are done in this process, for work that is over before a process has started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.errors import UserError
from engine.executors.base import Events, Finished, Progress, Work, describe_failure
from engine.native import NativeError


class InlineExecutor:
    """One task after the other."""

    def run(self, work: Work, job: Any, tasks: Sequence[Any]) -> Events:
        """See `engine.executors.base.Executor`."""
        for index, task in enumerate(tasks):
            try:
                for report in work(job, task):
                    yield Progress(index, report)
            except (UserError, NativeError, OSError) as error:
                raise describe_failure(task, error) from error
            yield Finished(index)
