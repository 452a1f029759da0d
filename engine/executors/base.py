"""What an executor is: tasks in, events out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.errors import UserError

EXECUTORS = ("local", "ray")

# One task's work: yields reports on its way and is done when it ends. Must be picklable, a module's function.
Work = Callable[[Any, Any], Iterator[Any]]


@dataclass(frozen=True)
class Progress:
    """A report of the task at `index` of the list."""

    index: int
    report: Any


@dataclass(frozen=True)
class Finished:
    """The task at `index` of the list is done."""

    index: int


Event = Progress | Finished
Events = Generator[Event, None, None]


class Executor(Protocol):
    """Runs `work(job, task)` for every task, in the order of the list as far as there are free workers."""

    def run(self, work: Work, job: Any, tasks: Sequence[Any]) -> Events:
        """Events as they come in. Closing the iterator ends all workers at once.

        Raises:
            UserError: a task failed or its worker died; names the task.
        """


def open_executor(name: str, workers: int, gpus: int = 0) -> Executor:
    """The executor of that name; `gpus` are what Ray reserves for each worker.

    Raises:
        UserError: unknown, or its package is not installed.
    """
    if name == "local":
        from engine.executors.local import LocalExecutor

        return LocalExecutor(workers)
    if name == "inline":
        from engine.executors.inline import InlineExecutor

        return InlineExecutor()
    if name == "ray":
        from engine.executors.ray_tasks import RayExecutor

        return RayExecutor(workers, gpus)
    raise UserError(f"executor {name!r}: unknown; expected {' or '.join(EXECUTORS)}")


def describe_failure(task: Any, error: BaseException) -> UserError:
    """One line that names the task, for what went wrong inside of it."""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return UserError(f"{task}: {kind}{error}")
