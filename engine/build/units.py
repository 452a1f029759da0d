"""Units over workers: what was finished before, progress, and the failure budget judged in unit order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from engine.build.budget import Budget, BudgetWatch
from engine.build.card import meaning
from engine.build.job import Counts, Task
from engine.errors import UserError
from engine.executors import Executor, Finished
from engine.executors.base import Work
from engine.ui import table


@dataclass(frozen=True)
class Status:
    """What a progress line can show."""

    phase: str
    units: int
    units_done: int
    counts: Counts


Show = Callable[[Status], None]


class UnitReceipt(Protocol):
    """What is known of a finished unit."""

    @property
    def counts(self) -> Counts:
        """Of its samples."""

    @property
    def steps(self) -> Sequence[tuple[int, int]]:
        """`(seen, failures)` on the way."""


@dataclass(frozen=True)
class Units:
    """How units are worked on.

    Attributes:
        work: of one unit, in a worker; yields its counts so far.
        job: what all units share.
        executor: makes the workers.
        budget: of failed samples.
        show: called after every report.
    """

    work: Work
    job: Any
    executor: Callable[[], Executor]
    budget: Budget
    show: Show

    def go_on(self, phase: str, tasks: Sequence[Task], receipt: Callable[[Task], UnitReceipt | None]) -> int:
        """Works on all units without a receipt; returns how many had one.

        Raises:
            UserError: too many failures, or a unit that cannot be read or written.
        """
        watch = BudgetWatch(self.budget, len(tasks))
        done: dict[int, Counts] = {}
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
        counts: dict[int, Counts],
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

    def _judge(self, exceeded: bool, done: Mapping[int, Counts]) -> None:
        if not exceeded:
            return
        counts = sum_counts(done)
        rows = [(code, f"{n:,}", meaning(code)) for code, n in _falling(counts.rejected_by_code)]
        dropped = _falling(counts.dropped_captions_by_code)
        rows += [(code, f"{n:,}", f"captions: {meaning(code)}") for code, n in dropped]
        raise UserError(
            f"too many samples failed: {counts.failures:,} of {counts.seen:,}; --max-failures allows "
            f"{self.budget}\n{table(rows)}\n"
            "  what is done is kept: the same command with a larger --max-failures goes on from here"
        )


def _falling(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def sum_counts(counts: Mapping[int, Counts]) -> Counts:
    """The counts of all units together."""
    total = Counts()
    for unit in counts.values():
        total.add(unit)
    return total
