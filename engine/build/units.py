"""Units over workers: what was finished before, progress, the failure budget in unit order, duplicates.

Builds, scores and recaptioning share this; they differ in a unit's work and in what is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from engine.build.budget import Budget, BudgetWatch
from engine.build.card import meaning
from engine.build.dedup import KeySet, find_duplicates
from engine.build.job import Counts, Task
from engine.build.state import State
from engine.errors import UserError
from engine.executors import Executor, Finished
from engine.executors.base import Work
from engine.ui import table


class UnitCounts(Protocol):
    """What is counted of a unit."""

    seen: int
    failures: int

    def add(self, other: Any) -> None:
        """Adds another unit's counts."""

    def copy(self) -> Any:
        """A snapshot."""


C = TypeVar("C", bound=UnitCounts)
Found = TypeVar("Found", bound=UnitCounts, covariant=True)


@dataclass(frozen=True)
class Status(Generic[C]):
    """What a progress line can show."""

    phase: str
    units: int
    units_done: int
    counts: C


Show = Callable[[Status[Counts]], None]
Failures = list[tuple[str, int, str]]
"""Codes of what failed, how often, and what they mean."""


class UnitReceipt(Protocol[Found]):
    """What is known of a finished unit."""

    @property
    def counts(self) -> Found:
        """Of its samples."""

    @property
    def steps(self) -> Sequence[tuple[int, int]]:
        """`(seen, failures)` on the way."""


def sample_failures(counts: Counts) -> Failures:
    """Rejects and dropped captions by code."""
    dropped = [(code, n, f"captions: {meaning(code)}") for code, n in counts.dropped_captions_by_code.items()]
    return [(code, n, meaning(code)) for code, n in counts.rejected_by_code.items()] + dropped


@dataclass(frozen=True)
class Units(Generic[C]):
    """How units are worked on.

    Attributes:
        work: of one unit, in a worker; yields its counts so far.
        job: what all units share.
        executor: makes the workers.
        budget: of failed samples.
        show: called after every report.
        failures: what the counts hold of failures, for the message about the budget.
    """

    work: Work
    job: Any
    executor: Callable[[], Executor]
    budget: Budget
    show: Callable[[Status[C]], None]
    failures: Callable[[C], Failures]

    def go_on(
        self, phase: str, tasks: Sequence[Task], receipt: Callable[[Task], UnitReceipt[C] | None]
    ) -> int:
        """Works on all units without a receipt; returns how many had one.

        Raises:
            UserError: too many failures, or a unit that cannot be read or written.
        """
        watch = BudgetWatch(self.budget, len(tasks))
        done: dict[int, C] = {}
        for task in tasks:
            found = receipt(task)
            if found is not None:
                done[task.index] = found.counts
                self._judge(watch.report(task.index, found.steps, finished=True), done)
        before = len(done)
        self.run(phase, [task for task in tasks if task.index not in done], done, watch)
        return before

    def run(
        self,
        phase: str,
        tasks: Sequence[Task],
        counts: dict[int, C],
        watch: BudgetWatch | None = None,
    ) -> None:
        """Works on units; `counts` has those of finished ones and gets the others'."""
        if not tasks:
            return
        units, finished = len(tasks) + len(counts), len(counts)
        with closing(self.executor().run(self.work, self.job, tasks)) as events:
            for event in events:
                index = tasks[event.index].index
                if isinstance(event, Finished):
                    finished += 1
                else:
                    counts[index] = event.report
                latest = counts[index]
                if watch is not None:
                    step = (latest.seen, latest.failures)
                    self._judge(watch.report(index, [step], isinstance(event, Finished)), counts)
                self.show(Status(phase, units, finished, sum_counts(counts)))

    def _judge(self, exceeded: bool, done: Mapping[int, C]) -> None:
        if not exceeded:
            return
        counts = sum_counts(done)
        falling = sorted(self.failures(counts), key=lambda row: (-row[1], row[0]))
        rows = [(code, f"{n:,}", about) for code, n, about in falling]
        raise UserError(
            f"too many samples failed: {counts.failures:,} of {counts.seen:,}; --max-failures allows "
            f"{self.budget}\n{table(rows)}\n"
            "  what is done is kept: the same command with a larger --max-failures goes on from here"
        )


def mark_duplicates(state: State, tasks: Sequence[Task]) -> list[Task]:
    """The tasks, those with `dedupe` that hold keys of earlier units; the keys are in `state`'s files."""
    known = state.duplicates()
    if known is None:
        found = find_duplicates([state.keys_path(task) for task in tasks])
        for index, keys in found.items():
            KeySet(keys).commit(state.excluded(tasks[index]))
        known = {tasks[index].folder: len(keys) for index, keys in sorted(found.items())}
        state.commit_duplicates(known)
    return [replace(task, dedupe=task.folder in known) for task in tasks]


def sum_counts(counts: Mapping[int, C]) -> C:
    """The counts of all units together; there is at least one."""
    first, *others = counts.values()
    total: C = first.copy()
    for unit in others:
        total.add(unit)
    return total
