"""A whole build: plan or resume, pack, remove duplicates, finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from engine.build.budget import Budget
from engine.build.captions import Captioned, caption
from engine.build.difference import require_same
from engine.build.finish import Totals, finish, read_dataset_json
from engine.build.images import prepare_options
from engine.build.inputs import describe_units, version_of
from engine.build.job import Counts, Job, Task
from engine.build.options import BuildOptions
from engine.build.samples import COLUMNS, cached_tokenizer
from engine.build.state import STATE, State, build_lock
from engine.build.unit import pack_unit
from engine.build.units import Show, Units, mark_duplicates, sample_failures
from engine.errors import UserError
from engine.executors import open_executor
from engine.numbers import cores
from engine.shards.index import INDEX_NAME
from engine.shards.mds_writer import make_layout
from engine.sources import Source


@dataclass(frozen=True)
class RunOptions:
    """How a build is computed; nothing in here changes a byte of the result."""

    out: Path
    workers: int
    executor: str = "local"
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True)
class Result:
    """How a build ended: `totals` is None if the dataset was finished before."""

    totals: Totals | None
    units: int
    units_before: int


def build(source: Source, options: BuildOptions, run: RunOptions, show: Show = lambda _: None) -> Result:
    """Makes a dataset of a source, or goes on where an earlier run stopped.

    Args:
        source: opened with `options.source`.
        options: what decides the bytes.
        run: how it is computed.
        show: called after every batch.

    Raises:
        UserError: wrong options, another plan in the folder, too many failures, a unit that cannot be read or
            written. What was packed until then is kept for the next run.
    """
    tasks = [Task(index, unit) for index, unit in enumerate(source.units())]
    if not tasks:
        raise UserError(f"{', '.join(options.source.inputs)}: no input found")
    captioned = caption(source, options, State(run.out).folder / "captions")
    plan = make_plan(captioned, options, tasks)
    _check_options(options)
    if _is_finished(run.out, plan):
        return Result(None, len(tasks), len(tasks))
    _refuse_foreign(run.out)
    with build_lock(run.out):
        state = State(run.out)
        _begin_or_resume(state, plan)
        captions = captioned.build()
        threads = max(1, cores() // min(run.workers, len(tasks)))
        job = Job(run.out, captioned.source, options, plan["has_scores"], threads)
        executor = partial(open_executor, run.executor, run.workers)
        units = Units(pack_unit, job, executor, run.budget, show, sample_failures)
        before = units.go_on("packing", tasks, state.receipt)
        tasks = _remove_duplicates(units, state, tasks)
        return Result(finish(state, tasks, plan, captions), len(tasks), before)


def _check_options(options: BuildOptions) -> None:
    """What a worker would refuse is refused before anything is written."""
    prepare_options(options)
    pack = options.pack
    make_layout(COLUMNS, pack.size_limit, pack.hashes, pack.compression)


def make_plan(captioned: Captioned, options: BuildOptions, tasks: Sequence[Task]) -> dict[str, Any]:
    """Everything that must be the same when a build is resumed."""
    source = captioned.source
    asked = options.to_json()
    del asked["ledgers"]  # what is in them counts, not where they are
    # What a format found by itself counts as much as what was asked for.
    asked["source"]["captions"] = {
        name: "|".join(map(str, field.terms)) for name, field in source.assembler.captions.items()
    }
    return {
        "sources": list(source.caption_sources),
        "has_scores": captioned.has_scores,
        "tokenizer": cached_tokenizer(options.tokenizer, options.context_length).describe(),
        "options": asked,
        **captioned.describe(),
        "inputs": describe_units([task.unit for task in tasks]),
        "versions": {name: version_of(name) for name in ("veclip-engine", "ftfy", "pyarrow", "tokenizers")},
    }


def _remove_duplicates(units: Units[Counts], state: State, tasks: Sequence[Task]) -> list[Task]:
    """Second phase: packs units with keys of earlier ones again; returns all tasks as they count."""
    tasks = mark_duplicates(state, tasks)
    again = [task for task in tasks if task.dedupe and state.receipt(task) is None]
    units.run("removing duplicates", again, {})
    return tasks


def _is_finished(out: Path, plan: Mapping[str, Any]) -> bool:
    if not (out / INDEX_NAME).exists():
        return False
    found = read_dataset_json(out)
    # Newer versions of this program do not make a finished dataset wrong.
    require_same(out, found, {name: plan[name] for name in plan if name != "versions"})
    State(out).remove()
    return True


def _begin_or_resume(state: State, plan: Mapping[str, Any]) -> None:
    found = state.plan()
    if found is not None:
        return require_same(state.out, found, plan)
    state.create(plan)


def _refuse_foreign(out: Path) -> None:
    names = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if names and STATE not in names:
        raise UserError(f"{out}: holds {names[0]} and no unfinished build; name an empty folder as --out")
