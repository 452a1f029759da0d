"""A whole source: plan or go on, ask, leave out duplicates, finish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.build.budget import Budget, BudgetWatch
from engine.build.card import meaning
from engine.build.dedup import KeySet, find_duplicates
from engine.build.difference import require_same
from engine.build.inputs import describe_units, version_of
from engine.build.job import Task
from engine.build.state import State, build_lock
from engine.captions.index import build_index
from engine.captions.ledger import (
    LEDGER_NAME,
    LedgerSource,
    open_ledger,
    read_metadata,
    source_folder,
)
from engine.errors import UserError
from engine.executors import Finished, open_executor
from engine.native import hash_file
from engine.numbers import cores
from engine.recap.codes import status_meaning
from engine.recap.counts import Counts
from engine.recap.finish import finish, leave_out_duplicates
from engine.recap.host import close_hosts, host_for
from engine.recap.job import Job, read_receipt
from engine.recap.options import EngineOptions, RecaptionOptions
from engine.recap.steps import pack_of
from engine.recap.unit import recaption_unit
from engine.sources import Source
from engine.ui import table

VEC_INDEX = "vec"


@dataclass(frozen=True)
class RunOptions:
    """How a ledger is computed; nothing in here changes a row.

    Attributes:
        ledger: its folder.
        engine: who answers.
        workers: processes.
        executor: `local`, `ray` or `inline`.
        budget: of rejects and of rows whose text is not what was asked for.
    """

    ledger: Path
    engine: EngineOptions
    workers: int = 1
    executor: str = "local"
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True)
class Status:
    """What a progress line can show."""

    source: str
    units: int
    units_done: int
    counts: Counts


@dataclass(frozen=True)
class Result:
    """How a source ended; `finished_before` if there was nothing to do."""

    source: str
    counts: Counts
    units: int
    units_before: int
    finished_before: bool = False


Show = Callable[[Status], None]


def recaption(
    samples: Source, options: RecaptionOptions, run: RunOptions, show: Show = lambda _: None
) -> Result:
    """Fills one source of a ledger, or goes on where an earlier run stopped.

    Args:
        samples: opened with `options.source`.
        options: what decides the rows.
        run: how they are computed.
        show: called twice a second and unit.

    Raises:
        UserError: wrong options, a source of other options, too many failures, an engine that is gone. What
            was answered until then is kept for the next run.
    """
    tasks = [Task(index, unit) for index, unit in enumerate(samples.units())]
    if not tasks:
        raise UserError(f"{', '.join(options.source.inputs)}: no input found")
    out, name = source_folder(run.ledger, options.stage.source), options.stage.source
    ledgers = vec_ledgers(options, run.ledger)
    plan = make_plan(options, tasks, ledgers)
    if (out / LEDGER_NAME).exists():
        found = read_metadata(out / LEDGER_NAME)
        require_same(out, found, {key: plan[key] for key in plan if key != "versions"})
        State(out).remove()
        return Result(name, Counts(**found["counts"]), len(tasks), len(tasks), finished_before=True)
    with build_lock(out):
        state = State(out)
        begin_or_go_on(state, plan)
        job = make_job(samples, options, run, state, ledgers)
        recaptioner = _Recaptioner(job, run, state, show)
        before = recaptioner.ask(tasks)
        tasks = recaptioner.leave_out_duplicates(tasks)
        return Result(name, finish(state, tasks, plan), len(tasks), before)


def begin_or_go_on(state: State, plan: Mapping[str, Any]) -> None:
    """Begins a source, or makes sure that the one in the folder has the same plan."""
    found = state.plan()
    if found is None:
        return state.create(plan)
    require_same(state.out, found, plan)


def vec_ledgers(options: RecaptionOptions, ledger: Path) -> list[LedgerSource]:
    """Where VeC is found, for a stage that needs it; the ledger written comes last."""
    if options.stage.kind != "vecap":
        return []
    folders = [Path(name) for name in options.ledgers]
    if (source_folder(ledger, "vec") / LEDGER_NAME).exists():
        folders.append(ledger)
    return [source for folder in folders for source in open_ledger(folder) if source.name == "vec"]


def make_job(
    samples: Source, options: RecaptionOptions, run: RunOptions, state: State, ledgers: Sequence[LedgerSource]
) -> Job:
    """What the workers get; VeC is put into a lookup table first."""
    vec_index = None
    if ledgers:
        vec_index = state.folder / VEC_INDEX
        build_index(vec_index, ledgers)
    threads = max(1, cores() // run.workers)
    # Ray's workers may be on several machines, which have the ledger in common.
    engine = replace(run.engine, meeting_place=state.folder) if run.executor == "ray" else run.engine
    return Job(state.out, samples, options, engine, vec_index, None, threads)


def make_plan(
    options: RecaptionOptions, tasks: Sequence[Task], ledgers: Sequence[LedgerSource]
) -> dict[str, Any]:
    """Everything that must be the same when a run goes on."""
    stage = options.stage
    return {
        "source": stage.source,
        "options": options.to_json(),
        "pack": pack_of(stage.pack).hash if stage.pack else "",
        "vec": [hash_file(ledger.folder / LEDGER_NAME, "xxh3_64") for ledger in ledgers],
        "inputs": describe_units([task.unit for task in tasks]),
        "versions": {"veclip-engine": version_of("veclip-engine")},
    }


class _Recaptioner:
    def __init__(self, job: Job, run: RunOptions, state: State, show: Show) -> None:
        self._job, self._run, self._state, self._show = job, run, state, show

    def ask(self, tasks: Sequence[Task]) -> int:
        """First phase; returns how many units an earlier run had finished."""
        watch = BudgetWatch(self._run.budget, len(tasks))
        done: dict[int, Counts] = {}
        for task in tasks:
            receipt = read_receipt(self._state.receipt_path(task))
            if receipt is not None:
                done[task.index] = receipt.counts
                self._judge(watch.report(task.index, receipt.steps, finished=True), done)
        before = len(done)
        self._work([task for task in tasks if task.index not in done], done, watch)
        return before

    def leave_out_duplicates(self, tasks: Sequence[Task]) -> list[Task]:
        """Second phase: the first row of a key counts, in unit order; returns all tasks as they count."""
        known = self._state.duplicates()
        duplicates = known if known is not None else self._find_duplicates(tasks)
        tasks = [replace(task, dedupe=task.folder in duplicates) for task in tasks]
        for task in tasks:
            if task.dedupe and read_receipt(self._state.receipt_path(task)) is None:
                leave_out_duplicates(self._state, task)
        return tasks

    def _find_duplicates(self, tasks: Sequence[Task]) -> dict[str, int]:
        found = find_duplicates([self._state.keys_path(task) for task in tasks])
        for index, keys in found.items():
            KeySet(keys).commit(self._state.excluded(tasks[index]))
        duplicates = {tasks[index].folder: len(keys) for index, keys in sorted(found.items())}
        self._state.commit_duplicates(duplicates)
        return duplicates

    def _work(self, tasks: Sequence[Task], counts: dict[int, Counts], watch: BudgetWatch) -> None:
        if not tasks:
            return
        units, finished = len(tasks) + len(counts), len(counts)
        engine, job = self._run.engine, self._job
        gpus = engine.tensor_parallel if engine.base_url is None else 0
        executor = open_executor(self._run.executor, self._run.workers, gpus)
        if self._run.executor != "inline" and engine.base_url is not None:
            host_for(engine)  # a server that is not there is found out here, at once
            close_hosts()
            job = replace(job, engine=replace(job.engine, seen=True))
        with closing(executor.run(recaption_unit, job, tasks)) as events:
            for event in events:
                index = tasks[event.index].index
                if isinstance(event, Finished):
                    finished += 1
                else:
                    counts[index] = event.report
                latest = counts[index]
                step = (latest.seen, latest.failures)
                self._judge(watch.report(index, [step], isinstance(event, Finished)), counts)
                self._show(Status(self._job.options.stage.source, units, finished, sum_counts(counts)))

    def _judge(self, exceeded: bool, done: Mapping[int, Counts]) -> None:
        if not exceeded:
            return
        counts = sum_counts(done)
        rows = [(code, f"{n:,}", meaning(code)) for code, n in counts.rejected_by_code.items()]
        rows += [(code, f"{n:,}", status_meaning(code)) for code, n in counts.status.items() if code != "ok"]
        raise UserError(
            f"too many samples failed: {counts.failures:,} of {counts.seen:,}; --max-failures allows "
            f"{self._run.budget}\n{table(sorted(rows, key=lambda row: -int(row[1].replace(',', ''))))}\n"
            "  what was answered is kept: the same command with a larger --max-failures goes on from here"
        )


def sum_counts(counts: Mapping[int, Counts]) -> Counts:
    """The counts of all units together."""
    total = Counts()
    for unit in counts.values():
        total.add(unit)
    return total
