"""What is known of a packed unit: written after its shards, so that they are whole if it exists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.build.job import Counts, add_counts
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
    """

    image_bytes: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    samples_with: dict[str, int] = field(default_factory=dict)
    captions: dict[str, int] = field(default_factory=dict)
    tokens: int = 0

    def add(self, other: Contents) -> None:
        """Adds another unit's contents."""
        self.image_bytes += other.image_bytes
        self.tokens += other.tokens
        add_counts(self.formats, other.formats)
        add_counts(self.samples_with, other.samples_with)
        add_counts(self.captions, other.captions)


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
