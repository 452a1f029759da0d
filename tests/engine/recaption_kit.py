"""What the tests of recaptioning share: runs in this process against a stub server."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

from engine.build.budget import Budget
from engine.captions.ledger import LedgerRow, open_ledger, read_rows
from engine.recap.delivery import Patience
from engine.recap.options import SAMPLINGS, EngineOptions, ModelOptions, RecaptionOptions, Stage
from engine.recap.run import Result, RunOptions, recaption
from engine.sources import SourceOptions, open_source

VEC, VECAP, PLAIN = Stage("vec", "vec"), Stage("vecap", "vecap"), Stage("rewrite/plain", "laclip", "plain")
QUICK = Patience(tries=3, first_wait_s=0.01, longest_wait_s=0.05, silence_s=5.0)


def options_for(tars: Path, stage: Stage, **changes: Any) -> RecaptionOptions:
    """What is asked about the tars of a folder."""
    source = SourceOptions(inputs=(str(tars / "*.tar"),), without_captions=stage.kind != "laclip")
    given = {"prompt": "hardened", "sampling": SAMPLINGS[stage.kind], **changes}
    return RecaptionOptions(source=source, stage=stage, model=ModelOptions(), **given)


def run_stage(tars: Path, ledger: Path, stage: Stage, url: str, **changes: Any) -> Result:
    """Fills one source; `engine`, `budget` and the fields of `RecaptionOptions` can be changed."""
    engine = EngineOptions(url, ModelOptions(), patience=QUICK, **changes.pop("engine", {}))
    workers = changes.pop("workers", 0)  # processes; none: in this one
    budget = changes.pop("budget", Budget(1.0))
    run = RunOptions(ledger, engine, max(1, workers), "local" if workers else "inline", budget)
    options = options_for(tars, stage, **changes)
    return recaption(open_source(options.source), options, run)


def rows_of(ledger: Path, source: str) -> list[LedgerRow]:
    """All rows of one finished source, in order."""
    found = next(item for item in open_ledger(ledger) if item.name == source)
    return [row for part in found.parts for row in read_rows(part)]


def as_set(rows: list[LedgerRow]) -> set[tuple[Any, ...]]:
    """Rows without their order; no row is there twice."""
    values = {astuple(row) for row in rows}
    assert len(values) == len(rows)
    return values
