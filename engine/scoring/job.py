"""What a worker gets, and what is known of a finished unit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.build.job import Counts
from engine.native import commit_file
from engine.scoring.counts import ScoreCounts, counts_from_json
from engine.scoring.options import Compute, ModelChoice
from engine.sources import Source


@dataclass(frozen=True)
class Job:
    """The part that all units of a run share.

    Attributes:
        out: the run's folder.
        samples: where images and captions are read from.
        sources: caption sources to score.
        model, compute: who scores, and where.
        scorer: `id` that the model must have in every worker.
        max_image_bytes: of one image file.
        threads: native threads of one worker.
    """

    out: Path
    samples: Source
    sources: tuple[str, ...]
    model: ModelChoice
    compute: Compute
    scorer: str
    max_image_bytes: int
    threads: int


@dataclass(frozen=True)
class Receipt:
    """One finished unit: its counts, and `(seen, failures)` on the way for the failure budget."""

    scores: ScoreCounts
    steps: list[tuple[int, int]]

    @property
    def counts(self) -> Counts:
        """Of its samples."""
        return self.scores.samples

    def commit(self, path: Path) -> None:
        """Writes it; appears whole or not at all."""
        commit_file(path, json.dumps({"scores": self.scores.to_json(), "steps": self.steps}).encode())


def read_receipt(path: Path) -> Receipt | None:
    """The receipt, or None if the unit is not finished."""
    try:
        obj = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    steps = [(seen, failures) for seen, failures in obj["steps"]]
    return Receipt(counts_from_json(obj["scores"]), steps)
