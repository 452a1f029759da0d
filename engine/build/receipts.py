"""What is known of a packed unit: written after its shards, so that they are whole if it exists."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.build.job import Counts, add_counts
from engine.captions.histogram import bin_of
from engine.native import commit_file
from engine.shards.entries import ShardEntry, entry_from_json


@dataclass
class Contents:
    """What the stored samples of a unit or a dataset are.

    Attributes:
        image_bytes: of the stored image files.
        formats: images by format.
        samples_with: samples that have a caption of the source.
        captions: captions of the source.
        tokens: token ids of all captions.
        scores: histogram of the captions' scores, of each source that has any (`engine.captions.histogram`).
        emptied: samples whose captions of the source were all left out by their scores.
    """

    image_bytes: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    samples_with: dict[str, int] = field(default_factory=dict)
    captions: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    scores: dict[str, dict[str, int]] = field(default_factory=dict)
    emptied: dict[str, int] = field(default_factory=dict)

    def add(self, other: Contents) -> None:
        """Adds another unit's contents."""
        self.image_bytes += other.image_bytes
        self.tokens += other.tokens
        add_counts(self.formats, other.formats)
        add_counts(self.samples_with, other.samples_with)
        add_counts(self.captions, other.captions)
        add_counts(self.emptied, other.emptied)
        for source, bins in other.scores.items():
            add_counts(self.scores.setdefault(source, {}), bins)

    def add_scores(self, source: str, scores: Iterable[float]) -> None:
        """Counts scores; those that are not known are NaN."""
        for score in scores:
            if not math.isnan(score):
                add_counts(self.scores.setdefault(source, {}), {bin_of(score): 1})


@dataclass(frozen=True)
class Receipt:
    """One packed unit.

    Attributes:
        counts: every sample that the source gave, accounted for.
        contents: what was stored.
        entries: its shards, basenames relative to the unit's folder.
        steps: `(seen, failures)` after every batch: the failure budget is judged in unit order, whenever a
            unit was packed.
    """

    counts: Counts
    contents: Contents
    entries: Sequence[ShardEntry]
    steps: Sequence[tuple[int, int]]

    def commit(self, path: Path) -> None:
        """Writes it; appears whole or not at all."""
        obj = {
            "counts": asdict(self.counts),
            "contents": asdict(self.contents),
            "entries": [entry.to_json() for entry in self.entries],
            "steps": self.steps,
        }
        commit_file(path, json.dumps(obj).encode())


def read_receipt(path: Path) -> Receipt | None:
    """The receipt, or None if the unit is not packed yet."""
    try:
        obj: Mapping[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return Receipt(
        counts=Counts(**obj["counts"]),
        contents=Contents(**obj["contents"]),
        entries=[entry_from_json(entry) for entry in obj["entries"]],
        steps=[(seen, failures) for seen, failures in obj["steps"]],
    )
