"""What a worker gets; everything here can be pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.build.job import Task
from engine.build.state import State
from engine.native import commit_file
from engine.recap.counts import Counts
from engine.recap.options import EngineOptions, RecaptionOptions
from engine.sources import Source


@dataclass(frozen=True)
class Job:
    """The part that all units of one source share.

    Attributes:
        out: the source's folder in the ledger.
        samples: where the samples are read from.
        options: what decides the rows.
        engine: who answers.
        vec_index: folder of the lookup table of VeC, if the stage needs one and ledgers have it.
        limit: samples of each unit, for a pilot; None for all.
        threads: native threads of one worker.
    """

    out: Path
    samples: Source
    options: RecaptionOptions
    engine: EngineOptions
    vec_index: Path | None
    limit: int | None
    threads: int


@dataclass(frozen=True)
class Receipt:
    """One finished unit: its counts, its part, and `(seen, failures)` on the way for the failure budget."""

    counts: Counts
    part: str
    steps: list[tuple[int, int]]

    def commit(self, path: Path) -> None:
        """Writes it; appears whole or not at all."""
        obj = {"counts": self.counts.to_json(), "part": self.part, "steps": self.steps}
        commit_file(path, json.dumps(obj).encode())


def read_receipt(path: Path) -> Receipt | None:
    """The receipt, or None if the unit is not finished."""
    try:
        obj: Mapping[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    steps = [(seen, failures) for seen, failures in obj["steps"]]
    return Receipt(Counts(**obj["counts"]), obj["part"], steps)


def log_path(out: Path, task: Task) -> Path:
    """Where a unit's answers are written down."""
    return State(out).folder / "packed" / f"{task.folder}.log"


def part_name(task: Task) -> str:
    """The unit's part: before and after rows with keys of earlier units are left out."""
    return f"{task.folder}.unique.parquet" if task.dedupe else f"{task.folder}.parquet"
