"""What is counted of a unit or of a run of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.build.job import Counts, add_counts
from engine.captions.histogram import bin_of
from engine.captions.scores import ScoreRow


@dataclass
class SourceScores:
    """Of one caption source: `captions` = `scored` + `not_finite`; `cut` of them were read in part.

    `samples` have a caption of it.
    `bins` is the histogram of the scores (`engine.captions.histogram`).
    """

    samples: int = 0
    captions: int = 0
    scored: int = 0
    not_finite: int = 0
    cut: int = 0
    bins: dict[str, int] = field(default_factory=dict)

    def add_row(self, row: ScoreRow) -> None:
        """Counts a caption."""
        self.captions += 1
        self.cut += row.cut
        if row.score is None:
            self.not_finite += 1
        else:
            self.scored += 1
            add_counts(self.bins, {bin_of(row.score): 1})

    def add(self, other: SourceScores) -> None:
        """Adds another unit's counts."""
        self.samples += other.samples
        self.captions += other.captions
        self.scored += other.scored
        self.not_finite += other.not_finite
        self.cut += other.cut
        add_counts(self.bins, other.bins)


@dataclass
class ScoreCounts:
    """Samples, and captions by source."""

    samples: Counts = field(default_factory=Counts)
    sources: dict[str, SourceScores] = field(default_factory=dict)

    def of(self, source: str) -> SourceScores:
        """The counts of a source."""
        return self.sources.setdefault(source, SourceScores())

    def add(self, other: ScoreCounts) -> None:
        """Adds another unit's counts."""
        self.samples.add(other.samples)
        for source, counts in other.sources.items():
            self.of(source).add(counts)

    @property
    def captions(self) -> int:
        """Of all sources."""
        return sum(source.captions for source in self.sources.values())

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def counts_from_json(obj: Mapping[str, Any]) -> ScoreCounts:
    """What `to_json` gave."""
    sources = {source: SourceScores(**counts) for source, counts in obj["sources"].items()}
    return ScoreCounts(Counts(**obj["samples"]), sources)
