"""A whole run of scores: plan or go on, score, finish."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from engine.build.finish import REJECTS_NAME
from engine.build.inputs import describe_units, version_of
from engine.build.job import Task
from engine.build.rejects import merge_rejects
from engine.build.state import State, build_lock
from engine.build.units import Show, Units, sample_failures
from engine.captions.index import IndexCounts
from engine.captions.join import Coverage, JoinedSource, coverage
from engine.captions.parts import describe_part
from engine.captions.scores import SCORES_FOLDER, SCORES_FORMAT, SCORES_NAME, read_scores_json
from engine.errors import UserError
from engine.executors import open_executor
from engine.native import commit_file
from engine.nearest import nearest
from engine.numbers import cores
from engine.scoring.counts import ScoreCounts, counts_from_json
from engine.scoring.job import Job, Receipt, read_receipt
from engine.scoring.options import Compute, RunOptions, ScoreOptions
from engine.scoring.scorer import Scorer, open_scorer, resolve_compute
from engine.scoring.unit import part_path, score_unit
from engine.sources import Source
from engine.tokenizers.base import fingerprint_of


@dataclass(frozen=True)
class Result:
    """How a run ended; `finished_before` if there was nothing to do."""

    folder: Path
    scorer: Mapping[str, Any]
    counts: ScoreCounts
    coverage: Mapping[str, Coverage]
    units: int
    units_before: int
    finished_before: bool = False


def score(samples: Source, options: ScoreOptions, run: RunOptions, show: Show = lambda _: None) -> Result:
    """Scores captions into a folder of the ledger, or goes on where an earlier run stopped.

    Args:
        samples: opened with `options.source`.
        options: what decides the scores.
        run: how they are computed.
        show: called after every batch.

    Raises:
        UserError: wrong options, a model that cannot be loaded, too many failures, a unit that cannot be read
            or written. Units that were finished until then are kept for the next run.
    """
    tasks = [Task(index, unit) for index, unit in enumerate(samples.units())]
    if not tasks:
        raise UserError(f"{', '.join(options.source.inputs)}: no input found")
    compute = resolve_compute(run.device, run.precision, elsewhere=run.executor == "ray")
    workers = _workers(run, compute, len(tasks))
    alone = run.executor == "local" and workers == 1
    # Where others compute, the model is opened here only to say which one it is.
    scorer = open_scorer(options.model, compute if alone else replace(compute, device="cpu"))
    ledgers = [Path(name) for name in options.ledgers]
    plan = make_plan(samples, options, scorer, tasks, ledgers)
    out = run.ledger / SCORES_FOLDER / _folder_name(scorer, plan)
    if (out / SCORES_NAME).exists():
        return _finished_before(out, len(tasks))
    with build_lock(out):
        if (out / SCORES_NAME).exists():  # by whoever held the lock a moment ago
            return _finished_before(out, len(tasks))
        state = State(out)
        if state.plan() is None:
            state.create(plan)
        joined = JoinedSource(samples, ledgers, state.folder / "captions")
        found = joined.build()
        job = Job(
            out, joined, tuple(plan["sources"]), options.model, compute, scorer.id,
            options.source.max_image_bytes, max(1, cores() // workers),
        )  # fmt: skip
        if not alone:
            open_scorer.cache_clear()
        gpus = 1 if compute.device == "cuda" else 0
        executor = partial(open_executor, "inline" if alone else run.executor, workers, gpus)
        units = Units(score_unit, job, executor, run.budget, show, sample_failures)
        before = units.go_on("scoring", tasks, lambda task: read_receipt(state.receipt_path(task)))
        total, covered = finish(state, tasks, plan, found)
        return Result(out, scorer.description, total, covered, len(tasks), before)


def make_plan(
    samples: Source, options: ScoreOptions, scorer: Scorer, tasks: Sequence[Task], ledgers: Sequence[Path]
) -> dict[str, Any]:
    """Everything that a run's rows follow from.

    Raises:
        UserError: a source that was asked for is in neither the input nor the ledgers.
    """
    joined = JoinedSource(samples, ledgers, Path())
    known = joined.caption_sources
    for name in options.sources:
        if name not in known:
            raise UserError(
                f"--sources {name}: not there; the input and the ledgers have {', '.join(known)}"
                f"{nearest(name, known)}"
            )
    fields = {name: "|".join(map(str, field.terms)) for name, field in samples.assembler.captions.items()}
    key = options.source.key_column
    return {
        "scorer": scorer.description,
        "sources": [name for name in known if not options.sources or name in options.sources],
        "options": {"captions": fields, "key_column": key, "only_keys": options.source.only_keys},
        "ledgers": joined.describe(),
        "inputs": describe_units([task.unit for task in tasks]),
        "versions": {
            name: version_of(name) for name in ("veclip-engine", "torch", "open_clip_torch", "transformers")
        },
    }


def finish(
    state: State, tasks: Sequence[Task], plan: Mapping[str, Any], found: Mapping[str, IndexCounts]
) -> tuple[ScoreCounts, dict[str, Coverage]]:
    """Writes everything beside the parts.

    Raises:
        UserError: the totals do not add up.
    """
    total = ScoreCounts()
    for task in tasks:
        total.add(_receipt(state, task).scores)
    counts, out = total.samples, state.out
    if counts.seen != counts.out + counts.rejected:
        raise UserError(
            f"the totals do not add up: {counts.seen:,} in, {counts.out:,} scored, {counts.rejected:,} "
            "rejected; please report this"
        )
    covered = coverage(found, counts.out, {name: one.samples for name, one in total.sources.items()})
    merge_rejects((state.rejects_path(task) for task in tasks), out / REJECTS_NAME)
    metadata = {
        "format": SCORES_FORMAT,
        **plan,
        "parts": [describe_part(part_path(out, task)) for task in tasks],
        "counts": total.to_json(),
        "coverage": {source: vars(one) for source, one in covered.items()},
    }
    commit_file(out / SCORES_NAME, json.dumps(metadata, indent=1, ensure_ascii=False).encode())
    state.remove()
    return total, covered


def _folder_name(scorer: Scorer, plan: Mapping[str, Any]) -> str:
    """The same for the same plan, so that a run finds its own beginning; another plan is another run."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(scorer.description["model"])).strip("-.")[:60]
    deciding = {key: value for key, value in plan.items() if key != "versions"}
    return f"{name or 'model'}-{fingerprint_of(deciding)[:8]}"


def _finished_before(out: Path, units: int) -> Result:
    found = read_scores_json(out / SCORES_NAME)
    State(out).remove()
    covered = {source: Coverage(**one) for source, one in found["coverage"].items()}
    counts = counts_from_json(found["counts"])
    return Result(out, found["scorer"], counts, covered, units, units, finished_before=True)


def _workers(run: RunOptions, compute: Compute, units: int) -> int:
    wanted = run.workers or (1 if compute.device == "cuda" else cores())
    return min(wanted, units)


def _receipt(state: State, task: Task) -> Receipt:
    receipt = read_receipt(state.receipt_path(task))
    if receipt is None:
        raise UserError(f"{task}: not finished; run the same command again")
    return receipt
