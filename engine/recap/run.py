"""A whole source: plan or go on, ask, leave out duplicates, finish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.build.budget import Budget
from engine.build.card import meaning
from engine.build.difference import require_same
from engine.build.inputs import describe_units, version_of
from engine.build.job import Task
from engine.build.state import State, build_lock
from engine.build.units import Failures, Status, Units, mark_duplicates
from engine.captions.index import build_index
from engine.captions.ledger import (
    LEDGER_NAME,
    LedgerSource,
    open_ledger,
    read_metadata,
    source_folder,
)
from engine.errors import UserError
from engine.executors import open_executor
from engine.executors.base import Executor
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
class Result:
    """How a source ended; `finished_before` if there was nothing to do."""

    source: str
    counts: Counts
    units: int
    units_before: int
    finished_before: bool = False


Show = Callable[[Status[Counts]], None]


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
        State(out).remove()
        return _finished_before(out, name, plan, len(tasks))
    with build_lock(out):
        if (out / LEDGER_NAME).exists():  # by whoever held the lock a moment ago
            return _finished_before(out, name, plan, len(tasks))
        state = State(out)
        begin_or_go_on(state, plan)
        job = make_job(samples, options, run, state, ledgers)
        before = _ask(job, run, state, tasks, show)
        tasks = _leave_out_duplicates(state, tasks)
        return Result(name, finish(state, tasks, plan), len(tasks), before)


def _finished_before(out: Path, name: str, plan: Mapping[str, Any], tasks: int) -> Result:
    found = read_metadata(out / LEDGER_NAME)
    require_same(out, found, {key: plan[key] for key in plan if key != "versions"})
    return Result(name, Counts(**found["counts"]), tasks, tasks, finished_before=True)


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


def _ask(job: Job, run: RunOptions, state: State, tasks: Sequence[Task], show: Show) -> int:
    """First phase; returns how many units an earlier run had finished."""
    engine = run.engine
    elsewhere = run.executor != "inline" and engine.base_url is not None

    def executor() -> Executor:
        if elsewhere:
            host_for(engine)  # a server that is not there is found out here, at once
            close_hosts()
        return open_executor(run.executor, run.workers, engine.tensor_parallel if not engine.base_url else 0)

    job = replace(job, engine=replace(job.engine, seen=elsewhere))
    units = Units(recaption_unit, job, executor, run.budget, show, _failures)
    return units.go_on(job.options.stage.source, tasks, lambda task: read_receipt(state.receipt_path(task)))


def _leave_out_duplicates(state: State, tasks: Sequence[Task]) -> list[Task]:
    """Second phase: the first row of a key counts, in unit order; returns all tasks as they count."""
    tasks = mark_duplicates(state, tasks)
    for task in tasks:
        if task.dedupe and read_receipt(state.receipt_path(task)) is None:
            leave_out_duplicates(state, task)
    return tasks


def _failures(counts: Counts) -> Failures:
    rejects = [(code, n, meaning(code)) for code, n in counts.rejected_by_code.items()]
    return rejects + [(code, n, status_meaning(code)) for code, n in counts.status.items() if code != "ok"]
