"""A few samples first: speed, expected time, acceptance, examples. The answers are kept for the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.build.job import Task
from engine.build.state import State, build_lock, worker_lock
from engine.build.units import Status
from engine.captions.ledger import LedgerRow, LedgerSource, LedgerWriter, source_folder
from engine.errors import UserError
from engine.recap.counts import Counts
from engine.recap.host import host_for
from engine.recap.job import log_path
from engine.recap.log import RequestLog
from engine.recap.options import RecaptionOptions
from engine.recap.report import counts_table
from engine.recap.run import RunOptions, Show, make_job, vec_ledgers
from engine.recap.steps import Sample
from engine.recap.unit import UnitRun
from engine.sources import Source
from engine.ui import count_of, duration

EXAMPLES = 10
# Enough to see units of different content; each is read to its end to know how many samples there are.
MOST_UNITS = 8
PILOT_NAME = "pilot.parquet"


@dataclass
class Pilot:
    """What a pilot found.

    Attributes:
        source: that was tried.
        counts: of the samples that were asked about.
        seconds: that took, without loading the model.
        total: samples of the whole set, as the units that were looked at have it.
        workers: of the run to come.
        examples: samples and their rows.
    """

    source: str
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    total: int = 0
    workers: int = 1
    examples: list[tuple[Sample, LedgerRow]] = field(default_factory=list)


def run_pilot(samples: Source, options: RecaptionOptions, run: RunOptions, count: int, show: Show) -> Pilot:
    """Asks about `count` samples, evenly from up to `MOST_UNITS` units; commits nothing but the answers.

    Raises:
        UserError: as `engine.recap.run.recaption`.
    """
    tasks = [Task(index, unit) for index, unit in enumerate(samples.units())]
    if not tasks:
        raise UserError(f"{', '.join(options.source.inputs)}: no input found")
    chosen = _evenly(tasks, min(MOST_UNITS, count))
    out = source_folder(run.ledger, options.stage.source)
    pilot = Pilot(options.stage.source, workers=run.workers)
    with build_lock(out):
        state = State(out)
        state.make_folders()
        job = make_job(samples, options, run, state, _vec(options, run.ledger))
        job = replace(job, limit=-(-count // len(chosen)))
        host = host_for(job.engine)
        rows: list[LedgerRow] = []
        for number, task in enumerate(chosen):
            begun = time.monotonic()
            with worker_lock(out), RequestLog(log_path(out, task)) as log:
                unit = UnitRun(job, task, host, log)
                for counts in host.drive(unit.reports()):
                    show(Status(pilot.source, len(chosen), number, counts))
            pilot.seconds += time.monotonic() - begun
            pilot.counts.add(unit.counts)
            pilot.total += sum(1 for _ in samples.read(task.unit))
            rows += unit.rows
            pilot.examples += unit.examples
        with LedgerWriter(state.folder / PILOT_NAME) as writer:
            for row in rows:
                writer.add(row)
    pilot.total = pilot.total * len(tasks) // len(chosen)
    return pilot


def pilot_report(pilot: Pilot) -> str:
    """What is printed."""
    counts = pilot.counts
    speed = counts.seen / max(pilot.seconds, 1e-3)
    share = pilot.total / max(1, counts.seen)
    lines = [
        f"pilot of {pilot.source}: {count_of(counts.seen, 'sample')} in {duration(pilot.seconds)}, "
        f"{speed:,.1f} samples/s with one worker",
        counts_table(counts),
        f"  whole set: about {pilot.total:,} samples, {duration(pilot.total / speed / pilot.workers)} with "
        f"{count_of(pilot.workers, 'worker')}, {counts.completion_tokens * share:,.0f} tokens written, "
        f"{counts.prompt_tokens * share:,.0f} read",
        *(_example(*example) for example in pilot.examples[:EXAMPLES]),
    ]
    if counts.asked < counts.attempts:
        lines.insert(1, "  (answers of an earlier run were taken from its log: the speed is too high)")
    return "\n".join(lines)


def _example(sample: Sample, row: LedgerRow) -> str:
    texts = [("AltText", sample.alttext), ("VeC", sample.vec), (row.source, row.text or "(none)")]
    shown = "\n".join(f"    {name:8} {' '.join(text.split())[:160]}" for name, text in texts if text)
    note = row.status + (f", {row.fallback}" if row.fallback else "")
    return f"  {row.key[:100]} ({note})\n{shown}"


def _vec(options: RecaptionOptions, ledger: Path) -> list[LedgerSource]:
    """Finished VeC, or that of a pilot just before."""
    found = vec_ledgers(options, ledger)
    before = State(source_folder(ledger, "vec")).folder / PILOT_NAME
    if options.stage.kind == "vecap" and before.exists():
        found.append(LedgerSource("vec", (before,), {}))
    return found


def _evenly(tasks: Sequence[Task], count: int) -> list[Task]:
    count = min(count, len(tasks))
    return [tasks[at * len(tasks) // count] for at in range(count)]
